"""Derived variables against hand-made numbers and against R's definitions."""

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from nestwise.config.study import Derivation
from nestwise.data.derive import derive, group_keys
from nestwise.errors import DataError

FRAME = pl.DataFrame(
    {
        "g": ["a", "a", "b", "b", "b"],
        "x": [1.0, 3.0, 2.0, None, 6.0],
        "k": [1, 2, 3, 4, 5],
        "w": list("uvuvu"),
    }
)


def made(*derivations, frame=FRAME, within=None):
    parsed = [Derivation.model_validate(derivation) for derivation in derivations]
    return derive(frame, parsed, within)


@pytest.mark.parametrize(
    ("derivation", "values"),
    [
        ({"between": "x", "group": "g"}, [2.0, 2.0, 4.0, 4.0, 4.0]),
        ({"within": "x", "group": "g"}, [-1.0, 1.0, -2.0, None, 2.0]),
        ({"center": "x"}, [-2.0, 0.0, -1.0, None, 3.0]),
        ({"center": "x", "at": 1}, [0.0, 2.0, 1.0, None, 5.0]),
        ({"scale": "k"}, ((np.arange(5) - 2) / np.std(np.arange(5), ddof=1)).tolist()),
        ({"within": "k", "group": "g"}, [-0.5, 0.5, -1.0, 0.0, 1.0]),
    ],
)
def test_by_hand(derivation, values):
    column = made(derivation | {"as": "new"})["new"]
    assert column.dtype == pl.Float64
    assert column.to_list() == pytest.approx(values)


def test_rule_11_parts_add_up_and_within_sums_to_nothing():
    rng = np.random.default_rng(3)
    frame = pl.DataFrame({"g": rng.integers(0, 30, 500), "x": rng.normal(size=500)})
    parts = made(
        {"within": "x", "group": "g", "as": "w"}, {"between": "x", "group": "g", "as": "b"}, frame=frame
    )
    assert np.allclose(parts["w"] + parts["b"], parts["x"])
    assert np.allclose(parts.group_by("g").agg(pl.col("w").sum())["w"], 0)


def test_lazy_and_eager_agree():
    derivations = ({"between": "x", "group": "g", "as": "b"}, {"scale": "b", "as": "s"})
    assert_frame_equal(made(*derivations), made(*derivations, frame=FRAME.lazy()).collect())


def test_built_on_an_earlier_one():
    made_of = made(
        {"center": "x", "as": "c"},
        {"within": "c", "group": "g", "as": "cw"},
        {"within": "x", "group": "g", "as": "xw"},
    )
    assert made_of["cw"].to_list() == pytest.approx(made_of["xw"].to_list())


def test_restarting_ids_are_kept_apart_by_their_parents():
    frame = pl.DataFrame({"school": ["A", "A", "B", "B"], "class": [1, 1, 1, 1], "x": [1.0, 3.0, 10.0, 20.0]})
    within = {"school": None, "class": "school"}
    means = made({"between": "x", "group": "class", "as": "m"}, frame=frame, within=within)["m"]
    assert means.to_list() == [2.0, 2.0, 15.0, 15.0]


def test_group_keys_run_from_the_outermost_and_stop_at_circles():
    assert group_keys("c", {"c": "b", "b": "a", "a": None}) == ("a", "b", "c")
    assert group_keys("c", {"c": "b", "b": "c"}) == ("b", "c")


def test_a_constant_has_no_scale_and_no_nan():
    frame = pl.DataFrame({"x": [2.0, 2.0]})
    assert made({"scale": "x", "as": "s"}, frame=frame)["s"].to_list() == [None, None]


def test_all_problems_are_told():
    with pytest.raises(DataError) as caught:
        made(
            {"center": "X", "as": "a"},
            {"within": "x", "group": "h", "as": "b"},
            {"scale": "w", "as": "c"},
            {"center": "x", "as": "g"},
            {"center": "c", "as": "c"},
        )
    text = str(caught.value)
    for said in ("'X'", "did you mean 'x'", "'h'", "w is not numeric", "'g' is taken", "'c' is taken"):
        assert said in text
    assert all(problem.way_out for problem in caught.value.problems)
