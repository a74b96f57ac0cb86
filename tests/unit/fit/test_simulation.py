"""Outcomes drawn from a fit: their mean and covariance, and streams that depend on their number only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nestwise.design.record import Membership
from nestwise.errors import Refusal
from nestwise.fit.simulation import simulate
from nestwise.fit.state import solve_lmm


@pytest.fixture(scope="module")
def nested(make_design):
    rng = np.random.default_rng(2)
    inner = np.repeat(np.arange(6), [3, 4, 2, 3, 5, 3])
    outer = inner // 2
    one, x = np.ones(20), rng.normal(size=20)
    both = {"(Intercept)": one, "x": x}
    y = x + rng.normal(size=3)[outer] + rng.normal(size=6)[inner] + rng.normal(size=20)
    terms = ("outer", outer, {"(Intercept)": one}, True), ("inner", inner, both, True)
    return make_design(y, both, *terms, offset=np.linspace(0, 1, 20))


def parameters(solution):
    Sigma = np.array([[1.0, 0, 0], [0, 0.8, 0.3], [0, 0.3, 0.5]])
    return replace(solution, beta=np.array([2.0, -1.0]), Sigma=Sigma, sigma=0.7)


def test_mean_and_covariance_of_new_groups(nested):
    """20,000 sets: V and X beta within five Monte Carlo standard errors."""
    solution = parameters(solve_lmm(nested).solution)
    weighted = replace(nested, weights=np.linspace(0.5, 2, 20))
    y = simulate(weighted, solution, 20_000, seed=1)
    V = np.diag(0.49 / weighted.weights)
    for term, Sigma in zip(weighted.random, (solution.Sigma[:1, :1], solution.Sigma[1:, 1:]), strict=True):
        V += (term.codes[:, None] == term.codes) * (term.Z @ Sigma @ term.Z.T)
    mean = weighted.X @ solution.beta + weighted.offset
    assert np.abs((y.mean(axis=0) - mean) / np.sqrt(np.diag(V) / 20_000)).max() < 5
    spread = np.sqrt((V**2 + np.outer(np.diag(V), np.diag(V))) / 20_000)
    assert np.abs((np.cov(y.T) - V) / spread).max() < 5


def test_known_groups_stay(nested):
    state = solve_lmm(nested)
    y = simulate(nested, state.solution, 5_000, seed=1, groups="known")
    fitted = nested.X @ state.solution.beta + nested.offset
    for term, effects in zip(nested.random, state.solution.effects, strict=True):
        fitted += (term.Z * effects.b[term.codes]).sum(axis=1)
    assert np.abs(y.mean(axis=0) - fitted).max() < 5 * state.solution.sigma / np.sqrt(5_000)
    np.testing.assert_allclose(y.std(axis=0), state.solution.sigma, rtol=0.06)


def test_a_set_depends_on_its_number_only(nested):
    """Rule 24: sets drawn apart, in other batches, are the sets drawn together."""
    solution = solve_lmm(nested).solution
    whole = simulate(nested, solution, 6, seed=3)
    parts = [simulate(nested, solution, 2, seed=3, first=first) for first in (4, 0, 2)]
    np.testing.assert_array_equal(whole, np.concatenate([parts[1], parts[2], parts[0]]))
    assert not np.isclose(whole, simulate(nested, solution, 6, seed=4)).any()


def test_memberships_and_relations(nested):
    """Half of each of two groups: variance tau^2 / 2; effects of related groups covary."""
    solution = parameters(solve_lmm(nested).solution)
    codes = nested.random[0].codes
    shared = Membership(np.column_stack([codes, (codes + 1) % 3]), np.full((20, 2), 0.5))
    A = np.array([[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1.0]])
    for term, expected in (
        (replace(nested.random[0], membership=shared), 0.5),
        (replace(nested.random[0], relation=A), 0.5),
    ):
        design = replace(nested, random=(term,))
        y = simulate(design, replace(solution, Sigma=np.eye(1), sigma=1e-6), 4_000, seed=1)
        first, second = int(np.flatnonzero(codes == 0)[0]), int(np.flatnonzero(codes == 1)[0])
        C = np.cov(y[:, [first, second]].T)
        value = C[0, 0] if term.membership is not None else C[0, 1]
        assert value == pytest.approx(expected, abs=0.07)


def test_correlated_residuals_are_not_guessed(nested):
    """Rule 33: without a way to draw them they are refused; with one, it is used."""
    solution = solve_lmm(nested).solution
    correlated = replace(nested, residual=object())
    with pytest.raises(Refusal, match="correlated"):
        simulate(correlated, solution, 1, seed=1)
    y = simulate(correlated, solution, 2, seed=1, residual_root=lambda z: 0 * z)
    assert np.isfinite(y).all()
