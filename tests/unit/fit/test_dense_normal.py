"""Brute force: the multivariate normal density with its n x n covariance written out, on tiny data.

The dense density is the definition; nothing of the package is used to compute it. Held against it: the
deviance with all constants, generalised least squares, predicted effects with their conditional covariances,
and that the optimum is one: its gradient by central differences vanishes and no search finds better.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.optimize import minimize

from nestwise.design.record import Design, Membership, RandomTerm, RowFlow
from nestwise.fit.state import solve_lmm
from nestwise.likelihood import gaussian
from nestwise.likelihood.gaussian import constant, deviance

ONE = "(Intercept)"
RNG = np.random.default_rng(17)
N = 48
OUTER = np.arange(N) // 8  # 6 groups of 8 rows
INNER = np.arange(N) // 3  # 16 groups of 3 rows, not nested: they straddle
WITHIN = np.arange(N) // 4  # 12 groups of 4 rows, two in each outer one
ACROSS = RNG.permutation(np.arange(N) % 5)
X_COLUMN = RNG.normal(size=N)
BESIDE = np.column_stack([ACROSS, RNG.integers(0, 5, N)])
SHARES = RNG.dirichlet([1, 1], N)
RELATION = 0.7 ** np.abs(np.subtract.outer(np.arange(6.0), np.arange(6.0)))
FAMILIES = np.kron(np.eye(4), np.full((3, 3), 0.5) + np.diag([0.5, 1.0, 1.5]))
TWINS = np.kron(np.eye(6), np.ones((2, 2)))  # of rank 6
NOISE = RNG.normal(size=N)
Y = (
    1 + 0.5 * X_COLUMN + 1.2 * RNG.normal(size=6)[OUTER] + RNG.normal(size=12)[WITHIN]
    + RNG.normal(size=5)[ACROSS] + (0.8 * RNG.normal(size=6))[OUTER] * X_COLUMN + NOISE
)  # fmt: skip


def term(group, codes, names=(ONE,), *, correlated=True, **more):
    columns = {ONE: np.ones(N), "x": X_COLUMN}
    labels = tuple(str(j) for j in range(codes.max() + 1))
    return RandomTerm(
        group, names, np.column_stack([columns[name] for name in names]), codes, labels, correlated, **more
    )


def design(*terms, reml=True, **more):
    X = np.column_stack([np.ones(N), X_COLUMN])
    flow = RowFlow(N, N, 6, 6)
    return Design(
        "tiny", "m", "y ~ x + (...)", "y", Y, X, (ONE, "x"), terms, np.arange(N) + 1, flow, "hash",
        reml=reml, **more,
    )  # fmt: skip


BOTH = (ONE, "x")
MEMBERS = Membership(BESIDE, SHARES)
STRUCTURES = {
    "one": lambda **k: design(term("a", OUTER, BOTH), **k),
    "independent": lambda **k: design(term("a", OUTER, BOTH, correlated=False), **k),
    "nested": lambda **k: design(term("a", OUTER), term("a:b", WITHIN), **k),
    "nested_slopes": lambda **k: design(term("a", OUTER, BOTH), term("a:b", WITHIN, BOTH), **k),
    "crossed": lambda **k: design(term("a", OUTER), term("c", ACROSS), **k),
    "crossed_slopes": lambda **k: design(term("a", OUTER, BOTH), term("c", ACROSS), **k),
    "straddling": lambda **k: design(term("a", OUTER), term("d", INNER), **k),
    "three": lambda **k: design(term("c", ACROSS), term("a", OUTER, BOTH), term("a:b", WITHIN), **k),
    "members": lambda **k: design(term("c", ACROSS, membership=MEMBERS), **k),
    "members_slopes": lambda **k: design(term("c", ACROSS, BOTH, membership=MEMBERS), term("a", OUTER), **k),
    "relation": lambda **k: design(term("a", OUTER, relation=RELATION), **k),
    "relation_slopes": lambda **k: design(term("a", OUTER, BOTH, relation=RELATION), term("c", ACROSS), **k),
    "families": lambda **k: design(term("a:b", WITHIN, relation=FAMILIES), **k),
    "twins": lambda **k: design(term("a:b", WITHIN, BOTH, relation=TWINS), **k),
    "two_relations": lambda **k: design(
        term("a", OUTER, relation=RELATION), term("a:b", WITHIN, relation=FAMILIES), **k
    ),
}
ROWS = {
    "plain": {},
    "weights": {"weights": np.exp(RNG.normal(size=N))},
    "known": {"sampling_error": RNG.uniform(0.6, 1.4, N)},
    "offset": {"offset": RNG.normal(size=N)},
}
CASES = [
    *((structure, "plain") for structure in STRUCTURES),
    *((structure, "weights") for structure in ("one", "nested", "crossed_slopes", "members", "relation")),
    *((structure, "known") for structure in ("one", "nested", "crossed_slopes", "members", "relation")),
    ("three", "offset"),
]


@dataclass(frozen=True)
class Dense:
    """What the n x n covariance gives."""

    deviance: float
    beta: np.ndarray
    cov_beta: np.ndarray
    effects: tuple
    """(b, conditional covariance of vec b) for each factor."""


def wide(factor):
    """Indicator columns (n, J q) of a factor, effects of a group beside each other, memberships weighted."""
    members = factor.terms[0].membership
    codes = factor.codes[:, None] if members is None else members.codes
    shares = np.ones(codes.shape) if members is None else members.weights
    J, q = factor.n_groups, len(factor.names)
    Z = np.zeros((N, J, q))
    for column in range(codes.shape[1]):
        np.add.at(Z, (np.arange(N), codes[:, column]), shares[:, [column]] * factor.Z)
    return Z.reshape(N, J * q)


def dense(model, Sigma, sigma):
    """Minus twice the (restricted) log-likelihood, and everything that follows from it, by definition."""
    if model.sampling_error is not None:
        R = np.diag(model.sampling_error**2)
    else:
        R = sigma**2 * np.diag(1 / (np.ones(N) if model.weights is None else model.weights))
    V, parts = R.copy(), []
    for factor in model.factors:
        relation = factor.terms[0].relation
        own = Sigma[np.ix_(factor.columns, factor.columns)]
        prior = np.kron(np.eye(factor.n_groups) if relation is None else relation, own)
        Z = wide(factor)
        parts.append((Z, prior))
        V += Z @ prior @ Z.T
    X, y, p = model.X, model.y_less_offset, model.X.shape[1]
    V_inverse = np.linalg.inv(V)
    precision = X.T @ V_inverse @ X
    beta = np.linalg.solve(precision, X.T @ V_inverse @ y)
    residual = y - X @ beta
    m = N - p if model.reml else N
    deviance = np.linalg.slogdet(V)[1] + residual @ V_inverse @ residual + m * np.log(2 * np.pi)
    if model.reml:
        deviance += np.linalg.slogdet(precision)[1]
    effects = tuple(
        (prior @ Z.T @ V_inverse @ residual, prior - prior @ Z.T @ V_inverse @ Z @ prior)
        for Z, prior in parts
    )
    return Dense(float(deviance), beta, np.linalg.inv(precision), effects)


def free(model):
    """Places of the free elements of the lower factor of Sigma, a term after the other."""
    places, start = [], 0
    for each in model.random:
        q = len(each.names)
        places += [
            (start + i, start + j) for j in range(q) for i in range(j, q if each.correlated else j + 1)
        ]
        start += q
    return tuple(np.array(side) for side in zip(*places, strict=True))


def criterion(model, parameters):
    """The dense deviance at (free elements of the factor of Sigma, log sigma unless errors are known)."""
    rows, cols = free(model)
    L = np.zeros((len(model.varying),) * 2)
    L[rows, cols] = parameters[: rows.size]
    sigma = 1.0 if model.sampling_error is not None else float(np.exp(parameters[-1]))
    return dense(model, L @ L.T, sigma).deviance


def parameters_of(model, solution):
    """Where an optimum lies among `criterion`'s parameters."""
    rows, cols = free(model)
    L = (solution.Lambda * solution.sigma)[rows, cols]
    return L if model.sampling_error is not None else np.append(L, np.log(solution.sigma))


def made(structure, rows, reml=True):
    return STRUCTURES[structure](reml=reml, **ROWS[rows])


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize(("structure", "rows"), CASES)
def test_deviance_and_estimates(structure, rows, reml):
    """At the estimated covariances: deviance with all constants, beta, b, and their covariances."""
    model = made(structure, rows, reml)
    solution = solve_lmm(model).solution
    truth = dense(model, solution.Sigma, solution.sigma)
    assert solution.deviance == pytest.approx(truth.deviance, abs=1e-8)
    np.testing.assert_allclose(solution.beta, truth.beta, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(solution.cov_beta, truth.cov_beta, rtol=1e-8, atol=1e-10)
    for ours, factor, (b, covariance) in zip(solution.effects, model.factors, truth.effects, strict=True):
        J, q = factor.n_groups, len(factor.names)
        assert ours.group == factor.group
        assert ours.columns == factor.columns
        np.testing.assert_allclose(ours.b, b.reshape(J, q), atol=1e-8)
        blocks = covariance.reshape(J, q, J, q)[np.arange(J), :, np.arange(J), :]
        np.testing.assert_allclose(ours.b_cov, blocks, atol=1e-8)


@pytest.mark.parametrize(("structure", "rows"), CASES)
def test_effects_follow_beta(structure, rows):
    """b_on_beta: how predicted effects move when beta does, by definition -(prior Z'V^-1) X."""
    model = made(structure, rows)
    solution = solve_lmm(model).solution
    step = 1e-5
    for k in range(2):
        moved = replace(model, y=model.y - step * model.X[:, k])
        ahead = dense_effects_at(moved, solution)
        behind = dense_effects_at(replace(model, y=model.y + step * model.X[:, k]), solution)
        for ours, factor, up, down in zip(solution.effects, model.factors, ahead, behind, strict=True):
            slope = ((up - down) / (2 * step)).reshape(factor.n_groups, len(factor.names))
            np.testing.assert_allclose(ours.b_on_beta[:, :, k], slope, atol=1e-6)


def dense_effects_at(model, solution):
    """Predicted effects of an outcome at given Sigma, sigma and beta."""
    V_inverse_residual = np.linalg.solve(
        covariance_of(model, solution), model.y_less_offset - model.X @ solution.beta
    )
    found = []
    for factor in model.factors:
        relation = factor.terms[0].relation
        own = solution.Sigma[np.ix_(factor.columns, factor.columns)]
        prior = np.kron(np.eye(factor.n_groups) if relation is None else relation, own)
        found.append(prior @ wide(factor).T @ V_inverse_residual)
    return found


def covariance_of(model, solution):
    V = solution.sigma**2 * np.diag(1 / (np.ones(N) if model.weights is None else model.weights))
    if model.sampling_error is not None:
        V = np.diag(model.sampling_error**2)
    for factor in model.factors:
        relation = factor.terms[0].relation
        own = solution.Sigma[np.ix_(factor.columns, factor.columns)]
        Z = wide(factor)
        V = V + Z @ np.kron(np.eye(factor.n_groups) if relation is None else relation, own) @ Z.T
    return V


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize(("structure", "rows"), CASES)
def test_the_optimum_is_one(structure, rows, reml):
    """The dense gradient vanishes at it, also where a variance is 0: the deviance is even there."""
    model = made(structure, rows, reml)
    at = parameters_of(model, solve_lmm(model).solution)
    gradient = np.array(
        [(criterion(model, at + 1e-5 * e) - criterion(model, at - 1e-5 * e)) / 2e-5 for e in np.eye(at.size)]
    )
    assert np.abs(gradient).max() < 2e-3, gradient


@pytest.mark.parametrize(("structure", "rows"), CASES)
def test_no_search_finds_better(structure, rows):
    """Searches of the dense density from points all around end no lower."""
    model = made(structure, rows)
    ours = solve_lmm(model).solution.deviance
    size = free(model)[0].size + (model.sampling_error is None)
    rng = np.random.default_rng(23)
    for _ in range(3):
        end = minimize(lambda at: criterion(model, at), rng.normal(size=size), method="BFGS")
        assert ours <= end.fun + 1e-5


def random_theta(products, seed, kind):
    """Free elements of Lambda anywhere; `singular`: a coefficient of the first factor does not vary."""
    rng = np.random.default_rng(seed)
    pattern = products.pattern
    theta = rng.normal(size=pattern.k)
    if kind == "singular":
        Lambda = pattern.matrix(theta)
        Lambda[0] = 0
        theta = pattern.elements(Lambda)
    return np.zeros(pattern.k) if kind == "zero" else theta


@pytest.mark.parametrize("kind", ["anywhere", "singular", "zero"])
@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize(("structure", "rows"), CASES)
def test_criterion_and_gradient_at_any_theta(structure, rows, reml, kind):
    """Off the optimum and on the boundary: the value is the dense one, the gradient its differences."""
    model = made(structure, rows, reml)
    products = solve_lmm(model).products
    theta = random_theta(products, 29, kind)
    at = criterion_at(products, theta, reml=reml)
    root, sigma = products.T_Z @ products.pattern.matrix(theta), at.sigma * products.scale
    truth = dense(model, sigma**2 * root @ root.T, sigma)
    assert at.value + constant(products, reml=reml) == pytest.approx(truth.deviance, abs=1e-8)
    value, gradient = deviance(products, theta, reml=reml)
    assert value == at.value
    h = 1e-5
    differences = [
        (deviance(products, theta + h * e, reml=reml)[0] - deviance(products, theta - h * e, reml=reml)[0])
        / (2 * h)
        for e in np.eye(theta.size)
    ]
    np.testing.assert_allclose(gradient, differences, atol=1e-5 * max(1, np.abs(gradient).max()))
    if kind == "zero":
        np.testing.assert_allclose(gradient, 0, atol=1e-10)


def criterion_at(products, theta, *, reml):
    return gaussian.criterion(products, products.pattern.matrix(theta), reml=reml)
