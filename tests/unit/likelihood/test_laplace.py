"""Laplace's approximation with several factors: dense brute force, exact gradients, one factor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize

from nestwise.likelihood.crossed_rows import crossed_rows
from nestwise.likelihood.families import density
from nestwise.likelihood.grouped_rows import grouped_rows
from nestwise.likelihood.laplace import crossed_modes, group_covariances, laplace
from nestwise.likelihood.quadrature import approximate

AUX = {"negative_binomial": [0.4], "ordinal": [-1.0, 0.0, 1.0]}
FAMILIES = [("poisson", "log"), ("negative_binomial", "log"), ("binomial", "probit"), ("ordinal", "logit")]


@pytest.fixture(scope="module")
def make(make_design):
    """60 rows of a family; `kind` names the factors: one, crossed, nested in a third and crossed."""

    def build(family, link, kind):
        rng = np.random.default_rng(1)
        n = 60
        g, h, x = rng.integers(0, 8, n), rng.integers(0, 5, n), rng.normal(size=n)
        one = np.ones(n)
        y = rng.poisson(np.exp(0.3 * x + 0.6 * rng.normal(size=8)[g] + 0.5 * rng.normal(size=5)[h]))
        y = (y > 0) * 1 if family == "binomial" else np.minimum(y, 3) if family == "ordinal" else y
        y[:4] = np.arange(4) if family == "ordinal" else y[:4]
        slopes = ("g", g, {"(Intercept)": one, "x": x}, True)
        random = {
            "one": [slopes],
            "crossed": [slopes, ("h", h, {"(Intercept)": one}, True)],
            "three": [
                ("g", g, {"(Intercept)": one}, True),
                ("h", h, {"(Intercept)": one, "x": x}, False),
                ("k", g // 3, {"(Intercept)": one}, True),
            ],
        }[kind]
        made = make_design(y, {"(Intercept)": one, "x": x}, *random, family=family)
        return replace(made, link=link)

    return build


def point(rows):
    rng = np.random.default_rng(2)
    L = rows.pattern.matrix(rng.uniform(0.3, 0.8, rows.pattern.k))
    return 0.3 * rng.normal(size=rows.X.shape[0]), L, np.array(AUX.get(rows.given.family, []))


@pytest.mark.parametrize("kind", ["one", "crossed", "three"])
@pytest.mark.parametrize("case", FAMILIES)
def test_gradient(make, case, kind):
    rows = crossed_rows(make(*case, kind))
    beta, L, aux = point(rows)
    pattern, p = rows.pattern, beta.size
    x = np.concatenate([beta, pattern.elements(L), aux])

    def value(x):
        return laplace(rows, x[:p], pattern.matrix(x[p : p + pattern.k]), x[p + pattern.k :]).value

    at = laplace(rows, beta, L, aux)
    exact = np.concatenate([at.beta, pattern.elements(at.L), at.aux])
    differences = [(value(x + h) - value(x - h)) / 2e-5 for h in 1e-5 * np.eye(x.size)]
    np.testing.assert_allclose(exact, differences, atol=2e-8 * np.abs(exact).max())


@pytest.mark.parametrize("case", FAMILIES)
def test_one_factor_is_one_point(make, case):
    design = make(*case, "one")
    rows, grouped = crossed_rows(design), grouped_rows(design)
    beta, L, aux = point(rows)
    one, other = laplace(rows, beta, L, aux), approximate(grouped, beta, L, aux, 1)
    assert one.value == pytest.approx(other.value, rel=1e-12)
    np.testing.assert_allclose(one.beta, other.beta, rtol=1e-8)
    np.testing.assert_allclose(one.L[np.tril_indices(2)], other.L[np.tril_indices(2)], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("kind", ["crossed", "three"])
@pytest.mark.parametrize("case", FAMILIES)
def test_dense_brute_force(make, case, kind):
    """The mode by a general optimiser, the determinant of the dense matrix, its inverse's blocks."""
    rows = crossed_rows(make(*case, kind))
    beta, L, aux = point(rows)
    Lambda = rows.apply(rows.blocks(L), np.eye(rows.Z.shape[1]))
    V, fixed = rows.Z @ Lambda, beta @ rows.X + rows.offset

    def minus_joint(u):
        at = density(rows.given, fixed + V @ u, aux)
        return 0.5 * u @ u - at.value.sum(), u - V.T @ at.d1

    start = np.zeros(V.shape[1])
    best = optimize.minimize(minus_joint, start, jac=True, method="BFGS", options={"gtol": 1e-9})
    u = best.x
    for _ in range(3):  # BFGS stops short of the last digits, which the determinant sees
        M = np.eye(u.size) - V.T @ (density(rows.given, fixed + V @ u, aux, 3).d2[:, None] * V)
        u = u - np.linalg.solve(M, minus_joint(u)[1])
    expected = -minus_joint(u)[0] - np.linalg.slogdet(M)[1] / 2
    assert laplace(rows, beta, L, aux).value == pytest.approx(expected, abs=1e-9)
    found = crossed_modes(rows, beta, L, aux)
    np.testing.assert_allclose(found.u[:, 0], u, atol=1e-9)
    inverse = np.linalg.inv(M)
    for span, blocks in zip(rows.spans, group_covariances(rows, found), strict=True):
        q = blocks.shape[1]
        own = inverse[span, span]
        for j, block in enumerate(blocks):
            np.testing.assert_allclose(block, own[j * q : j * q + q, j * q : j * q + q], atol=1e-8)
