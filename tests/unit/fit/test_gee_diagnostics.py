"""Criteria, ranges of correlations and influence of a marginal model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nestwise.design.record import RowFlow
from nestwise.fit.gee import fit_gee


def test_leaving_a_cluster_out_of_least_squares_is_exact(marginal_study):
    design = marginal_study("gaussian", "identity", J=12)
    fit = fit_gee(design, "independence")
    full = np.array([row.estimate for row in fit.estimates[:3]])
    term = design.random[0]
    for found in fit.record["dfbeta"][:3]:
        kept = term.codes != term.labels.index(found["label"])
        without = np.linalg.lstsq(design.X[kept], design.y[kept], rcond=None)[0]
        assert found["dfbeta"] == pytest.approx(full - without, abs=1e-9)
    shares = fit.influence["leverage"].to_numpy() * fit.influence["n"].to_numpy()
    assert shares.sum() == pytest.approx(3)


@pytest.mark.parametrize(("family", "link"), [("binomial", "logit"), ("poisson", "log"), ("gamma", "log")])
def test_qic_by_its_definition(dense, marginal_study, family, link):
    """Of Pan (2001) with phi in Q; statsmodels leaves the variance function out of Omega."""
    design = marginal_study(family, link)
    fit = fit_gee(design, variance="LZ")
    found = {row.term: row.estimate for row in fit.estimates}
    beta = np.array([row.estimate for row in fit.estimates[:3]])
    D, W, _, _ = dense.parts(design, "independence", beta, None)
    trials = np.ones(design.n) if design.trials is None else design.trials
    y, mu = design.y / trials, fit.predictions["fitted"].to_numpy() / trials
    from scipy.stats import binom, expon, poisson

    if family == "binomial":  # log densities up to terms without mu
        none = binom.logpmf(design.y, trials, 0.5) + trials * np.log(2)
        quasi = binom.logpmf(design.y, trials, mu) - none
    elif family == "poisson":
        quasi = poisson.logpmf(y, mu) - poisson.logpmf(y, 1) - 1
    else:
        quasi = expon.logpdf(y, scale=mu)
    trace = np.trace(D.T @ W @ D @ np.array(fit.record["covariance"])) / found["phi"]
    assert found["cic"] == pytest.approx(trace, rel=1e-7)
    assert found["qic"] == pytest.approx(-2 * quasi.sum() / found["phi"] + 2 * trace, rel=1e-7)
    assert found["qicu"] == pytest.approx(-2 * quasi.sum() / found["phi"] + 6, rel=1e-7)


def bounds_by_loops(y, mu, codes, R):
    wrong = set()
    for i in range(len(mu)):
        for j in range(i + 1, len(mu)):
            if codes[i] != codes[j]:
                continue
            a, b = mu[i], mu[j]
            both = (max(0, a + b - 1), min(a, b))  # probabilities that both happen
            low, high = ((p - a * b) / np.sqrt(a * (1 - a) * b * (1 - b)) for p in both)
            if not low - 1e-8 <= R[i, j] <= high + 1e-8:
                wrong.add(codes[i])
    return len(wrong) / len(set(codes))


@pytest.mark.parametrize("structure", ["exchangeable", "ar1"])
def test_binary_outcomes_are_held_against_their_range(dense, marginal_study, structure):
    """Rule 15."""
    design = marginal_study("binomial", "logit", structure)
    rng = np.random.default_rng(0)
    codes = design.random[0].codes
    same = (rng.random(40) < 0.5).astype(float)[codes]  # the same in all rows of most clusters
    y = np.where(codes % 4 == 0, design.X[:, 1] + rng.normal(0, 0.3, design.n) > 0, same)
    design = replace(design, y=y.astype(float), trials=None)
    fit = fit_gee(design, structure)
    check = next(check for check in fit.checks if check.check == "working_correlation_range")
    alpha = np.array([row.estimate for row in fit.estimates if row.scale == "correlation"])
    R = dense.correlation(design, structure, alpha)
    assert check.value == bounds_by_loops(y, fit.predictions["fitted"].to_numpy(), codes, R)
    assert check.value > 0
    assert not check.ok


def test_rows_left_out_are_said_with_the_assumption(marginal_study):
    """Rule 17."""
    design = replace(marginal_study("gaussian", "identity"), row_flow=RowFlow(200, 150, 40, 40))
    said = next(warning for warning in fit_gee(design).warnings if "completely at random" in warning)
    assert "rows were left out" in said
