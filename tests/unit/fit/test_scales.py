"""Numbers of any size: groups that differ a hundred thousand times as much as their rows, units of any order.

The likelihood is held against the same formula in extended precision, with the groups' own regressions taken
out of the rows first, so that nothing cancels.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nestwise.design.record import Design, RandomTerm, RowFlow
from nestwise.fit.state import solve_lmm
from nestwise.likelihood.crossproducts import collapse, own_regressions
from nestwise.likelihood.gaussian import deviance

ONE = "(Intercept)"


def study(ratio, *, slopes=False, crossed=False, reml=True, J=30, m=8):
    """Groups whose coefficients have `ratio` times the standard deviation of the residuals."""
    rng = np.random.default_rng(1)
    n, codes = J * m, np.repeat(np.arange(J), m)
    x = rng.normal(size=n)
    y = ratio * rng.normal(size=J)[codes] + rng.normal(size=n) + x
    Z, names = np.ones((n, 1)), (ONE,)
    if slopes:
        y = y + ratio * rng.normal(size=J)[codes] * x
        Z, names = np.column_stack([np.ones(n), x]), (ONE, "x")
    terms = [RandomTerm("g", names, Z, codes, tuple(map(str, range(J))))]
    if crossed:
        other = rng.permutation(np.arange(n) % 6)
        y = y + ratio * rng.normal(size=6)[other]
        terms.append(RandomTerm("h", (ONE,), np.ones((n, 1)), other, tuple(map(str, range(6)))))
    X = np.column_stack([np.ones(n), x])
    flow = RowFlow(n, n, J, J)
    return Design("s", "m", "y ~ x", "y", y, X, (ONE, "x"), tuple(terms), np.arange(n), flow, "h", reml=reml)


def inverse(A):
    """Inverse and log-determinant of a positive definite matrix in extended precision."""
    A, B, log_det = A.astype(np.longdouble), np.eye(len(A), dtype=np.longdouble), np.longdouble(0)
    for i in range(len(A)):
        pivot = A[i, i]
        log_det += np.log(pivot)
        A[i], B[i] = A[i] / pivot, B[i] / pivot
        for k in range(len(A)):
            if k != i:
                A[k], B[k] = A[k] - A[k, i] * A[i], B[k] - A[k, i] * B[i]
    return B, log_det


def precise(design, solution):
    """Deviance at the estimated covariances: within groups plus between their own regressions."""
    term, n = design.random[0], design.n
    Sigma, s2 = solution.Sigma.astype(np.longdouble), np.longdouble(solution.sigma) ** 2
    X = design.X.astype(np.longdouble)
    W = np.column_stack([X, design.y.astype(np.longdouble) - X @ solution.beta.astype(np.longdouble)])
    p = X.shape[1]
    S, value = np.zeros((p + 1, p + 1), dtype=np.longdouble), np.longdouble(0)
    for j in range(term.n_groups):
        rows = np.flatnonzero(term.codes == j)
        Z = term.Z[rows].astype(np.longdouble)
        A_inverse, _ = inverse(Z.T @ Z)
        own = A_inverse @ (Z.T @ W[rows])
        left = W[rows] - Z @ own
        between, log_det = inverse(A_inverse * s2 + Sigma)
        S += left.T @ left / s2 + own.T @ between @ own
        value += log_det - inverse(A_inverse * s2)[1] + rows.size * np.log(s2)
    XX_inverse, log_det = inverse(S[:p, :p])
    value += S[p, p] - S[p, :p] @ XX_inverse @ S[:p, p]
    m = n - p if design.reml else n
    return float(value + m * np.log(2 * np.longdouble(np.pi)) + (log_det if design.reml else 0))


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("slopes", [False, True])
@pytest.mark.parametrize("ratio", [1e-3, 1.0, 1e2, 1e3, 1e4, 1e5])
def test_groups_may_differ_any_number_of_times_as_much(ratio, slopes, reml):
    design = study(ratio, slopes=slopes, reml=reml)
    state = solve_lmm(design)
    assert state.optimum.converged
    assert state.solution.deviance == pytest.approx(precise(design, state.solution), abs=1e-6)
    assert state.solution.sigma == pytest.approx(1, abs=0.2)
    if ratio >= 1:
        np.testing.assert_allclose(state.solution.sd / ratio, 1, atol=0.4)


def dense(design, solution):
    """The deviance in extended precision from the n x n covariance, of condition n ratio^2."""
    V = np.longdouble(solution.sigma) ** 2 * np.eye(design.n, dtype=np.longdouble)
    for factor in design.factors:
        own = solution.Sigma[np.ix_(factor.columns, factor.columns)].astype(np.longdouble)
        V += (factor.codes[:, None] == factor.codes) * (factor.Z @ own @ factor.Z.T)
    V_inverse, value = inverse(V)
    X = design.X.astype(np.longdouble)
    XX_inverse, log_det = inverse(X.T @ V_inverse @ X)
    residual = design.y - X @ solution.beta.astype(np.longdouble)
    change = X.T @ V_inverse @ residual
    value += residual @ V_inverse @ residual - change @ XX_inverse @ change + log_det
    return float(value + (design.n - X.shape[1]) * np.log(2 * np.longdouble(np.pi)))


@pytest.mark.parametrize("ratio", [1.0, 1e2, 1e3, 1e4])
def test_crossed_groups_too(ratio):
    design = study(ratio, crossed=True, J=10)
    state = solve_lmm(design)
    assert state.optimum.converged
    assert (state.products.rows is not None) == (ratio >= 1e2)
    assert state.solution.deviance == pytest.approx(dense(design, state.solution), abs=1e-6)
    assert state.solution.sigma == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("slopes", [False, True])
def test_sums_over_rows_and_over_groups_are_one_likelihood(slopes):
    """Where both are precise; value and gradient."""
    products = collapse(study(100.0, slopes=slopes))
    assert products.inside is not None
    plain = replace(products, inside=None)
    rng = np.random.default_rng(2)
    for _ in range(5):
        theta = 10 * rng.normal(size=products.pattern.k)
        (value, gradient), (expected, slope) = (deviance(p, theta, reml=True) for p in (products, plain))
        assert value == pytest.approx(expected, abs=1e-7)
        np.testing.assert_allclose(gradient, slope, atol=1e-7 * np.abs(slope).max())


def test_usual_data_are_collapsed_to_sums_of_groups():
    assert collapse(study(5.0)).inside is None


@pytest.mark.parametrize("size", [1e-6, 1e-3, 1e3, 1e6])
@pytest.mark.parametrize("which", ["intercepts", "slopes", "crossed", "ml"])
def test_units_do_not_matter(which, size):
    """Twelve orders of magnitude of outcome and covariate: the same fit in other units."""
    base = study(2.0, slopes=which == "slopes", crossed=which == "crossed", reml=which != "ml")
    units = np.array([1.0, 1 / size])
    terms = tuple(replace(term, Z=term.Z * units[: term.Z.shape[1]]) for term in base.random)
    other = replace(base, y=base.y * size, X=base.X * units, random=terms)
    one, two = solve_lmm(base), solve_lmm(other)
    assert one.optimum.converged
    assert two.optimum.converged
    scale_b = size / units
    np.testing.assert_allclose(two.solution.beta / scale_b, one.solution.beta, rtol=1e-7, atol=1e-9)
    errors = np.sqrt(np.diag(two.solution.cov_beta)) / scale_b
    np.testing.assert_allclose(errors, np.sqrt(np.diag(one.solution.cov_beta)), rtol=1e-6)
    of_terms = np.concatenate([size / units[: term.Z.shape[1]] for term in terms])
    np.testing.assert_allclose(two.solution.sd / of_terms, one.solution.sd, rtol=1e-5)
    assert two.solution.sigma / size == pytest.approx(one.solution.sigma, rel=1e-6)
    m = base.n - 2 if base.reml else base.n
    shift = 2 * m * np.log(size) + (2 * np.log(units[1]) if base.reml else 0.0)
    assert two.solution.deviance == pytest.approx(one.solution.deviance + shift, abs=1e-6)


@pytest.mark.parametrize("q", [1, 2, 3])
def test_own_regressions_are_least_squares(q):
    """Groups of one row to six: the shortest solution where columns do not determine one."""
    rng = np.random.default_rng(5)
    Z = [rng.normal(size=(m, q)) for m in (1, 2, 3, 6)]
    W = [rng.normal(size=(m, 2)) for m in (1, 2, 3, 6)]
    found = own_regressions(*(np.array([z.T @ c for z, c in zip(Z, C, strict=True)]) for C in (Z, W)))
    for z, w, own in zip(Z, W, found, strict=True):
        np.testing.assert_allclose(own, np.linalg.lstsq(z, w, rcond=None)[0], rtol=1e-6, atol=1e-8)
