"""Estimating equations and working correlations against dense matrices and loops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nestwise.fit.cluster_layout import cluster_layout
from nestwise.fit.gee import fit_gee
from nestwise.fit.gee_solution import gee_data, solve_gee
from nestwise.fit.marginal_families import LINKS_OF
from nestwise.fit.working_correlation import working_correlation
from nestwise.results import Status

STRUCTURES = ("independence", "exchangeable", "ar1", "unstructured", "m_dependent", "nested")
LINKS = [(family, link) for family, links in LINKS_OF.items() for link in links]


def solved(design, structure):
    layout = cluster_layout(design, structure)
    working = working_correlation(structure, layout, 2)
    data = gee_data(design, layout)
    return working, data, solve_gee(design, data, working)


def pair_means(design, structure, r, k, lags=2):
    """Means of products of residuals over the pairs of each parameter, by loops."""
    sums, counts = np.zeros(k), np.zeros(k)
    codes, visits = design.factors[0].codes, None if design.occasions is None else design.occasions.visits
    T = 5
    place = {pair: i for i, pair in enumerate(zip(*np.triu_indices(T, 1), strict=True))}
    for i in range(design.n):
        for j in range(i + 1, design.n):
            if codes[i] != codes[j]:
                continue
            which = 0
            if structure == "nested":
                inner = design.factors[1].codes
                which = int(inner[i] != inner[j])
            elif structure == "m_dependent":
                which = abs(int(visits[i] - visits[j])) - 1
            elif structure == "unstructured":
                which = place[tuple(sorted((int(visits[i]), int(visits[j]))))]
            if which < k:
                sums[which] += r[i] * r[j]
                counts[which] += 1
    return sums / counts


@pytest.mark.parametrize(("family", "link"), LINKS)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_equations_hold_with_dense_matrices_and_moments_by_loops(
    dense, marginal_study, family, link, structure
):
    design = marginal_study(family, link, structure)
    rng = np.random.default_rng(3)
    if link != "identity" and link != "inverse":
        design = replace(design, offset=rng.normal(0, 0.1, design.n))
    design = replace(design, weights=rng.uniform(0.5, 2, design.n))
    _, data, state = solved(design, structure)
    assert state.converged
    assert not state.pulled
    beta = data.T @ state.gamma
    D, W, e, r = dense.parts(design, structure, beta, state.alpha, state.size)
    M = np.linalg.inv(D.T @ W @ D)
    step = M @ D.T @ W @ e
    assert np.abs(step / np.sqrt(state.phi * np.diag(M))).max() < 1e-7
    assert state.phi == pytest.approx((r**2).mean(), rel=1e-9)
    r = r / np.sqrt(state.phi)
    if structure == "ar1":
        lag = np.abs(np.subtract.outer(*[design.occasions.times[design.occasions.visits]] * 2))
        pairs = np.triu(design.factors[0].codes[:, None] == design.factors[0].codes, 1)
        rho, d, z = state.alpha[0], lag[pairs], np.outer(r, r)[pairs]
        assert ((rho**d - z) * d * rho ** (d - 1)).sum() == pytest.approx(0, abs=1e-6)
    elif structure != "independence":
        assert state.alpha == pytest.approx(pair_means(design, structure, r, state.alpha.size), abs=1e-8)


@pytest.mark.parametrize("structure", ["independence", "exchangeable"])
def test_the_size_of_a_negative_binomial_has_the_highest_likelihood(marginal_study, structure):
    from scipy.stats import nbinom

    design = marginal_study("negative_binomial", "log", structure)
    design = replace(design, weights=np.random.default_rng(3).uniform(0.5, 2, design.n))
    _, data, state = solved(design, structure)
    assert 0.3 < state.size < 10

    def likelihood(size):
        return nbinom.logpmf(data.y, size, size / (size + state.mu)) @ data.weight

    best = likelihood(state.size)
    h = 1e-4 * state.size
    assert likelihood(state.size + h) < best
    assert likelihood(state.size - h) < best


def test_counts_that_vary_no_more_than_poissons_have_no_size_and_poissons_answer(marginal_study):
    design = marginal_study("poisson", "log")
    even = replace(design, y=np.round(np.exp(design.X @ [1.0, 0.05, -0.05])), family="negative_binomial")
    fit, poisson = fit_gee(even), fit_gee(replace(even, family="poisson"))
    assert fit.status == Status.SINGULAR
    assert "use family poisson" in fit.reason
    assert not any(row.term == "size" for row in fit.estimates)
    for row, same in zip(fit.estimates[:3], poisson.estimates[:3], strict=True):
        assert row.estimate == pytest.approx(same.estimate, abs=1e-9)
        assert row.std_error == pytest.approx(same.std_error, rel=1e-8)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_whitening_is_a_root_of_the_inverse_correlation(dense, marginal_study, structure):
    design = marginal_study("gaussian", "identity", structure, J=10)
    layout = cluster_layout(design, structure)
    working = working_correlation(structure, layout, 2)
    alpha = {0: [], 1: [0.4], 2: [0.5, 0.2]}.get(len(working.names), 0.3 + 0.01 * np.arange(10))
    L = working.whiten(np.array(alpha, float), np.eye(design.n)).T
    R = dense.correlation(design, structure, np.array(alpha, float))[np.ix_(layout.order, layout.order)]
    assert pytest.approx(np.eye(design.n), abs=1e-10) == L @ R @ L.T
