"""At which times and for which arms means are standardised, and how the rows count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from nestwise.arrays import FloatArray
from nestwise.data.dataset import ROW, Dataset
from nestwise.design.standard import Setting, StandardRows, levels_of, numbers_of

FEW_TIMES = 12
"""Up to this many distinct times, means stand at each."""
POINTS_OF_A_CURVE = 13
MOST_LEVELS = 6
"""A variable with more levels is no arm."""


@dataclass(frozen=True)
class Point:
    """One setting: time `x` and level `by` of the arm; where `None`, rows keep theirs."""

    x: float | None
    by: str | None
    setting: Setting


@dataclass(frozen=True)
class Grid:
    """Where means are standardised.

    Attributes
    ----------
    settings : tuple of Point
        One a mean.
    reference : str or None
        Level the others are compared with.
    arm, time : str or None
        Variables that are set.
    weights : ndarray (n,)
        Of the rows, summing to one.
    times : ndarray (n,) or None
        Time of each row, whether or not it stands in the formula.
    """

    settings: tuple[Point, ...]
    reference: str | None
    arm: str | None
    time: str | None
    weights: FloatArray
    times: FloatArray | None


def grid_of(rows: StandardRows, dataset: Dataset, arm: tuple[str, str] | None) -> Grid:
    """Choose times and arms.

    Parameters
    ----------
    rows : StandardRows
        The rows of the model.
    dataset : Dataset
        Prepared data; its time is the axis.
    arm : tuple of (str, str) or None
        Column of the arm and its reference level; by default the first predictor with a few levels, and its
        first level.

    Returns
    -------
    Grid
        Where times are set, every cluster of the factor with the most groups counts once, whatever the
        number of its rows: who left early does not count less. Else every row counts once.
    """
    named = arm[0] if arm is not None and arm[0] in rows.predictors else _first_arm(rows, dataset.time)
    levels = levels_of(rows, named) if named is not None else ()
    reference = arm[1] if arm is not None and arm[1] in levels else (levels[0] if levels else None)
    values = numbers_of(rows, dataset.time) if dataset.time in rows.predictors and dataset.time else None
    at = _times(values) if values is not None else ()
    settings: list[Point] = []
    for x in (None, *at):
        for by in levels or (None,):
            setting: dict[str, float | str] = {}
            if x is not None and dataset.time is not None:
                setting[dataset.time] = x
            if by is not None and named is not None:
                setting[named] = by
            if setting:
                settings.append(Point(x, by, setting))
    weights = _weights(rows) if at else np.full(rows.design.n, 1 / rows.design.n)
    return Grid(
        tuple(settings), reference, named, dataset.time if at else None, weights, _row_times(rows, dataset)
    )


def _first_arm(rows: StandardRows, time: str | None) -> str | None:
    for name in rows.predictors:
        values = numbers_of(rows, name)
        few = values is None or set(np.unique(values)) <= {0.0, 1.0}
        if name != time and few and 2 <= len(levels_of(rows, name)) <= MOST_LEVELS:
            return name
    return None


def _times(values: FloatArray) -> Sequence[float]:
    distinct = np.unique(values)
    if len(distinct) < 2:
        return ()
    if len(distinct) <= FEW_TIMES:
        return tuple(distinct.tolist())
    return tuple(np.linspace(distinct[0], distinct[-1], POINTS_OF_A_CURVE).tolist())


def _weights(rows: StandardRows) -> FloatArray:
    factors = rows.design.factors
    if not factors:
        return np.full(rows.design.n, 1 / rows.design.n)
    codes = max(factors, key=lambda each: each.n_groups).codes
    sizes = np.bincount(codes)
    return np.asarray(1 / sizes[codes] / np.count_nonzero(sizes))


def _row_times(rows: StandardRows, dataset: Dataset) -> FloatArray | None:
    """Times of the analysis rows, which need not stand in the formula; `None` for dates and without times."""
    name = dataset.time
    schema = dataset.frame.collect_schema()
    if name is None or name not in schema or not schema[name].is_numeric():
        return None
    frame = dataset.frame.select(ROW, pl.col(name).cast(pl.Float64).alias("t")).collect()
    wanted = pl.DataFrame({ROW: rows.design.rows}).with_columns(pl.col(ROW).cast(frame.schema[ROW]))
    found = wanted.join(frame, on=ROW, how="left", maintain_order="left")["t"]
    return None if found.null_count() else found.to_numpy()
