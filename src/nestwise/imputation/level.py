"""At which level a variable lives: from row to row, or once a group."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nestwise.arrays import BoolArray, FloatArray
from nestwise.errors import Problem, Refusal
from nestwise.imputation.record import Grouping, Kind
from nestwise.names import several

FEWEST_GROUPS = 10
"""Groups with two values or more below which a few that contradict are no evidence."""
LARGEST_SHARE = 0.1
"""Share of groups that vary up to which a continuous variable counts as a group's with errors in it."""


def varying_groups(values: FloatArray, factor: Grouping) -> tuple[BoolArray, BoolArray]:
    """Which groups have two observed values or more (J,), and which have different ones (J,)."""
    seen = ~np.isnan(values)
    codes, J = factor.codes[seen], factor.n_groups
    counts = np.bincount(codes, minlength=J)
    low, high = np.full(J, np.inf), np.full(J, -np.inf)
    np.minimum.at(low, codes, values[seen])
    np.maximum.at(high, codes, values[seen])
    return counts > 1, (counts > 1) & (high > low)


def level_of(
    name: str, kind: Kind, values: FloatArray, factors: Sequence[Grouping], declared: str | None = None
) -> str | None:
    """The outermost grouping factor a variable is constant in; `None` if it varies inside the innermost.

    Parameters
    ----------
    name : str
        Of the variable, for messages.
    kind : str
        Of the variable.
    values : ndarray (n,)
        NaN where missing.
    factors : sequence of Grouping
        Innermost first.
    declared : str or None
        The factor the study file says it is constant in.

    Raises
    ------
    Refusal
        If it is declared constant in groups and is not, or is constant in nearly all groups and varies in a
        few: those are named.
    """
    level = None
    for factor in factors:
        several_values, differ = varying_groups(values, factor)
        if not several_values.any():
            continue
        if not differ.any():
            level = factor.name
        elif declared == factor.name or _suspicious(kind, int(several_values.sum()), int(differ.sum())):
            raise Refusal(_contradiction(name, factor, differ, declared == factor.name))
    if declared is not None and level is None:
        return declared
    return level


def _suspicious(kind: Kind, groups: int, differ: int) -> bool:
    return kind == "continuous" and groups >= FEWEST_GROUPS and differ <= LARGEST_SHARE * groups


def _contradiction(name: str, factor: Grouping, differ: BoolArray, declared: bool) -> Problem:
    named = several([factor.labels[j] for j in np.flatnonzero(differ)], 5)
    what = "is declared constant" if declared else "is constant in nearly all groups"
    return Problem(
        f"{name} {what} within {factor.name} and has different values in {named}",
        f"column {name}",
        "correct these values, so that its gaps are drawn once a group, or say that it is imputed row by row",
    )


def spread_over_groups(values: FloatArray, factor: Grouping) -> FloatArray:
    """Values (n,) of a variable of groups, each group's observed value in all of its rows."""
    known = np.full(factor.n_groups, np.nan)
    seen = ~np.isnan(values)
    known[factor.codes[seen]] = values[seen]
    return np.asarray(known[factor.codes])
