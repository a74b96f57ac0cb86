"""Three ways to treat groups, side by side: complete pooling, no pooling, partial pooling."""

from __future__ import annotations

from nestwise.compare.poolings import (
    Line,
    PoolingTable,
    Raw,
    Spread,
    Value,
    pooling_of,
    pooling_table,
)
from nestwise.names import several
from nestwise.numbers import NOTHING, count, say, with_error
from nestwise.report.blocks import Cell, Section, Table, cells, main_first
from nestwise.report.record import ReportRecord
from nestwise.report.targets import outcome_of
from nestwise.report.words import engine_name, quantity, unit_of


def pooling_section(record: ReportRecord) -> Section | None:
    """Show every model by all three ways of pooling, the main one open."""
    tables = [pooling_table(record.estimates, record.fits, record.groups, model) for model in record.models]
    answered = [table for table in tables if _pools(record, table)]
    if not answered:
        return None
    blocks = list(main_first(record, {table.model: [_side_by_side(record, table)] for table in answered}))
    spreads = [
        (table.model, spread)
        for table in answered
        for spread in table.spreads
        if spread.engine == table.spreads[0].engine
    ]
    if spreads:
        blocks.append(_spreads(record, spreads))
    lead = (
        "Groups can be ignored (complete pooling), each treated alone (no pooling), or estimated as draws "
        "from "
        "a common distribution (partial pooling). The first hides real differences, the second is noisy "
        "where a "
        "group has few rows; the third weighs each group's own data against all the others."
    )
    return Section("pooling", "Complete, no and partial pooling", lead, tuple(blocks))


def _pools(record: ReportRecord, table: PoolingTable) -> bool:
    """Whether there is something to pool: coefficients that vary by group, or two ways side by side.

    Outcomes that are not Gaussian are pooled partially only, and one way is no comparison.
    """
    ways = {pooling_of(engine) for engine in table.engines}
    if not outcome_of(record, table.model).linear:
        return len(ways) > 1
    return len(ways) > 1 or any(line.component == "sd" for line in table.lines)


def _cell(line: Line, engine: str, value: Value | None, raw: Raw | None) -> Cell:
    if value is not None and value.estimate is not None:
        # an SD or correlation without a standard error takes its digits from an engine that has one
        errors = [each.std_error for each in line.values if each is not None and each.std_error]
        estimate, _ = with_error(value.estimate, value.std_error or (errors[-1] if errors else None))
        _, error = with_error(value.estimate, value.std_error)
        return Cell(estimate, "", f"({error})" if error != NOTHING else "")
    if engine == "pooled" and line.component == "sd":
        return Cell("0", "quiet", "assumed")
    if engine == "unpooled" and raw is not None and raw.sd is not None:
        if line.component == "sd":
            return Cell(say(raw.sd), "", f"raw, of {count(raw.n)} groups")
        estimate, error = with_error(raw.mean, raw.sd)
        return Cell(f"{count(raw.n)} values", "", f"mean {estimate}, SD {error}")
    return Cell(NOTHING, "quiet")


def _side_by_side(record: ReportRecord, table: PoolingTable) -> Table:
    raw = {term.term: term for term in table.raw}
    rows = [
        cells(
            quantity(record.study, line.component, line.group, line.term),
            *(
                _cell(line, engine, value, raw.get(line.term) if line.component in ("fixed", "sd") else None)
                for engine, value in zip(table.engines, line.values, strict=True)
            ),
        )
        for line in table.lines
    ]
    ways = [pooling_of(engine) for engine in table.engines]
    spans = [(way.capitalize(), ways.count(way)) for way in dict.fromkeys(ways)]
    shown = {*table.engines, "gee"}  # population averages pool no groups
    absent = [engine for engine in record.study.models[table.model].engines if engine not in shown]
    note = "Standard error, or posterior SD, in brackets."
    if "unpooled" in table.engines:
        note += (
            " No pooling has a value for each group; their spread is noise on top of real differences. A "
            "predictor that is constant within groups cannot be told from the groups without pooling."
        )
    if absent:
        note += f" Without an answer: {several([engine_name(engine) for engine in absent])} (see Fits)."
    shape = record.shapes.get(table.model)
    unit = unit_of(record.study, shape.outcome) if shape else ""
    return Table(
        caption=f"`{table.model}`: one model, three ways to treat its groups{unit}",
        head=("Quantity", *(engine_name(engine) for engine in table.engines)),
        rows=tuple(rows),
        align="l" + "r" * len(table.engines),
        note=note,
        groups=(("", 1), *spans),
    )


def _spreads(record: ReportRecord, found: list[tuple[str, Spread]]) -> Table:
    rows = [
        cells(
            model,
            quantity(record.study, "sd", spread.group, spread.term),
            Cell(say(spread.raw), "", f"{count(spread.n_raw)} of {count(spread.n_groups)} groups"),
            Cell(say(spread.tau), "", engine_name(spread.engine)),
            say(spread.shrunken),
        )
        for model, spread in found
    ]
    return Table(
        caption="How much groups differ: by their raw estimates, in truth (τ), by their shrunken estimates",
        head=("Model", "Coefficient", "SD of no-pooling estimates", "τ", "SD of partial-pooling estimates"),
        rows=tuple(rows),
        align="llrrr",
        note="Noise inflates the spread of the no-pooling estimates. Where groups are shrunk toward one "
        "mean, "
        "the partial-pooling estimates spread less than τ; where group-level predictors move that mean, its "
        "spread comes on top. The differences that are left between groups are described by τ.",
    )
