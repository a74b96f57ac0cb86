"""Roots of known correlations, and the products they turn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from nestwise.likelihood.relation import related_products, relation_root, uncoupled, wide_root

RNG = np.random.default_rng(1)
LINE = 0.7 ** np.abs(np.subtract.outer(np.arange(8.0), np.arange(8.0)))
FAMILIES = np.kron(np.eye(4), [[1.0, 0.5], [0.5, 1.25]])
THREE = RNG.normal(size=(8, 3))
MIXED = RNG.permutation(8)
RELATIONS = {
    "line": LINE,
    "families": FAMILIES,
    "families in any order": FAMILIES[np.ix_(MIXED, MIXED)],
    "twins": np.kron(np.eye(4), np.ones((2, 2))),
    "of rank 3": THREE @ THREE.T,
    "nothing in common": np.diag(np.arange(1.0, 9.0)),
}


@pytest.mark.parametrize("name", RELATIONS)
def test_a_root_makes_its_relation(name):
    relation = RELATIONS[name]
    root = relation_root(relation)
    np.testing.assert_allclose(root @ root.T, relation, atol=1e-12)
    assert not root[relation == 0].any()  # families stay apart
    assert (np.linalg.norm(root, axis=0) > 0).sum() == np.linalg.matrix_rank(relation)


def test_unrelated_groups_have_the_identity():
    np.testing.assert_array_equal(relation_root(np.eye(5)), np.eye(5))


@pytest.mark.parametrize("name", RELATIONS)
@pytest.mark.parametrize("q", [1, 2])
def test_products_are_those_of_turned_columns(name, q):
    """Z (C x I) written out; a second factor stays as it is."""
    Z, W = RNG.normal(size=(60, 8 * q + 3)), RNG.normal(size=(60, 2))
    root = relation_root(RELATIONS[name])
    A, B = related_products(sparse.csr_array(Z.T @ Z), Z.T @ W, [(root, 8, q), (None, 3, 1)])
    turned = Z.copy()
    turned[:, : 8 * q] = Z[:, : 8 * q] @ np.kron(root, np.eye(q))
    np.testing.assert_allclose(A.toarray(), turned.T @ turned, atol=1e-11)
    np.testing.assert_allclose(B, turned.T @ W, atol=1e-11)
    np.testing.assert_allclose(wide_root(root, q).toarray(), np.kron(root, np.eye(q)))


def test_directions_that_are_not_coupled():
    """C U is as good a root as C, and A diagonal in it."""
    Z, W = RNG.normal(size=(60, 8)), RNG.normal(size=(60, 2))
    root = relation_root(LINE)
    A, B = related_products(sparse.csr_array(Z.T @ Z), Z.T @ W, [(root, 8, 1)])
    diagonal, turned_B, turned = uncoupled(A, B, root)
    np.testing.assert_allclose(turned @ turned.T, LINE, atol=1e-12)
    np.testing.assert_allclose((Z @ turned).T @ (Z @ turned), diagonal.toarray(), atol=1e-11)
    np.testing.assert_allclose((Z @ turned).T @ W, turned_B, atol=1e-11)
    assert diagonal.nnz == 8


def test_groups_that_are_uncoupled_stay_as_they_are():
    A, B = sparse.csr_array(sparse.diags_array(np.arange(1.0, 9.0))), RNG.normal(size=(8, 2))
    assert uncoupled(A, B, np.eye(8))[0] is A
