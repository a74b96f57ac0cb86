"""The Gibbs steps of the normal mixed model against what is known of their limits."""

import numpy as np
import pytest

from nestwise.imputation import normal


def sampler(X, Z, y, codes, outer=None, kind=normal.COMMON, seed=1):
    """Draws of (beta, group SD, outer SD, residual SD), one a step."""
    J, p, q = int(codes.max()) + 1, X.shape[1], Z.shape[1]
    outer = np.full(J, -1) if outer is None else outer
    G = int(outer.max()) + 1
    start = np.searchsorted(codes, np.arange(J + 1)).astype(np.int64)
    state = (
        np.zeros(p), np.zeros((J, q)), np.zeros(G), np.eye(q), np.eye(q), np.ones(q), np.ones(J),
        np.array([1.0, 1.0, 10.0, 1.0, 1.0]),
    )  # fmt: skip
    means = (np.zeros(p), np.zeros((J, q)), np.zeros(G))
    rng, products = np.random.default_rng(seed), normal.crossproducts(X, Z, start)

    def draws(count, warm=200):
        kept = []
        for step in range(count + warm):
            assert normal.gibbs(rng, 1, kind, X, Z, y, start, outer, products, np.zeros(p), *state, *means)
            if step >= warm:
                kept.append(
                    np.r_[state[0], np.sqrt(np.diag(state[3])), np.sqrt(state[7][:1]), np.sqrt(state[6])]
                )
        return np.array(kept)

    return draws


@pytest.fixture(scope="module")
def study():
    rng = np.random.default_rng(2)
    codes = np.repeat(np.arange(60), rng.integers(5, 25, 60))
    X = np.column_stack([np.ones(codes.size), rng.normal(size=codes.size), rng.normal(size=60)[codes]])
    return rng, codes, X


def test_without_groups_it_is_the_ordinary_regression(study):
    """One-group limit: beta has the t distribution of least squares (mice's norm)."""
    rng, codes, X = study
    y = X @ [0.3, 0.5, -0.4] + rng.normal(size=codes.size)
    draws = sampler(X, np.ones((y.size, 0)), y, np.zeros(y.size, int))(4000, 0)
    beta, rest = np.linalg.lstsq(X, y)[:2]
    df = y.size - 3
    error = np.sqrt(np.diag(np.linalg.inv(X.T @ X)) * rest[0] / (df - 2))
    assert np.abs(draws[:, :3].mean(axis=0) - beta).max() < 4 * error.max() / np.sqrt(4000)
    np.testing.assert_allclose(draws[:, :3].std(axis=0), error, rtol=0.05)
    assert (draws[:, -1] ** 2).mean() == pytest.approx(rest[0] / (df - 2), rel=0.01)


def test_two_levels_with_slopes_agree_with_restricted_likelihood(study, make_design):
    from nestwise.fit.lmm import fit_lmm

    rng, codes, X = study
    b = rng.normal(size=(60, 2)) * [0.6, 0.3]
    y = X @ [0.3, 0.5, -0.4] + b[codes, 0] + b[codes, 1] * X[:, 1] + rng.normal(size=codes.size)
    draws = sampler(X, np.ascontiguousarray(X[:, :2]), y, codes)(3000)
    one, x, w = X.T
    design = make_design(
        y, {"(Intercept)": one, "x": x, "w": w}, ("g", codes, {"(Intercept)": one, "x": x}, True)
    )
    fit = fit_lmm(design)
    fixed = [row for row in fit.estimates if row.component == "fixed"]
    sds = [row.estimate for row in fit.estimates if row.component == "sd"]
    estimates = np.array([row.estimate for row in fixed])
    errors = np.array([row.std_error for row in fixed])
    # posterior means lie within a tenth of a standard error; SDs a little above their modes
    assert np.abs((draws[:, :3].mean(axis=0) - estimates) / errors).max() < 0.15
    np.testing.assert_allclose(draws[:, :3].std(axis=0), errors, rtol=0.1)
    np.testing.assert_allclose(draws[:, 3:5].mean(axis=0), sds, rtol=0.12)


def test_three_levels_and_variances_by_group_recover_what_made_them():
    rng = np.random.default_rng(8)
    codes = np.repeat(np.arange(240), 8)
    outer = np.arange(240) // 4
    X = np.column_stack([np.ones(codes.size), rng.normal(size=codes.size)])
    c, b = rng.normal(size=60), 0.5 * rng.normal(size=240)
    spread = np.where(np.arange(240) % 2, 0.5, 1.5)
    y = X @ [0.3, 0.5] + (b + c[outer])[codes] + spread[codes] * rng.normal(size=codes.size)
    common = sampler(X, np.ones((y.size, 1)), y, codes, outer)(800)
    own = sampler(X, np.ones((y.size, 1)), y, codes, outer, normal.BY_GROUP)(800)
    # of 60 outer groups the SD is known to a tenth
    for draws in (common, own):
        assert draws[:, 3].mean() == pytest.approx(c.std(), rel=0.2)
        assert draws[:, 2].mean() == pytest.approx(b.std(), rel=0.2)
    residual = own[:, 4:].mean(axis=0)
    # eight rows a group: its SD is drawn toward that of all groups, 1.1
    assert 0.5 < residual[1::2].mean() < 0.7
    assert 1.3 < residual[::2].mean() < 1.6
    # rows of quiet groups count for more
    assert own[:, 1].std() < 0.9 * common[:, 1].std()


def test_a_group_without_rows_is_drawn_from_the_population(study):
    rng, codes, X = study
    y = X @ [0.3, 0.5, -0.4] + rng.normal(size=60)[codes] + rng.normal(size=codes.size)
    keep = codes != 7
    J = 60
    start = np.searchsorted(codes[keep], np.arange(J + 1)).astype(np.int64)
    Z = np.ones((keep.sum(), 1))
    state = (
        np.zeros(3), np.zeros((J, 1)), np.zeros(0), np.eye(1), np.eye(1), np.ones(1), np.ones(J), np.ones(5)
    )  # fmt: skip
    means = (np.zeros(3), np.zeros((J, 1)), np.zeros(0))
    products = normal.crossproducts(X[keep], Z, start)
    drawn = []
    for _ in range(1500):
        assert normal.gibbs(
            rng, 1, normal.COMMON, X[keep], Z, y[keep], start, np.full(J, -1), products, np.zeros(3),
            *state, *means,
        )  # fmt: skip
        drawn.append([state[1][7, 0], state[1][8, 0], np.sqrt(state[3][0, 0])])
    b7, b8, sd = np.array(drawn).T
    assert b7.std() == pytest.approx(np.sqrt((sd**2).mean()), rel=0.1)
    assert abs(b7.mean()) < 0.15
    assert b8.std() < 0.5 * b7.std()


def test_a_singular_model_is_said_so(study):
    _, codes, X = study
    empty = np.column_stack([X, np.zeros(codes.size)])
    with pytest.raises(AssertionError):
        sampler(empty, np.ones((codes.size, 1)), X[:, 1].copy(), codes)(1)
