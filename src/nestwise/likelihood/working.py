"""The working parametrisation of a Gaussian model: columns in which no digits are lost.

Cross-products are formed in a *working parametrisation*, because those of raw columns (a year of
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

from dataclasses import dataclass

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
class Working:
    """The rows of a Gaussian model in the working parametrisation.

    Attributes
    ----------
    Z : tuple of ndarray (n,), length q
        Columns of the random effects.
    W : ndarray (n, p + 1)
        [X, y].
    pattern : Pattern
        Free elements of Lambda.
    T_X, T_Z, beta_0, scale
        The way back, see the module.
    log_weights : float
        Sum of the logarithms of the prior weights: rows and outcome are multiplied by their roots.
    sigma : float or None
        Residual standard deviation on the working scale where it is known.
    """

    Z: tuple[FloatArray, ...]
    W: FloatArray
    pattern: Pattern
    T_X: FloatArray
    T_Z: FloatArray
    beta_0: FloatArray
    scale: float
    log_weights: float = 0.0
    sigma: float | None = None


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


def working_rows(design: Design) -> Working:
    """Put a design into the working parametrisation.

    Parameters
    ----------
    design : Design
        At least one random term, or a residual covariance.

    Raises
    ------
    Refusal
        If there is no random term, a random-effect column is zero or a linear combination of the others in
        its term, or least squares leaves no residuals.
    """
    if not design.random and design.residual is None:
        problem = Problem(
            "the model has no random effects",
            design.formula,
            "add a term such as (1 | group), or use `pooled`",
        )
        raise Refusal(problem)
    precision = design.weights if design.sampling_error is None else 1 / design.sampling_error**2
    root = None if precision is None else np.sqrt(precision)
    y = design.y_less_offset if root is None else root * design.y_less_offset
    X = design.X if root is None else root[:, None] * design.X
    X_w, T_X, beta_0, residual = _least_squares(X, y)
    scale = float(np.sqrt(residual @ residual / design.n))
    spread = float(np.linalg.norm(y - y.mean()) / np.sqrt(design.n))
    if scale <= 1e-12 * max(spread, float(np.abs(y).max()) * 1e-3):
        problem = Problem(
            f"the fixed effects reproduce {design.outcome} exactly, so there is nothing left to explain",
            design.formula,
            "look for a predictor that is the outcome under another name",
        )
        raise Refusal(problem)
    T_Z, Z = varying_columns(design)
    W = np.column_stack([X_w, residual / scale])
    return Working(
        Z=tuple(Z if root is None else (root * column for column in Z)),
        W=W,
        pattern=lambda_pattern(design.random),
        T_X=T_X,
        T_Z=T_Z,
        beta_0=beta_0,
        scale=scale,
        log_weights=0.0 if precision is None else float(np.log(precision).sum()),
        sigma=None if design.sampling_error is None else 1 / scale,
    )


def _least_squares(X: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Working columns X_w (n, p), T_X (p, p), coefficients (p,) and residuals (n,) of least squares."""
    n, p = X.shape
    if p == 0:
        return X, np.zeros((0, 0)), np.zeros(0), y.copy()
    Q, R_inverse = orthonormal(X)
    along = Q.T @ y
    residual = y - Q @ along
    correction = Q.T @ residual  # one step of refinement: y may be a million times its residual
    residual -= Q @ correction
    Q *= np.sqrt(n)
    return Q, R_inverse * np.sqrt(n), R_inverse @ (along + correction), residual


def orthonormal(X: FloatArray) -> tuple[FloatArray, FloatArray]:
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


def varying_columns(design: Design) -> tuple[FloatArray, list[FloatArray]]:
    """T_Z (q, q) and the working columns (n,) of all random terms, one a varying coefficient.

    Raises
    ------
    Refusal
        If a column is zero or a linear combination of the others in its term.
    """
    T_Z = np.zeros((len(design.varying),) * 2)
    columns: list[FloatArray] = []
    for term in design.random:
        T, working = _random_columns(term, design.formula)
        at = slice(len(columns), len(columns) + T.shape[0])
        T_Z[at, at] = T
        columns += working
    return T_Z, columns


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
            f"leave {bad[0]} out of the random part, or centre it if it lies far from zero",
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
