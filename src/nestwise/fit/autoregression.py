"""First-order autoregression on true times: ``rho^|t_j - t_k|`` by least squares over all pairs of rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestwise.arrays import FloatArray, IntArray
from nestwise.fit.cluster_layout import ClusterLayout

GRID = 41
MOST_BINS = 500
"""Distances that the grid tells apart; its root is then found with all of them."""
SAME = 1e-9
"""Distances that differ by less than this share of the unit are one."""
LEAST, FARTHEST = 1e-6, 0.999
"""Correlations at a typical distance that the search looks at."""


@dataclass(frozen=True)
class Distances:
    """Distances in time of all pairs of rows of a cluster.

    Attributes
    ----------
    unit : float
        Distance in time that rho belongs to: the shortest one if all are multiples of it, else 1.
    whole : bool
        Whether all distances are whole numbers of units; only then can rho be negative.
    distinct : ndarray (D,)
        The different distances, in units.
    pairs : ndarray (D,)
        Number of pairs at each, those of a cluster counted by its weight of selection.
    parts : tuple of (rows (c, m), lag (c, m (m - 1) / 2))
        Rows of clusters of one size, and which distance each pair is at.
    gaps : ndarray (n,)
        Distance of each row to the one before in its cluster, in units; infinite for the first.
    """

    unit: float
    whole: bool
    distinct: FloatArray
    pairs: FloatArray
    parts: tuple[tuple[IntArray, IntArray], ...]
    gaps: FloatArray

    def power(self, rho: float, distance: FloatArray) -> FloatArray:
        """``rho^distance``; 0 at an infinite distance."""
        if rho >= 0 or not self.whole:
            return np.asarray(max(rho, 0.0) ** distance)
        rounded = np.round(distance)
        with np.errstate(invalid="ignore"):
            sign = np.where(np.isfinite(rounded) & (rounded % 2 == 1), -1.0, 1.0)
        return np.asarray(sign * (-rho) ** rounded)


def distances(layout: ClusterLayout) -> Distances:
    """Distances in time between the rows of the clusters of a layout with visits."""
    assert layout.occasions is not None
    at = layout.occasions.times[layout.visits]
    gaps = np.diff(at, prepend=0.0)
    gaps[layout.clusters.starts] = np.inf
    inner = gaps[np.isfinite(gaps)]
    unit, whole = _unit(inner)
    stacks = [rows for _, rows in layout.clusters.stacks() if rows.shape[1] > 1]
    apart, weights = [], [np.empty(0)]
    for rows in stacks:
        i, j = np.triu_indices(rows.shape[1], 1)
        apart.append((at[rows[:, j]] - at[rows[:, i]]) / unit)
        weights.append(np.repeat(layout.selection[rows[:, 0]], i.size))
    every = np.concatenate([each.ravel() for each in apart]) if apart else np.empty(0)
    rounded = np.round(every) if whole else every
    distinct, lags = np.unique(rounded, return_inverse=True)
    ends = np.cumsum([0, *(each.size for each in apart)])
    parts = tuple(
        (rows, lags[start : start + each.size].reshape(each.shape))
        for rows, each, start in zip(stacks, apart, ends, strict=False)
    )
    pairs = np.bincount(lags, np.concatenate(weights), minlength=distinct.size)
    return Distances(unit, whole, distinct, pairs, parts, gaps / unit)


def _unit(gaps: FloatArray) -> tuple[float, bool]:
    if not gaps.size:
        return 1.0, True
    shortest = float(gaps.min())
    shares = gaps / shortest
    if float(np.abs(shares - np.round(shares)).max()) < SAME * float(shares.max()):
        return shortest, True
    return 1.0, False


def autoregression(given: Distances, r: FloatArray) -> float:
    """Find rho at the distance of one unit, from standardised residuals (n,).

    Least squares of the products ``r_j r_k`` on ``rho^d``: a grid finds the basin of the lowest sum of
    squares, a root of its derivative the bottom.
    """
    from scipy.optimize import brentq

    sums = np.zeros(given.distinct.size)
    for rows, lag in given.parts:
        i, j = np.triu_indices(rows.shape[1], 1)
        sums += np.bincount(lag.ravel(), (r[rows[:, i]] * r[rows[:, j]]).ravel(), minlength=sums.size)
    means = sums / given.pairs
    # a root of the derivative is found in the correlation at a typical distance: of that at one unit, however
    # short or long a unit is, it may be a very high or low power
    typical = 1.0 if given.whole else float(np.average(given.distinct, weights=given.pairs))
    at = given.distinct / typical

    def slope(c: float) -> float:
        if c == 0:  # a distance of one unit alone has a slope there
            return float(-2 * (given.pairs * means)[at == 1].sum())
        fitted = given.power(c, at)
        return float(2 * (given.pairs * (fitted - means) * at * fitted).sum() / c)

    grid = np.linspace(-FARTHEST if given.whole else LEAST, FARTHEST, GRID)
    squares = _sums_of_squares(given, grid, at, means)
    best = int(np.argmin(squares))
    low, high = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, GRID - 1)])
    found = float(grid[best])
    if slope(low) < 0 < slope(high):
        found = float(brentq(slope, low, high, xtol=1e-14, rtol=1e-13))
    return found if given.whole else float(found ** (1 / typical))


def _sums_of_squares(given: Distances, grid: FloatArray, at: FloatArray, means: FloatArray) -> FloatArray:
    """Of every rho of the grid, to tell basins apart: very many distances are taken together in bins."""
    starts = np.unique(np.linspace(0, at.size, min(at.size, MOST_BINS), endpoint=False).astype(np.int64))
    pairs = np.add.reduceat(given.pairs, starts)
    middle = np.add.reduceat(given.pairs * at, starts) / pairs
    mean = np.add.reduceat(given.pairs * means, starts) / pairs
    return np.array([float((pairs * (given.power(float(c), middle) - mean) ** 2).sum()) for c in grid])
