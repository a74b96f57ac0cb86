"""Intervals of variances that rest on no normal distribution: profiles of the likelihood, bootstrap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from nestwise.names import several
from nestwise.numbers import NOTHING, count, decimals_for, fixed, interval, percent, say
from nestwise.report.blocks import Block, Section, Table, cells, figures, main_first
from nestwise.report.record import ReportRecord
from nestwise.report.words import quantity

PROFILED = ("sd", "cor", "residual")
LOPSIDED = 1.25
"""One arm of an interval beyond this many times the other is called lopsided."""


def profiles_section(record: ReportRecord) -> Section | None:
    """Show the profile of every covariance parameter, the main model's open."""
    parts: dict[str, list[Block]] = {}
    for model in record.models:
        pictures = record.pictures_of("profiles", model=model)
        if pictures:
            parts[model] = [*figures(pictures), *_arms(record, model)]
    if not parts:
        return None
    shown = record.main_model if record.main_model in parts else list(parts)[-1]
    lead = (
        "Variances have no symmetric distribution: their intervals are read off the likelihood itself, by "
        f"moving one parameter and letting all others follow. {_lopsided(record, shown)}"
    )
    return Section("profiles", "Profiles of the likelihood", lead.strip(), main_first(record, parts))


def _rows(record: ReportRecord, model: str) -> list[dict[str, Any]]:
    """The covariance parameters of a model that have an interval on both sides."""
    own = record.estimates.filter(
        (pl.col("model") == model)
        & (pl.col("engine") == "lmm")
        & pl.col("component").is_in(PROFILED)
        & pl.col("estimate").is_not_null()
        & pl.col("lower").is_not_null()
        & pl.col("upper").is_not_null()
    )
    return own.to_dicts()


def _reach(row: Mapping[str, Any]) -> tuple[float, float]:
    return row["estimate"] - row["lower"], row["upper"] - row["estimate"]


def _lopsided(record: ReportRecord, model: str) -> str:
    named = []
    for row in _rows(record, model):
        down, up = _reach(row)
        if min(down, up) > 0 and max(down, up) > LOPSIDED * min(down, up):
            name = quantity(record.study, row["component"], row["group"], row["term"]).text
            side = "up" if up > down else "down"
            named.append(f"{name} ({say(max(down, up) / min(down, up), 2)} times as far {side})")
    if not named:
        return f"In `{model}` no interval is far from symmetric."
    return f"In `{model}` lopsided: {several(named, 4)}."


def _arms(record: ReportRecord, model: str) -> list[Block]:
    rows = _rows(record, model)
    if not rows:
        return []
    lines = []
    for row in rows:
        down, up = _reach(row)
        decimals = decimals_for((down + up) / 4)
        lines.append(
            cells(
                quantity(record.study, row["component"], row["group"], row["term"]),
                fixed(row["estimate"], decimals),
                interval(row["lower"], row["upper"]),
                fixed(-down, decimals),
                fixed(up, decimals),
            )
        )
    level = rows[0]["level"]
    covered = f"{level:.0%} interval" if level else "Interval"
    return [
        Table(
            caption=f"Covariance parameters of `{model}` with their profile intervals",
            head=("Quantity", "Estimate", covered, "Down to the limit", "Up to the limit"),
            rows=tuple(lines),
            align="lrrrr",
        )
    ]


def bootstrap_section(record: ReportRecord) -> Section | None:
    """Show the intervals of every bootstrap that a model asks for."""
    parts: dict[str, list[Block]] = {}
    for model in record.models:
        drawn = (record.records.get((model, "lmm")) or {}).get("bootstrap")
        if drawn and drawn.get("quantities"):
            parts[model] = [_bootstrap(record, model, drawn)]
    if not parts:
        return None
    lead = (
        "Data drawn from a fitted model and refitted as often as asked for: the spread of the refits is the "
        "uncertainty of an estimate without any approximation by a normal distribution, and their mean shows "
        f"its bias. {_failures(record, parts)}"
    )
    return Section("bootstrap", "Intervals by bootstrap", lead.strip(), main_first(record, parts))


def _failures(record: ReportRecord, parts: Mapping[str, list[Block]]) -> str:
    said = []
    for model in parts:
        drawn = record.records[model, "lmm"]["bootstrap"]
        total = int(drawn["refits"]) + int(drawn["failures"])
        if drawn["failures"]:
            share = percent(drawn["failures"] / total)
            said.append(
                f"{count(drawn['failures'])} of {count(total)} refits of `{model}` ({share}) did not "
                "converge and are left out."
            )
        else:
            said.append(f"All {count(total)} refits of `{model}` converged.")
    return " ".join(said)


def _bootstrap(record: ReportRecord, model: str, drawn: Mapping[str, Any]) -> Table:
    lines = []
    for row in drawn["quantities"]:
        error = row["se"]
        decimals = decimals_for(error) if error else 2
        value = row["estimate"]
        lines.append(
            cells(
                quantity(record.study, row["component"], row["group"], row["term"]),
                NOTHING if value is None else fixed(value, decimals),
                NOTHING if error is None else fixed(error, decimals),
                NOTHING if row["bias"] is None else fixed(row["bias"], decimals),
                interval(row["lower"], row["upper"], error),
                interval(row["basic_lower"], row["basic_upper"], error),
                count(row["refits"]),
            )
        )
    level = f"{drawn['level']:.0%}"
    return Table(
        caption=f"Parametric bootstrap of `{model}`, {count(drawn['refits'])} refits",
        head=(
            "Quantity",
            "Estimate",
            "SD of refits",
            "Bias",
            f"{level}, percentile",
            f"{level}, basic",
            "Refits",
        ),
        rows=tuple(lines),
        align="lrrrrrr",
        note="Percentile: the middle of the refits. Basic: the same mirrored at the estimate, which corrects "
        "for bias. A correlation is not defined in a refit whose standard deviation is zero.",
    )
