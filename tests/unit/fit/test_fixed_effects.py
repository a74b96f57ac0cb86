"""Contrasts by every method: special cases, invariance, refusals. Peers are in tests/reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from nestwise.errors import Refusal
from nestwise.fit.between_within import between_within
from nestwise.fit.clusters import lmm_covariance
from nestwise.fit.fixed_effects import (
    METHOD_WORDS,
    FTest,
    fai_cornelius,
    fixed_effect_inference,
    marginal_inference,
)
from nestwise.fit.kenward_roger import scaled_f
from nestwise.fit.state import solve_lmm
from nestwise.fit.tests import NO_REFERENCE, term_tests


@pytest.fixture
def trial(make_design):
    """Three arms of four groups each (between), three visits (within), balanced."""
    rng = np.random.default_rng(5)
    group, visit = np.repeat(np.arange(12), 3), np.tile(np.arange(3), 12)
    arm = group % 3
    columns = {
        "(Intercept)": np.ones(36),
        "armb": arm == 1,
        "armc": arm == 2,
        "visit1": visit == 1,
        "visit2": visit == 2,
    }
    y = 2 * rng.normal(size=12)[group] + rng.normal(size=36)
    design = make_design(y, columns, ("g", group, {"(Intercept)": np.ones(36)}, True))
    return replace(design, term_of=("(Intercept)", "arm", "arm", "visit", "visit"))


@pytest.mark.parametrize("method", METHOD_WORDS)
def test_a_balanced_trial_is_the_analysis_of_variance(trial, method):
    """Between: mean squares of group means on 9 df; within: of deviations on 22 df; all methods exactly."""
    state = solve_lmm(trial)
    arm, visit = term_tests(trial.term_of, fixed_effect_inference(trial, state, method))
    y, group = trial.y, trial.random[0].codes
    means = np.bincount(group, y) / 3
    between = stats.f_oneway(*(means[np.arange(12) % 3 == a] for a in range(3)))
    inside = (y - means[group]).reshape(12, 3)
    effect = inside.mean(axis=0)
    ms = ((inside - effect) ** 2).sum() / 22
    within = 12 * (effect**2).sum() / 2 / ms
    assert arm.statistic == pytest.approx(between.statistic, rel=1e-5)
    assert visit.statistic == pytest.approx(within, rel=1e-5)
    assert (arm.term, visit.term, arm.df_num, visit.df_num) == ("arm", "visit", 2, 2)
    if method == "normal":
        assert (arm.df_den, visit.df_den) == (None, None)
        assert arm.p_value == pytest.approx(stats.chi2.sf(2 * between.statistic, 2), rel=1e-4)
        assert arm.reference == "chi2(2) / 2"
    else:
        assert arm.df_den == pytest.approx(9, rel=1e-5)
        assert visit.df_den == pytest.approx(22, rel=1e-5)
        assert arm.p_value == pytest.approx(between.pvalue, rel=1e-4)
        assert arm.reference == f"F, {METHOD_WORDS[method]}"


@pytest.mark.parametrize("method", METHOD_WORDS)
def test_one_row_is_the_t_test_squared(sleepstudy, method):
    design = sleepstudy("independent")
    inference = fixed_effect_inference(design, solve_lmm(design), method)
    L = np.array([[0.3, 2.0]])
    found = inference.F(L)
    t = float(L[0] @ inference.beta / np.sqrt(L[0] @ inference.cov_beta @ L[0]))
    assert found.statistic == pytest.approx(t**2)
    assert found.df_den == pytest.approx(inference.t(L)[0])


@pytest.mark.parametrize("method", METHOD_WORDS)
def test_the_same_hypothesis_in_other_contrasts(radon, method):
    """Other rows with the same span, and rows that follow from others, test the same."""
    design = radon()
    design = replace(design, random=design.random, X=design.X)
    inference = fixed_effect_inference(design, solve_lmm(design), method)
    L = np.eye(3)[1:]
    other = np.array([[2.0, 1.0], [1e3, -1e3], [1.0, 1.0]]) @ L
    assert inference.F(other) == pytest.approx(inference.F(L), rel=1e-6)


@pytest.mark.parametrize("method", ["satterthwaite", "kenward_roger"])
def test_units_and_origins_change_nothing(sleepstudy, method):
    """Outcome in thousands, days counted from 2015: the same df and slope's test."""
    design = sleepstudy("slopes")
    X = design.X @ np.array([[1.0, 2015.0], [0.0, 1.0]])
    term = replace(design.random[0], Z=X)
    moved = replace(design, y=design.y * 1e3, X=X, random=(term,))
    L = np.array([[0.0, 1.0]])
    ours, theirs = (fixed_effect_inference(d, solve_lmm(d), method) for d in (design, moved))
    assert theirs.t(L)[0] == pytest.approx(ours.t(L)[0], rel=1e-4)
    assert theirs.F(L).statistic == pytest.approx(ours.F(L).statistic, rel=1e-5)


@pytest.mark.parametrize("reml", [True, False])
def test_satterthwaite_by_rows_and_by_groups(unbalanced_slopes, reml):
    """Inside the parameter space it does not matter which parameters the likelihood is written in."""
    design = replace(unbalanced_slopes, reml=reml)
    state = solve_lmm(design)
    assert not state.optimum.singular
    solution = state.solution
    marginal = lmm_covariance(design, solution.Sigma, solution.sigma)
    by_rows = marginal_inference(design, solution.beta, solution.cov_beta, marginal, "satterthwaite")
    by_groups = fixed_effect_inference(design, state, "satterthwaite")
    np.testing.assert_allclose(by_rows.t(np.eye(2)), by_groups.t(np.eye(2)), rtol=1e-4)
    np.testing.assert_allclose(by_rows.cov_model, by_groups.cov_model, rtol=1e-6)


@pytest.fixture
def unbalanced_slopes(make_design):
    rng = np.random.default_rng(7)
    codes = np.repeat(np.arange(9), rng.integers(4, 12, size=9))
    n = codes.size
    x, one = rng.normal(size=n), np.ones(n)
    b = rng.normal(size=(9, 2)) @ np.array([[1.5, 0.5], [0.0, 1.0]])
    y = b[codes, 0] + (1 + b[codes, 1]) * x + rng.normal(size=n)
    both = {"(Intercept)": one, "x": x}
    return make_design(y, both, ("g", codes, both, True))


def test_the_adjustment_widens_and_the_linear_one_is_the_same_where_v_is_linear(unbalanced_slopes):
    state = solve_lmm(unbalanced_slopes)
    full = fixed_effect_inference(unbalanced_slopes, state, "kenward_roger")
    linear = fixed_effect_inference(unbalanced_slopes, state, "kenward_roger_linear")
    np.testing.assert_allclose(full.cov_beta, linear.cov_beta)
    assert (full.std_error > fixed_effect_inference(unbalanced_slopes, state, "normal").std_error).all()
    np.testing.assert_allclose(full.cov_model, state.solution.cov_beta, rtol=1e-6)


def test_kenward_and_rogers_moments_of_one_contrast():
    """Section 3 of the paper: for one contrast lambda is 1 and the df are Satterthwaite's, 2 v^2 / g'Wg."""
    Phi, W = np.array([[2.0, 0.3], [0.3, 1.0]]), np.array([[0.2, 0.05], [0.05, 0.1]])
    gradient = np.array([[[1.0, 0.1], [0.1, 0.5]], [[0.2, 0.0], [0.0, 0.3]]])
    c = np.array([1.0, -1.0])
    scale, df = scaled_f(c[None, :], Phi, gradient, W)
    g = np.einsum("a,rab,b->r", c, gradient, c)
    assert scale == pytest.approx(1)
    assert df == pytest.approx(2 * (c @ Phi @ c) ** 2 / (g @ W @ g))
    assert scaled_f(c[None, :], Phi, gradient * 0, W) == (1.0, np.inf)


def test_fai_and_cornelius():
    assert fai_cornelius(np.array([7.3])) == 7.3
    assert fai_cornelius(np.array([12.0, 12.0])) == 12
    assert fai_cornelius(np.array([1.9, 40.0])) == 2
    expected = 10 / 8 + 20 / 18
    assert fai_cornelius(np.array([10.0, 20.0])) == pytest.approx(2 * expected / (expected - 2))
    assert fai_cornelius(np.array([10.0, np.inf])) == pytest.approx(2 * 2.25 / 0.25)


def test_no_reference_distribution_is_said(trial):
    inference = fixed_effect_inference(trial, solve_lmm(trial), "normal")
    assert FTest(1.0, 2, 0.0).p_value is None
    (row,) = term_tests(("a", "a"), _Degenerate())
    assert (row.statistic, row.p_value, row.df_num, row.df_den) == (None, None, 2, None)
    assert row.reference == NO_REFERENCE
    with pytest.raises(Refusal, match="tests nothing"):
        inference.F(np.zeros((1, 5)))


class _Degenerate:
    method = "kenward_roger"

    def F(self, L):  # noqa: N802
        return FTest(0.0, L.shape[0], 0.0)


def test_maximum_likelihood_is_refused_by_kenward_and_roger(sleepstudy):
    design = sleepstudy("slopes", reml=False)
    state = solve_lmm(design)
    for method in ("kenward_roger", "kenward_roger_linear"):
        with pytest.raises(Refusal, match=r"made for REML.*`reml: true`"):
            fixed_effect_inference(design, state, method)


def test_counted_by_levels(make_design):
    """m_i - m_(i-1) - p_i: 4 schools, 10 classes, 30 rows; one column for each level."""
    rng = np.random.default_rng(2)
    school = np.repeat(np.arange(4), [6, 9, 6, 9])
    class_ = np.repeat(np.arange(10), 3)
    columns = {
        "(Intercept)": np.ones(30),
        "school": rng.normal(size=4)[school],
        "class": rng.normal(size=10)[class_],
        "row": rng.normal(size=30),
        "row2": rng.normal(size=30),
    }
    one = {"(Intercept)": np.ones(30)}
    terms = ("school:class", class_, one, True), ("school", school, one, True)
    design = make_design(rng.normal(size=30), columns, *terms)
    assert between_within(design).tolist() == [2, 2, 5, 18, 18]
    without = {name: column for name, column in columns.items() if name != "(Intercept)"}
    assert between_within(make_design(design.y, without, *terms)).tolist() == [3, 5, 18, 18]
    inference = marginal_inference(design, np.ones(5), np.eye(5), None, "between_within")
    L = np.array([[0, 1.0, 0, 1, 0], [0, 0, 1, 1, 0], [0, 0, 0, 1, -1]])
    assert inference.t(L).tolist() == [2, 5, 18]
    assert inference.F(L).df_den == 2
    crossed = make_design(design.y, columns, ("a", np.arange(30) % 3, one, True), terms[1])
    with pytest.raises(Refusal, match=r"crossed.*kenward_roger"):
        between_within(crossed)
    few = columns | {f"c{k}": rng.normal(size=4)[school] for k in range(2)}
    with pytest.raises(Refusal, match="run out"):
        between_within(make_design(design.y, few, *terms))
