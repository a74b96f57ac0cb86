"""The search: every start ends at one optimum, saddles are left, and the verdict can fail."""

from __future__ import annotations

import numpy as np
import pytest

from nestwise.fit import optimise as ladder
from nestwise.fit import search
from nestwise.fit.optimise import lower_factor, optimise, triangular
from nestwise.fit.search import Evaluations, difference_hessian, judged
from nestwise.likelihood.compression import compress
from nestwise.likelihood.crossproducts import collapse
from nestwise.likelihood.gaussian import constant, deviance


def test_radon_from_the_false_boundary(radon, monkeypatch):
    """Rule 5: from theta near zero slope variance (-1067.09 there) to -1064.32017, by negative curvature."""
    products = collapse(radon())
    trap = np.array([0.206, 0.0, 0.0])
    monkeypatch.setattr(ladder, "_starts", lambda *args, **kwargs: [("trap", trap)])
    found = optimise(products, reml=True)
    assert found.converged
    assert -found.record["objective"] / 2 == pytest.approx(-1064.32017, abs=1e-5)
    origins = [run["from"] for run in found.record["runs"]]
    assert "negative curvature" in origins
    first = next(run for run in found.record["runs"] if run["from"] == "trap")
    assert -first["objective"] / 2 < -1065  # where a search without curvature would have stayed


@pytest.mark.parametrize("start", [[1.0, 0.0, 1.0], [0.01, 0.0, 0.01], [5.0, -3.0, 4.0], [0.0, 0.0, 0.0]])
def test_any_start_ends_at_one_optimum(radon, monkeypatch, start):
    products = collapse(radon())
    best = optimise(products, reml=True)
    monkeypatch.setattr(ladder, "_starts", lambda *args, **kwargs: [("given", np.array(start))])
    found = optimise(products, reml=True)
    np.testing.assert_allclose(found.theta, best.theta, atol=1e-5)
    assert found.converged


def test_every_start_of_the_ladder_agrees(radon):
    runs = optimise(collapse(radon()), reml=True).record["runs"]
    assert {run["from"] for run in runs} >= {"moments", "identity"}
    assert np.ptp([run["objective"] for run in runs]) < 1e-6


def test_compressed_data_have_the_same_optimum(sleepstudy):
    products = collapse(sleepstudy())
    whole, part = optimise(products, reml=True), optimise(compress(products), reml=True)
    np.testing.assert_allclose(whole.theta, part.theta, atol=1e-7)


def test_an_unfinished_search_is_not_converged(simulate, monkeypatch):
    """Rule 7: converged is strict; a search that stands still is found out."""
    products = collapse(simulate())
    monkeypatch.setattr(ladder, "_starts", lambda *args, **kwargs: [("given", np.array([2.0, 0.0, 2.0]))])
    monkeypatch.setattr(search, "_lbfgs", lambda objective, start, *args: start)
    monkeypatch.setattr(search, "_newton", lambda objective, at, *args: judged(objective, at)[0])
    monkeypatch.setattr(search, "_nelder_mead", lambda objective, theta, *args: theta)
    found = optimise(products, reml=True)
    assert not found.converged
    assert found.record["gradient_norm"] > 1


def test_a_saddle_is_not_converged(radon):
    """The gradient vanishes at theta = 0 by symmetry; the curvature gives it away."""
    products = collapse(radon())
    objective = Evaluations(lambda theta: deviance(products, theta, reml=True))
    verdict, values, _ = judged(objective, np.zeros(3))
    assert np.abs(verdict.gradient).max() < 1e-8
    assert values[0] < 0
    assert not verdict.converged


def test_nelder_mead_finishes_where_gradients_fail(simulate, monkeypatch):
    products = collapse(simulate())
    best = optimise(products, reml=True)
    monkeypatch.setattr(search, "_lbfgs", lambda objective, start, *args: start)
    monkeypatch.setattr(search, "_newton", lambda objective, at, *args: judged(objective, at)[0])
    found = optimise(products, reml=True)
    assert "Nelder-Mead" in {run["optimiser"] for run in found.record["runs"]}
    np.testing.assert_allclose(np.abs(found.theta), np.abs(best.theta), atol=1e-4)


def test_the_objective_is_the_criterion(simulate):
    products = collapse(simulate())
    found = optimise(products, reml=False)
    again = deviance(products, found.theta, reml=False)[0] + constant(products, reml=False)
    assert found.record["objective"] == pytest.approx(again, abs=1e-9)
    # besides the runs: the choice of the starts
    assert found.record["evaluations"] >= sum(run["evaluations"] for run in found.record["runs"]) > 10


def test_hessian_of_a_quadratic():
    A = np.array([[3.0, 1.0], [1.0, 2.0]])
    hessian = difference_hessian(lambda x: (0.5 * x @ A @ x, A @ x), np.array([0.3, -2.0]))
    np.testing.assert_allclose(hessian, A, rtol=1e-8)


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_factor_of_a_covariance_of_any_rank(rank):
    root = np.random.default_rng(rank).normal(size=(3, rank))
    Sigma = root @ root.T
    L = lower_factor(Sigma)
    np.testing.assert_allclose(L @ L.T, Sigma, atol=1e-12)
    assert np.triu(L, 1) == pytest.approx(np.zeros((3, 3)))
    assert (np.diag(L) >= 0).all()
    square = np.random.default_rng(9).normal(size=(3, 3))
    np.testing.assert_allclose(triangular(square) @ triangular(square).T, square @ square.T, atol=1e-12)
