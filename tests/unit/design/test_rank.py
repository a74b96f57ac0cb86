"""Which columns stay: the quick answer from cross-products is that of the rule itself."""

import numpy as np
import pytest

from nestwise.design import rank
from nestwise.design.rank import independent_columns


@pytest.mark.parametrize(("left", "kept"), [(1.0, [0, 1, 2]), (1e-6, [0, 1, 2]), (1e-8, [0, 1]), (0, [0, 1])])
def test_a_column_stays_if_enough_of_it_is_left(left, kept):
    rng = np.random.default_rng(1)
    x, new = rng.normal(size=(2, 500))
    assert independent_columns(np.column_stack([np.ones(500), x, 3 * x + left * new])) == kept


@pytest.mark.parametrize("size", [1e-90, 1.0, 1e90])
@pytest.mark.parametrize("closeness", np.logspace(-9, 0, 10))
def test_both_ways_agree(monkeypatch, size, closeness):
    rng = np.random.default_rng(2)
    X = rng.normal(size=(200, 4))
    X[:, 3] = X[:, 0] - X[:, 2] + closeness * X[:, 3]
    quick = independent_columns(X * size)
    monkeypatch.setattr(rank, "CLEAR", np.inf)
    assert quick == independent_columns(X * size)


@pytest.mark.parametrize("shape", [(3, 5), (4, 0)])
def test_more_columns_than_rows_and_none(shape):
    X = np.random.default_rng(3).normal(size=shape)
    assert independent_columns(X) == list(range(min(shape)))
