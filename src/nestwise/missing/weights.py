"""Weights: the inverse of the probability that a row, or a subject's rows, came to be observed.

Let p_it be the probability that subject i, seen at visit t - 1, is seen at visit t (`hazard`), and q_it the
same from a model that knows only the visit and the arm. With monotone drop-out after visit d,

- visit: row t has the weight prod_(s <= t) q_is / p_is;
- subject: all its rows have prod_(s <= d) q_is / p_is, times (1 - q_i,d+1) / (1 - p_i,d+1) if it left.

Without stabilising q is 1. The weighted estimating equations have mean zero if the drop-out model is right;
q may be wrong, as long as it knows nothing beyond the covariates of the outcome's model. Sources: Robins,
Rotnitzky & Zhao (1995), JASA 90; Fitzmaurice, Molenberghs & Lipsitz (1995), JRSS B 57; Preisser, Lohman &
Rathouz (2002), Statistics in Medicine 21.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from nestwise.arrays import BoolArray, FloatArray, IntArray
from nestwise.errors import Problem, Refusal
from nestwise.missing.hazard import (
    Hazard,
    Separated,
    Steps,
    before,
    covariate_columns,
    fit_hazard,
    steps_at_risk,
    visit_columns,
)
from nestwise.missing.schedule import Schedule
from nestwise.missing_vocabulary import WEIGHTS
from nestwise.names import counted, several
from nestwise.results import conform
from nestwise.vocabulary import INTERCEPT

WHERE = "strategy wgee"
PREVIOUS = "previous outcome"
LARGEST = 10.0
"""Weights are cut at so many times the mean weight of their visit: a documented default."""


@dataclass(frozen=True)
class WeightSettings:
    """How rows are weighted.

    Attributes
    ----------
    level : str
        `visit`: each row by its own probability; `subject`: all rows of a subject alike.
    predictors : tuple of str or None
        Covariates of the drop-out model beside the visit and the previous outcome; default: the arm and
        the covariates of the outcome's model.
    previous : bool
        Whether the previous outcome predicts drop-out.
    by_arm : bool
        Whether the previous outcome may act differently in each arm, which takes one more parameter an arm.
    stabilised : bool
        Whether weights are divided by what visit and arm alone say.
    largest : float
        Weights are cut at so many times the mean of their visit; infinity never cuts.
    gaps : str
        Of those who came back after a gap: `refuse`, or `cut`, which leaves out what came after it.
    """

    level: Literal["visit", "subject"] = "visit"
    predictors: tuple[str, ...] | None = None
    previous: bool = True
    by_arm: bool = False
    stabilised: bool = True
    largest: float = LARGEST
    gaps: Literal["refuse", "cut"] = "refuse"


@dataclass(frozen=True)
class Weights:
    """Weights of the observed rows, and what the variance needs to know of them.

    Attributes
    ----------
    weight : ndarray (N, T)
        0 where nothing was observed.
    slope : ndarray (N, T, a)
        Derivative of the logarithm of the weights with respect to the parameters of the drop-out models
        (denominator, then numerator); 0 where a weight was cut.
    influence : ndarray (N, a)
        What each subject adds to the parameters: its score times the inverse information.
    truncated : ndarray (N, T) of bool
    denominator, numerator : Hazard or None
        `None` where nobody left, or without stabilising.
    """

    weight: FloatArray
    slope: FloatArray
    influence: FloatArray
    truncated: BoolArray
    denominator: Hazard | None
    numerator: Hazard | None


def observation_weights(
    planned: Schedule,
    last: IntArray,
    y: FloatArray,
    predictors: Sequence[str],
    *,
    settings: WeightSettings,
    arm: str | None = None,
) -> Weights:
    """Estimate the weights.

    Parameters
    ----------
    planned : Schedule
        With the predictors among its columns.
    last : ndarray (N,)
        Last visit of each subject, -1 for never; the patterns are monotone.
    y : ndarray (N, T)
        Outcome on the scale of the model.
    predictors : sequence of str
    settings : WeightSettings
    arm : str or None
        Column the numerator may know, a covariate of the outcome's model.

    Raises
    ------
    Refusal
        If a predictor is missing where it is needed, or tells without error who leaves.
    """
    N, T = planned.N, planned.T
    seen = np.arange(T) <= last[:, None]
    steps = steps_at_risk(last, T, from_start=bool((last < 0).any()))
    if not steps.stays.size or steps.stays.all():
        nothing = np.zeros((N, T, 0))
        return Weights(seen.astype(float), nothing, np.zeros((N, 0)), np.zeros_like(seen), None, None)
    visits = visit_columns(planned, steps)
    known = visits | covariate_columns(planned, steps, predictors)
    if settings.previous:
        known[PREVIOUS] = _previous(y, steps)
    if settings.previous and settings.by_arm and arm:
        for name, indicator in covariate_columns(planned, steps, [arm]).items():
            known[f"{PREVIOUS}:{name}"] = known[PREVIOUS] * indicator
    denominator = _fitted(known, steps, planned)
    numerator = None
    if settings.stabilised:
        simple = visits | (covariate_columns(planned, steps, [arm]) if arm else {})
        numerator = _fitted(simple, steps, planned)
    below = _log_probability(denominator, steps, (N, T), settings.level, last)
    log_weight, slope = -below[0], -below[1]
    influence = _influence(denominator, steps, N)
    if numerator is not None:
        above = _log_probability(numerator, steps, (N, T), settings.level, last)
        log_weight = log_weight + above[0]
        slope = np.concatenate([slope, above[1]], axis=2)
        influence = np.concatenate([influence, _influence(numerator, steps, N)], axis=1)
    weight = np.where(seen, np.exp(log_weight), 0.0)
    cut, weight = _truncated(weight, seen, last, settings)
    slope = np.where((seen & ~cut)[:, :, None], slope, 0.0)
    return Weights(weight, slope, influence, cut, denominator, numerator)


def _previous(y: FloatArray, steps: Steps) -> FloatArray:
    """Outcome at the visit before; at the first visit, which has an intercept of its own, the mean."""
    found = before(y, steps)
    first = steps.visit == 0
    return np.where(first, float(np.nanmean(y)), found)


def _fitted(columns: dict[str, FloatArray], steps: Steps, planned: Schedule) -> Hazard:
    gaps = [name for name, values in columns.items() if not np.isfinite(values).all()]
    if gaps:
        lost = int((~np.all([np.isfinite(columns[name]) for name in gaps], axis=0)).sum())
        holed = list(dict.fromkeys(_variable(name, planned) for name in gaps))
        what = f"{several(holed)} is missing before {counted(lost, 'visit')} that somebody may have missed"
        way_out = "leave it out of the predictors of drop-out, or impute it first"
        raise Refusal(Problem(what, WHERE, way_out))
    made = {name: values for name, values in columns.items() if name == INTERCEPT or np.ptp(values) > 0}
    fitted = fit_hazard(made, steps.stays)
    if isinstance(fitted, Separated):
        named = [name for name in fitted.names if name != INTERCEPT] or [planned.visit]
        what = f"{several(named)} tells without error who leaves, so that some could not have been observed"
        way_out = "leave it out of the predictors of drop-out, or choose `observed` or `mi`"
        raise Refusal(Problem(what, WHERE, way_out))
    return fitted


def _variable(name: str, planned: Schedule) -> str:
    """The variable that a column, `armactive`, was made of."""
    fitting = [column for column in planned.frame.columns if name.startswith(column)]
    return max(fitting, key=len) if fitting else name


def _log_probability(
    hazard: Hazard, steps: Steps, shape: tuple[int, int], level: str, last: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Logarithm of the probability of being observed (N, T), and its slope (N, T, a)."""
    N, T = shape
    a = len(hazard.names)
    log_p, slope = np.zeros((N, T)), np.zeros((N, T, a))
    log_p[steps.subject, steps.visit] = np.log(hazard.stay)
    slope[steps.subject, steps.visit] = (1 - hazard.stay)[:, None] * hazard.Z
    log_p, slope = np.cumsum(log_p, axis=1), np.cumsum(slope, axis=1)
    if level == "visit":
        return log_p, slope
    end = np.maximum(last, 0)
    who = np.arange(N)
    total, total_slope = log_p[who, end].copy(), slope[who, end].copy()
    gone = ~steps.stays & (steps.visit > 0)
    leaver = steps.subject[gone]
    total[leaver] += np.log1p(-hazard.stay[gone])
    total_slope[leaver] -= hazard.stay[gone][:, None] * hazard.Z[gone]
    return np.repeat(total[:, None], T, axis=1), np.repeat(total_slope[:, None, :], T, axis=1)


def _influence(hazard: Hazard, steps: Steps, N: int) -> FloatArray:
    """Scores of the subjects times the inverse information (N, a)."""
    scores = np.zeros((N, len(hazard.names)))
    np.add.at(scores, steps.subject, hazard.scores)
    found: FloatArray = scores @ hazard.covariance
    return found


def _truncated(
    weight: FloatArray, seen: BoolArray, last: IntArray, settings: WeightSettings
) -> tuple[BoolArray, FloatArray]:
    """Which weights are too large beside those of their (last) visit, and all of them cut."""
    cut, found = np.zeros_like(seen), weight.copy()
    for t in range(seen.shape[1]):
        own = seen[:, t] if settings.level == "visit" else last == t
        if not own.any():
            continue
        column = weight[own, t]
        limit = settings.largest * float(column.mean())
        large = np.zeros(seen.shape[0], dtype=bool)
        large[own] = column > limit
        if settings.level == "visit":
            cut[:, t] = large
            found[large, t] = limit
        else:
            cut[large] = seen[large]
            found[large] = np.where(seen[large], limit, 0.0)
    return cut, found


def weights_table(planned: Schedule, model: str, made: Weights, seen: BoolArray) -> pl.DataFrame:
    """Range, mean and effective number of the weights by visit, in the schema WEIGHTS."""
    rows = []
    for t in [*range(planned.T), None]:
        own = seen[:, t] if t is not None else seen
        w = (made.weight[:, t] if t is not None else made.weight)[own]
        cut = (made.truncated[:, t] if t is not None else made.truncated)[own]
        if not w.size:
            continue
        rows.append(
            {
                "study": planned.study,
                "model": model,
                "visit": "all" if t is None else planned.labels[t],
                "position": t,
                "n": int(w.size),
                "mean": float(w.mean()),
                "sd": float(w.std(ddof=1)) if w.size > 1 else None,
                "smallest": float(w.min()),
                "largest": float(w.max()),
                "effective": float(w.sum() ** 2 / (w**2).sum()),
                "truncated": int(cut.sum()),
            }
        )
    return conform(pl.DataFrame(rows, schema=dict(WEIGHTS)), WEIGHTS)
