"""In which order the groups of several factors are eliminated, and what is left behind.

A factor whose groups are coupled to none of their own kind can be taken out group by group: its part of the
mixed-model equations is block diagonal. Taking it out couples the groups it touches. Nested factors stay
uncoupled to the root of the tree, so all of them go this way, the innermost first. Of crossed factors the
one with the most groups goes; the others become coupled through it and make up the *core*, which falls
into connected components and is dense inside each, unless `ordering` finds that most of its groups can be
taken out one by one as well. This is the blocked Cholesky factorisation of Bates, Alday & Kokandakar (2025,
MixedModels.jl) with the recursion over trees of nested factors and sparse cores added.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nestwise.arrays import IntArray

if TYPE_CHECKING:
    from nestwise.likelihood.ordering import SparseOrder


@dataclass(frozen=True)
class Elimination:
    """The order of elimination and the places of all blocks in one flat array.

    A node is one group of one factor; nodes are numbered in order of elimination. The flat array holds, for
    each node taken out singly, its diagonal block and below it the blocks of the nodes it is coupled to,
    row-major with the node's own width; behind them one full square matrix a component of the core.

    Attributes
    ----------
    order : ndarray (N,)
        Node, in the order of the factors, at each place of the elimination.
    size : ndarray (N,)
        Coefficients of each node.
    factor : ndarray (N,)
        Its factor.
    column : ndarray (N,)
        First column of the node in the order of the factors.
    single : int
        Nodes taken out singly: 0 .. single - 1.
    start : ndarray (N,)
        Where a single node's blocks begin; for a core node, where its component's matrix begins.
    width : ndarray (N,)
        Row length there: the node's size, or the dimension of the component.
    shift : ndarray (N,)
        Row and column of a core node in its component's matrix; 0 for single nodes.
    first : ndarray (single + 1,)
        Where a single node's couplings begin in `coupled`.
    coupled : ndarray
        Later nodes that single nodes are coupled to, in increasing order.
    row : ndarray
        Row of each coupling's block below the beginning of the single node.
    cores : tuple of (int, int)
        Beginning and dimension of each component's matrix.
    length : int
        Of the flat array.
    """

    order: IntArray
    size: IntArray
    factor: IntArray
    column: IntArray
    single: int
    start: IntArray
    width: IntArray
    shift: IntArray
    first: IntArray
    coupled: IntArray
    row: IntArray
    cores: tuple[tuple[int, int], ...]
    length: int

    @property
    def work(self) -> float:
        """Multiplications of one factorisation, roughly."""
        heights = (
            np.add.reduceat(np.append(self.size[self.coupled], 0), self.first[:-1]) if self.single else 0
        )
        heights = np.where(np.diff(self.first) > 0, heights, 0) if self.single else heights
        return float(np.sum(np.square(heights, dtype=float))) + sum(float(d) ** 3 for _, d in self.cores)


def distinct(keys: IntArray) -> IntArray:
    """The different numbers, in increasing order: sorting is ten times as quick as `np.unique`'s tables."""
    ordered = np.sort(keys)
    if ordered.size:
        ordered = ordered[np.append(True, ordered[1:] != ordered[:-1])]
    return ordered


def eliminate(left: IntArray, right: IntArray, factor: IntArray, size: IntArray) -> Elimination:
    """Find the order of elimination.

    Parameters
    ----------
    left, right : ndarray (E,)
        Coupled nodes: pairs of different groups, of the same or of different factors, each once.
    factor : ndarray (N,)
        Factor of each node, 0 .. F-1; the nodes of a factor follow each other.
    size : ndarray (N,)
        Coefficients of each node.
    """
    N = factor.shape[0]
    counts = np.bincount(factor)
    low, high = np.minimum(left, right), np.maximum(left, right)
    keys = distinct(low * N + high)
    held = {f for f in range(counts.size) if _within(keys, factor, N, f)}
    waiting = set(range(counts.size)) - held
    singles: list[IntArray] = []
    couplings: list[tuple[IntArray, IntArray]] = []
    gone: set[int] = set()
    while waiting:
        chosen = max(waiting, key=lambda f: (int(counts[f]), -f))
        waiting.discard(chosen)
        gone.add(chosen)
        low, high = np.divmod(keys, N)
        touches = (factor[low] == chosen) | (factor[high] == chosen)
        here = np.where(factor[low[touches]] == chosen, low[touches], high[touches])
        there = low[touches] + high[touches] - here
        keys = keys[~touches]
        singles.append(np.flatnonzero(factor == chosen))
        couplings.append((here, there))
        coupled_twice = _twice(here, factor[there], counts.size)
        held |= coupled_twice & waiting
        waiting -= held
        keys = _filled(keys, here, there, factor, waiting, N)
    core = np.flatnonzero(np.isin(factor, sorted(held))).astype(np.int64)
    component = _components(keys, couplings, core, N)
    loose = _loosened(keys, couplings, core, component, size)
    if loose is not None:
        singles.append(loose.order)
        couplings.append((loose.here, loose.there))
        core = loose.rest
        component = _components(keys, couplings, core, N)
    return _layout(singles, couplings, core, component, factor, size)


def _loosened(
    keys: IntArray,
    couplings: list[tuple[IntArray, IntArray]],
    core: IntArray,
    component: IntArray,
    size: IntArray,
) -> SparseOrder | None:
    """An order for the groups of the core, where it is sparse enough."""
    if not core.size:
        return None
    from nestwise.likelihood.ordering import sparse_core  # compiled code: half a second to import

    inside = np.zeros(size.size, dtype=bool)
    inside[core] = True
    low, high = np.divmod(keys, size.size)
    both = inside[low] & inside[high]
    here = np.concatenate([a[inside[b]] for a, b in couplings] or [core[:0]])
    there = np.concatenate([b[inside[b]] for _, b in couplings] or [core[:0]])
    return sparse_core(core, component, low[both], high[both], (here, there), size)


def _within(keys: IntArray, factor: IntArray, N: int, f: int) -> bool:
    low, high = np.divmod(keys, N)
    return bool(((factor[low] == f) & (factor[high] == f)).any())


def _twice(here: IntArray, factors: IntArray, F: int) -> set[int]:
    """Factors of which some node is coupled to two groups."""
    pairs, counts = np.unique(here * F + factors, return_counts=True)
    return set(np.unique(pairs[counts > 1] % F).tolist())


def _filled(  # noqa: PLR0917
    keys: IntArray, here: IntArray, there: IntArray, factor: IntArray, waiting: set[int], N: int
) -> IntArray:
    """Couplings after a factor has gone, those inside the core left out: it is dense in any case."""
    found = [keys]
    for f in waiting:
        mine = factor[there] == f
        parent = np.full(N, -1, dtype=np.int64)
        parent[here[mine]] = there[mine]
        known = ~mine & (parent[here] >= 0)
        ends = parent[here[known]], there[known]
        found.append(np.minimum(*ends) * N + np.maximum(*ends))
    return distinct(np.concatenate(found))


def _components(
    keys: IntArray, couplings: list[tuple[IntArray, IntArray]], core: IntArray, N: int
) -> IntArray:
    """Component of each core node (C,)."""
    if not core.size:
        return core
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    inside = np.zeros(N, dtype=bool)
    inside[core] = True
    low, high = np.divmod(keys, N)
    both = inside[low] & inside[high]
    rows, cols = [low[both]], [high[both]]
    for here, there in couplings:  # what one group touches in the core is coupled through it
        touching = inside[there]
        a, b = here[touching], there[touching]
        anchor = np.full(N, -1, dtype=np.int64)
        anchor[a] = b
        rows.append(anchor[a])
        cols.append(b)
    ends = np.concatenate(rows), np.concatenate(cols)
    graph = coo_array((np.ones(ends[0].size, dtype=np.int8), ends), shape=(N, N))
    labels: IntArray = connected_components(graph, directed=False)[1].astype(np.int64)
    return np.unique(labels[core], return_inverse=True)[1].astype(np.int64)


def _layout(  # noqa: PLR0917
    singles: list[IntArray],
    couplings: list[tuple[IntArray, IntArray]],
    core: IntArray,
    component: IntArray,
    factor: IntArray,
    size: IntArray,
) -> Elimination:
    """Places of all blocks in the flat array."""
    N = factor.shape[0]
    core = core[np.argsort(component, kind="stable")]
    component = np.sort(component)
    order = np.concatenate([*singles, core]).astype(np.int64)
    place = np.empty(N, dtype=np.int64)
    place[order] = np.arange(N)
    single = N - core.size
    here = place[np.concatenate([a for a, _ in couplings] or [core[:0]])]
    there = place[np.concatenate([b for _, b in couplings] or [core[:0]])]
    sorting = np.lexsort((there, here))
    here, there = here[sorting], there[sorting]
    first = np.searchsorted(here, np.arange(single + 1)).astype(np.int64)
    sizes = size[order]
    column = (np.cumsum(size) - size)[order]
    tall = sizes[there]
    above = np.cumsum(tall) - tall
    bases = above[np.minimum(first[:-1], max(tall.size - 1, 0))] if tall.size else np.zeros(single, np.int64)
    row = sizes[here] + above - np.repeat(bases, np.diff(first))
    heights = np.bincount(here, weights=tall, minlength=single).astype(np.int64)[:single] + sizes[:single]
    lengths = heights * sizes[:single]
    start = np.zeros(N, dtype=np.int64)
    start[:single] = np.cumsum(lengths) - lengths
    width, shift = sizes.copy(), np.zeros(N, dtype=np.int64)
    length, cores = int(lengths.sum()), []
    for c in range(int(component[-1]) + 1 if core.size else 0):
        nodes = single + np.flatnonzero(component == c)
        dimension = int(sizes[nodes].sum())
        start[nodes], width[nodes] = length, dimension
        shift[nodes] = np.cumsum(sizes[nodes]) - sizes[nodes]
        cores.append((length, dimension))
        length += dimension**2
    return Elimination(
        order=order,
        size=sizes.astype(np.int64),
        factor=factor[order].astype(np.int64),
        column=column.astype(np.int64),
        single=int(single),
        start=start,
        width=width.astype(np.int64),
        shift=shift,
        first=first,
        coupled=there.astype(np.int64),
        row=row.astype(np.int64),
        cores=tuple(cores),
        length=length,
    )
