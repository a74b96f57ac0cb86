"""The Gaussian likelihood of several grouping factors, nested or crossed, on cross-products.

The same algebra as with one factor (see `gaussian`), with Z'Z sparse and ``M = I + Lambda'Z'Z Lambda``
factored by blocks in the order that `elimination` finds. Columns of Z stand factor by factor, group by group.

Groups that are related, with a known correlation ``K = C C'``, have effects ``b = (C x Lambda) u`` of
independent u: `relation` puts ``Z (C x I)`` in the place of Z, and everything else stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from nestwise.arrays import FloatArray, IntArray
from nestwise.design.record import Design, Factor
from nestwise.errors import Problem, Refusal
from nestwise.likelihood.elimination import Elimination, distinct, eliminate
from nestwise.likelihood.relation import related_products, relation_root, uncoupled
from nestwise.likelihood.working import Pattern, working_rows

DROWNED = 1e-3
"""Share of the outcome's variance inside groups, below which it is summed over rows."""
STEPS = 100
"""Steps of conjugate gradients that find out, at most."""
MOST_DENSE = 10_000
"""Effects that hang together: dense matrices of that size take 0.8 GB each, their factorisation a minute."""
MOST_NUMBERS = 200_000_000
"""Numbers of the factorisation, 1.6 GB; the inverse and its making take as much again."""


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
    relations : tuple of (ndarray (J_f, J_f) or None)
        Root C of the known correlation of each factor's groups; A and B belong to ``Z (C x I)``.
    left : float
        What fixed effects and free effects of all groups leave of y'y, or a little more; working scale.
    rows : tuple of (scipy.sparse.csr_array (n, Q), ndarray (n, p + 1)) or None
        Z and [X, y] themselves, where their products do not tell what is left.
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
    relations: tuple[FloatArray | None, ...] = ()
    left: float = np.inf
    rows: tuple[Any, FloatArray] | None = None

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

    def relation(self, f: int) -> FloatArray | None:
        """Root (J_f, J_f) of the known correlation of factor f's groups, if they have one."""
        return self.relations[f] if self.relations else None

    def blocks(self, Lambda: FloatArray) -> list[FloatArray]:
        """Lambda (q, q) cut into one square (q_f, q_f) a factor."""
        return [Lambda[np.ix_(columns, columns)] for _, columns, _ in self.factors]

    def apply(self, roots: list[FloatArray], stack: FloatArray) -> FloatArray:
        """``Lambda stack`` (Q, s) with one root (q_f, q_f) a factor."""
        out = np.empty_like(stack)
        for f, root in enumerate(roots):
            out[self.spans[f]] = (root @ self.by_group(stack, f)).reshape(-1, stack.shape[1])
        return out


def collapse_crossed(design: Design) -> CrossedProducts:
    """Collapse a design with any number of grouping factors to its cross-products.

    Raises
    ------
    Refusal
        As `working_rows`; if so many effects hang together that their equations do not fit into memory.
    """
    from scipy import sparse

    rows = working_rows(design)
    parts = [indicator_columns(each, rows.Z, design.n) for each in design.factors]
    Z: Any = sparse.hstack(parts, format="csc")
    A: Any = sparse.csr_array(Z.T @ Z)
    B = np.asarray(Z.T @ rows.W)
    relations = tuple(
        None if each.terms[0].relation is None else relation_root(each.terms[0].relation)
        for each in design.factors
    )
    if any(root is not None for root in relations):
        sizes = ((each.n_groups, len(each.columns)) for each in design.factors)
        A, B = related_products(A, B, [(root, *size) for root, size in zip(relations, sizes, strict=True)])
        if len(design.varying) == 1 and relations[0] is not None:
            A, B, turned = uncoupled(A, B, relations[0])
            relations = (turned,)
    A.sort_indices()
    counts = [each.n_groups for each in design.factors]
    widths = np.array([len(each.columns) for each in design.factors], dtype=np.int64)
    factor_of = np.repeat(np.arange(len(counts)), counts)
    elimination, coupling = couple(A, factor_of, widths)
    refuse_large(design, elimination)
    products = CrossedProducts(
        factors=tuple((each.group, each.columns, each.n_groups) for each in design.factors),
        A=A,
        coupling=coupling,
        elimination=elimination,
        B=B,
        G=rows.W.T @ rows.W,
        n=design.n,
        pattern=rows.pattern,
        T_X=rows.T_X,
        T_Z=rows.T_Z,
        beta_0=rows.beta_0,
        scale=rows.scale,
        log_weights=rows.log_weights,
        sigma=rows.sigma,
        relations=relations,
    )
    left = _left_by_free_effects(products)
    drowned = left < DROWNED * design.n and all(root is None for root in relations)
    return replace(products, left=left, rows=(Z.tocsr(), rows.W) if drowned else None)


def _left_by_free_effects(products: CrossedProducts) -> float:
    """See `CrossedProducts.left`: conjugate gradients on the normal equations bound it from above."""
    from scipy.sparse.linalg import LinearOperator, cg

    A, Q, p = products.A, products.B.shape[0], products.p
    B, XX = products.B[:, :p], products.G[:p, :p]
    diagonal = np.append(A.diagonal(), np.diag(XX))
    size = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))

    def times(v: FloatArray) -> FloatArray:
        b, beta = size[:Q] * v[:Q], size[Q:] * v[Q:]
        product: FloatArray = size * np.append(A @ b + B @ beta, B.T @ b + XX @ beta)
        return product

    y = size * np.append(products.B[:, p], products.G[:p, p])
    normal: Any = LinearOperator((Q + p, Q + p), matvec=times, dtype=np.float64)
    v = cg(normal, y, rtol=1e-8, maxiter=STEPS)[0]
    return float(products.G[p, p] - 2 * v @ y + v @ times(v))


def refuse_large(design: Design, elimination: Elimination) -> None:
    """Raise where the equations of crossed groups are too many numbers for one machine.

    Raises
    ------
    Refusal
    """
    largest = max((dimension for _, dimension in elimination.cores), default=0)
    if largest <= MOST_DENSE and elimination.length <= MOST_NUMBERS:
        return
    names = " x ".join(f"{each.n_groups:,} {each.group}" for each in design.factors)
    what = (
        f"the groups ({names}) are crossed so thoroughly that {largest:,} of their effects cannot be taken "
        f"apart: the equations hold {elimination.length * 8e-9:,.1f} GB of numbers, several times over, and "
        "each evaluation takes minutes"
    )
    way_out = "leave out the random effects of one factor, or fit parts of the rows that share fewer groups"
    raise Refusal(Problem(what, design.formula, way_out))


def with_outcomes(products: CrossedProducts, B_y: FloatArray, G_y: FloatArray) -> CrossedProducts:
    """The same design with other outcomes: last columns of B (Q,) and G (p + 1,), working parametrisation."""
    B, G = products.B.copy(), products.G.copy()
    B[:, -1] = B_y
    G[-1], G[:, -1] = G_y, G_y
    return replace(products, B=B, G=G, left=np.inf, rows=None)


def indicator_columns(grouping: Factor, working: tuple[FloatArray, ...], n: int) -> Any:
    """Z of one factor (n, J q), sparse, group by group; memberships are weighted, relations left out.

    Parameters
    ----------
    grouping : Factor
        The factor.
    working : tuple of ndarray (n,)
        Columns of all varying coefficients.
    n : int
        Rows.
    """
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


def couple(A: Any, factor_of: IntArray, widths: IntArray) -> tuple[Elimination, Coupling]:
    """Order of elimination of Z'Z, and its blocks."""
    size = widths[factor_of]
    first_column = np.cumsum(size) - size
    node_of = np.repeat(np.arange(size.size), size)
    listed = A.tocoo()
    row, col, N = node_of[listed.row], node_of[listed.col], size.size
    keys = distinct(np.minimum(row, col) * N + np.maximum(row, col))
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
