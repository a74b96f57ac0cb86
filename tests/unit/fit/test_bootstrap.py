"""The parametric bootstrap: drawn cross-products, compiled refits, folding, summaries."""

from __future__ import annotations

import json
from dataclasses import replace
from time import process_time

import numpy as np
import pytest
from scipy import stats

from nestwise.fit import bootstrap as module
from nestwise.fit import refit_crossed as crossed_module
from nestwise.fit.bootstrap import bootstrap, fold, replicate, summarise
from nestwise.fit.lmm import fit_lmm
from nestwise.fit.optimise import optimise
from nestwise.fit.refit import refit
from nestwise.fit.refit_crossed import refit_crossed
from nestwise.fit.replicates import draw, sampler
from nestwise.fit.simulation import simulate as outcomes
from nestwise.fit.state import solve_lmm
from nestwise.likelihood.crossproducts import collapse
from nestwise.likelihood.gaussian import criterion


def of(state, reml):
    at = criterion(state.products, state.products.pattern.matrix(state.optimum.theta), reml=reml)
    return sampler(state.products, at.reduced.beta, at.sigma * at.reduced.Lambda, at.sigma)


def filled(products, B_y, G_y):
    B, G = products.B.copy(), products.G.copy()
    B[:, :, -1], G[-1], G[:, -1] = B_y, G_y, G_y
    return replace(products, B=B, G=G)


@pytest.mark.parametrize("singletons", [False, True])
def test_drawn_cross_products_have_the_distribution_of_rows(simulate, singletons):
    """Means and covariances of [Z'y, X'y, y'y] beside those of outcomes drawn row by row."""
    design = simulate(seed=3, J=6)
    if singletons:  # groups of one row, where Z_j'Z_j has rank 1, and a predictor of groups
        kept = np.sort([*np.unique(design.random[0].codes, return_index=True)[1], 3, 9, 12, 20])
        term = replace(design.random[0], Z=design.random[0].Z[kept], codes=design.random[0].codes[kept])
        design = replace(design, y=design.y[kept], X=design.X[kept], random=(term,), rows=design.rows[kept])
    products = collapse(design)
    beta, sigma = np.array([0.3, -0.2, 0.1]), 0.9
    root = np.array([[0.8, 0.0], [0.3, 0.5]])
    sets = 40_000
    B_y, G_y = draw(sampler(products, beta, root, sigma), np.arange(sets), seed=1)
    drawn = np.column_stack([B_y.reshape(sets, -1), G_y])
    rng = np.random.default_rng(2)
    from nestwise.likelihood.working import working_rows

    rows = working_rows(design)
    X, Z, codes = rows.W[:, :-1], np.column_stack(rows.Z), design.random[0].codes
    b = rng.normal(size=(sets, products.J, 2)) @ root.T
    y = X @ beta + np.einsum("iq,siq->si", Z, b[:, codes]) + sigma * rng.normal(size=(sets, design.n))
    indicator = np.eye(products.J)[codes]
    Z_y = np.einsum("si,ij,iq->sjq", y, indicator, Z, optimize=True)
    direct = np.column_stack([Z_y.reshape(sets, -1), y @ X, (y**2).sum(axis=1)])
    spread = direct.std(axis=0)
    standard, other = (drawn - direct.mean(axis=0)) / spread, (direct - direct.mean(axis=0)) / spread
    assert np.abs(standard.mean(axis=0)).max() < 5 * np.sqrt(2 / sets)
    assert np.abs(np.cov(standard.T) - np.cov(other.T)).max() < 6 * np.sqrt(4 / sets)
    assert stats.ks_2samp(standard[:, -1], other[:, -1]).pvalue > 1e-4


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("which", ["slopes", "intercepts", "independent", "radon"])
def test_refits_are_those_of_the_engine(which, reml, sleepstudy, radon):
    """Deviance, theta, beta and sigma of the compiled refit beside the full search, set by set."""
    design = radon(reml=reml) if which == "radon" else sleepstudy(which, reml=reml)
    state = solve_lmm(design)
    B_y, G_y = draw(of(state, reml), np.arange(25), seed=4)
    found = refit(
        state.products, B_y, G_y, reml=reml, theta=state.optimum.theta, hessian=state.optimum.hessian
    )
    assert found.converged.all()
    for s in range(25):
        products = filled(state.products, B_y[s], G_y[s])
        full = optimise(products, reml=reml)
        assert found.deviance[s] == pytest.approx(full.value, abs=1e-6)
        at = criterion(products, products.pattern.matrix(full.theta), reml=reml)
        np.testing.assert_allclose(found.beta[s], at.reduced.beta, atol=1e-3 * at.sigma)
        assert found.sigma[s] == pytest.approx(at.sigma, rel=2e-4)


def test_refits_from_a_singular_start(make_design):
    """Where the fit itself has a variance of zero, refits do not stay there: they match the full search."""
    rng = np.random.default_rng(1)
    codes = np.repeat(np.arange(10), 5)
    x = np.tile(np.arange(5.0), 10)
    both = {"(Intercept)": np.ones(50), "x": x}
    y = 1.5 * rng.normal(size=10)[codes] + rng.normal(size=50)
    design = make_design(y, both, ("g", codes, both, True))
    state = solve_lmm(design)
    assert state.optimum.singular
    B_y, G_y = draw(of(state, True), np.arange(60), seed=1)
    found = refit(
        state.products, B_y, G_y, reml=True, theta=state.optimum.theta, hessian=state.optimum.hessian
    )
    gap = [
        found.deviance[s] - optimise(filled(state.products, B_y[s], G_y[s]), reml=True).value
        for s in range(60)
    ]
    assert np.abs(gap).max() < 1e-5


@pytest.mark.parametrize("related", [False, True])
@pytest.mark.parametrize("crossed", [True, False])
def test_refits_of_several_factors(crossed, related, make_design):
    """Outcomes drawn row by row, weights and offset minded, beside the engine on the same outcome."""
    rng = np.random.default_rng(5)
    outer = np.repeat(np.arange(6), 8)
    inner = rng.integers(0, 5, 48) if crossed else np.repeat(np.arange(24), 2)
    one, x = np.ones(48), rng.normal(size=48)
    both = {"(Intercept)": one, "x": x}
    y = x + rng.normal(size=6)[outer] + rng.normal(size=24)[inner] + 0.5 * rng.normal(size=48)
    terms = ("outer", outer, both, False), ("inner", inner, {"(Intercept)": one}, True)
    design = make_design(y, both, *terms, offset=np.linspace(0, 2, 48))
    design = replace(design, weights=np.linspace(0.5, 2, 48))
    if related:
        first, second = design.random
        design = replace(design, random=(replace(first, relation=0.5 + np.diag(np.arange(1.0, 7))), second))
    state = solve_lmm(design)
    sets = outcomes(design, state.solution, 6, seed=2)
    kwargs = {"theta": state.optimum.theta, "hessian": state.optimum.hessian}
    found = module._in_units(state.products, refit_crossed(design, state.products, sets, **kwargs))
    assert found.converged.all()
    for s, outcome in enumerate(sets):
        engine = solve_lmm(replace(design, y=outcome)).solution
        np.testing.assert_allclose(found.beta[s], engine.beta, atol=1e-3 * engine.sigma)
        np.testing.assert_allclose(found.Sigma[s], engine.Sigma, atol=2e-3 * np.trace(engine.Sigma))
        assert found.sigma[s] == pytest.approx(engine.sigma, rel=1e-3)


def test_known_sampling_errors_stay_known(make_design):
    """Eight summaries with standard errors: no residual SD is estimated, in the fit or in a refit."""
    effects = np.array([28, 8, -3, 7, -1, 1, 18, 12.0])
    errors = np.array([15, 10, 16, 11, 9, 11, 10, 18.0])
    one = np.ones(8)
    design = make_design(effects, {"(Intercept)": one}, ("school", np.arange(8), {"(Intercept)": one}, True))
    design = replace(design, sampling_error=errors)
    draws = replicate(design, solve_lmm(design), 1, 0, 200)
    np.testing.assert_allclose(draws.sigma, 1.0, rtol=1e-9)
    # tau is estimated as 0: the mean of a set is N(mu, 1 / sum(1 / s^2)) or a little wider
    assert draws.beta.std() == pytest.approx(np.sqrt(1 / np.sum(errors**-2.0)), rel=0.25)


def test_parts_fold_into_the_whole(sleepstudy):
    """Rule 24: on a cluster or at once, in whatever batches."""
    design = sleepstudy()
    state = solve_lmm(design)
    whole = replicate(design, state, 7, 0, 60)
    parts = fold([replicate(design, state, 7, first, first + 20) for first in (0, 20, 40)])
    for name in ("beta", "Sigma", "sigma", "converged"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-9, atol=1e-12)
    assert summarise(design, state, parts, 7).record["refits"] == 60


def test_batches_do_not_matter(sleepstudy, monkeypatch):
    design = sleepstudy()
    state = solve_lmm(design)
    whole = bootstrap(design, state, 50, seed=3)
    monkeypatch.setattr(module, "NUMBERS_AT_ONCE", 500)
    small = bootstrap(design, state, 50, seed=3)
    for one, other in zip(whole.quantities, small.quantities, strict=True):
        assert one.lower == pytest.approx(other.lower, rel=1e-7, abs=1e-9)


def test_failures_are_counted_and_left_out(sleepstudy, monkeypatch):
    design = sleepstudy()
    state = solve_lmm(design)
    draws = replicate(design, state, 1, 0, 40)
    broken = replace(
        draws, converged=np.arange(40) >= 5, beta=np.where(np.arange(40)[:, None] < 5, 1e6, draws.beta)
    )
    found = summarise(design, state, broken, 1)
    assert found.failures == 5
    assert found.quantities[0].refits == 35
    assert abs(found.quantities[0].bias) < 10


def test_an_anova_by_hand(make_design):
    """Balanced one-way REML: sigma^2 df / sigma_hat^2 is chi-squared, so the interval has a closed form."""
    rng = np.random.default_rng(8)
    codes = np.repeat(np.arange(12), 5)
    y = 2 * rng.normal(size=12)[codes] + rng.normal(size=60)
    one = np.ones(60)
    design = make_design(y, {"(Intercept)": one}, ("g", codes, {"(Intercept)": one}, True))
    state = solve_lmm(design)
    found = {
        row.term: row for row in bootstrap(design, state, 20_000, seed=1).quantities if row.component != "sd"
    }
    sigma, mean = found["sigma"], found["(Intercept)"]
    expected = state.solution.sigma * np.sqrt(stats.chi2.ppf([0.025, 0.975], 48) / 48)
    np.testing.assert_allclose([sigma.lower, sigma.upper], expected, rtol=5e-3)
    assert sigma.basic_lower == pytest.approx(2 * sigma.estimate - sigma.upper)
    assert mean.se == pytest.approx(np.sqrt(state.solution.cov_beta[0, 0]), rel=0.02)
    assert abs(mean.bias) < 4 * mean.se / np.sqrt(20_000)


def test_ends_stay_where_the_quantity_can_lie(radon):
    """Rule 6: a percentile or basic interval of an SD does not reach below 0, of a correlation beyond 1."""
    design = radon()
    found = bootstrap(design, solve_lmm(design), 300, seed=2)
    json.dumps(found.record)
    for row in found.quantities:
        low, high = {"sd": (0, np.inf), "cor": (-1, 1), "derived": (0, np.inf)}.get(
            row.component, (-np.inf, np.inf)
        )
        for end in (row.lower, row.upper, row.basic_lower, row.basic_upper):
            assert low <= end <= high, row
    assert {"icc", "variance_share"} <= {row.term for row in found.quantities}


def test_thousands_of_refits_a_minute(sleepstudy, radon):
    """10,000 refits a minute at least, warm, on one core (measured: 700,000 and 80,000)."""
    for design in (sleepstudy(), radon()):
        state = solve_lmm(design)
        bootstrap(design, state, 2, seed=1)
        began = process_time()
        bootstrap(design, state, 1_000, seed=1)
        assert 60_000 / (process_time() - began) > 10_000


@pytest.fixture
def crossed(make_design):
    rng = np.random.default_rng(6)
    a, b = rng.integers(0, 8, 90), rng.integers(0, 6, 90)
    one = np.ones(90)
    y = rng.normal(size=8)[a] + rng.normal(size=6)[b] + rng.normal(size=90)
    terms = (("a", a, {"(Intercept)": one}, True), ("b", b, {"(Intercept)": one}, True))
    return make_design(y, {"(Intercept)": one}, *terms)


def test_a_fit_of_crossed_factors_has_its_bootstrap(crossed):
    """Every row of the table, with intervals; the same whatever else is fitted."""
    fit = fit_lmm(crossed, bootstrap=60, seed=4)
    record = fit.record["bootstrap"]
    assert record["refits"] + record["failures"] == 60
    assert not [warning for warning in fit.warnings if "bootstrap" in warning]
    found = {(row["component"], row["group"], row["term"]): row for row in record["quantities"]}
    for row in fit.estimates:
        if row.component in ("fixed", "sd", "residual") or row.term in ("icc", "variance_share"):
            drawn = found[row.component, row.group, row.term]
            assert drawn["estimate"] == pytest.approx(row.estimate, abs=1e-8)
            assert drawn["lower"] < drawn["upper"]
    assert fit_lmm(crossed, bootstrap=60, seed=4).record["bootstrap"]["quantities"] == record["quantities"]


def test_a_bootstrap_that_takes_hours_is_not_drawn(crossed, monkeypatch):
    monkeypatch.setattr(module, "PER_SECOND", 10.0)
    fit = fit_lmm(crossed, bootstrap=10_000)
    assert "bootstrap" not in fit.record
    (sentence,) = (warning for warning in fit.warnings if "bootstrap" in warning)
    assert "10,000 refits of 90 rows in 8 x 6 groups" in sentence
    assert "hours" in sentence


def test_refits_that_fail_are_given_to_the_engine(crossed, monkeypatch):
    state = solve_lmm(crossed)
    plain = replicate(crossed, state, 2, 0, 5)
    monkeypatch.setattr(crossed_module, "SLOPE", 0.0)
    monkeypatch.setattr(crossed_module, "TOO_FAR", -np.inf)  # nothing counts as an end
    searched = replicate(crossed, state, 2, 0, 5)
    assert searched.converged.all()
    np.testing.assert_allclose(searched.Sigma, plain.Sigma, atol=1e-3)
