"""In which order to eliminate groups that are coupled to one another, so that few new couplings arise.

Minimum degree on the quotient graph, with approximate degrees (Amestoy, Davis & Duff 1996, SIAM Journal on
Matrix Analysis and Applications 17): an eliminated node becomes an *element*, a set of nodes that are all
coupled through it, and elements that lie in a newer one are forgotten. The search stops where half of what is
left would be coupled: the rest is factored densely.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from nestwise.arrays import IntArray
from nestwise.likelihood.elimination import distinct

_compiled: Any = njit(cache=True)

SMALL = 400
"""Coefficients of the core that are factored densely without a search for an order."""
MOST = 40_000_000
"""Couplings that are held at most."""
SLOW = 60.0
"""Time of a multiplication of the sparse kernels, in those of LAPACK."""


@dataclass(frozen=True)
class SparseOrder:
    """Nodes to take out singly, and those left to dense algebra.

    Attributes
    ----------
    order : ndarray (K,)
        Nodes in order of elimination.
    here, there : ndarray
        Each node of `order` with every node it is coupled to once those before it are gone.
    rest : ndarray
        The others.
    """

    order: IntArray
    here: IntArray
    there: IntArray
    rest: IntArray


def sparse_core(
    core: IntArray,
    component: IntArray,
    left: IntArray,
    right: IntArray,
    couplings: tuple[IntArray, IntArray],
    size: IntArray,
) -> SparseOrder | None:
    """An order for the nodes of a core, if it promises to be quicker than dense factorisation.

    Parameters
    ----------
    core : ndarray (C,)
        Its nodes, in increasing order.
    component : ndarray (C,)
        Component of each.
    left, right : ndarray (E,)
        Pairs of its nodes that the data couple.
    couplings : tuple of ndarray (M,)
        Nodes that were taken out, and nodes of the core they were coupled to.
    size : ndarray (N,)
        Coefficients of every node.
    """
    dimensions = np.bincount(component, weights=size[core])
    if dimensions.size == 0 or dimensions.max() <= SMALL or left.size > core.size**2 / 4:
        return None
    place = np.full(size.size, -1, dtype=np.int64)
    place[core] = np.arange(core.size)
    one, other, element, member = _sets(couplings[0], place[couplings[1]])
    one, other = np.append(one, place[left]), np.append(other, place[right])
    pairs = distinct(np.minimum(one, other) * core.size + np.maximum(one, other))
    found = minimum_degree(core.size, *np.divmod(pairs, core.size), element, member, MOST)
    if found is None or not found.order.size:
        return None
    heights = np.bincount(found.here, weights=size[core[found.there]], minlength=core.size)
    own = size[core].astype(float)
    loose = SLOW * float((heights[found.order] ** 2 * own[found.order]).sum())
    rest = np.bincount(component[found.rest], weights=own[found.rest], minlength=dimensions.size)
    if loose + float((rest**3).sum()) >= float((dimensions**3).sum()):
        return None
    return SparseOrder(core[found.order], core[found.here], core[found.there], core[found.rest])


def _sets(here: IntArray, there: IntArray) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Pairs that some node was coupled to, each once, and larger sets: left, right, set and member."""
    order = np.lexsort((there, here))
    here, there = here[order], there[order]
    start = np.flatnonzero(np.append(True, np.diff(here) != 0)[: here.size])
    count = np.diff(np.append(start, here.size))
    n = int(there.max(initial=0)) + 1
    pair = start[count == 2]
    left, right = np.divmod(distinct(there[pair] * n + there[pair + 1]), n)
    large = np.repeat(count > 2, count)
    length = count[count > 2]
    return left, right, np.repeat(np.arange(length.size), length), there[large]


def minimum_degree(
    n: int, left: IntArray, right: IntArray, element: IntArray, member: IntArray, most: int
) -> SparseOrder | None:
    """Order nodes 0 .. n-1 of a graph.

    Parameters
    ----------
    n : int
        Nodes.
    left, right : ndarray (E,)
        Coupled pairs, each once.
    element, member : ndarray (M,)
        Sets of nodes that are all coupled to one another: set 0 .. m-1, in increasing order, and one of its
        nodes.
    most : int
        Couplings to hold at most.

    Returns
    -------
    SparseOrder or None
        None if there would be more couplings than `most`.
    """
    m = int(element[-1]) + 1 if element.size else 0
    sizes = np.bincount(element, minlength=m)
    first = np.cumsum(sizes) - sizes
    # each node's list: its elements, then its neighbours
    owner = np.concatenate([member, left, right])
    entry = np.concatenate([element, right, left])
    kind = np.concatenate([np.zeros(member.size, np.int64), np.ones(2 * left.size, np.int64)])
    sorting = np.lexsort((kind, owner))
    degree = np.bincount(owner, minlength=n)
    begin = np.cumsum(degree) - degree
    n_elements = np.bincount(member, minlength=n)
    members = np.empty(most + member.size, dtype=np.int64)
    members[: member.size] = member
    found = _eliminate(
        begin.astype(np.int64),
        n_elements.astype(np.int64),
        (degree - n_elements).astype(np.int64),
        entry[sorting].astype(np.int64),
        np.append(first, np.zeros(n)).astype(np.int64),
        np.append(sizes, np.zeros(n)).astype(np.int64),
        members,
        member.size,
    )
    order, starts, lengths, ok = found
    if not ok:
        return None
    total = int(lengths.sum())
    within = np.arange(total) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    there = members[np.repeat(starts, lengths) + within]
    rest = np.setdiff1d(np.arange(n), order)
    return SparseOrder(order, np.repeat(order, lengths), there, rest)


@_compiled
def _link(i, d, head, behind, before):  # type: ignore[no-untyped-def]
    """Put node i first among those of degree d."""
    behind[i], before[i] = head[d], -1
    if head[d] >= 0:
        before[head[d]] = i
    head[d] = i


@_compiled
def _unlink(i, d, head, behind, before):  # type: ignore[no-untyped-def]
    if before[i] >= 0:
        behind[before[i]] = behind[i]
    else:
        head[d] = behind[i]
    if behind[i] >= 0:
        before[behind[i]] = before[i]


@_compiled
def _gather(p, begin, n_elements, n_nodes, lists, start, length, members, end, mark, gone, dead):  # type: ignore[no-untyped-def]
    """Write the nodes coupled to p at the end of `members`; its elements die. Returns how many."""
    count = 0
    for x in range(begin[p], begin[p] + n_elements[p]):
        e = lists[x]
        if dead[e]:
            continue
        for y in range(start[e], start[e] + length[e]):
            i = members[y]
            if i != p and not gone[i] and mark[i] != p:
                mark[i] = p
                if end + count < members.shape[0]:
                    members[end + count] = i
                count += 1
        dead[e] = True
    low = begin[p] + n_elements[p]
    for x in range(low, low + n_nodes[p]):
        i = lists[x]
        if not gone[i] and mark[i] != p:
            mark[i] = p
            if end + count < members.shape[0]:
                members[end + count] = i
            count += 1
    return count


@_compiled
def _outside(p, nodes, begin, n_elements, lists, length, dead, stamp, left):  # type: ignore[no-untyped-def]
    """For each element beside p's: how many of its nodes p is not coupled to, into `left`."""
    for i in nodes:
        for x in range(begin[i], begin[i] + n_elements[i]):
            e = lists[x]
            if dead[e]:
                continue
            if stamp[e] != p:
                stamp[e] = p
                left[e] = length[e]
            left[e] -= 1


@_compiled
def _shorten(i, p, own, begin, n_elements, n_nodes, lists, mark, gone, dead, left):  # type: ignore[no-untyped-def]
    """Write node i's list anew, element `own` of p in place of all that it covers; its degree less p's."""
    write = begin[i]
    degree = 0
    low = begin[i] + n_elements[i]
    high = low + n_nodes[i]
    for x in range(begin[i], low):
        e = lists[x]
        if dead[e]:
            continue
        if left[e] == 0:  # it lies in the new one
            dead[e] = True
            continue
        lists[write] = e
        write += 1
        degree += left[e]
    elements = write - begin[i]
    moved = 0
    for x in range(low, high):
        k = lists[x]
        if not gone[k] and k != p and mark[k] != p:
            lists[low + moved] = k
            moved += 1
    if write == low:  # no element went, so a neighbour did: its place is free
        lists[low + moved] = lists[low]
    else:
        for x in range(moved):
            lists[write + 1 + x] = lists[low + x]
    lists[write] = own
    n_elements[i] = elements + 1
    n_nodes[i] = moved
    return degree + moved


@_compiled
def _eliminate(begin, n_elements, n_nodes, lists, start, length, members, end):  # type: ignore[no-untyped-def]
    """Order, and where in `members` each node's couplings stand; False if they do not fit."""
    n = begin.shape[0]
    base = start.shape[0] - n
    head = np.full(n + 1, -1, dtype=np.int64)
    behind, before = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
    mark, degree = np.full(n, -1, dtype=np.int64), np.zeros(n, dtype=np.int64)
    gone, dead = np.zeros(n, dtype=np.bool_), np.zeros(base + n, dtype=np.bool_)
    stamp, left = np.full(base + n, -1, dtype=np.int64), np.zeros(base + n, dtype=np.int64)
    order = np.empty(n, dtype=np.int64)
    for i in range(n):
        d = n_nodes[i]
        for x in range(begin[i], begin[i] + n_elements[i]):
            d += length[lists[x]] - 1
        degree[i] = min(d, n - 1)
        _link(i, degree[i], head, behind, before)
    least, done = 0, 0
    while done < n:
        while head[least] < 0:
            least += 1
        if least > 1 and 2 * least >= n - done - 1:
            break
        p = head[least]
        _unlink(p, least, head, behind, before)
        gone[p] = True
        count = _gather(p, begin, n_elements, n_nodes, lists, start, length, members, end, mark, gone, dead)
        if end + count > members.shape[0]:
            return order[:done], start[:0], length[:0], False
        own = base + p
        start[own], length[own] = end, count
        nodes = members[end : end + count]
        end += count
        order[done] = p
        done += 1
        _outside(p, nodes, begin, n_elements, lists, length, dead, stamp, left)
        for i in nodes:
            _unlink(i, degree[i], head, behind, before)
            d = _shorten(i, p, own, begin, n_elements, n_nodes, lists, mark, gone, dead, left)
            degree[i] = max(min(d + count - 1, degree[i] + count - 1, n - done - 1), 0)
            _link(i, degree[i], head, behind, before)
            least = min(least, degree[i])
    chosen = order[:done]
    return chosen, start[base + chosen], length[base + chosen], True
