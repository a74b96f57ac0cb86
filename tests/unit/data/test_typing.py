"""Types, levels, ids and missing codes: what a study file says, and what is inferred."""

import polars as pl
import pytest


def column(typed, name):
    values = typed.frame.collect()[name]
    return (values.cast(pl.String) if isinstance(values.dtype, pl.Enum) else values).to_list()


def one(table, cells, **declared):
    """Read one column `v` beside a grouping factor."""
    text = "g,v\n" + "".join(f"g{k},{cell}\n" for k, cell in enumerate(cells))
    return table(text, variables={"v": declared} if declared else {})


INFERRED = {
    "whole numbers": (["1", "2", "10"], "continuous", [1.0, 2.0, 10.0]),
    "decimal": (["1.5", "-2e3", "+.5"], "continuous", [1.5, -2000.0, 0.5]),
    "with missing": (["1", "NA", ""], "continuous", [1.0, None, None]),
    "quoted numbers": (['"1"', '"2"'], "continuous", [1.0, 2.0]),
    "all missing": (["NA", "", "NaN"], "continuous", [None, None, None]),
    "words": (["b", "a", "b"], "categorical", ["b", "a", "b"]),
    "yes and no": (["yes", "No", "NO"], "binary", [1, 0, 0]),
    "true and false": (["TRUE", "false", "True"], "binary", [1, 0, 1]),
    "letters": (["F", "T", "F"], "categorical", ["F", "T", "F"]),
    "zero and one": (["0", "1", "1"], "continuous", [0.0, 1.0, 1.0]),
    "dates": (["2024-01-31", "2024-02-29"], "date", None),
    "no date": (["2024-02-30", "2024-01-01"], "categorical", None),
    "numbers and a word": (["1", "2", "."], "categorical", ["1", "2", "."]),
    "thousands": (['"1,000"', '"2,000"'], "categorical", ["1,000", "2,000"]),
}


@pytest.mark.parametrize("name", INFERRED)
def test_inferred_from_text(table, name):
    cells, kind, values = INFERRED[name]
    typed = one(table, cells)
    info = typed.variables["v"]
    assert (info.type, info.declared) == (kind, False)
    assert any(note.startswith("v ") for note in typed.notes), "an inference is reported"
    if values is not None:
        assert column(typed, "v") == values


def test_numbers_spoilt_by_words_are_pointed_at(table):
    typed = one(table, ["1", "2", "3", "missing"])
    (note,) = [note for note in typed.notes if note.startswith("v ")]
    assert "1 of its 4 values are no numbers ('missing' is the first)" in note
    assert "missing_values" in note


def test_inference_looks_at_all_rows(table):
    typed = one(table, [*map(str, range(2000)), "x"])
    assert typed.variables["v"].type != "continuous"


def test_text_without_end_stays_out_of_reach(table):
    typed = one(table, [f"remark {k}" for k in range(3000)])
    assert typed.variables["v"].type == "text"
    assert typed.frame.collect_schema()["v"] == pl.String


DECLARED = {
    "continuous": ({"type": "continuous"}, ["1", "x", "1e400", '"1,5"'], [1.0, None, float("inf"), None], 2),
    "count": ({"type": "count"}, ["3", "3.0", "3.5", "-1", "x"], [3, 3, None, -1, None], 2),
    "huge count": ({"type": "count"}, ["9007199254740993", "1e300"], [None, None], 2),
    "date": ({"type": "date"}, ["2024-13-01", "31.01.2024"], [None, None], 2),
    "binary": ({"type": "binary"}, ["0", "1", "2"], [0, 1, None], 1),
    "binary words": ({"type": "binary"}, ["no", "yes", "perhaps"], [0, 1, None], 1),
    "binary of two words": ({"type": "binary"}, ["control", "active"], [1, 0], 0),
    "binary 1 and 2": ({"type": "binary"}, ["1", "2", "1.0"], [0, 1, 0], 0),
    "binary levels": ({"type": "binary", "levels": ["m", "f"]}, ["m", "f", "M"], [0, 1, None], 1),
    "binary reference": (
        {"type": "binary", "levels": ["m", "f"], "reference": "f"},
        ["m", "f", "f"],
        [1, 0, 0],
        0,
    ),
    "binary reference alone": ({"type": "binary", "reference": "yes"}, ["yes", "no"], [0, 1], 0),
    "binary numbers": ({"type": "binary", "levels": [1, 2]}, ["1", "2", "2.0"], [0, 1, 1], 0),
    "binary yaml words": ({"type": "binary", "levels": [False, True]}, ["no", "yes"], [0, 1], 0),
    "ordinal": ({"type": "ordinal", "levels": ["low", "high"]}, ["high", "low"], ["high", "low"], 0),
    "numbers as levels": ({"type": "categorical", "levels": [1, 2]}, ["2", "1.0"], ["2", "1"], 0),
    "yaml words as levels": (
        {"type": "categorical", "levels": [False, True]},
        ["no", "yes"],
        ["no", "yes"],
        0,
    ),
}


@pytest.mark.parametrize("name", DECLARED)
def test_declared(table, name):
    declared, cells, values, failures = DECLARED[name]
    typed = one(table, cells, **declared)
    assert column(typed, "v") == values
    assert sum(typed.failure_counts.values()) == failures
    assert typed.variables["v"].declared


def test_failures_name_row_value_and_reason(table):
    typed = one(table, ["1", "x", "2", "y"], type="continuous")
    assert typed.failures.rows() == [("v", 2, "x", "not a number"), ("v", 4, "y", "not a number")]


def test_failures_are_capped_and_counted(table):
    typed = one(table, ["x"] * 3000, type="continuous")
    assert typed.failures.height == 1000
    assert typed.failure_counts == {"v": 3000}


@pytest.mark.parametrize(
    ("declared", "cells", "levels"),
    [
        ({"type": "categorical"}, ["b", "a", "C", "c", "B"], ("a", "b", "B", "c", "C")),
        ({"type": "categorical"}, ["10", "9", "1"], ("1", "9", "10")),
        ({"type": "categorical", "reference": "b"}, ["a", "b", "c"], ("b", "a", "c")),
        ({"type": "categorical", "reference": 2}, ["1", "2", "3"], ("2", "1", "3")),
        ({"type": "categorical", "levels": ["z", "a"]}, ["a", "z"], ("z", "a")),
        ({"type": "categorical", "levels": ["z", "a"], "reference": "a"}, ["a", "z"], ("a", "z")),
        ({"type": "categorical", "levels": ["z", "never"]}, ["z"], ("z", "never")),
        ({"levels": ["z", "a"]}, ["a", "z"], ("z", "a")),
        ({"type": "ordinal", "levels": ["lo", "mid", "hi"], "reference": "mid"}, ["hi"], ("lo", "mid", "hi")),
        ({"type": "ordinal"}, ["10", "9", "1"], ("1", "9", "10")),
    ],
)
def test_order_of_levels(table, declared, cells, levels):
    assert one(table, cells, **declared).variables["v"].levels == levels


def test_numeric_columns_as_levels_are_printed_like_r(table):
    frame = pl.DataFrame({"g": ["a", "b", "c"], "v": [1.0, 2.5, 100000.0], "w": [True, False, None]})
    declared = {"v": {"type": "categorical"}, "w": {"type": "categorical"}}
    typed = table(frame, "x.parquet", variables=declared)
    assert typed.variables["v"].levels == ("1", "2.5", "100000")
    assert typed.variables["w"].levels == ("FALSE", "TRUE")


@pytest.mark.parametrize(
    ("ids", "labels"),
    [
        ([308.0, 309.0, 37.0], ("37", "308", "309")),
        ([2**53, 2**53 + 1, 1], ("1", "9007199254740992", "9007199254740993")),
        (["10", "9", "2a", "class 10", "class 2"], ("2a", "9", "10", "class 2", "class 10")),
        (["007", "7"], ("007", "7")),
        (["1.0", "2.0"], ("1", "2")),
        (["b", "A", "a"], ("A", "a", "b")),
        (["a ", "a"], ("a", "a ")),
        (["²", "٣", "3"], None),
    ],
)
def test_ids_are_labels_in_counting_order(table, ids, labels):
    frame = pl.DataFrame({"g": ids, "y": range(len(ids))})
    typed = table(frame, "x.parquet" if not isinstance(ids[0], str) else "x.csv")
    if labels is not None:
        assert typed.variables["g"].levels == labels
    assert typed.frame.collect()["g"].n_unique() == len(set(ids))


def test_large_ids_in_text_stay_apart(table):
    typed = table("g,y\n9007199254740992,1\n9007199254740993,2\n1180591620717411303424,3\n")
    assert len(typed.variables["g"].levels) == 3


MISSING = {
    "number in text file": ([-99], ["1", "-99", "-99.0", " -99 "], [1.0, None, None, None]),
    "number among words": ([-99], ["a", "-99"], ["a", None]),
    "text code of a number": (["-99"], ["1", "-99"], [1.0, None]),
    "word": (["unknown"], ["1", "unknown"], [1.0, None]),
    "point": (["."], ["1", "."], [1.0, None]),
    "several": ([".", -9, "n/a"], ["1", ".", "-9", "n/a"], [1.0, None, None, None]),
    "not part of a number": ([-9], ["-99", "-9"], [-99.0, None]),
    "nothing declared": ([], ["-99", "NA"], [-99.0, None]),
}


@pytest.mark.parametrize("name", MISSING)
def test_missing_codes(table, name):
    codes, cells, values = MISSING[name]
    text = "g,v\n" + "".join(f"g{k},{cell}\n" for k, cell in enumerate(cells))
    assert column(table(text, data={"source": "x.csv", "missing_values": codes}), "v") == values


@pytest.mark.parametrize("codes", [[-99], ["-99"], [-99.0]])
def test_missing_codes_in_typed_files(table, codes):
    frame = pl.DataFrame({"g": ["a", "-99"], "i": [-99, 1], "f": [-99.0, 1.0], "y": [1, 2]})
    typed = table(frame, "x.parquet", data={"source": "x", "missing_values": codes})
    assert typed.frame.collect().rows() == [(1, "a", None, None, 1.0), (2, None, 1.0, 1.0, 2.0)]


PROBLEMS = {
    "reference that is no value": ({"type": "categorical", "reference": "c"}, "reference 'c'"),
    "binary of three levels": ({"type": "binary", "levels": ["a", "b", "c"]}, "binary with 3 levels"),
    "binary reference that is no value": ({"type": "binary", "reference": "c"}, "neither 'a' nor 'b'"),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_declarations_that_cannot_be(table, name):
    declared, says = PROBLEMS[name]
    typed = one(table, ["a", "b"], **declared)
    (problem,) = typed.problems
    assert says in str(problem)
    assert problem.way_out


def test_grouping_factor_declared_as_a_number(table):
    typed = table("g,y\n1,2\n", variables={"g": {"type": "continuous"}})
    assert "grouping factor and is declared continuous" in str(typed.problems[0])
    assert typed.frame.collect()["g"].cast(pl.String).to_list() == ["1"]


def test_categorical_of_ten_thousand_values_is_a_mistake(table):
    typed = one(table, map(str, range(10_001)), type="categorical")
    assert "10001 different values" in str(typed.problems[0])


def test_undeclared_levels_can_be_seen(table):
    typed = one(table, ["a", "b", "c"], type="categorical", levels=["a", "b"])
    assert typed.variables["v"].levels == ("a", "b")
    assert column(typed, "v") == ["a", "b", "c"]


WIDE = {"columns": ["y1", "y2"], "time": "visit", "value": "y"}


def test_wide_to_long(table):
    typed = table("g,y1,y2,x\na,1,2,5\nb,,4,6\n", data={"source": "x.csv", "wide": WIDE})
    rows = typed.frame.select(".row", "g", "visit", "y", "x").collect().rows()
    assert rows == [
        (1, "a", 0.0, 1.0, 5.0),
        (2, "a", 1.0, 2.0, 5.0),
        (3, "b", 0.0, None, 6.0),
        (4, "b", 1.0, 4.0, 6.0),
    ]
    assert typed.occasions == 2


def test_wide_times_and_mixed_types(table):
    frame = pl.DataFrame({"g": ["a"], "y1": [1], "y2": [2.5]})
    wide = WIDE | {"times": [0.5, 12]}
    typed = table(frame, "x.parquet", data={"source": "x", "wide": wide})
    assert typed.frame.select("visit", "y").collect().rows() == [(0.5, 1.0), (12.0, 2.5)]


@pytest.mark.parametrize(
    ("wide", "says"),
    [
        (WIDE | {"columns": ["y1", "y3"]}, "no column 'y3'"),
        (WIDE | {"time": "x"}, "a column 'x' already"),
        (WIDE | {"value": "x"}, "a column 'x' already"),
        (WIDE | {"time": "y1"}, "a column 'y1' already"),
    ],
)
def test_wide_that_cannot_be(table, wide, says):
    typed = table("g,y1,y2,x\na,1,2,5\n", data={"source": "x.csv", "wide": wide})
    assert says in str(typed.problems[0])


def test_wide_value_may_take_the_name_of_a_column_it_replaces(table):
    typed = table("g,y1,y2\na,1,2\n", data={"source": "x.csv", "wide": WIDE | {"value": "y1"}})
    assert typed.frame.select("y1").collect()["y1"].to_list() == [1.0, 2.0]
