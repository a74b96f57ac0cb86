"""How the residuals of one subject hang together: a correlation for each pair of visits, an SD for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from nestwise.compare.reading import noun
from nestwise.numbers import NOTHING, fixed, interval, say
from nestwise.report.blocks import Block, Cell, Section, Table, cells, figures, main_first
from nestwise.report.covariance import residual_words
from nestwise.report.record import ReportRecord
from nestwise.report.sections.models import column_names
from nestwise.report.words import unit_of

MOST_VISITS = 12
"""Visits that a table of correlations has room for."""


def residuals_section(record: ReportRecord) -> Section | None:
    """Show the estimated residual covariance of every model that has one, the main one open."""
    found = {model: residual for model in record.models if (residual := residual_of(record, model))}
    if not found:
        return None
    parts: dict[str, list[Block]] = {}
    for model, residual in found.items():
        blocks: list[Block] = figures(record.pictures_of("residual_correlations", model=model))
        blocks += [_table(record, model, residual, part) for part in residual["strata"]]
        parts[model] = blocks
    chosen = record.main_model if record.main_model in found else list(found)[-1]
    words = residual_words(record.designs.get(chosen, {}), column_names(record, chosen))
    lead = f"{read_residuals(record, chosen)} {words}".strip()
    return Section("residuals", "How visits hang together", lead, main_first(record, parts))


def residual_of(record: ReportRecord, model: str) -> Mapping[str, Any] | None:
    """The estimated residual covariance of a model, if its visits are correlated and few enough to show.

    Parameters
    ----------
    record : ReportRecord
        The study.
    model : str
        One of its models.
    """
    found = (record.records.get((model, "lmm")) or {}).get("residual") or {}
    strata = found.get("strata") or ()
    whole = all(len(part["correlation"]) == len(found["visits"]) > 1 for part in strata)
    return found if strata and whole else None


def spread(residual: Mapping[str, Any]) -> tuple[tuple[float, float], tuple[float, float] | None]:
    """Smallest and largest correlation of two visits, and smallest and largest SD.

    Parameters
    ----------
    residual : mapping
        From `residual_of`.
    """
    pairs = [
        value
        for part in residual["strata"]
        for t, line in enumerate(part["correlation"])
        for value in line[:t]
    ]
    deviations = [value for part in residual["strata"] for value in part.get("sd") or ()]
    return (min(pairs), max(pairs)), (min(deviations), max(deviations)) if deviations else None


def between(low: float, high: float, shown: Sequence[str]) -> str:
    """`0.61 to 0.75`, or one number where both are shown alike."""
    return shown[0] if shown[0] == shown[1] or low == high else f"{shown[0]} to {shown[1]}"


def read_residuals(record: ReportRecord, model: str) -> str:
    """Say how strongly two visits of one subject are correlated; "" for independent residuals.

    Parameters
    ----------
    record : ReportRecord
        The study.
    model : str
        One of its models.
    """
    residual = residual_of(record, model)
    if residual is None:
        return ""
    (low, high), deviations = spread(residual)
    who = noun(record.study, str(residual["subject"]))
    said = (
        f"In `{model}` the residuals of one {who} at two visits are correlated by "
        f"{between(low, high, (fixed(low, 2), fixed(high, 2)))}"
    )
    if deviations is not None:
        outcome = record.shapes[model].outcome if model in record.shapes else ""
        unit = unit_of(record.study, outcome).removeprefix(", in ")
        ends = between(*deviations, [say(value) for value in deviations])
        said += f", and their SD is {ends}{f' {unit}' if unit else ''}"
    return f"{said}."


def _table(record: ReportRecord, model: str, residual: Mapping[str, Any], part: Mapping[str, Any]) -> Table:
    """A row a visit: its SD with interval, and its correlation with each earlier visit."""
    visits, label = [str(visit) for visit in residual["visits"]], str(part.get("label") or "")
    shown = visits[:MOST_VISITS]
    own = (pl.col("model") == model) & (pl.col("engine") == "lmm") & (pl.col("component") == "residual")
    known = {row["term"]: row for row in record.estimates.filter(own).to_dicts()}
    time = str(residual.get("time") or "visit")
    lines = []
    for t, visit in enumerate(shown):
        places = [f"{label}:{visit}", label] if label else [visit]
        terms = [*(f"sigma[{place}]" for place in places), "sigma"]
        row = next((known[term] for term in terms if term in known), None)
        sd = say(part["sd"][t]) if part.get("sd") else NOTHING
        ends = interval(row["lower"], row["upper"]) if row and part.get("sd") else NOTHING
        correlations = [fixed(part["correlation"][t][u], 2) if u < t else "" for u in range(len(shown) - 1)]
        lines.append(cells(f"{time} {visit}", Cell(sd), ends, *correlations))
    how = str(residual.get("intervals") or "")
    note = f"Intervals by {how}." if how and how != "none" else ""
    if len(visits) > len(shown):
        note += f" The first {len(shown)} of {len(visits)} visits."
    covered = f"{record.study.compare.level:.0%} interval"
    return Table(
        caption=f"`{model}`: standard deviation of each visit, and its correlation with earlier ones"
        + (f", {label}" if label else ""),
        head=("Visit", "SD", covered, *(f"{time} {visit}" for visit in shown[:-1])),
        rows=tuple(lines),
        align="l" + "r" * (len(shown) + 1),
        note=note.strip(),
    )
