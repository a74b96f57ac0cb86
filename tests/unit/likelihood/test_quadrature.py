"""The approximated likelihood: brute force, exact gradients, invariances, rows and groups counted once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate, stats

from nestwise.likelihood.families import LINKS_OF, density, responses
from nestwise.likelihood.grouped_rows import grouped_rows
from nestwise.likelihood.modes import modes
from nestwise.likelihood.quadrature import approximate, product_rule

CASES = [(family, link) for family, links in LINKS_OF.items() for link in links]
AUX = {"negative_binomial": [0.5], "gamma": [0.5], "ordinal": [-1.0, 0.2, 1.1]}


@pytest.fixture(scope="module")
def make(make_design):
    """A small design of a family; with `slopes` two correlated effects."""

    def build(family, link, slopes=False, J=12, seed=1, coarse=False):
        rng = np.random.default_rng(seed)
        g = np.repeat(np.arange(J), rng.integers(1, 6, J))
        n = g.size
        x = rng.integers(0, 2, n) * 1.0 if coarse else rng.normal(size=n)
        b = rng.normal(size=(J, 2))
        eta = 0.3 + 0.5 * x + b[g, 0] + 0.5 * b[g, 1] * x
        trials = None
        if family == "binomial":
            trials = rng.integers(1, 4, n) * 1.0
            y = rng.binomial(trials.astype(int), 1 / (1 + np.exp(-eta)))
        elif family == "ordinal":
            y = np.concatenate([[0, 1, 2, 3], np.digitize(eta + rng.logistic(size=n), [-1, 0, 1])[4:]])
        elif family == "gamma":
            y = np.exp(eta) * rng.gamma(2, 0.5, n)
        else:
            y = rng.poisson(np.exp(eta))
        one = np.ones(n)
        varying = {"(Intercept)": one, "x": x} if slopes else {"(Intercept)": one}
        design = make_design(y, {"(Intercept)": one, "x": x}, ("g", g, varying, True), family=family)
        return replace(design, link=link, trials=trials)

    return build


def point(rows, seed=2):
    """Some parameters: beta, L, aux."""
    rng = np.random.default_rng(seed)
    q = rows.pattern.q
    L = np.array([[0.8, 0.0], [0.3, 0.5]])[:q, :q]
    return 0.3 * rng.normal(size=rows.X.shape[0]), L, np.array(AUX.get(rows.given.family, []))


@pytest.mark.parametrize("slopes", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_gradient_is_that_of_the_approximation(make, case, slopes):
    """To 1e-8 of differences: nodes that move with the parameters and third derivatives included."""
    rows = grouped_rows(make(*case, slopes))
    beta, L, aux = point(rows)
    pattern = rows.pattern
    p, k = beta.size, pattern.k
    x = np.concatenate([beta, pattern.elements(L), aux])

    def value(x, points):
        return approximate(rows, x[:p], pattern.matrix(x[p : p + k]), x[p + k :], points).value

    for points in (1, 4, 5):
        at = approximate(rows, beta, L, aux, points, scores=True)
        exact = np.concatenate([at.beta, pattern.elements(at.L), at.aux])
        step = 1e-5 * np.eye(x.size)
        differences = [(value(x + h, points) - value(x - h, points)) / 2e-5 for h in step]
        np.testing.assert_allclose(exact, differences, atol=1e-8 * np.abs(exact).max())
        np.testing.assert_allclose(at.scores @ rows.repeats, np.concatenate([at.beta, at.L.ravel(), at.aux]))


def group_likelihood(rows, j, beta, L, aux):
    """One group's likelihood by SciPy's integration, on the scale of its largest value."""
    mine = rows.codes == j
    given = replace(
        rows.given,
        **{name: getattr(rows.given, name)[mine] for name in ("y", "trials", "constant")},
        frequency=None if rows.given.frequency is None else rows.given.frequency[mine],
    )
    fixed = beta @ rows.X[:, mine] + rows.offset[mine]

    def log_joint(u):
        u = np.atleast_1d(u)
        prior = stats.norm.logpdf(u).sum()
        return density(given, fixed + (L @ u) @ rows.Z[:, mine], aux).value.sum() + prior

    top = max(log_joint(np.full(L.shape[0], u)) for u in np.linspace(-6, 6, 121))

    def integrand(*u):
        return np.exp(log_joint(np.array(u)) - top)

    ends = [(-12, 12) if L.shape[0] == 1 else (-7, 7)] * L.shape[0]
    options = {"epsabs": 1e-13, "epsrel": 1e-12} if L.shape[0] == 1 else {"epsabs": 1e-7, "epsrel": 1e-7}
    return np.log(integrate.nquad(integrand, ends, opts=options)[0]) + top


@pytest.mark.parametrize("case", CASES)
def test_brute_force(make, case):
    """51 points are the integral to ten digits."""
    rows = grouped_rows(make(*case))
    beta, L, aux = point(rows)
    at = approximate(rows, beta, L, aux, 51)
    exact = [group_likelihood(rows, j, beta, L, aux) for j in range(rows.J)]
    np.testing.assert_allclose(at.groups, exact, rtol=1e-9, atol=1e-10)


def test_brute_force_in_two_dimensions(make):
    rows = grouped_rows(make("binomial", "logit", slopes=True, J=2))
    beta, L, aux = point(rows)
    exact = sum(group_likelihood(rows, j, beta, L, aux) for j in range(rows.J))
    assert approximate(rows, beta, L, aux, 25).value == pytest.approx(exact, abs=1e-6)


def test_gaussian_integrals_are_exact_with_any_points():
    for points in (1, 5, 9):
        nodes, log_weights = product_rule(points, 2)
        total = np.exp(log_weights - (nodes**2).sum(axis=1)).sum()
        assert total == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_modes_have_no_slope(make, case):
    rows = grouped_rows(make(*case, slopes=True))
    beta, L, aux = point(rows)
    for start in (None, np.full((2, rows.J), 30.0)):
        found = modes(rows, beta, L, aux, start)
        slope = rows.by_group(found.V * found.at.d1) - found.u
        np.testing.assert_allclose(slope, 0, atol=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_rows_and_groups_counted_once_change_nothing(make, case):
    """Values, gradients and constants; the compressed design has fewer rows and fewer groups."""
    design = make(*case, coarse=True, J=40)
    if case[0] == "gamma":
        design = replace(design, y=np.ceil(design.y * 2) / 2)
    rows = grouped_rows(design)
    assert rows.n < design.n
    assert rows.J <= 40
    beta, L, aux = point(rows)
    together = approximate(rows, beta, L, aux, 5)
    apart = np.random.default_rng(3).normal(size=design.n) * 1e-13  # no two rows are equal any more
    plain = grouped_rows(replace(design, offset=apart))
    assert plain.n == design.n
    separate = approximate(plain, beta, L, aux, 5)
    assert together.value == pytest.approx(separate.value, rel=1e-11)
    np.testing.assert_allclose(together.beta, separate.beta, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(together.L, separate.L, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(together.aux, separate.aux, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(
        together.modes.u[:, rows.which], separate.modes.u[:, plain.which], rtol=1e-7, atol=1e-9
    )


def test_sign_of_a_column_of_the_factor_does_not_matter(make):
    rows = grouped_rows(make("poisson", "log", slopes=True))
    beta, L, aux = point(rows)
    flipped = approximate(rows, beta, L * [1, -1], aux, 5)
    assert flipped.value == pytest.approx(approximate(rows, beta, L, aux, 5).value, rel=1e-13)


def test_frequencies_multiply():
    plain = density(responses("gamma", "log", np.array([2.0])), np.array([0.3]), np.array([0.1]), 3)
    rows = replace(responses("gamma", "log", np.array([2.0])), frequency=np.array([3.0]))
    repeated = density(rows, np.array([0.3]), np.array([0.1]), 3)
    for name in ("value", "d1", "d2", "d3"):
        np.testing.assert_allclose(getattr(repeated, name), 3 * getattr(plain, name))
    np.testing.assert_allclose(repeated.aux_d2[0], 3 * plain.aux_d2[0])
