"""Imputed outcomes shifted by a stated amount, for those who may have fared worse than it seems.

Numbers move by delta in their own unit. Of categories the log-odds move: those of 1 against 0, or those of
every higher category against the lower ones. The same random number that drew a category says which one it
is after the shift (`latent.margins`), so that a shift of 0 changes nothing, and a larger one never lowers
a category.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import polars as pl

from nestwise.arrays import IntArray
from nestwise.config.missing import Arm
from nestwise.data.dataset import ROW, Dataset
from nestwise.errors import Problem, Refusal
from nestwise.imputation.draws import KNOWN, SHIFTED, Draws, Filling

WHERE = "strategy delta"
NUMBERS, ORDERED = ("continuous", "count"), ("binary", "ordinal")
Scale = Literal["outcome", "log_odds"]


@dataclass(frozen=True)
class Shift:
    """Which outcomes are shifted, and by how much.

    Attributes
    ----------
    rows : ndarray (r,)
        Row numbers of the imputed outcomes of those who had left.
    outcome : str
        Column.
    delta : float
        On its scale.
    scale : str
        `outcome`: in the outcome's unit; `log_odds`: of higher categories.
    """

    rows: IntArray
    outcome: str
    delta: float
    scale: Scale


def shift_of(
    dataset: Dataset, outcome: str, delta: float, arm: Arm | None = None, followed: IntArray | None = None
) -> Shift:
    """The rows that a shift goes to: outcomes missing from a subject's last seen visit on.

    A gap between two visits that were seen is not shifted: who came back did not leave.

    Parameters
    ----------
    dataset : Dataset
        With a row for every planned visit, before imputation.
    outcome : str
        A number, or categories in order.
    delta : float
        The shift.
    arm : Arm or None
        Whose reference arm is left as it is; `None` shifts every arm.
    followed : ndarray or None
        Row numbers up to the last visit at which each subject was seen (`missing.visits.followed_rows`);
        `None`: the rows are no visits, and every missing outcome is shifted.

    Raises
    ------
    Refusal
        Where the outcome has no order, or the arm is not a column.
    """
    info = dataset.variables.get(outcome)
    if info is None or info.type not in NUMBERS + ORDERED:
        kind = info.type if info else "not a variable"
        what = f"{outcome} is {kind}, and only numbers and categories in order can be shifted"
        raise Refusal(Problem(what, WHERE, "leave delta out, or declare the outcome binary or ordinal"))
    gone = pl.col(outcome).is_null()
    if followed is not None:
        gone &= ~pl.col(ROW).is_in(pl.Series(followed).implode())
    if arm is not None:
        if arm.column not in dataset.frame.collect_schema():
            raise Refusal(Problem(f"there is no column {arm.column}", "the key missing.arm", "name another"))
        gone &= pl.col(arm.column).cast(pl.String) != str(arm.reference)
    rows: IntArray = dataset.frame.filter(gone).select(ROW).collect()[ROW].to_numpy().astype(np.int64)
    return Shift(rows, outcome, delta, "log_odds" if info.type in ORDERED else "outcome")


def shifted(draws: Draws, shift: Shift) -> Draws:
    """The draws with the outcomes of some rows shifted; a shifted number need not be whole any more.

    Raises
    ------
    Refusal
        Where categories were drawn by a method that does not know their log-odds.
    """
    return replace(
        draws,
        fillings=tuple(
            _moved(each, shift) if each.variable == shift.outcome and each.method != KNOWN else each
            for each in draws.fillings
        ),
    )


def _moved(each: Filling, shift: Shift) -> Filling:
    # a shift belongs to a row, and rows of one group may share a drawn value
    apart = replace(each, unit=np.arange(each.rows.size), level=None)
    amount = np.where(np.isin(each.rows, shift.rows), shift.delta, 0.0)
    if shift.scale == "outcome":
        return replace(apart, method=SHIFTED, values=each.values[:, each.unit] + amount)
    if each.margins is None:
        raise Refusal(_without_margins(each))
    from nestwise.imputation.latent import category

    margins = each.margins[:, each.unit] + amount[:, None]
    return replace(apart, values=category(margins), margins=margins)


def _without_margins(each: Filling) -> Problem:
    what = f"{each.variable} is {each.kind} and was imputed by the method {each.method}, whose draws have no "
    what += "log-odds to shift"
    if each.method == "joint":
        return Problem(what, WHERE, "set missing.imputation to chained")
    if each.kind in ORDERED:
        return Problem(what, WHERE, f"give {each.variable} the method {each.kind} under missing.methods")
    return Problem(what, WHERE, f"declare {each.variable} binary or ordinal, or leave delta out")
