"""Means, variances and quasi-likelihoods of the outcomes a population-averaged model takes.

A marginal model knows the mean mu of a row by its link and the variance ``phi v(mu) / w``; it needs no
density. Of a binomial with m trials, mu is the probability and w counts the trials. Sources: McCullagh &
Nelder (1989), chapter 9; Wedderburn (1974), Biometrika 61.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nestwise.arrays import BoolArray, FloatArray

LINKS_OF: Mapping[str, tuple[str, ...]] = {
    "gaussian": ("identity", "log"),
    "binomial": ("logit", "probit", "cloglog", "log", "identity"),
    "poisson": ("log", "identity"),
    "negative_binomial": ("log", "identity"),
    "gamma": ("log", "identity", "inverse"),
}
"""The links each family can be fitted with, the usual one first."""
COUNTS = ("poisson", "negative_binomial")
SMALLEST_SIZE, LARGEST_SIZE = 1e-5, 1e7
"""Sizes of a negative binomial that the search looks at; beyond the largest its variance is Poisson's."""
FARTHEST = 30.0
"""Linear predictors of a probability beyond this are held here: the next digits of mu are rounding."""
EDGE = 1e-8
"""Linear predictors stay so far inside the range of the family, or rounding carries them out of it."""
LARGEST_LOG = 150.0
"""Means are held where their squares are still numbers."""


def mean_and_slope(link: str, eta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Inverse link and its derivative.

    Parameters
    ----------
    link : str
        Of `LINKS_OF`.
    eta : ndarray (n,)
        Linear predictor, offset included.

    Returns
    -------
    mu, slope : ndarray (n,)
        Mean and ``d mu / d eta``.
    """
    from scipy.special import expit, ndtr

    if link == "identity":
        return eta, np.ones_like(eta)
    if link == "inverse":
        with np.errstate(divide="ignore"):
            mu = 1 / eta
        return mu, -mu * mu
    if link == "log":
        mu = np.exp(np.clip(eta, -LARGEST_LOG, LARGEST_LOG))
        return mu, mu
    held = np.clip(eta, -FARTHEST, FARTHEST)
    if link == "logit":
        mu = np.asarray(expit(held))
        return mu, mu * expit(-held)
    if link == "probit":
        held = np.clip(held, -8.0, 8.0)
        return np.asarray(ndtr(held)), np.exp(-held * held / 2) / np.sqrt(2 * np.pi)
    held = np.minimum(held, 3.5)  # cloglog: 1 - mu is about 1e-15
    hazard = np.exp(held)
    return -np.expm1(-hazard), hazard * np.exp(-hazard)


def link_of_mean(link: str, mu: FloatArray) -> FloatArray:
    """The linear predictor (n,) of a mean (n,)."""
    from scipy.special import logit, ndtri

    if link == "identity":
        return mu
    if link == "inverse":
        return 1 / mu
    if link == "log":
        return np.log(mu)
    if link == "logit":
        return np.asarray(logit(mu))
    if link == "probit":
        return np.asarray(ndtri(mu))
    return np.log(-np.log1p(-mu))


def variance(family: str, mu: FloatArray, size: float = np.inf) -> FloatArray:
    """v(mu) (n,), without dispersion and weights; `size` k of a negative binomial, ``mu + mu^2 / k``."""
    if family == "binomial":
        return np.maximum(mu * (1 - mu), 1e-16)
    if family == "poisson":
        return mu
    if family == "negative_binomial":
        return mu * (1 + mu / size)
    return mu * mu if family == "gamma" else np.ones_like(mu)


def possible(family: str, link: str, eta: FloatArray) -> BoolArray:
    """Which linear predictors (n,) are those of a mean the family can have."""
    if family == "gaussian":
        return np.isfinite(eta)
    if family == "binomial":
        if link == "identity":
            return (eta > EDGE) & (eta < 1 - EDGE)
        return eta < -EDGE if link == "log" else np.isfinite(eta)
    return eta > EDGE if link in {"identity", "inverse"} else np.isfinite(eta)


def first_mean(family: str, link: str, y: FloatArray, trials: FloatArray) -> FloatArray:
    """Means (n,) inside the family's range to start from; y counts the successes of a binomial."""
    if family == "binomial":
        return (y + 0.5) / (trials + 1)
    if family in COUNTS:
        return y + 0.1
    if family == "gaussian" and link == "log":
        return np.maximum(y, 0.1 * float(np.abs(y).mean()))
    return y


def size_of(y: FloatArray, mu: FloatArray, weight: FloatArray) -> float:
    """Size k of a negative binomial with known means, by maximum likelihood of independent rows.

    Parameters
    ----------
    y, mu : ndarray (n,)
        Counts and their means.
    weight : ndarray (n,)
        How often each row counts.

    Returns
    -------
    float
        Infinite where the counts vary no more than Poisson's.
    """
    from scipy.optimize import brentq

    from nestwise.likelihood.families import density, responses

    given, eta = responses("negative_binomial", "log", y), np.log(mu)

    def slope(log_size: float) -> float:
        return float(density(given, eta, np.array([log_size])).aux[0] @ weight)

    low, high = float(np.log(SMALLEST_SIZE)), float(np.log(LARGEST_SIZE))
    if slope(high) >= 0:
        return float(np.inf)
    return SMALLEST_SIZE if slope(low) <= 0 else float(np.exp(brentq(slope, low, high, xtol=1e-13)))


def quasi_likelihood(family: str, y: FloatArray, mu: FloatArray, size: float = np.inf) -> FloatArray:
    """Q(y, mu) (n,) of one trial with phi = 1, up to what does not depend on mu.

    Parameters
    ----------
    family : str
        Of `LINKS_OF`.
    y : ndarray (n,)
        Outcome; the proportion of successes of a binomial.
    mu : ndarray (n,)
        Mean.
    size : float
        Of a negative binomial.
    """
    from scipy.special import xlog1py, xlogy

    if family == "binomial":
        return np.asarray(xlogy(y, mu) + xlog1py(1 - y, -mu))
    if family == "poisson" or (family == "negative_binomial" and np.isinf(size)):
        return np.asarray(xlogy(y, mu) - mu)
    if family == "negative_binomial":
        return np.asarray(xlogy(y, mu) - (y + size) * np.log1p(mu / size))
    if family == "gamma":
        return -y / mu - np.log(mu)
    return -0.5 * (y - mu) ** 2
