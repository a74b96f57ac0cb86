"""The first screen: what the study found, in a handful of sentences with their numbers."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from nestwise.compare.context import contextual as contextual_effects
from nestwise.compare.context import equals, read_contextual
from nestwise.compare.reading import (
    PARTIAL_ENGINES,
    Answer,
    noun,
    read_level2,
    read_slopes,
)
from nestwise.names import plural, several
from nestwise.numbers import count, interval, say, with_error
from nestwise.report.findings import generalised_findings
from nestwise.report.record import ReportRecord
from nestwise.report.sections.engines import agreement
from nestwise.report.sections.residuals import read_residuals
from nestwise.report.sections.variance import answers, hashes, read_shares
from nestwise.report.targets import fit_of, outcome_of
from nestwise.report.trial import read_trial
from nestwise.vocabulary import INTERCEPT

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
    chosen = _chosen(record)
    if not outcome_of(record, chosen).linear or chosen not in {each.model for each in found}:
        averaged = generalised_findings(record, chosen)
        if averaged:
            return [*averaged, *_generalised_rest(record, found, chosen)]
    if not found:
        return ["No model that treats groups as a sample has an answer; the table of fits says why."]
    main = next((each for each in found if each.model == record.main_model), found[-1])
    # With arms that differ by visit, single coefficients are those of the reference visit: means say more.
    trial = read_trial(record, main.model)
    sentences = list(trial) or [effects for effects in (_effects(main),) if effects]
    sentences += _where_the_variance_lies(record, main)
    sentences += [reading.sentence for reading in read_slopes(main)]
    own = [reading for reading in read_level2(found, hashes(record)) if reading.model == main.model]
    sentences += [reading.sentence for reading in own[:1]]
    context = [
        ("" if each.model == main.model else f"In `{each.model}`: ")
        + read_contextual(record.study, part).sentence
        for each in [main, *(other for other in reversed(found) if other.model != main.model)]
        for part in contextual_effects(each, record.covariances.get((each.model, each.engine)))
    ]
    schools = agreement(record, main.model)
    return [*dict.fromkeys(sentences), *context[:1], *([schools] if schools else [])]


def _chosen(record: ReportRecord) -> str:
    """The main model, or the last one that partial pooling or estimating equations answered."""
    engines = (*PARTIAL_ENGINES, "gee")
    order = [record.main_model, *reversed(record.models)]
    return next((model for model in order if fit_of(record, model, engines)), record.main_model)


def _generalised_rest(record: ReportRecord, found: list[Answer], model: str) -> list[str]:
    """Slopes that vary, group-level predictors and both schools, where the model has them."""
    main = next((each for each in found if each.model == model), None)
    if main is None:
        return []
    own = [reading for reading in read_level2(found, hashes(record)) if reading.model == main.model]
    schools = agreement(record, main.model)
    slopes = [reading.sentence for reading in read_slopes(main)]
    return [*slopes, *(reading.sentence for reading in own[:1]), *([schools] if schools else [])]


def _where_the_variance_lies(record: ReportRecord, main: Answer) -> list[str]:
    """Of the main model and no other: shares of intercepts, shares averaged over slopes, or residuals."""
    if record.study.models[main.model].sampling_error is not None:
        return _known_errors(record, main)
    shares = read_shares(record, main)
    said = [f"In `{main.model}`: {shares}" if len(record.models) > 1 else shares] if shares else []
    residuals = read_residuals(record, main.model)
    return [*said, residuals] if residuals and not said else said


def _known_errors(record: ReportRecord, main: Answer) -> list[str]:
    """Mean and SD between groups where the error of each row is known and there is no residual variance."""
    mean = main.row("fixed", INTERCEPT)
    said = []
    if mean is not None and main.fixed_terms() == (INTERCEPT,):
        value, error = with_error(mean["estimate"], mean["std_error"])
        covered = interval(mean["lower"], mean["upper"], mean["std_error"])
        level = f"{record.study.compare.level:.0%}"
        said.append(
            f"The overall mean in `{main.model}` is {value} (SE {error}, {level} interval {covered})."
        )
    for group, terms in main.varying().items():
        tau = main.row("sd", INTERCEPT, group) if INTERCEPT in terms else None
        if tau is not None and tau["estimate"] is not None:
            ends = "" if tau["upper"] is None else f" ({interval(tau['lower'], tau['upper'])})"
            said.append(
                f"Beyond the known errors of the rows, {plural(noun(record.study, group))} differ with an SD "
                f"of {say(tau['estimate'])}{ends}."
            )
    return said


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
