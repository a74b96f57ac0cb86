"""Absent visits as rows: what was planned and never came about, ready to be imputed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from nestwise.data.dataset import ROW, Dataset
from nestwise.errors import NestwiseError, Problem, Refusal
from nestwise.missing.complete import with_rows
from nestwise.missing.schedule import Schedule, schedule


def all_visits(dataset: Dataset, visit: str | None = None) -> Dataset:
    """The study with a row for each absent visit; what is constant inside a subject is known there.

    Parameters
    ----------
    dataset : Dataset
        Prepared data.
    visit : str or None
        Column of the visits.

    Returns
    -------
    Dataset
        Absent visits are numbered on from the last row and stand at the median time of the visit; whatever
        varies from visit to visit is missing in them. Without time, or where visits are no schedule, the
        data as they are.

    Raises
    ------
    Refusal
        If the column of the visits is none.
    """
    if visit is not None and visit not in dataset.frame.collect_schema():
        raise Refusal(Problem(f"there is no column {visit}", "the key missing.visit", "name another"))
    if dataset.time is None and visit is None:
        return dataset
    try:
        planned = schedule(dataset, visit=visit)
    except NestwiseError:
        return dataset
    full = rows_of_all_visits(dataset, planned, planned.by_visit)
    if not full[".absent"].any():
        return dataset
    made = {each.as_ for each in dataset.derivations}
    never = {*planned.keys, *planned.by_visit, dataset.time, ROW, ".position", ".absent", *made}
    over = list(planned.keys)
    others = [name for name in full.columns if name not in never]
    # A variable that differs inside one subject varies: who was seen once says nothing against it.
    kinds = full.group_by(over).agg(pl.col(others).drop_nulls().n_unique())
    constants = [
        pl.when(".absent")
        .then(pl.col(name).drop_nulls().first().over(over))
        .otherwise(pl.col(name))
        .alias(name)
        for name in others
        if bool((kinds[name] <= 1).all())
    ]
    order = dataset.frame.collect_schema().names()
    return with_rows(dataset, full.with_columns(constants).sort(ROW).select(order).lazy())


def rows_of_all_visits(dataset: Dataset, planned: Schedule, named: Sequence[str]) -> pl.DataFrame:
    """Every row of the study and one for each absent visit, with `.position` of the visit and `.absent`.

    Parameters
    ----------
    dataset : Dataset
        Prepared data.
    planned : Schedule
        Its subjects by scheduled visits.
    named : sequence of str
        Columns that go with the visit.
    """
    frame = dataset.frame.collect().with_columns(pl.selectors.float().fill_nan(None))
    who, when = np.nonzero(planned.places < 0)
    first = planned.places.max(axis=1)[who]  # some row of the subject names it
    positions = pl.DataFrame({ROW: planned.frame[ROW], ".position": _positions(planned)})
    there = frame.join(positions, on=ROW, how="left", maintain_order="left").with_columns(
        pl.lit(False).alias(".absent")
    )
    if who.size == 0:
        return there
    samples = planned.places.max(axis=0)  # a row of each visit names it
    keys = planned.frame.select(planned.keys)[first]
    visits = planned.frame.select(named)[samples[when]]
    last = int(frame[ROW].max())  # type: ignore[arg-type]
    absent = pl.concat([keys, visits], how="horizontal").with_columns(
        pl.Series(ROW, np.arange(last + 1, last + 1 + who.size)).cast(frame.schema[ROW]),
        pl.Series(".position", when.astype(np.int64)),
        pl.lit(True).alias(".absent"),
    )
    time = dataset.time
    if time is not None and time not in named:
        absent = absent.with_columns(pl.Series(time, planned.times[when]).cast(frame.schema[time]))
    return pl.concat([there, absent], how="diagonal")


def _positions(planned: Schedule) -> pl.Series:
    found = np.empty(planned.frame.height, dtype=np.int64)
    who, when = np.nonzero(planned.places >= 0)
    found[planned.places[who, when]] = when
    return pl.Series(found)
