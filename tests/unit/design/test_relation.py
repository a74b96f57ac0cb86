"""A known correlation in the order of a term's groups."""

from dataclasses import replace

import numpy as np
import pytest

from nestwise.config.study import Model
from nestwise.data.relation import Relation
from nestwise.design.build import build_design
from nestwise.errors import Refusal

FRAME = {
    "y": [1.0, 2.5, 3.0, 4.5, 5.0, 7.0],
    "x": [0.5, 1.0, 1.5, 2.0, 3.0, 4.5],
    "g": ["b", "a", "b", "a", "c", "c"],
    "h": ["u", "u", "u", "v", "v", "v"],
}
RELATION = Relation(
    ("c", "d", "b", "a"), np.array([[4, 0.4, 0.3, 0.1], [0.4, 9, 0, 0], [0.3, 0, 2, 0.2], [0.1, 0, 0.2, 1]])
)


@pytest.fixture
def term_of(make_dataset):
    def make(formula="y ~ x + (1 | g)", relation=RELATION, within=None, **columns):
        dataset = replace(make_dataset(FRAME | columns, within=within), relations={"g": relation})
        return build_design(dataset, "m", Model(formula=formula)).random

    return make


def test_it_is_put_in_the_order_of_the_groups(term_of):
    (term,) = term_of()
    assert term.labels == ("a", "b", "c")
    np.testing.assert_array_equal(term.relation, [[1, 0.2, 0.1], [0.2, 2, 0.3], [0.1, 0.3, 4]])


def test_groups_without_rows_are_left_out(term_of):
    (term,) = term_of(y=[1.0, None, 3.0, None, 5.0, 7.0])
    assert term.labels == ("b", "c")
    np.testing.assert_array_equal(term.relation, [[2, 0.3], [0.3, 4]])


def test_terms_of_other_factors_have_none(term_of):
    assert [term.relation is None for term in term_of("y ~ x + (1 | g) + (1 | h) + (1 | g:h)")] == [
        False,
        True,
        True,
    ]


def test_joined_terms_keep_it(term_of):
    (term,) = term_of("y ~ x + (1 | g) + (0 + x | g)")
    assert term.names == ("(Intercept)", "x")
    assert term.relation is not None


def test_groups_that_it_lacks_are_named(term_of):
    few = Relation(("a",), np.eye(1))
    with pytest.raises(Refusal, match=r"2 of 3 groups of g are not in the relation: b, c"):
        term_of(relation=few)


def test_ids_that_restart_have_no_relation(term_of):
    with pytest.raises(Refusal, match="ids of g restart inside h"):
        term_of(within={"g": "h", "h": None}, g=["a", "b", "c", "a", "b", "c"])
