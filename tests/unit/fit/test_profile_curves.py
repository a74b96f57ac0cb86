"""Profile curves: through the interval's limits, against direct minimisation, and cheap."""

from __future__ import annotations

from time import process_time

import numpy as np
import polars as pl
import pytest
from scipy.optimize import minimize
from scipy.special import ndtri

from nestwise.fit.limits import Interval
from nestwise.fit.profile import profile_intervals
from nestwise.fit.profile_curves import profile_curves
from nestwise.fit.state import solve_lmm
from nestwise.likelihood.gaussian import constant, criterion

REACH = float(ndtri(0.975))


def curves(design, state, intervals=None):
    kwargs = {"reml": design.reml, "level": 0.95}
    at = design, state.compressed, state.optimum.theta
    known = profile_intervals(*at, **kwargs) if intervals is None else intervals
    return profile_curves(*at, known, **kwargs), known


def one(frame, component, term):
    return frame.filter((pl.col("component") == component) & (pl.col("term") == term))


@pytest.mark.parametrize("which", ["slopes", "intercepts", "independent"])
def test_zeta_at_the_limits(which, sleepstudy):
    """Zeta is -1.96 and 1.96 at the limits, 0 at the estimate, and increases; whoever evaluates it."""
    design = sleepstudy(which)
    state = solve_lmm(design)
    frame, intervals = curves(design, state)
    # evaluated without knowing the limits, the curve passes through them
    blind, _ = curves(design, state, intervals={})
    for key, interval in intervals.items():
        if key[0] == "ratio":
            continue
        component, term = ("residual", "sigma") if key == ("sigma",) else (key[0], ":".join(key[2:]))
        own, unseen = one(frame, component, term), one(blind, component, term)
        zeta, value = own["zeta"].to_numpy(), own["value"].to_numpy()
        assert (np.diff(zeta) > 0).all()
        assert (np.diff(value) > 0).all()
        for limit, expected in ((interval.lower, -REACH), (interval.upper, REACH)):
            bounded = np.isclose(limit, 0) if component != "cor" else np.isclose(abs(limit), 1)
            if bounded:
                continue
            assert zeta[np.argmin(np.abs(value - limit))] == pytest.approx(expected, abs=1e-4)
            from scipy.interpolate import PchipInterpolator

            through = PchipInterpolator(unseen["value"], unseen["zeta"])(limit)
            assert through == pytest.approx(expected, abs=0.06)
        assert zeta.min() < -2.4 or np.isclose(value.min(), 0)
        assert zeta.max() > 2.4 or np.isclose(value.max(), 1)


def test_against_direct_minimisation(radon):
    """Zeta of the SD of a slope at each point, by Nelder-Mead over other parameters."""
    design = radon()
    state = solve_lmm(design)
    frame, _ = curves(design, state)
    products, best = state.products, state.solution

    def deviance(sd, phi):
        sd_0, r, sigma = np.exp(phi[0]), np.tanh(phi[1]), np.exp(phi[2])
        Sigma = np.array([[sd_0**2, r * sd_0 * sd], [r * sd_0 * sd, sd**2]])
        root = np.linalg.cholesky(Sigma + 1e-14 * np.eye(2))
        Lambda = np.linalg.solve(products.T_Z, root) / sigma
        at = criterion(products, Lambda, reml=True, sigma=sigma / products.scale)
        return at.value + constant(products, reml=True) - best.deviance

    points = one(frame, "sd", "basement")
    for value, zeta in points.select("value", "zeta").rows()[::3]:
        start = [np.log(best.sd[0]), 0.2, np.log(best.sigma)]
        options = {"xatol": 1e-9, "fatol": 1e-10, "maxiter": 4000, "maxfev": 4000}
        rise = minimize(lambda phi, v=value: deviance(v, phi), start, method="Nelder-Mead", options=options)
        assert zeta == pytest.approx(np.sign(zeta) * np.sqrt(max(rise.fun, 0)), abs=3e-3)


def test_a_limit_at_the_end_of_the_range(make_design):
    """An SD whose interval reaches 0: the curve stops there, above -1.96."""
    rng = np.random.default_rng(3)
    codes = np.repeat(np.arange(6), 4)
    y = 0.4 * rng.normal(size=6)[codes] + rng.normal(size=24)
    one_ = np.ones(24)
    design = make_design(y, {"(Intercept)": one_}, ("g", codes, {"(Intercept)": one_}, True))
    frame, intervals = curves(design, solve_lmm(design))
    assert intervals["sd", "g", "(Intercept)"].lower == 0
    own = one(frame, "sd", "(Intercept)")
    assert own["value"].min() == 0
    assert -REACH < own["zeta"].min() <= 0


def test_several_factors(make_design):
    rng = np.random.default_rng(9)
    outer, inner = np.repeat(np.arange(8), 9), np.repeat(np.arange(24), 3)
    y = rng.normal(size=8)[outer] + rng.normal(size=24)[inner] + rng.normal(size=72)
    column = {"(Intercept)": np.ones(72)}
    design = make_design(y, column, ("outer", outer, column, True), ("inner", inner, column, True))
    frame, intervals = curves(design, solve_lmm(design))
    assert frame["group"].unique(maintain_order=True).to_list() == ["outer", "inner", None]
    upper = intervals["sd", "inner", "(Intercept)"].upper
    own = frame.filter(pl.col("group") == "inner")
    nearest = own["zeta"][int((own["value"] - upper).abs().arg_min())]
    assert nearest == pytest.approx(REACH, abs=1e-4)


def test_a_parameter_without_an_interval(sleepstudy):
    """Its curve is drawn all the same, from where the deviance rises."""
    design = sleepstudy("intercepts")
    failed = {("sd", "Subject", "(Intercept)"): Interval(None, None, "the limit was not found")}
    frame, _ = curves(design, solve_lmm(design), intervals=failed)
    zeta = one(frame, "sd", "(Intercept)")["zeta"]
    assert zeta.min() < -2
    assert zeta.max() > 2


def test_it_costs_little(radon):
    """0.2 s on an idle core was asked for (measured 0.1); the bound leaves room for a busy machine."""
    design = radon()
    state = solve_lmm(design)
    _, intervals = curves(design, state)
    began = process_time()
    curves(design, state, intervals=intervals)
    assert process_time() - began < 1.0
