"""Everything a Gaussian model needs of the data: each group's cross-products, gathered in one pass.

With Z_j (n_j x q) the random-effect columns and W_j = [X_j, y_j] (n_j x (p + 1)) the fixed-effect columns
and the outcome of group j, the likelihood depends on the rows only through
``A_j = Z_j'Z_j``, ``B_j = Z_j'W_j`` and ``G = sum_j W_j'W_j``. These are sums over rows: parts of a file, or
files on several machines, can be collapsed apart and added.

The sums are formed in the working parametrisation of `working`.

Where groups differ a thousand times as much as rows inside them, little of G is left once the groups' own
regressions are taken out, and a difference would lose it: ``G - sum_j B_j'A_j^- B_j`` is then summed over the
rows' residuals, `inside`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from nestwise.arrays import FloatArray, IntArray
from nestwise.design.record import Design
from nestwise.errors import Problem, Refusal
from nestwise.likelihood.working import Pattern, Working, working_rows

DROWNED = 1e-3
"""Share of the outcome's variance inside groups, below which it is summed over rows."""
RANK = 1e-10
"""Eigenvalues of A_j below this share of the largest are zero."""
ROWS_AT_ONCE = 1_000_000
"""Rows whose residuals are held in memory together."""


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
    log_weights, sigma
        As in `Working`.
    inside : ndarray (p + 1, p + 1) or None
        What is left of G with a regression of its own in every group, where G and B do not tell it.
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
    log_weights: float = 0.0
    sigma: float | None = None
    inside: FloatArray | None = None

    @cached_property
    def own(self) -> FloatArray:
        """Each group's own regressions of [X, y] on Z (J, q, p + 1), the shortest where Z_j has lost rank."""
        return own_regressions(self.A, self.B)

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


def collapse(design: Design) -> CrossProducts:
    """Collapse a design with one grouping factor to its cross-products.

    Parameters
    ----------
    design : Design
        At least one random term, all on the same grouping factor.

    Returns
    -------
    CrossProducts
        In the working parametrisation.

    Raises
    ------
    Refusal
        As `working_rows`; if there is more than one grouping factor.
    """
    _one_factor(design)
    rows = working_rows(design)
    codes = design.random[0].codes
    A, B, counts = _sums_by_group(list(rows.Z), list(rows.W.T), codes, design.random[0].n_groups)
    G = rows.W.T @ rows.W
    return CrossProducts(
        group=design.random[0].group,
        A=A,
        B=B,
        G=G,
        n=design.n,
        counts=counts,
        weights=np.ones(A.shape[0]),
        pattern=rows.pattern,
        T_X=rows.T_X,
        T_Z=rows.T_Z,
        beta_0=rows.beta_0,
        scale=rows.scale,
        log_weights=rows.log_weights,
        sigma=rows.sigma,
        inside=_inside(rows, codes, own_regressions(A, B)) if _drowned(A, B, G) else None,
    )


def own_regressions(A: FloatArray, B: FloatArray) -> FloatArray:
    """``A_j^- B_j`` (J, q, s) of A (J, q, q) and B (J, q, s)."""
    q = A.shape[1]
    if q == 1:
        own: FloatArray = B / np.where(A > 0, A, 1.0)
        return own
    if q > 2:
        return _shortest(A, B)
    # LAPACK, called once a group, is ten times slower than this
    a, b, d = A[:, 0, 0, None], A[:, 0, 1, None], A[:, 1, 1, None]
    det = a * d - b**2
    regular = det > RANK * (a + d) ** 2
    det = np.where(regular, det, 1.0)
    own = np.stack([(d * B[:, 0] - b * B[:, 1]) / det, (a * B[:, 1] - b * B[:, 0]) / det], axis=1)
    singular = ~regular[:, 0]
    own[singular] = _shortest(A[singular], B[singular])
    return own


def _shortest(A: FloatArray, B: FloatArray) -> FloatArray:
    """As `own_regressions`, by eigenvalues."""
    values, vectors = np.linalg.eigh(A)
    held = values > RANK * np.maximum(values[:, -1:], np.finfo(float).tiny)
    inverse = np.where(held, 1 / np.where(held, values, 1.0), 0.0)
    shortest: FloatArray = (vectors * inverse[:, None, :]) @ (np.swapaxes(vectors, 1, 2) @ B)
    return shortest


def _drowned(A: FloatArray, B: FloatArray, G: FloatArray) -> bool:
    """Whether the outcome varies so little inside groups that a difference of sums does not tell it."""
    inside = G - np.tensordot(B, own_regressions(A, B), axes=((0, 1), (0, 1)))
    change = np.linalg.lstsq(inside[:-1, :-1], inside[:-1, -1], rcond=RANK)[0]
    return float(inside[-1, -1] - change @ inside[:-1, -1]) < DROWNED * float(G[-1, -1])


def _inside(rows: Working, codes: IntArray, own: FloatArray) -> FloatArray:
    """Cross-products (p + 1, p + 1) of what the groups' own regressions leave of the rows."""
    width = rows.W.shape[1]
    total = np.zeros((width, width))
    for start in range(0, codes.size, ROWS_AT_ONCE):
        at = slice(start, start + ROWS_AT_ONCE)
        left = rows.W[at].copy()
        for a, column in enumerate(rows.Z):
            left -= column[at, None] * own[codes[at], a]
        total += left.T @ left
    return total


def with_original_columns(products: CrossProducts) -> CrossProducts:
    """The same data with the random-effect columns as the formula has them (``T_Z = I``).

    For use where Lambda itself has a meaning, as under a prior on its correlations; X and y stay in the
    working parametrisation. Loses digits if a column lies far from zero compared with its spread.
    """
    back = np.linalg.inv(products.T_Z)
    return replace(products, A=back.T @ products.A @ back, B=back.T @ products.B, T_Z=np.eye(products.q))


def _one_factor(design: Design) -> None:
    factors = [factor.group for factor in design.factors]
    if len(factors) > 1:
        problem = Problem(
            f"this engine takes one grouping factor so far, and the model has {' and '.join(factors)}",
            design.formula,
            "keep the random effects of one of them and enter the other as a fixed effect",
        )
        raise Refusal(problem)


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
