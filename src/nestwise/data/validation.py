"""The record of a validation: every check with its verdict, and the tables a reader wants."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import polars as pl

from nestwise.errors import Problem

Level = Literal["error", "warning", "info"]

ROW_FAILURES: Mapping[str, type[pl.DataType]] = {
    "check": pl.String,
    "column": pl.String,
    "row": pl.Int64,
    "value": pl.String,
    "message": pl.String,
}
"""Columns of the row-level failure list; `row` is the row in the source, from 1 below the header."""
MOST_LISTED = 1000
"""Rows listed a check and column; all are counted."""
FIRST_ROWS = 10


@dataclass(frozen=True)
class DataCheck:
    """One check and its verdict.

    Attributes
    ----------
    name : str
        What was checked, e.g. ``values.range``.
    level : str
        What a failure means: error (the study stops), warning (it goes to the ledger) or info.
    passed : bool
        The verdict.
    columns : tuple of str
        Columns concerned.
    count : int
        How many values, rows or groups fail.
    rows : tuple of int
        The first of the failing rows, as counted in the source.
    sentence : str
        The verdict in words, with place and way out.
    problem : Problem or None
        The same in parts, when the check failed.
    """

    name: str
    level: Level
    passed: bool
    sentence: str
    columns: tuple[str, ...] = ()
    count: int = 0
    rows: tuple[int, ...] = ()
    problem: Problem | None = None


@dataclass(frozen=True)
class Validation:
    """What is known of a study's data before a model sees them.

    Attributes
    ----------
    source : str
        Where the data come from.
    n_rows, n_columns : int
        Size of the table (after wide to long).
    checks : tuple of DataCheck
        Every check, passed or not.
    failures : polars.DataFrame
        Failing rows (`ROW_FAILURES`), at most 1,000 a check and column.
    failure_totals : mapping of str to int
        All failing rows a ``check:column``.
    variables : tuple of mapping
        One a variable: name, type, declared, unit, label, n, missing, missing_share, min, mean, sd, max,
        levels (mapping of label to count), n_levels, varies_at.
    groups : tuple of mapping
        One a grouping factor: name, label, n_groups, min, median, max, singletons, within (declared),
        nested_in, crossed_with, restarts_in.
    missingness : tuple of mapping
        One a variable and grouping factor with missing values: variable, group, n_groups,
        groups_complete, groups_partly, groups_wholly.
    time : mapping or None
        column, unit, first, last, n_times, equally_spaced.
    notes : tuple of str
        What was inferred or left out in reading.
    """

    source: str
    n_rows: int
    n_columns: int
    checks: tuple[DataCheck, ...]
    failures: pl.DataFrame
    failure_totals: Mapping[str, int] = field(default_factory=dict)
    variables: tuple[Mapping[str, Any], ...] = ()
    groups: tuple[Mapping[str, Any], ...] = ()
    missingness: tuple[Mapping[str, Any], ...] = ()
    time: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()

    @property
    def errors(self) -> tuple[DataCheck, ...]:
        """Failed checks that stop the study."""
        return tuple(check for check in self.checks if check.level == "error" and not check.passed)

    @property
    def warnings(self) -> tuple[DataCheck, ...]:
        """Failed checks for the ledger of warnings."""
        return tuple(check for check in self.checks if check.level == "warning" and not check.passed)

    def to_json(self) -> dict[str, Any]:
        """The record without the row-level list, ready for `nestwise.storage.write_json`.

        Texts (labels, values) are raw: whoever shows them escapes them.
        """
        content = {
            "source": self.source,
            "n_rows": self.n_rows,
            "n_columns": self.n_columns,
            "passed": not self.errors,
            "checks": [asdict(check) for check in self.checks],
            "n_failures": sum(self.failure_totals.values()),
            "failure_totals": dict(self.failure_totals),
            "variables": [dict(variable) for variable in self.variables],
            "groups": [dict(group) for group in self.groups],
            "missingness": [dict(entry) for entry in self.missingness],
            "time": dict(self.time) if self.time is not None else None,
            "notes": list(self.notes),
        }
        plain: dict[str, Any] = _plain(content)
        return plain


def validation_from_json(content: Mapping[str, Any], failures: pl.DataFrame | None = None) -> Validation:
    """The record that `Validation.to_json` wrote, with the row-level list if it is at hand."""
    names = ("source", "n_rows", "n_columns", "failure_totals", "time")
    fields: dict[str, Any] = {name: content[name] for name in names}
    tables: dict[str, Any] = {
        name: tuple(content[name]) for name in ("variables", "groups", "missingness", "notes")
    }
    return Validation(
        checks=tuple(_check(check) for check in content["checks"]),
        failures=failures if failures is not None else pl.DataFrame(schema=dict(ROW_FAILURES)),
        **fields,
        **tables,
    )


def _check(content: Mapping[str, Any]) -> DataCheck:
    problem = Problem(**content["problem"]) if content["problem"] else None
    lists = {name: tuple(content[name]) for name in ("columns", "rows")}
    return DataCheck(**(dict(content) | lists | {"problem": problem}))


def _plain(content: Any) -> Any:
    """JSON has no NaN and no infinity: both are null."""
    if isinstance(content, Mapping):
        return {str(key): _plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_plain(value) for value in content]
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if content is None or isinstance(content, str | int | bool):
        return content
    return str(content)


def passed(name: str, level: Level, sentence: str, columns: Iterable[str] = ()) -> DataCheck:
    """A check that passed."""
    return DataCheck(name, level, True, sentence, tuple(columns))


def failed(
    name: str,
    level: Level,
    problem: Problem,
    columns: Iterable[str] = (),
    *,
    count: int = 1,
    rows: Sequence[int] = (),
) -> DataCheck:
    """A check that failed."""
    return DataCheck(
        name, level, False, str(problem), tuple(columns), count, tuple(rows[:FIRST_ROWS]), problem
    )


def place(source: str, column: str = "", rows: Sequence[int] = (), total: int | None = None) -> str:
    """File, column and rows as a sentence names them."""
    parts = [source]
    if column:
        parts.append(f"column {column}")
    if rows:
        count = len(rows) if total is None else total
        shown = ", ".join(map(str, rows[:5]))
        more = f" and {count - 5:,} more" if count > 5 else ""
        parts.append(f"{'row' if count == 1 else 'rows'} {shown}{more}")
    return ", ".join(parts)


def shorten(text: str | None, length: int = 60) -> str:
    """A value as a sentence shows it."""
    shown = "missing" if text is None else repr(text)
    return shown if len(shown) <= length else f"{shown[:length]}...'"
