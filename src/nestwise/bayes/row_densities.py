"""Compiled log densities of rows that are not Gaussian: those of `likelihood.families`, row by row."""

from __future__ import annotations

from math import erfc, exp, expm1, lgamma, log, log1p, pi, sqrt

import numpy as np
from numba import njit

from nestwise.arrays import FloatArray

CODES = {
    ("binomial", "logit"): 0,
    ("binomial", "probit"): 1,
    ("binomial", "cloglog"): 2,
    ("poisson", "log"): 3,
    ("negative_binomial", "log"): 4,
    ("gamma", "log"): 5,
    ("ordinal", "logit"): 6,
    ("ordinal", "probit"): 7,
}
"""What the kernel calls each family with its link."""
LOG_2PI = log(2 * pi)
LARGEST = 700.0
FAR = -5.0
"""Below this the tail of the normal distribution is a continued fraction."""
MANY_COUNTS = 100_000
"""Up to this count the gamma functions of a negative binomial are summed, which loses no digits."""


@njit(nogil=True)  # type: ignore[untyped-decorator]
def digamma(x: float) -> float:  # pragma: no cover
    """Derivative of the log gamma function, x > 0: recurrence to 10, then the asymptotic series."""
    value = 0.0
    while x < 10.0:
        value -= 1.0 / x
        x += 1.0
    s = 1.0 / (x * x)
    series = s * (1 / 12 - s * (1 / 120 - s * (1 / 252 - s * (1 / 240 - s * (1 / 132 - s * 691 / 32760)))))
    return value + log(x) - 0.5 / x - series


@njit(nogil=True)  # type: ignore[untyped-decorator]
def log_normal_cdf(x: float) -> tuple[float, float]:  # pragma: no cover
    """``log Phi(x)`` and its derivative, the inverse Mills ratio; no digits lost in the tails."""
    if x < FAR:
        fraction = 0.0
        for k in range(60, 0, -1):
            fraction = k / (-x + fraction)
        ratio = -x + fraction
        return -0.5 * x * x - 0.5 * LOG_2PI - log(ratio), ratio
    tail = 0.5 * erfc(abs(x) / sqrt(2.0))
    value = log1p(-tail) if x > 0 else log(tail)
    return value, exp(-0.5 * x * x - 0.5 * LOG_2PI - value)


@njit(nogil=True)  # type: ignore[untyped-decorator]
def binomial(code: int, y: float, m: float, eta: float) -> tuple[float, float]:  # pragma: no cover
    """Log density of y successes in m trials less its constant, and its derivative by eta."""
    if code == 0:
        small = exp(-abs(eta))
        p = (1.0 if eta >= 0 else small) / (1 + small)
        return y * eta - m * (max(eta, 0.0) + log1p(small)), y - m * p
    value, slope = 0.0, 0.0
    if code == 1:
        if y > 0:
            part, ratio = log_normal_cdf(eta)
            value, slope = y * part, y * ratio
        if m > y:
            part, ratio = log_normal_cdf(-eta)
            value, slope = value + (m - y) * part, slope - (m - y) * ratio
        return value, slope
    h = exp(min(eta, LARGEST))
    if y > 0:
        minus = -expm1(-h)
        value = y * (eta if h < 1e-300 else log(minus))
        slope = y * (1.0 if h < 1e-300 else h * exp(-h) / minus)
    return value - (m - y) * h, slope - (m - y) * h


@njit(nogil=True)  # type: ignore[untyped-decorator]
def interval(code: int, a: float, b: float) -> tuple[float, float, float]:  # pragma: no cover
    """``log [F(a) - F(b)]`` for a > b, which may be infinite, with its derivatives by a and by b."""
    if code == 7:
        # No recursion: machine code that calls itself cannot be loaded from the cache of its callers.
        mirrored = b > 0  # on the side of zero where nothing cancels
        upper, lower = (-b, -a) if mirrored else (a, b)
        value = log_normal_cdf(upper)[0] if upper < np.inf else 0.0
        if lower > -np.inf:
            value += log1p(-exp(log_normal_cdf(lower)[0] - value))
        by_a, by_b = exp(-0.5 * (a * a + LOG_2PI) - value), -exp(-0.5 * (b * b + LOG_2PI) - value)
        return value, by_a, by_b
    # F(a) - F(b) = F(a) [1 - F(b)] [1 - exp(b - a)]
    small_a, small_b = exp(-abs(a)), exp(-abs(b))
    above = (small_a if a >= 0 else 1.0) / (1 + small_a)
    below = (1.0 if b >= 0 else small_b) / (1 + small_b)
    value = -max(-a, 0.0) - log1p(small_a) - max(b, 0.0) - log1p(small_b)
    if a == np.inf or b == -np.inf:
        return value, above, -below
    gap = -expm1(b - a)
    more = exp(b - a) / gap
    return value + log(gap), above + more, -below - more


@njit(nogil=True)  # type: ignore[untyped-decorator]
def category(
    code: int, y: float, eta: float, thresholds: FloatArray, d_thresholds: FloatArray
) -> tuple[float, float]:  # pragma: no cover
    """Log probability of category y and its derivative by eta; adds to d_thresholds."""
    place = int(y)
    a = thresholds[place] - eta if place < thresholds.shape[0] else np.inf
    b = thresholds[place - 1] - eta if place > 0 else -np.inf
    value, by_a, by_b = interval(code, a, b)
    if place < thresholds.shape[0]:
        d_thresholds[place] += by_a
    if place > 0:
        d_thresholds[place - 1] += by_b
    return value, -by_a - by_b


@njit(nogil=True)  # type: ignore[untyped-decorator]
def rising(largest: float, k: float) -> tuple[FloatArray, FloatArray]:  # pragma: no cover
    """``log [Gamma(y + k) / Gamma(k)] - y log k`` and its derivative by log k for y = 0 .. largest."""
    size = int(largest) + 1 if largest <= MANY_COUNTS else 0
    value, slope = np.zeros(size), np.zeros(size)
    for i in range(1, size):
        ratio = (i - 1) / k
        value[i] = value[i - 1] + log1p(ratio)
        slope[i] = slope[i - 1] - ratio / (1 + ratio)
    return value, slope


@njit(nogil=True)  # type: ignore[untyped-decorator]
def rows_density(  # noqa: PLR0917
    code: int,
    y: FloatArray,
    trials: FloatArray,
    eta: FloatArray,
    aux: FloatArray,
    d_eta: FloatArray,
    d_aux: FloatArray,
) -> float:  # pragma: no cover
    """Sum of the log densities less their constants; fills d_eta (n,), adds to d_aux (a,)."""
    total = 0.0
    log_k = aux[0] if code in (4, 5) else 0.0
    k = exp(min(max(log_k, -LARGEST), LARGEST))
    table, slopes = rising(y.max() if code == 4 else 0.0, k)
    log_gamma, psi = (lgamma(k), digamma(k)) if code in (4, 5) else (0.0, 0.0)
    by_aux = 0.0
    for i in range(y.shape[0]):
        if code < 3:
            value, slope = binomial(code, y[i], trials[i], eta[i])
        elif code == 3:
            mu = exp(min(eta[i], LARGEST))
            value, slope = y[i] * eta[i] - mu, y[i] - mu
        elif code == 4:
            if table.shape[0] > 0:
                value, more = table[int(y[i])], slopes[int(y[i])]
            else:
                value = lgamma(y[i] + k) - log_gamma - y[i] * log_k
                more = k * (digamma(y[i] + k) - psi) - y[i]
            x = exp(min(max(eta[i] - log_k, -LARGEST), LARGEST))
            whole, s = log1p(x), x / (1 + x)
            value += y[i] * eta[i] - (y[i] + k) * whole
            slope = y[i] - (y[i] + k) * s
            by_aux += more - k * whole + (y[i] + k) * s
        elif code == 5:
            ratio = y[i] * exp(min(max(-eta[i], -LARGEST), LARGEST))
            inside = log(y[i]) - eta[i] - ratio
            value = k * (log_k + inside) - log_gamma
            slope = k * (ratio - 1)
            by_aux += k * (log_k + 1 - psi + inside)
        else:
            value, slope = category(code, y[i], eta[i], aux, d_aux)
        total += value
        d_eta[i] = slope
    if code in (4, 5):
        d_aux[0] += by_aux
    return total
