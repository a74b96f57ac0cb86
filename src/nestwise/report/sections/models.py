"""Models: in formula, in mathematical form, and in five ways to write the same thing."""

from __future__ import annotations

from collections.abc import Sequence

from nestwise.compare.reading import Answer, answer, noun
from nestwise.design.distributions import THRESHOLD
from nestwise.design.marginal_equations import marginal_equations
from nestwise.design.markup import Equation, Symbol, math, mi, sub
from nestwise.design.mathml import write
from nestwise.names import plural, several
from nestwise.numbers import NOTHING, count, interval, p_value, say, with_error
from nestwise.report.blocks import (
    Block,
    Bullets,
    Cell,
    Fold,
    Formula,
    Heading,
    Mathematics,
    Note,
    Section,
    Table,
    Text,
    cells,
)
from nestwise.report.covariance import is_plain, residual_equations, residual_symbols, residual_words
from nestwise.report.grouping import grouping_words
from nestwise.report.record import ReportRecord
from nestwise.report.targets import group_noun, outcome_of, whom
from nestwise.report.ways import five_ways
from nestwise.report.words import engine_name, quantity, unit_of

ORDINAL = (
    "λ is the linear predictor; the thresholds θ cut its scale between neighbouring categories and stand for "
    "the intercept. Larger values make higher categories more likely."
)
RESIDUALS = "Residuals"
"""Title of the equation of plain residuals."""


def models_section(record: ReportRecord) -> Section:
    """Write down every model of the study."""
    blocks: list[Block] = []
    for model in record.models:
        blocks += _one_model(record, model)
    number = len(record.models)
    lead = (
        f"{'One model was' if number == 1 else f'{count(number)} models were'} asked for. Each is shown as "
        "the study file writes it and as equations"
    )
    mixed = any(_written(record, model)[0] for model in record.models)
    levels = ": level 1 describes single rows, level 2 what differs between groups"
    lead += f"{levels if mixed else ''}."
    if number == 1:
        lead = lead.replace("Each is shown", "It is shown")
    return Section("models", "Models", lead, tuple(blocks))


def _one_model(record: ReportRecord, model: str) -> list[Block]:
    config = record.study.models[model]
    blocks: list[Block] = [Heading(model)]
    if config.label:
        blocks.append(Text(config.label))
    blocks.append(Formula(config.formula))
    if model not in record.shapes:
        refused = record.designs.get(model, {}).get("refused")
        blocks.append(Note(str(refused or "This model could not be designed; see Fits."), "attention"))
        return blocks
    conditional, marginal = _written(record, model)
    writing = write(record.shapes[model])
    if conditional:
        if marginal:
            blocks.append(Heading(f"Mixed model: {whom(record, model, conditional)}", 4))
        blocks.append(Mathematics(_equations(record, model, writing.equations)))
        if outcome_of(record, model).family == "ordinal":
            blocks.append(Text(ORDINAL))
    design = record.designs.get(model, {})
    factors = grouping_words(record.study, design)
    main_factors = grouping_words(record.study, record.designs.get(record.main_model, {}))
    if model != record.main_model and factors == main_factors:
        factors = ()  # said once, where the reader dwells
    said = (residual_words(design, column_names(record, model)), *factors)
    blocks += [Text(sentence) for sentence in said if sentence]
    main = model == record.main_model
    if conditional:
        key = _key(record, model, writing.symbols)
        blocks.append(key if main else Fold(f"Symbols of {model}, with their estimates", (key,)))
        blocks += _ways(record, model) if main else []
    blocks += _marginal(record, model, alone=not conditional) if marginal else []
    notes = record.designs.get(model, {}).get("notes") or ()
    if notes:
        blocks.append(Bullets(tuple(str(note) for note in notes)))
    return blocks


def _written(record: ReportRecord, model: str) -> tuple[str, bool]:
    """The engine whose equations have random effects ("" for none), and whether some have not.

    A model that `gee` alone answered, or was asked for, is a population average and nothing else.
    """
    engines = [engine for engine in record.study.models[model].engines if engine != "gee"]
    marginal = (record.records.get((model, "gee")) or {}).get("working_correlation") is not None
    asked = next(iter(engines), "")
    return ("" if marginal and not engines else asked or "lmm"), marginal


def _marginal(record: ReportRecord, model: str, *, alone: bool) -> list[Block]:
    """Estimating equations: mean, variance, working correlation, and what is solved."""
    one = group_noun(record, model, "gee")
    working = record.records[(model, "gee")]["working_correlation"]
    blocks: list[Block] = []
    if not alone:
        blocks.append(Heading(f"Estimating equations: {whom(record, model, 'gee')}", 4))
    blocks.append(Mathematics(marginal_equations(record.shapes[model], one, working)))
    blocks.append(
        Text(
            f"The mark M tells coefficients of the average of {plural(one)} apart. No distribution is "
            f"assumed: "
            f"Aⱼ holds the variance of each row of {one} j, Dⱼ the derivatives of its means, and R is the "
            "working correlation. Estimates are in the section on effects."
        )
    )
    return blocks


def column_names(record: ReportRecord, model: str) -> dict[str, str]:
    """Columns that the residuals of a model depend on, and what one subject is called."""
    config, residual = record.study.models[model], record.designs.get(model, {}).get("residual")
    subject = noun(record.study, str(residual["subject"])) if residual else "subject"
    return {
        "weights": config.weights or "w",
        "sampling_error": config.sampling_error or "s",
        "subject": subject,
    }


def _equations(record: ReportRecord, model: str, written: Sequence[Equation]) -> tuple[Equation, ...]:
    """The equations of a model, with the residuals as its design has them."""
    design = record.designs.get(model, {})
    times = ((record.records.get((model, "lmm")) or {}).get("residual") or {}).get("times") or ()
    own = residual_equations(design, column_names(record, model), times)
    if not own:
        return tuple(written)
    place = next((at for at, line in enumerate(written) if line.title == RESIDUALS), len(written))
    return (*written[:place], *own, *written[place + 1 :])


def _symbols(found: Answer | None, symbols: Sequence[Symbol]) -> tuple[Symbol, ...]:
    """The key with the residual parameters that the fit has in place of one standard deviation."""
    if found is None:
        return tuple(symbols)
    if found.engine == "glmm":
        known = {symbol.term for symbol in symbols if symbol.component == "fixed"}
        cuts = [term for term in found.fixed_terms() if term not in known and "|" in term]
        return (*(Symbol(_threshold(cut), "fixed", cut) for cut in cuts), *symbols)
    terms = [str(row["term"]) for row in found.estimates if row["component"] == "residual"]
    if terms == ["sigma"]:
        return tuple(symbols)
    return (*(each for each in symbols if each.component != "residual"), *residual_symbols(terms))


def _threshold(cut: str) -> str:
    """The symbol of the threshold between two categories, called by the lower one."""
    return math(sub(THRESHOLD, mi(cut.partition("|")[0])), block=False)


def _ways(record: ReportRecord, model: str) -> list[Block]:
    ways = five_ways(record.shapes[model]) if is_plain(record.designs.get(model, {})) else ()
    if not ways:
        return []
    inside: list[Block] = [
        Text("All five are the same model and give the same estimates; each shows another side of it.")
    ]
    for position, way in enumerate(ways, start=1):
        inside += [Heading(f"{position}. {way.title}", 4), Mathematics(way.equations), Text(way.words)]
    return [Fold("Five ways to write this model", tuple(inside))]


def _key(record: ReportRecord, model: str, symbols: tuple[Symbol, ...]) -> Table:
    """What each symbol is called in the tables, with its estimate."""
    shape = record.shapes[model]
    found = answer(record.study, model, record.estimates, record.fits, record.groups)
    sizes = [f"{count(term.n_groups)} {plural(noun(record.study, term.group))}" for term in shape.random]
    residual = record.designs.get(model, {}).get("residual")
    if residual:
        sizes.append(f"{count(residual['n_subjects'])} {plural(noun(record.study, residual['subject']))}")
    size = several([f"{count(shape.n)} rows", *dict.fromkeys(sizes)])
    outcome = outcome_of(record, model)
    unit = unit_of(record.study, shape.outcome) if outcome.linear else f", on the scale of {outcome.scale}"
    by = f"; estimates by {engine_name(found.engine)}{unit}" if found else ""
    return Table(
        caption=f"Symbols of `{model}` ({size}){by}",
        head=(
            "Symbol",
            "Quantity",
            "Estimate",
            "SE",
            f"{record.study.compare.level:.0%} interval",
            "df",
            "p",
        ),
        rows=tuple(_symbol(record, found, symbol) for symbol in _symbols(found, symbols)),
        align="llrrrrr",
    )


def _symbol(record: ReportRecord, found: Answer | None, symbol: Symbol) -> tuple[Cell, ...]:
    row = found.row(symbol.component, symbol.term, symbol.group) if found else None
    name = quantity(record.study, symbol.component, symbol.group, symbol.term)
    if row is None:
        return cells(Cell(mathml=symbol.mathml), name, *[NOTHING] * 5)
    error = row["std_error"]
    if error is None and row["lower"] is not None and row["upper"] is not None:
        error = (row["upper"] - row["lower"]) / 4
    estimate, shown = with_error(row["estimate"], error)
    tested = symbol.component == "fixed"
    return cells(
        Cell(mathml=symbol.mathml),
        name,
        estimate,
        shown if row["std_error"] is not None else "",
        interval(row["lower"], row["upper"], error),
        say(row["df"]) if tested else "",
        p_value(row["p_value"]) if tested else "",
    )
