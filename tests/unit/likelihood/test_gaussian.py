"""The Gaussian likelihood: brute force, finite differences, special cases."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from nestwise.likelihood.compression import compress
from nestwise.likelihood.crossproducts import collapse
from nestwise.likelihood.gaussian import constant, criterion, deviance, form_gradients, reduce

THETAS = {"slopes": [0.8, 0.3, 0.5], "flipped": [-0.8, 0.4, 0.1], "boundary": [0.6, -0.2, 0.0]}


def marginal(design, products, theta, sigma):
    """y ~ N(X beta, V) written out: V (n, n) on the outcome's scale."""
    Lambda = products.T_Z @ products.pattern.matrix(np.asarray(theta))
    Z = np.column_stack([term.Z for term in design.random])
    codes = design.random[0].codes
    same = codes[:, None] == codes[None, :]
    return sigma**2 * (np.eye(design.n) + np.where(same, Z @ Lambda @ Lambda.T @ Z.T, 0))


def brute_force(design, products, theta, reml):
    """Minus twice the profiled (restricted) log-likelihood by dense matrices."""
    V = marginal(design, products, theta, 1.0)
    inverse, X, y = np.linalg.inv(V), design.X, design.y
    XVX = X.T @ inverse @ X
    beta = np.linalg.solve(XVX, X.T @ inverse @ y)
    r = y - X @ beta
    m = design.n - X.shape[1] if reml else design.n
    sigma2 = r @ inverse @ r / m
    value = np.linalg.slogdet(V)[1] + m * np.log(2 * np.pi * sigma2) + m
    return value + (np.linalg.slogdet(XVX)[1] if reml else 0), beta, np.sqrt(sigma2)


@pytest.mark.parametrize("theta", THETAS.values(), ids=THETAS)
@pytest.mark.parametrize("reml", [True, False])
def test_brute_force(simulate, theta, reml):
    design = simulate(J=8)
    products = collapse(design)
    at = criterion(products, products.pattern.matrix(np.array(theta)), reml=reml)
    value, beta, sigma = brute_force(design, products, theta, reml)
    assert at.value + constant(products, reml=reml) == pytest.approx(value, abs=1e-8)
    ours = products.beta_0 + products.scale * products.T_X @ at.reduced.beta
    np.testing.assert_allclose(ours, beta, rtol=1e-9)
    assert at.sigma * products.scale == pytest.approx(sigma, rel=1e-10)


def test_log_likelihood_is_the_normal_density_with_its_constants(simulate):
    """Rule 3."""
    design = simulate(J=8)
    products = collapse(design)
    theta = np.array(THETAS["slopes"])
    at = criterion(products, products.pattern.matrix(theta), reml=False)
    V = marginal(design, products, theta, at.sigma * products.scale)
    beta = products.beta_0 + products.scale * products.T_X @ at.reduced.beta
    expected = stats.multivariate_normal(design.X @ beta, V).logpdf(design.y)
    assert -(at.value + constant(products, reml=False)) / 2 == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("correlated", [True, False])
@pytest.mark.parametrize("slopes", [True, False])
@pytest.mark.parametrize("reml", [True, False])
def test_gradient_by_finite_differences(simulate, correlated, slopes, reml):
    products = collapse(simulate(correlated=correlated, slopes=slopes))
    theta = np.random.default_rng(4).normal(size=products.pattern.k)
    _, gradient = deviance(products, theta, reml=reml)
    for i in range(theta.size):
        step = np.zeros_like(theta)
        step[i] = 1e-5
        ahead, behind = (deviance(products, theta + sign * step, reml=reml)[0] for sign in (1, -1))
        assert gradient[i] == pytest.approx((ahead - behind) / 2e-5, rel=1e-6, abs=1e-5)


@pytest.mark.parametrize("reml", [True, False])
def test_gradient_by_any_lambda_and_sigma(simulate, reml):
    """Sigma free, Lambda a full matrix: what profiles and Satterthwaite rest on."""
    products = collapse(simulate())
    Lambda = np.array([[0.5, 0.2], [-0.3, 0.7]])
    at = criterion(products, Lambda, reml=reml, sigma=0.8)

    def value(change, sigma=0.8):
        return criterion(products, Lambda + change, reml=reml, sigma=sigma).value

    for i in range(2):
        for j in range(2):
            step = np.zeros((2, 2))
            step[i, j] = 1e-5
            assert at.gradient[i, j] == pytest.approx((value(step) - value(-step)) / 2e-5, rel=1e-6, abs=1e-5)
    slope = (value(0, 0.8 + 1e-6) - value(0, 0.8 - 1e-6)) / 2e-6
    assert at.d_sigma == pytest.approx(slope, rel=1e-6)


def test_three_effects_take_the_general_route(simulate, make_design):
    """q = 3 goes through LAPACK, q = 2 through closed forms: both are held against brute force."""
    design = simulate(J=12)
    x = design.X[:, 1]
    columns = {"(Intercept)": np.ones(design.n), "x": x, "x2": x**2}
    three = make_design(design.y, columns, ("g", design.random[0].codes, columns, True))
    products = collapse(three)
    theta = np.array([0.8, 0.1, -0.2, 0.5, 0.2, 0.3])
    value, _, _ = brute_force(three, products, theta, True)
    ours, gradient = deviance(products, theta, reml=True)
    assert ours + constant(products, reml=True) == pytest.approx(value, abs=1e-7)
    step = np.array([0, 0, 0, 1e-5, 0, 0])
    numeric = (
        deviance(products, theta + step, reml=True)[0] - deviance(products, theta - step, reml=True)[0]
    ) / 2e-5
    assert gradient[3] == pytest.approx(numeric, rel=1e-6)


def test_theta_zero_is_least_squares(simulate):
    design = simulate()
    products = collapse(design)
    at = criterion(products, np.zeros((2, 2)), reml=True)
    beta, rss = np.linalg.lstsq(design.X, design.y)[:2]
    np.testing.assert_allclose(at.reduced.beta, 0, atol=1e-12)
    np.testing.assert_allclose(products.beta_0, beta, rtol=1e-10)
    assert (at.sigma * products.scale) ** 2 == pytest.approx(rss[0] / (design.n - 3), rel=1e-10)


def test_sign_of_a_column_does_not_matter(simulate):
    """Why no bounds are needed."""
    products = collapse(simulate())
    a, b = (deviance(products, np.array(t), reml=True)[0] for t in ([0.7, 0.3, 0.2], [-0.7, -0.3, 0.2]))
    assert a == pytest.approx(b, abs=1e-10)


@pytest.mark.parametrize("compressed", [False, True])
def test_derivatives_of_forms(sleepstudy, compressed):
    """Of the residual sum of squares, beta at its best, and of the covariance of beta."""
    products = collapse(sleepstudy())
    products = compress(products) if compressed else products
    Lambda = np.array([[1.2, 0.0], [0.4, 0.5]])
    reduced = reduce(products, Lambda)
    U = np.column_stack([np.vstack([reduced.XX_inverse, np.zeros((1, 2))]), np.append(-reduced.beta, 1.0)])
    ours = form_gradients(products, reduced, U)

    def forms(change):
        there = reduce(products, Lambda + change)
        return np.concatenate([-there.XX_inverse.ravel(), [there.r2]])

    for i in range(2):
        for j in range(2):
            step = np.zeros((2, 2))
            step[i, j] = 1e-5
            numeric = (forms(step) - forms(-step)) / 2e-5
            found = np.append(ours[:2, :2, i, j].ravel(), ours[2, 2, i, j])
            np.testing.assert_allclose(found, numeric, rtol=1e-6, atol=1e-10)  # rounding over the step


def test_one_way_closed_form(make_design):
    """Balanced one-way layout: the REML optimum is that of analysis of variance."""
    rng = np.random.default_rng(8)
    codes = np.repeat(np.arange(6), 5)
    y = rng.normal(size=6)[codes] * 2 + rng.normal(size=30)
    one = {"(Intercept)": np.ones(30)}
    products = collapse(make_design(y, one, ("g", codes, one, True)))
    means = np.array([y[codes == j].mean() for j in range(6)])
    within = ((y - means[codes]) ** 2).sum() / 24
    between = 5 * ((means - y.mean()) ** 2).sum() / 5
    theta = np.sqrt((between - within) / 5 / within)
    value, gradient = deviance(products, np.array([theta]), reml=True)
    assert abs(gradient[0]) < 1e-9 * abs(value)
    assert criterion(products, np.array([[theta]]), reml=True).sigma * products.scale == pytest.approx(
        np.sqrt(within), rel=1e-10
    )
