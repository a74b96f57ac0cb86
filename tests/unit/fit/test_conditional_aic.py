"""Conditional AIC against brute force: every outcome moved a little, the model fitted again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nestwise.design.record import Membership
from nestwise.fit.conditional_aic import conditional_aic, conditional_rows
from nestwise.fit.fixed_effects import fixed_effect_inference
from nestwise.fit.state import solve_lmm


def predictions(design):
    """Expected rows with the predicted random effects (n,), with dense matrices."""
    solution = solve_lmm(design).solution
    V, R = dense(design, solution)
    residual = design.y_less_offset - design.X @ solution.beta
    return design.y - R @ np.linalg.solve(V, residual)


def dense(design, solution):
    V, start = np.zeros((design.n, design.n)), 0
    for term in design.random:
        q = len(term.names)
        member = np.zeros((design.n, term.n_groups))
        if term.membership is None:
            member[np.arange(design.n), term.codes] = 1
        else:
            for codes, weights in zip(term.membership.codes.T, term.membership.weights.T, strict=True):
                np.add.at(member, (np.arange(design.n), codes), weights)
        Sigma = solution.Sigma[start : start + q, start : start + q]
        V += (term.Z @ Sigma @ term.Z.T) * (member @ member.T)
        start += q
    weights = np.ones(design.n) if design.weights is None else design.weights
    known = design.sampling_error
    R = np.diag(known**2 if known is not None else solution.sigma**2 / weights)
    return V + R, R


def brute_force(design, step):
    trace = 0.0
    for row in range(design.n):
        moved = []
        for sign in (1, -1):
            y = design.y.copy()
            y[row] += sign * step
            moved.append(predictions(replace(design, y=y))[row])
        trace += (moved[0] - moved[1]) / (2 * step)
    return trace


def grouped(make_design, seed=1, tau=1.0, slopes=False, correlated=True, **kwargs):
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(7), [3, 4, 5, 6, 3, 4, 5])
    x, one = rng.normal(size=30), np.ones(30)
    y = 1 + x + tau * (rng.normal(size=7)[codes] + rng.normal(size=7)[codes] * x) + rng.normal(size=30)
    varying = {"(Intercept)": one, "x": x} if slopes else {"(Intercept)": one}
    return make_design(y, {"(Intercept)": one, "x": x}, ("g", codes, varying, correlated), **kwargs)


DESIGNS = {
    "intercepts": {},
    "ml": {"reml": False},
    "slopes": {"slopes": True},
    "independent": {"slopes": True, "correlated": False, "reml": False},
}


@pytest.mark.parametrize("name", DESIGNS)
def test_brute_force(make_design, name):
    design = grouped(make_design, **DESIGNS[name])
    found = conditional_aic(design, solve_lmm(design))
    assert found.rho == pytest.approx(brute_force(design, 1e-3), abs=1e-3)
    assert 2 < found.rho_known < found.rho < 30


def test_weights_several_factors_and_memberships(make_design):
    rng = np.random.default_rng(8)
    base = grouped(make_design, 8, tau=1.5)
    second = rng.integers(0, 5, size=30)
    design = grouped(make_design, 8, tau=1.5)
    other = replace(
        base.random[0],
        group="h",
        codes=second,
        labels=tuple("abcde"),
        membership=Membership(np.column_stack([second, (second + 1) % 5]), np.full((30, 2), 0.5)),
    )
    y = base.y + 2 * rng.normal(size=5)[second]
    design = replace(base, y=y, random=(*base.random, other), weights=rng.uniform(0.5, 2, size=30))
    found = conditional_aic(design, solve_lmm(design))
    assert found.rho == pytest.approx(brute_force(design, 1e-3), abs=1e-3)


def test_known_errors(make_design):
    rng = np.random.default_rng(2)
    s = rng.uniform(0.5, 1.5, size=12)
    y = rng.normal(size=12) * 1.5 + rng.normal(size=12) * s
    one = {"(Intercept)": np.ones(12)}
    design = make_design(y, one, ("g", np.arange(12), one, True))
    design = replace(design, sampling_error=s)
    found = conditional_aic(design, solve_lmm(design))
    assert found.rho == pytest.approx(brute_force(design, 1e-3), abs=1e-3)
    assert found.caic == pytest.approx(-2 * found.log_likelihood + 2 * found.rho)


def test_on_the_boundary_it_is_the_aic_of_least_squares(make_design):
    design = grouped(make_design, 3, tau=0.0, reml=False)
    state = solve_lmm(design)
    assert state.optimum.singular
    found = conditional_aic(design, state)
    assert found.rho == pytest.approx(2, abs=1e-8)
    residual = design.y - design.X @ np.linalg.lstsq(design.X, design.y, rcond=None)[0]
    log_likelihood = -15 * (np.log(2 * np.pi * residual @ residual / 30) + 1)
    assert found.log_likelihood == pytest.approx(log_likelihood)
    assert found.caic == pytest.approx(-2 * log_likelihood + 2 * 3)
    assert [(row.term, row.estimate) for row in conditional_rows(found)] == [
        ("caic", found.caic),
        ("effective_df", found.rho),
    ]
    assert fixed_effect_inference(design, state, "satterthwaite").t(np.eye(2)) == pytest.approx(30)
