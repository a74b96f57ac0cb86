"""Independent clusters and the covariance of their rows, against dense matrices and finite differences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nestwise.design.record import Membership
from nestwise.errors import Refusal
from nestwise.fit.clusters import cluster_rows, independent_clusters, lmm_covariance, working_columns
from nestwise.fit.covariance_information import covariance_moments, parameter_covariance


@pytest.fixture
def two_factors(make_design):
    rng = np.random.default_rng(1)
    outer = np.repeat([2, 0, 1], [4, 6, 5])
    inner = np.array([0, 0, 1, 1, 2, 2, 3, 3, 3, 4, 5, 5, 5, 6, 6])
    one, x = np.ones(15), rng.normal(size=15)
    return make_design(
        rng.normal(size=15),
        {"(Intercept)": one, "x": x},
        ("outer", outer, {"(Intercept)": one, "x": x}, True),
        ("outer:inner", inner, {"(Intercept)": one}, True),
    )


def assembled(design, marginal, pick):
    found = np.zeros((design.n, design.n))
    for stack in marginal.stacks():
        for rows, block in zip(stack.rows, pick(stack), strict=True):
            found[np.ix_(rows, rows)] = block
    return found


def test_nested_factors_hang_together_in_the_outermost(two_factors):
    clusters = independent_clusters(two_factors)
    for code in range(3):
        assert len(set(clusters[two_factors.random[0].codes == code])) == 1
    assert clusters.max() == 2


def test_a_membership_or_a_relation_ties_groups(two_factors):
    term = two_factors.random[0]
    codes = np.column_stack([term.codes, term.codes])
    codes[0, 1] = (codes[0, 0] + 1) % 3
    tied = replace(term, membership=Membership(codes, np.full((15, 2), 0.5)))
    assert independent_clusters(replace(two_factors, random=(tied,))).max() == 1
    relation = np.eye(3)
    relation[0, 2] = relation[2, 0] = 0.4
    related = replace(term, relation=relation)
    assert independent_clusters(replace(two_factors, random=(related,))).max() == 1


def test_covariance_and_derivatives(two_factors):
    rng = np.random.default_rng(2)
    root = np.tril(rng.normal(size=(2, 2)))
    Sigma = np.zeros((3, 3))
    Sigma[:2, :2], Sigma[2, 2] = root @ root.T, 0.7
    weights = rng.uniform(0.5, 2, size=15)
    design = replace(two_factors, weights=weights)
    marginal = lmm_covariance(design, Sigma, 0.8)
    one = np.eye(3)[design.random[0].codes]
    other = np.eye(7)[design.random[1].codes]
    Z = design.random[0].Z
    expected = (Z @ Sigma[:2, :2] @ Z.T) * (one @ one.T) + 0.7 * other @ other.T + np.diag(0.64 / weights)
    np.testing.assert_allclose(assembled(design, marginal, lambda s: s.V), expected, atol=1e-12)
    assert marginal.parameters == (
        "var (Intercept) | outer",
        "cov (Intercept), x | outer",
        "var x | outer",
        "var (Intercept) | outer:inner",
        "sigma^2",
    )
    working, T = working_columns(design)
    np.testing.assert_allclose(working.random[0].Z.T @ working.random[0].Z / 15, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(working.random[0].Z, Z @ T[:2, :2], atol=1e-12)
    other_Sigma = np.linalg.inv(T) @ Sigma @ np.linalg.inv(T).T
    values = np.append(other_Sigma[[0, 1, 1, 2], [0, 0, 1, 2]], 0.64)
    parts = [assembled(design, marginal, lambda s, k=k: s.first[k]) for k in range(5)]
    np.testing.assert_allclose(np.tensordot(values, parts, axes=1), expected, atol=1e-12)


def test_every_row_once_in_stacks_of_equal_size():
    clusters = np.random.default_rng(3).integers(0, 40, size=200)
    clusters = np.unique(clusters, return_inverse=True)[1]
    stacks = list(cluster_rows(clusters, elements=60))
    assert sorted(np.concatenate([rows.ravel() for rows in stacks])) == list(range(200))
    for rows in stacks:
        assert rows.shape[0] == 1 or rows.size * rows.shape[1] <= 60
        assert (clusters[rows] == clusters[rows][:, :1]).all()


def test_large_clusters_are_refused(make_design):
    n = 4001
    one = {"(Intercept)": np.ones(n)}
    design = make_design(np.arange(n), one, ("g", np.zeros(n, int), one, True))
    with pytest.raises(Refusal, match=r"4,001 rows, more than 4,000.*satterthwaite"):
        lmm_covariance(design, np.eye(1), 1.0)


@pytest.mark.parametrize("reml", [True, False])
def test_information_by_finite_differences(two_factors, reml):
    """Observed: half the second derivatives of the deviance; expected: mean of it over outcomes."""
    Sigma = np.diag([1.3, 0.5, 0.7])
    Sigma[0, 1] = Sigma[1, 0] = 0.3
    sigma2 = 0.6
    design, X, y = two_factors, two_factors.X, two_factors.y
    parts = None

    def value(phi, y=y):
        V = np.tensordot(phi, parts, axes=1)
        W = np.linalg.inv(V)
        XWX = X.T @ W @ X
        beta = np.linalg.solve(XWX, X.T @ W @ y)
        deviance = np.linalg.slogdet(V)[1] + (y - X @ beta) @ W @ (y - X @ beta)
        return deviance + (np.linalg.slogdet(XWX)[1] if reml else 0), np.linalg.inv(XWX), beta

    marginal = lmm_covariance(design, Sigma, np.sqrt(sigma2))
    parts = [assembled(design, marginal, lambda s, k=k: s.first[k]) for k in range(5)]
    back = np.linalg.inv(working_columns(design)[1])
    phi = np.append((back @ Sigma @ back.T)[[0, 1, 1, 2], [0, 0, 1, 2]], sigma2)
    _, Phi, beta = value(phi)
    moments = covariance_moments(marginal, X, y - X @ beta, reml=reml)
    np.testing.assert_allclose(moments.Phi, Phi, rtol=1e-9)
    h = 1e-4
    steps = h * np.eye(5)
    gradient = [(value(phi + s)[1] - value(phi - s)[1]) / (2 * h) for s in steps]
    np.testing.assert_allclose(moments.gradient, gradient, atol=1e-6)
    hessian = [
        [
            value(phi + a + b)[0] - value(phi + a - b)[0] - value(phi - a + b)[0] + value(phi - a - b)[0]
            for a in steps
        ]
        for b in steps
    ]
    np.testing.assert_allclose(moments.observed, np.array(hessian) / (8 * h**2), rtol=1e-4, atol=1e-5)
    root = np.linalg.cholesky(np.tensordot(phi, parts, axes=1))
    rng = np.random.default_rng(4)
    draws = []
    for _ in range(400):
        e = root @ rng.normal(size=15)
        residual = e - X @ value(phi, e)[2]
        draws.append(covariance_moments(marginal, X, residual, reml=reml).observed)
    error = np.std(draws, axis=0) / 20
    if reml:
        assert (np.abs(np.mean(draws, axis=0) - moments.expected) < 4 * error).all()


def test_flat_directions_are_left_out_whatever_the_units():
    information = np.diag([1e-12, 4e6, 0.0])
    expected = np.diag([1e12, 0.25e-6, 0.0])
    np.testing.assert_allclose(parameter_covariance(information), expected, rtol=1e-12)
