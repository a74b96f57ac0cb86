"""Missing data: every strategy beside the others, and whether the conclusion moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from nestwise.compare.strategies import LABELS, USUALLY_WRONG, conclusion, estimand, telling
from nestwise.missing.record import Description
from nestwise.names import several
from nestwise.numbers import NOTHING, count, interval, p_value, percent, say, with_error
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
from nestwise.report.sections.imputation import imputation_blocks

Row = Mapping[str, Any]
MOST_TERMS = 30


def missing_section(record: ReportRecord) -> Section | None:
    """Describe what is missing, and set all strategies for it side by side."""
    table = record.sensitivity
    parts = {
        model: _one_model(record, model, part)
        for model in record.models
        if not (part := record.of_model(table, model)).is_empty()
    }
    described = _description(record)
    if not parts and not described:
        return None
    lead = _lead(record, table) if parts else described[0].text  # type: ignore[union-attr]
    return Section(
        "missing",
        "Missing data",
        lead,
        (*(described if parts else described[1:]), *main_first(record, parts)),
    )


def _description(record: ReportRecord) -> list[Block]:
    """What is missing, where nobody need know a method for it; empty where everything is there."""
    found = record.missing
    if found is None or not _incomplete(found):
        return []
    said = list(found.sentences)
    blocks: list[Block] = [Text(" ".join(said[:3])), *map(Text, said[3:])]
    blocks += figures(record.pictures_of("missingness_map", "dropout_curves", "dropout_means"))
    leaving = found.tables["leaving"]
    if not leaving.is_empty():
        blocks.append(_leaving_table(leaving))
    partly = found.tables["variables"].filter(pl.col("missing") > 0)
    if partly.height:
        blocks.append(_variable_table(partly))
    return [*blocks, *_classical(found)]


def _classical(found: Description) -> list[Block]:
    """The analysis of variance of completers, behind a fold: for comparison only."""
    table, told = found.tables["anova"], found.record.get("anova")
    if table.is_empty() or not told:
        return []
    rows = tuple(
        cells(
            f"`{row['term']}`",
            row["correction"],
            say(row["epsilon"]),
            f"{say(row['df_num'])}, {say(row['df_den'])}",
            say(row["statistic"]),
            p_value(row["p_value"]),
        )
        for row in table.to_dicts()
    )
    sphericity = (
        f"Mauchly's W {say(told['mauchly'])}, p {p_value(told['mauchly_p'])}. "
        if told.get("mauchly") is not None
        else ""
    )
    head = ("Term", "Correction", "Epsilon", "df", "F", "p")
    caption = "Repeated-measures analysis of variance of completers"
    shown = Table(caption, head, rows, "llrrrr", f"{sphericity}A comparator, usually wrong: {told['reason']}")
    return [Fold("The classical analysis of those who stayed", (shown,))]


def _incomplete(found: Description) -> bool:
    patterns = found.record.get("patterns") or {}
    left = sum(number for kind, number in patterns.items() if kind != "complete")
    return bool(left or found.tables["variables"]["missing"].sum())


def _leaving_table(table: pl.DataFrame) -> Table:
    rows = table.filter(pl.col("odds_ratio").is_not_null()).to_dicts()
    return Table(
        "What predicts leaving: odds of not coming to the next visit",
        ("Predictor", "Per", "Odds ratio", "Interval", "p"),
        tuple(
            cells(
                f"`{row['term']}`",
                row["unit"],
                say(row["odds_ratio"]),
                interval(row["lower"], row["upper"]),
                p_value(row["p_value"]),
            )
            for row in rows
        ),
        "llrrr",
        "Missing at random means that nothing else predicts leaving once these are known.",
    )


def _variable_table(table: pl.DataFrame) -> Table:
    return Table(
        "Incomplete variables, and which methods can treat them",
        ("Variable", "Varies by", "Missing", "Of", "Share", "Treatment"),
        tuple(
            cells(
                f"`{row['variable']}`",
                row["level"] or "row",
                count(row["missing"]),
                count(row["n"]),
                percent(row["share"]),
                row["method"],
            )
            for row in table.to_dicts()
        ),
        "llrrrl",
    )


def _arm(record: ReportRecord) -> str | None:
    arm = record.study.missing.arm
    return arm.column if arm is not None else None


def _lead(record: ReportRecord, table: pl.DataFrame) -> str:
    treated = table["model"].unique(maintain_order=True).to_list()
    model = record.main_model if record.main_model in treated else treated[-1]
    own = record.of_model(table, model)
    key = telling(own, _arm(record))
    if key is None:
        return "No strategy for missing data led to an answer; the reasons follow."
    rows = estimand(own, key)
    engine = _first_engine(rows)
    reference = rows.filter((pl.col("strategy") == "observed") & (pl.col("engine") == engine))
    said = ""
    if reference.height:
        row = reference.row(0, named=True)
        said = f"From all observed rows `{row['term']}` is {_with_interval(row)}. "
    return said + conclusion(rows.filter(pl.col("engine") == engine))


def _first_engine(rows: pl.DataFrame) -> str:
    answered = rows.filter(pl.col("estimate").is_not_null())
    return str((answered if answered.height else rows)["engine"][0])


def _with_interval(row: Row) -> str:
    text = (
        say(row["estimate"]) if row["std_error"] is None else with_error(row["estimate"], row["std_error"])[0]
    )
    if row["lower"] is None:
        return text
    return f"{text} ({row['level']:.0%} interval {interval(row['lower'], row['upper'], row['std_error'])})"


def _one_model(record: ReportRecord, model: str, table: pl.DataFrame) -> list[Block]:
    blocks: list[Block] = []
    key = telling(table, _arm(record))
    if key is not None:
        rows = estimand(table, key)
        blocks += [
            Text(
                "The same quantity under every treatment of the missing data. Strategies answer one question "
                "under different assumptions; only outside knowledge says which is right. "
                + " ".join(
                    f"By `{engine}`: {conclusion(rows.filter(pl.col('engine') == engine))}"
                    for engine in rows["engine"].unique(maintain_order=True)
                    if rows.filter((pl.col("engine") == engine) & (pl.col("estimate").is_not_null())).height
                    > 1
                )
            ),
            _strategy_table(rows),
        ]
    blocks += figures(record.pictures_of("strategy_forest", "tipping_point", model=model))
    blocks += _assumptions(table)
    blocks += _refusals(table)
    others = table.filter(pl.col("estimate").is_not_null())
    if others.height:
        blocks.append(Fold("Every quantity under every strategy", tuple(_all_tables(others)), bulky=True))
    blocks += imputation_blocks(record, model)
    return blocks


def _strategy_table(rows: pl.DataFrame) -> Table:
    answered = rows.filter(pl.col("estimate").is_not_null()).to_dicts()
    return Table(
        f"`{answered[0]['term']}` under every strategy" if answered else "Strategies",
        ("Strategy", "Engine", "Estimate", "SE", "Interval", "p", "FMI", "Rows", "Groups", "Conclusion"),
        tuple(_line(row) for row in answered),
        "llrrrrrrrl",
        "FMI: fraction of missing information, the share of the uncertainty that is due to the missing data.",
    )


def _line(row: Row) -> tuple[Cell, ...]:
    estimate, error = with_error(row["estimate"], row["std_error"])
    wrong = row["strategy"] in USUALLY_WRONG
    name = LABELS[row["strategy"]] + (f" by {row['delta']:g}" if row["delta"] is not None else "")
    return cells(
        Cell(name, "quiet" if wrong else "", "a comparator, usually wrong" if wrong else ""),
        f"{row['engine']}",
        estimate,
        error,
        interval(row["lower"], row["upper"], row["std_error"]),
        p_value(row["p_value"]),
        percent(row["fmi"]) if row["fmi"] is not None else NOTHING,
        count(row["n_obs"]),
        count(row["n_groups"]),
        _verdict(row["verdict"]),
    )


def _verdict(verdict: str) -> Cell:
    words = {
        "reference": ("reference", "quiet"),
        "holds": ("holds", "good"),
        "moves": ("moves", "attention"),
        "not_compared": (NOTHING, "quiet"),
    }
    text, tone = words[verdict]
    return Cell(text, tone)


def _assumptions(table: pl.DataFrame) -> list[Block]:
    rows = table.unique(["strategy", "assumes"], maintain_order=True).to_dicts()
    items = tuple(f"{_sentence(LABELS[row['strategy']])}: {row['assumes']}." for row in rows)
    return [Heading("What each strategy assumes"), Bullets(items)]


def _sentence(text: str) -> str:
    """A text with a capital at the start, others kept: `Weighted GEE`."""
    return text[:1].upper() + text[1:]


def _refusals(table: pl.DataFrame) -> list[Block]:
    refused = table.filter(
        pl.col("status").is_in(["refused", "failed", "not_converged"]) & pl.col("reason").is_not_null()
    )
    return [
        Note(f"{_sentence(LABELS[row['strategy']])} ({row['engine']}): {row['reason']}", "attention")
        for row in refused.unique(["strategy", "engine", "reason"], maintain_order=True).to_dicts()
    ]


def _all_tables(table: pl.DataFrame) -> Sequence[Block]:
    keys = table.unique(["kind", "group", "term"], maintain_order=True).select("kind", "group", "term").rows()
    blocks: list[Block] = [_strategy_table(estimand(table, key)) for key in keys[:MOST_TERMS]]
    if len(keys) > MOST_TERMS:
        left = several([f"`{key[2]}`" for key in keys[MOST_TERMS:]])
        blocks.append(Text(f"More quantities stand in `sensitivity.parquet`: {left}."))
    return blocks
