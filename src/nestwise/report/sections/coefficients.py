"""Coefficients of generalised models, those of a typical group and those of the average kept apart."""

from __future__ import annotations

from collections.abc import Sequence

from nestwise.names import plural
from nestwise.numbers import NOTHING, interval, p_value, say, with_error
from nestwise.report.blocks import Block, Cell, Section, Table, cells, main_first
from nestwise.report.record import ReportRecord
from nestwise.report.targets import (
    CONDITIONAL_ENGINES,
    MARGINAL_ENGINES,
    Outcome,
    Row,
    coefficients,
    fit_of,
    group_noun,
    outcome_of,
    ratio_of,
    whom,
)
from nestwise.report.words import engine_name, unit_of
from nestwise.vocabulary import INTERCEPT


def coefficients_section(record: ReportRecord) -> Section | None:
    """A table for each engine: what it estimates, and of whom."""
    parts = {model: _one_model(record, model) for model in record.models}
    if not any(parts.values()):
        return None
    return Section(
        "coefficients", "Effects, and whom they are about", _lead(record), main_first(record, parts)
    )


def _lead(record: ReportRecord) -> str:
    both = [
        model
        for model in record.models
        if fit_of(record, model, CONDITIONAL_ENGINES) and fit_of(record, model, MARGINAL_ENGINES)
    ]
    curved = [model for model in both if outcome_of(record, model).link not in ("identity", "log")]
    if curved:
        return (
            "The coefficients of a mixed model and of estimating equations answer different questions: they "
            "are not two estimates of one number, and each table says whom its numbers are about. The "
            "section on conditional and marginal effects sets them side by side."
        )
    if both:
        return (
            "With this link the coefficients beside the intercept mean the same for one group and for the "
            "average of groups; each table says how they were found."
        )
    return "What each coefficient says, on the scale of the link and as a ratio, and whom it is about."


def _one_model(record: ReportRecord, model: str) -> list[Block]:
    outcome = outcome_of(record, model)
    blocks: list[Block] = []
    conditional = None if outcome.linear else fit_of(record, model, CONDITIONAL_ENGINES)
    for fit in (conditional, fit_of(record, model, MARGINAL_ENGINES)):
        if fit is not None and (rows := coefficients(record, model, str(fit["engine"]))):
            blocks.append(_table(record, fit, rows, outcome))
    return blocks


def _table(record: ReportRecord, fit: Row, rows: Sequence[Row], outcome: Outcome) -> Table:
    model, engine = str(fit["model"]), str(fit["engine"])
    ratio = outcome.ratio
    level = f"{record.study.compare.level:.0%}"
    named = {str(name) for name in record.designs.get(model, {}).get("names") or ()}
    body = []
    for row in rows:
        value, error = with_error(row["estimate"], row["std_error"])
        threshold = outcome.family == "ordinal" and row["term"] not in named
        bare = threshold or ratio is None
        shown, ends = (Cell(NOTHING, "quiet"), "") if bare else ratio_of(row)
        both = (
            [shown, ends] if ratio is not None else [interval(row["lower"], row["upper"], row["std_error"])]
        )
        df = NOTHING if row["df"] is None else say(row["df"])
        tested = "" if threshold else p_value(row["p_value"])
        name = Cell(row["term"], "", "threshold" if threshold else "")
        body.append(cells(name, value, error, *both, df, tested))
    ratios = (ratio.capitalize(), f"{level} interval") if ratio else (f"{level} interval",)
    unit = unit_of(record.study, record.shapes[model].outcome) if model in record.shapes else ""
    scale = f"{outcome.scale}{unit}" if outcome.linear else outcome.scale
    return Table(
        caption=f"`{model}`, about {whom(record, model, engine)}: {engine_name(engine)}, {fit['method']}",
        head=("Term", f"Estimate ({scale})", "SE", *ratios, "df", "p"),
        rows=tuple(body),
        align="l" + "r" * (4 + len(ratios)),
        note=_note(record, model, engine, outcome),
    )


def _note(record: ReportRecord, model: str, engine: str, outcome: Outcome) -> str:
    one = group_noun(record, model, engine)
    said = []
    if outcome.ratio is not None:
        what = outcome.ratio
        start = (
            f"The {what} of {INTERCEPT} is the odds themselves, where all predictors are 0"
            if (what == "odds ratio" and outcome.family == "binomial")
            else ""
        )
        said.append(f"{start}." if start else "")
    if outcome.family == "ordinal":
        said.append(
            "Thresholds cut the scale between neighbouring categories; a ratio above 1 makes higher "
            "categories more likely, by the same factor at every cut."
        )
    if engine in MARGINAL_ENGINES:
        said.append(
            f"Standard errors are robust: they do not trust the working correlation of the rows of a {one}."
        )
    else:
        said.append(
            f"Other terms kept, and the {one} too: not to be read as a difference between {plural(one)}."
        )
    return " ".join(part for part in said if part)
