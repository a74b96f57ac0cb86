"""Where the variance lies, what groups explain, and why within is not between."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from nestwise.compare.context import CONTEXTUAL, Contextual, contextual, read_contextual
from nestwise.compare.reading import (
    Answer,
    answer,
    noun,
    read_level2,
    read_slopes,
    read_variance,
    read_weight,
)
from nestwise.names import plural, several
from nestwise.numbers import NOTHING, fixed, interval, p_value, percent, say, with_error
from nestwise.report.blocks import Block, Bullets, Cell, Heading, Section, Table, cells, figures
from nestwise.report.covariance import kind_and_place
from nestwise.report.record import ReportRecord
from nestwise.report.sections.latent import latent_blocks, latent_words
from nestwise.report.targets import outcome_of
from nestwise.report.words import engine_name, quantity, unit_of
from nestwise.vocabulary import INTERCEPT

CONTEXTUAL_EFFECT = "contextual (between − within)"
DERIVED_COLUMNS = {
    "icc": "ICC",
    "variance_share": "Share between groups",
    "design_effect": "Design effect",
    "break_even_n": "Rows at which own data outweigh the rest",
}


def answers(record: ReportRecord) -> list[Answer]:
    """The likelihood answer (or the best there is) of each model that has one."""
    found = (
        answer(record.study, model, record.estimates, record.fits, record.groups) for model in record.models
    )
    return [each for each in found if each is not None]


def hashes(record: ReportRecord) -> dict[str, str]:
    """The analysis set of each model."""
    return dict(record.fits.select("model", "analysis_hash").iter_rows())


def variance_section(record: ReportRecord) -> Section | None:
    """Partition the variance and say what it means."""
    found = [each for each in answers(record) if each.varying()]
    if not found:
        return None
    readings = [reading for each in found for reading in (*read_variance(each), *read_slopes(each))]
    readings += read_level2(found, hashes(record))
    curved = [each for each in found if not outcome_of(record, each.model).linear]
    blocks: list[Block] = [_partition(record, found)]
    derived = _derived(record, [each.model for each in found if each not in curved])
    blocks += [*([derived] if derived else []), *latent_blocks(record, curved)]
    blocks += figures(record.pictures_of("variance_partition"))
    if readings:
        models = dict.fromkeys(reading.model for reading in readings)
        for model in models:
            sentences = tuple(reading.sentence for reading in readings if reading.model == model)
            blocks += [Heading(f"What `{model}` says", 4), Bullets(sentences)]
    return Section("variance", "Where the variance lies", _lead(record, found), tuple(blocks))


def _lead(record: ReportRecord, found: list[Answer]) -> str:
    main_last = sorted(found, key=lambda each: each.model == record.main_model)
    for each in reversed(main_last):
        said = read_shares(record, each)
        if said:
            return f"In `{each.model}`: {said}"
    if any(not outcome_of(record, each.model).linear for each in found):
        return "How far groups lie apart, on the scale of the link."
    if all(terms == (INTERCEPT,) for each in found for terms in each.varying().values()):
        return "The spread between groups, beside residuals that are not all of one variance."
    return (
        "With slopes that vary, how much groups differ depends on where one looks: the variance between "
        "them is "
        "not one number, and the SDs of intercept and slopes are given with their correlation."
    )


def read_shares(record: ReportRecord, each: Answer) -> str:
    """Say which share of the variance lies between groups; "" where no residual variance is there to share.

    Where slopes vary, the share is averaged over the rows. Outcomes that are not Gaussian have shares on
    the latent scale.
    """
    if not outcome_of(record, each.model).linear:
        return latent_words(record, each)
    found = [*read_variance(each)[:1], *read_weight(each)[:1]]
    if found:
        return " ".join(reading.sentence for reading in found)
    averaged = [
        f"{percent(share)} lies between {plural(noun(record.study, group))}"
        for group in each.varying()
        if (share := each.value("derived", "variance_share", group)) is not None
    ]
    if not averaged:
        return ""
    left = "variance" if each.fixed_terms() == (INTERCEPT,) else "variance the predictors leave"
    return (
        f"Of the {left}, {several(averaged)} and the rest within them (averaged over the rows, since slopes "
        "vary)."
    )


def _partition(record: ReportRecord, found: list[Answer]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for each in found:
        rows += _sources(record, each)
    outcomes = {shape.outcome for shape in record.shapes.values()}
    outcome = outcomes.pop() if len(outcomes) == 1 else ""
    scale = f" of {outcome}{unit_of(record.study, outcome)}" if outcome else ""
    kinds = [outcome_of(record, each.model) for each in found]
    if any(not kind.linear for kind in kinds):
        names = list(dict.fromkeys(f"the outcome{scale}" if kind.linear else kind.scale for kind in kinds))
        scale = f", on the scale of {several(names)}"
    engines = several(list(dict.fromkeys(engine_name(each.engine) for each in found)))
    shared = any(row[-1].text for row in rows)
    head = ("Model", "Source", "SD", f"{record.study.compare.level:.0%} interval", "Variance", "Share")
    return Table(
        caption=f"Standard deviations{scale}, by {engines}",
        head=head if shared else head[:-1],
        rows=tuple(rows) if shared else tuple(row[:-1] for row in rows),
        align="llrrrr" if shared else "llrrr",
        note="A share is given where only intercepts vary: with varying slopes it depends on the predictor."
        if shared or all(kind.linear for kind in kinds)
        else "",
    )


def _sources(record: ReportRecord, each: Answer) -> list[tuple[Cell, ...]]:
    """A row for each SD of a model; the model is named in the first."""
    named = [
        row
        for row in each.estimates
        if row["estimate"] is not None
        and (row["component"] == "sd" or (row["component"] == "residual" and _is_sd(str(row["term"]))))
    ]
    residuals = [row["term"] for row in named if row["component"] == "residual"]
    total = sum(row["estimate"] ** 2 for row in named)
    only_intercepts = all(terms == (INTERCEPT,) for terms in each.varying().values())
    # Several residual variances, or known ones, are no one variance that a share could be taken of.
    shared = total > 0 and only_intercepts and residuals == ["sigma"]
    return [
        cells(
            each.model if place == 0 else "",
            quantity(record.study, row["component"], row["group"], row["term"]),
            say(row["estimate"]),
            interval(row["lower"], row["upper"]),
            say(row["estimate"] ** 2),
            percent(row["estimate"] ** 2 / total) if shared else "",
        )
        for place, row in enumerate(named)
    ]


def _is_sd(term: str) -> bool:
    return kind_and_place(term)[0] == "sigma"


def _derived(record: ReportRecord, models: list[str]) -> Table | None:
    """A row for each fit and grouping factor, a column for each quantity that follows from the variances."""
    part = record.estimates.filter(
        (pl.col("component") == "derived")
        & pl.col("model").is_in(models)
        & pl.col("engine").is_in(["lmm", "pymc"])
        & pl.col("group").is_not_null()
    )
    present = [term for term in DERIVED_COLUMNS if term in set(part["term"])]
    if not present:
        return None
    rows = []
    for (model, engine, group), own in part.group_by("model", "engine", "group", maintain_order=True):
        by_term = {row["term"]: row for row in own.to_dicts()}
        rows.append(
            cells(
                Cell(str(model), "", f"{engine_name(str(engine))}, {noun(record.study, str(group))}"),
                *(_with_interval(by_term.get(term)) for term in present),
            )
        )
    return Table(
        caption="What follows from the standard deviations",
        head=("Fit", *(DERIVED_COLUMNS[term] for term in present)),
        rows=tuple(rows),
        align="l" + "r" * len(present),
        note=f"{record.study.compare.level:.0%} intervals below the estimates, where there are any. With "
        f"varying "
        "slopes the ICC, the design effect and the break-even size are those at predictors of 0, and the "
        "share "
        "between groups is averaged over the rows.",
    )


def _with_interval(row: Mapping[str, Any] | None) -> Cell:
    if row is None or row["estimate"] is None:
        return Cell(NOTHING, "quiet")
    within = interval(row["lower"], row["upper"])
    return Cell(say(row["estimate"], 2), "", within if within != NOTHING else "")


def context_section(record: ReportRecord) -> Section | None:
    """Within and between effects of the same covariate, where the study separates them."""
    rows, sentences = [], []
    for each in answers(record):
        found = contextual(each, record.covariances.get((each.model, each.engine)))
        for part in found:
            sentences.append(f"`{each.model}`: {read_contextual(record.study, part).sentence}")
            rows += _context_rows(record, part)
        rows += _other_levels(record, each, {(part.covariate, part.group) for part in found})
    if not rows:
        return None
    table = Table(
        caption="Within, between and contextual effects",
        head=("Model", "Covariate", "Effect", "Estimate", "SE", covered(record), "t", "df", "p"),
        rows=tuple(rows),
        align="lllrrrrrr",
        note="The contextual effect is tested against zero with the degrees of freedom of its fit; without "
        "any, by the normal distribution.",
    )
    lead = (
        "A covariate can act one way inside groups and another way across them; mixing the two is the "
        "ecological "
        f"fallacy. {sentences[0].partition(': ')[2] if sentences else ''}"
    )
    blocks: list[Block] = [table]
    if len(sentences) > 1:
        blocks.append(Bullets(tuple(sentences)))
    blocks += figures(record.pictures_of("within_between"))
    return Section("context", "Within is not between", lead.strip(), tuple(blocks))


def covered(record: ReportRecord) -> str:
    """Head of a column of intervals."""
    return f"{record.study.compare.level:.0%} interval"


def _context_rows(record: ReportRecord, part: Contextual) -> list[tuple[Cell, ...]]:
    """Within, between and contextual effect of one covariate, the last with its test."""
    lines = []
    name = Cell(part.covariate, "", f"by {noun(record.study, part.group)}")
    for effect, value, error in (
        ("within", part.within, part.within_se),
        ("between", part.between, part.between_se),
    ):
        lines.append(cells(part.model, name, effect, *with_error(value, error), "", "", "", ""))
    test = (
        *with_error(part.contextual, part.contextual_se),
        interval(part.lower, part.upper, part.contextual_se),
        *_test(part.statistic, part.df, part.p),
    )
    return [*lines, cells(part.model, name, CONTEXTUAL_EFFECT, *test)]


def _test(statistic: float | None, df: float | None, p: float | None) -> tuple[str, str, str]:
    return say(statistic, 3), NOTHING if df is None else fixed(df, 1), p_value(p)


def _other_levels(record: ReportRecord, each: Answer, shown: set[tuple[str, str]]) -> list[tuple[Cell, ...]]:
    """Contextual effects that the engine tested and no pair of derived columns shows: higher levels."""
    lines = []
    for row in each.estimates:
        if row["component"] != "derived" or not str(row["term"]).startswith(CONTEXTUAL):
            continue
        covariate, group = str(row["term"]).removeprefix(CONTEXTUAL), str(row["group"] or "")
        if (covariate, group) in shown or row["estimate"] is None:
            continue
        lines.append(
            cells(
                each.model,
                Cell(covariate, "", f"by {noun(record.study, group)}" if group else ""),
                CONTEXTUAL_EFFECT,
                *with_error(row["estimate"], row["std_error"]),
                interval(row["lower"], row["upper"], row["std_error"]),
                *_test(row["statistic"], row["df"], row["p_value"]),
            )
        )
    return lines
