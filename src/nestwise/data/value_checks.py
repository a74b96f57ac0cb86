"""Checks of single values, with the rows that fail: pandera on Polars, batch by batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import polars as pl

from nestwise.config.study import DataDescription, Variable
from nestwise.data.casts import labels
from nestwise.data.dataset import ROW, VariableInfo
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

BATCH = 250_000
"""Rows judged at a time: memory stays flat however long the table is."""

CHECKS: Mapping[str, tuple[str, str]] = {
    "values.type": ("not of its type", "mend the value, or list it under data.missing_values"),
    "values.range": ("outside the range", "mend the value, or widen min and max in the study file"),
    "values.levels": ("not one of the declared levels", "mend the value, or add it to levels"),
    "values.finite": ("infinite", "mend the value, or list it under data.missing_values"),
    "ids.present": ("missing in a grouping factor", "fill the id in, or take the row out of the file"),
}
"""What a failing value of each check is, and the way out."""

PASSED: Mapping[str, str] = {
    "values.type": "Every value is of its declared type.",
    "values.range": "Every value lies inside its declared range.",
    "values.levels": "Every value is one of the declared levels.",
    "values.finite": "No value is infinite.",
    "ids.present": "Every row says which group it belongs to.",
}


def check_values(
    typed: TypedData, study: DataDescription, source: str
) -> tuple[list[DataCheck], pl.DataFrame, dict[str, int]]:
    """Judge every value of every row.

    Returns
    -------
    checks : list of DataCheck
        One a failing check and column, one a check that passed.
    failures : polars.DataFrame
        `ROW_FAILURES`, at most 1,000 rows a check and column.
    totals : dict of str to int
        All failures, by ``check:column``.
    """
    totals: Counter[tuple[str, str]] = Counter()
    parts = [pl.DataFrame(schema=dict(ROW_FAILURES)), _type_failures(typed)]
    for column, count in typed.failure_counts.items():
        totals["values.type", column] += count
    rules = _rules(typed, study)
    if rules:
        for part in _batches(typed, rules):
            new = {
                (check, column): count
                for check, column, count in part.group_by("check", "column").len().iter_rows()
            }
            kept = [
                part.filter((pl.col("check") == check) & (pl.col("column") == column)).head(
                    max(0, MOST_LISTED - totals[check, column])
                )
                for check, column in sorted(new)
            ]
            parts += kept
            totals.update(new)
    failures = pl.concat(parts)
    if typed.occasions > 1:
        failures = failures.with_columns((pl.col("row") - 1) // typed.occasions + 1)
    checks = _verdicts(failures, totals, source, study)
    return checks, failures, {f"{check}:{column}": count for (check, column), count in totals.items()}


def _type_failures(typed: TypedData) -> pl.DataFrame:
    return typed.failures.select(
        pl.lit("values.type").alias("check"), "column", "row", "value", pl.col("reason").alias("message")
    )


def _rules(typed: TypedData, study: DataDescription) -> dict[str, Any]:
    """A pandera column for every column with something to hold it against."""
    import pandera.polars as pa

    rules = {}
    for name, info in typed.variables.items():
        declared = study.variables.get(name, Variable())
        checks = _column_checks(info, declared)
        is_group = name in study.groups
        if checks or is_group:
            rules[name] = pa.Column(None, checks, nullable=not is_group, required=True)
    return rules


def _column_checks(info: VariableInfo, declared: Variable) -> list[Any]:
    import pandera.polars as pa

    checks = []
    if info.type == "continuous":
        checks.append(pa.Check(_finite, error="values.finite"))
    lowest = declared.min if declared.min is not None else (0.0 if info.type == "count" else None)
    if info.type in ("continuous", "count"):
        # Infinities are reported once, as infinite.
        if lowest is not None:
            checks.append(pa.Check(_at_least(lowest), error="values.range"))
        if declared.max is not None:
            checks.append(pa.Check(_at_most(declared.max), error="values.range"))
    if info.type in ("categorical", "ordinal") and declared.levels is not None:
        checks.append(pa.Check.isin(list(info.levels), error="values.levels"))
    return checks


def _finite(data: Any) -> pl.LazyFrame:
    frame: pl.LazyFrame = data.lazyframe
    return frame.select(pl.col(data.key).is_finite())


def _at_least(lowest: float) -> Any:
    return lambda data: data.lazyframe.select((pl.col(data.key) >= lowest) | ~_is_finite(data.key))


def _at_most(highest: float) -> Any:
    return lambda data: data.lazyframe.select((pl.col(data.key) <= highest) | ~_is_finite(data.key))


def _is_finite(key: str) -> pl.Expr:
    return pl.col(key).cast(pl.Float64).is_finite()


def _batches(typed: TypedData, rules: Mapping[str, Any]) -> Any:
    """Failures of each batch of rows; columns go under plain names, because pandera reads regex in names."""
    import pandera.polars as pa
    from pandera.errors import SchemaErrors

    plain = {name: f"c{position}" for position, name in enumerate(rules)}
    schema = pa.DataFrameSchema({plain[name]: column for name, column in rules.items()})
    names = {short: name for name, short in plain.items()}
    selected = typed.frame.select(ROW, *(pl.col(name).alias(short) for name, short in plain.items()))
    for batch in selected.collect_batches(chunk_size=BATCH, maintain_order=True):
        try:
            schema.validate(batch, lazy=True)
        except SchemaErrors as error:
            yield _listed(batch, error.failure_cases, names)


def _listed(batch: pl.DataFrame, cases: pl.DataFrame, names: Mapping[str, str]) -> pl.DataFrame:
    cases = cases.with_columns(check=pl.col("check").replace("not_nullable", "ids.present"))
    unknown = set(cases["check"].unique()) - set(CHECKS)
    assert not unknown, f"pandera failed otherwise: {cases.filter(pl.col('check').is_in(sorted(unknown)))}"
    parts = []
    for (short,), part in cases.group_by("column"):
        at = part["index"]
        values = batch.select(labels(str(short), batch.schema[str(short)]).alias("value"))["value"]
        parts.append(
            part.select(
                "check",
                pl.lit(names[str(short)]).alias("column"),
                batch[ROW].gather(at).alias("row"),
                values.gather(at).alias("value"),
                pl.col("check")
                .replace_strict({check: what for check, (what, _) in CHECKS.items()})
                .alias("message"),
            )
        )
    return pl.concat(parts).sort("row")


def _range(declared: Variable) -> str:
    """The range as a sentence shows it; a count is at least 0 without being told."""
    lowest = 0.0 if declared.min is None and declared.type == "count" else declared.min
    ends = [("from", lowest), ("to", declared.max)]
    return " ".join(f"{word} {end:g}" for word, end in ends if end is not None)


def _verdicts(
    failures: pl.DataFrame, totals: Mapping[tuple[str, str], int], source: str, study: DataDescription
) -> list[DataCheck]:
    checks = []
    for name, (what, way_out) in CHECKS.items():
        columns = [column for check, column in totals if check == name]
        for column in columns:
            part = failures.filter((pl.col("check") == name) & (pl.col("column") == column))
            rows, count = part["row"].to_list(), totals[name, column]
            message = str(part["message"][0]) if name == "values.type" else what
            examples = ", ".join(
                shorten(value) for value in part["value"].unique(maintain_order=True).head(3)
            )
            shown = "" if name == "ids.present" else f" ({examples})"
            if name == "values.range":
                message += f" {_range(study.variables.get(column, Variable()))}"
            noun = "1 value is" if count == 1 else f"{count:,} values are"
            problem = Problem(f"{noun} {message}{shown}", place(source, column, rows, count), way_out)
            checks.append(failed(name, "error", problem, [column], count=count, rows=rows))
        if not columns:
            checks.append(passed(name, "error", PASSED[name]))
    return checks
