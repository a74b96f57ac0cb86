"""Rubin's rules on arrays: limits, scales, refusals. Numbers of R are in tests/reference/test_pooling.py."""

import numpy as np
import pytest

from nestwise.errors import Refusal
from nestwise.imputation.joint_tests import likelihood_ratio_test, stacked_test, wald_test
from nestwise.imputation.pooled_scales import back, forward, on_scale, pooling_scale, slope
from nestwise.imputation.rubin import imputations_needed, rubin


def pooled(Q, U, df=np.inf):
    return rubin(np.array(Q, float)[:, None], np.array(U, float)[:, None], df)


def test_without_variation_between_imputations_the_complete_data_decide():
    """Rule 20: nothing is divided by the variance between imputations."""
    found = pooled([2, 2, 2], [1, 1, 1], 30.0)
    assert found.df[0] == pytest.approx(30 * 31 / 33)
    assert found.share[0] == found.riv[0] == found.monte_carlo_error[0] == 0
    assert np.isinf(pooled([2, 2, 2], [1, 1, 1]).df[0])


@pytest.mark.parametrize("spread", [1e-3, 1e-6, 1e-9, 1e-12])
def test_degrees_of_freedom_settle_as_the_variation_vanishes(spread):
    found = pooled([2 - spread, 2, 2 + spread], [1, 1, 1], 30.0)
    assert found.df[0] == pytest.approx(30 * 31 / 33, rel=1e-4)
    assert np.isfinite(found.fmi[0])


def test_degrees_of_freedom_that_differ_count_by_their_harmonic_mean():
    each = rubin(np.array([[1.0], [2.0]]), np.ones((2, 1)), np.array([[10.0], [40.0]]))
    assert each.df[0] == pytest.approx(pooled([1, 2], [1, 1], 16.0).df[0])


@pytest.mark.parametrize("m", [0, 1])
def test_one_imputation_is_refused_with_a_sentence(m):
    with pytest.raises(Refusal, match="use 2 imputations at the very least"):
        rubin(np.ones((m, 2)), np.ones((m, 2)))


@pytest.mark.parametrize(("Q", "U"), [([1, np.nan], [1, 1]), ([1, 2], [1, np.inf]), ([1, 2], [1, 0])])
def test_what_is_no_number_is_refused(Q, U):
    with pytest.raises(Refusal, match="is no number"):
        pooled(Q, U)


def test_imputations_needed_grow_with_the_square_of_what_is_missing():
    few, many = imputations_needed(0.1, 10**12), imputations_needed(0.4, 10**12)
    assert (few, many) == (4, 34)  # 1 + 2, 1 + 32, and a whole number above the limit
    # (1 + (g / cv)^2 / 2) with g the upper limit of logit(0.3) +- 1.96 sqrt(2 / 20)
    assert imputations_needed(0.3, 20) == 41
    assert imputations_needed(0.0, 20) == 2


def test_so_many_imputations_make_standard_errors_come_out_again():
    """The coefficient of variation that von Hippel's rule promises, over simulated sets of imputations."""
    rng = np.random.default_rng(1)
    fmi = 0.3
    m = imputations_needed(fmi, 10**9)
    within, between = 1 - fmi, fmi
    B = between * rng.chisquare(m - 1, 20_000) / (m - 1)
    errors = np.sqrt(within + (1 + 1 / m) * B)
    assert errors.std() / errors.mean() == pytest.approx(0.05, rel=0.15)


def test_a_joint_test_of_one_parameter_is_the_square_of_its_t_test():
    Q, U = np.array([1.0, 1.4, 0.9, 1.2, 1.1, 0.7]), np.array([0.2, 0.25, 0.22, 0.2, 0.21, 0.19])
    one, many = pooled(Q, U), wald_test(Q[:, None], U[:, None, None])
    assert many.statistic == pytest.approx((one.estimate[0] / one.std_error[0]) ** 2)
    assert many.riv == pytest.approx(one.riv[0])


def test_a_joint_test_does_not_depend_on_the_coding():
    rng = np.random.default_rng(2)
    Q, V = rng.normal(size=(8, 3)) + 2, np.array([np.eye(3) + 0.3 + 0.1 * i for i in range(8)])
    T = np.array([[1, 1, 0], [0, 2, 0], [1, 0, -3.0]])
    one, other = wald_test(Q, V, 40.0), wald_test(Q @ T.T, T @ V @ T.T, 40.0)
    assert other.statistic == pytest.approx(one.statistic)
    assert other.df_den == pytest.approx(one.df_den)


@pytest.mark.parametrize("df", [4.0, 8.0, 30.0, 1e6, np.inf])
@pytest.mark.parametrize("m", [2, 3, 20])
def test_joint_tests_always_have_degrees_of_freedom(df, m):
    rng = np.random.default_rng(3)
    for spread in (0.0, 0.5, 5.0):
        Q = spread * rng.normal(size=(m, 2)) + 1
        found = wald_test(Q, np.array([np.eye(2)] * m), df)
        assert found.df_den > 0
        assert 0 <= found.p_value <= 1


def test_parameters_that_are_not_told_apart_are_refused():
    with pytest.raises(Refusal, match="not told apart"):
        wald_test(np.ones((3, 2)), np.ones((3, 2, 2)))


def test_likelihood_ratios_without_variation_are_chi_square():
    own = np.full(5, 6.0)
    for found in (likelihood_ratio_test(own, own, 2), stacked_test(own, 6.0, 2)):
        assert np.isinf(found.df_den)
        assert found.p_value == pytest.approx(np.exp(-3.0))  # chi-square with two degrees of freedom


@pytest.mark.parametrize(
    ("component", "term", "scale", "expected", "values"),
    [
        ("fixed", "x", "link", "identity", [-2.0, 3.0]),
        ("sd", "x", "response", "log", [0.3, 4.0]),
        ("residual", "sigma", "response", "log", [0.3, 4.0]),
        ("cor", "a:b", "correlation", "fisher", [-0.9, 0.5]),
        ("derived", "icc", "proportion", "logit", [0.05, 0.9]),
        ("derived", "design_effect", "ratio", "log_above_1", [1.2, 9.0]),
        ("derived", "odds_ratio:x", "odds_ratio", "log", [0.2, 5.0]),
        ("derived", "contextual_effect:x", "response", "identity", [-1.0, 2.0]),
    ],
)
def test_each_quantity_is_pooled_where_it_is_about_normal(component, term, scale, expected, values):
    found = pooling_scale(component, term, scale)
    assert found == expected
    at, step = np.array(values), 1e-6
    assert back(found, forward(found, at)) == pytest.approx(at)
    difference = (forward(found, at + step) - forward(found, at - step)) / (2 * step)
    assert slope(found, at) == pytest.approx(difference, rel=1e-6)


def test_intervals_stand_in_for_missing_standard_errors():
    at, error, z = np.array([0.2, 0.3]), 0.4, np.array([1.96, 1.96])
    ends = np.tanh(np.arctanh(at)[:, None] + error * 1.96 * np.array([-1, 1]))
    found = on_scale("fisher", at, np.full(2, np.nan), ends, z)
    assert found.variances == pytest.approx(np.full(2, error**2))
    assert on_scale("fisher", at, np.full(2, np.nan), np.full((2, 2), np.nan), z).variances is None
