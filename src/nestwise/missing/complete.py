"""Complete cases, a comparator: those who were seen at every visit with every variable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from nestwise.data.dataset import ROW, Dataset
from nestwise.data.derive import derive
from nestwise.errors import Problem, Refusal
from nestwise.missing.schedule import schedule


def complete_case(dataset: Dataset, variables: Sequence[str], visit: str | None = None) -> Dataset:
    """Keep the subjects that have every scheduled visit with all variables.

    Without a time, rows are judged one by one: those that have all variables stay.

    Parameters
    ----------
    dataset : Dataset
        Prepared data.
    variables : sequence of str
        Columns that must be there, as of a model's formula.
    visit : str or None
        Column of the visits.

    Returns
    -------
    Dataset
        Derived variables are computed again on the rows that stay.

    Raises
    ------
    Refusal
        If nobody is complete, or there is no schedule.
    """
    if dataset.time is None and visit is None:
        schema = dataset.frame.collect_schema()
        there = [pl.col(name).is_not_null() for name in variables]
        there += [pl.col(name).is_not_nan() for name in variables if schema[name].is_float()]
        kept = dataset.frame.filter(pl.all_horizontal(there))
        if kept.select(pl.len()).collect().item() == 0:
            raise Refusal(_nobody("row"))
        return with_rows(dataset, kept)
    planned = schedule(dataset, visit=visit)
    whole = planned.observed(list(variables)).all(axis=1)
    if not whole.any():
        raise Refusal(_nobody(planned.subject))
    rows = planned.frame[ROW].filter(pl.Series(whole[planned.subjects]))
    return with_rows(dataset, dataset.frame.filter(pl.col(ROW).is_in(rows.implode())))


def with_rows(dataset: Dataset, frame: pl.LazyFrame) -> Dataset:
    """The same study with other rows, its derived variables computed again on them."""
    made = [each.as_ for each in dataset.derivations]
    order = frame.collect_schema().names()
    again = derive(frame.drop(made), dataset.derivations, dataset.within).select(order)
    return replace(dataset, frame=again)


def _nobody(unit: str) -> Problem:
    what = f"no {unit} is complete, so nothing is left to analyse"
    return Problem(what, "strategy complete_case", "name fewer variables, or choose another strategy")
