"""Averages over random effects: brute-force integrals, closed forms, and derivatives by differences."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit, ndtr

from nestwise.compare.attenuation import factor, rule_of_thumb
from nestwise.compare.marginalised import averaged, described, link_of, projected
from nestwise.errors import Refusal
from nestwise.likelihood.families import mean

LINKS = ("identity", "log", "logit", "probit", "cloglog")


def integral(link, eta, s):
    """E h(eta + s Z) by adaptive quadrature, cut where the curve is steepest."""

    def inside(z):
        value = eta + s * z if link == "identity" else float(mean(link, np.array(eta + s * z)))
        return value * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)

    turn = -eta / s if s else 0.0
    cuts = sorted({-12.0, float(np.clip(turn, -11, 11)), 0.0, 12.0})
    return sum(quad(inside, a, b, epsabs=1e-13, epsrel=1e-13, limit=400)[0] for a, b in pairwise(cuts))


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("s", [0.0, 0.3, 1.0, 4.0, 12.0])
def test_means_are_those_of_brute_force_integration(link, s):
    eta = np.array([-6.0, -1.6, 0.0, 0.7, 3.0])
    s = min(s, 4.0) if link == "log" else s  # exp(72) is no rate
    found = averaged(link, eta, np.full(5, s**2)).mu
    assert found == pytest.approx([integral(link, each, s) for each in eta], rel=1e-9, abs=1e-12)


def test_a_hermite_rule_of_many_points_is_far_less_exact_than_equally_spaced_nodes():
    nodes, weights = np.polynomial.hermite_e.hermegauss(25)
    rough = float(weights @ expit(-1.0 + 4 * nodes) / weights.sum())
    exact = integral("logit", -1.0, 4.0)
    found = averaged("logit", np.array([-1.0]), np.array([16.0])).mu[0]
    assert abs(found - exact) < 1e-12 < 1e-5 < abs(rough - exact)


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("s2", [0.04, 1.0, 9.0])
def test_derivatives_are_those_of_differences(link, s2):
    eta, variance, h = np.array([-2.0, 0.3, 1.1]), np.full(3, s2), 1e-4
    found = averaged(link, eta, variance)
    by_eta = (averaged(link, eta + h, variance).mu - averaged(link, eta - h, variance).mu) / (2 * h)
    by_variance = (averaged(link, eta, variance + h).mu - averaged(link, eta, variance - h).mu) / (2 * h)
    assert found.by_eta == pytest.approx(by_eta, rel=1e-6, abs=1e-10)
    assert found.by_variance == pytest.approx(by_variance, rel=1e-5, abs=1e-9)


def test_at_a_variance_of_zero_the_mean_is_the_typical_groups_and_its_derivative_is_known():
    # the derivative by the variance is h'' / 2, not infinite as that by the standard deviation would suggest
    eta = np.array([0.4])
    p = expit(eta)
    found = averaged("logit", eta, np.zeros(1))
    assert found.mu == pytest.approx(p, rel=1e-12)
    assert found.by_variance == pytest.approx(p * (1 - p) * (1 - 2 * p) / 2, rel=1e-10)


@pytest.mark.parametrize("link", ["log", "logit", "probit", "cloglog"])
def test_links_undo_their_inverses(link):
    eta = np.array([-3.0, -0.2, 1.0])
    found, slope = link_of(link, mean(link, eta))
    assert found == pytest.approx(eta, rel=1e-9)
    h = 1e-6
    by_eta = (mean(link, eta + h) - mean(link, eta - h)) / (2 * h)
    assert slope == pytest.approx(1 / by_eta, rel=1e-6)


def design(n=60):
    rng = np.random.default_rng(4)
    return np.column_stack([np.ones(n), rng.normal(size=n), rng.integers(0, 2, n)])


@pytest.mark.parametrize("describe", ["least squares", "equations"])
def test_probit_coefficients_shrink_by_exactly_one_over_the_root_of_one_plus_the_variance(describe):
    X, beta, s2 = design(), np.array([-0.5, 1.2, 0.8]), 4.0
    mu = averaged("probit", X @ beta, np.full(60, s2)).mu
    assert mu == pytest.approx(ndtr(X @ beta / np.sqrt(5)), rel=1e-12)
    found = (
        described("probit", X, mu, None)
        if describe == "least squares"
        else projected(("binomial", "probit"), X, mu, None, np.ones(60))
    )
    assert found.beta == pytest.approx(beta / np.sqrt(5), rel=1e-8)
    assert rule_of_thumb("probit", s2) == pytest.approx(1 / np.sqrt(5))


def test_with_a_logarithm_only_the_intercept_moves():
    X, beta = design(), np.array([-0.5, 1.2, 0.8])
    mu = averaged("log", X @ beta, np.full(60, 0.8)).mu
    found = described("log", X, mu, None).beta
    assert found == pytest.approx(beta + np.array([0.4, 0, 0]), rel=1e-10)
    assert projected(("poisson", "log"), X, mu, None, np.ones(60)).beta == pytest.approx(found, rel=1e-8)
    assert rule_of_thumb("log", 0.8) == 1


def test_a_random_slope_with_a_logarithm_adds_half_its_covariance_with_the_intercept_to_the_slope():
    # E exp(b0 + b1 x) = exp((v0 + 2 c x + v1 x^2) / 2): with x = 0, 1 the slope gains c + v1 / 2
    x = np.tile([0.0, 1.0], 20)
    X, v0, c, v1 = np.column_stack([np.ones(40), x]), 0.5, 0.1, 0.3
    mu = averaged("log", X @ [0.2, 0.7], v0 + 2 * c * x + v1 * x**2).mu
    assert described("log", X, mu, None).beta == pytest.approx([0.45, 0.7 + 0.1 + 0.15], rel=1e-10)


def test_the_rule_of_thumb_is_within_seven_per_cent_of_the_exact_factor_of_a_logit():
    # Zeger, Liang & Albert 1988: 1 / sqrt(1 + 0.346 s^2)
    X, beta = design(), np.array([0.1, 0.5, -0.4])
    for s2 in (0.25, 1.0, 4.0):
        mu = averaged("logit", X @ beta, np.full(60, s2)).mu
        exact = factor(described("logit", X, mu, None).beta[1], beta[1], None)
        assert exact == pytest.approx(rule_of_thumb("logit", s2), rel=0.07)
    assert rule_of_thumb("logit", 1.0) == pytest.approx(1 / np.sqrt(1 + 0.346), rel=1e-3)
    assert rule_of_thumb("cloglog", 1.0) is None


def test_a_saturated_design_reproduces_every_mean_so_that_both_descriptions_agree():
    X = np.repeat(np.eye(4), 5, axis=0)
    mu = averaged("logit", X @ [-2.0, -0.5, 0.5, 3.0], np.full(20, 9.0)).mu
    found = described("logit", X, mu, None).beta
    assert expit(X @ found) == pytest.approx(mu, rel=1e-10)
    assert projected(("binomial", "logit"), X, mu, None, np.ones(20)).beta == pytest.approx(found, rel=1e-8)


def test_an_offset_is_known_and_not_described():
    X, offset = design(), np.linspace(-1, 1, 60)
    mu = averaged("log", X @ [0.1, 0.2, 0.3] + offset, np.zeros(60)).mu
    assert described("log", X, mu, offset).beta == pytest.approx([0.1, 0.2, 0.3], rel=1e-10)


def test_a_coefficient_of_zero_has_no_ratio_and_an_unknown_link_is_refused():
    assert factor(0.1, 0.0, 0.5) is None
    with pytest.raises(Refusal, match="inverse"):
        averaged("inverse", np.zeros(1), np.zeros(1))
