"""Log densities against SciPy's distributions, their derivatives against differences, their tails."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.special import erfcx, expit, ndtr

from nestwise.likelihood.families import density, mean, responses
from nestwise.likelihood.ordinal import category_probabilities

ETA = np.linspace(-6, 6, 41)
COUNTS = np.arange(41) % 7 * 1.0
TRIALS = COUNTS + np.arange(41) % 4
POSITIVE = np.exp(np.sin(np.arange(41.0)))
CATEGORIES = np.arange(41) % 4 * 1.0
NONE = np.zeros(0)
CASES = {
    ("binomial", "logit"): (COUNTS, TRIALS, NONE),
    ("binomial", "probit"): (COUNTS, TRIALS, NONE),
    ("binomial", "cloglog"): (COUNTS, TRIALS, NONE),
    ("poisson", "log"): (COUNTS, None, NONE),
    ("negative_binomial", "log"): (COUNTS, None, np.array([0.3])),
    ("gamma", "log"): (POSITIVE, None, np.array([0.7])),
    ("ordinal", "logit"): (CATEGORIES, None, np.array([-1.0, 0.2, 1.5])),
    ("ordinal", "probit"): (CATEGORIES, None, np.array([-1.0, 0.2, 1.5])),
}


def given(case):
    y, trials, aux = CASES[case]
    return responses(*case, y, trials), aux


def scipy_log_density(case, eta):
    (family, link), (y, trials, aux) = case, CASES[case]
    mu = mean(link, eta)
    if family == "binomial":
        return stats.binom.logpmf(y, trials, mu)
    if family == "poisson":
        return stats.poisson.logpmf(y, mu)
    if family == "negative_binomial":
        k = np.exp(aux[0])
        return stats.nbinom.logpmf(y, k, k / (k + mu))
    if family == "gamma":
        nu = np.exp(aux[0])
        return stats.gamma.logpdf(y, nu, scale=mu / nu)
    cdf = expit if link == "logit" else ndtr
    edges = np.concatenate([[-np.inf], aux, [np.inf]])
    return np.log(cdf(edges[y.astype(int) + 1] - eta) - cdf(edges[y.astype(int)] - eta))


@pytest.mark.parametrize("case", CASES)
def test_value_has_all_constants(case):
    rows, aux = given(case)
    eta = ETA / 2
    np.testing.assert_allclose(
        density(rows, eta, aux).value, scipy_log_density(case, eta), rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("case", CASES)
def test_derivatives_by_eta(case):
    rows, aux = given(case)
    step = 1e-5
    at, up, down = (density(rows, ETA + h, aux, 3) for h in (0, step, -step))
    for exact, name in ((at.d1, "value"), (at.d2, "d1"), (at.d3, "d2")):
        difference = (getattr(up, name) - getattr(down, name)) / (2 * step)
        np.testing.assert_allclose(exact, difference, rtol=2e-7, atol=2e-8, err_msg=name)


@pytest.mark.parametrize("case", [case for case in CASES if CASES[case][2].size])
def test_derivatives_by_auxiliary_parameters(case):
    rows, aux = given(case)
    at, step = density(rows, ETA, aux, 3), 1e-5
    for a in range(aux.size):
        nudge = step * (np.arange(aux.size) == a)
        up, down = density(rows, ETA, aux + nudge, 3), density(rows, ETA, aux - nudge, 3)
        for exact, name in ((at.aux, "value"), (at.aux_d1, "d1"), (at.aux_d2, "d2")):
            difference = (getattr(up, name) - getattr(down, name)) / (2 * step)
            np.testing.assert_allclose(exact[a], difference, rtol=1e-6, atol=2e-8, err_msg=name)


@pytest.mark.parametrize("case", CASES)
def test_orders_agree_and_eta_may_have_more_axes(case):
    rows, aux = given(case)
    block = np.stack([ETA, ETA / 2])
    first, all_of_them = density(rows, block, aux), density(rows, block, aux, 3)
    np.testing.assert_array_equal(first.value, all_of_them.value)
    np.testing.assert_array_equal(first.d1, all_of_them.d1)
    np.testing.assert_array_equal(first.d1[1], density(rows, ETA / 2, aux).d1)


@pytest.mark.parametrize("case", CASES)
def test_log_concave_and_finite_far_out(case):
    _, _, aux = CASES[case]
    y, trials, _ = CASES[case]
    reach = 30.0 if case[1] in ("log", "cloglog") else 300.0
    for sign in (-1, 1):
        at = density(responses(*case, y, trials), sign * np.full(41, reach), aux, 3)
        for part in (at.value, at.d1, at.d2, at.d3):
            assert np.isfinite(part).all()
        assert (at.d2 <= 1e-12 * np.maximum(1, np.abs(at.d1))).all()


def test_tails_keep_their_digits():
    """The probit far left against the scaled complementary error function, and across the switch at -8."""
    one = responses("binomial", "probit", np.ones(1))
    for x in (-200.0, -20.0, -8.0001, -7.9999):
        at, step = density(one, np.array([x]), NONE, 3), 1e-3
        scaled = erfcx(-x / np.sqrt(2)) / 2
        assert at.value[0] == pytest.approx(np.log(scaled) - x * x / 2, rel=1e-14)
        assert at.d1[0] == pytest.approx(1 / (scaled * np.sqrt(2 * np.pi)), rel=1e-12)
        up, down = (density(one, np.array([x + h]), NONE, 3) for h in (step, -step))
        assert at.d2[0] == pytest.approx((up.d1[0] - down.d1[0]) / (2 * step), rel=1e-6)
        assert at.d3[0] == pytest.approx((up.d2[0] - down.d2[0]) / (2 * step), rel=1e-4, abs=1e-11)
    logit = density(responses("binomial", "logit", np.ones(1)), np.array([40.0]), NONE)
    assert logit.value[0] == pytest.approx(-np.exp(-40.0), rel=1e-12)


def test_negative_binomial_becomes_poisson():
    poisson = density(responses("poisson", "log", COUNTS), ETA, NONE, 3)
    nearly = density(responses("negative_binomial", "log", COUNTS), ETA, np.array([np.log(1e14)]), 3)
    for name in ("value", "d1", "d2", "d3"):
        np.testing.assert_allclose(getattr(nearly, name), getattr(poisson, name), rtol=1e-8, atol=1e-9)


def test_large_counts_of_a_negative_binomial():
    y = np.array([3.0, 250_000.0])
    at = density(responses("negative_binomial", "log", y), np.log(y), np.array([1.0]))
    k = np.exp(1.0)
    np.testing.assert_allclose(at.value, stats.nbinom.logpmf(y, k, k / (k + y)), rtol=1e-9)


@pytest.mark.parametrize("link", ["logit", "probit"])
def test_probabilities_of_categories(link):
    thresholds = CASES["ordinal", link][2]
    P = category_probabilities(link, ETA, thresholds)
    np.testing.assert_allclose(P.sum(axis=1), 1)
    value = density(responses("ordinal", link, CATEGORIES), ETA, thresholds).value
    np.testing.assert_allclose(np.log(P[np.arange(41), CATEGORIES.astype(int)]), value, rtol=1e-8)
