"""Cluster-robust errors around a mixed model, by dense matrices. Peers are in tests/reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nestwise.errors import Refusal
from nestwise.fit.clusters import lmm_covariance
from nestwise.fit.pooled import fit_pooled
from nestwise.fit.sandwich import robust_covariance, robust_rows, robust_warnings

KINDS = ("CR0", "CR1", "CR2", "CR3")


@pytest.fixture
def design(make_design):
    rng = np.random.default_rng(4)
    codes = np.repeat(np.arange(8), [2, 3, 3, 4, 5, 5, 6, 7])
    n = codes.size
    one, x, z = np.ones(n), rng.normal(size=n), rng.normal(size=8)[codes]
    both = {"(Intercept)": one, "x": x}
    return make_design(rng.normal(size=n), both | {"z": z}, ("g", codes, both, True))


SIGMA = np.array([[1.2, 0.3], [0.3, 0.5]])


def gls(design, Sigma=SIGMA, sigma=0.9):
    term = design.random[0]
    V = (term.Z @ Sigma @ term.Z.T) * (term.codes[:, None] == term.codes) + sigma**2 * np.eye(design.n)
    W = np.linalg.inv(V)
    M = np.linalg.inv(design.X.T @ W @ design.X)
    return V, W, M, M @ design.X.T @ W @ design.y


def brute_force(design, kind):
    """n x n matrices, straight from the definitions; df by the eigenvalues of the quadratic form."""
    X, codes = design.X, design.random[0].codes
    V, W, M, beta = gls(design)
    residual = design.y - X @ beta
    H = X @ M @ X.T @ W
    J, parts, forms = codes.max() + 1, [], []
    for j in range(J):
        mine = codes == j
        Vj, Xj = V[np.ix_(mine, mine)], X[mine]
        D = np.linalg.cholesky(Vj).T
        A = {"CR0": np.eye(mine.sum()), "CR1": np.eye(mine.sum()) * np.sqrt(J / (J - 1))}.get(kind)
        if kind == "CR2":
            values, vectors = np.linalg.eigh(D @ (Vj - Xj @ M @ Xj.T) @ D.T)
            A = D.T @ (vectors / np.sqrt(values)) @ vectors.T @ D
        elif kind == "CR3":
            A = np.linalg.inv(np.eye(mine.sum()) - H[np.ix_(mine, mine)])
        E = M @ Xj.T @ W[np.ix_(mine, mine)] @ A
        parts.append(E @ residual[mine])
        forms.append(E @ (np.eye(design.n) - H)[mine])
    root = np.linalg.cholesky(V)
    df = []
    for k in range(X.shape[1]):
        G = np.array([form[k] for form in forms]) @ root
        values = np.linalg.eigvalsh(G @ G.T)
        df.append(values.sum() ** 2 / (values**2).sum())
    return np.array(parts).T @ np.array(parts), np.array(df)


@pytest.mark.parametrize("kind", KINDS)
def test_brute_force(design, kind):
    covariance, df = brute_force(design, kind)
    found = robust_covariance(design, gls(design)[3], lmm_covariance(design, SIGMA, 0.9), kind)
    np.testing.assert_allclose(found.covariance, covariance, rtol=1e-9)
    np.testing.assert_allclose(found.df, df, rtol=1e-8)
    assert (found.kind, found.n_clusters, found.blind.any()) == (kind, 8, False)


def test_cr3_leaves_a_cluster_out(design):
    """e_j'(I - H_jj)^-1 is the prediction error of the cluster by all others."""
    X, y, codes = design.X, design.y, design.random[0].codes
    _, W, _, beta = gls(design)
    changes = []
    for j in range(8):
        kept = codes != j
        XW = X[kept].T @ W[np.ix_(kept, kept)]
        changes.append(np.linalg.solve(XW @ X[kept], XW @ y[kept]) - beta)
    found = robust_covariance(design, beta, lmm_covariance(design, SIGMA, 0.9), "CR3")
    np.testing.assert_allclose(found.covariance, np.array(changes).T @ np.array(changes), rtol=1e-9)


def test_without_random_effects_it_is_that_of_complete_pooling(design):
    pooled = fit_pooled(design)
    rows = [row for row in pooled.estimates if row.component == "fixed"]
    beta = np.array([row.estimate for row in rows])
    found = robust_covariance(design, beta, lmm_covariance(design, np.zeros((2, 2)), 1.3), "CR2")
    told = robust_rows(design.names, beta, found, 0.95)
    for ours, row in zip(told, rows, strict=True):
        assert (ours.component, ours.term) == ("robust", row.term)
        for field in ("estimate", "std_error", "df", "statistic", "p_value", "lower", "upper"):
            assert getattr(ours, field) == pytest.approx(getattr(row, field), rel=1e-7)


def test_what_one_cluster_alone_informs_has_no_error(design):
    alone = np.where(design.random[0].codes == 3, design.X[:, 1], 0.0)
    design = replace(design, X=np.column_stack([design.X, alone]), names=(*design.names, "alone"))
    beta = gls(design)[3]
    for kind in ("CR2", "CR3"):
        found = robust_covariance(design, beta, lmm_covariance(design, SIGMA, 0.9), kind)
        rows = robust_rows(design.names, beta, found, 0.95)
        assert [row.term for row in rows if row.std_error is None] == ["alone"]
        assert rows[3].estimate == pytest.approx(beta[3])
        assert all(row.std_error is not None and row.std_error > 0 for row in rows[:3])
        few, blind = robust_warnings(design.names, found)
        assert "8 independent clusters, fewer than 40" in few
        assert "alone informs alone" in blind


def test_crossed_factors_are_refused(design):
    term = design.random[0]
    other = replace(term, group="h", codes=np.arange(design.n) % 5, labels=tuple("abcde"))
    crossed = replace(design, random=(term, other))
    marginal = lmm_covariance(crossed, np.kron(np.eye(2), SIGMA), 0.9)
    with pytest.raises(Refusal, match=r"no independent clusters.*CR2"):
        robust_covariance(crossed, np.zeros(3), marginal, "CR2")
