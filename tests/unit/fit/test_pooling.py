"""No, complete and partial pooling: closed forms, regressions per group, what cannot be estimated."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from nestwise.fit.lmm import fit_lmm
from nestwise.fit.pooled import fit_pooled
from nestwise.fit.pooling import fixed_lines, pooling_factors
from nestwise.fit.state import solve_lmm
from nestwise.fit.unpooled import fit_unpooled
from nestwise.results import conform, groups_frame
from nestwise.vocabulary import GROUPS


def rows(fit):
    return {(row.component, row.term): row for row in fit.estimates}


def test_gelman_and_hill(radon):
    """Gelman & Hill (2007) ch. 12: no pooling -0.72, complete 1.33 - 0.61 x, lmer's county 1: 1.19."""
    design = radon(("basement",), slopes=False)
    pooled, unpooled, partial = fit_pooled(design), fit_unpooled(design), fit_lmm(design)
    assert rows(pooled)["fixed", "(Intercept)"].estimate == pytest.approx(1.3267, abs=1e-4)
    assert rows(pooled)["fixed", "basement"].estimate == pytest.approx(-0.6134, abs=1e-4)
    assert rows(unpooled)["fixed", "basement"].estimate == pytest.approx(-0.7205, abs=1e-4)
    assert rows(unpooled)["residual", "sigma"].estimate == pytest.approx(0.7564, abs=1e-4)
    assert "(Intercept)" not in {row.term for row in unpooled.estimates}
    first = partial.groups.head(1)
    assert first["no_pooling"][0] == pytest.approx(0.8405, abs=1e-4)
    assert first["partial_pooling"][0] == pytest.approx(1.1915, abs=1e-4)
    assert first["complete_pooling"][0] == pytest.approx(1.3267, abs=1e-4)
    assert unpooled.groups["no_pooling"].to_list() == partial.groups["no_pooling"].to_list()


def test_factor_of_intercepts_is_the_closed_form(radon):
    fit = fit_lmm(radon(("basement",), slopes=False))
    found = rows(fit)
    ratio = found["residual", "sigma"].estimate ** 2 / found["sd", "(Intercept)"].estimate ** 2
    n = fit.groups["n"].to_numpy()
    np.testing.assert_allclose(fit.groups["pooling_factor"], n / (n + ratio), rtol=1e-10)


def test_partial_is_the_weighted_mean_without_predictors(radon):
    """estimate_j = w_j ybar_j + (1 - w_j) mu."""
    fit = fit_lmm(radon((), slopes=False))
    mu = rows(fit)["fixed", "(Intercept)"].estimate
    w, own = fit.groups["pooling_factor"].to_numpy(), fit.groups["no_pooling"].to_numpy()
    np.testing.assert_allclose(fit.groups["partial_pooling"], w * own + (1 - w) * mu, rtol=1e-8)


def test_factors_of_slopes_are_the_matrix_form(simulate):
    """(W_j T)_rr / T_rr with W_j = T (T + sigma^2 (Z'Z)^-1)^-1, written out where Z'Z can be inverted."""
    design = simulate(seed=3)
    state = solve_lmm(design)
    T, sigma = state.solution.Sigma, state.solution.sigma
    ours = pooling_factors(state.products, T, sigma)
    assert ((ours >= 0) & (ours <= 1)).all()
    for j in range(25):
        Z = design.random[0].Z[design.random[0].codes == j]
        W = T @ np.linalg.inv(T + sigma**2 * np.linalg.inv(Z.T @ Z))
        np.testing.assert_allclose(ours[j], np.diag(W @ T) / np.diag(T), rtol=1e-6)


def test_factors_of_a_lost_variance_are_zero(simulate):
    state = solve_lmm(simulate(seed=3))
    ours = pooling_factors(state.products, np.diag([0.5, 0.0]), 1.0)
    assert (ours[:, 1] == 0).all()
    n = state.products.counts
    np.testing.assert_allclose(ours[:, 0], n / (n + 2), rtol=1e-10)


def test_no_pooling_of_slopes_is_one_joint_regression(simulate, make_design):
    """Brute force: every group its intercept and slope, a common coefficient for what varies inside."""
    base = simulate()
    codes, x = base.random[0].codes, base.X[:, 1]
    w = np.random.default_rng(7).normal(size=base.n)
    one = np.ones(base.n)
    design = make_design(
        base.y,
        {"(Intercept)": one, "x": x, "u": base.X[:, 2], "w": w},
        ("g", codes, {"(Intercept)": one, "x": x}, True),
    )
    fit = fit_unpooled(design)
    dummies = np.zeros((base.n, 50))
    dummies[np.arange(base.n), 2 * codes] = 1
    dummies[np.arange(base.n), 2 * codes + 1] = x
    W = np.column_stack([dummies, w])
    beta, _, rank, _ = np.linalg.lstsq(W, base.y)
    residual = base.y - W @ beta
    sigma2 = residual @ residual / (base.n - rank)
    cov = sigma2 * np.linalg.pinv(W.T @ W)
    assert rank == 51
    np.testing.assert_allclose(fit.groups["no_pooling"], beta[:50], rtol=1e-6)
    np.testing.assert_allclose(fit.groups["no_pooling_se"], np.sqrt(np.diag(cov))[:50], rtol=1e-6)
    fixed = [row for row in fit.estimates if row.component == "fixed"]
    assert [row.term for row in fixed] == ["w"]
    assert fixed[0].estimate == pytest.approx(beta[50], rel=1e-8)
    assert fixed[0].std_error == pytest.approx(np.sqrt(cov[50, 50]), rel=1e-8)
    assert fixed[0].df == base.n - 51
    np.testing.assert_allclose(fit.predictions["residual"], residual, atol=1e-8)
    assert fit.log_likelihood == pytest.approx(
        -base.n / 2 * (np.log(2 * np.pi * residual @ residual / base.n) + 1)
    )


def test_what_a_group_does_not_determine_is_null(radon):
    """25 counties have one kind of house only: no slope, and no intercept if all have basement 1."""
    design = radon()
    fit = fit_unpooled(design)
    basement = design.X[:, 1]
    codes = design.random[0].codes
    for j, label in enumerate(design.random[0].labels):
        values = set(basement[codes == j])
        own = dict(fit.groups.filter(label=label).select("term", "no_pooling").iter_rows())
        assert (own["basement"] is None) == (len(values) == 1)
        assert (own["(Intercept)"] is None) == (values == {1.0})
    assert "25 of 85 groups" in " ".join(fit.warnings)
    assert fit_lmm(design).groups["partial_pooling"].null_count() == 0


def test_group_level_predictor_moves_the_line(radon):
    """Complete pooling at gamma_0 + gamma_1 u_j: the county's uranium."""
    design = radon(("basement", "uranium"), slopes=False)
    fit = fit_lmm(design)
    beta = np.linalg.lstsq(design.X, design.y)[0]
    codes = design.random[0].codes
    u = np.array([design.X[codes == j][0, 2] for j in range(85)])
    np.testing.assert_allclose(fit.groups["complete_pooling"], beta[0] + beta[2] * u, rtol=1e-8)
    line = fit.groups["partial_pooling"] - fit.groups["random_effect"]
    gamma = [rows(fit)["fixed", name].estimate for name in ("(Intercept)", "uranium")]
    np.testing.assert_allclose(line, gamma[0] + gamma[1] * u, rtol=1e-8)
    X0 = np.array([1, 0, u[3]])
    rss = ((design.y - design.X @ beta) ** 2).sum() / (design.n - 3)
    assert fit.groups["complete_pooling_se"][3] == pytest.approx(
        np.sqrt(rss * X0 @ np.linalg.inv(design.X.T @ design.X) @ X0), rel=1e-8
    )


def test_lines_without_a_fixed_effect_are_null(make_design, simulate):
    """(x | g) without x among the fixed effects: there is no common slope to pool to."""
    base = simulate(seed=3)
    term = base.random[0]
    one, x = term.Z.T
    fit = fit_lmm(
        make_design(base.y, {"(Intercept)": one}, ("g", term.codes, {"(Intercept)": one, "x": x}, True))
    )
    slopes = fit.groups.filter(term="x")
    assert slopes["complete_pooling"].null_count() == 25
    assert slopes["partial_pooling"].to_list() == slopes["random_effect"].to_list()


def test_shape_and_vocabulary(simulate):
    fit = fit_lmm(simulate(slopes=True))
    table = groups_frame(fit)
    assert conform(table, GROUPS).equals(table)
    assert table.height == 50
    assert table["label"].to_list()[:4] == ["0", "0", "1", "1"]
    assert table["term"].to_list()[:2] == ["(Intercept)", "x"]
    inside = table.select(
        (pl.col("lower") < pl.col("partial_pooling")) & (pl.col("partial_pooling") < pl.col("upper"))
    )
    assert inside.to_series().all()
    assert fixed_lines(simulate()).shape == (25, 2, 3)


def test_small_groups_travel_farthest(make_design):
    rng = np.random.default_rng(12)
    sizes = np.array([2] * 20 + [40] * 20)
    codes = np.repeat(np.arange(40), sizes)
    y = rng.normal(size=40)[codes] + 2 * rng.normal(size=codes.size)
    one = {"(Intercept)": np.ones(codes.size)}
    groups = fit_lmm(make_design(y, one, ("g", codes, one, True))).groups
    small, large = groups.filter(n=2), groups.filter(n=40)
    assert small["pooling_factor"].max() < large["pooling_factor"].min()
    assert large["no_pooling_se"].max() < small["no_pooling_se"].min()
