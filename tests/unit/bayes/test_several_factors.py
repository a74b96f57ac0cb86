"""An ordinal outcome by two crossed factors: tables, layout and new groups; one posterior for all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm

from nestwise.bayes.engine import fit_pymc
from nestwise.bayes.generalised import prepare_generalised
from nestwise.bayes.layout import effects_of_factors
from nestwise.bayes.new_groups import group_log_densities, leave_one_new_group_out
from nestwise.bayes.units import Draws
from nestwise.config.study import Prior
from nestwise.errors import Refusal
from nestwise.fit.glmm import fit_glmm
from nestwise.results import Status, estimates_frame

CUTS = np.array([-1.0, 0.5, 2.0])


@pytest.fixture(scope="module")
def rated(make_design):
    """Twelve raters and ten things, each rated twice by each, on a scale of four."""
    rng = np.random.default_rng(3)
    rater, thing = (each.ravel() for each in np.meshgrid(np.arange(12), np.arange(10)))
    rater, thing = np.tile(rater, 2), np.tile(thing, 2)
    x = rng.normal(size=rater.size)
    eta = 0.8 * x + rng.normal(size=12)[rater] + 0.7 * rng.normal(size=10)[thing]
    y = np.searchsorted(CUTS, eta + rng.logistic(size=eta.size)).astype(float)
    one = {"(Intercept)": np.ones(x.size)}
    groups = (("rater", rater, one, True), ("thing", thing, one, True))
    design = make_design(y, one | {"x": x}, *groups, family="ordinal")
    return replace(design, link="logit", term_of=("(Intercept)", "x"), categories=("a", "b", "c", "d"))


@pytest.fixture(scope="module")
def fit(rated):
    return fit_pymc(rated, priors={}, seed=5, draws=300, tune=300)


def test_the_rows_of_glmm_with_nearly_its_numbers(rated, fit):
    assert fit.status is Status.OK
    likelihood = fit_glmm(rated)
    # shares that only `glmm` has, as points without an interval
    kept = [
        row
        for row in likelihood.estimates
        if row.term not in ("icc_observed", "r2_marginal", "r2_conditional")
    ]
    likelihood = replace(likelihood, estimates=tuple(kept))
    names = ["component", "group", "term", "scale"]
    ours, theirs = estimates_frame(fit), estimates_frame(likelihood)
    assert ours.select(names).equals(theirs.select(names))
    assert ours["term"][:4].to_list() == ["a|b", "b|c", "c|d", "x"]
    for row, other in zip(fit.estimates, likelihood.estimates, strict=True):
        if row.component == "fixed":
            # medians of some hundred draws, of posteriors that are a little skewed
            assert abs(row.estimate - other.estimate) < 0.35 * row.std_error, row.term
            assert row.std_error == pytest.approx(other.std_error, rel=0.3)
    assert np.all(np.diff(fit.draws.select("fixed|a|b", "fixed|b|c", "fixed|c|d").to_numpy()) > 0)


def test_groups_of_both_factors_and_expected_places(rated, fit):
    likelihood = fit_glmm(rated)
    assert fit.groups["group"].unique(maintain_order=True).to_list() == ["rater", "thing"]
    both = fit.groups.join(likelihood.groups, on=["group", "label", "term"], suffix="_ml")
    assert both.height == 22
    moved = (both["random_effect"] - both["random_effect_ml"]).abs() / both["random_effect_se"]
    assert moved.max() < 0.6
    assert (fit.predictions["fitted"] - likelihood.predictions["fitted"]).abs().max() < 0.15
    assert fit.predictions["observed"].is_between(0, 3).all()


def test_record_names_forms_thresholds_and_what_cannot_be_left_out(fit):
    forms = fit.record["sampler"]["random_effects"]
    assert [(row["group"], row["term"]) for row in forms] == [
        ("rater", "(Intercept)"),
        ("thing", "(Intercept)"),
    ]
    assert [row["term"] for row in fit.record["priors"]][-1] == "thresholds"
    assert fit.record["loo_group"] is None
    assert fit.record["loo"]["unit"] == "a new row of a known group"
    expected = fit.record["prior_predictive"]["expected"]
    assert expected[0] == 0
    assert expected[-1] == 3


def test_priors_of_thresholds(rated):
    assert prepare_generalised(rated, {}).priors[-1].component == "threshold"
    given = {"thresholds": Prior(distribution="normal", location=1, scale=3)}
    row = prepare_generalised(rated, given).priors[-1]
    assert (row.distribution, row.location, row.scale, row.source) == ("normal", 1, 3, "declared")
    with pytest.raises(Refusal, match="does not fit"):
        prepare_generalised(rated, {"thresholds": Prior(distribution="exponential", scale=1)})
    with pytest.raises(Refusal, match="no parameter \\(Intercept\\)"):
        prepare_generalised(rated, {"(Intercept)": Prior(distribution="normal", scale=1)})


def test_centred_effects_are_sampled_around_the_line_of_their_group(make_design):
    """What stands in u, brought home, is the deviation from that line; the lines are least squares."""
    rng = np.random.default_rng(1)
    J, m = 6, 60
    g = np.repeat(np.arange(J), m)
    between, x = rng.normal(size=J)[g], rng.normal(size=J * m)
    one = np.ones(g.size)
    y = rng.poisson(np.exp(1 + 0.3 * x)).astype(float)
    columns = {"(Intercept)": one, "x": x, "w": between}
    design = replace(
        make_design(y, columns, ("g", g, {"(Intercept)": one, "x": x}, True), family="poisson"), link="log"
    )
    sampled = prepare_generalised(design, {})
    layout, units = sampled.layout, sampled.units
    assert layout.centred.tolist() == [1, 1]
    X, Z = (design.X - units.X_center) / units.X_scale, design.Z / units.Z_scale
    own = g == 4
    weights = np.ones(own.sum())  # the information of rows with one mean is the same
    slopes = np.linalg.lstsq(Z[own] * weights[:, None], X[own] * weights[:, None], rcond=None)[0]
    assert layout.lines[8:10] == pytest.approx(slopes, abs=1e-10)
    beta, b = rng.normal(size=(1, 3)), rng.normal(size=(1, 2 * J))
    sd, correlation = np.ones((1, 2)), np.eye(2)[None]
    draws = Draws(beta, sd, correlation, np.ones(1), u=b + beta @ layout.lines.T)
    (home,) = effects_of_factors(draws, layout, design, units)
    assert home[0] * units.Z_scale / units.y_scale == pytest.approx(b.reshape(J, 2), abs=1e-12)


def test_densities_of_new_groups_are_integrals_over_the_random_effect(make_design):
    rng = np.random.default_rng(2)
    g, x = np.repeat(np.arange(8), 5), rng.normal(size=40)
    y = (rng.random(40) < expit(x + rng.normal(size=8)[g])).astype(float)
    one = np.ones(40)
    made = make_design(
        y, {"(Intercept)": one, "x": x}, ("g", g, {"(Intercept)": one}, True), family="binomial"
    )
    design = replace(made, link="logit")
    S = 5
    beta, sd = rng.normal(size=(S, 2)), np.exp(rng.normal(size=(S, 1)))
    home = Draws(beta, sd, np.ones((S, 1, 1)), np.ones(S))
    found = group_log_densities(design, home)
    assert found is not None
    chosen, values = found
    assert chosen == list(range(S))
    u = np.linspace(-9, 9, 4001)
    for s in range(S):
        p = expit((beta[s, 0] + beta[s, 1] * x)[:, None] + sd[s, 0] * u)
        rows = np.where(y[:, None] == 1, np.log(p), np.log1p(-p))
        for j in range(8):
            integral = (np.exp(rows[g == j].sum(axis=0)) * norm.pdf(u)).sum() * (u[1] - u[0])
            # points are raised until no group moves by 1e-4 at the draw in the middle
            assert values[s, j] == pytest.approx(np.log(integral), abs=2e-3)
    # with equal draws nothing is learned from a group, and leaving it out changes nothing
    same = np.repeat(values[:1], 50, axis=0)
    left = leave_one_new_group_out(design, same)
    assert left["elpd"] == pytest.approx(values[0].sum())
    assert left["p"] == pytest.approx(0, abs=1e-9)


def test_a_posterior_is_a_table_of_its_own(fit):
    columns = fit.draws.columns
    assert columns[:2] == ["chain", "draw"]
    assert "sd|thing|(Intercept)" in columns
    assert not any("fixed|(Intercept)" in name for name in columns)
    assert fit.draws.height >= 1200
