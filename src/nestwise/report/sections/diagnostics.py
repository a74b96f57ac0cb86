"""Can the fits be trusted? Verdicts in plain words, then the figures that show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from nestwise.names import several
from nestwise.numbers import count, decimals_for, fixed, interval, percent, say
from nestwise.report.blocks import Block, Cell, Fold, Heading, Section, Table, cells, figures
from nestwise.report.record import ReportRecord
from nestwise.report.words import engine_name

MOST_CHECKS = 200
STATISTICS = {
    "sd": "SD",
    "min": "smallest value",
    "max": "largest value",
    "sd_of_group_means": "SD of group means",
}


def diagnostics_section(record: ReportRecord) -> Section | None:
    """Show every check with its verdict, and the figures of `record` that other sections have not shown."""
    pictures = [picture for picture in record.pictures if not picture.reason]
    undrawn = [picture for picture in record.pictures if picture.reason]
    if record.checks.is_empty() and not pictures:
        return None
    blocks: list[Block] = []
    attention = record.checks.filter(~pl.col("ok"))
    if not attention.is_empty():
        blocks.append(_table("What needs attention", attention))
    if not record.checks.is_empty():
        passed = record.checks.filter(pl.col("ok"))
        title = f"All {count(passed.height)} checks that passed"
        if not passed.is_empty():
            blocks.append(Fold(title, (_table("Checks that passed", passed),)))
    predictive = _predictive(record)
    blocks += [predictive] if predictive else []
    blocks += _quadrature(record)
    for model in ("", *record.models):
        own = [picture for picture in pictures if picture.model == model]
        if own and model in ("", record.main_model):
            blocks += [Heading(f"Figures of {model}" if model else "Figures of the data"), *figures(own)]
        elif own:
            blocks.append(Fold(f"Figures of {model}", tuple(figures(own)), bulky=True))
    if undrawn:
        rows = tuple(cells(each.title, each.model or "all", each.reason) for each in undrawn)
        table = Table("Figures that were not drawn", ("Figure", "Model", "Why"), rows, "lll")
        blocks.append(Fold(f"{count(len(undrawn))} figures that were not drawn", (table,)))
    return Section("diagnostics", "Can the fits be trusted?", _lead(record, attention), tuple(blocks))


def _lead(record: ReportRecord, attention: pl.DataFrame) -> str:
    total = record.checks.height
    if not total:
        return "No fit left checks; the figures show what can be seen of the fits."
    if attention.is_empty():
        return f"All {count(total)} checks of the fits passed."
    fits = [
        f"{model} by {engine_name(engine)}"
        for model, engine in attention.select("model", "engine").unique(maintain_order=True).rows()
    ]
    verb = "needs" if attention.height == 1 else "need"
    return (
        f"{count(total - attention.height)} of {count(total)} checks passed; {count(attention.height)} "
        f"{verb} "
        f"attention, in {several(fits, 4)}."
    )


def _predictive(record: ReportRecord) -> Table | None:
    """The posterior predictive check of the main model: the data among their replicates."""
    own = record.records.get((record.main_model, "pymc"), {})
    listed = (own.get("posterior_predictive") or {}).get("statistics") or ()
    if not listed:
        return None
    rows = []
    for row in listed:
        decimals = decimals_for((row["upper"] - row["lower"]) / 4)
        rows.append(
            cells(
                STATISTICS.get(row["statistic"], str(row["statistic"]).replace("_", " ")),
                fixed(row["observed"], decimals),
                fixed(row["mean"], decimals),
                interval(row["lower"], row["upper"]),
                percent(row["p_larger"]),
            )
        )
    return Table(
        caption=f"Would `{record.main_model}` produce data like these? (posterior predictive check)",
        head=(
            "Statistic",
            "Data",
            "Replicates, mean",
            "Replicates, interval",
            "Replicates that exceed the data",
        ),
        rows=tuple(rows),
        align="lrrrr",
        note="A share near 0% or 100% marks a feature of the data that the model does not produce.",
    )


def _quadrature(record: ReportRecord) -> list[Block]:
    """What more quadrature points change in the main model."""
    saved = record.records.get((record.main_model, "glmm")) or {}
    points: Sequence[Mapping[str, Any]] = saved.get("points") or ()
    if len(points) < 2:
        return []
    terms = list(points[0]["fixed"])
    rows = [
        cells(
            count(int(row["points"])),
            fixed(row["log_likelihood"], 3),
            *(say(sd) for sd in row["sd"]),
            *(say(row["fixed"].get(term)) for term in terms),
        )
        for row in points
    ]
    sds = [
        f"SD {place}" if len(points[0]["sd"]) > 1 else "SD" for place in range(1, len(points[0]["sd"]) + 1)
    ]
    table = Table(
        caption=f"Does the answer of `{record.main_model}` depend on the quadrature points?",
        head=("Points", "Log-likelihood", *sds, *terms),
        rows=tuple(rows),
        align="r" * (2 + len(sds) + len(terms)),
        note="One point is Laplace's approximation. Points are raised until neither likelihood nor estimates "
        "change; the last row checks those before it.",
    )
    return [Fold("Quadrature points and what they change", (table,))]


def _table(caption: str, part: pl.DataFrame) -> Table:
    rows = [
        cells(
            Cell(row["check"].replace("_", " ")),
            Cell(row["model"], "", engine_name(row["engine"])),
            Cell("passed", "good") if row["ok"] else Cell("attention", "attention"),
            say(row["value"]),
            say(row["limit"]),
            row["advice"] or "",
        )
        for row in part.head(MOST_CHECKS).to_dicts()
    ]
    return Table(
        caption=caption,
        head=("Check", "Fit", "Verdict", "Value", "Limit", "In plain words"),
        rows=tuple(rows),
        align="lllrrl",
        note="" if part.height <= MOST_CHECKS else f"The first {MOST_CHECKS} of {count(part.height)}.",
    )
