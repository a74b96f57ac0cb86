"""Groups: nested ids are kept apart, labels are sorted as a person sorts."""

import numpy as np
import polars as pl
import pytest

from nestwise.design.grouping import ancestors, factor_keys, natural_order, read_keys
from nestwise.errors import FormulaError

SCHOOLS = {
    "y": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0],
    "x": [0.0, 1.0, 2.0, 3.0, 1.0, 2.0, 0.0, 5.0],
    "school": ["s2", "s2", "s10", "s10", "s2", "s1", "s1", "s10"],
    "restart": ["1", "2", "1", "2", "2", "1", "1", "1"],
    "unique": ["A", "B", "C", "D", "B", "E", "E", "C"],
}
NESTED = {"school": None, "restart": "school", "unique": "school"}


def partition(codes):
    return {frozenset(np.flatnonzero(codes == code).tolist()) for code in set(codes.tolist())}


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["10", "9", "1"], ["1", "9", "10"]),
        (["s10", "s9", "s1"], ["s1", "s9", "s10"]),
        (["s10a2", "s10a10", "s9b"], ["s9b", "s10a2", "s10a10"]),
        (["b", "a", "10", "2"], ["2", "10", "a", "b"]),
        (["01", "1", "001"], ["001", "01", "1"]),
        (["x1", "y1", "x"], ["x", "x1", "y1"]),
        (["h2", "g10", "g2"], ["g2", "g10", "h2"]),
        (["²", "1", "٣"], ["1", "²", "٣"]),
        (["1" * 500, "2"], ["2", "1" * 500]),
        ([], []),
    ],
)
def test_natural_order(labels, expected):
    assert [labels[index] for index in natural_order(labels)] == expected


def test_natural_order_is_total_and_does_not_depend_on_the_start():
    dice = np.random.default_rng(2)
    labels = [f"{a}{n}{b}" for a in ("", "g", "-") for n in ("", "1", "10", "02") for b in ("", "x", "7")]
    expected = None
    for _ in range(10):
        mixed = [labels[index] for index in dice.permutation(len(labels))]
        ordered = [mixed[index] for index in natural_order(mixed)]
        expected = expected or ordered
        assert ordered == expected


def test_parents_come_first_and_cycles_end():
    within = {"pupil": "class", "class": "school", "school": None, "a": "b", "b": "a"}
    assert ancestors("pupil", within) == ("school", "class")
    assert factor_keys(["pupil"], within) == ("school", "class", "pupil")
    assert factor_keys(["class", "school"], within) == ("school", "class")
    assert factor_keys(["arm", "class"], within) == ("school", "arm", "class")
    assert ancestors("a", within) == ("b",)


def test_slash_adds_both_factors(design_of):
    design = design_of(SCHOOLS, "y ~ x + (1 | school/restart)")
    assert [term.group for term in design.random] == ["school", "school:restart"]
    outer, inner = design.random
    assert outer.labels == ("s1", "s2", "s10")
    assert inner.labels == ("s1:1", "s2:1", "s2:2", "s10:1", "s10:2")
    assert inner.codes.tolist() == [1, 2, 3, 4, 2, 0, 0, 3]


def test_declared_parents_are_part_of_the_key_and_unique_ids_keep_their_label(design_of):
    design = design_of(SCHOOLS, "y ~ x + (1 | unique)", within=NESTED)
    assert design.random[0].labels == ("A", "B", "C", "D", "E")
    assert design.random[0].group == "unique"
    assert design.notes == ()


def test_ids_that_restart_are_told_apart_if_nesting_is_declared(design_of):
    alone = design_of(SCHOOLS, "y ~ x + (1 | restart)", within={})
    assert alone.random[0].n_groups == 2
    nested = design_of(SCHOOLS, "y ~ x + (1 | restart)", within=NESTED)
    (term,) = nested.random
    assert (term.group, term.n_groups) == ("restart", 5)
    assert term.labels == ("s1:1", "s2:1", "s2:2", "s10:1", "s10:2")
    explicit = design_of(SCHOOLS, "y ~ x + (1 | school:restart)", within={}).random[0]
    assert partition(term.codes) == partition(explicit.codes)
    assert nested.notes == (
        "Ids of restart restart inside school: groups are told apart by school and restart.",
    )


def test_nesting_is_followed_all_the_way_up(design_of):
    frame = {
        "y": [1.0, 2.0, 3.0, 4.0],
        "district": ["d1", "d1", "d2", "d2"],
        "school": ["1", "2", "1", "2"],
        "class": ["1", "1", "1", "1"],
    }
    within = {"class": "school", "school": "district", "district": None}
    term = design_of(frame, "y ~ 1 + (1 | class)", within=within).random[0]
    assert term.labels == ("d1:1:1", "d1:2:1", "d2:1:1", "d2:2:1")


def test_labels_do_not_depend_on_the_rows_a_model_uses(design_of):
    # only one school is left, in which ids do not restart
    frame = SCHOOLS | {"x": [0.0, 1.0, None, None, 1.0, None, None, None]}
    term = design_of(frame, "y ~ x + (1 | restart)", within=NESTED).random[0]
    assert term.labels == ("s2:1", "s2:2")


def test_a_missing_parent_leaves_the_row_out(design_of):
    frame = SCHOOLS | {"school": [None, *SCHOOLS["school"][1:]]}
    design = design_of(frame, "y ~ x + (1 | unique)", within=NESTED)
    assert design.row_flow.excluded[0][0] == "school is missing"


def test_the_same_groups_under_two_names_are_an_error(design_of):
    with pytest.raises(FormulaError, match="restart and school:restart are the same groups"):
        design_of(SCHOOLS, "y ~ x + (1 | restart) + (1 | school:restart)", within=NESTED)


def test_written_the_other_way_round_a_declared_nesting_is_outermost_first(design_of):
    term = design_of(SCHOOLS, "y ~ x + (1 | restart:school)", within=NESTED).random[0]
    assert term.group == "school:restart"


def test_renaming_groups_leaves_the_partition(design_of):
    dice = np.random.default_rng(5)
    ids = dice.integers(0, 12, 80)
    frame = {"y": dice.normal(size=80), "x": dice.normal(size=80), "g": [f"g{i}" for i in ids]}
    base = design_of(frame, "y ~ x + (x | g)")
    for _ in range(5):
        names = dice.permutation([f"{a}{b}" for a in "xyz" for b in (1, 10, 2, 33)])
        other = design_of(frame | {"g": [str(names[i]) for i in ids]}, "y ~ x + (x | g)")
        assert partition(other.random[0].codes) == partition(base.random[0].codes)
        assert other.analysis_hash == base.analysis_hash
        np.testing.assert_array_equal(other.X, base.X)


@pytest.mark.parametrize(
    "series",
    [
        pl.Series("g", [3, 1, None, 3, 20]),
        pl.Series("g", [3.0, 1.0, None, 3.0, 20.0]),
        pl.Series("g", ["3", "1", None, "3", "20"]),
        pl.Series("g", ["3", "1", None, "3", "20"], dtype=pl.Enum(["99", "3", "20", "1"])),
        pl.Series("g", ["3", "1", None, "3", "20"], dtype=pl.Categorical),
    ],
    ids=["integers", "floats", "strings", "enum with a level that is absent", "categorical"],
)
def test_group_columns_of_every_type(series):
    keys = read_keys(series)
    assert keys.labels == ("1", "3", "20")
    assert keys.codes.tolist() == [1, 0, -1, 1, 2]


def test_groups_that_would_share_a_label_are_told_apart(design_of):
    frame = {"y": [1.0, 2.0], "a": ["x:y", "x"], "b": ["z", "y:z"]}
    term = design_of(frame, "y ~ 1 + (1 | a:b)").random[0]
    assert sorted(term.labels) == ["x : y:z", "x:y : z"]
