"""The likelihood of outcomes that are not Gaussian given the random effects, and the law of these.

One compiled kernel for all families: log density of every row (`likelihood.families`, row by row) plus that
of the random effects, with the gradient by fixed effects, standard deviations, partial correlations, log
dispersion and random effects. The effects of a term come in one of two forms: centred, ``u = b``, the better
the more the rows of a group say of it, or non-centred, ``b = Lambda u`` with standard normal u, the better
the less they say (Papaspiliopoulos, Roberts & Skoeld 2007).
"""

from __future__ import annotations

import sys
from math import erfc, exp, expm1, lgamma, log, log1p, pi, sqrt
from typing import Any

import numpy as np
from numba import njit
from pytensor.graph.basic import Apply
from pytensor.link.numba.dispatch.basic import register_funcify_and_cache_key

from nestwise.arrays import FloatArray, IntArray
from nestwise.bayes.collapsed import correlation_factor, fingerprint
from nestwise.bayes.operation import LogDensity

CODES = {
    ("binomial", "logit"): 0,
    ("binomial", "probit"): 1,
    ("binomial", "cloglog"): 2,
    ("poisson", "log"): 3,
    ("negative_binomial", "log"): 4,
    ("gamma", "log"): 5,
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
    code: int, y: FloatArray, trials: FloatArray, eta: FloatArray, aux: float, d_eta: FloatArray
) -> tuple[float, float]:  # pragma: no cover
    """Sum of the log densities less their constants and its derivative by aux; fills d_eta (n,)."""
    total, d_aux = 0.0, 0.0
    k = exp(min(max(aux, -LARGEST), LARGEST))
    table, slopes = rising(y.max() if code == 4 else 0.0, k)
    log_gamma, psi = (lgamma(k), digamma(k)) if code >= 4 else (0.0, 0.0)
    for i in range(y.shape[0]):
        if code < 3:
            value, slope = binomial(code, y[i], trials[i], eta[i])
        elif code == 3:
            mu = exp(min(eta[i], LARGEST))
            value, slope = y[i] * eta[i] - mu, y[i] - mu
        elif code == 4:
            if table.shape[0] > 0:
                value, by_aux = table[int(y[i])], slopes[int(y[i])]
            else:
                value = lgamma(y[i] + k) - log_gamma - y[i] * aux
                by_aux = k * (digamma(y[i] + k) - psi) - y[i]
            x = exp(min(max(eta[i] - aux, -LARGEST), LARGEST))
            whole, s = log1p(x), x / (1 + x)
            value += y[i] * eta[i] - (y[i] + k) * whole
            slope = y[i] - (y[i] + k) * s
            d_aux += by_aux - k * whole + (y[i] + k) * s
        else:
            ratio = y[i] * exp(min(max(-eta[i], -LARGEST), LARGEST))
            inside = log(y[i]) - eta[i] - ratio
            value = k * (aux + inside) - log_gamma
            slope = k * (ratio - 1)
            d_aux += k * (aux + 1 - psi + inside)
        total += value
        d_eta[i] = slope
    return total, d_aux


@njit(nogil=True)  # type: ignore[untyped-decorator]
def effects_of(
    u: FloatArray, Lambda: FloatArray, starts: IntArray, centred: IntArray
) -> FloatArray:  # pragma: no cover
    """Random effects b (J, q) from what is sampled."""
    b = u.copy()
    for row in range(starts.shape[0]):
        if centred[row] == 0:
            b[:, row] = 0.0
            for col in range(starts[row], row + 1):
                b[:, row] += Lambda[row, col] * u[:, col]
    return b


@njit(nogil=True)  # type: ignore[untyped-decorator]
def standardise(
    u: FloatArray, Lambda: FloatArray, starts: IntArray, centred: IntArray, w: FloatArray
) -> None:  # pragma: no cover
    """Fill w (q,) with the standard normal form of one group's u (q,): ``Lambda^-1 u`` if centred."""
    for row in range(u.shape[0]):
        w[row] = u[row]
        if centred[row] == 1:
            for col in range(starts[row], row):
                w[row] -= Lambda[row, col] * w[col]
            w[row] /= Lambda[row, row]


@njit(nogil=True)  # type: ignore[untyped-decorator]
def effects_density(  # noqa: PLR0917
    u: FloatArray,
    Lambda: FloatArray,
    starts: IntArray,
    centred: IntArray,
    d_b: FloatArray,
    d_Lambda: FloatArray,
) -> tuple[float, FloatArray]:  # pragma: no cover
    """Log density of u, and the derivative of the whole by u from that by b (d_b); adds to d_Lambda."""
    J, q = u.shape
    total, d_u = -0.5 * LOG_2PI * J * q, np.zeros((J, q))
    w, v = np.zeros(q), np.zeros(q)
    for at in np.flatnonzero(centred):
        total -= J * log(Lambda[at, at])
        d_Lambda[at, at] -= J / Lambda[at, at]
    for j in range(J):
        standardise(u[j], Lambda, starts, centred, w)
        total -= 0.5 * (w * w).sum()
        for row in range(q - 1, -1, -1):
            if centred[row] == 1:
                v[row] = w[row]
                for k in range(row + 1, q):
                    if starts[k] == starts[row]:
                        v[row] -= Lambda[k, row] * v[k]
                v[row] /= Lambda[row, row]
                d_u[j, row] += d_b[j, row] - v[row]
                for col in range(starts[row], row + 1):
                    d_Lambda[row, col] += v[row] * w[col]
            else:
                d_u[j, row] -= w[row]
                for col in range(starts[row], row + 1):
                    d_Lambda[row, col] += d_b[j, row] * u[j, col]
                    d_u[j, col] += d_b[j, row] * Lambda[row, col]
    return total, d_u


# Not cached on disk: a cached function keeps what it called in other files, also after these have changed.
@njit(nogil=True)  # type: ignore[untyped-decorator]
def given_effects(  # noqa: PLR0917
    beta: FloatArray,
    sd: FloatArray,
    partial: FloatArray,
    log_dispersion: FloatArray,
    u: FloatArray,
    X: FloatArray,
    Z: FloatArray,
    y: FloatArray,
    trials: FloatArray,
    offset: FloatArray,
    codes: IntArray,
    starts: IntArray,
    centred: IntArray,
    family: IntArray,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:  # pragma: no cover
    """Log density of outcomes (less their constant) and effects, and its derivatives by the first five."""
    (n, p), q = X.shape, sd.shape[0]
    L, Lambda, d_Lambda = np.zeros((q, q)), np.zeros((q, q)), np.zeros((q, q))
    correlation_factor(partial, starts, L)
    for row in range(q):
        for col in range(starts[row], row + 1):
            Lambda[row, col] = sd[row] * L[row, col]
    b = effects_of(u, Lambda, starts, centred)
    eta, d_eta = np.empty(n), np.empty(n)
    for i in range(n):
        eta[i] = offset[i]
        for c in range(p):
            eta[i] += X[i, c] * beta[c]
        for c in range(q):
            eta[i] += Z[i, c] * b[codes[i], c]
    value, d_aux = rows_density(family[0], y, trials, eta, log_dispersion.item(), d_eta)
    d_beta, d_b = np.zeros(p), np.zeros(u.shape)
    for i in range(n):
        for c in range(p):
            d_beta[c] += X[i, c] * d_eta[i]
        for c in range(q):
            d_b[codes[i], c] += Z[i, c] * d_eta[i]
    of_effects, d_u = effects_density(u, Lambda, starts, centred, d_b, d_Lambda)
    d_sd, d_partial = np.zeros(q), np.zeros(partial.shape[0])
    at = 0
    for row in range(q):
        for col in range(starts[row], row + 1):
            d_sd[row] += d_Lambda[row, col] * L[row, col]
        left = 1.0
        for col in range(starts[row], row):
            r = partial[at]
            rest = (1.0 - r) * (1.0 + r)
            d_partial[at] = d_Lambda[row, col] * left
            for k in range(col + 1, row + 1):
                d_partial[at] -= d_Lambda[row, k] * L[row, k] * r / rest
            d_partial[at] *= sd[row]
            left *= np.sqrt(rest)
            at += 1
    return np.asarray(value + of_effects), d_beta, d_sd, d_partial, np.asarray(d_aux), d_u


class GivenEffects(LogDensity):
    """log p(y, u | beta, sd, partial, dispersion), less the constants of y.

    Inputs: beta (p,), sd (q,), partial (k,), log dispersion (), u (J, q), then the data X (n, p), Z (n, q),
    y, trials, offset, codes (n,), starts, centred (q,), family (1,).
    """

    parameters = 5
    kernel = staticmethod(given_effects)


@register_funcify_and_cache_key(GivenEffects)  # type: ignore[untyped-decorator]
def _to_numba(op: GivenEffects, node: Apply, **kwargs: Any) -> tuple[Any, str]:
    del op, node, kwargs
    from nestwise.bayes import collapsed

    return given_effects, fingerprint(collapsed, sys.modules[__name__])
