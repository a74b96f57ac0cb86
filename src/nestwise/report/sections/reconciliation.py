"""Conditional and marginal effects: two right answers, one table, and what is left between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp
from typing import Any

import polars as pl

from nestwise.compare.reading import by_likelihood_and_posterior, noun
from nestwise.config.study import Study
from nestwise.names import plural, several
from nestwise.numbers import NOTHING, decimals_for, fixed, interval, percent
from nestwise.report.blocks import (
    Block,
    Bullets,
    Cell,
    Fold,
    Heading,
    Note,
    Section,
    Table,
    Text,
    cells,
    figures,
    main_first,
)
from nestwise.report.record import ReportRecord
from nestwise.report.targets import Outcome, outcome_of
from nestwise.vocabulary import INTERCEPT, THRESHOLD

Row = Mapping[str, Any]

REASONS: Mapping[str, str] = {
    "link": "One question",
    "missingness": "Missing data",
    "cluster_size": "Informative cluster size",
    "working_correlation": "Working correlation",
    "quadrature": "Quadrature",
    "dispersion": "Overdispersion",
    "summary": "Description by coefficients",
    "model": "Left over",
}
WORDS: Mapping[str, str] = {"likely": "likely", "unlikely": "unlikely", "not_tested": "not tested"}
ANSWERS = ("conditional", "integrated", "marginal")
LARGEST_EXPONENT = 300.0


def reconciliation_section(record: ReportRecord) -> Section | None:
    """Set the effect for a typical group, its average over groups, and GEE's side by side."""
    if record.reconciliation.is_empty():
        return None
    parts = {
        model: _one_model(record, model, part)
        for model in record.models
        if not (part := record.of_model(record.reconciliation, model)).is_empty()
    }
    return Section("reconciliation", "Conditional and marginal", _lead(record), main_first(record, parts))


def _lead(record: ReportRecord) -> str:
    rows = record.reconciliation.filter(pl.col("kind") == "coefficient")
    if rows.is_empty():
        return "The conditional and the marginal answer could not be reconciled; the reasons follow."
    far = rows.filter(pl.col("verdict") == "differs")
    text = (
        "A mixed model says what happens to one and the same group, estimating equations what happens to "
        "the average "
        "of groups. "
    )
    if far.is_empty():
        return (
            text
            + "Averaged over its groups, the mixed model agrees with the estimating equations on every term."
        )
    terms = several([f"`{term}`" for term in far["term"].unique(maintain_order=True)])
    return (
        text
        + f"Averaged over its groups, the mixed model still differs from the estimating equations in {terms}."
    )


def _one_model(record: ReportRecord, model: str, part: pl.DataFrame) -> list[Block]:
    part, drawn = by_likelihood_and_posterior(part)
    refused = pl.concat([part, drawn]).filter(pl.col("kind") == "refused")
    blocks: list[Block] = [Note(str(reason), "attention") for reason in refused["reason"]]
    outcome = outcome_of(record, model)
    rows = part.filter(pl.col("kind") == "coefficient").to_dicts()
    if not rows:
        return blocks
    blocks += [Text(_plain_words(record, model, rows, outcome)), _coefficients(model, rows, outcome)]
    blocks += _posterior(model, drawn, outcome)
    blocks += figures(record.pictures_of("three_effects", "trajectories", model=model))
    blocks += _standardised(model, part)
    reasons = _reasons(part)
    blocks += [Heading("Why the two may differ, each reason tested", 4), Bullets(reasons)] if reasons else []
    return blocks


def _plain_words(record: ReportRecord, model: str, rows: Sequence[Row], outcome: Outcome) -> str:
    """The paragraph that a reader takes home."""
    groups = record.groups.filter(pl.col("model") == model)["group"].unique(maintain_order=True).to_list()
    one = noun(record.study, groups[0].split(":")[-1]) if groups else "group"
    row = _telling(rows, record.study)
    what = outcome.ratio or "coefficient"
    told = [_number(row[name], outcome) for name in ANSWERS]
    if outcome.link == "identity":
        return (
            f"With an identity link the effect for one {one} and the average effect over {plural(one)} are "
            "one number: "
            f"for `{row['term']}` the mixed model says {told[0]} and the estimating equations say {told[2]}."
        )
    article = "an" if what[0] in "aeiou" else "a"
    text = (
        f"For one and the same {one}, `{row['term']}` goes with {article} {what} of {told[0]}; averaged "
        "over all "
        f"{plural(one)}, the same model says {told[1]}, and the estimating equations, which never look at "
        "a single "
        f"{one}, say {told[2]}. "
    )
    if outcome.link == "log":
        return text + (
            f"With a logarithm averaging over {plural(one)} changes the intercept only, so that both "
            "models should "
            "give one ratio."
        )
    text += (
        f"Neither is wrong: {plural(one)} start from different levels, and the average of their curves is "
        "flatter than "
        "any one of them. The first answers a person who asks about their own case, the second who plans "
        "for all. "
    )
    if row["attenuation"] is not None and row["attenuation_rule"] is not None:
        text += (
            f"Here averaging keeps {percent(row['attenuation'])} of the effect (rule of thumb: "
            f"{percent(row['attenuation_rule'])})."
        )
    return text.rstrip()


def _telling(rows: Sequence[Row], study: Study) -> Row:
    """The term, of the arm where one is declared, that stands out most from its error."""
    beside = [row for row in rows if row["term"] != INTERCEPT and row["scale"] != THRESHOLD] or rows
    arm = study.missing.arm.column if study.missing.arm is not None else None
    beside = [row for row in beside if arm is not None and arm in row["term"]] or beside
    return max(beside, key=lambda row: abs(row["conditional"]) / (row["conditional_se"] or 1.0))


def _number(value: float, outcome: Outcome) -> str:
    if outcome.ratio is None:
        return fixed(value, 3)
    return fixed(exp(min(value, LARGEST_EXPONENT)), 2)


def _coefficients(model: str, rows: Sequence[Row], outcome: Outcome) -> Table:
    ratio = outcome.ratio is not None
    made = []
    for row in rows:
        exact, rule = row["attenuation"], row["attenuation_rule"]
        tone = "attention" if row["verdict"] == "differs" else ""
        made.append(
            cells(
                row["term"],
                *(_answer(row, name, ratio=ratio) for name in ANSWERS),
                Cell(fixed(exact, 2), "", NOTHING if rule is None else f"rule {fixed(rule, 2)}"),
                Cell(fixed(row["left_in_se"], 1), tone),
            )
        )
    what = outcome.ratio or "coefficient"
    level = percent(rows[0]["level"])
    first, other = rows[0]["conditional_engine"], rows[0]["marginal_method"]
    return Table(
        caption=f"`{model}`: three answers to one question, each {what} with its {level} interval",
        head=(
            "Term",
            f"Typical group ({first})",
            "Averaged over groups",
            f"GEE ({other})",
            "Attenuation",
            "Left, in SE",
        ),
        rows=tuple(made),
        align="lrrrrr",
        note="Averaged: the coefficients that describe the integrated means best, by the delta method. "
        "Attenuation: "
        "averaged over typical, on the scale of the link. Left: GEE less averaged, in standard errors of "
        "that "
        "difference.",
    )


def _posterior(model: str, drawn: pl.DataFrame, outcome: Outcome) -> list[Block]:
    """The first two answers by draws of the posterior, and the contrasts of the arms by them."""
    rows = drawn.filter(pl.col("kind") == "coefficient").to_dicts()
    if not rows:
        return []
    ratio = outcome.ratio is not None
    made = [
        cells(
            row["term"],
            *(_answer(row, name, ratio=ratio) for name in ANSWERS[:2]),
            fixed(row["attenuation"], 2),
        )
        for row in rows
    ]
    table = Table(
        caption=f"`{model}` by its posterior: each {outcome.ratio or 'coefficient'} with its "
        f"{percent(rows[0]['level'])} interval",
        head=("Term", "Typical group", "Averaged over groups", "Attenuation"),
        rows=tuple(made),
        align="lrrr",
        note="Every draw of the posterior is averaged over the groups by itself: medians and equal-tailed "
        "intervals, with no delta method in between.",
    )
    contrasts = drawn.filter(pl.col("kind").is_in(["difference", "ratio"]) & pl.col("x").is_null())
    caption = f"`{model}` by its posterior: everybody in one arm, against everybody in the other"
    tables = [table, *([_means_table(caption, contrasts, "Intervals by draws")] if contrasts.height else [])]
    return [Fold("The same by the posterior", tuple(tables))]


def _answer(row: Row, name: str, *, ratio: bool) -> Cell:
    value, low, high = (row[f"{name}{part}"] for part in ("", "_lower", "_upper"))
    if ratio:
        value, low, high = (exp(min(each, LARGEST_EXPONENT)) for each in (value, low, high))
    width = (high - low) / 4
    return Cell(fixed(value, decimals_for(width)), "", interval(low, high))


def _standardised(model: str, part: pl.DataFrame) -> list[Block]:
    """Differences and ratios of standardised means; the means themselves behind a fold."""
    contrasts = part.filter(pl.col("kind").is_in(["difference", "ratio"]))
    means = part.filter(pl.col("kind") == "mean")
    blocks: list[Block] = []
    if not contrasts.is_empty():
        overall = contrasts.filter(pl.col("x").is_null())
        shown = overall if not overall.is_empty() else contrasts
        blocks.append(_means_table(f"`{model}`: everybody in one arm, against everybody in the other", shown))
    rest = pl.concat([means, contrasts.filter(pl.col("x").is_not_null())])
    if not rest.is_empty():
        table = _means_table(f"`{model}`: standardised means and their contrasts over time", rest)
        blocks.append(Fold("Standardised means over time and arm", (table,), bulky=True))
    return blocks


def _means_table(caption: str, rows: pl.DataFrame, by: str = "Intervals by the delta method") -> Table:
    made = []
    for row in rows.to_dicts():
        what = str(row["scale"]).replace("_", " ")
        arm = row["term"] or row["by"] or NOTHING
        when = "as observed" if row["x"] is None else f"{row['x']:.4g}"
        made.append(cells(Cell(what, "", arm), when, *(_mean(row, name) for name in ANSWERS)))
    return Table(
        caption=caption,
        head=("Quantity", "Time", "Typical group", "Averaged over groups", "GEE"),
        rows=tuple(made),
        align="lrrrr",
        note="Standardisation (g-computation): every row is given the arm and the time, and predictions "
        "are averaged; "
        f"where times are set, every group counts once. {by}.",
    )


def _mean(row: Row, name: str) -> Cell:
    value, low, high = (row[f"{name}{part}"] for part in ("", "_lower", "_upper"))
    if value is None:
        return Cell(NOTHING, "quiet")
    if low is None or high is None:
        return Cell(fixed(value, 3))
    return Cell(fixed(value, decimals_for((high - low) / 4)), "", interval(low, high))


def _reasons(part: pl.DataFrame) -> tuple[str, ...]:
    items = []
    for row in part.filter(pl.col("kind") == "reason").to_dicts():
        verdict = WORDS.get(row["verdict"])
        name = REASONS.get(row["term"], row["term"])
        items.append(f"{name}{f' ({verdict})' if verdict else ''}: {row['reason']}")
    return tuple(items)
