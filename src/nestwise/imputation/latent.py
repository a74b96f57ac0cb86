"""Compiled draws of the latent normal responses behind binary, ordinal and count variables.

Binary and ordinal variables are probit with data augmentation (Albert & Chib 1993): given the latent response
every other draw is that of the normal mixed model, so the whole is exact Gibbs. mice's 2l.bin takes a normal
approximation of a logistic mixed fit instead; both say nearly the same of probabilities, and the probit needs
no fit. Thresholds are drawn with the latent response integrated out (Cowles 1996). Counts are Poisson
with a log-normal rate: the log rate is the latent response, drawn by Metropolis steps.
"""

from __future__ import annotations

from math import erfc, exp, inf, log, sqrt
from typing import Any

import numpy as np
from numba import njit

_compiled: Any = njit(cache=True, nogil=True, error_model="numpy")

LARGEST_LOG_RATE = 30.0
"""Rates beyond 1e13 are no counts any more."""


@_compiled
def truncated(rng, low, high):  # type: ignore[no-untyped-def]
    """A standard normal between low and high, by rejection (Robert 1995)."""
    sign = 1.0
    if high <= 0.0:
        sign, low, high = -1.0, -high, -low
    if low <= 0.0 and high - low >= 1.0:
        while True:
            x = rng.standard_normal()
            if low < x < high:
                return sign * x
    nearest = max(low, 0.0)
    if high - low < min(2.0, 1.0 / max(nearest, 1e-8)):
        while True:
            x = low + (high - low) * rng.random()
            if rng.random() <= exp(0.5 * (nearest**2 - x**2)):
                return sign * x
    rate = 0.5 * (low + sqrt(low**2 + 4.0))
    while True:
        x = low + rng.standard_exponential() / rate
        if x < high and rng.random() <= exp(-0.5 * (x - rate) ** 2):
            return sign * x


@_compiled
def latent_responses(rng, codes, cuts, eta, z):  # type: ignore[no-untyped-def]
    """Latent normal responses into z (n,) given categories, thresholds (K - 1,) and linear predictors."""
    K = cuts.shape[0] + 1
    for i in range(codes.shape[0]):
        k = codes[i]
        low = cuts[k - 1] - eta[i] if k > 0 else -inf
        high = cuts[k] - eta[i] if k < K - 1 else inf
        z[i] = eta[i] + truncated(rng, low, high)


@_compiled
def between(low, high):  # type: ignore[no-untyped-def]
    """Standard normal probability between two bounds, exact in both tails."""
    if low > 0.0:
        low, high = -high, -low
    return 0.5 * (erfc(-high / sqrt(2.0)) - erfc(-low / sqrt(2.0)))


@_compiled
def likelihood(codes, cuts, eta):  # type: ignore[no-untyped-def]
    """Log-likelihood of categories with the latent responses integrated out."""
    K = cuts.shape[0] + 1
    total = 0.0
    for i in range(codes.shape[0]):
        k = codes[i]
        low = cuts[k - 1] - eta[i] if k > 0 else -inf
        high = cuts[k] - eta[i] if k < K - 1 else inf
        total += log(max(between(low, high), 1e-300))
    return total


@_compiled
def thresholds(rng, codes, cuts, eta, spread):  # type: ignore[no-untyped-def]
    """A Metropolis step in place for the gaps between thresholds, the first of which is 0; flat prior."""
    K = cuts.shape[0] + 1
    proposal = cuts.copy()
    jacobian = 0.0
    for k in range(1, K - 1):
        change = spread[k] * rng.standard_normal()
        jacobian += change
        proposal[k] = proposal[k - 1] + (cuts[k] - cuts[k - 1]) * exp(change)
    ratio = likelihood(codes, proposal, eta) - likelihood(codes, cuts, eta) + jacobian
    if log(rng.random()) < ratio:
        cuts[:] = proposal


@_compiled
def categories(rng, cuts, eta):  # type: ignore[no-untyped-def]
    """New categories (n,) given linear predictors."""
    drawn = np.zeros(eta.shape[0])
    for i in range(eta.shape[0]):
        z = eta[i] + rng.standard_normal()
        for cut in cuts:
            if z > cut:
                drawn[i] += 1.0
    return drawn


@_compiled
def log_rates(rng, counts, eta, s2, tries, z):  # type: ignore[no-untyped-def]
    """Metropolis steps in place for log rates z (n,) with prior N(eta, s2) given Poisson counts."""
    for i in range(counts.shape[0]):
        spread = 2.4 / sqrt(1.0 / s2 + max(counts[i], 0.5))
        for _ in range(tries):
            x = z[i] + spread * rng.standard_normal()
            if x > LARGEST_LOG_RATE:
                continue
            ratio = counts[i] * (x - z[i]) - exp(x) + exp(z[i])
            ratio += 0.5 * ((z[i] - eta[i]) ** 2 - (x - eta[i]) ** 2) / s2
            if log(rng.random()) < ratio:
                z[i] = x
