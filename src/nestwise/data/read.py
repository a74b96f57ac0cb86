"""Reading: a file and the study file's declarations in, typed columns out, lazily."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

from nestwise.config.study import Data, Group, Time, Variable
from nestwise.data.casts import REASONS, count, date, is_readable, labels, number
from nestwise.data.dataset import ROW, VariableInfo
from nestwise.data.factors import Factor, binary, binary_problem, categorical, found_labels, grouping
from nestwise.data.files import always_missing, scan_table, stacked, without_missing_codes
from nestwise.data.inferred_types import TEXT, Inference, infer
from nestwise.data.typed import FAILURES, TypedData
from nestwise.errors import DataError, Problem
from nestwise.names import did_you_mean

__all__ = ["TypedData", "read"]

FACTORS = ("categorical", "ordinal", "binary")
MOST_LISTED = 1000
"""Failures listed a column; all are counted."""
UNDECLARED = Variable()


@dataclass(frozen=True)
class _Columns:
    """How each column will be typed."""

    expressions: dict[str, pl.Expr] = field(default_factory=dict)
    variables: dict[str, VariableInfo] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def read(
    path: Path,
    data: Data,
    variables: Mapping[str, Variable],
    groups: Mapping[str, Group],
    time: Time | None = None,
) -> TypedData:
    """Read a table lazily and type its columns as the study file says.

    Text is read as text first and typed afterwards: a value that is not of its declared type is a
    failure with its row, never a silent null. What is not declared is inferred from all values and
    noted. The rows stay on disk; only distinct levels, counts and failures are held.

    Parameters
    ----------
    path : Path
        As `nestwise.data.source.locate` gives it.
    data, variables, groups, time
        The sections of the study file.

    Returns
    -------
    TypedData

    Raises
    ------
    DataError
        If the file cannot be read, or has no rows.
    """
    try:
        return _read(path, data, variables, groups, time)
    except PolarsError as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            Problem(f"the file cannot be read to its end ({reason})", str(path), "write the file again")
        ) from error


def _read(
    path: Path,
    data: Data,
    variables: Mapping[str, Variable],
    groups: Mapping[str, Group],
    time: Time | None,
) -> TypedData:
    raw = without_missing_codes(scan_table(path), data, always_missing(path))
    columns = _Columns()
    raw = _without_empty_rows(raw, path, columns)
    raw = _without_unusable(raw, {*variables, *groups, *((time.column,) if time else ())}, columns)
    raw, occasions = _stack(raw, data, columns)
    kinds = _kinds(raw, variables, groups, columns)
    _type_columns(raw, kinds, variables, groups, columns)
    failures, counts = _failures(raw, columns)
    return TypedData(
        frame=raw.select(ROW, *(expression.alias(name) for name, expression in columns.expressions.items())),
        variables=columns.variables,
        notes=tuple(columns.notes),
        failures=failures,
        failure_counts=counts,
        problems=tuple(columns.problems),
        occasions=occasions,
    )


def _without_empty_rows(raw: pl.LazyFrame, path: Path, columns: _Columns) -> pl.LazyFrame:
    """Leave out rows without any value, as R does with empty lines; the others keep their numbers."""
    names = [name for name in raw.collect_schema().names() if name != ROW]
    if not names:
        raise DataError(Problem("the table has no columns", str(path), "write the data into it again"))
    empty = pl.all_horizontal(pl.col(names).is_null())
    sizes: Any = raw.select(pl.len().alias("rows"), empty.sum().alias("empty")).collect(engine="streaming")
    rows, blank = sizes.row(0)
    if rows == 0:
        raise DataError(
            Problem("the table has a header and no rows", str(path), "write the data into it again")
        )
    if blank in (0, rows):
        return raw
    left_out = "1 row without any value was" if blank == 1 else f"{blank:,} rows without any value were"
    columns.notes.append(f"{left_out} left out.")
    return raw.filter(~empty)


def _without_unusable(raw: pl.LazyFrame, wanted: set[str], columns: _Columns) -> pl.LazyFrame:
    schema = raw.collect_schema()
    unusable = [name for name, dtype in schema.items() if not name.strip() or not is_readable(dtype)]
    for name in unusable:
        if not name.strip():
            columns.notes.append("A column without a name was left out.")
        elif name in wanted:
            columns.problems.append(
                Problem(
                    f"{name} holds {schema[name]}, which is not a plain value",
                    f"column {name}",
                    "store numbers, text, dates or true/false",
                )
            )
        else:
            columns.notes.append(f"{name} was left out: it holds {schema[name]}, not plain values.")
    return raw.drop(unusable)


def _stack(raw: pl.LazyFrame, data: Data, columns: _Columns) -> tuple[pl.LazyFrame, int]:
    wide = data.wide
    if wide is None:
        return raw, 1
    names = raw.collect_schema().names()
    absent = [name for name in wide.columns if name not in names]
    for name in absent:
        remedy = did_you_mean(name, names) or "name the columns as the file does"
        columns.problems.append(Problem(f"the file has no column {name!r}", "data.wide.columns", remedy))
    taken = [
        (key, name)
        for key, name in (("time", wide.time), ("value", wide.value))
        if name in names and (key == "time" or name not in wide.columns)
    ]
    for key, name in taken:
        problem = Problem(
            f"the file has a column {name!r} already", f"data.wide.{key}", "choose another name"
        )
        columns.problems.append(problem)
    if absent or taken:
        return raw, 1
    return stacked(raw, wide), len(wide.columns)


def _kinds(
    raw: pl.LazyFrame, variables: Mapping[str, Variable], groups: Mapping[str, Group], columns: _Columns
) -> dict[str, Inference]:
    """The type of every column; the note is empty where it was declared."""
    names = [name for name in raw.collect_schema().names() if name != ROW]
    kinds: dict[str, Inference] = {}
    for name in names:
        declared = variables.get(name, UNDECLARED)
        if name in groups:
            kinds[name] = Inference("ordinal" if declared.type == "ordinal" else "categorical", "")
            if declared.type not in (None, "categorical", "ordinal"):
                columns.problems.append(
                    Problem(
                        f"{name} is a grouping factor and is declared {declared.type}",
                        f"variables.{name}.type",
                        "leave the type out, or store the variable a second time under another name",
                    )
                )
        elif declared.type is not None:
            kinds[name] = Inference(declared.type, "")
        elif declared.levels is not None or declared.reference is not None:
            kinds[name] = Inference("categorical", "")
            columns.notes.append(f"{name} is taken as categorical, because it has levels.")
    kinds |= infer(raw, [name for name in names if name not in kinds])
    return {name: kinds[name] for name in names}


def _type_columns(
    raw: pl.LazyFrame,
    kinds: Mapping[str, Inference],
    variables: Mapping[str, Variable],
    groups: Mapping[str, Group],
    columns: _Columns,
) -> None:
    schema = raw.collect_schema()
    factors = [name for name, kind in kinds.items() if kind.type in FACTORS]
    ids = frozenset(name for name in factors if name in groups or kinds[name].type == "binary")
    found = found_labels(raw, factors, ids)
    for name, kind in kinds.items():
        declared, dtype = variables.get(name, UNDECLARED), schema[name]
        levels: tuple[str, ...] = ()
        if kind.note:
            columns.notes.append(kind.note)
        if name in found:
            factor = _factor(name, dtype, found[name], declared, kind.type, is_group=name in groups)
            columns.notes.extend(factor.notes)
            columns.problems.extend(factor.problems)
            columns.expressions[name], levels = factor.expression, factor.levels
        else:
            columns.expressions[name] = _plain(name, dtype, kind.type)
        columns.variables[name] = VariableInfo(
            name, kind.type, not kind.note, levels, declared.unit, declared.label
        )


def _factor(
    name: str, dtype: pl.DataType, found: list[str], declared: Variable, kind: str, *, is_group: bool
) -> Factor:
    if is_group:
        return grouping(name, dtype, found, declared)
    if kind != "binary":
        return categorical(name, dtype, found, declared, ordered=kind == "ordinal")
    problem = binary_problem(name, declared)
    if problem:
        return Factor(pl.lit(None, dtype=pl.Int8).alias(name), (), problems=(problem,))
    return binary(name, dtype, found, declared)


def _plain(name: str, dtype: pl.DataType, kind: str) -> pl.Expr:
    if kind == TEXT:
        return pl.col(name).cast(pl.String)
    return {"continuous": number, "count": count, "date": date}[kind](name, dtype)


def _failures(raw: pl.LazyFrame, columns: _Columns) -> tuple[pl.DataFrame, dict[str, int]]:
    """Values that are there in the file and null once typed."""
    lost = {
        name: pl.col(name).is_not_null() & expression.is_null()
        for name, expression in columns.expressions.items()
        if columns.variables[name].declared and not any(_is_about(name, item) for item in columns.problems)
    }
    empty = pl.DataFrame(schema=dict(FAILURES))
    if not lost:
        return empty, {}
    totals: Any = raw.select(mask.sum().alias(name) for name, mask in lost.items()).collect(
        engine="streaming"
    )
    counts = {name: int(total) for name, total in totals.row(0, named=True).items() if total}
    schema = raw.collect_schema()
    listed: list[Any] = [
        raw.filter(lost[name])
        .select(
            pl.lit(name).alias("column"),
            pl.col(ROW).alias("row"),
            labels(name, schema[name]).alias("value"),
            pl.lit(REASONS[columns.variables[name].type]).alias("reason"),
        )
        .head(MOST_LISTED)
        .collect(engine="streaming")
        for name in counts
    ]
    return pl.concat([empty, *listed]), counts


def _is_about(name: str, problem: Problem) -> bool:
    return problem.where == f"column {name}"
