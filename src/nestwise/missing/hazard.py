"""The drop-out model: a discrete-time logistic hazard of leaving before each visit.

A subject that was seen (last) at visit t - 1 or later is at risk of leaving before visit t. Given what was
known at t - 1, these steps are independent, so that one logistic regression over all subjects and visits has
the likelihood of the drop-out times. Visits before which nobody left have a hazard of zero and no row: their
intercept would run to infinity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from nestwise.arrays import BoolArray, FloatArray, IntArray
from nestwise.design.record import Design, RowFlow
from nestwise.fit.separation import separated
from nestwise.missing.schedule import Schedule
from nestwise.vocabulary import INTERCEPT

MOST_STEPS = 60
TOLERANCE = 1e-10
FARTHEST = 30.0
DEPENDENT = 1e-8
"""Columns whose part that is new is smaller than this share of them follow from the others."""


@dataclass(frozen=True)
class Steps:
    """Steps from one visit to the next at which somebody was at risk of leaving.

    Attributes
    ----------
    subject, visit : ndarray (n,)
        Who, and the visit before which they may have left.
    stays : ndarray (n,) of bool
        Whether they did not.
    certain : ndarray (c, 2)
        Subject and visit of the steps at which nobody left.
    """

    subject: IntArray
    visit: IntArray
    stays: BoolArray
    certain: IntArray


@dataclass(frozen=True)
class Hazard:
    """A fitted logistic model of staying.

    Attributes
    ----------
    names : tuple of str, length a
    alpha : ndarray (a,)
        Log odds ratios of staying.
    covariance : ndarray (a, a)
        Inverse information.
    Z : ndarray (n, a)
        Columns of the steps.
    stay : ndarray (n,)
        Fitted probability of staying.
    stays : ndarray (n,) of bool
    left_out : tuple of str
        Columns that follow from those before them.
    """

    names: tuple[str, ...]
    alpha: FloatArray
    covariance: FloatArray
    Z: FloatArray
    stay: FloatArray
    stays: BoolArray
    left_out: tuple[str, ...] = ()

    @property
    def scores(self) -> FloatArray:
        """Derivative of each step's log-likelihood with respect to alpha (n, a)."""
        return self.Z * (self.stays - self.stay)[:, None]


@dataclass(frozen=True)
class Separated:
    """A model without a finite maximum: columns that tell who leaves."""

    names: tuple[str, ...]


def steps_at_risk(last: IntArray, T: int, *, from_start: bool) -> Steps:
    """The steps of all subjects.

    Parameters
    ----------
    last : ndarray (N,)
        Last visit of each subject, -1 for never.
    T : int
        Number of visits.
    from_start : bool
        Whether being seen at the first visit is a step too.
    """
    visits = range(0 if from_start else 1, T)
    risk = [(np.flatnonzero(last >= t - 1), t) for t in visits]
    asked = [(who, t) for who, t in risk if (last[who] < t).any()]
    quiet = [(who, t) for who, t in risk if not (last[who] < t).any()]
    certain = [np.column_stack([who, np.full(who.size, t)]) for who, t in quiet]
    subject = np.concatenate([who for who, _ in asked]) if asked else np.empty(0, np.int64)
    visit = np.concatenate([np.full(who.size, t) for who, t in asked]) if asked else np.empty(0, np.int64)
    return Steps(
        subject,
        visit,
        last[subject] >= visit,
        np.concatenate(certain) if certain else np.empty((0, 2), np.int64),
    )


def visit_columns(planned: Schedule, steps: Steps) -> dict[str, FloatArray]:
    """Intercept and an indicator of each later visit at which somebody left."""
    told = np.unique(steps.visit).tolist()
    columns = {INTERCEPT: np.ones(steps.visit.size)}
    for t in told[1:]:
        columns[f"{planned.visit} {planned.labels[t]}"] = (steps.visit == t).astype(float)
    return columns


def carried(values: FloatArray) -> FloatArray:
    """Values (N, T) with the last known one carried forward."""
    known = np.where(np.isfinite(values), np.arange(values.shape[1]), -1)
    at = np.maximum.accumulate(known, axis=1)
    found = np.take_along_axis(values, np.maximum(at, 0), axis=1)
    return np.where(at >= 0, found, np.nan)


def before(values: FloatArray, steps: Steps) -> FloatArray:
    """What was known last (n,) before each step; at the first visit the value of that visit.

    Parameters
    ----------
    values : ndarray (N, T)
        NaN where missing.
    """
    filled = carried(values)
    return filled[steps.subject, np.maximum(steps.visit - 1, 0)]


def covariate_columns(planned: Schedule, steps: Steps, names: Sequence[str]) -> dict[str, FloatArray]:
    """Columns (n,) of covariates as known before each step; a categorical one as indicators of its levels."""
    columns: dict[str, FloatArray] = {}
    for name in names:
        series = planned.frame[name]
        numeric = series.dtype.is_numeric() or series.dtype == pl.Boolean
        if numeric:
            columns[name] = before(planned.values(name), steps)
            continue
        if isinstance(series.dtype, pl.Enum):
            labels = series.dtype.categories.to_list()
        else:
            labels = sorted(series.drop_nulls().cast(pl.String).unique().to_list())
            series = series.cast(pl.String).cast(pl.Enum(labels))
        codes = series.to_physical().cast(pl.Float64).to_numpy().astype(np.float64)
        value = before(np.where(planned.places >= 0, codes[planned.places], np.nan), steps)
        for code, label in enumerate(labels[1:], start=1):
            if (value == code).any():
                columns[f"{name}{label}"] = np.where(np.isfinite(value), value == code, np.nan).astype(float)
    return columns


def fit_hazard(columns: Mapping[str, FloatArray], stays: BoolArray) -> Hazard | Separated:
    """Maximise the likelihood of staying.

    Parameters
    ----------
    columns : mapping of str to ndarray (n,)
        Finite. A column that follows from those before it is left out.
    stays : ndarray (n,) of bool

    Returns
    -------
    Hazard or Separated
        The latter where the likelihood has no maximum.
    """
    names, Z, left_out = _independent(columns)
    scale = np.sqrt((Z**2).mean(axis=0))
    X, y = Z / scale, stays.astype(float)
    beta = _newton(X, y)
    if beta is None:
        told = separated(_as_design(names, X, y))
        return Separated(told[0] if told else names)
    p = _expit(X @ beta)
    information = X.T @ (X * (p * (1 - p))[:, None])
    covariance = np.linalg.inv(information) / np.outer(scale, scale)
    return Hazard(names, beta / scale, covariance, Z, p, stays, left_out)


def _expit(eta: FloatArray) -> FloatArray:
    from scipy.special import expit

    return np.asarray(expit(np.clip(eta, -FARTHEST, FARTHEST)))


def _independent(columns: Mapping[str, FloatArray]) -> tuple[tuple[str, ...], FloatArray, tuple[str, ...]]:
    """Columns in order, without those that follow from the ones before."""
    names: list[str] = []
    left_out: list[str] = []
    basis = np.empty((next(iter(columns.values())).size, 0))
    for name, values in columns.items():
        rest = values - basis @ (basis.T @ values)
        rest = rest - basis @ (basis.T @ rest)
        size = float(np.linalg.norm(rest))
        if size > DEPENDENT * max(float(np.linalg.norm(values)), 1e-300):
            names.append(name)
            basis = np.column_stack([basis, rest / size])
        else:
            left_out.append(name)
    return tuple(names), np.column_stack([columns[name] for name in names]), tuple(left_out)


def _newton(X: FloatArray, y: FloatArray) -> FloatArray | None:
    """Coefficients (a,) of a logistic regression; `None` where they run away."""
    beta, value = np.zeros(X.shape[1]), np.inf
    for _ in range(MOST_STEPS):
        eta = X @ beta
        p = _expit(eta)
        weight = p * (1 - p)
        information = X.T @ (X * weight[:, None])
        if np.abs(eta).max() >= FARTHEST or np.linalg.cond(information) > 1e14:
            return None
        step = np.linalg.solve(information, X.T @ (y - p))
        while True:
            ahead = float(np.logaddexp(0, -(2 * y - 1) * (X @ (beta + step))).sum())
            if ahead <= value + TOLERANCE * (1 + abs(ahead)) or np.abs(step).max() < TOLERANCE:
                break
            step = step / 2
        beta, value = beta + step, ahead
        if np.abs(X @ step).max() < TOLERANCE:
            return beta
    return None


def _as_design(names: tuple[str, ...], X: FloatArray, y: FloatArray) -> Design:
    """The regression as a design, to be asked which columns separate."""
    n = y.size
    return Design(
        "", "", "", "staying", y, X, names, (), np.arange(n), RowFlow(n, n, 0, 0), "", "binomial", "logit"
    )  # fmt: skip
