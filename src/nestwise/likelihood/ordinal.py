"""Cumulative models of ordinal outcomes: ``P(y <= c) = F(tau_c - eta)``, F logistic or normal.

A row's log density is ``log[F(a) - F(b)]`` with ``a = tau_y - eta`` and ``b = tau_{y-1} - eta``. Derivatives
are formed from ``f(a) / D`` and ``f(b) / D``, D the difference, all on the log scale and on the side of zero
where nothing cancels, so that they hold in the tails. Sources: McCullagh (1980), JRSS B 42; Christensen
(2019), the clmm of R's package ordinal, whose sign of eta this is.
"""

from __future__ import annotations

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.likelihood.families import NONE, Derivatives


def cumulative(link: str, y: FloatArray, eta: FloatArray, thresholds: FloatArray, order: int) -> Derivatives:
    """Log density of ordinal outcomes.

    Parameters
    ----------
    link : str
        `logit` or `probit`.
    y : ndarray (n,)
        Category 0 .. C-1.
    eta : ndarray (..., n)
        Linear predictor: larger values make higher categories more likely.
    thresholds : ndarray (C - 1,)
        Increasing.
    order : int
        1 or 3.

    Returns
    -------
    Derivatives
        `aux` by each threshold.
    """
    place = y.astype(np.int64)
    edges = np.concatenate([[-np.inf], thresholds, [np.inf]])
    upper, lower = edges[place + 1], edges[place]
    a, b = upper - eta, lower - eta
    value = _log_difference(link, a, b)
    p, m = _ratio(link, a, value), _ratio(link, b, value)
    # With p = f(a)/D, m = f(b)/D, p1 = f'(a)/D, ...: derivatives of log D by eta are those of D over D.
    first = -(p - m)
    if order == 1:
        return Derivatives(value, first, NONE, NONE, _by_threshold(place, thresholds.size, p, -m))
    (p1, p2), (m1, m2) = _slopes(link, a, p), _slopes(link, b, m)
    ratio2, ratio3 = p1 - m1, -(p2 - m2)
    second = ratio2 - first**2
    third = ratio3 - 3 * first * ratio2 + 2 * first**3
    # by tau_y the value changes by p; the derivative of g/D is g'/D - (g/D)(f(a)/D)
    aux_d1 = (-p1 - first * p, m1 + first * m)
    aux_d2 = (
        p2 - ratio2 * p - 2 * first * aux_d1[0],
        -m2 + ratio2 * m - 2 * first * aux_d1[1],
    )
    size = thresholds.size
    return Derivatives(
        value,
        first,
        second,
        third,
        _by_threshold(place, size, p, -m),
        _by_threshold(place, size, *aux_d1),
        _by_threshold(place, size, *aux_d2),
    )


def category_probabilities(link: str, eta: FloatArray, thresholds: FloatArray) -> FloatArray:
    """Probabilities (n, C) of the categories."""
    from nestwise.likelihood.families import mean

    below = mean(link, thresholds[None, :] - eta[:, None])
    ends = np.column_stack([np.zeros(eta.size), below, np.ones(eta.size)])
    return np.asarray(np.diff(ends, axis=1))


def _by_threshold(
    place: np.ndarray, size: int, of_upper: FloatArray, of_lower: FloatArray
) -> tuple[FloatArray, ...]:
    """Put what belongs to the upper and the lower threshold of each row where it belongs."""
    return tuple(
        np.where(place == c, of_upper, 0.0) + np.where(place == c + 1, of_lower, 0.0) for c in range(size)
    )


def _log_difference(link: str, a: FloatArray, b: FloatArray) -> FloatArray:
    """``log[F(a) - F(b)]``, a > b; both may be infinite."""
    from scipy.special import log_expit, log_ndtr

    log_cdf = log_expit if link == "logit" else log_ndtr
    # F(a) - F(b) = F(-b) - F(-a): take the side where both are small
    flip = np.where(np.isinf(b), False, np.where(np.isinf(a), True, a + b > 0))
    high, low = np.where(flip, -b, a), np.where(flip, -a, b)
    log_high, log_low = np.asarray(log_cdf(high)), np.asarray(log_cdf(low))
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = np.where(np.isinf(low), -np.inf, log_low - log_high)
        gap = np.where(gap < 0, gap, -0.0)
        return np.asarray(log_high + np.log(-np.expm1(gap)))


def _ratio(link: str, x: FloatArray, log_difference: FloatArray) -> FloatArray:
    """Density f at x divided by the difference; zero where x is infinite."""
    from scipy.special import log_expit

    finite = np.isfinite(x)
    at = np.where(finite, x, 0.0)
    normal = -0.5 * at * at - 0.5 * np.log(2 * np.pi)
    log_f = log_expit(at) + log_expit(-at) if link == "logit" else normal
    return np.where(finite, np.exp(np.clip(log_f - log_difference, -745, 700)), 0.0)


def _slopes(link: str, x: FloatArray, ratio: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The derivatives f' and f'' at x divided by the difference, from f so divided."""
    at = np.where(np.isfinite(x), x, 0.0)
    if link == "logit":
        slope = -np.tanh(at / 2)  # f'/f = 1 - 2F
        return ratio * slope, ratio * (1.5 * slope**2 - 0.5)
    return -ratio * at, ratio * (at * at - 1)
