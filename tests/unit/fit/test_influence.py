"""Groups left out: against generalised least squares without their rows, and against real refits."""

from __future__ import annotations

from dataclasses import replace
from time import process_time

import numpy as np
import polars as pl
import pytest

from nestwise.design.record import Membership
from nestwise.fit import influence_crossed
from nestwise.fit.influence import influence, influence_frame
from nestwise.fit.influence_crossed import influence_by_equations
from nestwise.fit.lmm import fit_lmm
from nestwise.fit.state import solve_lmm
from nestwise.vocabulary import INFLUENCE


def dense_covariance(design, solution):
    """V (n, n)."""
    V = np.zeros((design.n, design.n))
    for factor in design.factors:
        Sigma = solution.Sigma[np.ix_(factor.columns, factor.columns)]
        term = factor.terms[0]
        shares = np.eye(factor.n_groups)[factor.codes]
        if term.membership is not None:
            shares = np.einsum("im,imj->ij", term.membership.weights, np.eye(8)[term.membership.codes])
        relation = np.eye(factor.n_groups) if term.relation is None else term.relation
        V += (shares @ relation @ shares.T) * (factor.Z @ Sigma @ factor.Z.T)
    known = design.sampling_error
    weights = np.ones(design.n) if design.weights is None else design.weights
    return V + np.diag(solution.sigma**2 / weights if known is None else known**2)


def least_squares(design, V, rows):
    """Beta and its covariance by generalised least squares on some rows."""
    P = np.linalg.inv(V[np.ix_(rows, rows)])
    C = np.linalg.inv(design.X[rows].T @ P @ design.X[rows])
    return C @ design.X[rows].T @ P @ design.y_less_offset[rows], C


def brute(design, solution, factor):
    """The measures as HLMdiag defines them, one deletion after the other."""
    V = dense_covariance(design, solution)
    p = design.X.shape[1]
    beta, C = least_squares(design, V, np.arange(design.n))
    hat = np.diag(design.X @ C @ design.X.T @ np.linalg.inv(V))
    found = {name: [] for name in ("cook", "mdffits", "covratio", "covtrace", "leverage", "dfbeta")}
    for j in range(factor.n_groups):
        without, C_j = least_squares(design, V, np.flatnonzero(factor.codes != j))
        d = beta - without
        found["cook"].append(d @ np.linalg.solve(C, d) / p)
        found["mdffits"].append(d @ np.linalg.solve(C_j, d) / p)
        found["covratio"].append(np.linalg.det(C_j) / np.linalg.det(C))
        found["covtrace"].append(abs(np.trace(np.linalg.solve(C, C_j)) - p))
        found["leverage"].append(hat[factor.codes == j].mean())
        found["dfbeta"].append(d)
    return {name: np.array(values) for name, values in found.items()}


def compare(found, expected, rtol=1e-7):
    for name, values in expected.items():
        scale = np.abs(values).max(axis=0)
        np.testing.assert_allclose(getattr(found, name) / scale, values / scale, atol=rtol, err_msg=name)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("which", ["sleepstudy", "unbalanced"])
def test_one_factor_by_deletion(which, weighted, sleepstudy, simulate):
    design = sleepstudy() if which == "sleepstudy" else simulate()
    if weighted:
        design = replace(design, weights=np.linspace(0.5, 2, design.n), offset=np.linspace(0, 3, design.n))
    solution = solve_lmm(design).solution
    [found] = influence(design, solution)
    compare(found, brute(design, solution, design.factors[0]))


def two_factors(make_design, nested):
    rng = np.random.default_rng(5)
    outer = np.repeat(np.arange(8), 9)
    inner = np.repeat(np.arange(24), 3) if nested else rng.integers(0, 6, 72)
    x, one = rng.normal(size=72), np.ones(72)
    y = x + rng.normal(size=8)[outer] + rng.normal(size=24)[inner] + rng.normal(size=72)
    both = {"(Intercept)": one, "x": x}
    terms = ("outer", outer, both, True), ("inner", inner, {"(Intercept)": one}, True)
    return make_design(y, both | {"w": rng.normal(size=8)[outer]}, *terms)


RELATION = 0.6 ** np.abs(np.subtract.outer(np.arange(8.0), np.arange(8.0)))


@pytest.mark.parametrize("rows", ["plain", "weights", "known", "related", "members"])
@pytest.mark.parametrize("nested", [True, False])
def test_several_factors_by_deletion(nested, rows, make_design):
    """Rows of an inner group covary with the rest of the outer one, those of a crossed one with everybody."""
    design = two_factors(make_design, nested)
    if rows == "weights":
        design = replace(design, weights=np.linspace(0.5, 2, 72), offset=np.linspace(0, 3, 72))
    if rows == "known":
        design = replace(design, sampling_error=np.linspace(0.5, 1.5, 72))
    if rows in ("related", "members"):
        first, second = design.random
        also = np.column_stack([first.codes, np.roll(first.codes, 5)])
        membership = Membership(also, np.tile([0.7, 0.3], (72, 1)))
        change = {"relation": RELATION} if rows == "related" else {"membership": membership}
        design = replace(design, random=(replace(first, **change), second))
    state = solve_lmm(design)
    found, left_out = influence_by_equations(design, state)
    assert [one.group for one in found] == ["outer", "inner"]
    assert not left_out
    for one, factor in zip(found, design.factors, strict=True):
        compare(one, brute(design, state.solution, factor))


def test_groups_that_touch_too_many_are_named(make_design, monkeypatch):
    design = two_factors(make_design, nested=False)
    monkeypatch.setattr(influence_crossed, "COSTLY", 0.0)
    fit = fit_lmm(design)
    assert fit.influence.height == 0
    assert any("groups of outer and inner would do was not computed" in text for text in fit.warnings)


def test_leverage_adds_up(simulate):
    design = simulate()
    [found] = influence(design, solve_lmm(design).solution)
    assert found.leverage @ found.n == pytest.approx(3, rel=1e-10)


def test_a_group_that_nothing_else_stands_in_for(make_design):
    """Rule 33: the only group with a predictor's value determines its coefficient: nulls, not numbers."""
    rng = np.random.default_rng(6)
    codes = np.repeat(np.arange(6), 5)
    fixed = {"(Intercept)": np.ones(30), "treated": (codes == 2).astype(float)}
    y = rng.normal(size=6)[codes] + rng.normal(size=30)
    design = make_design(y, fixed, ("g", codes, {"(Intercept)": np.ones(30)}, True))
    frame = influence_frame(influence(design, solve_lmm(design).solution))
    assert frame.columns == list(INFLUENCE)
    cook = frame["cook"].to_list()
    assert cook[2] is None
    assert None not in cook[:2] + cook[3:]
    assert frame["leverage"].null_count() == 0


def test_beside_real_refits(sleepstudy):
    """Balanced, beta is the mean of the groups' own lines whatever V is: fixed V is exact."""
    design = sleepstudy()
    state = solve_lmm(design)
    [found] = influence(design, state.solution)
    moves = []
    for j in range(18):
        kept = design.random[0].codes != j
        codes = np.unique(design.random[0].codes[kept], return_inverse=True)[1]
        labels = tuple(np.delete(design.random[0].labels, j))
        term = replace(design.random[0], Z=design.random[0].Z[kept], codes=codes, labels=labels)
        left = replace(design, y=design.y[kept], X=design.X[kept], random=(term,), rows=design.rows[kept])
        moves.append(state.solution.beta - solve_lmm(left).solution.beta)
    np.testing.assert_allclose(found.dfbeta, np.array(moves), atol=1e-6)


def test_unbalanced_refits_are_near(radon):
    """Where V matters: refits without the most influential counties move beta nearly as foretold."""
    design = radon()
    state = solve_lmm(design)
    [found] = influence(design, state.solution)
    C_inverse = np.linalg.inv(state.solution.cov_beta)
    for j in np.argsort(found.cook)[::-1][:4]:
        kept = design.random[0].codes != j
        codes = np.unique(design.random[0].codes[kept], return_inverse=True)[1]
        labels = tuple(np.delete(design.random[0].labels, j))
        term = replace(design.random[0], Z=design.random[0].Z[kept], codes=codes, labels=labels)
        left = replace(design, y=design.y[kept], X=design.X[kept], random=(term,), rows=design.rows[kept])
        move = state.solution.beta - solve_lmm(left).solution.beta
        error = move - found.dfbeta[j]
        assert error @ C_inverse @ error < 0.2 * (move @ C_inverse @ move)


def test_many_groups_are_quick(make_design):
    """100,000 groups: no loop over groups."""
    rng = np.random.default_rng(7)
    codes = np.repeat(np.arange(100_000), 4)
    x = rng.normal(size=codes.size)
    one = np.ones(codes.size)
    both = {"(Intercept)": one, "x": x}
    y = x + rng.normal(size=100_000)[codes] + rng.normal(size=codes.size)
    design = make_design(y, both, ("g", codes, {"(Intercept)": one}, True))
    solution = solve_lmm(design).solution
    began = process_time()
    [found] = influence(design, solution)
    seconds = process_time() - began
    assert np.isfinite(found.cook).all()
    assert seconds < 3, seconds  # 0.3 s on an idle core; the bound leaves room for a busy machine
    assert isinstance(influence_frame([found]), pl.DataFrame)
