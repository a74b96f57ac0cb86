"""Population-averaged coefficients of logistic mixed models over simulated studies (rule 13).

The delta-method intervals of integrated coefficients cover the coefficients that describe the true marginal
means, and what is left between them and estimating equations is judged by an error that is not too small. The
seed is fixed; limits are 3.5 Monte Carlo standard errors.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from nestwise.compare.disagreement import influences
from nestwise.compare.effects import conditional_effects
from nestwise.compare.integrated import integrated
from nestwise.compare.marginalised import averaged, described
from nestwise.config.study import Model
from nestwise.design.record import Design, RandomTerm, RowFlow
from nestwise.fit.gee import fit_gee
from nestwise.fit.glmm import fit_glmm

pytestmark = pytest.mark.slow
STUDIES, GROUPS, VISITS, SD = 300, 120, 4, 2.0
BETA = np.array([-0.5, 0.9, 0.3])
MODEL = Model(formula="y ~ arm + t + (1 | g)", family="binomial", engines=("glmm", "gee"))


def design(y, X):
    codes = np.repeat(np.arange(GROUPS), VISITS)
    n = codes.size
    term = RandomTerm("g", ("(Intercept)",), np.ones((n, 1)), codes, tuple(f"g{j}" for j in range(GROUPS)))
    names = ("(Intercept)", "arm", "t")
    return Design(
        "s", "m", MODEL.formula, "y", y, X, names, (term,), np.arange(1, n + 1),
        RowFlow(n, n, GROUPS, GROUPS), "hash", family="binomial", link="logit", reml=False, term_of=names,
    )  # fmt: skip


def fixed(fit):
    return {row.term: row.estimate for row in fit.estimates if row.component == "fixed"}


@cache
def studies():
    """Integrated estimates, their errors, marginal less integrated, its errors; each (STUDIES, 3)."""
    rng = np.random.default_rng(20260)
    arm = np.repeat(np.arange(GROUPS) % 2, VISITS).astype(float)
    X = np.column_stack([np.ones(arm.size), arm, np.tile(np.arange(VISITS), GROUPS).astype(float)])
    rows = []
    for _ in range(STUDIES):
        b = np.repeat(rng.normal(0, SD, GROUPS), VISITS)
        y = (rng.random(arm.size) < 1 / (1 + np.exp(-(X @ BETA + b)))).astype(float)
        each = design(y, X)
        glmm, gee = fit_glmm(each), fit_gee(each)
        fit = {**glmm.identity, "status": "ok", "analysis_hash": "hash", "n_obs": each.n}
        effects = conditional_effects(fit, glmm.record, fixed(glmm), each)
        found = integrated(each, effects)
        both = influences(each, MODEL, effects, found, glmm.record["optimisation"]["points"])
        left = np.array([fixed(gee)[name] for name in found.names]) - found.beta
        rows.append([found.beta, found.std_error, left, both.std_error])
    truth = described("logit", X, averaged("logit", X @ BETA, np.full(arm.size, SD**2)).mu, None).beta
    return truth, np.array(rows)


def test_delta_method_intervals_cover_the_true_population_average():
    truth, found = studies()
    covered = (np.abs(found[:, 0] - truth) <= 1.959964 * found[:, 1]).mean(axis=0)
    assert covered == pytest.approx(np.full(3, 0.95), abs=3.5 * np.sqrt(0.95 * 0.05 / STUDIES))


def test_delta_method_errors_are_the_standard_deviations_over_studies():
    _, found = studies()
    spread = found[:, 0].std(axis=0, ddof=1)
    # a standard deviation of S values is known to 1 / sqrt(2 S)
    assert found[:, 1].mean(axis=0) == pytest.approx(spread, rel=3.5 / np.sqrt(2 * STUDIES))


def test_what_is_left_is_called_significant_no_more_often_than_it_should_be():
    _, found = studies()
    share = (np.abs(found[:, 2]) > 1.959964 * found[:, 3]).mean(axis=0)
    assert (share <= 0.05 + 3.5 * np.sqrt(0.95 * 0.05 / STUDIES)).all()
    # and the error is of the difference: a small part of that of either estimate
    assert (found[:, 3].mean(axis=0) < 0.2 * found[:, 1].mean(axis=0)).all()
