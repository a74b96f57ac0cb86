"""Coverage of population-averaged effects with 10 to 40 clusters, by every covariance (rules 12 and 15).

Binary outcomes whose marginal means are logistic exactly: the same normal quantile moves all rows of a
cluster (a Gaussian copula). The seeds are fixed; limits are 3.5 Monte Carlo standard errors around 95%, plus
what a covariance is known to be off by.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from scipy import stats

from nestwise.design.record import Design, RandomTerm, RowFlow
from nestwise.errors import Refusal
from nestwise.fit.gee import fit_gee

NAMES = ("(Intercept)", "arm", "x")
BETA = np.array([-0.3, 0.5, 0.4])
"""The arm is constant within clusters, x is not."""
STUDIES = 1000
KINDS = ("LZ", "KC", "MD", "FG", "MBN")
SHARED = 0.25
"""Correlation of the normal quantiles in a cluster."""


@dataclass(frozen=True)
class Answers:
    """One row a simulated study."""

    estimate: np.ndarray
    std_error: dict[str, np.ndarray]
    satterthwaite: np.ndarray
    alpha: np.ndarray


def design(J, seed, structure="exchangeable"):
    rng = np.random.default_rng([7, J, seed])
    sizes = rng.integers(4, 13, J)
    codes = np.repeat(np.arange(J), sizes)
    n = codes.size
    X = np.column_stack([np.ones(n), codes % 2, rng.normal(size=n)])
    z = np.sqrt(SHARED) * rng.normal(size=J)[codes] + np.sqrt(1 - SHARED) * rng.normal(size=n)
    y = (stats.norm.cdf(z) < 1 / (1 + np.exp(-X @ BETA))).astype(float)
    term = RandomTerm("g", ("(Intercept)",), np.ones((n, 1)), codes, tuple(map(str, range(J))))
    return Design(
        "s", "m", "y ~ arm + x + (1 | g)", "y", y, X, NAMES, (term,), np.arange(n), RowFlow(n, n, J, J), "0",
        family="binomial", link="logit",
    )  # fmt: skip


@cache
def studies(J):
    rows = []
    for seed in range(STUDIES):
        try:
            fit = fit_gee(design(J, seed), variance="KC")
        except Refusal:  # an arm without a success, once in thousands
            continue
        if fit.converged:
            rows.append(fit)
    assert len(rows) > 0.995 * STUDIES
    errors = {
        kind: np.array([fit.record["variance"]["standard_errors"][kind] for fit in rows]) for kind in KINDS
    }
    return Answers(
        np.array([[row.estimate for row in fit.estimates[:3]] for fit in rows]),
        errors,
        np.array([fit.record["variance"]["satterthwaite_df"] for fit in rows]),
        np.array([fit.estimates[4].estimate for fit in rows]),
    )


def coverage(answers, kind, df=np.inf):
    z = np.abs(answers.estimate - BETA) / answers.std_error[kind]
    return (z < stats.t.ppf(0.975, df)).mean(axis=0)


NOISE = 3.5 * np.sqrt(0.95 * 0.05 / STUDIES)


@pytest.mark.slow
@pytest.mark.parametrize("J", [10, 20, 40])
def test_estimates_and_correlation_come_back(J):
    answers = studies(J)
    error = answers.estimate.std(axis=0) / np.sqrt(STUDIES)
    # logistic estimates of few clusters lie a few percent too far out
    assert (np.abs(answers.estimate.mean(axis=0) - BETA) < 3.5 * error + 0.6 * np.abs(BETA) / J).all()


@pytest.mark.slow
@pytest.mark.parametrize("J", [10, 20, 40])
def test_the_default_covers(J):
    answers = studies(J)
    for kind in ("KC", "MD", "FG", "MBN"):
        assert (coverage(answers, kind, J - 3) > 0.95 - NOISE).all(), kind
    for kind in ("KC", "FG"):  # the others are known to be too wide with few clusters
        assert (coverage(answers, kind, J - 3) < 0.95 + NOISE).all(), kind
    assert (coverage(answers, "KC", answers.satterthwaite) > 0.95 - NOISE).all()


@pytest.mark.slow
@pytest.mark.parametrize("J", [10, 20])
def test_lz_with_z_does_not_cover_what_few_clusters_tell_apart(J):
    assert coverage(studies(J), "LZ")[0] < 0.95 - NOISE
    assert (coverage(studies(J), "LZ")[:2] < coverage(studies(J), "KC", J - 3)[:2]).all()


@pytest.mark.slow
@pytest.mark.parametrize("J", [10, 20, 40])
def test_corrections_are_ordered_as_their_theory_says(J):
    """LZ is too small, KC about right, MD and MBN too large (Kauermann & Carroll 2001, Lu et al. 2007)."""
    answers = studies(J)
    ratio = {
        kind: (answers.std_error[kind] ** 2).mean(axis=0) / answers.estimate.var(axis=0) for kind in KINDS
    }
    assert (ratio["LZ"] < ratio["KC"]).all()
    assert (ratio["KC"] < ratio["MD"]).all()
    noise = 3.5 * np.sqrt(2 / STUDIES)
    assert abs(ratio["KC"][0] - 1) < noise
    assert ratio["LZ"][0] < 1 - 0.5 * noise * (J < 40)
    assert ratio["MD"][0] > 1
