"""Scheduled visits: who was to be seen when, whether or not the file has a row for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from nestwise.arrays import BoolArray, FloatArray, IntArray
from nestwise.data.dataset import ROW, Dataset
from nestwise.data.derive import group_keys
from nestwise.design.occasions import visit_codes
from nestwise.errors import Problem, Refusal
from nestwise.names import did_you_mean, plural, several

MOST_VISITS = 40
"""More different times than these are no scheduled visits."""
LEAST_FILLED = 0.2
"""Share of all subjects and times that have a row, below which times are no common schedule."""
WHERE = "the key missing"


@dataclass(frozen=True)
class Schedule:
    """A table of subjects by visits over the rows of a study.

    Attributes
    ----------
    study : str
    subject : str
        Grouping factor whose groups are followed over time.
    keys : tuple of str
        Columns that together name a subject.
    visit : str
        Column that tells the visits apart.
    time : str or None
        The study's time.
    labels : tuple of str, length T
        The visits in order.
    times : ndarray (T,)
        Median time of each, in the unit of the study's time; the visit's own number without one.
    places : ndarray (N, T)
        Place in `frame` of each row, -1 where there is none.
    frame : DataFrame
        The rows that have a visit, with `.row` and the columns asked for.
    note : str
        How the visits were found, a sentence.
    """

    study: str
    subject: str
    keys: tuple[str, ...]
    visit: str
    time: str | None
    labels: tuple[str, ...]
    times: FloatArray
    places: IntArray
    frame: pl.DataFrame
    note: str

    @property
    def N(self) -> int:  # noqa: N802
        """Number of subjects."""
        return int(self.places.shape[0])

    @property
    def T(self) -> int:  # noqa: N802
        """Number of visits."""
        return int(self.places.shape[1])

    def observed(self, columns: Sequence[str]) -> BoolArray:
        """Whether each subject (N, T) has all the columns at each visit."""
        present = self.frame.select(pl.all_horizontal(pl.col(list(columns)).is_not_null()))
        found: BoolArray = (self.places >= 0) & present.to_series().to_numpy()[self.places]
        return found

    def values(self, column: str) -> FloatArray:
        """Values (N, T) of a numeric column, or codes of a categorical one; NaN where missing."""
        series = self.frame[column]
        coded = series.to_physical() if isinstance(series.dtype, pl.Enum) else series
        numbers = coded.cast(pl.Float64).to_numpy().astype(np.float64)
        return np.where(self.places >= 0, numbers[self.places], np.nan)

    def constant(self, column: str) -> pl.Series:
        """The value (N,) of a column that does not vary inside a subject; null where none is known.

        Raises
        ------
        Refusal
            If it varies, or is no column.
        """
        name = ".subject"
        if column not in self.frame.columns:
            hint = did_you_mean(column, self.frame.columns)
            raise Refusal(Problem(f"there is no column {column}", WHERE, hint or "name another"))
        found = (
            self.frame.select(pl.col(column), pl.Series(name, self.subjects))
            .group_by(name)
            .agg(pl.col(column).drop_nulls().first(), pl.col(column).drop_nulls().n_unique().alias(".kinds"))
            .sort(name)
        )
        if bool((found[".kinds"] > 1).any()):
            what = f"{column} changes inside some {plural(self.subject)}"
            raise Refusal(Problem(what, WHERE, f"name a column that is constant inside a {self.subject}"))
        return found[column]

    @property
    def by_visit(self) -> tuple[str, ...]:
        """The visit's column and its other names: the same for all at a visit, different between visits."""
        others = [name for name in self.frame.columns if name not in {ROW, *self.keys, self.visit}]
        kinds = self.frame.group_by(self.visit).agg(pl.col(others).n_unique())
        same = [name for name in others if bool((kinds[name] == 1).all()) and self.frame[name].n_unique() > 1]
        return (self.visit, *same)

    @property
    def subjects(self) -> IntArray:
        """Subject of each row of `frame`."""
        found = np.empty(self.frame.height, dtype=np.int64)
        who, when = np.nonzero(self.places >= 0)
        found[self.places[who, when]] = who
        return found


def schedule(dataset: Dataset, columns: Sequence[str] = (), visit: str | None = None) -> Schedule:
    """Lay the rows of a study out by subject and visit.

    Parameters
    ----------
    dataset : Dataset
        Prepared data.
    columns : sequence of str
        Columns wanted beside ids and times; default: all variables.
    visit : str or None
        Column of the visits. By default the study's time, if it has few different values; otherwise the
        first variable that counts the rows of each subject in order of time.

    Returns
    -------
    Schedule

    Raises
    ------
    Refusal
        If there is no time, no group with several rows, two rows of one subject at a visit, or no schedule.
    """
    known = dataset.frame.collect_schema().names()
    wanted = list(columns) or [name for name in known if name != ROW]
    if dataset.time is None and visit is None:
        what = "the study names no time, so it is not known which rows are absent"
        raise Refusal(Problem(what, "the key time", "name the column (time: {column: ...})"))
    unknown = [name for name in [*wanted, visit] if name is not None and name not in known]
    if unknown:
        what, hint = f"there is no column {several(unknown)}", did_you_mean(unknown[0], known)
        raise Refusal(Problem(what, WHERE, hint or f"the columns are {several(known)}"))
    frame = dataset.frame.collect().with_columns(pl.selectors.float().fill_nan(None))
    subject, keys = _subject(dataset, frame, visit or dataset.time or "")
    column, note = (visit, f"{visit} tells the visits.") if visit else _visit_column(dataset, frame, keys)
    frame = frame.filter(pl.all_horizontal(pl.col([*keys, column]).is_not_null()))
    codes, labels, numbers = visit_codes(frame[column], column, "the key time")
    if len(labels) > MOST_VISITS:
        what = f"{column} has {len(labels):,} different values, and each would be a scheduled visit"
        raise Refusal(Problem(what, WHERE, "name a column that counts the planned visits (visit: ...)"))
    who = _codes(frame, keys)
    places = np.full((int(who.max(initial=-1)) + 1, len(labels)), -1, dtype=np.int64)
    if np.unique(who * len(labels) + codes).size < who.size:
        what = f"some {plural(subject)} have several rows at one {column}"
        raise Refusal(Problem(what, WHERE, "keep one row a subject and visit, or name another column"))
    places[who, codes] = np.arange(frame.height)
    kept = list(dict.fromkeys([ROW, *keys, column, *([dataset.time] if dataset.time else []), *wanted]))
    times = _times(frame, dataset.time, column, codes, numbers)
    return Schedule(
        dataset.study, subject, keys, column, dataset.time, labels, times, places, frame.select(kept), note
    )  # fmt: skip


def _codes(frame: pl.DataFrame, keys: Sequence[str]) -> IntArray:
    """Number of the group of each row, in order of first appearance."""
    order = frame.select(keys).unique(maintain_order=True).with_row_index(".code")
    found = frame.select(keys).join(order, on=list(keys), how="left", maintain_order="left")[".code"]
    return found.to_numpy().astype(np.int64)


def _subject(dataset: Dataset, frame: pl.DataFrame, time: str) -> tuple[str, tuple[str, ...]]:
    """The grouping factor with most groups among those whose groups have several rows."""
    counts = {
        factor: frame.select(group_keys(factor, dataset.within)).n_unique()
        for factor in dataset.within
        if factor != time
    }
    followed = {factor: count for factor, count in counts.items() if count < frame.height}
    if not followed:
        what = "no grouping factor has groups with several rows, so nobody is followed over time"
        raise Refusal(Problem(what, "the key groups", "name the factor of those who were seen repeatedly"))
    subject = max(followed, key=lambda factor: (followed[factor], len(group_keys(factor, dataset.within))))
    return subject, group_keys(subject, dataset.within)


def _visit_column(dataset: Dataset, frame: pl.DataFrame, keys: Sequence[str]) -> tuple[str, str]:
    """The study's time if it is a schedule, else a variable that counts the visits."""
    time = dataset.time
    assert time is not None
    subjects, distinct = frame.select(keys).n_unique(), frame[time].drop_nulls().n_unique()
    if distinct <= MOST_VISITS and frame.height >= LEAST_FILLED * subjects * distinct:
        return time, f"The {distinct} values of {time} are the scheduled visits."
    for name, info in dataset.variables.items():
        numbers = info.type in {"count", "ordinal", "continuous"} and name not in {time, *keys}
        if numbers and _counts_visits(frame, name, time, keys):
            return name, f"{time} has {distinct:,} different values; {name} counts the visits instead."
    what = f"{time} has {distinct:,} different values and no variable counts the visits"
    raise Refusal(Problem(what, WHERE, "name a column that counts the planned visits (visit: ...)"))


def _counts_visits(frame: pl.DataFrame, name: str, time: str, keys: Sequence[str]) -> bool:
    """Whether a variable takes few values, each once a subject, in the order of time."""
    series = frame[name]
    if series.null_count() or series.n_unique() > MOST_VISITS or series.n_unique() < 2:
        return False
    if frame.height < LEAST_FILLED * frame.select(keys).n_unique() * series.n_unique():
        return False
    number = series.to_physical().cast(pl.Float64).alias(".visit")
    steps = (
        frame.with_columns(number)
        .sort([*keys, time])
        .select(pl.col(".visit").diff().over(list(keys)).alias(".step"))[".step"]
    )
    return bool((steps.drop_nulls() > 0).all())


def _times(
    frame: pl.DataFrame, time: str | None, column: str, codes: IntArray, numbers: FloatArray
) -> FloatArray:
    """Median time of each visit (T,)."""
    if time is None or time == column or not frame[time].dtype.is_numeric():
        return numbers
    t = frame[time].cast(pl.Float64).to_numpy()
    return np.array([np.nanmedian(t[codes == visit]) for visit in range(numbers.size)])
