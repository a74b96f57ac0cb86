"""Standard units: the same likelihood, and the way home."""

from __future__ import annotations

import numpy as np
import pytest

from nestwise.bayes.units import Draws, standard_products, to_data, units_of
from nestwise.likelihood.conditional import conditional_density
from nestwise.likelihood.crossproducts import collapse


@pytest.mark.parametrize("kind", ["intercepts", "slopes", "independent"])
@pytest.mark.parametrize("offset", [False, True])
def test_cross_products_are_those_of_the_standardised_columns(toy, kind, offset):
    design = toy(kind, offset=np.linspace(0, 3, 80) if offset else None)
    units = units_of(design)
    found = standard_products(collapse(design), units)
    y = (design.y - (design.offset if offset else 0) - units.y_center) / units.y_scale
    X = (design.X - units.X_center) / units.X_scale
    Z, W, codes = design.random[0].Z / units.Z_scale, np.column_stack([X, y]), design.random[0].codes
    assert np.abs(X[:, 1].mean()) < 1e-12
    np.testing.assert_allclose(found.G, W.T @ W, atol=1e-9)
    for j in (0, 9):
        rows = codes == j
        np.testing.assert_allclose(found.A[j], Z[rows].T @ Z[rows], atol=1e-9)
        np.testing.assert_allclose(found.B[j], Z[rows].T @ W[rows], atol=1e-9)


def test_the_density_of_the_data_survives_the_change_of_units(toy):
    design = toy("slopes")
    units, working = units_of(design), collapse(design)
    draws = Draws(
        beta=np.array([0.1, 0.4]),
        sd=np.array([0.5, 0.2]),
        correlation=np.array([[1, 0], [0.6, 0.8]]),
        sigma=np.array(0.6),
    )
    home = to_data(draws, units)
    inside = conditional_density(standard_products(working, units), draws.beta, draws.Lambda, 0.6).value
    beta = np.linalg.solve(working.T_X, home.beta - working.beta_0) / working.scale
    Lambda = np.linalg.solve(working.T_Z, home.Lambda)
    outside = conditional_density(working, beta, Lambda, float(home.sigma) / working.scale).value
    n = design.n
    assert inside - n * np.log(units.y_scale) == pytest.approx(outside - n * np.log(working.scale), abs=1e-8)


def test_a_far_away_origin_costs_no_digits(toy):
    design = toy()
    far = toy()
    far.y[:] += 1e7
    near, there = (standard_products(collapse(d), units_of(d)) for d in (design, far))
    np.testing.assert_allclose(there.G, near.G, atol=1e-6)
