"""Simulated truth comes back from generalised mixed models; Laplace's approximation does not bring it back.

The seeds are fixed; limits are 3.5 Monte Carlo standard errors around the nominal value, plus what maximum
likelihood itself is off by where that is said.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

from nestwise.design.record import Design, RandomTerm, RowFlow
from nestwise.fit.glm import fit_glm
from nestwise.fit.glmm import fit_glmm
from nestwise.fit.points import optimise_glmm
from nestwise.likelihood.grouped_rows import grouped_rows

pytestmark = pytest.mark.slow
BETA = np.array([-0.6, 0.8, 0.5])
"""Intercept, a predictor of the rows, an arm of the groups."""
SD = 2.0
SIZE = 1.5
REPLICATES = 150


@dataclass(frozen=True)
class Answers:
    """One row a simulated study: estimates, errors, SD and its interval, Laplace's SD, dispersion."""

    beta: np.ndarray
    std_error: np.ndarray
    sd: np.ndarray
    limits: np.ndarray
    laplace: np.ndarray
    dispersion: np.ndarray


def draw(family, seed, J=100, m=5):
    rng = np.random.default_rng([seed, 17])
    g = np.repeat(np.arange(J), m)
    X = np.column_stack([np.ones(J * m), rng.normal(size=J * m), np.arange(J)[g] % 2])
    eta = X @ BETA + SD * rng.normal(size=J)[g]
    if family == "binomial":
        y = rng.binomial(1, 1 / (1 + np.exp(-eta))) * 1.0
    elif family == "ordinal":
        y = np.digitize(eta + rng.logistic(size=J * m), [-1.5, 0.0, 1.5]) * 1.0
    else:
        y = rng.poisson(np.exp(eta / 2) * rng.gamma(SIZE, 1 / SIZE, J * m)) * 1.0
    labels = tuple(map(str, range(J)))
    term = RandomTerm("g", ("(Intercept)",), np.ones((J * m, 1)), g, labels)
    return Design(
        study="s",
        model="m",
        formula="y ~ x + arm + (1 | g)",
        outcome="y",
        y=y,
        X=X,
        names=("(Intercept)", "x", "arm"),
        random=(term,),
        rows=np.arange(1, J * m + 1),
        row_flow=RowFlow(J * m, J * m, J, J),
        analysis_hash="0",
        family=family,
        link="log" if family == "negative_binomial" else "logit",
    )


@cache
def answers(family):
    found = []
    for seed in range(REPLICATES):
        design = draw(family, seed)
        fit = fit_glmm(design)
        fixed = [row for row in fit.estimates if row.component == "fixed" and "|" not in row.term]
        sd = next(row for row in fit.estimates if row.component == "sd")
        size = [row.estimate for row in fit.estimates if row.component == "residual"]
        rows = grouped_rows(design)
        optimum = optimise_glmm(rows, fit_glm(rows), (1,))
        found.append(
            (
                [row.estimate for row in fixed],
                [row.std_error for row in fixed],
                sd.estimate,
                (sd.lower, sd.upper),
                optimum.table[0]["sd"][0],
                size[0] if size else np.nan,
            )
        )
    return Answers(*(np.array(column, dtype=float) for column in zip(*found, strict=True)))


def truth(family):
    beta = BETA[1:] if family == "ordinal" else BETA
    return (beta / 2, SD / 2) if family == "negative_binomial" else (beta, SD)


FAMILIES = ["binomial", "ordinal", "negative_binomial"]


@pytest.mark.parametrize("family", FAMILIES)
def test_fixed_effects_come_back(family):
    """Bias below 3.5 Monte Carlo errors plus 3% of the effect, the order 1/J of maximum likelihood."""
    found, (beta, _) = answers(family), truth(family)
    error = found.beta.std(axis=0) / np.sqrt(REPLICATES)
    assert (np.abs(found.beta.mean(axis=0) - beta) < 3.5 * error + 0.03 * np.abs(beta)).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_intervals_cover(family):
    """Wald intervals of effects and profile intervals of the SD cover in 95%."""
    found, (beta, sd) = answers(family), truth(family)
    allowed = 3.5 * np.sqrt(0.05 * 0.95 / REPLICATES)
    inside = (np.abs(found.beta - beta) < 1.96 * found.std_error).mean(axis=0)
    assert (np.abs(inside - 0.95) < allowed).all()
    held = ((found.limits[:, 0] <= sd) & (sd <= found.limits[:, 1])).mean()
    assert abs(held - 0.95) < allowed


def test_laplace_is_biased_where_quadrature_is_not():
    """Rule 9: five binary rows a group and an SD of 2."""
    found = answers("binomial")
    error = found.sd.std() / np.sqrt(REPLICATES)
    assert abs(found.sd.mean() - SD) < 3.5 * error + 0.03 * SD
    assert found.laplace.mean() < SD - 3.5 * error


def test_dispersion_comes_back():
    """On the log scale, where maximum likelihood is hardly biased."""
    logs = np.log(answers("negative_binomial").dispersion)
    assert abs(logs.mean() - np.log(SIZE)) < 3.5 * logs.std() / np.sqrt(REPLICATES) + 0.03
