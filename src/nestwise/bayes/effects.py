"""Group coefficients after sampling: exact draws given the parameters, summarised block by block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.bayes.units import Draws, Units, to_data
from nestwise.fit.pooling import GroupCoefficients, pooling_factors
from nestwise.likelihood.conditional import draw_random_effects
from nestwise.likelihood.crossproducts import CrossProducts

FACTOR_DRAWS = 200
"""Draws over which the pooling factor is averaged."""


@dataclass(frozen=True)
class GroupEffects:
    """Posterior of the group coefficients, units of the data.

    Attributes
    ----------
    coefficients : GroupCoefficients
        Medians, SDs and equal-tailed intervals.
    mean : ndarray (J, q)
        Posterior means of the random effects.
    """

    coefficients: GroupCoefficients
    mean: FloatArray


def group_effects(
    products: CrossProducts, draws: Draws, units: Units, lines: FloatArray, *, level: float, seed: int
) -> GroupEffects:
    """Posterior of each group's coefficients.

    Parameters
    ----------
    products : CrossProducts
        In standard units, uncompressed.
    draws : Draws
        In standard units, chains and draws in one axis (S).
    units : Units
        To bring them home.
    lines : ndarray (J, q, p)
        `fit.pooling.fixed_lines`.
    level : float
        Coverage.
    seed : int
        Of the random effects' stream.
    """
    beta = to_data(draws, units).beta
    scale = units.y_scale / units.Z_scale
    J, q = products.J, products.q
    partial, partial_se, lower, upper, effect, effect_se, mean = (np.empty((J, q)) for _ in range(7))
    tail = (1 - level) / 2
    stream = draw_random_effects(products, draws.beta, draws.Lambda, draws.sigma, seed)
    for groups, drawn in stream:
        b = drawn * scale
        mean[groups] = b.mean(axis=0)
        effect[groups] = np.median(b, axis=0)
        effect_se[groups] = b.std(axis=0, ddof=1)
        own = b + np.einsum("jqp,sp->sjq", lines[groups], beta, optimize=True)
        lower[groups], partial[groups], upper[groups] = np.quantile(own, [tail, 0.5, 1 - tail], axis=0)
        partial_se[groups] = own.std(axis=0, ddof=1)
    return GroupEffects(GroupCoefficients(partial, partial_se, lower, upper, effect, effect_se), mean)


def mean_pooling_factors(products: CrossProducts, draws: Draws) -> FloatArray:
    """Posterior mean (J, q) of the pooling factor, over evenly spaced draws.

    Parameters
    ----------
    products : CrossProducts
        As `collapse` gives them (its working columns), uncompressed.
    draws : Draws
        Units of the data, (S, ...).
    """
    chosen = spaced(draws.sigma.shape[0], FACTOR_DRAWS)
    factors = np.zeros((products.J, products.q))
    for s in chosen:
        root = draws.sd[s][:, None] * draws.correlation[s]
        factors += pooling_factors(products, root @ root.T, float(draws.sigma[s]))
    return factors / len(chosen)


def spaced(S: int, wanted: int) -> list[int]:
    """At most `wanted` evenly spaced positions out of S."""
    return [int(at) for at in np.unique(np.linspace(0, S - 1, min(S, wanted)).astype(int))]
