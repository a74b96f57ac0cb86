"""Weighted estimating equations: population-averaged effects that hold under drop-out at random.

Each row counts by the inverse of the probability that it came to be observed (`weights`). The weights enter
as prior weights of the rows, so that the equations are those of the engine `gee`; the sandwich knows that
they were estimated. With s_j(beta, alpha) the score of a cluster, u_j that of the drop-out models, I their
information and A the derivative of sum_j s_j with respect to alpha, the estimates behave as those with the
scores

    s_j + A I^-1 u_j,

the upper block of the stacked estimating equations of (beta, alpha) (Robins, Rotnitzky & Zhao 1995; Preisser,
Lohman & Rathouz 2002). The corrections of `gee_variance` for few clusters are made to these scores.
"""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np

from nestwise.config.study import MarginalVariance, Model, WorkingCorrelation
from nestwise.data.dataset import Dataset
from nestwise.errors import Problem, Refusal
from nestwise.fit.cluster_layout import ClusterLayout
from nestwise.fit.gee_table import fixed_rows, ratio_rows, wald_tests
from nestwise.fit.gee_variance import GeeCovariance, chosen_kind
from nestwise.fit.predictions import prediction_rows
from nestwise.missing.plan import Plan
from nestwise.missing.stacked_variance import stacked_covariance
from nestwise.missing.weighted_rows import WeightedRows, weighted_rows
from nestwise.missing.weighted_solution import WeightedSolution, solve_weighted
from nestwise.missing.weights import WHERE, WeightSettings, weights_table
from nestwise.names import counted, plural
from nestwise.results import Check, Fit, Status

LEAST_EFFECTIVE = 0.5
"""Share of the rows that weights should be worth at least."""
LEAST_LEAVERS = 5
"""Subjects that should have left for each term of the drop-out model."""
MEAN_RANGE = 0.2
"""Stabilised weights with a mean further from one speak against the drop-out model."""


def fit_wgee(
    dataset: Dataset,
    name: str,
    model: Model,
    plan: Plan = Plan(),  # noqa: B008 - frozen
    settings: WeightSettings = WeightSettings(),  # noqa: B008 - frozen
    *,
    level: float = 0.95,
) -> Fit:
    """Fit a population-averaged model with weights for drop-out.

    Parameters
    ----------
    dataset : Dataset
        Prepared data; intermittent gaps imputed, if there were any.
    name, model : str, Model
        The model; weights by visit go with an independence working correlation only, and take it.
    plan : Plan
        Visit and arm.
    settings : WeightSettings
    level : float
        Coverage of the intervals.

    Returns
    -------
    Fit
        Engine `gee`, strategy `wgee`. `record["weights"]` has the rows of the table WEIGHTS and the
        drop-out model.

    Raises
    ------
    Refusal
        See `fit.gee_refusals`; on intermittent patterns, and where drop-out cannot be modelled.
    """
    began = perf_counter()
    correlation, notes = _correlation(model, settings)
    rows = weighted_rows(dataset, name, model.model_copy(update={"correlation": correlation}), plan, settings)
    return replace(
        _fitted(rows, model, correlation, settings, level=level, notes=notes), seconds=perf_counter() - began
    )


def _fitted(
    rows: WeightedRows,
    model: Model,
    correlation: WorkingCorrelation,
    settings: WeightSettings,
    *,
    level: float,
    notes: tuple[str, ...],
) -> Fit:
    """The fit of weighted rows."""
    design, planned = rows.design, rows.planned
    if correlation != "independence" and np.unique(rows.cluster).size < planned.N:
        what = f"weights by subject and a correlation need {plural(planned.subject)} as clusters"
        raise Refusal(Problem(what, WHERE, "choose `correlation: independence`"))
    weights = rows.weights.weight[rows.who, rows.when]
    solution = solve_weighted(design, weights, correlation, model.lags, _kind(model))
    layout, data, state = solution.layout, solution.data, solution.state
    chosen = chosen_kind(model.variance, layout.J)
    covariance = stacked_covariance(rows, solution, chosen)
    fixed = fixed_rows(design, data, state, covariance, level)
    said = (*notes, *rows.notes, *_warnings(rows, layout, chosen))
    reason = "The weighted estimating equations were not solved: use fewer predictors."
    return Fit(
        **design.identity | {"n_groups": layout.J},
        engine="gee",
        strategy="wgee",
        method=f"{correlation}, weights by {settings.level}, {chosen}",
        status=Status.OK if state.converged else Status.NOT_CONVERGED,
        reason=None if state.converged else reason,
        converged=state.converged,
        warnings=said,
        n_parameters=solution.n_parameters,
        estimates=(*fixed, *solution.nuisance_rows, *ratio_rows(design, fixed)),
        checks=_checks(rows, settings),
        tests=wald_tests(design, data, state, covariance),
        predictions=prediction_rows(design, solution.fitted, solution.fitted),
        record=_record(rows, covariance, settings, solution),
    )


def _correlation(model: Model, settings: WeightSettings) -> tuple[WorkingCorrelation, tuple[str, ...]]:
    if settings.level == "subject" or model.correlation == "independence":
        return model.correlation, ()
    said = (
        f"Weights by visit are right with an independence working correlation only: {model.correlation} was "
        "set aside, which costs precision and no validity."
    )
    return "independence", (said,)


def _kind(model: Model) -> MarginalVariance | None:
    if model.variance == "model":
        what = "model-based standard errors know nothing of the weights"
        raise Refusal(Problem(what, "the key variance", "choose LZ or KC, or leave the key out"))
    return model.variance


def _warnings(rows: WeightedRows, layout: ClusterLayout, kind: str) -> tuple[str, ...]:
    found = []
    made, seen = rows.weights, rows.seen
    subject = rows.planned.subject
    if made.denominator is None:
        found.append(f"No {subject} dropped out: all weights are one.")
        return tuple(found)
    cut = int((made.truncated & seen).sum())
    if cut:
        found.append(
            f"{counted(cut, 'weight')} of {int(seen.sum()):,} too large and cut: the answer rests on few "
            f"{plural(subject)} who nearly left."
        )
    left, terms = int((~made.denominator.stays).sum()), len(made.denominator.names)
    if left < LEAST_LEAVERS * terms:
        found.append(
            f"{counted(left, subject)} dropped out, few for the {terms} terms of the drop-out model: name "
            "fewer predictors."
        )
    w = made.weight[seen]
    effective = float(w.sum() ** 2 / (w**2).sum())
    if effective < LEAST_EFFECTIVE * w.size:
        found.append(f"The weighted rows are worth {effective:,.0f} of {w.size:,}.")
    if kind != "LZ":
        found.append(
            f"There are {layout.J} {plural(layout.factor.group)}: the correction {kind} and t tests take "
            "the place of LZ and z; it is made to the scores that know the weights."
        )
    return tuple(found)


def _checks(rows: WeightedRows, settings: WeightSettings) -> tuple[Check, ...]:
    w = rows.weights.weight[rows.seen]
    share = float(w.sum() ** 2 / (w**2).sum()) / w.size
    cut = float((rows.weights.truncated & rows.seen).sum()) / w.size
    advice = "Few rows carry much of the weight: look for predictors that nearly tell who leaves."
    checks = [
        Check("weights_effective", share, LEAST_EFFECTIVE, share >= LEAST_EFFECTIVE, advice),
        Check("weights_truncated", cut, 0.05, cut <= 0.05, "Weights were cut, which lets some bias back in."),
    ]
    if settings.stabilised and settings.level == "visit":
        off = abs(float(w.mean()) - 1)
        said = "Stabilised weights have a mean of one if the drop-out model is right."
        checks.append(Check("weights_mean", off, MEAN_RANGE, off <= MEAN_RANGE, said))
    return tuple(checks)


def _record(
    rows: WeightedRows, covariance: GeeCovariance, settings: WeightSettings, solution: WeightedSolution
) -> dict[str, Any]:
    made = rows.weights
    models = {
        part: None
        if fitted is None
        else {
            "terms": list(fitted.names),
            "log_odds_of_staying": fitted.alpha.tolist(),
            "std_error": np.sqrt(np.diag(fitted.covariance)).tolist(),
            "left_out": list(fitted.left_out),
            "steps": int(fitted.stays.size),
            "left": int((~fitted.stays).sum()),
        }
        for part, fitted in (("denominator", made.denominator), ("numerator", made.numerator))
    }
    return {
        "terms": list(rows.design.names),
        "covariance": covariance.covariance.tolist(),
        "variance": {"kind": covariance.kind, "df": covariance.df, "weights": "estimated, stacked"},
        "weights": {
            "level": settings.level,
            "stabilised": settings.stabilised,
            "largest": None if np.isinf(settings.largest) else settings.largest,
            "gaps": settings.gaps,
            "by_visit": weights_table(rows.planned, rows.design.model, made, rows.seen).to_dicts(),
            **models,
        },
        "convergence": {"steps": solution.state.steps, "converged": solution.state.converged},
    }
