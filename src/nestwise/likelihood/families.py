"""Densities of outcomes that are not Gaussian, as functions of the linear predictor eta.

Every density has all its constants, so that log-likelihoods of different quadratures, families and programs
can be compared, and comes with its first three derivatives by eta, exact and without loss of digits in the
tails. Families with a dispersion have it on the log scale (`aux`), with the mixed derivatives the gradient of
an adaptive quadrature needs.

- binomial (y of m successes): ``log C(m, y) + y log p + (m - y) log(1 - p)``, links logit, probit, cloglog;
- poisson: ``y eta - exp(eta) - log y!``, link log;
- negative_binomial (NB2, variance ``mu + mu^2 / k``): ``aux = log k``, link log;
- gamma (shape nu, variance ``mu^2 / nu``): ``aux = log nu``, link log;
- ordinal (cumulative logit or probit): see `ordinal`.

All of them are log-concave in eta, so that the modes of the random effects are unique. Sources: McCullagh &
Nelder (1989), chapters 4-8; Hilbe (2011) for NB2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from nestwise.arrays import FloatArray

LINKS_OF: Mapping[str, tuple[str, ...]] = {
    "binomial": ("logit", "probit", "cloglog"),
    "poisson": ("log",),
    "negative_binomial": ("log",),
    "gamma": ("log",),
    "ordinal": ("logit", "probit"),
}
"""The links each family can be fitted with, the usual one first."""
DISPERSION: Mapping[str, str] = {"negative_binomial": "size", "gamma": "shape"}
"""Name of the parameter of each family that has one; its logarithm is `aux`."""
LARGEST_ETA = 700.0
"""The exponential function still gives a number here."""
MANY_COUNTS = 100_000
"""Up to this count the gamma functions of a negative binomial are summed, which loses no digits."""


@dataclass(frozen=True, slots=True)
class Derivatives:
    """A log density and its derivatives, each of the shape of eta (..., n).

    Attributes
    ----------
    value : ndarray
        Log density with all constants.
    d1, d2, d3 : ndarray
        Derivatives by eta; `d2` and `d3` only where they were asked for, else empty.
    aux, aux_d1, aux_d2 : tuple of ndarray
        Derivatives of `value`, `d1` and `d2` by each auxiliary parameter; the last two where asked for.
    """

    value: FloatArray
    d1: FloatArray
    d2: FloatArray
    d3: FloatArray
    aux: tuple[FloatArray, ...] = ()
    aux_d1: tuple[FloatArray, ...] = ()
    aux_d2: tuple[FloatArray, ...] = ()


NONE: FloatArray = np.empty(0)


@dataclass(frozen=True)
class Responses:
    """Outcomes of a family, ready to be evaluated.

    Attributes
    ----------
    family, link : str
        Keys of `LINKS_OF`.
    y : ndarray (n,)
        Outcome; successes of a binomial; category 0 .. C-1 of an ordinal one.
    trials : ndarray (n,)
        Trials of a binomial; rows of which a Poisson count is the sum; else ones.
    constant : ndarray (n,)
        The part of the log density without parameters.
    categories : int
        C of an ordinal outcome, else 0.
    frequency : ndarray (n,) or None
        How many equal rows each one stands for.
    """

    family: str
    link: str
    y: FloatArray
    trials: FloatArray
    constant: FloatArray
    categories: int = 0
    frequency: FloatArray | None = None

    @property
    def n_aux(self) -> int:
        """Number of auxiliary parameters: a log dispersion, or thresholds."""
        return self.categories - 1 if self.family == "ordinal" else int(self.family in DISPERSION)


def responses(family: str, link: str, y: FloatArray, trials: FloatArray | None = None) -> Responses:
    """Prepare outcomes.

    Parameters
    ----------
    family, link : str
        Keys of `LINKS_OF`.
    y : ndarray (n,)
        Outcome.
    trials : ndarray (n,), optional
        Trials of a binomial; by default one each.
    """
    from scipy.special import gammaln

    m = np.ones_like(y) if trials is None else np.asarray(trials, dtype=float)
    constant = np.zeros_like(y)
    if family == "binomial":
        constant = gammaln(m + 1) - gammaln(y + 1) - gammaln(m - y + 1)
    elif family in ("poisson", "negative_binomial"):
        constant = -gammaln(y + 1)
    elif family == "gamma":
        constant = -np.log(y)
    categories = int(y.max(initial=0)) + 1 if family == "ordinal" else 0
    return Responses(family, link, np.asarray(y, dtype=float), m, constant, categories)


def density(given: Responses, eta: FloatArray, aux: FloatArray, order: int = 1) -> Derivatives:
    """Log density of every row and its derivatives.

    Parameters
    ----------
    given : Responses
        The outcomes (n,).
    eta : ndarray (..., n)
        Linear predictor, offset included.
    aux : ndarray (a,)
        Log dispersion, or the thresholds of an ordinal outcome in increasing order.
    order : int
        1: value and first derivatives; 3: all.

    Returns
    -------
    Derivatives
    """
    if given.family == "ordinal":
        from nestwise.likelihood.ordinal import cumulative

        found = cumulative(given.link, given.y, eta, aux, order)
    else:
        found = _DENSITIES[given.family, given.link](given, eta, aux, order)
    return found if given.frequency is None else _repeated(found, given.frequency)


def _repeated(found: Derivatives, frequency: FloatArray) -> Derivatives:
    def each(parts: tuple[FloatArray, ...]) -> tuple[FloatArray, ...]:
        return tuple(part * frequency if part.size else part for part in parts)

    d1, d2, d3 = each((found.d1, found.d2, found.d3))
    aux = (each(found.aux), each(found.aux_d1), each(found.aux_d2))
    return Derivatives(found.value * frequency, d1, d2, d3, *aux)


def mean(link: str, eta: FloatArray) -> FloatArray:
    """Inverse link: a probability, or a mean with the logarithm."""
    from scipy.special import expit, ndtr

    if link == "logit":
        return np.asarray(expit(eta))
    if link == "probit":
        return np.asarray(ndtr(eta))
    if link == "cloglog":
        return np.asarray(-np.expm1(-np.exp(np.minimum(eta, LARGEST_ETA))))
    return np.asarray(np.exp(np.minimum(eta, LARGEST_ETA)))


def _logit(given: Responses, eta: FloatArray, _aux: FloatArray, order: int) -> Derivatives:
    small = np.exp(-np.abs(eta))
    whole = 1 + small
    p = np.where(eta >= 0, 1.0, small) / whole
    m = given.trials
    value = given.constant + given.y * eta - m * (np.maximum(eta, 0) + np.log1p(small))
    d1 = given.y - m * p
    if order == 1:
        return Derivatives(value, d1, NONE, NONE)
    d2 = -m * (small / whole**2)
    return Derivatives(value, d1, d2, d2 * np.where(eta >= 0, small - 1, 1 - small) / whole)


def _two_sided(
    given: Responses, success: tuple[FloatArray, ...], failure: tuple[FloatArray, ...], order: int
) -> Derivatives:
    """A binomial from the logarithms of p and 1 - p with their derivatives; 0 times minus infinity is 0."""
    y, rest = given.y, given.trials - given.y
    value = given.constant + np.where(y > 0, y * success[0], 0.0) + np.where(rest > 0, rest * failure[0], 0.0)
    d = [y * one + rest * other for one, other in zip(success[1:], failure[1:], strict=True)]
    return Derivatives(value, d[0], *(d[1:] if order > 1 else (NONE, NONE)))


def _probit(given: Responses, eta: FloatArray, _aux: FloatArray, order: int) -> Derivatives:
    success, failure = log_normal_cdf(eta), log_normal_cdf(-eta)
    mirrored = (failure[0], -failure[1], failure[2], -failure[3])
    return _two_sided(given, success, mirrored, order)


def log_normal_cdf(x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Logarithm of the normal distribution function with three derivatives.

    With the inverse Mills ratio ``r = phi / Phi`` and ``delta = r + x``: ``r' = -r delta``. Far left, where
    the sum cancels, delta is the continued fraction ``1 / (|x| + 2 / (|x| + 3 / ...))`` of Laplace.
    """
    from scipy.special import log_ndtr

    value = np.asarray(log_ndtr(x))
    r = np.exp(np.clip(-0.5 * x * x - 0.5 * np.log(2 * np.pi) - value, -745.0, LARGEST_ETA))
    delta = r + x
    far = x < -8
    if far.any():
        size = -x[far]
        fraction = np.zeros_like(size)
        for k in range(40, 0, -1):
            fraction = k / (size + fraction)
        delta = delta.copy()
        delta[far], r[far] = fraction, size + fraction
    return value, r, -r * delta, r * (delta * delta + r * delta - 1)


def _cloglog(given: Responses, eta: FloatArray, _aux: FloatArray, order: int) -> Derivatives:
    h = np.exp(np.minimum(eta, LARGEST_ETA))
    minus = -np.expm1(-h)
    with np.errstate(divide="ignore"):
        log_p = np.where(h < 1e-300, eta, np.log(minus))
    a = np.where(h < 1e-300, 1.0, h * np.exp(-h) / np.where(minus > 0, minus, 1.0))
    bracket = np.where(h < 1e-5, -h / 2 - np.minimum(h, 1.0) ** 2 / 12, 1 - h - a)  # 1 - h - a, which cancels
    d2 = a * bracket
    success = (log_p, a, d2, d2 * bracket - a * (h + d2))
    return _two_sided(given, success, (-h, -h, -h, -h), order)


def _poisson(given: Responses, eta: FloatArray, _aux: FloatArray, order: int) -> Derivatives:
    mu = given.trials * np.exp(np.minimum(eta, LARGEST_ETA))
    value, d1 = given.constant + given.y * eta - mu, given.y - mu
    return Derivatives(value, d1, -mu, -mu) if order > 1 else Derivatives(value, d1, NONE, NONE)


def _negative_binomial(given: Responses, eta: FloatArray, aux: FloatArray, order: int) -> Derivatives:
    """``sum_{i<y} log(1 + i/k) - log y! + y eta - (y + k) log(1 + mu/k)``: Poisson's as k grows."""
    y, k = given.y, float(np.exp(aux[0]))
    risen, slope = rising(y, k)
    x = np.exp(np.clip(eta - aux[0], -LARGEST_ETA, LARGEST_ETA))
    log_whole, s = np.log1p(x), x / (1 + x)
    d1 = y - (y + k) * s
    value = given.constant + risen + y * eta - (y + k) * log_whole
    by_aux = slope - k * log_whole + (y + k) * s
    if order == 1:
        return Derivatives(value, d1, NONE, NONE, (by_aux,))
    d2 = -(y + k) * s / (1 + x)
    d3 = d2 * (1 - x) / (1 + x)
    return Derivatives(value, d1, d2, d3, (by_aux,), (-k * s - d2,), (-k * s / (1 + x) - d3,))


def rising(y: FloatArray, k: float) -> tuple[FloatArray, FloatArray]:
    """``log [Gamma(y + k) / Gamma(k)] - y log k`` and its derivative by log k."""
    from scipy.special import digamma, gammaln

    largest = int(y.max(initial=0))
    if largest <= MANY_COUNTS:
        ratio = np.arange(largest) / k
        place = y.astype(np.int64)
        value = np.concatenate([[0.0], np.cumsum(np.log1p(ratio))])
        slope = np.concatenate([[0.0], np.cumsum(-ratio / (1 + ratio))])
        return value[place], slope[place]
    value = gammaln(y + k) - gammaln(k) - y * np.log(k)
    return np.asarray(value), np.asarray(k * (digamma(y + k) - digamma(k)) - y)


def _gamma(given: Responses, eta: FloatArray, aux: FloatArray, order: int) -> Derivatives:
    from scipy.special import digamma, gammaln

    nu = float(np.exp(aux[0]))
    ratio = given.y * np.exp(np.clip(-eta, -LARGEST_ETA, LARGEST_ETA))
    log_y = -given.constant
    inside = log_y - eta - ratio
    value = given.constant + nu * (aux[0] + inside) - gammaln(nu)
    d1 = nu * (ratio - 1)
    by_aux = nu * (aux[0] + 1 - digamma(nu) + inside)
    if order == 1:
        return Derivatives(value, d1, NONE, NONE, (by_aux,))
    d2 = -nu * ratio
    return Derivatives(value, d1, d2, -d2, (by_aux,), (d1,), (d2,))


_DENSITIES: Mapping[tuple[str, str], Callable[[Responses, FloatArray, FloatArray, int], Derivatives]] = {
    ("binomial", "logit"): _logit,
    ("binomial", "probit"): _probit,
    ("binomial", "cloglog"): _cloglog,
    ("poisson", "log"): _poisson,
    ("negative_binomial", "log"): _negative_binomial,
    ("gamma", "log"): _gamma,
}
