"""Last observation carried forward, a comparator: everybody stays as they were when last seen."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from nestwise.data.dataset import ROW, Dataset
from nestwise.errors import Problem, Refusal
from nestwise.missing.complete import with_rows
from nestwise.missing.schedule import schedule
from nestwise.missing.visits import rows_of_all_visits

WHERE = "strategy locf"


def locf(
    dataset: Dataset, outcomes: Sequence[str], visit: str | None = None, baseline: str | None = None
) -> Dataset:
    """Give every subject a row at every scheduled visit, the last known values carried forward.

    Parameters
    ----------
    dataset : Dataset
        Prepared data.
    outcomes : sequence of str
        Columns whose missing values are filled as well; all other columns that vary over time are carried
        into rows that were absent only.
    visit : str or None
        Column of the visits.
    baseline : str or None
        Column that holds the outcome before the first visit, carried where no visit has it yet.

    Returns
    -------
    Dataset
        Absent visits are rows, numbered on from the last one, at the median time of the visit. A subject
        without any value keeps its missing values. Derived variables are computed again.

    Raises
    ------
    Refusal
        Without time, or where visits are no schedule.
    """
    if dataset.time is None and visit is None:
        what = "without time there is no last observation to carry forward"
        raise Refusal(Problem(what, WHERE, "name the column of time, or choose another strategy"))
    planned = schedule(dataset, visit=visit)
    if baseline is not None and baseline not in planned.frame.columns:
        raise Refusal(Problem(f"there is no column {baseline}", WHERE, "name the column of the baseline"))
    named = [name for name in planned.by_visit if name not in outcomes]
    full = rows_of_all_visits(dataset, planned, named)
    full = full.sort([*planned.keys, ".position"], maintain_order=True)
    made = {each.as_ for each in dataset.derivations}
    never = {*planned.keys, *named, ROW, ".position", ".absent", *made}
    over = list(planned.keys)
    exprs = []
    for name in full.columns:
        if name in never or name == dataset.time:
            continue
        known = pl.col(name).forward_fill().over(over)
        if name in outcomes:
            start = pl.col(baseline).drop_nulls().first().over(over) if baseline is not None else None
            filled = known if start is None else pl.coalesce(known, start.cast(full.schema[name]))
            exprs.append(filled.alias(name))
            continue
        # constants are known from any row of the subject
        kinds = pl.col(name).drop_nulls().n_unique().over(over)
        constant = pl.when(kinds <= 1).then(pl.col(name).drop_nulls().first().over(over))
        fill = pl.coalesce(known, constant)
        exprs.append(pl.when(pl.col(".absent")).then(fill).otherwise(pl.col(name)).alias(name))
    filled_frame = full.with_columns(exprs).sort(ROW)
    order = dataset.frame.collect_schema().names()
    return with_rows(dataset, filled_frame.select(order).lazy())
