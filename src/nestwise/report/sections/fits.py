"""Which fits answered, which did not and why; models side by side; every warning in one ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from nestwise.compare.models import ModelTable, compare_models
from nestwise.compare.nesting import Nesting
from nestwise.compare.structures import structure_of
from nestwise.names import several
from nestwise.numbers import NOTHING, count, fixed, p_value, say
from nestwise.report.blocks import Block, Bullets, Cell, Section, Table, cells
from nestwise.report.record import ReportRecord
from nestwise.report.words import engine_name, null_distribution, status_cell

MOST_WARNINGS = 200
CRITERIA = ("AIC", "BIC", "Conditional AIC")


def comparison_section(record: ReportRecord) -> Section | None:
    """Set the models side by side, and refuse what must not be compared."""
    if len(record.models) < 2 or record.fits.is_empty():
        return None
    wanted = record.study.compare.models
    structures = {model: structure_of(design) for model, design in record.designs.items()}
    table = compare_models(record.fits, record.estimates, wanted, structures)
    if len(table.rows) < 2:
        return None
    rows = []
    for row in table.rows:
        held = row.comparable
        rows.append(
            cells(
                Cell(row.model, "", row.formula),
                Cell(row.method or NOTHING, "", engine_name(row.engine)),
                count(row.n_obs),
                record.group_counts(row.model, row.n_groups),
                count(row.n_parameters),
                fixed(row.log_likelihood, 2) if row.log_likelihood is not None else NOTHING,
                fixed(row.aic, 1) if held and row.aic is not None else Cell("not compared", "quiet"),
                fixed(row.bic, 1) if held and row.bic is not None else Cell("not compared", "quiet"),
                NOTHING if row.caic is None else fixed(row.caic, 1),
            )
        )
    blocks: list[Block] = [
        Table(
            caption="Models of the study side by side",
            head=("Model", "Method", "Rows", "Groups", "Parameters", "Log-likelihood", *CRITERIA),
            rows=tuple(rows),
            align="llrrrrrrr",
            note="AIC and BIC are shown where another model has the same rows, the same method and, under "
            "REML, the same fixed effects; they judge predictions for new groups. The conditional AIC judges "
            "predictions for new rows of the same groups (Greven & Kneib 2010), where it could be computed.",
        )
    ]
    if table.tests:
        blocks.append(_ratios(table.tests))
    # The tests have a table; what is left says which model the AIC favours and what is refused.
    tested = {test.sentence for test in table.tests}
    rest = tuple(sentence for sentence in table.sentences if sentence not in tested)
    if rest:
        blocks.append(Bullets(rest))
    return Section("comparison", "Models side by side", _comparison_lead(table), tuple(blocks))


def _comparison_lead(table: ModelTable) -> str:
    """How many of the models may be held against each other."""
    number = len(table.rows)
    compared = sum(row.comparable and row.aic is not None for row in table.rows)
    if compared == number:
        return f"All {count(number)} models were fitted to the same rows in the same way and may be compared."
    if compared:
        rest = (
            f"{count(compared)} of them may be compared by AIC and BIC; the others may not, and the reasons"
        )
    else:
        rest = "None of them may be compared by AIC or BIC as they were fitted; the reasons"
    return f"{count(number)} models were fitted. {rest} follow."


def _ratios(tests: Sequence[Nesting]) -> Table:
    """Likelihood-ratio tests between models of which one holds the other."""
    rows = []
    for test in tests:
        distribution, _, remark = test.reference.partition(", ")
        rows.append(
            cells(
                Cell(test.large, "", f"against {test.small}"),
                say(test.statistic),
                count(test.df),
                p_value(test.p_value),
                Cell(null_distribution(distribution), "", remark),
            )
        )
    return Table(
        caption="Likelihood-ratio tests: is the larger model needed?",
        head=("Model", "Statistic", "Parameters more", "p", "Null distribution"),
        rows=tuple(rows),
        align="lrrrl",
        note="The smaller model is the larger one with parameters fixed, most at zero. Tests are shown for "
        "models whose likelihoods may be compared.",
    )


def fits_section(record: ReportRecord) -> Section:
    """List every fit with its status and reason: one that failed is a row, not a gap."""
    rows, last = [], ""
    for row in record.fits.to_dicts():
        likelihood = row["log_likelihood"]
        rows.append(
            cells(
                row["model"] if row["model"] != last else "",
                Cell(engine_name(row["engine"]), "", row["method"] or ""),
                status_cell(row["status"]),
                count(row["n_obs"]),
                record.group_counts(row["model"], row["n_groups"]),
                fixed(likelihood, 3) if likelihood is not None else NOTHING,
                f"{say(row['seconds'], 2)} s" if row["seconds"] is not None else NOTHING,
            )
        )
        last = row["model"]
    blocks: list[Block] = []
    reasons = record.fits.filter(pl.col("reason").is_not_null() & (pl.col("status") != "ok")).to_dicts()
    if reasons:
        why = tuple(
            cells(
                Cell(row["model"], "", engine_name(row["engine"])), status_cell(row["status"]), row["reason"]
            )
            for row in reasons
        )
        blocks.append(
            Table("Fits that did not end as asked, and why", ("Fit", "Status", "Reason"), why, "lll")
        )
    blocks.append(
        Table(
            caption="Every fit of the study",
            head=("Model", "Engine", "Status", "Rows", "Groups", "Log-likelihood", "Time"),
            rows=tuple(rows),
            align="lllrrrr",
            note=f"Also in `{record.folder}/fits.parquet`. Log-likelihoods of different methods are "
            "not comparable.",
        )
    )
    blocks += [_ladder(pair, steps) for pair, steps in _ladders(record)]
    return Section("fits", "Fits", _fits_lead(record.fits), tuple(blocks))


def _ladders(record: ReportRecord) -> list[tuple[tuple[str, str], Sequence[Mapping[str, Any]]]]:
    """Simplifications that an engine tried, of the fits that left any."""
    return [(pair, saved["ladder"]) for pair, saved in record.records.items() if saved.get("ladder")]


def _ladder(pair: tuple[str, str], steps: Sequence[Mapping[str, Any]]) -> Table:
    model, engine = pair
    rows = []
    for step in steps:
        likelihood, aic = step.get("log_likelihood"), step.get("aic")
        singular = step.get("singular")
        rows.append(
            cells(
                str(step.get("formula", NOTHING)),
                status_cell(str(step.get("status", NOTHING))),
                NOTHING if singular is None else "yes" if singular else "no",
                NOTHING if likelihood is None else fixed(likelihood, 2),
                NOTHING if aic is None else fixed(aic, 1),
            )
        )
    return Table(
        caption=f"Simpler random effects in place of those of `{model}`, by {engine_name(engine)}",
        head=("Formula", "Status", "Singular", "Log-likelihood", "AIC"),
        rows=tuple(rows),
        align="lllrr",
        note="The fit is singular: the data cannot tell all its variances and correlations apart from zero "
        "or one. Each row drops more of them. The model asked for is the one reported; none was put in "
        "its place.",
    )


def _fits_lead(fits: pl.DataFrame) -> str:
    if fits.is_empty():
        return "No fit has been run."
    number = fits.height
    answered = fits.filter(pl.col("status") == "ok").height
    if answered == number:
        return "The one fit answered." if number == 1 else f"All {count(number)} fits answered."
    rest = {
        word: fits.filter(pl.col("status") == status).height
        for status, word in (
            ("singular", "ended with a variance on its boundary"),
            ("not_converged", "did not converge"),
            ("failed", "failed"),
            ("refused", "refused, because the answer would mislead or is not available"),
        )
    }
    parts = [f"{count(times)} {word}" for word, times in rest.items() if times]
    return f"Of {count(number)} fits {count(answered)} answered without remark; {several(parts)}."


def warnings_of(record: ReportRecord) -> list[tuple[str, str]]:
    """Every warning of the run with its place: validation, designs, fits; the same one once."""
    found: list[tuple[str, str]] = []
    for check in record.validation.get("checks") or ():
        if not check.get("passed") and check.get("level") in ("warning", "error"):
            found.append(("Validation", str(check.get("sentence") or check.get("name"))))
    for model, design in record.designs.items():
        found += [(f"Design of {model}", str(note)) for note in design.get("notes") or ()]
        dropped = design.get("dropped") or ()
        if dropped:
            found.append(
                (
                    f"Design of {model}",
                    f"Left out as linear combinations: {several([str(d) for d in dropped])}.",
                )
            )
    for row in record.fits.to_dicts():
        place = f"{row['model']} by {engine_name(row['engine'])}"
        listed = (record.records.get((row["model"], row["engine"])) or {}).get("warnings")
        texts = listed if isinstance(listed, list) else [row["warnings"]] if row["warnings"] else []
        found += [(place, str(text)) for text in texts]
        if row["reason"] and row["status"] != "ok":
            found.append((place, row["reason"]))
    return list(dict.fromkeys(found))


def ledger_section(record: ReportRecord) -> Section:
    """Every warning in one place, so that none is lost in a log; one that several steps gave stands once."""
    places: dict[str, list[str]] = {}
    for place, text in warnings_of(record):
        places.setdefault(text, []).append(place)
    if not places:
        return Section("ledger", "Warnings", "Nothing gave cause for a warning.")
    rows = tuple(cells(several(places[text], 6), Cell(text)) for text in list(places)[:MOST_WARNINGS])
    table = Table(
        caption="Warnings ledger",
        head=("Where", "What"),
        rows=rows,
        align="ll",
        note="" if len(places) <= MOST_WARNINGS else f"The first {MOST_WARNINGS} of {count(len(places))}.",
    )
    number = "One warning was" if len(places) == 1 else f"{count(len(places))} different warnings were"
    return Section("ledger", "Warnings", f"{number} given on the way from the data to the fits.", (table,))
