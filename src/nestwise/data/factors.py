"""Levels of categorical, ordinal and binary columns and of grouping factors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from nestwise.config.study import Variable
from nestwise.data.casts import labels
from nestwise.data.labels import YES_NO, declared_labels, group_order, label, level_order
from nestwise.errors import Problem
from nestwise.names import did_you_mean

MOST_EXTRAS = 1000
"""Undeclared levels kept beside the declared ones, so that validation can show them."""
MOST_CATEGORIES = 10_000
"""Above this, a variable declared categorical is a mistake; grouping factors have no limit."""


@dataclass(frozen=True)
class Factor:
    """A column as a factor: the expression, its declared or found levels, and what to say of it."""

    expression: pl.Expr
    levels: tuple[str, ...]
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


def found_labels(frame: pl.LazyFrame, names: Sequence[str], ids: frozenset[str]) -> dict[str, list[str]]:
    """Distinct labels of columns, one streaming pass for all; only these are held in memory."""
    if not names:
        return {}
    schema = frame.collect_schema()
    distinct = frame.select(
        labels(name, schema[name], ids=name in ids).drop_nulls().unique().implode().alias(name)
        for name in names
    ).collect(engine="streaming")
    return {name: distinct[name].item().to_list() for name in names}


def grouping(name: str, dtype: pl.DataType, found: Sequence[str], declared: Variable) -> Factor:
    """A grouping factor: Enum of its labels, as people count, or in the declared order."""
    text = labels(name, dtype, ids=True)
    if declared.levels is None:
        order = group_order(found)
        return Factor(text.cast(pl.Enum(order)), order)
    return _declared(text, found, declared)


def categorical(
    name: str, dtype: pl.DataType, found: Sequence[str], declared: Variable, *, ordered: bool
) -> Factor:
    """A categorical (reference first) or ordinal (declared order) variable as Enum."""
    text = labels(name, dtype)
    if declared.levels is not None:
        return _declared(text, found, declared, ordered=ordered)
    if len(found) > MOST_CATEGORIES:
        problem = Problem(
            f"{name} is declared {declared.type} and has {len(found)} different values",
            f"column {name}",
            "declare it continuous, or make it a grouping factor under groups",
        )
        return Factor(text, (), problems=(problem,))
    in_file = dtype.categories.to_list() if isinstance(dtype, pl.Enum) else None
    present = set(found)
    order = tuple(text for text in in_file if text in present) if in_file else level_order(found)
    notes: tuple[str, ...] = ()
    if ordered and in_file is None and not _all_numbers(order):
        notes = (f"{name} is ordinal without declared levels: alphabetical order {', '.join(order)}.",)
    order, problems = _reference_first(name, order, declared, ordered=ordered)
    return Factor(text.cast(pl.Enum(order)), order, notes, problems)


def _declared(text: pl.Expr, found: Sequence[str], declared: Variable, *, ordered: bool = False) -> Factor:
    order, spelling = declared_labels(declared.levels or (), found)
    if declared.reference is not None and not ordered:
        first = order[list(declared.levels or ()).index(declared.reference)]
        order = (first, *(level for level in order if level != first))
    extras = level_order(set(found) - set(order) - set(spelling))[:MOST_EXTRAS]
    respelled = text.replace(spelling) if spelling else text
    return Factor(respelled.cast(pl.Enum([*order, *extras]), strict=False), order)


def _all_numbers(texts: Sequence[str]) -> bool:
    try:
        return all(float(text) == float(text) for text in texts)
    except ValueError:
        return False


def _reference_first(
    name: str, order: tuple[str, ...], declared: Variable, *, ordered: bool
) -> tuple[tuple[str, ...], tuple[Problem, ...]]:
    if declared.reference is None or ordered:
        return order, ()
    (wanted,), _ = declared_labels((declared.reference,), order)
    if wanted not in order:
        problem = Problem(
            f"the reference {wanted!r} of {name} is not among its values",
            f"column {name}",
            did_you_mean(wanted, order) or f"choose one of {', '.join(order[:10])}",
        )
        return order, (problem,)
    return (wanted, *(level for level in order if level != wanted)), ()


def binary(name: str, dtype: pl.DataType, found: Sequence[str], declared: Variable) -> Factor:
    """A binary variable as 0/1: 0/1, false/true, no/yes, two declared levels (the first is 0).

    Two other values count alphabetically; `reference` names the value that is 0.
    """
    text = labels(name, dtype, ids=True)
    zero, one, folded = _two_values(found, declared)
    if declared.reference is not None:
        (reference,), _ = declared_labels((declared.reference,), [zero, one])
        known = reference.casefold() in {zero.casefold(), one.casefold()}
        if known and reference.casefold() == one.casefold():
            zero, one = one, zero
        if not known:
            problem = Problem(
                f"the reference {reference!r} of {name} is neither {zero!r} nor {one!r}",
                f"column {name}",
                "name the value that is 0",
            )
            return Factor(pl.lit(None, dtype=pl.Int8).alias(name), (zero, one), problems=(problem,))
    compared = text.str.strip_chars().str.to_lowercase() if folded else text
    expression = (
        pl.when(compared == (zero.casefold() if folded else zero))
        .then(pl.lit(0, dtype=pl.Int8))
        .when(compared == (one.casefold() if folded else one))
        .then(pl.lit(1, dtype=pl.Int8))
        .alias(name)
    )
    notes = () if (zero, one) == ("0", "1") else (f"{name} is 1 for {one} and 0 for {zero}.",)
    return Factor(expression, (zero, one), notes)


def _two_values(found: Sequence[str], declared: Variable) -> tuple[str, str, bool]:
    if declared.levels is not None and len(declared.levels) == 2:
        (zero, one), _ = declared_labels(declared.levels, found)
        return zero, one, False
    low = {text.strip().casefold() for text in found}
    for pair in YES_NO:
        if low <= set(pair):
            return *_spelling(pair, found), True
    if len(found) == 2:
        zero, one = level_order(found)
        return zero, one, False
    pair = max(YES_NO, key=lambda pair: len(low & set(pair)))
    return *_spelling(pair, found), True


def _spelling(pair: tuple[str, str], found: Sequence[str]) -> tuple[str, str]:
    """The pair as the data write it: No/Yes rather than no/yes."""
    written = {text.strip().casefold(): text.strip() for text in sorted(found)}
    return written.get(pair[0], pair[0]), written.get(pair[1], pair[1])


def binary_problem(name: str, declared: Variable) -> Problem | None:
    """What is wrong with the declared levels of a binary variable."""
    if declared.levels is None or len(declared.levels) == 2:
        return None
    return Problem(
        f"{name} is declared binary with {len(declared.levels)} levels "
        f"({', '.join(label(level) for level in declared.levels[:10])})",
        f"column {name}",
        "give two levels (the first is 0), or declare it categorical",
    )
