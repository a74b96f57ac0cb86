"""The first screen: what the study found, in a handful of sentences with their numbers."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from nestwise.compare.context import contextual as contextual_effects
from nestwise.compare.context import equals, read_contextual
from nestwise.compare.reading import (
    Answer,
    noun,
    read_level2,
    read_slopes,
    read_variance,
    read_weight,
)
from nestwise.names import plural, several
from nestwise.numbers import count, with_error
from nestwise.report.record import ReportRecord
from nestwise.report.sections.engines import agreement
from nestwise.report.sections.variance import answers, hashes

MOST_EFFECTS = 4


@dataclass(frozen=True)
class Summary:
    """What stands at the top of the page."""

    facts: tuple[tuple[str, str], ...]
    findings: tuple[str, ...]


def summary(record: ReportRecord) -> Summary:
    """Say what the study found."""
    return Summary(tuple(_facts(record)), tuple(_findings(record)))


def _facts(record: ReportRecord) -> list[tuple[str, str]]:
    validation = record.validation
    facts = [("Rows", count(validation["n_rows"]))] if validation.get("n_rows") is not None else []
    for group in validation.get("groups") or ():
        if group.get("n_groups") is not None:
            name = noun(record.study, str(group["name"]))
            facts.append((plural(name)[:1].upper() + plural(name)[1:], count(group["n_groups"])))
    facts.append(("Models", count(len(record.models))))
    answered = record.fits.filter(pl.col("status").is_in(["ok", "singular"])).height
    facts.append(("Fits that answered", f"{count(answered)} of {count(record.fits.height)}"))
    if not record.checks.is_empty():
        passed = record.checks.filter(pl.col("ok")).height
        facts.append(("Checks passed", f"{count(passed)} of {count(record.checks.height)}"))
    return facts


def _findings(record: ReportRecord) -> list[str]:
    found = answers(record)
    if not found:
        return ["No model that treats groups as a sample has an answer; the table of fits says why."]
    main = next((each for each in found if each.model == record.main_model), found[-1])
    effects = _effects(main)
    sentences = [effects] if effects else []
    first = next((each for each in reversed(found) if read_variance(each)), None)
    if first is not None:
        where = f"In `{first.model}`: " if len(found) > 1 else ""
        sentences.append(
            where + " ".join(each.sentence for each in (*read_variance(first)[:1], *read_weight(first)))
        )
    sentences += [reading.sentence for reading in read_slopes(main)]
    explained = read_level2(found, hashes(record))
    own = [reading for reading in explained if reading.model == main.model]
    sentences += [reading.sentence for reading in (own or explained[-1:])[:1]]
    context = [
        read_contextual(record.study, part).sentence
        for each in [main, *reversed(found)]
        for part in contextual_effects(each, record.covariances.get((each.model, each.engine)))
    ]
    schools = agreement(record, main.model)
    return [*dict.fromkeys(sentences), *context[:1], *([schools] if schools else [])]


def _effects(main: Answer) -> str:
    """The fixed effects of the main model in a sentence."""
    shown = []
    for row in main.estimates:
        if row["component"] != "fixed" or row["term"] == "(Intercept)" or row["estimate"] is None:
            continue
        estimate, error = with_error(row["estimate"], row["std_error"])
        p = f", p\u00a0{equals(row['p_value'])}" if row["p_value"] is not None else ""
        shown.append(f"{row['term']} {estimate} (SE {error}{p})")
    if not shown:
        return ""
    return f"Effects in `{main.model}`: {several(shown, MOST_EFFECTS)}."
