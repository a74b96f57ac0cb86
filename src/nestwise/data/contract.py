"""The contract between a study file and its data: every check, none of which raises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from nestwise.config.study import DataDescription
from nestwise.data.column_checks import check_constant, check_content, is_constant
from nestwise.data.derive import derivation_problems
from nestwise.data.files import collect
from nestwise.data.nesting_checks import check_declaration, check_nesting, check_sizes, declared_within
from nestwise.data.summary import summarise_variables, variation
from nestwise.data.time_checks import check_time
from nestwise.data.typed import TypedData
from nestwise.data.validation import (
    DataCheck,
    Validation,
    failed,
    passed,
)
from nestwise.data.value_checks import check_values
from nestwise.errors import Problem
from nestwise.names import did_you_mean

__all__ = ["DataCheck", "Validation", "validate"]


def validate(typed: TypedData, study: DataDescription, *, source: str) -> Validation:
    """Hold data against their study file.

    Parameters
    ----------
    typed : TypedData
        As `nestwise.data.read.read` or `load_typed` gives it; read several times, never held whole.
    study : DataDescription
        The sections of the study file that describe the data (a `Study` is one).
    source : str
        Name of the data in sentences, usually the source's path.

    Returns
    -------
    Validation
        Bad data never raise: what is wrong stands in `errors` and `warnings`.
    """
    names = list(typed.variables)
    n_rows = int(collect(typed.frame.select(pl.len())).item())
    checks = [_reading(typed, source), *check_columns(names, study, source), _rows(n_rows, source)]
    checks += check_declaration(study.groups, source)
    within = declared_within(study.groups, names)
    value_checks, failures, totals = check_values(typed, study, source)
    checks += value_checks
    nesting, relations = check_nesting(typed.frame, within, source)
    counting, sizes = check_sizes(typed.frame, within, study.groups, source)
    varying, missingness = variation(typed, within)
    constant, constant_failures, constant_totals = check_constant(typed, study, within, varying, source)
    checks += [*nesting, *counting, *constant]
    summary: dict[str, Any] | None = None
    if study.time and study.time.column in names:
        timing, summary = check_time(typed, study.time, list(within), source)
        checks += timing
    variables = summarise_variables(
        typed, list(within), varying, {name: size["n_groups"] for name, size in sizes.items()}
    )
    checks += [
        *check_content(variables, study, source),
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


def _reading(typed: TypedData, source: str) -> DataCheck:
    if not typed.problems:
        return passed("columns.types", "error", "Every column can be read as declared.", typed.variables)
    first, *others = typed.problems
    more = "".join(f"; {problem.what}" for problem in others)
    problem = Problem(first.what + more, f"{source}, {first.where}", first.way_out)
    return failed("columns.types", "error", problem, count=len(typed.problems))


def _rows(n_rows: int, source: str) -> DataCheck:
    if n_rows:
        return passed("rows.any", "error", f"The table has {n_rows:,} {'row' if n_rows == 1 else 'rows'}.")
    return failed(
        "rows.any", "error", Problem("the table has no rows with a value", source, "fill it"), count=0
    )


def check_columns(names: Sequence[str], study: DataDescription, source: str) -> list[DataCheck]:
    """Columns the study file names and the data lack, and the other way round."""
    derived = {derivation.as_ for derivation in study.derive}
    wanted = _wanted(study)
    checks = []
    for name, keys in wanted.items():
        if name in names or (name in derived and not any(key.startswith("groups") for key in keys)):
            continue
        remedy = did_you_mean(name, names) or f"the columns are {', '.join(names[:20])}"
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
    one = len(unlisted) == 1
    problem = Problem(
        f"{'1 column is' if one else f'{len(unlisted)} columns are'} not listed in the study file "
        f"({', '.join(unlisted[:10])}{' ...' if len(unlisted) > 10 else ''})",
        source,
        f"{'its type is' if one else 'their types are'} inferred; declare what matters under variables",
    )
    return [*checks, failed("columns.declared", "info", problem, unlisted, count=len(unlisted))]


def _wanted(study: DataDescription) -> dict[str, list[str]]:
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
    if study.missing.events:
        add(study.missing.events.column, "missing.events")
    if study.data.wide:
        add(study.data.wide.time, "data.wide.time")
        add(study.data.wide.value, "data.wide.value")
    return wanted


def _check_derivations(
    typed: TypedData, study: DataDescription, variables: Sequence[Mapping[str, Any]], source: str
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
    constant = {variable["name"] for variable in variables if is_constant(variable)}
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
