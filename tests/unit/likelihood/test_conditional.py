"""The likelihood given beta, Lambda and sigma: brute force, finite differences, the profiled one, draws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from nestwise.likelihood.compression import compress
from nestwise.likelihood.conditional import (
    BLOCK,
    conditional_density,
    draw_random_effects,
    group_log_densities,
)
from nestwise.likelihood.crossproducts import collapse
from nestwise.likelihood.gaussian import criterion

SIGMA = 0.7
LAMBDAS = {
    "lower": np.array([[0.8, 0.0], [0.3, 0.5]]),
    "full": np.array([[0.8, -0.4], [0.3, 0.5]]),
    "singular": np.array([[0.8, 0.0], [0.4, 0.0]]),
    "zero": np.zeros((2, 2)),
}


@pytest.fixture(scope="module")
def design(make_design):
    rng = np.random.default_rng(3)
    g = rng.integers(0, 7, 50)
    one, x = np.ones(50), rng.normal(size=50)
    y = 2 + x + rng.normal(size=7)[g] + rng.normal(size=50)
    return make_design(y, {"(Intercept)": one, "x": x}, ("g", g, {"(Intercept)": one, "x": x}, True))


@pytest.fixture(scope="module")
def products(design):
    return collapse(design)


def working(design, products):
    """[X, y], Z and the codes in the parametrisation of the cross-products."""
    X = design.X @ products.T_X
    y = (design.y - design.X @ products.beta_0) / products.scale
    return X, y, design.random[0].Z @ products.T_Z, design.random[0].codes


def covariance(Z, codes, Lambda, sigma):
    same = codes[:, None] == codes[None, :]
    return sigma**2 * (np.eye(len(codes)) + np.where(same, Z @ Lambda @ Lambda.T @ Z.T, 0))


@pytest.mark.parametrize("name", LAMBDAS)
def test_value_is_the_multivariate_normal_density(design, products, name):
    X, y, Z, codes = working(design, products)
    beta = np.array([0.3, -0.2])
    expected = stats.multivariate_normal(X @ beta, covariance(Z, codes, LAMBDAS[name], SIGMA)).logpdf(y)
    assert conditional_density(products, beta, LAMBDAS[name], SIGMA).value == pytest.approx(
        expected, rel=1e-11
    )


@pytest.mark.parametrize("name", LAMBDAS)
def test_gradient_is_the_finite_difference(products, name):
    def at(point):
        return conditional_density(products, point[:2], point[2:6].reshape(2, 2), point[6])

    point = np.concatenate([[0.3, -0.2], LAMBDAS[name].ravel(), [SIGMA]])
    step = 1e-6
    numeric = [
        (at(point + step * unit).value - at(point - step * unit).value) / (2 * step) for unit in np.eye(7)
    ]
    found = at(point)
    exact = np.concatenate([found.d_beta, found.d_Lambda.ravel(), [found.d_sigma]])
    np.testing.assert_allclose(exact, numeric, rtol=1e-6, atol=1e-6)


def test_it_meets_the_profiled_deviance_at_its_own_beta_and_sigma(products):
    profiled = criterion(products, LAMBDAS["lower"], reml=False)
    found = conditional_density(products, profiled.reduced.beta, LAMBDAS["lower"], profiled.sigma)
    assert -2 * found.value == pytest.approx(profiled.value, abs=1e-9)
    assert np.abs(found.d_beta).max() < 1e-9
    assert abs(found.d_sigma) < 1e-9
    np.testing.assert_allclose(-2 * found.d_Lambda, profiled.gradient, atol=1e-9)


def test_compressed_products_have_the_same_value(sleepstudy):
    products = collapse(sleepstudy())
    small = compress(products)
    assert small.J < products.J
    arguments = (np.array([0.2, 0.1]), LAMBDAS["lower"], SIGMA)
    whole, part = conditional_density(products, *arguments), conditional_density(small, *arguments)
    assert part.value == pytest.approx(whole.value, abs=1e-9)
    np.testing.assert_allclose(part.d_Lambda, whole.d_Lambda, atol=1e-8)


def test_groups_add_up_and_each_is_its_own_density(design, products):
    X, y, Z, codes = working(design, products)
    W = np.column_stack([X, y])
    G = np.array([W[codes == j].T @ W[codes == j] for j in range(products.J)])
    beta, Lambda = np.array([0.3, -0.2]), LAMBDAS["full"]
    found = group_log_densities(products, G, beta[None], Lambda[None], np.array([SIGMA]))
    assert found.sum() == pytest.approx(conditional_density(products, beta, Lambda, SIGMA).value, abs=1e-9)
    rows = codes == 2
    V = covariance(Z[rows], codes[rows], Lambda, SIGMA)
    expected = stats.multivariate_normal(X[rows] @ beta, V).logpdf(y[rows])
    assert found[0, 2] == pytest.approx(expected, abs=1e-9)


def test_draws_have_the_conditional_mean_and_covariance(design, products):
    X, y, Z, codes = working(design, products)
    S, beta, Lambda = 100_000, np.array([0.3, -0.2]), LAMBDAS["lower"]
    stream = draw_random_effects(
        products, np.tile(beta, (S, 1)), np.tile(Lambda, (S, 1, 1)), np.full(S, SIGMA), seed=4
    )
    b = np.concatenate([block for _, block in stream], axis=1)
    rows = codes == 1
    prior = SIGMA**2 * Lambda @ Lambda.T
    V = covariance(Z[rows], codes[rows], Lambda, SIGMA)
    gain = prior @ Z[rows].T @ np.linalg.inv(V)
    mean, cov = gain @ (y[rows] - X[rows] @ beta), prior - gain @ Z[rows] @ prior
    limit = 5 * np.sqrt(np.diag(cov) / S)
    assert (np.abs(b[:, 1].mean(axis=0) - mean) < limit).all()
    np.testing.assert_allclose(np.cov(b[:, 1].T), cov, atol=0.02 * cov.max())


def test_draws_of_a_group_do_not_depend_on_those_after_it(make_design):
    def draws(J):
        g = np.repeat(np.arange(J), 3)
        y = np.sin(np.arange(3 * J) * 1.7)
        one = np.ones(3 * J)
        products = collapse(make_design(y, {"(Intercept)": one}, ("g", g, {"(Intercept)": one}, True)))
        arguments = (np.zeros((5, 1)), np.full((5, 1, 1), 0.5), np.ones(5))
        blocks = list(draw_random_effects(products, *arguments, seed=9))
        assert [block.shape[1] for _, block in blocks][:-1] == [BLOCK] * (len(blocks) - 1)
        return np.concatenate([block for _, block in blocks], axis=1)[:, :, 0]

    few, many = draws(2 * BLOCK), draws(2 * BLOCK + 5)
    # the working outcome differs a little between the two data sets, the stream does not
    np.testing.assert_allclose(
        few - few.mean(0), many[:, : 2 * BLOCK] - many[:, : 2 * BLOCK].mean(0), atol=1e-9
    )
