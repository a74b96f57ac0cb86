"""The Gaussian likelihood of several grouping factors, nested or crossed, on cross-products.

The same algebra as with one factor (see `gaussian`), with Z'Z sparse and ``M = I + Lambda'Z'Z Lambda``
factored by blocks in the order that `elimination` finds. Columns of Z stand factor by factor, group by group.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from nestwise.arrays import FloatArray, IntArray
from nestwise.design.record import Design, Factor
from nestwise.likelihood.elimination import Elimination, eliminate
from nestwise.likelihood.factorisation import factor, selected_inverse, solve
from nestwise.likelihood.working import Pattern, working_rows


@dataclass(frozen=True)
class Coupling:
    """The blocks of Z'Z that are not zero, each pair of nodes once.

    Attributes
    ----------
    values : ndarray
        All blocks, row-major, one behind the other.
    begin : ndarray (E,)
        Where each begins.
    late, early : ndarray (E,)
        Its row and column: nodes in the order of elimination, `late` not before `early`.
    at : ndarray (E,)
        Where the same block begins in the flat array of the factorisation.
    """

    values: FloatArray
    begin: IntArray
    late: IntArray
    early: IntArray
    at: IntArray


@dataclass(frozen=True)
class CrossedProducts:
    """The data of a Gaussian model with several grouping factors, collapsed (working parametrisation).

    Attributes
    ----------
    factors : tuple of (str, tuple of int, int)
        Name, places among all varying coefficients, and number of groups of each factor.
    A : scipy.sparse.csr_array (Q, Q)
        Z'Z with Q = sum of J_f q_f.
    coupling : Coupling
        The same by blocks.
    elimination : Elimination
        Order and places.
    B : ndarray (Q, p + 1)
        Z'[X, y].
    G, n, pattern, T_X, T_Z, beta_0, scale, log_weights, sigma
        As in `CrossProducts`.
    """

    factors: tuple[tuple[str, tuple[int, ...], int], ...]
    A: Any
    coupling: Coupling
    elimination: Elimination
    B: FloatArray
    G: FloatArray
    n: int
    pattern: Pattern
    T_X: FloatArray
    T_Z: FloatArray
    beta_0: FloatArray
    scale: float
    log_weights: float = 0.0
    sigma: float | None = None

    @property
    def q(self) -> int:
        """Varying coefficients over all factors."""
        return self.pattern.q

    @property
    def p(self) -> int:
        """Fixed effects."""
        return int(self.G.shape[0]) - 1

    @cached_property
    def spans(self) -> tuple[slice, ...]:
        """Columns of Z that belong to each factor."""
        ends = np.cumsum([0] + [len(columns) * J for _, columns, J in self.factors])
        return tuple(slice(int(a), int(b)) for a, b in pairwise(ends))

    def by_group(self, stack: FloatArray, f: int) -> FloatArray:
        """Rows (Q, s) of factor f as (J_f, q_f, s)."""
        _, columns, J = self.factors[f]
        return stack[self.spans[f]].reshape(J, len(columns), -1)

    def blocks(self, Lambda: FloatArray) -> list[FloatArray]:
        """Lambda (q, q) cut into one square (q_f, q_f) a factor."""
        return [Lambda[np.ix_(columns, columns)] for _, columns, _ in self.factors]

    def apply(self, roots: list[FloatArray], stack: FloatArray) -> FloatArray:
        """``Lambda stack`` (Q, s) with one root (q_f, q_f) a factor."""
        out = np.empty_like(stack)
        for f, root in enumerate(roots):
            out[self.spans[f]] = (root @ self.by_group(stack, f)).reshape(-1, stack.shape[1])
        return out


@dataclass(frozen=True)
class CrossedReduced:
    """The mixed-model equations of several factors solved at one Lambda; see `grouped.Reduced`.

    Attributes
    ----------
    Lambda : ndarray (q, q)
    root : ndarray
        Flat array of the factorisation.
    log_det_m, beta, XX_inverse, log_det_xx, r2
        As with one factor.
    K : ndarray (Q, p + 1)
        M^-1 Lambda'B.
    products : CrossedProducts
        What was solved.
    """

    Lambda: FloatArray
    root: FloatArray
    log_det_m: float
    K: FloatArray
    beta: FloatArray
    XX_inverse: FloatArray
    log_det_xx: float
    r2: float
    products: CrossedProducts

    @cached_property
    def inverse(self) -> FloatArray:
        """Selected inverse of M, flat, in the places of the factorisation."""
        return selected_inverse(self.products.elimination, self.root)

    def group_inverses(self, f: int) -> FloatArray:
        """Diagonal blocks of M^-1 of factor f (J_f, q_f, q_f)."""
        from nestwise.likelihood import cholesky  # compiled code: half a second to import

        e = self.products.elimination
        mine = np.flatnonzero(e.factor == f)
        mine = mine[np.argsort(e.column[mine], kind="stable")]
        q = len(self.products.factors[f][1])
        out = np.empty((mine.size, q, q))
        cholesky.blocks(self.inverse, mine, e.size, e.start, e.width, e.shift, out)
        return out


def collapse_crossed(design: Design) -> CrossedProducts:
    """Collapse a design with any number of grouping factors to its cross-products.

    Raises
    ------
    Refusal
        As `working_rows`.
    """
    from scipy import sparse

    rows = working_rows(design)
    parts = [_columns(each, rows.Z, design.n) for each in design.factors]
    Z: Any = sparse.hstack(parts, format="csc")
    A: Any = sparse.csr_array(Z.T @ Z)
    A.sort_indices()
    counts = [each.n_groups for each in design.factors]
    widths = np.array([len(each.columns) for each in design.factors], dtype=np.int64)
    factor_of = np.repeat(np.arange(len(counts)), counts)
    elimination, coupling = _couple(A, factor_of, widths)
    return CrossedProducts(
        factors=tuple((each.group, each.columns, each.n_groups) for each in design.factors),
        A=A,
        coupling=coupling,
        elimination=elimination,
        B=np.asarray(Z.T @ rows.W),
        G=rows.W.T @ rows.W,
        n=design.n,
        pattern=rows.pattern,
        T_X=rows.T_X,
        T_Z=rows.T_Z,
        beta_0=rows.beta_0,
        scale=rows.scale,
        log_weights=rows.log_weights,
        sigma=rows.sigma,
    )


def with_outcomes(products: CrossedProducts, B_y: FloatArray, G_y: FloatArray) -> CrossedProducts:
    """The same design with other outcomes: last columns of B (Q,) and G (p + 1,), working parametrisation."""
    B, G = products.B.copy(), products.G.copy()
    B[:, -1] = B_y
    G[-1], G[:, -1] = G_y, G_y
    return replace(products, B=B, G=G)


def _columns(grouping: Factor, working: tuple[FloatArray, ...], n: int) -> Any:
    """Z of one factor (n, J q), group by group."""
    from scipy import sparse

    q = len(grouping.columns)
    membership = grouping.terms[0].membership
    codes = grouping.codes[:, None] if membership is None else membership.codes
    share = np.ones(codes.shape) if membership is None else membership.weights
    M = codes.shape[1]
    rows = np.repeat(np.arange(n), M)
    parts = []
    for a, column in enumerate(grouping.columns):
        values = (working[column][:, None] * share).ravel()
        parts.append((rows, (codes * q + a).ravel(), values))
    ends = tuple(np.concatenate([part[i] for part in parts]) for i in (0, 1))
    data = np.concatenate([part[2] for part in parts])
    return sparse.coo_array((data, ends), shape=(n, grouping.n_groups * q)).tocsc()


def _couple(A: Any, factor_of: IntArray, widths: IntArray) -> tuple[Elimination, Coupling]:
    """Order of elimination of Z'Z, and its blocks."""
    size = widths[factor_of]
    first_column = np.cumsum(size) - size
    node_of = np.repeat(np.arange(size.size), size)
    listed = A.tocoo()
    row, col, N = node_of[listed.row], node_of[listed.col], size.size
    keys = np.unique(np.minimum(row, col) * N + np.maximum(row, col))
    low, high = np.divmod(keys, N)
    apart = low != high
    e = eliminate(low[apart], high[apart], factor_of.astype(np.int64), size.astype(np.int64))
    place = np.empty(N, dtype=np.int64)
    place[e.order] = np.arange(N)
    early, late = np.minimum(place[low], place[high]), np.maximum(place[low], place[high])
    areas = e.size[late] * e.size[early]
    begin = np.cumsum(areas) - areas
    # every stored element falls into the block of its nodes; those above the diagonal blocks are left out
    element = np.searchsorted(keys, np.minimum(row, col) * N + np.maximum(row, col))
    lower = place[row] >= place[col]
    inside_row = listed.row - first_column[row]
    inside_col = listed.col - first_column[col]
    values = np.zeros(int(areas.sum()))
    spot = begin[element] + inside_row * size[col] + inside_col
    values[spot[lower]] = listed.data[lower]
    at = np.array(_places(e, early, late), dtype=np.int64)
    return e, Coupling(values, begin.astype(np.int64), late, early, at)


def _places(e: Elimination, early: IntArray, late: IntArray) -> IntArray:
    """Where the blocks (late, early) begin in the flat array."""
    in_core = early >= e.single
    at = e.start[early] + np.where(in_core, e.shift[late] * e.width[early] + e.shift[early], 0)
    coupled = ~in_core & (early != late)
    N = e.size.size
    known = np.repeat(np.arange(e.single), np.diff(e.first)) * N + e.coupled
    found = np.searchsorted(known, early[coupled] * N + late[coupled])
    at[coupled] += e.row[found] * e.width[early[coupled]]
    return at


def reduce_crossed(products: CrossedProducts, Lambda: FloatArray) -> CrossedReduced:
    """Solve the mixed-model equations of several factors at Lambda (q, q).

    Raises
    ------
    numpy.linalg.LinAlgError
        If a block is not positive definite in rounding.
    """
    e, p = products.elimination, products.p
    roots = products.blocks(Lambda)
    root, log_det = factor(e, products.coupling, _padded(roots))
    K = solve(e, root, products.apply([each.T for each in roots], products.B))
    S = products.G - products.B.T @ products.apply(roots, K)
    S = (S + S.T) / 2
    half = np.linalg.cholesky(S[:p, :p])
    half_inverse = np.linalg.inv(half)
    along = half_inverse @ S[:p, p]
    return CrossedReduced(
        Lambda=Lambda,
        root=root,
        log_det_m=log_det,
        K=K,
        beta=half_inverse.T @ along,
        XX_inverse=half_inverse.T @ half_inverse,
        log_det_xx=2 * float(np.log(np.diag(half)).sum()),
        r2=float(S[p, p] - along @ along),
        products=products,
    )


def crossed_slope(reduced: CrossedReduced, F: FloatArray) -> FloatArray:
    """Half the derivative of the criterion by Lambda (q, q): sum of A Lambda M^-1 - E F K' by groups."""
    from nestwise.likelihood import cholesky  # compiled code: half a second to import

    products = reduced.products
    e, c = products.elimination, products.coupling
    roots = products.blocks(reduced.Lambda)
    padded = _padded(roots)
    first = np.zeros_like(padded)
    cholesky.slope(
        reduced.inverse, c.values, c.begin, c.late, c.early, c.at, padded, e.size, e.factor, e.width, first
    )
    E = residual_products(reduced) @ F
    out = np.zeros((products.q, products.q))
    for f, (_, columns, _) in enumerate(products.factors):
        second = np.einsum(
            "jas,jbs->ab", products.by_group(E, f), products.by_group(reduced.K, f), optimize=True
        )
        out[np.ix_(columns, columns)] = first[f, : len(columns), : len(columns)] - second
    return out


def residual_products(reduced: CrossedReduced) -> FloatArray:
    """``E = B - A Lambda K`` (Q, p + 1): what Z says of the residuals of X and y."""
    products = reduced.products
    E: FloatArray = products.B - products.A @ products.apply(products.blocks(reduced.Lambda), reduced.K)
    return E


def _padded(roots: list[FloatArray]) -> FloatArray:
    widest = max(root.shape[0] for root in roots)
    padded = np.zeros((len(roots), widest, widest))
    for f, root in enumerate(roots):
        padded[f, : root.shape[0], : root.shape[0]] = root
    return padded
