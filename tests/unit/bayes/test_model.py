"""The PyMC model: its variables, its density against scipy, its gradient, its LKJ prior."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from nestwise.bayes.compile import compile_model, settle_pytensor
from nestwise.bayes.engine import pymc_model
from nestwise.bayes.model import correlation_factors, structure_of, vine_shapes
from nestwise.bayes.predictive import prior_draws
from nestwise.config.study import Prior

settle_pytensor()
LOCATION = {"beta": np.array([0.1, -0.3]), "sigma": 0.8}


def half_t(x):
    return np.log(2) + stats.t(3, scale=2.5).logpdf(x)


def expected(design, prepared, sd, partial):
    """Log joint density at beta, sd, partial correlation and sigma, in plain scipy, no Jacobians."""
    units = prepared.units
    Z, codes = design.random[0].Z / units.Z_scale, design.random[0].codes
    X = (design.X - units.X_center) / units.X_scale
    y = (design.y - units.y_center) / units.y_scale
    beta, sigma = LOCATION["beta"], LOCATION["sigma"]
    Sigma = np.diag(sd**2)
    if partial is not None:
        Sigma[0, 1] = Sigma[1, 0] = partial * sd.prod()
    same = codes[:, None] == codes[None, :]
    V = sigma**2 * np.eye(design.n) + np.where(same, Z @ Sigma @ Z.T, 0)
    total = stats.multivariate_normal(X @ beta, V).logpdf(y)
    total += stats.norm(0, 2.5).logpdf(beta).sum() + half_t(sd).sum() + half_t(sigma)
    return total if partial is None else total + stats.beta(2, 2).logpdf((partial + 1) / 2)


@pytest.mark.parametrize(
    ("kind", "sd", "partial"),
    [
        ("intercepts", np.array([0.5]), None),
        ("slopes", np.array([0.5, 0.3]), -0.4),
        ("independent", np.array([0.5, 0.3]), None),
    ],
)
def test_the_joint_density_is_that_of_scipy(toy, prepared, kind, sd, partial):
    ready = prepared(kind)
    model = pymc_model(ready)
    point = {"beta": LOCATION["beta"], "sd_log__": np.log(sd), "sigma_log__": np.log(LOCATION["sigma"])}
    if partial is not None:
        u = (partial + 1) / 2
        point["partial_logodds__"] = np.array([np.log(u / (1 - u))])
    value = model.compile_logp(jacobian=False, mode="FAST_COMPILE")(point)
    assert value == pytest.approx(expected(toy(kind), ready, sd, partial), abs=1e-6)


def test_the_compiled_gradient_is_the_finite_difference(prepared):
    compiled = compile_model(pymc_model(prepared("slopes")))
    point = np.array([0.2, 0.1, -0.5, -1.5, -0.3, 0.7])
    _, gradient = compiled.log_density(point)
    step = 1e-6
    numeric = [
        (compiled.log_density(point + step * unit)[0] - compiled.log_density(point - step * unit)[0])
        / (2 * step)
        for unit in np.eye(point.size)
    ]
    np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-6)


def test_the_callback_gives_nutpie_the_same_numbers(prepared):
    import ctypes

    compiled = compile_model(pymc_model(prepared("slopes")))
    handed = compiled.sampler_input
    pointer = ctypes.POINTER(ctypes.c_double)
    point = np.array([0.2, 0.1, -0.5, -1.5, -0.3, 0.7])
    gradient, value = np.zeros(6), np.zeros(1)
    arrays = [array.ctypes.data_as(pointer) for array in (point, gradient, value, handed.user_data)]
    assert handed.compiled_logp_func.ctypes(6, *arrays) == 0
    expected_value, expected_gradient = compiled.log_density(point)
    assert value[0] == expected_value
    np.testing.assert_array_equal(gradient, expected_gradient)
    point[:] = 1e6
    assert handed.compiled_logp_func.ctypes(6, *arrays) != 0  # overflow is told to the sampler


def test_variables_and_dimensions_are_named(prepared):
    model = pymc_model(prepared("slopes"))
    assert [variable.name for variable in model.free_RVs] == ["beta", "sd", "sigma", "partial"]
    assert model.coords["random"] == ("g|(Intercept)", "g|x")
    assert model.coords["pair"] == ("(Intercept):x",)


def test_mixed_families_keep_their_order(prepared):
    priors = {"(Intercept)": Prior(distribution="student_t", location=4, scale=2, df=4)}
    ready = prepared("intercepts", priors=priors)
    model = pymc_model(ready)
    assert [variable.name for variable in model.free_RVs] == ["beta_student_t", "beta_normal", "sd", "sigma"]
    units = ready.units
    row = ready.standard_priors[0]
    assert row.location == pytest.approx((4 - units.y_center) / units.y_scale)
    assert row.scale == pytest.approx(2 / units.y_scale)


def test_partial_correlations_with_these_betas_are_lkj(make_design):
    """Known of LKJ: its marginal correlations are Beta, and the mean of its determinant is a product."""
    g = np.repeat(np.arange(6), 10)
    rng = np.random.default_rng(2)
    columns = {name: rng.normal(size=60) for name in "abc"}
    design = make_design(rng.normal(size=60), {"(Intercept)": np.ones(60)}, ("g", g, columns, True))
    structure = structure_of(design)
    shapes = vine_shapes(structure, [2.0])
    r = 2 * rng.beta(shapes, shapes, size=(200_000, 3)) - 1
    L = correlation_factors(r, structure.starts)
    R = L @ np.swapaxes(L, 1, 2)
    np.testing.assert_allclose(np.diagonal(R, axis1=1, axis2=2), 1)
    # every correlation of an LKJ(eta) matrix is 2 Beta(eta - 1 + d / 2) - 1: here Beta(2.5, 2.5)
    marginal = stats.beta(2.5, 2.5, loc=-1, scale=2)
    for row, col in ((1, 0), (2, 0), (2, 1)):
        assert stats.kstest(R[:20_000, row, col], marginal.cdf).pvalue > 1e-3
    # E[det^1] under LKJ(2): normalising constants c(2) / c(3) by the vine
    det = np.prod(1 - r**2, axis=1)
    exact = np.prod([(2 * a) / (2 * a + 1) for a in shapes])  # E[1 - r^2] of r = 2 Beta(a, a) - 1
    assert det.mean() == pytest.approx(exact, abs=5 * det.std() / np.sqrt(det.size))


def test_prior_draws_follow_the_priors(prepared):
    ready = prepared("slopes")
    draws = prior_draws(ready.structure, ready.standard_priors, 20_000, np.random.default_rng(1))
    assert stats.kstest(draws.beta[:, 0], stats.norm(0, 2.5).cdf).pvalue > 1e-3
    assert stats.kstest(draws.sd[:, 1], lambda x: 2 * stats.t(3, scale=2.5).cdf(x) - 1).pvalue > 1e-3
    assert stats.kstest(draws.correlation[:, 1, 0], stats.beta(2, 2, loc=-1, scale=2).cdf).pvalue > 1e-3
