"""Everything a Gaussian model needs of the data: each group's cross-products, gathered in one pass.

With Z_j (n_j x q) the random-effect columns and W_j = [X_j, y_j] (n_j x (p + 1)) the fixed-effect columns
and the outcome of group j, the likelihood depends on the rows only through
``A_j = Z_j'Z_j``, ``B_j = Z_j'W_j`` and ``G = sum_j W_j'W_j``. These are sums over rows: parts of a file, or
files on several machines, can be collapsed apart and added.

The sums are formed in a *working parametrisation*, because the cross-products of raw columns (a year of
2015 .. 2020, an outcome of a million plus a little noise) lose the digits that matter:

- ``X_w = X @ T_X`` has ``X_w'X_w = n I``;
- ``y_w = (y - offset - X @ beta_0) / scale``, the standardised residual of least squares;
- ``Z_w = Z @ T_Z``: the columns of a correlated term are orthonormalised (``Z_w'Z_w = n I``), those of an
  uncorrelated one only scaled, so that its covariance stays diagonal.

From working to original quantities (subscript w: working):

- ``beta = beta_0 + scale * T_X @ beta_w``, ``sigma = scale * sigma_w``,
- ``b = scale * T_Z @ b_w``; random effects covariance ``scale^2 T_Z Sigma_w T_Z'``,
- relative factor ``Lambda = T_Z @ Lambda_w`` (up to a rotation from the right, which the likelihood ignores),
- ``log p(y) = log p(y_w) - n log(scale)``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from nestwise.arrays import FloatArray, IntArray
from nestwise.design.record import Design, RandomTerm
from nestwise.errors import Problem, Refusal

RANK_TOLERANCE = 1e-16
"""A column whose squared norm falls below this share of itself, once those before it are swept out, is
counted as their linear combination."""


@dataclass(frozen=True)
class Pattern:
    """Which elements of Lambda (q, q) are free: a block for each random term.

    Attributes
    ----------
    q : int
        Random effects per group, over all terms on the grouping factor.
    rows, cols : ndarray (k,)
        Positions of the free elements, in the order of theta (each term's block by columns, as lme4).
    """

    q: int
    rows: IntArray
    cols: IntArray

    @property
    def k(self) -> int:
        """Number of free elements."""
        return int(self.rows.shape[0])

    @property
    def diagonal(self) -> IntArray:
        """Which elements of theta stand on the diagonal (q,)."""
        return np.flatnonzero(self.rows == self.cols)

    def matrix(self, theta: FloatArray) -> FloatArray:
        """Lambda (q, q) of theta (k,)."""
        Lambda = np.zeros((self.q, self.q))
        Lambda[self.rows, self.cols] = theta
        return Lambda

    def elements(self, Lambda: FloatArray) -> FloatArray:
        """The free elements (k,) of a matrix (q, q)."""
        return Lambda[self.rows, self.cols]


@dataclass(frozen=True)
class CrossProducts:
    """The data of a Gaussian model with one grouping factor, collapsed; see the module for the algebra.

    Attributes
    ----------
    group : str
        Name of the grouping factor.
    A : ndarray (J, q, q)
        Z_j'Z_j, working columns.
    B : ndarray (J, q, p + 1)
        Z_j'[X_j, y_j], working columns.
    G : ndarray (p + 1, p + 1)
        Sum over groups of [X_j, y_j]'[X_j, y_j], working columns.
    n : int
        Rows.
    counts : ndarray (J,)
        Rows of each group.
    weights : ndarray (J,)
        How many groups each entry stands for where log|M_j| is summed: ones, unless `compress` was used.
    pattern : Pattern
        Free elements of Lambda.
    T_X : ndarray (p, p)
        From working to original fixed effects.
    T_Z : ndarray (q, q)
        From working to original random effects; upper triangular inside the block of a term.
    beta_0 : ndarray (p,)
        Least-squares coefficients, original parametrisation.
    scale : float
        Residual standard deviation (divisor n) of least squares, units of the outcome.
    """

    group: str
    A: FloatArray
    B: FloatArray
    G: FloatArray
    n: int
    counts: IntArray
    weights: FloatArray
    pattern: Pattern
    T_X: FloatArray
    T_Z: FloatArray
    beta_0: FloatArray
    scale: float

    @property
    def J(self) -> int:  # noqa: N802
        """Number of groups (of entries, once compressed)."""
        return int(self.A.shape[0])

    @property
    def q(self) -> int:
        """Random effects per group."""
        return int(self.A.shape[1])

    @property
    def p(self) -> int:
        """Fixed effects."""
        return int(self.B.shape[2]) - 1


def lambda_pattern(terms: tuple[RandomTerm, ...]) -> Pattern:
    """Free elements of Lambda for random terms on one grouping factor.

    A correlated term contributes a lower triangle, an uncorrelated one a diagonal.
    """
    rows: list[int] = []
    cols: list[int] = []
    start = 0
    for term in terms:
        width = len(term.names)
        for col in range(width):
            for row in range(col, width if term.correlated else col + 1):
                rows.append(start + row)
                cols.append(start + col)
        start += width
    return Pattern(start, np.array(rows, dtype=np.int64), np.array(cols, dtype=np.int64))


def collapse(design: Design) -> CrossProducts:
    """Collapse a design with one grouping factor to its cross-products.

    Parameters
    ----------
    design : Design
        At least one random term, all on the same grouping factor.

    Returns
    -------
    CrossProducts
        In the working parametrisation the module describes.

    Raises
    ------
    Refusal
        If there is no random term, more than one grouping factor, a random-effect column that is zero or a
        linear combination of the others in its term, or a least-squares fit without residuals.
    """
    _one_factor(design)
    codes = design.random[0].codes
    y = design.y_less_offset
    X_w, T_X, beta_0, residual = _least_squares(design.X, y)
    scale = float(np.sqrt(residual @ residual / design.n))
    spread = float(np.linalg.norm(y - y.mean()) / np.sqrt(design.n))
    if scale <= 1e-12 * max(spread, float(np.abs(y).max()) * 1e-3):
        problem = Problem(
            f"the fixed effects reproduce {design.outcome} exactly, so there is nothing left to explain",
            design.formula,
            "look for a predictor that is the outcome under another name",
        )
        raise Refusal(problem)
    T_Z = np.zeros((len(design.varying),) * 2)
    columns: list[FloatArray] = []
    for term in design.random:
        T, Z_w = _random_columns(term, design.formula)
        at = slice(len(columns), len(columns) + T.shape[0])
        T_Z[at, at] = T
        columns.extend(Z_w)
    columns_w = [*X_w.T, residual / scale]
    A, B, counts = _sums_by_group(columns, columns_w, codes, design.random[0].n_groups)
    W = np.column_stack(columns_w)
    return CrossProducts(
        group=design.random[0].group,
        A=A,
        B=B,
        G=W.T @ W,
        n=design.n,
        counts=counts,
        weights=np.ones(A.shape[0]),
        pattern=lambda_pattern(design.random),
        T_X=T_X,
        T_Z=T_Z,
        beta_0=beta_0,
        scale=scale,
    )


def with_original_columns(products: CrossProducts) -> CrossProducts:
    """The same data with the random-effect columns as the formula has them (``T_Z = I``).

    For use where Lambda itself has a meaning, as under a prior on its correlations; X and y stay in the
    working parametrisation. Loses digits if a column lies far from zero compared with its spread.
    """
    back = np.linalg.inv(products.T_Z)
    return replace(products, A=back.T @ products.A @ back, B=back.T @ products.B, T_Z=np.eye(products.q))


def _one_factor(design: Design) -> None:
    if not design.random:
        problem = Problem(
            "the model has no random effects",
            design.formula,
            "add a term such as (1 | group), or use `pooled`",
        )
        raise Refusal(problem)
    factors = list(dict.fromkeys(term.group for term in design.random))
    if len(factors) > 1:
        problem = Problem(
            f"this engine takes one grouping factor so far, and the model has {' and '.join(factors)}",
            design.formula,
            "keep the random effects of one of them and enter the other as a fixed effect",
        )
        raise Refusal(problem)


def _least_squares(X: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Working columns X_w (n, p), T_X (p, p), coefficients (p,) and residuals (n,) of least squares."""
    n, p = X.shape
    if p == 0:
        return X, np.zeros((0, 0)), np.zeros(0), y.copy()
    Q, R_inverse = _orthonormal(X)
    along = Q.T @ y
    residual = y - Q @ along
    correction = Q.T @ residual  # one step of refinement: y may be a million times its residual
    residual -= Q @ correction
    Q *= np.sqrt(n)
    return Q, R_inverse * np.sqrt(n), R_inverse @ (along + correction), residual


def _orthonormal(X: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Q (n, p) with Q'Q = I and R^-1 (p, p) with X R^-1 = Q.

    Cholesky twice, three times quicker than Householder on tall matrices and as accurate (Yamamoto et al.
    2015) while the scaled columns are not nearly collinear; Householder's QR where they are.
    """
    size = np.sqrt(np.einsum("ij,ij->j", X, X))
    Q, R_inverse = X / size, np.diag(1 / size)
    for _ in range(2):
        gram = Q.T @ Q
        values = np.linalg.eigvalsh(gram)
        if values[0] < 1e-9:
            Q, R = np.linalg.qr(X)
            return Q, np.linalg.inv(R)
        step = np.linalg.inv(np.linalg.cholesky(gram)).T
        Q, R_inverse = Q @ step, R_inverse @ step
    return Q, R_inverse


def _random_columns(term: RandomTerm, formula: str) -> tuple[FloatArray, list[FloatArray]]:
    """T (q, q) and the working columns of one random term."""
    n, q = term.Z.shape
    size = np.sqrt((term.Z**2).mean(axis=0))
    bad = [name for name, value in zip(term.names, size, strict=True) if value == 0]
    T = np.diag(1 / np.where(size > 0, size, 1.0))
    if term.correlated and q > 1 and not bad:
        R = np.linalg.qr(term.Z / size, mode="r")
        pivots = np.abs(np.diag(R)) / np.sqrt(n)
        bad = [name for name, value in zip(term.names, pivots, strict=True) if value**2 < RANK_TOLERANCE]
        if not bad:
            # signs such that the first working column points the way the first column does
            T = T @ np.linalg.inv(R * np.sign(np.diag(R))[:, None]) * np.sqrt(n)
    if bad:
        problem = Problem(
            f"the varying coefficient {bad[0]} of {term.group} is zero or follows from those before it",
            formula,
            f"leave {bad[0]} out of the random part",
        )
        raise Refusal(problem)
    # Element by element rather than by matrix product: equal rows of Z then give equal bits, and balanced
    # groups equal A_j, which `compress` looks for.
    columns = []
    for col in range(q):
        column = term.Z[:, 0] * T[0, col]
        for row in range(1, q):
            if T[row, col] != 0:
                column = column + term.Z[:, row] * T[row, col]
        columns.append(column)
    return T, columns


def _sums_by_group(
    Z: list[FloatArray], W: list[FloatArray], codes: IntArray, J: int
) -> tuple[FloatArray, FloatArray, IntArray]:
    """A (J, q, q), B (J, q, p + 1) and counts (J,) of columns of Z and W."""
    counts = np.bincount(codes, minlength=J)
    if np.any(np.diff(codes) < 0):
        order = np.argsort(codes, kind="stable")
        Z = [column[order] for column in Z]
        W = [column[order] for column in W]
    present = counts > 0
    starts = (np.cumsum(counts) - counts)[present]

    def total(product: FloatArray) -> FloatArray:
        sums = np.zeros(J)
        sums[present] = np.add.reduceat(product, starts)
        return sums

    q, width = len(Z), len(W)
    A = np.empty((J, q, q))
    B = np.empty((J, q, width))
    for row in range(q):
        for col in range(row + 1):
            A[:, row, col] = A[:, col, row] = total(Z[row] * Z[col])
        for col in range(width):
            B[:, row, col] = total(Z[row] * W[col])
    return A, B, counts
