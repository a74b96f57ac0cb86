"""Rows that belong to several groups at once: `(1 | mm(school1, school2))`."""

import numpy as np
import pytest

from nestwise.errors import FormulaError, Refusal

FRAME = {
    "y": [1.0, 2.5, 3.0, 4.5, 5.0, 7.0],
    "x": [0.5, 1.0, 1.5, 2.0, 3.0, 4.5],
    "s1": ["s2", "s10", "s1", "s2", None, None],
    "s2": ["s10", None, "s3", "s2", "s1", None],
    "w1": [1.0, 2.0, 3.0, 0.0, None, None],
    "w2": [1.0, None, 1.0, 2.0, 4.0, None],
}
MM = "mm(s1, s2, weights = cbind(w1, w2)"


def term_of(design_of, right="mm(s1, s2)", left="1", **columns):
    design = design_of(FRAME | columns, f"y ~ x + ({left} | {right})")
    return design, design.random[0]


def effect(term, b):
    """Random intercept of each row."""
    return (b[term.membership.codes] * term.membership.weights).sum(axis=1)


def test_groups_are_those_of_all_columns_in_natural_order(design_of):
    _, term = term_of(design_of)
    assert term.group == "mm(s1, s2)"
    assert term.labels == ("s1", "s2", "s3", "s10")


def test_a_missing_membership_gives_its_share_to_the_others(design_of):
    design, term = term_of(design_of)
    assert design.rows.tolist() == [1, 2, 3, 4, 5]
    assert design.row_flow.excluded == (("mm(s1, s2) is missing", 1, 0),)
    b = np.array([1.0, 10.0, 100.0, 1000.0])
    assert effect(term, b).tolist() == [505.0, 1000.0, 50.5, 10.0, 1.0]
    assert term.codes.tolist() == [1, 3, 0, 1, 0]


def test_weights_sum_to_one_unless_scale_is_false(design_of):
    b = np.array([1.0, 10.0, 100.0, 1000.0])
    _, scaled = term_of(design_of, MM + ")")
    assert effect(scaled, b).tolist() == [505.0, 1000.0, 0.75 * 1 + 0.25 * 100, 10.0, 1.0]
    _, raw = term_of(design_of, MM + ", scale = FALSE)")
    assert effect(raw, b).tolist() == [1010.0, 2000.0, 103.0, 20.0, 4.0]


def test_a_known_membership_without_its_weight_is_a_missing_value(design_of):
    design, _ = term_of(design_of, MM + ")", w2=[None, None, 1.0, 2.0, 4.0, None])
    assert design.rows.tolist() == [2, 3, 4, 5]
    assert design.row_flow.excluded == (("mm(s1, s2) is missing", 1, 0), ("w2 is missing", 1, 0))


def test_coefficients_vary_as_in_other_terms(design_of):
    _, term = term_of(design_of, left="x")
    assert term.names == ("(Intercept)", "x")
    assert term.correlated
    design, term = term_of(design_of, right="mm(s1, s2)", left="x - 1")
    assert term.names == ("x",)
    assert len(design.factors) == 1


def test_numbers_and_texts_name_the_same_groups(design_of):
    _, term = term_of(design_of, s1=[2, 10, 1, 2, None, None], s2=["10", None, "3", "2", "1", None])
    assert term.labels == ("1", "2", "3", "10")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([-1.0, 2.0, 3.0, 0.0, None, None], "negative or infinite in row 1"),
        ([float("inf"), 2.0, 3.0, 0.0, None, None], "negative or infinite in row 1"),
        ([1.0, 0.0, 3.0, 0.0, None, None], r"are all 0 in row 2"),
        (["a", "b", "c", "d", None, None], "w1 is no number"),
    ],
)
def test_weights_that_cannot_be(design_of, values, words):
    with pytest.raises(Refusal, match=words):
        term_of(design_of, MM + ")", w1=values)


def test_two_terms_of_the_same_memberships_share_their_weights(design_of):
    formula = "y ~ x + (1 | mm(s1, s2)) + (0 + x | mm(s1, s2))"
    (term,) = design_of(FRAME, formula).random
    assert (term.names, term.correlated, term.membership is None) == (("(Intercept)", "x"), False, False)
    with pytest.raises(FormulaError, match="different weights"):
        design_of(FRAME, f"y ~ x + (1 | mm(s1, s2)) + (0 + x | {MM}))")


def test_equal_memberships_are_the_ordinary_term(design_of):
    frame = FRAME | {"s2": FRAME["s1"]}
    term = design_of(frame, "y ~ x + (1 | mm(s1, s2))").random[0]
    plain = design_of(frame, "y ~ x + (1 | s1)").random[0]
    assert term.labels == plain.labels
    b = np.arange(1.0, len(term.labels) + 1)
    np.testing.assert_allclose(effect(term, b), b[plain.codes])
