"""Three ways to treat groups, side by side: complete pooling, no pooling, partial pooling."""

from __future__ import annotations

import polars as pl

from nestwise.compare.numbers import (
    NOTHING,
    count,
    decimals_for,
    fixed,
    plain,
    plural,
    several,
    with_error,
)
from nestwise.compare.poolings import (
    PoolingTable,
    Spread,
    Value,
    pooling_of,
    pooling_table,
)
from nestwise.compare.reading import answer, noun, read_shrinkage, read_weight
from nestwise.report.blocks import (
    Block,
    Bullets,
    Cell,
    Heading,
    Section,
    Table,
    cells,
    figures,
)
from nestwise.report.record import ReportRecord
from nestwise.report.words import engine_name, quantity

MOST_GROUPS = 60
"""Groups listed in the page; the file has them all."""
FIGURES = (
    "pooling_by_size",
    "pooling_lines",
    "shrinkage",
    "pooling_factor",
    "group_level_predictor",
    "caterpillar",
    "league",
)


def pooling_section(record: ReportRecord) -> Section | None:
    """Show every model by all three ways of pooling."""
    blocks: list[Block] = []
    for model in record.models:
        table = pooling_table(record.estimates, record.fits, record.groups, model)
        if table.engines:
            blocks += [Heading(model), _side_by_side(record, table)]
            if table.spreads:
                blocks.append(_spreads(record, table.spreads))
    if not blocks:
        return None
    lead = (
        "Groups can be ignored (complete pooling), each treated alone (no pooling), or estimated as draws "
        "from a "
        "common distribution (partial pooling). The first hides real differences, the second is noisy "
        "where a "
        "group has few rows; the third weighs each group's own data against all the others."
    )
    return Section("pooling", "Complete, no and partial pooling", lead, tuple(blocks))


def _cell(value: Value | None) -> Cell:
    if value is None or value.estimate is None:
        return Cell(NOTHING, "quiet")
    estimate, error = with_error(value.estimate, value.std_error)
    return Cell(estimate, "", f"({error})" if error != NOTHING else "")


def _side_by_side(record: ReportRecord, table: PoolingTable) -> Table:
    rows = [
        cells(
            quantity(record.study, line.component, line.group, line.term),
            *(_cell(value) for value in line.values),
        )
        for line in table.lines
    ]
    ways = [pooling_of(engine) for engine in table.engines]
    spans = [(way.capitalize(), ways.count(way)) for way in dict.fromkeys(ways)]
    absent = [engine for engine in record.study.models[table.model].engines if engine not in table.engines]
    note = "Standard error, or posterior SD, in brackets."
    if "unpooled" in table.engines:
        note += " No pooling gives each group coefficients of its own: they are in the table of groups."
    if absent:
        note += f" Without an answer here: {several([engine_name(e) for e in absent])} (see Fits)."
    if "pooled" in absent or "pooled" not in table.engines:
        note += "" if "pooled" in absent else " Complete pooling was not asked for."
    return Table(
        caption=f"{table.model}: one model, three ways to treat its groups",
        head=("Quantity", *(engine_name(engine) for engine in table.engines)),
        rows=tuple(rows),
        align="l" + "r" * len(table.engines),
        note=note,
        groups=(("", 1), *spans),
    )


def _spreads(record: ReportRecord, found: tuple[Spread, ...]) -> Table:
    rows = [
        cells(
            quantity(record.study, "sd", spread.group, spread.term),
            engine_name(spread.engine),
            Cell(plain(spread.raw), "", f"{count(spread.n_raw)} of {count(spread.n_groups)} groups"),
            plain(spread.tau),
            plain(spread.shrunken),
        )
        for spread in found
    ]
    return Table(
        caption="How much groups differ: by their raw estimates, in truth (τ), by their shrunken estimates",
        head=("Coefficient", "Partial pooling by", "SD, no pooling", "τ", "SD, partial pooling"),
        rows=tuple(rows),
        align="llrrr",
        note="Noise inflates the spread of the no-pooling estimates, and shrinkage takes too much of it away: the "
        "differences between groups are described by τ, not by either of them.",
    )


def shrinkage_section(record: ReportRecord) -> Section | None:
    """Show what partial pooling does to every group of the main model."""
    found = answer(record.study, record.main_model, record.estimates, record.fits, record.groups)
    pictures = record.pictures_of(*FIGURES, model=record.main_model)
    if found is None or found.groups.is_empty():
        return None
    readings = [reading.sentence for reading in (*read_weight(found), *read_shrinkage(found))]
    blocks: list[Block] = [Bullets(tuple(readings))] if readings else []
    blocks += figures(pictures)
    for (group, term), part in found.groups.group_by("group", "term", maintain_order=True):
        blocks.append(_groups_table(record, str(group), str(term), part, found.engine))
    number = found.groups["label"].n_unique()
    lead = (
        f"Partial pooling moves each of the {count(number)} "
        f"{plural(noun(record.study, found.groups['group'][0]))} of "
        f"{record.main_model} from its own estimate toward what is expected of a group like it: far where "
        f"its own "
        "data are few, hardly where they are many."
    )
    return Section("shrinkage", "Shrinkage, group by group", lead, tuple(blocks))


def _groups_table(record: ReportRecord, group: str, term: str, part: pl.DataFrame, engine: str) -> Table:
    part = part.sort("n", "label", descending=[False, False])
    shown = (
        part
        if part.height <= MOST_GROUPS
        else pl.concat([part.head(MOST_GROUPS // 2), part.tail(MOST_GROUPS // 2)])
    )
    rows = []
    for row in shown.to_dicts():
        decimals = decimals_for(row["partial_pooling_se"] or row["random_effect_se"] or 0.01)
        rows.append(
            cells(
                row["label"] or "",
                count(row["n"]),
                _value(row["no_pooling"], row["no_pooling_se"], decimals),
                _value(row["complete_pooling"], None, decimals),
                _value(row["partial_pooling"], row["partial_pooling_se"], decimals),
                plain(row["pooling_factor"], 2),
            )
        )
    note = "Sorted by group size; standard errors in brackets."
    if part.height > len(rows):
        note += (
            f" The {MOST_GROUPS // 2} smallest and the {MOST_GROUPS // 2} largest of {count(part.height)} "
            f"groups; all of them are in "
            f"{record.folder}/groups.parquet."
        )
    what = "Intercept" if term == "(Intercept)" else f"Slope of {term}"
    return Table(
        caption=f"{what} of each {noun(record.study, group)} in {record.main_model}, by {engine_name(engine)}",
        head=(
            noun(record.study, group),
            "Rows",
            "No pooling",
            "Complete pooling",
            "Partial pooling",
            "Weight of own data",
        ),
        rows=tuple(rows),
        align="lrrrrr",
        note=note,
    )


def _value(value: float | None, error: float | None, decimals: int) -> Cell:
    if value is None:
        return Cell(NOTHING, "quiet")
    detail = f"({fixed(error, max(decimals, decimals_for(error)) if error else decimals)})" if error else ""
    return Cell(fixed(value, decimals), "", detail)
