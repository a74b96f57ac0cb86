"""What columns hold: values that should agree and do not, columns that hold nothing or one value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from nestwise.config.study import DataDescription
from nestwise.data.dataset import ROW
from nestwise.data.derive import group_keys
from nestwise.data.files import collect
from nestwise.data.typed import TypedData
from nestwise.data.validation import (
    MOST_LISTED,
    ROW_FAILURES,
    DataCheck,
    failed,
    passed,
    place,
    shorten,
)
from nestwise.errors import Problem
from nestwise.names import did_you_mean


def check_constant(
    typed: TypedData,
    study: DataDescription,
    within: Mapping[str, str | None],
    varying: Mapping[str, Mapping[str, int]],
    source: str,
) -> tuple[list[DataCheck], list[pl.DataFrame], dict[str, int]]:
    """Variables declared constant inside a group that vary there, with the rows that disagree."""
    checks: list[DataCheck] = []
    failures: list[pl.DataFrame] = []
    totals: dict[str, int] = {}
    for name, declared in study.variables.items():
        group = declared.constant_within
        if group is None or name not in typed.variables:
            continue
        if group not in within:
            where = f"{source}, variables.{name}.constant_within"
            remedy = did_you_mean(group, within) or f"grouping factors are {', '.join(study.groups)}"
            checks.append(
                failed(
                    "values.constant_within",
                    "error",
                    Problem(f"{group!r} is not a grouping factor with data", where, remedy),
                    [name],
                )
            )
        elif varying[group].get(name):
            rows, total = _deviating(typed, name, group_keys(group, within))
            failures.append(rows)
            totals[f"values.constant_within:{name}"] = total
            problem = Problem(
                f"{name} is declared constant within {group} and varies in {varying[group][name]:,} of them",
                place(source, name, rows["row"].to_list(), total),
                "correct the values, or take constant_within away",
            )
            checks.append(
                failed(
                    "values.constant_within",
                    "error",
                    problem,
                    [name, group],
                    count=total,
                    rows=rows["row"].to_list(),
                )
            )
    if not checks:
        checks = [passed("values.constant_within", "error", "Variables declared constant in groups are so.")]
    return checks, failures, totals


def _deviating(typed: TypedData, name: str, keys: Sequence[str]) -> tuple[pl.DataFrame, int]:
    """Rows whose value differs from the first of their group."""
    first = (
        typed.frame.select(*keys, name)
        .drop_nulls()
        .group_by(keys, maintain_order=True)
        .agg(pl.col(name).first().alias(".first"))
    )
    different = (
        typed.frame.select(ROW, *keys, name)
        .join(first, on=list(keys), how="inner")
        .filter(pl.col(name) != pl.col(".first"))
    )
    total = int(collect(different.select(pl.len())).item())
    rows = collect(
        different.select(
            pl.lit("values.constant_within").alias("check"),
            pl.lit(name).alias("column"),
            ((pl.col(ROW) - 1) // typed.occasions + 1).alias("row"),
            pl.col(name).cast(pl.String).alias("value"),
            pl.format("differs from the first value {} of its group", pl.col(".first").cast(pl.String)).alias(
                "message"
            ),
        ).head(MOST_LISTED)
    )
    return rows.select(list(ROW_FAILURES)).sort("row"), total


def check_content(
    variables: Sequence[Mapping[str, Any]], study: DataDescription, source: str
) -> list[DataCheck]:
    """Columns that hold nothing, or one value only, and levels that differ by spaces or capitals."""
    checks = []
    for variable in variables:
        name, where = variable["name"], place(source, variable["name"])
        if variable["n"] == 0:
            needed = name in study.groups or (study.time is not None and name == study.time.column)
            problem = Problem(f"{name} has no value at all", where, "check the file and the missing codes")
            checks.append(
                failed(
                    "columns.empty",
                    "error" if needed else "warning",
                    problem,
                    [name],
                    count=variable["missing"],
                )
            )
        elif is_constant(variable) and variable["n"] > 1:
            problem = Problem(
                f"{name} has the same value in every row", where, "a model can learn nothing from it"
            )
            checks.append(failed("columns.constant", "warning", problem, [name]))
        checks += _similar_levels(variable, where)
    if not any(check.name == "columns.empty" for check in checks):
        checks.append(passed("columns.empty", "warning", "Every column has values."))
    if not any(check.name == "columns.constant" for check in checks):
        checks.append(passed("columns.constant", "warning", "Every column varies."))
    return checks


def is_constant(variable: Mapping[str, Any]) -> bool:
    """Whether all the values of a summarised variable are the same; never of a grouping factor."""
    if variable["grouping_factor"]:
        return False
    if variable["levels"] is not None:
        return sum(1 for count in variable["levels"].values() if count) == 1
    if variable["min"] is None:
        return False
    return bool(variable["min"] == variable["max"]) and not variable["infinite"]


def _similar_levels(variable: Mapping[str, Any], where: str) -> list[DataCheck]:
    alike: dict[str, list[str]] = {}
    for level in variable["levels"] or {}:
        alike.setdefault(" ".join(level.casefold().split()), []).append(level)
    same = [levels for levels in alike.values() if len(levels) > 1]
    if not same:
        return []
    shown = "; ".join(" and ".join(map(shorten, levels)) for levels in same[:5])
    problem = Problem(
        f"levels differ by spaces or capitals only ({shown})", where, "write them alike if they mean the same"
    )
    return [failed("values.similar_levels", "warning", problem, [variable["name"]], count=len(same))]
