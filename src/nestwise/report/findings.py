"""What a study of an outcome that is not Gaussian found, in sentences for the first screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp
from typing import Any

import polars as pl

from nestwise.compare.context import equals
from nestwise.compare.reading import by_likelihood_and_posterior, noun
from nestwise.names import plural, several
from nestwise.numbers import decimals_for, fixed, interval, percent, say
from nestwise.report.record import ReportRecord
from nestwise.report.targets import (
    CONDITIONAL_ENGINES,
    MARGINAL_ENGINES,
    Outcome,
    Row,
    coefficients,
    effect_words,
    fit_of,
    group_noun,
    intraclass,
    median_ratio,
    outcome_of,
    telling,
)
from nestwise.vocabulary import INTERCEPT

MOST_TERMS = 4
NOTHING = 1e-4
"""A standard deviation on the scale of the link below this is none."""
ALMOST_ALL = 0.985
"""Share of an effect that averaging keeps where groups hardly differ."""
HUGE = 1000.0
"""A ratio beyond this is said to be beyond it."""
ALARMS = ("overdispersion", "zero_inflation", "constant_groups", "quadrature_points")


def generalised_findings(record: ReportRecord, model: str) -> list[str]:
    """Effects of a typical group and of the average, why they differ, how groups differ, what is amiss.

    Parameters
    ----------
    record : ReportRecord
        The study.
    model : str
        A model whose outcome is not Gaussian.

    Returns
    -------
    list of str
        Empty where no engine answered.
    """
    outcome = outcome_of(record, model)
    conditional = fit_of(record, model, CONDITIONAL_ENGINES)
    marginal = fit_of(record, model, MARGINAL_ENGINES)
    said = [
        *_conditional(record, model, conditional, outcome),
        *_marginal(record, model, (conditional, marginal), outcome),
        *_standardised(record, model),
        *_why(record, model, outcome),
    ]
    if conditional is not None:
        said += _between(record, model, str(conditional["engine"]), outcome)
    return [*said, *_alarms(record, model)]


def _tested(row: Row, outcome: Outcome) -> str:
    p = f", p\u00a0{equals(row['p_value'])}" if row["p_value"] is not None else ""
    return f"`{row['term']}` {effect_words(row, outcome)}{p}"


def _listed(rows: Sequence[Row], outcome: Outcome) -> str:
    """Effects one after the other, the first few of many."""
    more = f"; and {len(rows) - MOST_TERMS} more" if len(rows) > MOST_TERMS else ""
    return "; ".join(_tested(row, outcome) for row in rows[:MOST_TERMS]) + more


def _conditional(record: ReportRecord, model: str, fit: Row | None, outcome: Outcome) -> list[str]:
    """The effects for one and the same group."""
    if fit is None:
        return []
    named = set(record.designs.get(model, {}).get("names") or ())
    rows = [
        row
        for row in coefficients(record, model, str(fit["engine"]))
        if row["term"] != INTERCEPT and (not named or row["term"] in named)
    ]
    if not rows:
        return []
    one = group_noun(record, model, str(fit["engine"]))
    told = _listed(rows, outcome)
    return [f"For one and the same {one}, in `{model}`: {told}."]


def _marginal(
    record: ReportRecord, model: str, fits: tuple[Row | None, Row | None], outcome: Outcome
) -> list[str]:
    """The effects averaged over groups: of the term that tells most, or of all where nothing else is."""
    conditional, marginal = fits
    if marginal is None:
        return []
    rows = [row for row in coefficients(record, model, str(marginal["engine"])) if row["term"] != INTERCEPT]
    one = plural(group_noun(record, model, str(marginal["engine"])))
    if conditional is not None and record.study.missing.arm is not None:
        beside = coefficients(record, model, str(conditional["engine"]))
        best = telling(beside, record.study)
        rows = [row for row in rows if best is not None and row["term"] == best["term"]] or rows
    if not rows:
        return []
    told = _listed(rows, outcome)
    return [f"For the average of {one}, by estimating equations: {told}."]


def _standardised(record: ReportRecord, model: str) -> list[str]:
    """The difference of standardised means: what one arm instead of the other does on average."""
    leading, _ = by_likelihood_and_posterior(record.of_model(record.reconciliation, model))
    rows = leading.filter(
        (pl.col("kind") == "difference") & pl.col("x").is_null() & pl.col("integrated").is_not_null()
    )
    said = []
    for row in rows.head(2).to_dicts():
        what = str(row["scale"]).removesuffix("_difference")
        shown = _difference(row, "integrated", what)
        other = (
            ""
            if row["marginal"] is None
            else f"; by estimating equations {_difference(row, 'marginal', what)}"
        )
        said.append(
            f"On average over everybody, {str(row['term']).replace(' - ', ' instead of ')} changes the "
            f"{what} "
            f"by {shown}{other}."
        )
    return said


def _difference(row: Mapping[str, Any], name: str, what: str) -> str:
    value, low, high = (row[f"{name}{part}"] for part in ("", "_lower", "_upper"))
    if what == "risk":
        value, low, high = (None if each is None else 100 * each for each in (value, low, high))
        unit = " percentage points"
    else:
        unit = ""
    if low is None or high is None:
        return f"{say(value, 2)}{unit}"
    return f"{fixed(value, decimals_for((high - low) / 4))}{unit} ({interval(low, high)})"


def _why(record: ReportRecord, model: str, outcome: Outcome) -> list[str]:
    """Why the two answers differ, or should not."""
    leading, _ = by_likelihood_and_posterior(record.of_model(record.reconciliation, model))
    rows = leading.filter(pl.col("kind") == "coefficient").to_dicts()
    if not rows:
        return []
    one = plural(group_noun(record, model))
    apart = [f"`{row['term']}`" for row in rows if row["verdict"] == "differs"]
    if outcome.link == "log":
        text = (
            f"With a logarithm averaging over {one} leaves ratios as they are, so that both models "
            f"should say "
            "the same"
        )
    elif outcome.link == "identity":
        text = "Without a curved link both models speak of the same number"
    else:
        best = telling(
            [row | {"estimate": row["conditional"], "std_error": row["conditional_se"]} for row in rows],
            record.study,
        )
        share = best["attenuation"] if best is not None else None
        if share is not None and share > ALMOST_ALL:
            text = f"The {one} hardly differ, so that one of them and their average are nearly the same"
            return [f"{text}{_apart(apart)}"]
        kept = f"; of `{best['term']}` it keeps {percent(share)}" if best is not None and share else ""
        text = (
            f"The two differ because {one} differ: the average of their curves is flatter than the curve of "
            f"any one, which pulls the average effect towards none{kept}"
        )
    return [f"{text}{_apart(apart)}"]


def _apart(terms: Sequence[str]) -> str:
    """What is left when the difference of the targets is taken out."""
    if terms:
        return (
            f". Beyond that, the two answers differ in {several(list(terms))}: the reasons are tested below."
        )
    return "; beyond that, they agree."


def _between(record: ReportRecord, model: str, engine: str, outcome: Outcome) -> list[str]:
    """How much groups differ: the SD, what it means as a ratio, and the intraclass correlations."""
    rows = record.of_model(record.estimates, model).filter(
        (pl.col("engine") == engine) & (pl.col("component") == "sd") & (pl.col("term") == INTERCEPT)
    )
    scales = list(intraclass(record, model, engine))
    said = []
    for row in rows.to_dicts():
        if row["estimate"] is None:
            continue
        many = plural(noun(record.study, str(row["group"])))
        if row["estimate"] < NOTHING:
            reach = "" if row["upper"] is None else f"; an SD up to {say(row['upper'], 2)} is possible"
            said.append(f"The {many} do not differ by more than chance explains{reach}.")
            continue
        ends = "" if row["lower"] is None else f" ({interval(row['lower'], row['upper'])})"
        text = f"The {many} differ with an SD of {say(row['estimate'])}{ends} in the {outcome.scale}"
        if outcome.ratio is not None and row["estimate"] > 0:
            text += f": of two drawn at random, {_ratio(row['estimate'], outcome)}"
        shares = [
            f"{percent(each['estimate'])} on the {scale} scale"
            for scale, each in scales
            if each["group"] in (row["group"], None)
        ]
        shared = f" Intraclass correlation: {several(shares)}." if shares else ""
        said.append(f"{text}.{shared}")
    return said


def _ratio(sd: float, outcome: Outcome) -> str:
    """How two groups drawn at random compare in the median: `the odds of one are 2.4 times ...`."""
    factor = median_ratio(sd)
    what = "mean" if outcome.ratio == "ratio of means" else str(outcome.ratio).removesuffix(" ratio")
    shown = f"over {HUGE:,.0f}" if factor > HUGE else fixed(factor, 1 if factor > exp(1) else 2)
    verb, those = ("are", "those") if what == "odds" else ("is", "that")
    return f"the {what} of one {verb} {shown} times {those} of the other in the median"


def _alarms(record: ReportRecord, model: str) -> list[str]:
    """Checks that did not pass and touch the numbers above."""
    rows = record.of_model(record.checks, model).filter(~pl.col("ok") & pl.col("check").is_in(ALARMS))
    return [str(row["advice"]) for row in rows.to_dicts() if row["advice"]]
