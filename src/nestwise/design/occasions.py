"""When the rows of a cluster were observed: visits in order and their times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from nestwise.arrays import FloatArray, IntArray
from nestwise.config.study import Model
from nestwise.data.dataset import Dataset
from nestwise.design.columns import level_codes
from nestwise.errors import Problem, Refusal
from nestwise.formula.syntax import number_text

_SECONDS_A_DAY = 86_400.0
MOST_NAMED = 1000
"""Different times beyond which the shortest text of each takes too long to find."""
TIMED = ("ar1", "unstructured", "m_dependent")
"""Working correlations that know when a row was observed."""


@dataclass(frozen=True)
class Occasions:
    """The visit of each row.

    Attributes
    ----------
    time : str
        Column.
    visits : ndarray (n,)
        Visit of each row, 0 .. T-1, in order of time.
    labels : tuple of str, length T
        Names of the visits.
    times : ndarray (T,)
        Numeric time of each; days of a date; 0, 1, 2, ... in declared order if the column holds names.
    """

    time: str
    visits: IntArray
    labels: tuple[str, ...]
    times: FloatArray


def occasion_column(model: Model, dataset: Dataset) -> dict[str, str]:
    """The column of time that the working correlation reads, with the key that asks for it.

    Raises
    ------
    Refusal
        If the correlation goes by time and the study names none.
    """
    if model.correlation not in TIMED:
        return {}
    if dataset.time is None:
        what = f"{model.correlation} goes by time, and the study's time names no column"
        way_out = "name the column (time: {column: ...}), or choose exchangeable"
        raise Refusal(Problem(what, "the key correlation", way_out))
    return {dataset.time: "time"}


def occasions(model: Model, dataset: Dataset, frame: pl.DataFrame) -> Occasions | None:
    """Visits of the analysis rows, where the working correlation goes by them.

    Parameters
    ----------
    model, dataset
        With the model's `correlation`; with the study's time.
    frame : polars.DataFrame
        The analysis rows.

    Raises
    ------
    Refusal
        If a time is infinite.
    """
    if model.correlation not in TIMED or dataset.time is None:
        return None
    visits, labels, times = visit_codes(frame[dataset.time], dataset.time, "the key time")
    return Occasions(dataset.time, visits, labels, times)


def visit_codes(series: pl.Series, time: str, where: str) -> tuple[IntArray, tuple[str, ...], FloatArray]:
    """Codes (n,) and labels (T,) of the visits in order of time, and their times (T,).

    Parameters
    ----------
    series : polars.Series
        Numbers, dates or names; names count 0, 1, 2, ... in declared order.
    time, where : str
        Name of the column, and the place a refusal names.

    Raises
    ------
    Refusal
        If a time is infinite.
    """
    if series.dtype.is_numeric() or series.dtype == pl.Boolean:
        distinct, codes = np.unique(series.cast(pl.Float64).to_numpy(), return_inverse=True)
        if not np.isfinite(distinct).all():
            what = f"the time {time} is infinite in some row"
            raise Refusal(Problem(what, where, "correct it, or declare it missing"))
        text = number_text if distinct.size <= MOST_NAMED else str
        return codes.astype(np.int64), tuple(text(value) for value in distinct.tolist()), distinct
    if series.dtype.is_temporal():
        moments = series.cast(pl.Datetime("us")).dt.timestamp("us").to_numpy().astype(np.float64)
        distinct, codes = np.unique(moments, return_inverse=True)
        named = dict(zip(moments.tolist(), series.cast(pl.String).to_list(), strict=True))
        days = (distinct - distinct[0]) / (1e6 * _SECONDS_A_DAY)
        return codes.astype(np.int64), tuple(named[moment] for moment in distinct.tolist()), days
    codes, labels = level_codes(series)
    declared = series.dtype.categories.to_list() if isinstance(series.dtype, pl.Enum) else list(labels)
    # a visit nobody has left in these rows keeps its place, so that its neighbours stay two apart
    place = {label: index for index, label in enumerate(declared)}
    return codes, labels, np.array([place[label] for label in labels], dtype=np.float64)
