"""Likelihood beside Bayes: the same model by both schools, every difference judged."""

from __future__ import annotations

import polars as pl

from nestwise.names import several
from nestwise.numbers import NOTHING, count, decimals_for, fixed, interval, say
from nestwise.report.blocks import (
    Block,
    Bullets,
    Cell,
    Note,
    Section,
    Table,
    Text,
    cells,
    figures,
    main_first,
)
from nestwise.report.record import ReportRecord
from nestwise.report.words import VERDICTS, quantity

FIGURES = ("reml_vs_posterior", "tau_posterior")


def engines_section(record: ReportRecord) -> Section | None:
    """Set REML and posterior side by side."""
    if record.comparison.is_empty():
        return None
    verified = _referee(record)
    blocks: list[Block] = [Text(verified)] if verified else []
    parts = {
        model: _one_model(record, model, part)
        for model in record.models
        if not (part := record.of_model(record.comparison, model)).is_empty()
    }
    blocks += main_first(record, parts)
    return Section("engines", "Likelihood beside Bayes", _lead(record.comparison), tuple(blocks))


def _referee(record: ReportRecord) -> str:
    """What statsmodels says of the likelihood fits, in a sentence; "" where it was not asked."""
    checks = record.checks.filter(
        (pl.col("engine") == "mixedlm") & pl.col("check").str.starts_with("referee_")
    )
    if checks.is_empty():
        return ""
    by_model = {
        str(model): bool(part["ok"].all()) for (model,), part in checks.group_by("model", maintain_order=True)
    }
    good = [model for model, ok in by_model.items() if ok]
    text = (
        f"statsmodels MixedLM, as an independent referee, verified {count(len(good))} of "
        f"{count(len(by_model))} "
        "likelihood fits: the log-likelihood to 1 in 1,000,000 and the standard errors to 1 in 1,000."
    )
    if len(good) < len(by_model):
        rest = [f"`{model}`" for model, ok in by_model.items() if not ok]
        text += f" It differs on {several(rest)}: see the checks."
    return text


def agreement(record: ReportRecord, model: str) -> str:
    """How far the two schools agree on a model, in a sentence; "" where they cannot be compared."""
    part = record.of_model(record.comparison, model)
    judged = part.filter(pl.col("in_sd").is_not_null())
    if judged.is_empty():
        return ""
    agreed = judged.filter(pl.col("verdict") == "agrees").height
    far = judged.sort(pl.col("in_sd").abs(), descending=True).row(0, named=True)
    name = quantity(record.study, far["component"], far["group"], far["term"]).text
    within = f", {count(agreed)} of them within Monte Carlo error" if agreed else ""
    return (
        f"Likelihood and Bayes are at most {fixed(abs(far['in_sd']), 2)} posterior SDs apart on the "
        f"{count(judged.height)} quantities of `{model}`{within}; farthest on the {name}."
    )


def _one_model(record: ReportRecord, model: str, part: pl.DataFrame) -> list[Block]:
    blocks: list[Block] = []
    refused = part.filter(pl.col("verdict") == "refused")
    blocks += [Note(str(reason), "attention") for reason in refused["reason"]]
    rows = part.filter(pl.col("verdict") != "refused")
    if not rows.is_empty():
        blocks.append(_table(record, model, rows))
        blocks += _reasons(record, rows)
    return [*blocks, *figures(record.pictures_of(*FIGURES, model=model))]


def _lead(comparison: pl.DataFrame) -> str:
    judged = comparison.filter(pl.col("verdict").is_in(["agrees", "small", "differs"]))
    if judged.is_empty():
        return "No quantity could be compared between the two schools; the reasons follow."
    n = {
        verdict: judged.filter(pl.col("verdict") == verdict).height
        for verdict in ("agrees", "small", "differs")
    }
    text = (
        f"Of {count(judged.height)} quantities that both schools estimate, {count(n['agrees'])} agree "
        f"within Monte "
        f"Carlo error and {count(n['small'])} differ by less than a quarter of a posterior SD, too little "
        f"to change a "
        "reading; "
    )
    if n["differs"]:
        return text + f"{count(n['differs'])} differ by more, and the reasons are given."
    return text + "none differs by more."


def _table(record: ReportRecord, model: str, part: pl.DataFrame) -> Table:
    with_referee = part["referee"].drop_nulls().len() > 0
    rows = []
    for row in part.to_dicts():
        error = row["likelihood_se"] or row["posterior_sd"]
        decimals = decimals_for(error) if error else 3
        text, tone = VERDICTS.get(row["verdict"], (row["verdict"], ""))
        gap = "" if row["in_sd"] is None else f"{fixed(row['in_sd'], 2)} SD"
        if row["in_mcse"] is not None:
            gap += f", {fixed(row['in_mcse'], 1)} MCSE"
        rows.append(
            cells(
                quantity(record.study, row["component"], row["group"], row["term"]),
                _pair(row["likelihood"], row["likelihood_se"], decimals),
                *([_pair(row["referee"], row["referee_se"], decimals)] if with_referee else []),
                _pair(row["posterior"], row["posterior_sd"], decimals),
                interval(row["posterior_lower"], row["posterior_upper"], row["posterior_sd"]),
                say(row["mcse"], 2),
                Cell(text, tone, gap),
            )
        )
    method = part["likelihood_method"].drop_nulls()
    name = method[0] if len(method) else "Likelihood"
    level = f"{record.study.compare.level:.0%}"
    return Table(
        caption=f"`{model}`: {name} estimates beside posterior medians, on one parametrisation",
        head=(
            "Quantity",
            f"{name} (lmm)",
            *(("MixedLM",) if with_referee else ()),
            "Posterior median",
            f"{level} posterior interval",
            "MCSE",
            "Verdict",
        ),
        rows=tuple(rows),
        align="lr" + ("r" if with_referee else "") + "rrrl",
        note="Standard error or posterior SD in brackets. MCSE: Monte Carlo standard error of the median. "
        "Under the "
        "verdict, posterior minus likelihood in posterior SDs and in Monte Carlo errors.",
    )


def _pair(value: float | None, error: float | None, decimals: int) -> Cell:
    if value is None:
        return Cell(NOTHING, "quiet")
    return Cell(fixed(value, decimals), "", f"({fixed(error, decimals)})" if error else "")


def _reasons(record: ReportRecord, part: pl.DataFrame) -> list[Block]:
    """Why what differs differs, quantities with the same reason together."""
    by_reason: dict[str, list[str]] = {}
    for row in part.filter(pl.col("verdict") == "differs").to_dicts():
        cell = quantity(record.study, row["component"], row["group"], row["term"])
        by_reason.setdefault(row["reason"], []).append(cell.text)
    items = tuple(f"{several(names)}: {reason}" for reason, names in by_reason.items())
    return [Bullets(items)] if items else []
