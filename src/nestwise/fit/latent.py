"""The intraclass correlation and R2 of outcomes that are not Gaussian, on the scale of the link.

A binomial or ordinal outcome is taken for a cut of a latent one whose variance given the predictors is that
of the link's distribution: ``pi^2 / 3`` (logit), 1 (probit), ``pi^2 / 6`` (cloglog). Counts and gamma
outcomes have no latent variable; what stands in is the variance of the logarithm of a row with the typical
mean, ``log(1 + 1 / mean + 1 / size)`` (the lognormal approximation) or, for the gamma, the trigamma
function of its shape. Sources: Snijders & Bosker (2012), section 17.2; Nakagawa, Johnson & Schielzeth
(2017), J. R. Soc. Interface 14.
"""

from __future__ import annotations

from math import exp, log, pi
from typing import Any

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.design.record import Design, Factor
from nestwise.fit.generalised import GlmmSolution
from nestwise.fit.limits import Interval
from nestwise.results import Estimate
from nestwise.vocabulary import INTERCEPT

LATENT = {"logit": pi**2 / 3, "probit": 1.0, "cloglog": pi**2 / 6}
"""Variance of the latent variable given the predictors, by link."""


def residual_variance(design: Design, solution: GlmmSolution, fixed: FloatArray) -> float:
    """Variance of a row on the scale of the link, given all effects.

    Parameters
    ----------
    design : Design
        The model.
    solution : GlmmSolution
        Its estimates.
    fixed : ndarray (n,)
        Linear predictor of the fixed effects, of whose rows the average stands for the typical one.
    """
    between = float((design.Z @ solution.Sigma * design.Z).sum(axis=1).mean())
    aux = float(solution.aux[0]) if solution.aux.size else 0.0
    return row_variance(design.family, design.link, float(fixed.mean()) + between / 2, aux)


def row_variance(family: str, link: str, typical: float, aux: float) -> float:
    """Variance of a row on the scale of the link, given all effects.

    Parameters
    ----------
    family, link : str
        Of the outcome.
    typical : float
        Logarithm of the typical mean of a count: average of the fixed part plus half the variance between.
    aux : float
        Log dispersion, if the family has one.
    """
    from scipy.special import polygamma

    if family in ("binomial", "ordinal"):
        return LATENT[link]
    if family == "gamma":
        return float(polygamma(1, exp(aux)))
    size = exp(-aux) if family == "negative_binomial" else 0.0
    return log(1 + exp(-typical) + size)


def latent_rows(
    design: Design, solution: GlmmSolution, fixed: FloatArray, interval: Interval | None, level: float
) -> tuple[Estimate, ...]:
    """ICC, share of the variance and R2: rows of the component `derived`, scale `latent`.

    The `icc` holds where covariates that vary are 0; the `variance_share`, and `r2_marginal` and
    `r2_conditional` (as in `r2`, of the latent variable; an offset counts for nothing) are averaged over the
    rows.

    Parameters
    ----------
    design, solution, fixed
        As for `residual_variance`.
    interval : Interval or None
        Of the intercept's standard deviation, where it varies alone.
    level : float
        Its coverage.
    """
    residual = residual_variance(design, solution, fixed)
    between = [_mean_variance(factor, solution) for factor in design.factors]
    at_zero = [_intercept_variance(factor, solution) for factor in design.factors]
    found = []
    for factor, share, tau2 in zip(design.factors, between, at_zero, strict=True):
        if tau2 is not None:
            limits: dict[str, Any] = {}
            if interval is not None and interval.lower is not None and interval.upper is not None:
                ends = (interval.lower**2, interval.upper**2)
                lower, upper = (end / (end + residual) for end in ends)
                limits = {"lower": lower, "upper": upper, "level": level}
            icc = tau2 / (sum(each or 0.0 for each in at_zero) + residual)
            found.append(Estimate("derived", "icc", icc, factor.group, scale="latent", **limits))
        part = share / (sum(between) + residual)
        found.append(Estimate("derived", "variance_share", part, factor.group, scale="latent"))
    return (*found, *_r2_rows(design, solution, sum(between), residual))


def _r2_rows(design: Design, solution: GlmmSolution, between: float, residual: float) -> tuple[Estimate, ...]:
    at = [design.names.index(name) for name in solution.names]
    explained = float(np.var(design.X[:, at] @ solution.beta, ddof=1)) if at else 0.0
    total = explained + between + residual
    parts = {"r2_marginal": explained, "r2_conditional": explained + between}
    return tuple(Estimate("derived", term, part / total, scale="latent") for term, part in parts.items())


def _mean_variance(factor: Factor, solution: GlmmSolution) -> float:
    block = solution.Sigma[np.ix_(factor.columns, factor.columns)]
    return float((factor.Z @ block * factor.Z).sum(axis=1).mean())


def _intercept_variance(factor: Factor, solution: GlmmSolution) -> float | None:
    if INTERCEPT not in factor.names:
        return None
    at = factor.columns[factor.names.index(INTERCEPT)]
    return float(solution.Sigma[at, at])
