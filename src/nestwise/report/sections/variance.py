"""Where the variance lies, what groups explain, and why within is not between."""

from __future__ import annotations

import polars as pl

from nestwise.compare.numbers import interval, p_value, percent, plain, with_error
from nestwise.compare.reading import (
    INTERCEPT,
    Answer,
    answer,
    contextual,
    noun,
    read_contextual,
    read_level2,
    read_slopes,
    read_variance,
    read_weight,
)
from nestwise.report.blocks import Block, Bullets, Cell, Heading, Section, Table, cells, figures
from nestwise.report.record import ReportRecord
from nestwise.report.words import engine_name, quantity

FIGURES = ("variance_partition", "within_between")


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
    blocks: list[Block] = [_partition(record, found)]
    derived = _derived(record)
    blocks += [derived] if derived else []
    blocks += figures(record.pictures_of("variance_partition"))
    if readings:
        models = dict.fromkeys(reading.model for reading in readings)
        for model in models:
            sentences = tuple(reading.sentence for reading in readings if reading.model == model)
            blocks += [Heading(f"What {model} says", 4), Bullets(sentences)]
    return Section("variance", "Where the variance lies", _lead(found), tuple(blocks))


def _lead(found: list[Answer]) -> str:
    for each in found:
        first = read_variance(each)
        if first:
            weight = read_weight(each)
            return " ".join(
                [f"In {each.model}: {first[0].sentence}", *(reading.sentence for reading in weight[:1])]
            )
    return (
        "With slopes that vary, how much groups differ depends on where one looks: the variance between "
        "them is not "
        "one number, and the SDs of intercept and slopes are given with their correlation."
    )


def _partition(record: ReportRecord, found: list[Answer]) -> Table:
    rows = []
    for each in found:
        sigma = each.value("residual", "sigma")
        only_intercepts = all(terms == (INTERCEPT,) for terms in each.varying().values())
        taus = [
            (group, term, each.value("sd", term, group))
            for group, terms in each.varying().items()
            for term in terms
        ]
        total = sum((tau or 0.0) ** 2 for _, _, tau in taus) + (sigma or 0.0) ** 2
        for group, term, tau in taus:
            share = percent((tau or 0.0) ** 2 / total) if only_intercepts and total else ""
            name = quantity(record.study, "sd", group, term)
            rows.append(cells(each.model, Cell(name.text, "", name.detail), plain(tau), _square(tau), share))
        share = percent((sigma or 0.0) ** 2 / total) if only_intercepts and total else ""
        rows.append(
            cells(
                each.model, Cell("residual SD (σ)", "", "within groups"), plain(sigma), _square(sigma), share
            )
        )
    engines = ", ".join(dict.fromkeys(engine_name(each.engine) for each in found))
    return Table(
        caption=f"Variance by level, on the scale of {next(iter(record.shapes.values())).outcome if record.shapes else 'the outcome'} ({engines})",
        head=("Model", "Source", "SD", "Variance", "Share"),
        rows=tuple(rows),
        align="llrrr",
        note="A share is given where only intercepts vary: with varying slopes it depends on the predictor's value.",
    )


def _square(value: float | None) -> str:
    return plain(None if value is None else value**2)


def _derived(record: ReportRecord) -> Table | None:
    part = record.estimates.filter(
        (pl.col("component") == "derived") & pl.col("engine").is_in(["lmm", "glmm", "pymc"])
    )
    if part.is_empty():
        return None
    rows = [
        cells(
            row["model"],
            quantity(record.study, "derived", row["group"], row["term"]),
            engine_name(row["engine"]),
            plain(row["estimate"]),
            interval(row["lower"], row["upper"]),
        )
        for row in part.to_dicts()
    ]
    return Table(
        caption="What follows from the variances",
        head=("Model", "Quantity", "Engine", "Estimate", f"{record.study.compare.level:.0%} interval"),
        rows=tuple(rows),
        align="lllrr",
    )


def context_section(record: ReportRecord) -> Section | None:
    """Within and between effects of the same covariate, where the study separates them."""
    rows, sentences = [], []
    for each in answers(record):
        covariance = record.covariances.get((each.model, each.engine))
        for part in contextual(each, covariance):
            sentences.append(f"{each.model}: {read_contextual(record.study, part).sentence}")
            for name, value, error in (
                ("within", part.within, part.within_se),
                ("between", part.between, part.between_se),
                ("contextual (between − within)", part.contextual, part.contextual_se),
            ):
                estimate, shown = with_error(value, error)
                p = p_value(part.p) if name.startswith("contextual") else ""
                group = noun(record.study, part.group)
                rows.append(
                    cells(part.model, Cell(part.covariate, "", f"by {group}"), name, estimate, shown, p)
                )
    if not rows:
        return None
    table = Table(
        caption="Within, between and contextual effects",
        head=("Model", "Covariate", "Effect", "Estimate", "SE", "p"),
        rows=tuple(rows),
        align="lllrrr",
        note="The contextual effect is tested against zero by its standard error and the normal distribution.",
    )
    lead = (
        "A covariate can act one way inside groups and another way across them; mixing the two is the "
        "ecological "
        f"fallacy. {sentences[0].partition(': ')[2]}"
    )
    blocks: list[Block] = [table]
    if len(sentences) > 1:
        blocks.append(Bullets(tuple(sentences)))
    blocks += figures(record.pictures_of("within_between"))
    return Section("context", "Within is not between", lead, tuple(blocks))
