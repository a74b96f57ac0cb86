"""Summaries of groups with known standard errors: James-Stein beside empirical Bayes.

Both pull each summary y_j, known with standard error s_j, towards the common mean. James and Stein pull all
by one factor, without a model of the groups; empirical Bayes by s_j^2 / (s_j^2 + tau^2), so that what is
known badly is pulled more. `lmm` with `sampling_error` is the same empirical Bayes, with predictors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from nestwise.arrays import FloatArray
from nestwise.errors import Problem, Refusal

FEWEST = 4
"""Shrinking towards an estimated mean beats the summaries themselves from four groups on."""
_GRID = 200
_RANGE = (1e-6, 1e3)
"""SDs between groups that are searched, beside the spread of the summaries."""


@dataclass(frozen=True)
class Shrunken:
    """Summaries pulled towards their common mean.

    Attributes
    ----------
    mean : float
        The common mean.
    estimates : ndarray (J,)
    std_errors : ndarray (J,) or None
        Posterior SDs given tau, the uncertainty of the mean included; James and Stein give none.
    pull : ndarray (J,)
        Share of the way to the mean, 0 .. 1: one minus the pooling of the group's own summary.
    tau : float or None
        SD between groups.
    mean_se : float
        Standard error of the mean.
    log_likelihood : float or None
        With all constants; restricted with `reml`.
    """

    mean: float
    estimates: FloatArray
    std_errors: FloatArray | None
    pull: FloatArray
    tau: float | None
    mean_se: float
    log_likelihood: float | None = None


def james_stein(y: FloatArray, s: FloatArray) -> Shrunken:
    """The positive-part estimator of James and Stein, pulled towards the mean.

    Efron and Morris (1973), JASA 68, 117-130: with equal standard errors s,
    ``mean + max(0, 1 - (J - 3) s^2 / sum (y_j - mean)^2) (y_j - mean)``. With unequal ones the same is done
    on the scale y_j / s_j, on which all are 1, towards the mean weighted by precision: total squared error in
    units of s_j is then smaller than that of the summaries themselves, whatever the truth.

    Parameters
    ----------
    y : ndarray (J,)
        Summaries.
    s : ndarray (J,)
        Their standard errors.

    Returns
    -------
    Shrunken

    Raises
    ------
    Refusal
        With fewer than four groups, or standard errors that are not positive and finite.
    """
    _refuse(y, s, FEWEST)
    precision = 1.0 / s**2
    mean = float(precision @ y / precision.sum())
    spread = float(precision @ (y - mean) ** 2)
    pull = min(1.0, (len(y) - 3) / spread) if spread > 0 else 1.0
    return Shrunken(
        mean,
        mean + (1.0 - pull) * (y - mean),
        None,
        np.full(len(y), pull),
        None,
        float(precision.sum() ** -0.5),
    )


def empirical_bayes(y: FloatArray, s: FloatArray, *, reml: bool = True) -> Shrunken:
    """Normal summaries with normal group effects, the SD between groups by (restricted) likelihood.

    Parameters
    ----------
    y : ndarray (J,)
        Summaries.
    s : ndarray (J,)
        Their standard errors.
    reml : bool
        Restricted likelihood, else likelihood.

    Returns
    -------
    Shrunken
        `std_errors` hold the uncertainty of the mean and take tau as known.

    Raises
    ------
    Refusal
        With fewer than two groups, or standard errors that are not positive and finite.
    """
    _refuse(y, s, 2)
    tau = _between(y, s, reml=reml)
    precision = 1.0 / (s**2 + tau**2)
    mean, mean_se = float(precision @ y / precision.sum()), float(precision.sum() ** -0.5)
    pull = s**2 / (s**2 + tau**2)
    variance = pull * tau**2 + (pull * mean_se) ** 2
    return Shrunken(
        mean,
        mean + (1.0 - pull) * (y - mean),
        np.sqrt(variance),
        pull,
        tau,
        mean_se,
        _criterion(tau, y, s, reml=reml),
    )


def _criterion(tau: float, y: FloatArray, s: FloatArray, *, reml: bool) -> float:
    """Log-likelihood of tau with the mean profiled out, or integrated out; all constants."""
    variance = s**2 + tau**2
    precision = 1.0 / variance
    mean = precision @ y / precision.sum()
    value = len(y) * np.log(2 * np.pi) + np.log(variance).sum() + precision @ (y - mean) ** 2
    if reml:
        value += np.log(precision.sum()) - np.log(2 * np.pi)
    return float(-0.5 * value)


def _slope(tau: float, y: FloatArray, s: FloatArray, *, reml: bool) -> float:
    """Derivative of the log-likelihood in tau^2, times two."""
    precision = 1.0 / (s**2 + tau**2)
    mean = precision @ y / precision.sum()
    value = precision**2 @ (y - mean) ** 2 - precision.sum()
    if reml:
        value += precision @ precision / precision.sum()
    return float(value)


def _between(y: FloatArray, s: FloatArray, *, reml: bool) -> float:
    """The best tau: a grid first, because the likelihood may have several tops, then the top's own summit."""
    size = max(float(np.ptp(y)), float(s.max()))
    y, s = y / size, s / size
    grid = np.concatenate([[0.0], np.geomspace(*_RANGE, _GRID)])
    best = int(np.argmax([_criterion(tau, y, s, reml=reml) for tau in grid]))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, _GRID)]
    rises, falls = _slope(low, y, s, reml=reml) > 0, _slope(high, y, s, reml=reml) < 0
    if not (rises and falls):
        return size * float(grid[best])  # 0, or a second top nearer than the grid can tell
    from scipy.optimize import brentq

    return size * float(brentq(lambda tau: _slope(tau, y, s, reml=reml), low, high, xtol=1e-15))


def shrinkage_table(labels: Sequence[str], y: FloatArray, s: FloatArray) -> pl.DataFrame:
    """Summaries, James-Stein and empirical Bayes side by side.

    Parameters
    ----------
    labels : sequence of str, length J
        The groups.
    y, s : ndarray (J,)
        Summaries and their standard errors.

    Returns
    -------
    polars.DataFrame
        `label`, `summary`, `std_error`, `james_stein`, `empirical_bayes`, `empirical_bayes_se`,
        `james_stein_pull`, `empirical_bayes_pull`: one row a group.

    Raises
    ------
    Refusal
        As `james_stein`.
    """
    stein, bayes = james_stein(y, s), empirical_bayes(y, s)
    return pl.DataFrame(
        {
            "label": list(labels),
            "summary": y,
            "std_error": s,
            "james_stein": stein.estimates,
            "empirical_bayes": bayes.estimates,
            "empirical_bayes_se": bayes.std_errors,
            "james_stein_pull": stein.pull,
            "empirical_bayes_pull": bayes.pull,
        }
    )


def _refuse(y: FloatArray, s: FloatArray, fewest: int) -> None:
    problems = []
    if len(y) < fewest:
        what = f"{len(y)} summaries are too few to pull towards their mean"
        problems.append(Problem(what, "", f"use at least {fewest}, or show them as they are"))
    if not np.isfinite(y).all():
        problems.append(Problem("a summary is infinite or missing", "", "leave it out"))
    if not (np.isfinite(s).all() and np.all(s > 0)):
        what = "a standard error is zero, negative, infinite or missing"
        problems.append(Problem(what, "", "correct it, or leave its group out"))
    if problems:
        raise Refusal(problems)
