"""Orders of elimination: against elimination by sets, and the same likelihood with any order of the core."""

from __future__ import annotations

import numpy as np
import pytest

from nestwise.design.record import Design, Membership, RandomTerm, RowFlow
from nestwise.errors import Refusal
from nestwise.likelihood import crossed, ordering
from nestwise.likelihood.crossed import collapse_crossed
from nestwise.likelihood.crossed_equations import CrossedReduced
from nestwise.likelihood.gaussian import criterion, deviance
from nestwise.likelihood.ordering import minimum_degree

ONE = "(Intercept)"


def whole_numbers(values):
    return np.array(values, dtype=np.int64)


def neighbours(n, pairs, sets):
    """Each node's neighbours."""
    found = [set() for _ in range(n)]
    for members in (*pairs, *sets):
        for i in members:
            found[i] |= set(members) - {i}
    return found


def random_graph(rng):
    n = int(rng.integers(2, 40))
    pairs = {tuple(sorted(rng.choice(n, 2, replace=False).tolist())) for _ in range(rng.integers(0, 60))}
    sizes = rng.integers(1, min(n, 6) + 1, rng.integers(0, 15))
    return n, sorted(pairs), [rng.choice(n, size, replace=False).tolist() for size in sizes]


def ordered(n, pairs, sets, most=100_000):
    left, right = (whole_numbers([pair[side] for pair in pairs]) for side in (0, 1))
    element = whole_numbers([e for e, members in enumerate(sets) for _ in members])
    return minimum_degree(n, left, right, element, whole_numbers([i for m in sets for i in m]), most)


def test_couplings_are_those_of_elimination_by_sets():
    rng = np.random.default_rng(0)
    for _ in range(200):
        n, pairs, sets = random_graph(rng)
        graph = neighbours(n, pairs, sets)
        found = ordered(n, pairs, sets)
        assert sorted([*found.order, *found.rest]) == list(range(n))
        for p in found.order.tolist():
            assert set(found.there[found.here == p].tolist()) == graph[p]
            for i in graph[p]:
                graph[i] = (graph[i] | graph[p]) - {i, p}


def test_a_tree_has_no_new_couplings():
    parents = [(i, (i - 1) // 2) for i in range(1, 127)]
    found = ordered(127, parents, [])
    assert found.here.size == 126
    assert found.rest.size == 0


def test_a_clique_is_left_to_dense_algebra():
    assert ordered(12, [], [list(range(12))]).rest.size == 12


def test_too_many_couplings_are_given_up():
    pairs = [(i, i + 1) for i in range(19)]
    assert ordered(20, pairs, [], most=5) is None


def overlapping(kind, reml=True):
    """Three factors along a line whose groups overlap with their neighbours only."""
    rng = np.random.default_rng(3)
    n = 240
    t = rng.uniform(size=n)
    a, b, c = (
        np.clip((t * J).astype(int) + rng.integers(-1, 2, n), 0, J - 1).astype(np.int64) for J in (30, 24, 12)
    )
    x = rng.normal(size=n)
    both, one = np.column_stack([np.ones(n), x]), np.ones((n, 1))

    def term(group, codes, Z=one, **more):
        labels = tuple(str(j) for j in range(codes.max() + 1))
        return RandomTerm(group, (ONE, "x")[: Z.shape[1]], Z, codes, labels, **more)

    terms = [term("a", a), term("b", b, both), term("c", c)]
    if kind == "members":
        shares = rng.dirichlet([1, 1], n)
        codes = np.column_stack([a, np.minimum(a + 1, a.max())])
        terms[0] = term("a", a, both, membership=Membership(codes, shares))
    if kind == "related":
        terms[2] = term("c", c, relation=np.kron(np.eye(6), [[1, 0.5], [0.5, 1.25]]))
    y = rng.normal(size=30)[a] + rng.normal(size=24)[b] * x + rng.normal(size=12)[c] + rng.normal(size=n)
    flow = RowFlow(n, n, 30, 30)
    return Design(
        "line", "m", "y ~ x", "y", y, both, (ONE, "x"), tuple(terms), np.arange(n), flow, "h", reml=reml
    )


@pytest.mark.parametrize("kind", ["plain", "members", "related"])
@pytest.mark.parametrize("reml", [True, False])
def test_any_order_gives_one_likelihood(kind, reml, monkeypatch):
    """Value, gradient, predicted effects and conditional variances are those of a dense core."""
    design = overlapping(kind, reml)
    dense = collapse_crossed(design)
    monkeypatch.setattr(ordering, "SMALL", 0)
    monkeypatch.setattr(ordering, "SLOW", 0.0)
    sparse = collapse_crossed(design)
    assert sparse.elimination.single > dense.elimination.single + 10
    rng = np.random.default_rng(4)
    for theta in (rng.normal(size=dense.pattern.k), np.zeros(dense.pattern.k)):
        (value, gradient), (expected, slope) = (deviance(p, theta, reml=reml) for p in (sparse, dense))
        assert value == pytest.approx(expected, abs=1e-9)
        np.testing.assert_allclose(gradient, slope, atol=1e-9 * max(1, np.abs(slope).max()))
        ours, theirs = (criterion(p, p.pattern.matrix(theta), reml=reml).reduced for p in (sparse, dense))
        assert isinstance(ours, CrossedReduced)
        np.testing.assert_allclose(ours.K, theirs.K, atol=1e-10)
        for f in range(3):
            np.testing.assert_allclose(ours.group_inverses(f), theirs.group_inverses(f), atol=1e-11)


def test_small_cores_stay_dense():
    assert collapse_crossed(overlapping("plain")).elimination.cores[0][1] > 12


def test_groups_that_cannot_be_taken_apart_are_refused(monkeypatch):
    monkeypatch.setattr(crossed, "MOST_DENSE", 20)
    with pytest.raises(Refusal, match=r"30 a x 24 b x 12 c.* of their effects cannot be taken apart"):
        collapse_crossed(overlapping("plain"))
