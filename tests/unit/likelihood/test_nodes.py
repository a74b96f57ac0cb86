"""The compiled densities and sums beside the same in NumPy, and the exponential function they rest on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from nestwise.likelihood import modes, quadrature
from nestwise.likelihood.convex import CONVEX
from nestwise.likelihood.grouped_rows import grouped_rows
from nestwise.likelihood.nodes import EXPONENTIAL, SOFTPLUS, joint_densities

AUX = {"negative_binomial": [0.7], "gamma": [0.4]}


@pytest.fixture
def rows(make_design):
    def build(family, link, frequencies=False):
        rng = np.random.default_rng(4)
        g = np.repeat(np.arange(60), rng.integers(1, 7, 60))
        x = rng.integers(0, 2, g.size) * 1.0 if frequencies else rng.normal(size=g.size)
        y = rng.poisson(np.exp(0.4 + 0.3 * x)) * 1.0
        trials = y + rng.integers(1, 3, g.size) if family == "binomial" else None
        y = y + 0.5 if family == "gamma" else y
        one = np.ones(g.size)
        design = make_design(
            y, {"(Intercept)": one, "x": x}, ("g", g, {"(Intercept)": one, "x": x}, True), family=family
        )
        return grouped_rows(replace(design, link=link, trials=trials))

    return build


@pytest.mark.parametrize("points", [1, 7])
@pytest.mark.parametrize("frequencies", [False, True])
@pytest.mark.parametrize("case", CONVEX)
def test_same_as_in_numpy(rows, case, frequencies, points, monkeypatch):
    """Two codes for one formula: values, gradients, modes, scores; equal rows counted as well."""
    made = rows(*case, frequencies)
    beta, L, aux = np.array([0.2, -0.3]), np.array([[0.8, 0.0], [-0.3, 0.6]]), np.array(AUX.get(case[0], []))
    compiled = quadrature.approximate(made, beta, L, aux, points, scores=True)
    monkeypatch.setattr(modes, "convex_form", lambda *_: None)
    monkeypatch.setattr(quadrature, "convex_form", lambda *_: None)
    plain = quadrature.approximate(made, beta, L, aux, points, scores=True)
    assert compiled.value == pytest.approx(plain.value, rel=1e-12)
    for name in ("beta", "L", "aux", "groups", "scores"):
        ours, theirs = getattr(compiled, name), getattr(plain, name)
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-10 * np.abs(theirs).max(initial=1))
    np.testing.assert_allclose(compiled.modes.u, plain.modes.u, atol=1e-10)


def test_a_giant_group_is_summed_a_few_nodes_at_a_time(rows, monkeypatch):
    made = rows("binomial", "logit")
    beta, L, none = np.array([0.2, -0.3]), 0.7 * np.eye(2), np.empty(0)
    whole = quadrature.approximate(made, beta, L, none, 5)
    monkeypatch.setattr(quadrature, "GIANT", 0)
    few = quadrature.approximate(made, beta, L, none, 5)
    assert whole.value == pytest.approx(few.value, rel=1e-13)
    np.testing.assert_allclose(whole.beta, few.beta, rtol=1e-9)


@pytest.mark.parametrize("kind", [SOFTPLUS, EXPONENTIAL])
def test_densities_are_right_to_the_last_digits(kind):
    """F from -700 to 700 by one row of each group, against NumPy; and its derivatives."""
    eta = np.concatenate([np.linspace(-700, 690, 1001), np.linspace(-3, 3, 1001)])
    content = np.vstack([np.zeros_like(eta), np.ones_like(eta), np.zeros_like(eta), eta])
    bounds = np.arange(eta.size + 1)
    nothing = np.zeros((1, eta.size))
    g, d = joint_densities((kind, 1.0, 0.0), content, nothing, bounds, 1, nothing)
    exact = np.logaddexp(0, eta) if kind == SOFTPLUS else np.exp(eta)
    np.testing.assert_allclose(-g, exact, rtol=1e-15 * 4)
    first = expit(eta) if kind == SOFTPLUS else np.exp(eta)
    np.testing.assert_allclose(-d[0], first, rtol=1e-15 * 4)
    second = expit(eta) * expit(-eta) if kind == SOFTPLUS else first
    np.testing.assert_allclose(-d[1], second, rtol=1e-14, atol=1e-15)
