"""Imputed outcomes shifted by a stated amount, for those who may have fared worse than it seems."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import polars as pl

from nestwise.config.missing import Arm
from nestwise.data.dataset import ROW, Dataset
from nestwise.data.derive import derive, group_keys
from nestwise.errors import Problem, Refusal

WHERE = "strategy delta"


@dataclass(frozen=True)
class Shift:
    """Which outcomes are shifted, and by how much.

    Attributes
    ----------
    rows : Series
        Row numbers of the imputed outcomes of those who had left.
    outcome : str
        Column.
    delta : float
        On the outcome's scale.
    """

    rows: pl.Series
    outcome: str
    delta: float


def shift_of(
    dataset: Dataset, outcome: str, delta: float, arm: Arm | None = None, subject: str | None = None
) -> Shift:
    """The rows that a shift goes to: outcomes missing from a subject's last seen visit on.

    A gap between two visits that were seen is not shifted: who came back did not leave. Without a time every
    missing outcome is shifted.

    Parameters
    ----------
    dataset : Dataset
        With a row for every planned visit, before imputation.
    outcome : str
        Numeric column.
    delta : float
        The shift.
    arm : Arm or None
        Whose reference arm is left as it is; `None` shifts every arm.
    subject : str or None
        Grouping factor of those who were followed; `None`: the rows are no visits.

    Raises
    ------
    Refusal
        Where the outcome is no number to be shifted, or the arm is not a column.
    """
    info = dataset.variables.get(outcome)
    if info is None or info.type not in ("continuous", "count"):
        what = f"{outcome} is {info.type if info else 'not a variable'}, and only numbers can be shifted"
        raise Refusal(Problem(what, WHERE, "leave delta out, or analyse a continuous outcome"))
    gone = pl.col(outcome).is_null()
    if subject is not None and dataset.time is not None:
        last = pl.col(dataset.time).filter(pl.col(outcome).is_not_null()).max()
        last = last.over(group_keys(subject, dataset.within))
        gone &= (pl.col(dataset.time) > last) | last.is_null()
    if arm is not None:
        if arm.column not in dataset.frame.collect_schema():
            raise Refusal(Problem(f"there is no column {arm.column}", "the key missing.arm", "name another"))
        gone &= pl.col(arm.column).cast(pl.String) != str(arm.reference)
    return Shift(dataset.frame.filter(gone).select(ROW).collect()[ROW], outcome, delta)


def shifted(completed: Iterable[Dataset], shift: Shift) -> Iterator[Dataset]:
    """Completed data sets with their imputed outcomes shifted, derived variables computed again."""
    for dataset in completed:
        order = dataset.frame.collect_schema().names()
        made = [each.as_ for each in dataset.derivations]
        value = pl.col(shift.outcome).cast(pl.Float64)
        moved = pl.when(pl.col(ROW).is_in(shift.rows.implode())).then(value + shift.delta).otherwise(value)
        frame = dataset.frame.drop(made).with_columns(moved.alias(shift.outcome))
        frame = derive(frame, dataset.derivations, dataset.within).select(order)
        info = replace(dataset.variables[shift.outcome], type="continuous")
        yield replace(dataset, frame=frame, variables=dict(dataset.variables) | {shift.outcome: info})
