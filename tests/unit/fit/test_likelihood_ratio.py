"""Likelihood-ratio tests by simulation: level, power, folding, refusals, and beside exact ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nestwise.errors import Refusal
from nestwise.fit.likelihood_ratio import bootstrap_test, fold_test, null_statistics, observed_statistic
from nestwise.fit.state import solve_lmm


def one_way(make_design, tau, seed, reml=True):
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(8), 5)
    y = 3 + tau * rng.normal(size=8)[codes] + rng.normal(size=40)
    one = {"(Intercept)": np.ones(40)}
    large = make_design(y, one, ("g", codes, one, True), reml=reml)
    return replace(large, random=()), large


@pytest.mark.parametrize("reml", [True, False])
def test_half_of_the_null_is_zero_as_the_f_test_has_it(make_design, reml):
    """Rule 6. Balanced one-way: the statistic grows with F, so P(T >= T_0) is the F test's p value."""
    from scipy import stats

    small, large = one_way(make_design, 0.6, seed=3, reml=reml)
    state = solve_lmm(large)
    found = bootstrap_test(small, None, large, state, 4_000, seed=1)
    y = large.y.reshape(8, 5)
    F = 5 * y.mean(axis=1).var(ddof=1) / y.var(axis=1, ddof=1).mean()
    exact = stats.f.sf(F, 7, 32)
    assert found.statistic > 0
    assert found.p_value == pytest.approx(exact, abs=5 * np.sqrt(exact * (1 - exact) / 4_000) + 1 / 4_000)
    # the statistic is 0 when F lies below the point where the variance is estimated as 0
    limit = 1.0 if reml else 8 / 7
    at_zero = (found.null < 1e-6).mean()
    assert at_zero == pytest.approx(stats.f.cdf(limit, 7, 32), abs=5 * np.sqrt(0.25 / 4_000))
    assert found.failures == 0


def test_slopes_beside_their_absence(sleepstudy):
    """Two parameters at once; a strong effect is found and 1 / (1 + sets) is the smallest p value."""
    small, large = sleepstudy("intercepts"), sleepstudy()
    found = bootstrap_test(small, solve_lmm(small), large, solve_lmm(large), 199, seed=1)
    assert found.p_value == pytest.approx(1 / 200)
    # the mixture of chi-squares with 1 and 2 degrees of freedom: 95% point 5.14
    assert 4.0 < np.quantile(found.null, 0.95) < 6.5
    # the larger model's search never ends above the smaller one's optimum
    assert found.null.min() >= 0


def test_a_model_is_no_better_than_itself(sleepstudy):
    small, large = sleepstudy("independent"), sleepstudy("independent")
    found = bootstrap_test(small, solve_lmm(small), large, solve_lmm(large), 50, seed=1)
    assert found.statistic == pytest.approx(0, abs=1e-8)
    assert found.p_value == 1
    assert found.null.max() < 1e-5


def test_parts_fold_into_the_whole(make_design):
    small, large = one_way(make_design, 0.6, seed=3)
    state = solve_lmm(large)
    whole = bootstrap_test(small, None, large, state, 60, seed=2)
    parts = [null_statistics(small, None, large, state, 2, first, first + 20) for first in (0, 20, 40)]
    folded = fold_test(observed_statistic(small, None, state), parts)
    np.testing.assert_allclose(folded.null, whole.null, atol=1e-7)
    assert folded.p_value == whole.p_value


def test_failed_refits_are_left_out():
    null, fine = np.array([0.0, 5.0, 1.0]), np.array([True, False, True])
    found = fold_test(0.5, [(null, fine)])
    assert found.failures == 1
    assert found.p_value == pytest.approx(2 / 3)


def test_models_that_cannot_be_compared(make_design):
    """Rules 2 and 3: other rows, criteria, or fixed parts under REML are refused."""
    small, large = one_way(make_design, 0.6, seed=3)
    state = solve_lmm(large)
    cases = {
        "rows": replace(small, y=small.y + 1),
        "criterion": replace(small, reml=False),
        "fixed parts": replace(small, X=np.column_stack([small.X, np.arange(40.0)])),
    }
    for word, other in cases.items():
        with pytest.raises(Refusal, match=word):
            bootstrap_test(other, None, large, state, 5, seed=1)
