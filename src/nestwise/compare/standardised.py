"""Standardisation (g-computation): what the mean would be if everybody had one treatment at one time.

Every row is given the same values, and the predicted means are averaged: of a typical group (random effects
zero), over the random effects, and by the marginal model. Differences and ratios of such means have
delta-method intervals from the joint covariance of the parameters:

    mean = sum_i w_i mu_i(theta),   var = g' V g,   g = sum_i w_i d mu_i / d theta.

Means get intervals on the scale of the link (logit for probabilities, log for rates), ratios on the log
scale, differences as they are. Sources: Robins (1986); Localio, Margolis & Berlin (2007).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.compare.effects import Effects
from nestwise.compare.marginalised import averaged, link_of
from nestwise.design.record import Design


@dataclass(frozen=True)
class Quantified:
    """A number with its uncertainty; `None` where a notion does not apply."""

    estimate: float | None
    std_error: float | None = None
    lower: float | None = None
    upper: float | None = None


NOTHING = Quantified(None)


@dataclass(frozen=True)
class Mean:
    """A standardised mean and its gradient by the parameters of the effects it came from.

    Attributes
    ----------
    value : float
        On the outcome's scale.
    gradient : ndarray (k,)
        By the parameters in the order of `Effects.covariance`.
    """

    value: float
    gradient: FloatArray


@dataclass(frozen=True)
class StandardMeans:
    """Means of one setting: of a typical group, averaged over the groups, and by the marginal model."""

    typical: Mean
    integrated: Mean
    marginal: Mean


def standard_means(
    designs: Iterable[Design], conditional: Effects, marginal: Effects, weights: FloatArray
) -> tuple[StandardMeans, ...]:
    """Means of every setting.

    Parameters
    ----------
    designs : iterable of Design
        One a setting, from `design.standard.designs_at`.
    conditional, marginal : Effects
        The two answers.
    weights : ndarray (n,)
        Of the rows, summing to one.

    Returns
    -------
    tuple of StandardMeans
        Per unit of exposure where the link is a logarithm: an offset is then left out.
    """
    return tuple(
        StandardMeans(
            standard_mean(design, conditional, weights, over_groups=False),
            standard_mean(design, conditional, weights, over_groups=True),
            standard_mean(design, marginal, weights, over_groups=False),
        )
        for design in designs
    )


def linear_part(design: Design, effects: Effects) -> tuple[FloatArray, FloatArray]:
    """Columns (n, p) of the coefficients of some effects, and the linear predictor (n,) without offset."""
    X = design.X[:, [design.names.index(name) for name in effects.names]]
    return X, X @ effects.beta


def standard_mean(design: Design, effects: Effects, weights: FloatArray, *, over_groups: bool) -> Mean:
    """Weighted mean over rows: of a typical group or of a marginal model, or averaged over the groups."""
    X, eta = linear_part(design, effects)
    if design.offset is not None and design.link != "log":
        eta = eta + design.offset
    spread = over_groups and effects.Sigma.size > 0
    Z = design.Z if spread else np.empty((len(eta), 0))
    variance = effects.variance(Z) if spread else np.zeros(len(eta))
    at = averaged(design.link, eta, variance)
    gradient = np.zeros(len(effects.covariance))
    p = effects.beta.size
    gradient[:p] = (weights * at.by_eta) @ X
    if spread:
        gradient[p:] = (weights * at.by_variance) @ effects.by_elements(Z)
    return Mean(float(weights @ at.mu), gradient)


def quantile(df: float | None, level: float) -> float:
    """Two-sided quantile of the t distribution, normal without degrees of freedom."""
    from scipy.special import ndtri, stdtrit

    tail = (1 + level) / 2
    return float(ndtri(tail) if df is None else stdtrit(df, tail))


def interval_of_mean(link: str, mean: Mean, effects: Effects, level: float) -> Quantified:
    """A mean with an interval on the scale of the link, so that it stays in its range."""
    error = _error(mean.gradient, effects)
    eta, slope = (float(part[0]) for part in link_of(link, np.array([mean.value])))
    half = quantile(effects.df, level) * error * slope
    if not np.isfinite([eta, half]).all():
        return Quantified(mean.value, error)
    zero = np.zeros(1)
    ends = [float(averaged(link, np.array([eta + sign * half]), zero).mu[0]) for sign in (-1, 1)]
    return Quantified(mean.value, error, *ends)


def difference(one: Mean, other: Mean, effects: Effects, level: float) -> Quantified:
    """`one` less `other`: a risk difference, or a difference of rates or means."""
    value, error = one.value - other.value, _error(one.gradient - other.gradient, effects)
    half = quantile(effects.df, level) * error
    return Quantified(value, error, value - half, value + half)


def ratio(one: Mean, other: Mean, effects: Effects, level: float) -> Quantified:
    """`one` over `other`, with an interval on the log scale; nothing where either is not positive."""
    if one.value <= 0 or other.value <= 0:
        return NOTHING
    error = _error(one.gradient / one.value - other.gradient / other.value, effects)
    value, half = one.value / other.value, quantile(effects.df, level) * error
    return Quantified(
        value, value * error, value * float(np.exp(-half)), value * float(np.exp(min(half, 700)))
    )


def _error(gradient: FloatArray, effects: Effects) -> float:
    return float(np.sqrt(max(float(gradient @ effects.covariance @ gradient), 0.0)))
