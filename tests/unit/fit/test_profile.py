"""Profile intervals: against a grid search by brute force, at boundaries, and in their failure."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from nestwise.fit.limits import Quantity, limits
from nestwise.fit.lmm import fit_lmm
from nestwise.fit.profile import profile_intervals
from nestwise.fit.state import solve_lmm
from nestwise.likelihood.gaussian import constant, criterion

RISE = 3.841458820694124


def intervals(design, level=0.95):
    state = solve_lmm(design)
    return profile_intervals(design, state.compressed, state.optimum.theta, reml=design.reml, level=level)


def brute_rise(design, sd=None, cor=None):
    """Rise of the deviance with one parameter fixed, over (log sd, atanh r, log sigma) by Nelder-Mead."""
    state = solve_lmm(design)
    products, best = state.products, state.solution

    def value(sd_0, sd_1, r, sigma):
        Sigma = np.array([[sd_0**2, r * sd_0 * sd_1], [r * sd_0 * sd_1, sd_1**2]])
        root = np.linalg.cholesky(Sigma + 1e-14 * np.eye(2))
        Lambda = np.linalg.solve(products.T_Z, root) / sigma
        at = criterion(products, Lambda, reml=design.reml, sigma=sigma / products.scale)
        return at.value + constant(products, reml=design.reml) - best.deviance

    def free(phi):
        others = list(phi)
        sd_0 = sd if sd is not None else np.exp(others.pop())
        r = cor if cor is not None else np.tanh(others.pop())
        return value(sd_0, np.exp(others[0]), r, np.exp(others[1]))

    starts = [[np.log(s), np.log(best.sigma), 0.3] for s in (0.5 * best.sd[1], 1.5 * best.sd[1])]
    options = {"xatol": 1e-9, "fatol": 1e-9, "maxiter": 4000, "maxfev": 4000}
    return min(minimize(free, start, method="Nelder-Mead", options=options).fun for start in starts)


def test_limits_are_where_the_deviance_has_risen(radon):
    """Brute force with other parameters and another optimiser."""
    design = radon()
    found = intervals(design)
    for limit in (found["sd", "county", "(Intercept)"].lower, found["sd", "county", "(Intercept)"].upper):
        assert brute_rise(design, sd=limit) == pytest.approx(RISE, abs=2e-3)


@pytest.mark.parametrize("sign", [-1, 1])
def test_limits_of_a_correlation(radon, sign):
    """Brute force again, on both sides of radon's: 1 where the deviance never rises that far."""
    design = radon()
    found = intervals(design)["cor", "county", "(Intercept)", "basement"]
    limit = found.upper if sign > 0 else found.lower
    if abs(limit) == 1:
        assert brute_rise(design, cor=0.9999 * limit) < RISE
    else:
        assert brute_rise(design, cor=limit) == pytest.approx(RISE, abs=2e-3)


def test_correlation_with_an_sd_that_may_be_zero(make_design):
    """Where a standard deviation may be 0 any correlation fits the data."""
    rng = np.random.default_rng(10)
    codes = np.repeat(np.arange(8), 4)
    x = np.tile(np.arange(4.0), 8)
    both = {"(Intercept)": np.ones(32), "x": x}
    y = rng.normal(size=8)[codes] + 0.1 * rng.normal(size=8)[codes] * x + rng.normal(size=32)
    found = intervals(make_design(y, both, ("g", codes, both, True)))
    assert found["sd", "g", "x"].lower == 0
    assert (found["cor", "g", "(Intercept)", "x"].lower, found["cor", "g", "(Intercept)", "x"].upper) == (
        -1,
        1,
    )


def test_sigma_of_a_balanced_one_way_layout(make_design):
    """Closed form under REML with J(n - 1) residual degrees of freedom."""
    rng = np.random.default_rng(11)
    codes = np.repeat(np.arange(8), 5)
    y = 3 * rng.normal(size=8)[codes] + rng.normal(size=40)
    one = {"(Intercept)": np.ones(40)}
    found = intervals(make_design(y, one, ("g", codes, one, True)))["sigma",]
    means = np.array([y[codes == j].mean() for j in range(8)])
    rss, df = ((y - means[codes]) ** 2).sum(), 32

    def rise(sigma):
        return df * np.log(sigma**2) + rss / sigma**2 - df * np.log(rss / df) - df

    assert rise(found.lower) == pytest.approx(RISE, rel=1e-4)
    assert rise(found.upper) == pytest.approx(RISE, rel=1e-4)


def test_level(sleepstudy):
    narrow, wide = intervals(sleepstudy(), 0.5), intervals(sleepstudy(), 0.99)
    for key, inner in narrow.items():
        assert wide[key].lower < inner.lower < inner.upper < wide[key].upper


def test_ratio_gives_the_icc(sleepstudy):
    rows = {
        row.term: row for row in fit_lmm(sleepstudy("intercepts")).estimates if row.component == "derived"
    }
    ratio, icc, size = rows["variance_ratio"], rows["icc"], rows["break_even_n"]
    assert icc.lower == pytest.approx(ratio.lower / (1 + ratio.lower))
    assert size.upper == pytest.approx(1 / ratio.lower)
    assert icc.lower < icc.estimate < icc.upper
    assert rows["residual_share"].estimate == pytest.approx(1 - icc.estimate)


def test_a_better_optimum_elsewhere_is_a_failure_not_an_interval():
    """Null with a reason, never a number from a wrong optimum."""
    quantity = Quantity(
        at=0.0,
        start=np.array([0.0]),
        value=lambda psi: lambda phi: ((psi - 1) ** 2 + phi[0] ** 2, 2 * phi),
        low=-np.inf,
        high=np.inf,
    )
    found = limits(quantity, optimum=1.0, rise=RISE)
    assert (found.lower, found.upper) == (None, None)
    assert "better optimum" in found.failure


def test_limits_of_a_parabola():
    """rise = psi^2 (1 - c^2) after the nuisance has followed: limits at sqrt(rise / (1 - c^2))."""
    c = 0.8
    quantity = Quantity(
        at=0.0,
        start=np.array([0.0]),
        value=lambda psi: (
            lambda phi: (
                psi**2 - 2 * c * psi * phi[0] + phi[0] ** 2,
                2 * phi - 2 * c * psi,
            )
        ),
        low=-np.inf,
        high=1.0,
    )
    found = limits(quantity, optimum=0.0, rise=0.09)
    assert found.lower == pytest.approx(-0.3 / 0.6, rel=1e-4)
    assert found.upper == pytest.approx(0.3 / 0.6, rel=1e-4)
    assert limits(quantity, optimum=0.0, rise=4.0).upper == 1.0
