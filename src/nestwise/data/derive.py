"""Derived variables: within- and between-group parts, centring, scaling."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import polars as pl

from nestwise.config.study import Derivation
from nestwise.data.dataset import ROW
from nestwise.errors import DataError, Problem
from nestwise.names import did_you_mean


def derive[Frame: (pl.DataFrame, pl.LazyFrame)](
    frame: Frame, derivations: Iterable[Derivation], within: Mapping[str, str | None] | None = None
) -> Frame:
    """Add derived variables, each of which may build on those before it.

    All are Float64 and are computed over the rows given, missing values left out: `between` is the
    mean over the rows of a group, `within` the value minus that mean, `center` the value minus the
    mean over all rows (or minus `at`), `scale` the value minus the mean over all rows, divided by
    the standard deviation with n - 1. They belong to a set of rows: compute them again where rows
    are left out. `within + between` is the variable again (rule 11).

    Parameters
    ----------
    frame : DataFrame or LazyFrame
        With the sources and grouping factors of the derivations.
    derivations : iterable of Derivation
        In order.
    within : mapping of str to (str or None), optional
        The grouping factor each is nested in: where ids restart, a group is known by its parents'
        ids and its own.

    Raises
    ------
    DataError
        If a source or group is unknown or a source is not numeric, or a name is taken; all at once.
    """
    listed = tuple(derivations)
    problems = derivation_problems(frame.lazy().collect_schema(), listed)
    if problems:
        raise DataError(problems)
    for derivation in listed:
        frame = frame.with_columns(_expression(derivation, within or {}).alias(derivation.as_))
    return frame


def group_keys(group: str, within: Mapping[str, str | None]) -> tuple[str, ...]:
    """Columns that together name a group: the factors it is nested in, outermost first, and itself."""
    keys = [group]
    while (parent := within.get(keys[0])) is not None and parent not in keys:
        keys.insert(0, parent)
    return tuple(keys)


def _expression(derivation: Derivation, within: Mapping[str, str | None]) -> pl.Expr:
    value = pl.col(derivation.source).cast(pl.Float64)
    if derivation.kind in ("within", "between"):
        group = derivation.group
        assert group is not None, "the study file's model demands it"
        mean = value.mean().over(group_keys(group, within))
        return value - mean if derivation.kind == "within" else mean
    if derivation.kind == "center":
        return value - (derivation.at if derivation.at is not None else value.mean())
    spread = value.std(ddof=1)
    # A constant has no scale; null rather than NaN, and validation refuses it before.
    return pl.when(spread > 0).then((value - value.mean()) / spread)


def derivation_problems(
    schema: Mapping[str, pl.DataType], derivations: Sequence[Derivation]
) -> list[Problem]:
    """Everything that keeps derivations from being computed on a frame of the given schema."""
    known: dict[str, pl.DataType] = dict(schema)
    problems = []
    for position, derivation in enumerate(derivations):
        where = f"derive[{position}], {derivation.kind} {derivation.source}"
        names = [name for name in known if name != ROW]
        for name in filter(None, (derivation.source, derivation.group)):
            if name not in names:
                remedy = did_you_mean(name, names) or f"there are {', '.join(names[:20])}"
                problems.append(Problem(f"there is no column {name!r}", where, remedy))
        dtype = known.get(derivation.source)
        if dtype is not None and not dtype.is_numeric():
            problems.append(
                Problem(
                    f"{derivation.source} is not numeric",
                    where,
                    "declare it continuous, count or binary, or derive from another variable",
                )
            )
        if derivation.as_ in known:
            problems.append(Problem(f"the name {derivation.as_!r} is taken", where, "choose another in `as`"))
        known[derivation.as_] = pl.Float64()
    return problems
