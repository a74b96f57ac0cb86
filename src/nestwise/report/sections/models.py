"""Models: in formula, in mathematical form, and in five ways to write the same thing."""

from __future__ import annotations

from nestwise.compare.numbers import count, with_error
from nestwise.compare.reading import answer
from nestwise.design.mathml import Shape, Symbol, write
from nestwise.report.blocks import (
    Block,
    Bullets,
    Cell,
    Fold,
    Formula,
    Heading,
    Mathematics,
    Section,
    Table,
    Text,
    cells,
)
from nestwise.report.record import ReportRecord
from nestwise.report.ways import five_ways
from nestwise.report.words import engine_name, quantity


def models_section(record: ReportRecord) -> Section:
    """Write down every model of the study."""
    blocks: list[Block] = []
    for model in record.models:
        blocks += _one_model(record, model)
    number = len(record.models)
    lead = (
        f"{'One model was' if number == 1 else f'{number} models were'} asked for. Each is shown as the "
        f"study file "
        "writes it and as equations: level 1 describes single rows, level 2 what differs between groups."
    )
    return Section("models", "Models", lead, tuple(blocks))


def _one_model(record: ReportRecord, model: str) -> list[Block]:
    config = record.study.models[model]
    blocks: list[Block] = [Heading(model)]
    if config.label:
        blocks.append(Text(config.label))
    blocks.append(Formula(config.formula))
    if model not in record.shapes:
        blocks.append(Text("This model could not be designed; the table of fits gives the reason."))
        return blocks
    shape = record.shapes[model]
    writing = write(shape)
    blocks.append(Mathematics(writing.equations))
    blocks.append(_key(record, model, shape, writing.symbols))
    ways = five_ways(shape)
    if ways and model == record.main_model:
        inside: list[Block] = [
            Text("All five are the same model and give the same estimates; each shows another side of it.")
        ]
        for position, way in enumerate(ways, start=1):
            inside += [Heading(f"{position}. {way.title}", 4), Mathematics(way.equations), Text(way.words)]
        blocks.append(Fold("Five ways to write this model", tuple(inside)))
    notes = record.designs.get(model, {}).get("notes") or ()
    if notes:
        blocks.append(Bullets(tuple(str(note) for note in notes)))
    return blocks


def _key(record: ReportRecord, model: str, shape: Shape, symbols: tuple[Symbol, ...]) -> Table:
    """What each symbol is called in the tables, with its estimate."""
    found = answer(record.study, model, record.estimates, record.fits, record.groups)
    rows = []
    for symbol in symbols:
        row = found.row(symbol.component, symbol.term, symbol.group) if found else None
        estimate, error = with_error(row["estimate"], row["std_error"]) if row else ("–", "–")
        name = quantity(record.study, symbol.component, symbol.group, symbol.term)
        rows.append(cells(Cell(mathml=symbol.mathml), name, estimate, error))
    groups = ", ".join(f"{count(term.n_groups)} × {term.group}" for term in shape.random) or "no groups"
    by = f" Estimates by {engine_name(found.engine)}." if found else ""
    return Table(
        caption=f"What the symbols of {model} stand for ({count(shape.n)} rows, {groups}).{by}",
        head=("Symbol", "Quantity", "Estimate", "SE"),
        rows=tuple(rows),
        align="llrr",
    )
