"""Marginal means and their differences, with t tests: the MEANS table.

A mean is a row of the fixed part averaged over what its grid leaves out (`design.grid`); a difference is the
difference of two such rows. P values are those of one comparison each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl

from nestwise.arrays import FloatArray
from nestwise.design.grid import MeansGrid
from nestwise.fit.fixed_effects import FixedInference
from nestwise.results import conform
from nestwise.vocabulary import MEANS

MANY_LEVELS = 6
"""Up to this many levels are compared pairwise; more than that with the first one."""


@dataclass(frozen=True)
class _Line:
    """One row of the table before it is estimated."""

    grid: str
    kind: str
    x: str
    by: str
    term: str
    contrast: FloatArray
    estimable: bool


def means_frame(grids: Sequence[MeansGrid], inference: FixedInference, level: float = 0.95) -> pl.DataFrame:
    """Marginal means of all grids and their differences.

    Differences are those of the second and further variables at each level of the first (active - placebo at
    each visit); of a grid with one variable those of its levels, pairwise up to six levels and from the
    first one beyond.

    Parameters
    ----------
    grids : sequence of MeansGrid
        From `Design.means`.
    inference : FixedInference
        Estimates, their covariance and degrees of freedom.
    level : float
        Coverage of the intervals.

    Returns
    -------
    polars.DataFrame
        Schema `MEANS`, the columns that name the fit null. What the data do not determine is a row with
        null numbers whose term says so.
    """
    lines = [line for grid in grids for line in (*_means(grid), *_differences(grid))]
    if not lines:
        return pl.DataFrame(schema=dict(MEANS))
    known = [line for line in lines if line.estimable]
    numbers = iter(_numbers(known, inference, level))
    rows: list[dict[str, Any]] = []
    for line in lines:
        row = {"grid": line.grid, "kind": line.kind, "x": line.x, "by": line.by}
        if line.estimable:
            rows.append(row | {"term": line.term, "level": level} | next(numbers))
        else:
            rows.append(row | {"term": f"{line.term} (not estimable: no such rows in the data)"})
    return conform(pl.DataFrame(rows, infer_schema_length=None), MEANS)


def _numbers(lines: list[_Line], inference: FixedInference, level: float) -> list[dict[str, float | None]]:
    from scipy.special import stdtr, stdtrit

    if not lines:
        return []
    L = np.array([line.contrast for line in lines])
    estimate = L @ inference.beta
    std_error = np.sqrt(np.einsum("ra,ab,rb->r", L, inference.cov_beta, L))
    df = inference.t(L)
    finite = np.where(np.isfinite(df), df, 1e10)
    t = np.divide(estimate, std_error, out=np.full(len(lines), np.nan), where=std_error > 0)
    p_value = 2 * stdtr(finite, -np.abs(t))
    half = stdtrit(finite, (1 + level) / 2) * std_error
    return [
        {
            "estimate": float(estimate[i]),
            "std_error": float(std_error[i]),
            "df": float(df[i]) if np.isfinite(df[i]) else None,
            "statistic": float(t[i]),
            "p_value": float(p_value[i]),
            "lower": float(estimate[i] - half[i]),
            "upper": float(estimate[i] + half[i]),
        }
        for i in range(len(lines))
    ]


def _title(grid: MeansGrid) -> str:
    return ", ".join(grid.by)


def _means(grid: MeansGrid) -> list[_Line]:
    return [
        _Line(_title(grid), "mean", levels[0], ", ".join(levels[1:]), ", ".join(levels), row, bool(fine))
        for levels, row, fine in zip(grid.levels, grid.X, grid.estimable, strict=True)
    ]


def _differences(grid: MeansGrid) -> list[_Line]:
    """Later minus earlier point, so that the first level of each variable is the reference."""
    points = range(len(grid.levels))
    several = len(grid.by) > 1
    lines = []
    for x in dict.fromkeys(levels[0] for levels in grid.levels) if several else [""]:
        mine = [i for i in points if not several or grid.levels[i][0] == x]
        for low, high in _pairs(mine):
            one, other = (grid.levels[i][1:] if several else grid.levels[i] for i in (high, low))
            by = f"{', '.join(one)} - {', '.join(other)}"
            term = f"{by} at {x}" if several else by
            fine = bool(grid.estimable[low] and grid.estimable[high])
            contrast = grid.X[high] - grid.X[low]
            lines.append(_Line(_title(grid), "contrast", x, by, term, contrast, fine))
    return lines


def _pairs(points: Sequence[int]) -> list[tuple[int, int]]:
    if len(points) <= MANY_LEVELS:
        return list(combinations(points, 2))
    return [(points[0], other) for other in points[1:]]
