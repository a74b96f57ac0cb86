"""Predictions: variances by dense algebra, degrees of freedom in special cases, coverage by simulation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from nestwise.fit.prediction import NewRows, design_rows, predict
from nestwise.fit.simulation import random_part, simulate
from nestwise.fit.state import solve_lmm


def dense(design, solution):
    """Full Z, covariance of all random effects and of the rows."""
    blocks, G = [], []
    for factor in design.factors:
        indicator = np.eye(factor.n_groups)[factor.codes]
        blocks.append(np.einsum("ij,iq->ijq", indicator, factor.Z).reshape(design.n, -1))
        Sigma = solution.Sigma[np.ix_(factor.columns, factor.columns)]
        relation = factor.terms[0].relation
        G.append(np.kron(np.eye(factor.n_groups) if relation is None else relation, Sigma))
    from scipy.linalg import block_diag

    Z, D = np.hstack(blocks), block_diag(*G)
    return Z, D, Z @ D @ Z.T + solution.sigma**2 * np.eye(design.n)


def brute_variance(design, solution):
    """Variance of x'(beta_hat - beta) + z'(b_hat - b) at each row of the data, from V itself."""
    Z, D, V = dense(design, solution)
    P = np.linalg.inv(V)
    X = design.X
    C = np.linalg.inv(X.T @ P @ X)
    to_b = D @ Z.T @ P  # b_hat = to_b (y - X beta_hat)
    lead = X - Z @ to_b @ X
    return np.diag(lead @ C @ lead.T) + np.diag(Z @ (D - to_b @ Z @ D) @ Z.T)


@pytest.fixture(scope="module")
def crossed(make_design):
    rng = np.random.default_rng(4)
    a, b = rng.integers(0, 6, 70), rng.integers(0, 5, 70)
    x = rng.normal(size=70)
    one = np.ones(70)
    y = 2 + x + rng.normal(size=6)[a] + rng.normal(size=5)[b] + 0.5 * rng.normal(size=6)[a] * x
    y = y + 0.7 * rng.normal(size=70)
    both = {"(Intercept)": one, "x": x}
    return make_design(y, both, ("a", a, both, True), ("b", b, {"(Intercept)": one}, True))


@pytest.fixture(scope="module")
def related(crossed):
    relation = 1.5 * 0.6 ** np.abs(np.subtract.outer(np.arange(6.0), np.arange(6.0)))
    first, *others = crossed.random
    return replace(crossed, random=(replace(first, relation=relation), *others))


@pytest.mark.parametrize("which", ["sleepstudy", "unbalanced", "crossed", "related"])
def test_a_known_group_by_dense_algebra(which, sleepstudy, simulate, request):
    """Rule 14: the prediction of a known group knows both that beta and that b are estimated."""
    made = {"sleepstudy": sleepstudy, "unbalanced": simulate}.get(which)
    design = request.getfixturevalue(which) if made is None else made()
    state = solve_lmm(design)
    found = predict(design, state, design_rows(design), "known")
    variance = brute_variance(design, state.solution)
    np.testing.assert_allclose(found.std_error**2, variance, rtol=1e-7)
    np.testing.assert_allclose(found.row_error**2, variance + state.solution.sigma**2, rtol=1e-7)
    b = [effects.b for effects in state.solution.effects]
    expected = design.X @ state.solution.beta + random_part(design, b)
    np.testing.assert_allclose(found.estimate, expected, rtol=1e-10)


@pytest.mark.parametrize("whom", ["new", "typical"])
def test_new_and_typical_groups(whom, crossed):
    """Rule 14: a new group is drawn, a typical one stands at 0; neither is the other."""
    state = solve_lmm(crossed)
    solution = state.solution
    found = predict(crossed, state, design_rows(crossed), whom)
    variance = np.einsum("ia,ab,ib->i", crossed.X, solution.cov_beta, crossed.X)
    if whom == "new":
        variance = variance + np.einsum("ia,ab,ib->i", crossed.Z, solution.Sigma, crossed.Z)
    np.testing.assert_allclose(found.estimate, crossed.X @ solution.beta, rtol=1e-12)
    np.testing.assert_allclose(found.std_error**2, variance, rtol=1e-8)
    np.testing.assert_allclose(found.row_error**2, variance + solution.sigma**2, rtol=1e-8)


def test_one_known_and_one_new_factor(crossed):
    """A known `a` seen in a new `b`: conditional on the one, drawn from the other."""
    state = solve_lmm(crossed)
    rows = design_rows(crossed, [3, 11])
    mixed = predict(crossed, state, replace(rows, codes={"a": rows.codes["a"]}), "known")
    unseen = predict(crossed, state, replace(rows, codes=rows.codes | {"b": np.array([-1, -1])}), "known")
    np.testing.assert_array_equal(mixed.std_error, unseen.std_error)
    Z, D, V = dense(crossed, state.solution)
    z = Z[[3, 11]].copy()
    z[:, 12:] = 0
    P = np.linalg.inv(V)
    C = np.linalg.inv(crossed.X.T @ P @ crossed.X)
    to_b = D @ Z.T @ P
    lead = rows.X - z @ to_b @ crossed.X
    variance = np.diag(lead @ C @ lead.T) + np.diag(z @ (D - to_b @ Z @ D) @ z.T) + state.solution.Sigma[2, 2]
    np.testing.assert_allclose(mixed.std_error**2, variance, rtol=1e-7)


def test_balanced_one_way_layout(make_design):
    """Closed forms: the mean of a new group has variance MSB (1 + J) / (J m) - MSW / m."""
    rng = np.random.default_rng(8)
    J, m = 7, 4
    codes = np.repeat(np.arange(J), m)
    y = 3 + 1.5 * rng.normal(size=J)[codes] + rng.normal(size=J * m)
    one = np.ones(J * m)
    design = make_design(y, {"(Intercept)": one}, ("g", codes, {"(Intercept)": one}, True))
    means = y.reshape(J, m).mean(axis=1)
    between, within = m * means.var(ddof=1), y.reshape(J, m).var(axis=1, ddof=1).mean()
    rows = design_rows(design, [0])
    state = solve_lmm(design)
    typical, new = (predict(design, state, rows, whom) for whom in ("typical", "new"))
    assert typical.std_error[0] ** 2 == pytest.approx(between / (J * m), rel=1e-6)
    assert typical.df[0] == pytest.approx(J - 1, rel=1e-4)
    parts = np.array([between * (J + 1) / (J * m), -within / m])
    assert new.std_error[0] ** 2 == pytest.approx(parts.sum(), rel=1e-6)
    df = parts.sum() ** 2 / (parts[0] ** 2 / (J - 1) + parts[1] ** 2 / (J * (m - 1)))
    assert new.df[0] == pytest.approx(df, rel=1e-4)
    parts[1] += within
    df = parts.sum() ** 2 / (parts[0] ** 2 / (J - 1) + parts[1] ** 2 / (J * (m - 1)))
    assert new.row_df[0] == pytest.approx(df, rel=1e-4)
    half = stats.t.ppf(0.975, df) * new.row_error[0]
    assert new.row_upper[0] - new.estimate[0] == pytest.approx(half, rel=1e-6)


def test_weights_and_offset(simulate):
    """A row of weight 4 has half the residual SD; what is known is added back."""
    design = simulate()
    weights = np.tile([1.0, 4.0], design.n)[: design.n]
    weighted = replace(design, weights=weights, offset=np.full(design.n, 5.0))
    state = solve_lmm(weighted)
    found = predict(weighted, state, design_rows(weighted, [0, 1]), "new")
    residual = found.row_error**2 - found.std_error**2
    np.testing.assert_allclose(residual, state.solution.sigma**2 / weights[:2], rtol=1e-8)
    np.testing.assert_allclose(found.estimate, weighted.X[:2] @ state.solution.beta + 5, rtol=1e-12)


def test_known_groups_need_codes(sleepstudy):
    design = sleepstudy()
    rows = NewRows(X=design.X[:1], Z=design.Z[:1])
    with pytest.raises(ValueError, match="code"):
        predict(design, solve_lmm(design), rows, "known")


def test_intervals_cover(make_design):
    """8 groups of 5: a new row in a new group and in a known one are covered 95% of the time, +- 3 MC errors.

    Among so few groups normal quantiles would cover a new one 91% of the time.
    """
    one, codes = np.ones(40), np.repeat(np.arange(8), 5)
    x = np.tile(np.linspace(-1, 1, 5), 8)
    fixed = {"(Intercept)": one, "x": x}
    truth = make_design(np.arange(40.0) % 7, fixed, ("g", codes, {"(Intercept)": one}, True))
    state = solve_lmm(truth)
    true = replace(state.solution, beta=np.array([1.0, 0.5]), Sigma=np.array([[1.5**2]]), sigma=1.0)
    sets = 300
    inside = {"new": 0, "known": 0}
    rng = np.random.default_rng(3)
    wider = replace(
        truth,
        y=np.zeros(41),
        X=np.vstack([truth.X, [1.0, 0.3]]),
        random=(replace(truth.random[0], Z=np.ones((41, 1)), codes=np.append(codes, 0)),),
    )
    for y in simulate(wider, true, sets, seed=9):
        design = replace(truth, y=y[:40])
        fitted = solve_lmm(design)
        row = NewRows(X=wider.X[40:], Z=wider.Z[40:], codes={"g": np.array([0])})
        known = predict(design, fitted, row, "known")
        inside["known"] += known.row_lower[0] <= y[40] <= known.row_upper[0]
        new = predict(design, fitted, row, "new")
        drawn = 1.0 + 0.15 + 1.5 * rng.normal() + rng.normal()
        inside["new"] += new.row_lower[0] <= drawn <= new.row_upper[0]
    error = 3 * np.sqrt(0.95 * 0.05 / sets)
    for whom, count in inside.items():
        assert abs(count / sets - 0.95) < error, (whom, count / sets)
