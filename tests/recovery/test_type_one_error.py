"""Tests hold their level with 6 to 20 groups, where z tests reject true hypotheses far too often.

Each study has unequal groups, a treatment of whole groups in three arms, and a covariate of the rows whose
slope varies between groups or not; none of the tested effects exists. The seeds are fixed. A share of
rejections may lie above the nominal 5% by 3.5 Monte Carlo standard errors. Satterthwaite's F test of the arms
with correlated slopes is left out: it is known to be liberal there, 21% with 6 groups in 1,000 studies,
where Kenward-Roger's rejects 1% (Schaalje, McBride & Fellingham 2002).
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy.special import stdtr

from nestwise.design.record import Design, RandomTerm, RowFlow
from nestwise.fit.clusters import lmm_covariance
from nestwise.fit.fixed_effects import fixed_effect_inference
from nestwise.fit.sandwich import robust_covariance
from nestwise.fit.state import solve_lmm
from nestwise.fit.variance_tests import variance_tests

NOMINAL = 0.05
NAMES = ("(Intercept)", "arm2", "arm3", "x")
ARM, X = np.eye(4)[1:3], np.eye(4)[3:]


def study(groups: int, slopes: bool, tau: float, seed: tuple[int, ...]) -> Design:
    """Unequal groups, arms in turn, and no effect of arm or x."""
    rng = np.random.default_rng(seed)
    sizes = 3 + np.arange(groups) % 6
    codes = np.repeat(np.arange(groups), sizes)
    n = codes.size
    arm, x, one = codes % 3, rng.normal(size=n), np.ones(n)
    Z = np.column_stack([one, x]) if slopes else one[:, None]
    b = tau * rng.normal(size=(groups, Z.shape[1]))
    names = ("(Intercept)", "x")[: Z.shape[1]]
    labels = tuple(str(j) for j in range(groups))
    return Design(
        study="s",
        model=f"m{seed}",
        formula="y ~ arm + x + (x | g)",
        outcome="y",
        y=(Z * b[codes]).sum(axis=1) + rng.normal(size=n),
        X=np.column_stack([one, arm == 1, arm == 2, x]).astype(float),
        names=NAMES,
        random=(RandomTerm("g", names, Z, codes, labels),),
        rows=np.arange(n),
        row_flow=RowFlow(n, n, groups, groups),
        analysis_hash="h",
    )


@cache
def p_values(groups: int, slopes: bool, studies: int) -> dict[tuple[str, str], np.ndarray]:
    """P values (S,) by (method, hypothesis)."""
    found: dict[tuple[str, str], list[float]] = {}
    for s in range(studies):
        design = study(groups, slopes, 1.0, (groups, int(slopes), s))
        state = solve_lmm(design)
        for method in ("satterthwaite", "kenward_roger", "between_within", "normal"):
            inference = fixed_effect_inference(design, state, method)
            for name, L in (("arm", ARM), ("x", X)):
                p_value = inference.F(L).p_value
                found.setdefault((method, name), []).append(1.0 if p_value is None else p_value)
        marginal = lmm_covariance(design, state.solution.Sigma, state.solution.sigma)
        robust = robust_covariance(design, state.solution.beta, marginal, "CR2")
        t = state.solution.beta[3] / np.sqrt(robust.covariance[3, 3])
        found.setdefault(("CR2", "x"), []).append(2 * float(stdtr(robust.df[3], -abs(t))))
    return {key: np.array(values) for key, values in found.items()}


def rejected(p_values: np.ndarray) -> float:
    return float((p_values < NOMINAL).mean())


def monte_carlo(studies: int) -> float:
    """3.5 standard errors of a share of 5%."""
    return 3.5 * float(np.sqrt(NOMINAL * (1 - NOMINAL) / studies))


@pytest.mark.parametrize("slopes", [False, True])
@pytest.mark.parametrize("groups", [6, pytest.param(10, marks=pytest.mark.slow), 20])
def test_fixed_effects(groups, slopes):
    """Three arms of whole groups: the hardest case there is, with 2 to 7 groups an arm."""
    studies = 300
    p = p_values(groups, slopes, studies)
    slack = monte_carlo(studies)
    for hypothesis in ("arm", "x"):
        assert rejected(p["kenward_roger", hypothesis]) < NOMINAL + slack
    assert rejected(p["CR2", "x"]) < NOMINAL + slack
    assert rejected(p["satterthwaite", "x"]) < NOMINAL + slack
    if not slopes:
        # one variance between groups: Satterthwaite and the containment rule are right too
        assert rejected(p["satterthwaite", "arm"]) < NOMINAL + slack
        assert rejected(p["between_within", "arm"]) < NOMINAL + slack
    if groups < 20:
        # the check can fail: a z test of the arms does
        assert rejected(p["normal", "arm"]) > NOMINAL + slack


@pytest.mark.slow
@pytest.mark.parametrize("groups", [6, 12])
def test_a_variance_of_zero(groups):
    studies = 500
    found = []
    for s in range(studies):
        design = study(groups, False, 0.0, (9, groups, s))
        found.append(variance_tests(design, solve_lmm(design), 1)[0].p_value)
    assert rejected(np.array(found)) == pytest.approx(NOMINAL, abs=monte_carlo(studies))
