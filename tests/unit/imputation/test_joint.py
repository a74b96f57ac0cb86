"""The joint model against posteriors worked out without it; pan and jomo are in tests/reference."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.special import ndtr

from nestwise.errors import Refusal
from nestwise.imputation.joint import JointData, JointPrior, impute_joint

NO_GROUPS = JointPrior(2.0, np.eye(1), 1e6, np.eye(1) * 1e-3)
"""Random effects of variance 1e-9: rows that are as good as independent."""


def joint(Y, kinds, codes, X=None, Z=None, Y2=None):
    n, J = len(Y), int(codes.max()) + 1
    ones = np.ones((n, 1))
    names = tuple("abcdefgh"[: Y.shape[1] + (0 if Y2 is None else Y2.shape[1])])
    Y2 = np.zeros((J, 0)) if Y2 is None else Y2
    X2 = np.ones((J, 1)) if Y2.shape[1] else np.zeros((J, 0))
    return JointData(Y, kinds, ones if X is None else X, ones if Z is None else Z, codes, Y2, X2, names)


def near(draws, expected, spread=None):
    """Mean of a trace within five standard errors by batches of it."""
    batches = np.array_split(np.asarray(draws), 30)
    means = np.array([batch.mean() for batch in batches])
    assert means.mean() == pytest.approx(expected, abs=5 * means.std(ddof=1) / np.sqrt(30))


def test_variances_have_the_posterior_of_a_grid():
    """One variable, one way: mean and variances on a grid, mu integrated out, one value missing."""
    rng = np.random.default_rng(3)
    J, n = 8, 4
    codes = np.repeat(np.arange(J), n)
    y = 2 + rng.normal(size=J)[codes] + rng.normal(size=J * n)
    y[5] = np.nan
    prior = JointPrior(3.0, np.eye(1) * 2, 4.0, np.eye(1) * 3)
    found = impute_joint(joint(y[:, None], ("continuous",), codes), 2, 1, burn=15_000, prior=prior)
    seen = ~np.isnan(y)
    same = (codes[:, None] == codes)[np.ix_(seen, seen)]
    grid = np.exp(np.linspace(-4, 4, 50))
    log_p, missing = np.empty((50, 50)), np.empty((50, 50))
    for i, sigma2 in enumerate(grid):
        for k, tau2 in enumerate(grid):
            V = tau2 * same + sigma2 * np.eye(seen.sum())
            P1, Py = np.linalg.solve(V, np.ones(seen.sum())), np.linalg.solve(V, y[seen])
            weight, mu = P1.sum(), Py.sum() / P1.sum()
            log_p[i, k] = -(np.linalg.slogdet(V)[1] + np.log(weight) + y[seen] @ Py - weight * mu**2) / 2
            log_p[i, k] += -2.5 * np.log(sigma2) - 1 / sigma2 - 3 * np.log(tau2) - 1.5 / tau2
            own = tau2 * (codes[seen] == codes[5])
            missing[i, k] = mu + own @ (Py - mu * P1)
    log_p += np.log(grid)[:, None] + np.log(grid)[None, :]  # the grid is even in logarithms
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    near(np.log(found.Sigma[1000:15_000, 0, 0]), (p.sum(1) * np.log(grid)).sum())
    near(np.log(found.Psi[1000:15_000, 0, 0]), (p.sum(0) * np.log(grid)).sum())
    many = impute_joint(joint(y[:, None], ("continuous",), codes), 2000, 2, burn=500, between=3, prior=prior)
    near(many.values[:, 0], (p * missing).sum())


def test_complete_variables_have_an_inverse_wishart_posterior():
    """Without groups, Sigma given Y is inverse Wishart on df + n - p degrees of freedom."""
    rng = np.random.default_rng(4)
    n = 40
    X = np.column_stack([np.ones(n), rng.normal(size=n)])
    Y = X @ rng.normal(size=(2, 2)) + rng.normal(size=(n, 2)) @ np.array([[1, 0.6], [0, 1]])
    prior = JointPrior(5.0, np.array([[2.0, 0.3], [0.3, 1.0]]), 1e6, np.eye(2) * 1e-3)
    data = joint(Y, ("continuous",) * 2, np.repeat(np.arange(10), 4), X)
    found = impute_joint(data, 1, 1, burn=6000, prior=prior)
    left = Y - X @ np.linalg.lstsq(X, Y, rcond=None)[0]
    expected = (prior.scale + left.T @ left) / (5 + n - 2 - 2 - 1)
    for i, j in ((0, 0), (0, 1), (1, 1)):
        near(found.Sigma[200:, i, j], expected[i, j])
    near(found.B[200:, 1, 0], np.linalg.lstsq(X, Y, rcond=None)[0][1, 0])


def test_a_binary_variable_has_the_posterior_of_its_probit():
    y = np.r_[np.ones(14), np.zeros(6), np.full(4, np.nan)][:, None]
    data = joint(y, ("binary",), np.repeat(np.arange(6), 4))
    found = impute_joint(data, 1200, 1, burn=300, between=2, prior=NO_GROUPS)
    beta = np.linspace(-2, 3, 4001)
    p = ndtr(beta) ** 14 * ndtr(-beta) ** 6
    near(found.B[300:, 0, 0], (p * beta).sum() / p.sum())
    near(found.values.mean(axis=1), (p * ndtr(beta)).sum() / p.sum())
    assert set(np.unique(found.values)) == {0.0, 1.0}


def test_an_ordinal_variable_has_the_posterior_of_its_thresholds():
    y = np.repeat([0.0, 1.0, 2.0, np.nan], [8, 14, 10, 4])[:, None]
    data = joint(y, ("ordinal",), np.repeat(np.arange(6), 6))
    found = impute_joint(data, 1500, 1, burn=500, between=2, prior=NO_GROUPS)
    beta, cut = np.meshgrid(np.linspace(-2, 3, 401), np.linspace(0.01, 4, 400), indexing="ij")
    p = ndtr(-beta) ** 8 * (ndtr(cut - beta) - ndtr(-beta)) ** 14 * ndtr(beta - cut) ** 10
    near(found.B[500:, 0, 0], (p * beta).sum() / p.sum())
    near((found.values == 2).mean(axis=1), (p * ndtr(beta - cut)).sum() / p.sum())


def test_a_nominal_variable_keeps_its_shares():
    y = np.repeat([0.0, 1.0, 2.0, np.nan], [100, 60, 40, 40])[:, None]
    data = joint(y, ("nominal",), np.repeat(np.arange(24), 10))
    prior = JointPrior(2.0, np.eye(2), 1e6, np.eye(2) * 1e-3)
    found = impute_joint(data, 400, 1, burn=300, between=3, prior=prior)
    for category, share in enumerate((0.5, 0.3, 0.2)):
        assert (found.values == category).mean() == pytest.approx(share, abs=0.04)


def test_latent_correlations_and_levels_are_recovered():
    """A binary, a continuous and a group's variable, tied inside groups and across levels."""
    rng = np.random.default_rng(6)
    J, n = 300, 10
    codes = np.repeat(np.arange(J), n)
    Psi = np.array([[0.6, 0.2, 0.3], [0.2, 0.5, 0.25], [0.3, 0.25, 1.0]])
    t = rng.multivariate_normal(np.zeros(3), Psi, J)
    e = rng.multivariate_normal(np.zeros(2), [[1, 0.5], [0.5, 1]], J * n)
    Y = np.column_stack([t[codes, 0] + e[:, 0] + 0.3 > 0, 2 + t[codes, 1] + e[:, 1]]).astype(float)
    Y2 = 5 + t[:, 2:]
    Y[rng.random(Y.shape) < 0.15] = np.nan
    Y2[rng.random(Y2.shape) < 0.3] = np.nan
    found = impute_joint(joint(Y, ("binary", "continuous"), codes, Y2=Y2), 3, 1, burn=600)
    assert found.Sigma[200:, 0, 1].mean() == pytest.approx(0.5, abs=0.08)
    assert found.Psi[200:].mean(axis=0) == pytest.approx(Psi, abs=0.15)
    assert np.allclose(found.Sigma[:, 0, 0], 1)
    assert np.isfinite(found.values2).all()


def test_missing_group_values_follow_their_groups():
    """With rows that say nearly all, a missing group value is predicted by the group's mean."""
    rng = np.random.default_rng(7)
    J, n = 60, 20
    codes = np.repeat(np.arange(J), n)
    u = rng.normal(size=J)
    y = u[codes] + 0.1 * rng.normal(size=J * n)
    truth = 3 + 2 * u + 0.1 * rng.normal(size=J)
    Y2 = truth[:, None].copy()
    Y2[::4] = np.nan
    found = impute_joint(joint(y[:, None], ("continuous",), codes, Y2=Y2), 50, 1, burn=300, between=5)
    assert found.values2.mean(axis=0) == pytest.approx(truth[::4], abs=0.4)


def test_imputations_do_not_depend_on_how_many_there_are():
    """Rule 24; and rows may come in any order of their groups."""
    rng = np.random.default_rng(8)
    codes = rng.permutation(np.repeat(np.arange(6), 5))
    Y = rng.normal(size=(30, 2))
    Y[::7, 0] = Y[1::5, 1] = np.nan
    data = joint(Y, ("continuous",) * 2, codes)
    few, many = (impute_joint(data, m, 11, burn=20, between=5) for m in (2, 4))
    assert np.array_equal(few.values, many.values[:2])
    for one, other in pairwise(many.values):
        assert not np.array_equal(one, other)
    assert not np.array_equal(few.values, impute_joint(data, 2, 12, burn=20, between=5).values)


def test_each_gap_is_filled_in_its_own_place():
    """With a variable that follows its group to the last digit, rows shuffled."""
    rng = np.random.default_rng(9)
    codes = rng.permutation(np.repeat(np.arange(10), 6))
    y = 10.0 * codes + 1e-3 * rng.normal(size=60)
    gone = rng.choice(60, 12, replace=False)
    seen = y.copy()
    seen[gone] = np.nan
    prior = JointPrior(1.0, np.eye(1) * 1e-3, 1.0, np.eye(1))
    found = impute_joint(joint(seen[:, None], ("continuous",), codes), 2, 1, burn=300, prior=prior)
    assert found.cells[:, 0].tolist() == sorted(gone)
    assert found.values[1] == pytest.approx(y[np.sort(gone)], abs=0.05)


def test_what_cannot_be_drawn_is_refused_all_at_once():
    Y = np.column_stack([np.full(8, np.nan), np.where(np.arange(8) % 2, 3.0, np.nan)])
    X = np.column_stack([np.ones(8), np.full(8, 2.0)])
    with pytest.raises(Refusal) as refused:
        impute_joint(joint(Y, ("continuous",) * 2, np.repeat([0, 1], 4), X), 2, 1)
    text = str(refused.value)
    for values, kind, words in (
        ([0.0, 2, 0, 2], "ordinal", "are not numbered 0, 1"),
        ([0.0, 1, 2, 1], "binary", "a has 3 categories"),
    ):
        with pytest.raises(Refusal, match=words):
            impute_joint(joint(np.array(values)[:, None], (kind,), np.array([0, 0, 1, 1])), 2, 1)
    assert "a has no value at all" in text
    assert "b is the same wherever it is known" in text
    assert "follow from each other" in text
