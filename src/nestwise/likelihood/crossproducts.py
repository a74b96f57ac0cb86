"""Everything a Gaussian model needs of the data: each group's cross-products, gathered in one pass.

With Z_j (n_j x q) the random-effect columns and W_j = [X_j, y_j] (n_j x (p + 1)) the fixed-effect columns
and the outcome of group j, the likelihood depends on the rows only through
``A_j = Z_j'Z_j``, ``B_j = Z_j'W_j`` and ``G = sum_j W_j'W_j``. These are sums over rows: parts of a file, or
files on several machines, can be collapsed apart and added.

The sums are formed in the working parametrisation of `working`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from nestwise.arrays import FloatArray, IntArray
from nestwise.design.record import Design
from nestwise.errors import Problem, Refusal
from nestwise.likelihood.working import Pattern, working_rows


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
    return CrossProducts(
        group=design.random[0].group,
        A=A,
        B=B,
        G=rows.W.T @ rows.W,
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
    )


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
