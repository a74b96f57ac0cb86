"""Complete pooling: least squares, and cluster-robust standard errors by live peers and by dense matrices."""

from __future__ import annotations

import numpy as np
import pytest

from nestwise.fit.pooled import fit_pooled


def fixed(fit, field):
    return np.array([getattr(row, field) for row in fit.estimates if row.component == "fixed"])


def dense_cr2(design):
    """CR2 and its degrees of freedom with n x n matrices, Bell & McCaffrey (2002)."""
    X, y, codes = design.X, design.y, design.random[0].codes
    M = np.linalg.inv(X.T @ X)
    H = X @ M @ X.T
    residual = y - H @ y
    p, scores, rows = X.shape[1], [], []
    for j in np.unique(codes):
        mine = codes == j
        values, vectors = np.linalg.eigh(np.eye(mine.sum()) - H[np.ix_(mine, mine)])
        root = np.where(values > 1e-8, 1 / np.sqrt(np.maximum(values, 1e-8)), 0)
        A = (vectors * root) @ vectors.T
        scores.append(M @ X[mine].T @ A @ residual[mine])
        rows.append((np.eye(design.n) - H)[mine].T @ A @ X[mine] @ M)
    std_error = np.sqrt((np.array(scores) ** 2).sum(axis=0))
    df = []
    for k in range(p):
        G = np.column_stack([row[:, k] for row in rows])
        values = np.linalg.eigvalsh(G.T @ G)
        df.append(values.sum() ** 2 / (values**2).sum())
    return std_error, np.array(df)


def test_cr2_by_brute_force(simulate):
    design = simulate()
    fit = fit_pooled(design)
    std_error, df = dense_cr2(design)
    assert fit.method == "OLS, CR2"
    np.testing.assert_allclose(fixed(fit, "std_error"), std_error, rtol=1e-8)
    np.testing.assert_allclose(fixed(fit, "df"), df, rtol=1e-6)
    assert (fixed(fit, "df") < 25).all()


def test_live_peer(simulate):
    """statsmodels: estimates, conventional and CR1 standard errors."""
    sm = pytest.importorskip("statsmodels.regression.linear_model")
    design = simulate()
    fit, peer = fit_pooled(design), sm.OLS(design.y, design.X)
    plain = peer.fit()
    np.testing.assert_allclose(fixed(fit, "estimate"), plain.params, rtol=1e-10)
    errors = fit.record["standard_errors"]
    np.testing.assert_allclose(errors["conventional"], plain.bse, rtol=1e-10)
    robust = peer.fit(cov_type="cluster", cov_kwds={"groups": design.random[0].codes})
    np.testing.assert_allclose(errors["CR1"], robust.bse, rtol=1e-8)
    assert fit.log_likelihood == pytest.approx(plain.llf, abs=1e-8)
    sigma = next(row.estimate for row in fit.estimates if row.component == "residual")
    assert sigma == pytest.approx(np.sqrt(plain.scale), rel=1e-10)


def test_without_groups_it_is_plain_least_squares(simulate, make_design):
    design = simulate()
    alone = fit_pooled(make_design(design.y, dict(zip(design.names, design.X.T, strict=True))))
    assert alone.method == "OLS"
    assert alone.warnings == ()
    np.testing.assert_allclose(fixed(alone, "df"), design.n - 3)
    np.testing.assert_allclose(
        fixed(alone, "std_error"), fit_pooled(design).record["standard_errors"]["conventional"], rtol=1e-10
    )


def test_few_groups_raise_an_alarm(simulate):
    """Rule 12."""
    assert "25 groups, fewer than 40" in fit_pooled(simulate()).warnings[0]
    assert fit_pooled(simulate(J=50)).warnings == ()


def test_a_predictor_of_one_group_alone(make_design):
    """A column that is 1 in one group only has no cluster-robust error: conventional ones, and a warning."""
    rng = np.random.default_rng(3)
    codes = np.repeat(np.arange(5), 6)
    y = rng.normal(size=30)
    columns = {"(Intercept)": np.ones(30), "first": (codes == 0).astype(float)}
    fit = fit_pooled(make_design(y, columns, ("g", codes, {"(Intercept)": np.ones(30)}, True)))
    assert fit.method == "OLS"
    assert "too few" in fit.warnings[0]
    assert np.isfinite(fixed(fit, "std_error")).all()


def test_digits_of_a_large_outcome(simulate):
    """y + 1e9: the slopes stay."""
    from dataclasses import replace

    design = simulate()
    moved = fit_pooled(replace(design, y=design.y + 1e9))
    np.testing.assert_allclose(
        fixed(moved, "estimate")[1:], fixed(fit_pooled(design), "estimate")[1:], atol=1e-6
    )
