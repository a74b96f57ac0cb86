"""The data collapsed to cross-products: nothing is lost, and parts add up."""

from __future__ import annotations

from dataclasses import replace
from time import process_time

import numpy as np
import pytest

from nestwise.errors import Refusal
from nestwise.likelihood.compression import compress, groups_last
from nestwise.likelihood.crossproducts import collapse, with_original_columns
from nestwise.likelihood.gaussian import constant, criterion, deviance
from nestwise.likelihood.working import lambda_pattern


def working_rows(design, products):
    """The working columns of `crossproducts`, row by row."""
    X = design.X @ products.T_X
    y = (design.y - design.X @ products.beta_0) / products.scale
    Z = np.column_stack([term.Z for term in design.random]) @ products.T_Z
    return np.column_stack([X, y]), Z


@pytest.mark.parametrize("correlated", [True, False])
def test_sums_are_those_of_the_rows(simulate, correlated):
    design = simulate(correlated=correlated)
    products = collapse(design)
    W, Z = working_rows(design, products)
    for j in range(products.J):
        mine = design.random[0].codes == j
        np.testing.assert_allclose(products.A[j], Z[mine].T @ Z[mine], atol=1e-11)
        np.testing.assert_allclose(products.B[j], Z[mine].T @ W[mine], atol=1e-11)
        assert products.counts[j] == mine.sum()
    np.testing.assert_allclose(products.G, W.T @ W, atol=1e-9)


def test_working_columns_are_orthonormal(simulate):
    """X_w'X_w = n I, X_w'y_w = 0, y_w'y_w = n; correlated Z too, which a shift of 2015 would spoil."""
    design = simulate(shift=2015.0)
    products = collapse(design)
    np.testing.assert_allclose(products.G, design.n * np.eye(4), atol=1e-8 * design.n)
    np.testing.assert_allclose(products.A.sum(axis=0), design.n * np.eye(2), atol=1e-7 * design.n)
    assert np.linalg.norm(products.G[:3, 3]) < 1e-10 * design.n


def test_uncorrelated_terms_stay_diagonal(simulate):
    products = collapse(simulate(correlated=False))
    assert products.T_Z[0, 1] == 0 == products.T_Z[1, 0]
    assert products.pattern.k == 2


def test_pattern_of_several_terms_is_block_diagonal(sleepstudy):
    whole = sleepstudy().random[0]
    pattern = lambda_pattern((whole, sleepstudy("independent").random[0]))
    free = pattern.matrix(np.arange(1.0, pattern.k + 1))
    np.testing.assert_array_equal(free, [[1, 0, 0, 0], [2, 3, 0, 0], [0, 0, 4, 0], [0, 0, 0, 5]])
    np.testing.assert_array_equal(pattern.elements(free), np.arange(1.0, 6.0))
    np.testing.assert_array_equal(pattern.diagonal, [0, 2, 3, 4])


def test_rows_in_any_order(simulate):
    design = simulate()
    order = np.random.default_rng(3).permutation(design.n)
    term = design.random[0]
    shuffled = replace(
        design,
        y=design.y[order],
        X=design.X[order],
        random=(replace(term, Z=term.Z[order], codes=term.codes[order]),),
    )
    theta = np.array([0.7, 0.2, 0.4])
    first, second = collapse(design), collapse(shuffled)
    assert deviance(first, theta, reml=True)[0] + constant(first, reml=True) == pytest.approx(
        deviance(second, theta, reml=True)[0] + constant(second, reml=True), abs=1e-9
    )


def test_digits_survive_large_outcomes_and_years(make_design):
    """y = 1e6 + small noise, year 2015 .. 2020: the same fit as of the centred data, to 1e-6."""
    rng = np.random.default_rng(5)
    codes = np.repeat(np.arange(30), 6)
    year = np.tile(np.arange(2015.0, 2021.0), 30)
    noise = 1e-3 * (rng.normal(size=(30, 2)) @ np.diag([1, 0.3]))
    y = noise[codes, 0] + noise[codes, 1] * (year - 2017.5) + 1e-3 * rng.normal(size=180)

    def products(level, origin):
        one, x = np.ones(180), year - origin
        columns = {"(Intercept)": one, "x": x}
        return collapse(make_design(y + level, columns, ("g", codes, columns, True)))

    raw, centred = products(1e6, 0.0), products(0.0, 2017.5)
    assert raw.scale == pytest.approx(centred.scale, rel=1e-6)
    for theta in ([0.5, 0.1, 0.2], [2.0, 0.0, 0.01]):
        a = deviance(raw, np.array(theta), reml=True)[0]
        b = deviance(centred, np.array(theta), reml=True)[0]
        assert a == pytest.approx(b, abs=1e-4)


@pytest.mark.parametrize("reml", [True, False])
def test_compression_keeps_the_likelihood(sleepstudy, reml):
    """Balanced data: 18 groups become a few entries with the same deviance and gradient."""
    products = collapse(sleepstudy())
    small = compress(products)
    assert products.J == 18
    assert small.J == 6
    assert small.weights.sum() == pytest.approx(18)
    for theta in ([0.9, 0.3, 0.4], [0.0, 0.0, 0.0], [3.0, -1.0, 0.2]):
        whole = deviance(products, np.array(theta), reml=reml)
        part = deviance(small, np.array(theta), reml=reml)
        assert part[0] == pytest.approx(whole[0], abs=1e-9)
        np.testing.assert_allclose(part[1], whole[1], atol=1e-8)


def test_compression_leaves_unbalanced_data_alone(simulate):
    products = collapse(simulate())
    assert compress(products) is products


def test_compression_of_unequal_intercept_groups(make_design):
    """Intercepts: groups of the same size share their A."""
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(300), rng.integers(2, 6, 300))
    one = {"(Intercept)": np.ones(codes.size)}
    y = rng.normal(size=300)[codes] + rng.normal(size=codes.size)
    products = collapse(make_design(y, one, ("g", codes, one, True)))
    small = compress(products)
    assert small.J == 4 * 2
    assert deviance(small, np.array([0.8]), reml=True)[0] == pytest.approx(
        deviance(products, np.array([0.8]), reml=True)[0], abs=1e-9
    )


def test_original_columns_give_the_same_likelihood(simulate):
    """What the sampler uses: Lambda of the formula's own columns."""
    products = collapse(simulate())
    original = with_original_columns(products)
    Lambda = np.array([[0.8, 0.0], [0.3, 0.5]])
    working = np.linalg.solve(products.T_Z, Lambda)
    for sigma in (None, 0.9):
        a = criterion(products, working, reml=False, sigma=sigma)
        b = criterion(original, Lambda, reml=False, sigma=sigma)
        assert a.value == pytest.approx(b.value, abs=1e-8)


def test_layout_in_memory_does_not_matter(simulate):
    products = collapse(simulate())
    other = groups_last(products)
    assert np.moveaxis(other.B, 0, -1).flags["C_CONTIGUOUS"]
    theta = np.array([0.8, 0.3, 0.5])
    a, b = deviance(products, theta, reml=True), deviance(other, theta, reml=True)
    assert a[0] == pytest.approx(b[0], abs=1e-11)
    np.testing.assert_allclose(a[1], b[1], atol=1e-10)


def test_offset_is_subtracted(simulate):
    design = simulate()
    offset = np.linspace(0, 3, design.n)
    with_offset = collapse(simulate(offset=offset))
    without = collapse(replace(design, y=design.y - offset))
    np.testing.assert_allclose(with_offset.B, without.B, atol=1e-10)


def test_days_since_long_ago_are_not_collinear(make_design, simulate):
    """x + 1e7 is not the intercept: nothing is refused, the working columns are orthonormal all the same."""
    products = collapse(simulate(shift=1e7))
    np.testing.assert_allclose(products.A.sum(axis=0) / products.n, np.eye(2), atol=1e-6)


def test_refusals(make_design, simulate):
    design = simulate()
    one = {"(Intercept)": np.ones(design.n)}
    with pytest.raises(Refusal, match="no random effects"):
        collapse(make_design(design.y, one))
    first = ("g", design.random[0].codes, one, True)
    second = ("h", design.random[0].codes % 3, one, True)
    with pytest.raises(Refusal, match="one grouping factor so far, and the model has g and h"):
        collapse(make_design(design.y, one, first, second))
    twice = one | {"a": design.X[:, 1], "b": 2 * design.X[:, 1]}
    with pytest.raises(Refusal, match="coefficient b of g is zero or follows"):
        collapse(make_design(design.y, one, ("g", design.random[0].codes, twice, True)))
    nothing = one | {"a": np.zeros(design.n)}
    with pytest.raises(Refusal, match="coefficient a of g is zero"):
        collapse(make_design(design.y, one, ("g", design.random[0].codes, nothing, False)))
    with pytest.raises(Refusal, match="reproduce y exactly"):
        collapse(make_design(2 + 3 * design.X[:, 1], one | {"x": design.X[:, 1]}, first))


def test_many_rows_are_collapsed_quickly(make_design):
    """200,000 rows in 2,000 groups well under a second, also unsorted."""
    rng = np.random.default_rng(2)
    codes = rng.permutation(np.repeat(np.arange(2000), 100))
    x = rng.normal(size=200_000)
    columns = {"(Intercept)": np.ones(200_000), "x": x}
    design = make_design(x + rng.normal(size=200_000), columns, ("g", codes, columns, True))
    began = process_time()
    collapse(design)
    assert process_time() - began < 1.5
