"""What predicts leaving: the drop-out model of a description, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from nestwise.arrays import BoolArray, FloatArray
from nestwise.missing.hazard import (
    Hazard,
    Separated,
    covariate_columns,
    fit_hazard,
    steps_at_risk,
    visit_columns,
)
from nestwise.missing.hazard import before as known_before
from nestwise.missing.patterns import Attendance
from nestwise.missing.schedule import Schedule
from nestwise.missing_vocabulary import DROPOUT_MODEL
from nestwise.names import counted, several
from nestwise.results import conform
from nestwise.vocabulary import INTERCEPT

LAST = "outcome seen last"
LARGEST_LOG = 700.0


@dataclass(frozen=True)
class LeavingModel:
    """The drop-out model.

    Attributes
    ----------
    table : DataFrame
        In the schema DROPOUT_MODEL; log odds ratios of leaving. A column that separates has no estimate.
    steps, left : int
        Steps from visit to visit, and how many of them somebody left at.
    notes : tuple of str
        Sentences.
    """

    table: pl.DataFrame
    steps: int
    left: int
    notes: tuple[str, ...]


def leaving_model(
    planned: Schedule,
    outcome: str,
    y: FloatArray,
    found: Attendance,
    covariates: Sequence[str],
    *,
    level: float = 0.95,
) -> LeavingModel | str:
    """Model leaving by the outcome seen last, the covariates and the visit.

    Parameters
    ----------
    planned : Schedule
        With the covariates among its columns.
    outcome : str
    y : ndarray (N, T)
        Outcome; NaN where missing.
    found : Attendance
        A subject left after the visit at which it was seen last; gaps before that do not count.
    covariates : sequence of str
        Arm and other columns, as known before each visit.
    level : float
        Coverage of the intervals.

    Returns
    -------
    LeavingModel or str
        A sentence where there is nothing to model.
    """
    steps = steps_at_risk(found.last, planned.T, from_start=False)
    if steps.stays.all():
        return f"Every {planned.subject} was seen to the end: nobody left, so nothing can predict it."
    extra = {LAST: known_before(y, steps)} | covariate_columns(planned, steps, covariates)
    made, usable = _usable(visit_columns(planned, steps) | extra)
    notes, stays = [], steps.stays[usable]
    if not usable.all():
        lost = counted(int((~usable).sum()), "step")
        notes.append(f"{lost} from visit to visit without all predictors left out.")
    if stays.all() or not stays.any():
        return "Leaving cannot be modelled: all who are left in the model stayed, or all left."
    fitted, apart = _finite(made, stays)
    if fitted is None:
        return "Leaving cannot be modelled: the visits alone tell who leaves."
    if apart:
        notes.append(f"{several(apart)} tells apart who leaves: the log odds ratio is infinite.")
    if fitted.left_out:
        notes.append(f"{several(list(fitted.left_out))} follows from the others and was left out.")
    table = _table(fitted, apart, level).with_columns(study=pl.lit(planned.study), outcome=pl.lit(outcome))
    return LeavingModel(conform(table, DROPOUT_MODEL), int(usable.sum()), int((~stays).sum()), tuple(notes))


def _table(fitted: Hazard, apart: list[str], level: float) -> pl.DataFrame:
    """Rows of the coefficients, and of the columns that have none."""
    error = np.sqrt(np.diag(fitted.covariance))
    rows = [
        _row(name, -float(b), float(se), fitted.Z[:, k], level)
        for k, (name, b, se) in enumerate(zip(fitted.names, fitted.alpha, error, strict=True))
    ]
    rows += [{"term": name, "note": "tells apart who leaves: infinite"} for name in apart]
    return pl.DataFrame(rows, schema_overrides=dict(DROPOUT_MODEL), infer_schema_length=None)


def _usable(columns: dict[str, FloatArray]) -> tuple[dict[str, FloatArray], BoolArray]:
    """The columns that vary, on the steps that have them all, and which these are."""
    usable = np.isfinite(np.array(list(columns.values()))).all(axis=0)
    made = {name: values[usable] for name, values in columns.items()}
    varying = {name: each for name, each in made.items() if name == INTERCEPT or np.unique(each).size > 1}
    return varying, usable


def _finite(columns: dict[str, FloatArray], stays: BoolArray) -> tuple[Hazard | None, list[str]]:
    """The model without the columns that separate, and these."""
    fitted, apart = fit_hazard(columns, stays), list[str]()
    while isinstance(fitted, Separated):
        bad = [name for name in fitted.names if name in columns and name != INTERCEPT]
        if not bad:
            return None, apart
        apart += bad
        columns = {name: values for name, values in columns.items() if name not in bad}
        fitted = fit_hazard(columns, stays)
    return fitted, apart


def _row(name: str, estimate: float, error: float, column: FloatArray, level: float) -> dict[str, object]:
    """One coefficient; the odds ratio of a number is for one standard deviation, of an indicator for one."""
    from scipy.special import ndtr, ndtri

    z, q = estimate / error, float(ndtri((1 + level) / 2))
    indicator = set(np.unique(column[:1000]).tolist()) <= {0.0, 1.0}
    unit = 1.0 if indicator else float(column.std(ddof=1))
    ends = [unit * value for value in (estimate, estimate - q * error, estimate + q * error)]
    ratio, lower, upper = (float(np.exp(end)) if abs(end) < LARGEST_LOG else None for end in ends)
    told = name != INTERCEPT
    return {
        "term": name,
        "unit": "1" if indicator else f"{unit:.3g} (standard deviation)",
        "estimate": estimate,
        "std_error": error,
        "statistic": z,
        "p_value": float(2 * ndtr(-abs(z))),
        "odds_ratio": ratio if told else None,
        "lower": lower if told else None,
        "upper": upper if told else None,
        "level": level,
        "note": "",
    }
