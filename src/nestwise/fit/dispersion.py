"""Verdicts on a generalised model: more spread, more zeros or fewer groups than its family can stand."""

from __future__ import annotations

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.design.record import Design
from nestwise.fit.generalised import GlmmSolution
from nestwise.fit.glmm_refusals import BOUNDED, constant
from nestwise.likelihood.families import density, mean, responses
from nestwise.likelihood.quadrature import product_rule
from nestwise.results import Check

OVERDISPERSED = 1.5
"""Pearson's chi-squared for a degree of freedom from which on standard errors are seen to be too small."""
ZEROS = 1.2
"""Ratio of observed to expected zeros that is worth a word, if chance hardly makes it."""
UNLIKELY = 3.0
"""Standard deviations beyond which chance hardly reaches."""
CONSTANT_SHARE = 0.5
"""Share of groups with one outcome only from which on the standard deviation rests on few groups."""
POINTS = 21


def dispersion_checks(
    design: Design, solution: GlmmSolution, fixed: FloatArray, eta: FloatArray
) -> tuple[Check, ...]:
    """Checks `overdispersion`, `zero_inflation` and `constant_groups`, where the family has them.

    Parameters
    ----------
    design, solution
        The model and its estimates.
    fixed, eta : ndarray (n,)
        Linear predictor of the fixed effects, and with the modes of the random effects.
    """
    found = []
    counts = design.family in ("poisson", "negative_binomial")
    several_trials = design.family == "binomial" and design.trials is not None and design.trials.max() > 1
    if counts or several_trials:
        found.append(_overdispersion(design, solution, eta))
    if counts:
        found.append(_zeros(design, solution, fixed))
    if design.family in BOUNDED:
        found.append(_constant_groups(design))
    return tuple(found)


def pearson_residuals(design: Design, solution: GlmmSolution, eta: FloatArray) -> FloatArray:
    """``(y - E y) / sd(y)`` given all effects (n,), for binomial and count outcomes."""
    mu = mean(design.link, eta)
    if design.family == "binomial":
        m = np.ones_like(mu) if design.trials is None else design.trials
        return np.asarray((design.y - m * mu) / np.sqrt(np.maximum(m * mu * (1 - mu), 1e-300)))
    extra = mu**2 / np.exp(solution.aux[0]) if design.family == "negative_binomial" else 0.0
    return np.asarray((design.y - mu) / np.sqrt(np.maximum(mu + extra, 1e-300)))


def _overdispersion(design: Design, solution: GlmmSolution, eta: FloatArray) -> Check:
    """Pearson's statistic at the modes; parameters, not random effects, are counted as degrees of freedom."""
    residual = pearson_residuals(design, solution, eta)
    ratio = float(residual @ residual) / max(design.n - solution.n_parameters, 1)
    ok = ratio <= OVERDISPERSED
    if ok:
        advice = "The outcome varies about its expectation no more than its family allows."
    elif design.family == "poisson":
        advice = (
            "The counts vary more than Poisson allows and standard errors are too small: use family "
            "negative_binomial, or add a random effect for each row."
        )
    else:
        advice = (
            "The outcome varies more than its family allows and standard errors are too small: add a random "
            "effect for each row, or a predictor that is missing."
        )
    return Check("overdispersion", ratio, OVERDISPERSED, ok, advice)


def _zeros(design: Design, solution: GlmmSolution, fixed: FloatArray) -> Check:
    """Zeros that were seen for each that is expected, the random effects integrated out."""
    spread = np.sqrt(np.maximum((design.Z @ solution.Sigma * design.Z).sum(axis=1), 0.0))
    x, log_weights = product_rule(POINTS, 1)
    nothing = responses(design.family, design.link, np.zeros(design.n))
    chance = np.zeros(design.n)
    for node, log_weight in zip(x[:, 0], log_weights, strict=True):
        eta = fixed + np.sqrt(2) * spread * node
        chance += np.exp(log_weight - node**2 + density(nothing, eta, solution.aux).value)
    expected, seen = float(chance.sum()), float((design.y == 0).sum())
    ratio = seen / expected if expected > 0 else 1.0
    size = float(np.sqrt(max((chance * (1 - chance)).sum(), 1e-12)))
    ok = ratio <= ZEROS or seen - expected <= UNLIKELY * size
    advice = (
        f"{seen:.0f} rows are zero where the model expects {expected:.1f}."
        if ok
        else f"{seen:.0f} rows are zero where the model expects {expected:.1f}: use family "
        "negative_binomial, or model whether a count is zero apart from how large it is."
    )
    return Check("zero_inflation", ratio, ZEROS, ok, advice)


def _constant_groups(design: Design) -> Check:
    factor = design.factors[0]
    share = float(constant(design, factor.codes, factor.n_groups).mean())
    ok = share <= CONSTANT_SHARE
    said = f"{share:.0%} of the groups of {factor.group} show one value of {design.outcome} only"
    advice = (
        f"{said}."
        if ok
        else f"{said}: how far they lie apart follows from the normal distribution of the random effects "
        "more than from the data, and Laplace's approximation fails; read population-averaged effects too."
    )
    return Check("constant_groups", share, CONSTANT_SHARE, ok, advice)
