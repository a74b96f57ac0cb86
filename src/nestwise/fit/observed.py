"""The intraclass correlation of outcomes that are not Gaussian, on the scale on which they were observed.

Of two rows of one group with the same predictors: how much of the outcome's variance do they share? With the
expected outcome mu given all effects, the variance ``B = Var(E(mu | b_f))`` lies between the groups of a
factor and everything else, other factors and the variance of the outcome about mu, within. Both depend on the
predictors; they are averaged over the rows, each with its own spread of the random effects where slopes vary,
so that one number holds for the mixture of rows that was studied. Differences between rows that predictors
explain count for neither.

With a log link the moments of the lognormal are exact. Probabilities are integrated by the trapezoidal rule,
whose error for these functions is beyond the digits shown. A binomial outcome is one trial.

Sources: Goldstein, Browne & Rasbash (2002), Understanding Statistics 1, 223-231; de Villemereuil,
Schielzeth, Nakagawa & Morrissey (2016), Genetics 204, 1281-1294; Leckie, Browne, Goldstein, Merlo & Austin
(2020), Psychological Methods 25, 787-801, for counts.
"""

from __future__ import annotations

import numpy as np

from nestwise.arrays import FloatArray, IntArray
from nestwise.design.record import Design
from nestwise.fit.generalised import GlmmSolution
from nestwise.likelihood.families import mean
from nestwise.results import Estimate

MOST_ROWS = 2000
"""Beyond this many rows as many stand for all, at equal distances in the order of their linear predictors."""
REACH = 8.0
"""Standard deviations from the mean within which a normal distribution is integrated."""
NODES = {True: 81, False: 33}
"""Nodes of the trapezoidal rule with one factor, and in each dimension with several."""


def observed_rows(design: Design, solution: GlmmSolution, fixed: FloatArray) -> tuple[Estimate, ...]:
    """Rows `icc_observed` of the component `derived`, scale `response`; none of an ordinal outcome.

    Parameters
    ----------
    design, solution
        The model and its estimates.
    fixed : ndarray (n,)
        Linear predictor of the fixed effects, offset included.
    """
    if design.family == "ordinal":
        return ()  # categories have no variance
    spread = np.stack([_spread(factor.Z, solution.Sigma, factor.columns) for factor in design.factors])
    rows = _standing_for_all(fixed, spread)
    between, total = shared_variances(design, solution, fixed[rows], spread[:, rows])
    shares = between.mean(axis=1) / total.mean()
    return tuple(
        Estimate("derived", "icc_observed", float(share), factor.group, scale="response")
        for factor, share in zip(design.factors, shares, strict=True)
    )


def shared_variances(
    design: Design, solution: GlmmSolution, fixed: FloatArray, spread: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Variance between the groups of each factor (F, n), and the whole variance of the outcome (n,).

    Parameters
    ----------
    design, solution
        The model and its estimates.
    fixed : ndarray (n,)
        Linear predictor of the fixed effects.
    spread : ndarray (F, n)
        Variance of the random effects of each factor on the scale of the link.
    """
    if design.family == "binomial":
        return _of_probabilities(design.link, fixed, np.sqrt(spread))
    whole = spread.sum(axis=0)
    mu = np.exp(fixed + whole / 2)
    square = mu**2 * np.exp(whole)
    about = {
        "poisson": mu,
        "negative_binomial": mu + square * _inverse_size(solution),
        "gamma": square * _inverse_size(solution),
    }
    return mu**2 * np.expm1(spread), square - mu**2 + about[design.family]


def _inverse_size(solution: GlmmSolution) -> float:
    return float(np.exp(-solution.aux[0])) if solution.aux.size else 0.0


def _of_probabilities(link: str, fixed: FloatArray, sd: FloatArray) -> tuple[FloatArray, FloatArray]:
    nodes = np.linspace(-REACH, REACH, NODES[len(sd) == 1])
    weights = np.exp(-(nodes**2) / 2)
    weights /= weights.sum()
    between = np.empty_like(sd)
    for f, own in enumerate(sd):
        rest = np.sqrt(np.maximum((sd**2).sum(axis=0) - own**2, 0.0))
        eta = fixed + own * nodes[:, None]
        given = mean(link, eta) if len(sd) == 1 else _averaged(link, eta, rest, nodes, weights)
        typical = weights @ given
        between[f] = weights @ (given - typical) ** 2
    return between, typical * (1 - typical)


def _averaged(
    link: str, eta: FloatArray, sd: FloatArray, nodes: FloatArray, weights: FloatArray
) -> FloatArray:
    """Probabilities (K, n) with the effects of the other factors integrated out."""
    total = np.zeros_like(eta)
    for node, weight in zip(nodes, weights, strict=True):
        total += weight * mean(link, eta + sd * node)
    return total


def _spread(Z: FloatArray, Sigma: FloatArray, columns: tuple[int, ...]) -> FloatArray:
    block = Sigma[np.ix_(columns, columns)]
    return np.asarray(np.maximum((Z @ block * Z).sum(axis=1), 0.0))


def _standing_for_all(fixed: FloatArray, spread: FloatArray) -> IntArray:
    """Rows that stand for all, the same whatever the order of the rows."""
    if fixed.size <= MOST_ROWS:
        return np.arange(fixed.size)
    places = ((np.arange(MOST_ROWS) + 0.5) * fixed.size / MOST_ROWS).astype(np.int64)
    if (spread == spread[:, :1]).all():
        return np.asarray(np.argsort(fixed)[places])  # equal ones are the same whichever is taken
    return np.asarray(np.lexsort((*spread, fixed))[places])
