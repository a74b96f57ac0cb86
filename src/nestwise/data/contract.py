"""The contract between a study file and its data: every check, none of which raises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from nestwise.config.study import Study
from nestwise.data.dataset import ROW
from nestwise.data.derive import derivation_problems, group_keys
from nestwise.data.nesting import check_declaration, check_nesting, check_sizes, declared_within
from nestwise.data.summary import summarise_variables, variation
from nestwise.data.tables import near_names
from nestwise.data.timing import check_time
from nestwise.data.typed import TypedData
from nestwise.data.validation import (
    MOST_LISTED,
    ROW_FAILURES,
    DataCheck,
    Validation,
    failed,
    passed,
    place,
    shorten,
)
from nestwise.data.values import check_values
from nestwise.errors import Problem

__all__ = ["DataCheck", "Validation", "validate"]


def validate(typed: TypedData, study: Study, *, source: str) -> Validation:
    """Hold data against their study file.

    Parameters
    ----------
    typed : TypedData
        As `nestwise.data.read.read` or `load_typed` gives it; read several times, never held whole.
    study : Study
        The study file.
    source : str
        Name of the data in sentences, usually the source's path.

    Returns
    -------
    Validation
        Bad data never raise: what is wrong stands in `errors` and `warnings`.
    """
    names = list(typed.variables)
    n_rows = int(_collect(typed.frame.select(pl.len())).item())
    checks = [_reading(typed, source), *check_columns(names, study, source), _rows(n_rows, source)]
    checks += check_declaration(study.groups, source)
    within = declared_within(study.groups, names)
    value_checks, failures, totals = check_values(typed, study, source)
    checks += value_checks
    nesting, relations = check_nesting(typed.frame, within, source)
    counting, sizes = check_sizes(typed.frame, within, study.groups, source)
    varying, missingness = variation(typed, within)
    constant, constant_failures, constant_totals = _check_constant(typed, study, within, varying, source)
    checks += [*nesting, *counting, *constant]
    summary: dict[str, Any] | None = None
    if study.time and study.time.column in names:
        timing, summary = check_time(typed, study.time, list(within), source)
        checks += timing
    variables = summarise_variables(
        typed, list(within), varying, {name: size["n_groups"] for name, size in sizes.items()}
    )
    checks += [
        *_check_content(variables, study, source),
        *_check_derivations(typed, study, variables, source),
    ]
    return Validation(
        source=source,
        n_rows=n_rows,
        n_columns=len(names),
        checks=tuple(checks),
        failures=pl.concat([failures, *constant_failures]),
        failure_totals=totals | constant_totals,
        variables=tuple(variables),
        groups=tuple(
            {"name": name, "within": within[name]} | sizes[name] | relations[name] for name in within
        ),
        missingness=tuple(missingness),
        time=summary,
        notes=typed.notes,
    )


def _collect(frame: pl.LazyFrame) -> pl.DataFrame:
    collected: Any = frame.collect(engine="streaming")
    assert isinstance(collected, pl.DataFrame)
    return collected


def _reading(typed: TypedData, source: str) -> DataCheck:
    if not typed.problems:
        return passed("columns.types", "error", "Every column can be read as declared.", typed.variables)
    first, *others = typed.problems
    more = "".join(f"; {problem.what}" for problem in others)
    problem = Problem(first.what + more, f"{source}, {first.where}", first.way_out)
    return failed("columns.types", "error", problem, count=len(typed.problems))


def _rows(n_rows: int, source: str) -> DataCheck:
    if n_rows:
        return passed("rows.any", "error", f"The table has {n_rows:,} rows.")
    return failed(
        "rows.any", "error", Problem("the table has no rows with a value", source, "fill it"), count=0
    )


def check_columns(names: Sequence[str], study: Study, source: str) -> list[DataCheck]:
    """Columns the study file names and the data lack, and the other way round."""
    derived = {derivation.as_ for derivation in study.derive}
    wanted = _wanted(study)
    checks = []
    for name, keys in wanted.items():
        if name in names or (name in derived and not any(key.startswith("groups") for key in keys)):
            continue
        remedy = near_names(name, names) or f"the columns are {', '.join(names[:20])}"
        problem = Problem(
            f"there is no column {name!r}, which the study file names under {', '.join(keys)}",
            source,
            f"{remedy}; names are compared letter by letter",
        )
        checks.append(failed("columns.present", "error", problem, [name]))
    if not checks:
        checks = [passed("columns.present", "error", "Every column the study file names is there.", wanted)]
    unlisted = [name for name in names if name not in wanted]
    if not unlisted:
        return [*checks, passed("columns.declared", "info", "The study file lists every column.", names)]
    problem = Problem(
        f"{len(unlisted)} columns are not listed in the study file ({', '.join(unlisted[:10])}"
        f"{' ...' if len(unlisted) > 10 else ''})",
        source,
        "their types are inferred; declare those that matter under variables",
    )
    return [*checks, failed("columns.declared", "info", problem, unlisted, len(unlisted))]


def _wanted(study: Study) -> dict[str, list[str]]:
    """Columns the study file names, each with the keys that name it."""
    wanted: dict[str, list[str]] = {}

    def add(name: str, key: str) -> None:
        wanted.setdefault(name, []).append(key)

    for name in study.groups:
        add(name, "groups")
    for name in study.variables:
        add(name, "variables")
    if study.time:
        add(study.time.column, "time.column")
    if study.missing.arm:
        add(study.missing.arm.column, "missing.arm")
    if study.data.wide:
        add(study.data.wide.time, "data.wide.time")
        add(study.data.wide.value, "data.wide.value")
    return wanted


def _check_constant(
    typed: TypedData,
    study: Study,
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
            remedy = near_names(group, within) or f"grouping factors are {', '.join(study.groups)}"
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
                    "values.constant_within", "error", problem, [name, group], total, rows["row"].to_list()
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
    total = int(_collect(different.select(pl.len())).item())
    rows = _collect(
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


def _check_content(variables: Sequence[Mapping[str, Any]], study: Study, source: str) -> list[DataCheck]:
    """Columns that hold nothing, or one value only, and levels that differ by spaces or capitals."""
    checks = []
    for variable in variables:
        name, where = variable["name"], place(source, variable["name"])
        if variable["n"] == 0:
            needed = name in study.groups or (study.time is not None and name == study.time.column)
            problem = Problem(f"{name} has no value at all", where, "check the file and the missing codes")
            checks.append(
                failed(
                    "columns.empty", "error" if needed else "warning", problem, [name], variable["missing"]
                )
            )
        elif _is_constant(variable) and variable["n"] > 1:
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


def _is_constant(variable: Mapping[str, Any]) -> bool:
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
    return [failed("values.similar_levels", "warning", problem, [variable["name"]], len(same))]


def _check_derivations(
    typed: TypedData, study: Study, variables: Sequence[Mapping[str, Any]], source: str
) -> list[DataCheck]:
    problems = derivation_problems(typed.frame.collect_schema(), study.derive)
    problems += [
        Problem(
            f"{derivation.group} is not a grouping factor",
            f"derive, {derivation.as_}",
            "declare it under groups",
        )
        for derivation in study.derive
        if derivation.group and derivation.group in typed.variables and derivation.group not in study.groups
    ]
    constant = {variable["name"] for variable in variables if _is_constant(variable)}
    problems += [
        Problem(
            f"{derivation.source} does not vary and has no scale", f"derive, {derivation.as_}", "leave it out"
        )
        for derivation in study.derive
        if derivation.kind == "scale" and derivation.source in constant
    ]
    if not problems:
        return [passed("derive", "error", "Every derived variable can be computed.")]
    return [
        failed(
            "derive",
            "error",
            Problem(problem.what, f"{source}, {problem.where}", problem.way_out),
        )
        for problem in problems
    ]
