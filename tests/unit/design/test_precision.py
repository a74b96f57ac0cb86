"""Weights and known standard errors of the rows."""

import pytest

from nestwise.errors import FormulaError, Refusal

FRAME = {
    "y": [1.0, 2.5, 3.0, 4.5, 5.0, 7.0],
    "w": [1.0, 2.0, 0.5, 4.0, 1.0, 3.0],
    "g": ["b", "a", "b", "a", "c", "c"],
}


@pytest.mark.parametrize("key", ["weights", "sampling_error"])
class TestPrecision:
    def design(self, design_of, key, values=None):
        return design_of(FRAME | ({"w": values} if values else {}), "y ~ 1 + (1 | g)", model={key: "w"})

    def test_values_are_those_of_the_column(self, design_of, key):
        design = self.design(design_of, key)
        made = {"weights": design.weights, "sampling_error": design.sampling_error}
        assert made.pop(key).tolist() == FRAME["w"]
        assert list(made.values()) == [None]

    def test_rows_without_one_are_left_out(self, design_of, key):
        design = self.design(design_of, key, [1.0, None, 2.0, float("nan"), 1.0, 1.0])
        assert design.rows.tolist() == [1, 3, 5, 6]
        assert design.row_flow.excluded == (("w is missing", 2, 1),)

    def test_no_row_has_one(self, design_of, key):
        frame = FRAME | {"w": [float("nan")] * 6}
        with pytest.raises(Refusal, match="w is missing in 6"):
            design_of(frame, "y ~ 1 + (1 | g)", model={key: "w"})

    @pytest.mark.parametrize(
        ("value", "words"),
        [
            (0.0, r"is zero in row 2; declare the value a missing value"),
            (-1.0, "is negative in row 2; correct it"),
            (float("inf"), "is infinite in row 2; correct it"),
            (1e200, "too large or too small to calculate with in row 2"),
        ],
    )
    def test_rows_that_cannot_be_are_named(self, design_of, key, value, words):
        with pytest.raises(Refusal, match=words):
            self.design(design_of, key, [1.0, value, 2.0, 1.0, 1.0, 1.0])

    def test_all_that_is_wrong_is_said_at_once(self, design_of, key):
        with pytest.raises(Refusal) as caught:
            self.design(design_of, key, [0.0, 0.0, -2.0, float("inf"), 1.0, 1.0])
        assert len(caught.value.problems) == 3
        assert "2 rows (1, 2)" in str(caught.value)

    def test_words_are_no_numbers(self, design_of, key):
        with pytest.raises(Refusal, match="g holds no numbers"):
            design_of(FRAME, "y ~ 1 + (1 | g)", model={key: "g"})

    def test_an_absent_column_is_named_with_its_key(self, design_of, key):
        with pytest.raises(FormulaError, match=rf"the key {key}: there is no column ww; did you mean w"):
            design_of(FRAME | {"z": FRAME["w"]}, "y ~ 1", model={key: "ww"})


def test_weights_leave_the_hash_of_outcome_and_rows(design_of):
    plain = design_of(FRAME, "y ~ 1 + (1 | g)")
    assert design_of(FRAME, "y ~ 1 + (1 | g)", model={"weights": "w"}).analysis_hash == plain.analysis_hash


def test_problems_of_different_keys_are_said_at_once(design_of):
    """Numbers that are too large, memberships without weight, and a weight that is infinite."""
    frame = FRAME | {
        "h": ["a", "b", "c", "a", "b", "c"],
        "u": [0.0] * 6,
        "v": [0.0] * 6,
        "x": [1e200, 1, 2, 3, 4, 5],
    }
    frame["w"] = [1.0, float("inf"), 2.0, 1.0, 1.0, 1.0]
    with pytest.raises(Refusal) as caught:
        design_of(frame, "y ~ x + (1 | mm(g, h, weights = cbind(u, v)))", model={"weights": "w"})
    said = str(caught.value)
    for words in ("too large to calculate with", "are all 0", "infinite in row 2"):
        assert words in said
