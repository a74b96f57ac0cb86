"""The ICC on the scale of the outcome: brute force, closed forms, and what it means for pairs of rows."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import integrate, special, stats

from nestwise.fit.glmm import fit_glmm
from nestwise.fit.observed import MOST_ROWS, observed_rows, shared_variances

INVERSE = {"logit": special.expit, "probit": special.ndtr, "cloglog": lambda eta: -np.expm1(-np.exp(eta))}


def solution(Sigma, aux=()):
    """As much of a solution as these numbers hang on."""
    return SimpleNamespace(Sigma=np.atleast_2d(Sigma), aux=np.array(aux))


@pytest.fixture
def design(make_design):
    def build(family="binomial", link="logit", n=40, slopes=False, second=False):
        rng = np.random.default_rng(5)
        x, g = rng.normal(size=n), np.arange(n) % 8
        one = np.ones(n)
        terms = [("g", g, {"(Intercept)": one, "x": x} if slopes else {"(Intercept)": one}, True)]
        if second:
            terms.append(("h", np.arange(n) % 5, {"(Intercept)": one}, True))
        y = rng.integers(0, 2, n) * 1.0
        made = make_design(y, {"(Intercept)": one, "x": x}, *terms, family=family)
        return replace(made, link=link)

    return build


def moments(inverse, eta, sd):
    """Mean and variance over a normal effect, by SciPy's integration."""

    def expected(power):
        return integrate.quad(
            lambda b: inverse(eta + sd * b) ** power * stats.norm.pdf(b), -9, 9, epsabs=1e-13, limit=200
        )[0]

    return expected(1), expected(2) - expected(1) ** 2


@pytest.mark.parametrize("sd", [0.3, 1.5, 4.0])
@pytest.mark.parametrize("link", INVERSE)
def test_probabilities_by_brute_force(design, link, sd):
    """Shared variance and whole variance, averaged over rows that differ in x."""
    made = design(link=link, n=12)
    fixed = made.X @ [-0.4, 0.8]
    (row,) = observed_rows(made, solution(sd**2), fixed)
    means, between = np.array([moments(INVERSE[link], eta, sd) for eta in fixed]).T
    assert row.estimate == pytest.approx(between.mean() / (means * (1 - means)).mean(), rel=1e-6)
    assert (row.term, row.group, row.scale) == ("icc_observed", "g", "response")


def test_two_factors_share_the_rest(design):
    """Of factor h: variance of the probability averaged over g, by integrating twice."""
    made = design(n=10, second=True)
    fixed, sds = np.array([-0.5, 1.0]), np.array([[0.9, 0.9], [1.4, 1.4]])
    between, total = shared_variances(made, solution(np.eye(2)), fixed, sds**2)
    for i, eta in enumerate(fixed):
        x, w = np.polynomial.hermite_e.hermegauss(60)
        w = w / w.sum()
        p = special.expit(eta + 0.9 * x[:, None] + 1.4 * x[None, :])
        assert between[0, i] == pytest.approx(w @ (p @ w) ** 2 - (w @ p @ w) ** 2, rel=1e-6)
        assert between[1, i] == pytest.approx(w @ (w @ p) ** 2 - (w @ p @ w) ** 2, rel=1e-6)
        assert total[i] == pytest.approx((w @ p @ w) * (1 - w @ p @ w), rel=1e-6)


def test_counts_in_closed_form(design):
    """Leckie et al. (2020), equation 9: mu (e^s2 - 1) / (1 + mu (e^s2 - 1)) where all rows are alike."""
    made, s2 = design("poisson", "log"), 0.6
    mu = np.exp(0.3 + s2 / 2)
    (row,) = observed_rows(made, solution(s2), np.full(40, 0.3))
    assert row.estimate == pytest.approx(mu * np.expm1(s2) / (1 + mu * np.expm1(s2)))
    (few,) = observed_rows(replace(made, family="negative_binomial"), solution(s2, [30.0]), np.full(40, 0.3))
    assert few.estimate == pytest.approx(row.estimate)
    (more,) = observed_rows(replace(made, family="negative_binomial"), solution(s2, [0.2]), np.full(40, 0.3))
    assert more.estimate < row.estimate


@pytest.mark.parametrize("family", ["poisson", "negative_binomial", "gamma", "binomial"])
def test_it_is_the_correlation_of_two_rows_of_a_group(design, family):
    """Pairs drawn from the model, to four Monte Carlo standard errors."""
    made = design(family, "logit" if family == "binomial" else "log")
    rng = np.random.default_rng(11)
    eta = 0.2 + 0.7 * rng.normal(size=400_000)
    mu = (special.expit if family == "binomial" else np.exp)(eta)
    size = np.exp(0.8)
    draw = {
        "poisson": lambda: rng.poisson(mu),
        "binomial": lambda: rng.random(mu.size) < mu,
        "negative_binomial": lambda: rng.negative_binomial(size, size / (size + mu)),
        "gamma": lambda: rng.gamma(size, mu / size),
    }[family]
    seen = np.corrcoef(draw(), draw())[0, 1]
    aux = [0.8] if family in ("negative_binomial", "gamma") else []
    (row,) = observed_rows(made, solution(0.49, aux), np.full(40, 0.2))
    assert row.estimate == pytest.approx(seen, abs=4 * 3 / np.sqrt(mu.size))


def test_some_rows_stand_for_many_whatever_their_order(design):
    """Slopes vary: each row has its own spread. Every row counted, or some of them: one answer."""
    made = design("binomial", "probit", n=12 * MOST_ROWS, slopes=True)
    Sigma = np.array([[0.8, 0.2], [0.2, 0.5]])
    fixed = made.X @ [0.1, -0.6]
    (row,) = observed_rows(made, solution(Sigma), fixed)
    spread = ((made.Z @ Sigma) * made.Z).sum(axis=1)[None]
    between, total = shared_variances(made, solution(Sigma), fixed, spread)
    assert row.estimate == pytest.approx(between.mean() / total.mean(), rel=2e-3)
    order = np.random.default_rng(1).permutation(made.n)
    term = replace(made.random[0], codes=made.random[0].codes[order], Z=made.random[0].Z[order])
    mixed = replace(made, X=made.X[order], y=made.y[order], random=(term,))
    (other,) = observed_rows(mixed, solution(Sigma), fixed[order])
    assert other.estimate == pytest.approx(row.estimate, rel=1e-12)


def test_rows_of_a_fit(design, make_design):
    fit = fit_glmm(design(n=400))
    terms = {row.term: row.scale for row in fit.estimates if row.component == "derived"}
    assert terms["icc_observed"] == "response"
    assert terms["r2_marginal"] == terms["r2_conditional"] == "latent"
    y = np.arange(400) % 3 * 1.0
    fit = fit_glmm(replace(design(n=400), y=y, family="ordinal"))
    assert "icc_observed" not in {row.term for row in fit.estimates}
