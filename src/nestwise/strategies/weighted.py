"""Weights for drop-out, after the gaps of those who came back were imputed where a study asks for it.

Weights need monotone patterns (rule 18). With ``gaps: impute`` what is missing up to the last visit at which
the outcome of a subject was seen is taken from the imputations of the model, as `mi` uses them; what comes
after stays missing, and is made up for by the weights. Each data set that is completed so far is weighted and
analysed, and the answers are pooled by Rubin's rules: the drop-out model is estimated anew in each.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, sqrt
from statistics import fmean, variance
from typing import Any

import numpy as np
import polars as pl

from nestwise.config.missing import Missing
from nestwise.config.study import Model
from nestwise.data.dataset import ROW, Dataset
from nestwise.engines import answered, unanswered
from nestwise.errors import Problem, Refusal
from nestwise.formula.record import parse
from nestwise.imputation.draws import Draws, load_draws, restricted
from nestwise.impute.impute import imputations
from nestwise.impute.pool import pool
from nestwise.missing.doubly_robust import fit_doubly_robust
from nestwise.missing.patterns import attendance
from nestwise.missing.plan import plan_of
from nestwise.missing.schedule import schedule
from nestwise.missing.visits import followed_rows, planned_visits
from nestwise.missing.weights import WeightSettings
from nestwise.missing.wgee import fit_wgee
from nestwise.names import counted, several
from nestwise.results import Fit
from nestwise.strategies.convergence import with_imputation

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Followed:
    """A study up to the last visit at which each subject was seen.

    Attributes
    ----------
    dataset : Dataset
        The rows of the study, and one for each absent visit before the last that was seen.
    visit : str
        Column of the visits.
    draws : Draws
        Imputations of what is missing there, and of nothing else.
    note : str
        What was imputed, a sentence.
    """

    dataset: Dataset
    visit: str
    draws: Draws
    note: str


def fit_weighted(
    dataset: Dataset,
    name: str,
    model: Model,
    missing: Missing,
    *,
    draws: str | os.PathLike[str] | None = None,
    level: float = 0.95,
) -> Fit:
    """Estimating equations weighted by the inverse probability of being observed.

    Parameters
    ----------
    dataset : Dataset
        Prepared data.
    name, model : str, Model
        The model.
    missing : Missing
        Arm, visits and weights.
    draws : path-like, optional
        The imputations of the model, where gaps are imputed.
    level : float
        Coverage of the intervals.

    Raises
    ------
    Refusal
        On gaps that are neither imputed nor cut, where they cannot be imputed, and as `fit_wgee`.
    """
    given = missing.weights
    settings = WeightSettings(
        level=given.level,
        predictors=given.predictors,
        previous=given.previous,
        stabilised=given.stabilised,
        largest=inf if given.largest is None else given.largest,
        gaps="cut" if given.gaps == "cut" else "refuse",
    )
    fit, plan = fit_doubly_robust if given.doubly_robust else fit_wgee, plan_of(missing)
    if given.gaps != "impute":
        return fit(dataset, name, model, plan, settings, level=level)
    assert draws is not None, "gaps are imputed from draws"
    found = followed(dataset, model, missing.visit, load_draws(draws))
    if not found.draws.fillings:
        return fit(dataset, name, model, plan, settings, level=level)
    unfitted, plan = unanswered(found.dataset, name, model, "gee"), replace(plan, visit=found.visit)

    def one(completed: Dataset) -> Fit:
        return answered(unfitted, lambda _: fit(completed, name, model, plan, settings, level=level))

    fits = _said_once([one(each) for each in imputations(found.dataset, found.draws)])
    pooled = pool(fits, strategy="wgee", level=level)
    told = {"gaps": "impute", "note": found.note, "imputations": found.draws.m}
    record = dict(pooled.record) | {"weights": _weights(fits) | told}
    pooled = replace(pooled, warnings=(found.note, *pooled.warnings), record=record)
    return with_imputation(pooled, found.draws)


def followed(dataset: Dataset, model: Model, visit: str | None, draws: Draws) -> Followed:
    """The study with rows for the gaps of those who came back, and the draws that fill them.

    Parameters
    ----------
    dataset : Dataset
        Prepared data.
    model : Model
        Whose outcome says who was seen.
    visit : str or None
        Column of the visits.
    draws : Draws
        All imputations of the model, of what was lost after drop-out too.

    Raises
    ------
    Refusal
        Where nothing could be imputed, and as `schedule`.
    """
    if draws.failed and not draws.m:
        way_out = "set missing.weights.gaps to cut, or choose another strategy"
        raise Refusal(Problem(draws.failed[0][1].rstrip("."), "", way_out))
    outcome = parse(model.formula).outcome.columns
    full, table = planned_visits(dataset, visit)
    if table is None:  # the reason is the schedule's own
        table = schedule(full, visit=visit)
    rows = followed_rows(table, outcome)
    kept = restricted(draws, rows)
    known = dataset.frame.select(ROW).collect()[ROW].to_numpy()
    wanted = pl.Series(np.union1d(known, rows)).implode()
    filled = [
        f"{counted(each.rows.size, 'value')} of {each.variable}" for each in kept.fillings if each.rows.size
    ]
    back = counted(attendance(table.observed(outcome)).count("intermittent"), table.subject)
    note = (
        f"{back} missed a visit and came back. Before the last visit that was seen, {several(filled)} were "
        f"imputed {kept.m} times; what is missing after it is made up for by the weights."
    )
    return Followed(
        replace(full, frame=full.frame.filter(pl.col(ROW).is_in(wanted))), table.visit, kept, note
    )


def _said_once(fits: Sequence[Fit]) -> list[Fit]:
    """The fits, each warning told by the first that has it: the others differ in its numbers only."""
    told: set[str] = set()
    found = []
    for fit in fits:
        new = {re.sub(r"\d[\d,.]*", "#", text): text for text in fit.warnings}
        found.append(replace(fit, warnings=tuple(text for key, text in new.items() if key not in told)))
        told |= set(new)
    return found


def _weights(fits: Sequence[Fit]) -> dict[str, Any]:
    """Weight diagnostics over the imputations: means, with the smallest, the largest and the most of each."""
    each = [fit.record["weights"] for fit in fits if "weights" in fit.record]
    if not each:  # doubly robust equations leave none
        return {}
    tables = [record["by_visit"] for record in each]
    by_visit = [_over(list(rows)) for rows in zip(*tables, strict=False)]
    models = {part: _pooled_model([record[part] for record in each]) for part in ("denominator", "numerator")}
    return dict(each[0]) | {"by_visit": by_visit} | models


def _over(rows: Sequence[Row]) -> dict[str, Any]:
    """One visit over the imputations."""
    ways = {"n": max, "smallest": min, "largest": max, "truncated": max}
    found = dict(rows[0])
    for name in ("n", "mean", "sd", "smallest", "largest", "effective", "truncated"):
        values = [row[name] for row in rows if row[name] is not None]
        found[name] = ways.get(name, fmean)(values) if values else None
    return found


def _pooled_model(models: Sequence[Row | None]) -> dict[str, Any] | None:
    """A drop-out model by Rubin's rules; the terms that every imputation has."""
    known = [model for model in models if model is not None]
    if len(known) < len(models) or len(known) < 2:
        return None
    terms = [term for term in known[0]["terms"] if all(term in model["terms"] for model in known)]
    odds, errors = [], []
    for term in terms:
        places = [model["terms"].index(term) for model in known]
        values = [model["log_odds_of_staying"][at] for model, at in zip(known, places, strict=True)]
        within = fmean(model["std_error"][at] ** 2 for model, at in zip(known, places, strict=True))
        odds.append(fmean(values))
        errors.append(sqrt(within + (1 + 1 / len(values)) * variance(values)))
    return dict(known[0]) | {"terms": terms, "log_odds_of_staying": odds, "std_error": errors}
