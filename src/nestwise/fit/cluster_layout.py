"""The rows of a marginal model in order: cluster after cluster, inner group after inner group, by time.

Sums over clusters are then sums over consecutive rows, whatever the order of the file was. Arrays of columns
stand with the rows last, (k, n), so that each sum runs over neighbours in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from nestwise.arrays import FloatArray, IntArray
from nestwise.design.occasions import Occasions
from nestwise.design.record import Design, Factor
from nestwise.errors import Problem
from nestwise.names import several

STACK_ELEMENTS = 4_000_000
"""Elements of the matrices of equally large clusters that are handled at once."""


@dataclass(frozen=True)
class Blocks:
    """Consecutive rows that belong together.

    Attributes
    ----------
    codes : ndarray (n,)
        Block of each row, increasing.
    starts, sizes : ndarray (B,)
        First row and number of rows of each.
    """

    codes: IntArray
    starts: IntArray
    sizes: IntArray

    def sums(self, columns: FloatArray) -> FloatArray:
        """Sums over blocks, (..., B), of columns (..., n)."""
        found: FloatArray = np.add.reduceat(columns, self.starts, axis=-1)
        return found

    def pairs(self, weights: FloatArray | None = None) -> Any:
        """Number of pairs of rows inside blocks (1,), each block counted by its weight (B,)."""
        inside = self.sizes * (self.sizes - 1) // 2
        return np.array([int(inside.sum()) if weights is None else float(inside @ weights)])

    def pair_sums(self, r: FloatArray) -> float:
        """Sum over pairs of rows inside blocks of the products of their values r (n,)."""
        return float((self.sums(r) ** 2).sum() - (r**2).sum()) / 2

    def less_means(self, columns: FloatArray, share: FloatArray) -> FloatArray:
        """Each column (..., n) less a share (B,) of its means over blocks."""
        taken = self.sums(columns) * (share / self.sizes)
        found: FloatArray = columns - np.repeat(taken, self.sizes, axis=-1)
        return found

    def stacks(self) -> Iterator[tuple[IntArray, IntArray]]:
        """Blocks of equal size: their places (c,) and their rows (c, m), some at a time."""
        for size in np.unique(self.sizes).tolist():
            which = np.flatnonzero(self.sizes == size)
            step = max(1, STACK_ELEMENTS // size**2)
            for begin in range(0, which.size, step):
                some = which[begin : begin + step]
                yield some, self.starts[some, None] + np.arange(size)


@dataclass(frozen=True)
class ClusterLayout:
    """Rows of a design in the order of its clusters.

    Attributes
    ----------
    factor : Factor
        The clusters, which are taken for independent.
    order : ndarray (n,)
        Place in the design of each row.
    clusters : Blocks
        J of them, in the order of `labels`.
    labels : tuple of str, length J
        Names of the clusters that have rows.
    inner : Blocks or None
        Groups of the factor inside the clusters, for the nested correlation.
    inner_name : str
        Its name.
    visits : ndarray (n,)
        Visit of each row in this order; empty without times.
    occasions : Occasions or None
        What the visits are.
    selection : ndarray (n,)
        Weights of rows that repair a selection, in this order; ones without.
    """

    factor: Factor
    order: IntArray
    clusters: Blocks
    labels: tuple[str, ...]
    inner: Blocks | None
    inner_name: str
    visits: IntArray
    occasions: Occasions | None
    selection: FloatArray

    @property
    def cluster_weights(self) -> FloatArray:
        """Weight of selection of each cluster (J,): that of its first row."""
        return self.selection[self.clusters.starts]

    @property
    def J(self) -> int:  # noqa: N802
        """Number of clusters."""
        return int(self.clusters.sizes.size)


def blocks(codes: IntArray) -> Blocks:
    """Blocks of codes (n,) that are in order."""
    starts = np.concatenate([[0], np.flatnonzero(np.diff(codes)) + 1]).astype(np.int64)
    sizes = np.diff(np.append(starts, codes.size))
    return Blocks(np.repeat(np.arange(starts.size), sizes), starts, sizes)


def cluster_layout(design: Design, correlation: str, selection: FloatArray | None = None) -> ClusterLayout:
    """Bring the rows of a design into the order of its clusters.

    Parameters
    ----------
    design : Design
        Without the problems of `cluster_problems`.
    correlation : str
        Working correlation.
    selection : ndarray (n,), optional
        Weights that repair a selection, in the design's order.
    """
    outer = cluster_factor(design)
    assert outer is not None
    nested = correlation == "nested"
    inner = max(design.factors, key=lambda factor: factor.n_groups)
    visits = np.zeros(design.n, dtype=np.int64) if design.occasions is None else design.occasions.visits
    inside = inner.codes if nested else np.zeros(design.n, dtype=np.int64)
    order = np.argsort(outer.codes, kind="stable")
    if nested or design.occasions is not None:
        order = np.lexsort((visits, inside, outer.codes))
    codes = outer.codes[order]
    made = blocks(codes)
    present = codes[made.starts]
    return ClusterLayout(
        factor=outer,
        order=order,
        clusters=made,
        labels=outer.labels if present.size == outer.n_groups else tuple(outer.labels[j] for j in present),
        inner=blocks(codes * inner.n_groups + inside[order]) if nested else None,
        inner_name=inner.group if nested else "",
        visits=visits[order] if design.occasions is not None else np.empty(0, dtype=np.int64),
        occasions=design.occasions,
        selection=np.ones(design.n) if selection is None else selection[order],
    )


def cluster_factor(design: Design) -> Factor | None:
    """The grouping factor whose groups hold those of all others; `None` if there is none."""
    if not design.factors:
        return None
    outer = min(design.factors, key=lambda factor: factor.n_groups)
    return outer if all(_inside(factor, outer) for factor in design.factors) else None


def n_clusters(factor: Factor) -> int:
    """Groups of a factor that have rows."""
    return int(np.count_nonzero(np.bincount(factor.codes, minlength=factor.n_groups)))


def _inside(inner: Factor, outer: Factor) -> bool:
    """Whether each group of one factor lies in one group of the other."""
    if inner is outer:
        return True
    home = np.full(inner.n_groups, -1, dtype=np.int64)
    home[inner.codes] = outer.codes
    return bool((home[inner.codes] == outer.codes).all())


def cluster_problems(design: Design, correlation: str) -> list[Problem]:
    """Reasons why the design has no independent clusters of the kind a working correlation asks for."""
    where, names = design.formula, [factor.group for factor in design.factors]
    if not names:
        return [Problem("no term names the clusters", where, "add (1 | cluster) to the formula")]
    if any(term.membership is not None or term.relation is not None for term in design.random):
        what = "rows of several groups, and groups related to one another, are not independent clusters"
        return [Problem(what, where, "use the engine `lmm`, or cluster by larger groups")]
    outer = cluster_factor(design)
    if outer is None:
        what = f"{several(names)} are crossed, so neither makes independent clusters"
        way_out = "keep the term of one factor, and enter the others as fixed effects"
        return [Problem(what, where, way_out)]
    if n_clusters(outer) < 2:
        what = f"all rows belong to one {outer.group}, and the errors are judged by differences of clusters"
        return [Problem(what, where, "name a factor with more groups, or use the engine `pooled`")]
    if correlation == "nested" and len(names) != 2:
        what = f"the nested correlation takes two factors, one inside the other, not {several(names)}"
        return [Problem(what, "the key correlation", "write (1 | outer/inner), or choose exchangeable")]
    return _repeated(outer, design.occasions)


def _repeated(outer: Factor, occasions: Occasions | None) -> list[Problem]:
    """Two rows of a cluster at one visit."""
    if occasions is None:
        return []
    T = len(occasions.labels)
    cells, counts = np.unique(outer.codes * T + occasions.visits, return_counts=True)
    if counts.max(initial=1) < 2:
        return []
    first = int(cells[counts > 1][0])
    who, when = outer.labels[first // T], occasions.labels[first % T]
    what = f"{outer.group} {who} has several rows at {occasions.time} {when}"
    way_out = "keep one row a cluster and time, or choose exchangeable"
    return [Problem(what, "the key correlation", way_out)]
