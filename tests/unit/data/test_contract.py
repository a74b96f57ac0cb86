"""What validation finds: every check reports, errors name file, column, rows and the way out."""

import json

import polars as pl
import pytest

from nestwise.config.study import DataDescription
from nestwise.data import value_checks
from nestwise.data.contract import validate
from nestwise.data.typed import load_typed, save_typed
from nestwise.data.validation import validation_from_json
from nestwise.storage import read_json, write_json

SOUND = "g,y,x\n" + "".join(f"g{k // 3},{k},{k % 3}\n" for k in range(150))
CHECKS = {
    "columns.types", "columns.present", "columns.declared", "columns.empty", "columns.constant", "rows.any",
    "values.type", "values.range", "values.levels", "values.finite", "values.constant_within", "ids.present",
    "groups.within", "groups.nesting", "groups.size", "derive",
}  # fmt: skip


def test_every_check_reports_on_sound_data(judged):
    validation = judged(SOUND, variables={"y": {}, "x": {}})
    assert {check.name for check in validation.checks} == CHECKS
    assert all(check.passed and check.sentence.endswith(".") for check in validation.checks)
    assert validation.errors == validation.warnings == ()
    assert validation.failures.is_empty()
    assert validation.n_rows == 150


ERRORS = {
    "not a number": ("g,y\na,1\nb,x\n", {"variables": {"y": {"type": "continuous"}}}, "values.type", [2]),
    "below min": ("g,y\na,-1\nb,1\n", {"variables": {"y": {"min": 0}}}, "values.range", [1]),
    "above max": ("g,y\na,1\nb,9\n", {"variables": {"y": {"max": 5}}}, "values.range", [2]),
    "negative count": ("g,y\na,-1\nb,1\n", {"variables": {"y": {"type": "count"}}}, "values.range", [1]),
    "undeclared level": ("g,c\na,u\nb,v\n", {"variables": {"c": {"levels": ["u"]}}}, "values.levels", [2]),
    "undeclared level, ordinal": (
        "g,c\na,u\nb,v\n", {"variables": {"c": {"type": "ordinal", "levels": ["u"]}}}, "values.levels", [2],
    ),
    "undeclared group": ("g,y\na,1\nb,1\n", {"variables": {"g": {"levels": ["a"]}}}, "values.levels", [2]),
    "infinite": ("g,y\na,1\nb,-inf\n", {}, "values.finite", [2]),
    "infinite by overflow": ("g,y\na,1\nb,1e999\n", {}, "values.finite", [2]),
    "id missing": ("g,y\na,1\n,2\nNA,3\n", {}, "ids.present", [2, 3]),
    "varies within": (
        "g,u\na,1\na,2\nb,3\n", {"variables": {"u": {"constant_within": "g"}}}, "values.constant_within", [2],
    ),
    "varies within, words": (
        "g,u\na,p\na,q\nb,p\n",
        {"variables": {"u": {"type": "categorical", "constant_within": "g"}}},
        "values.constant_within",
        [2],
    ),
    "constant within what": (
        "g,u\na,1\n", {"variables": {"u": {"constant_within": "h"}}}, "values.constant_within", [],
    ),
    "duplicated time": ("g,t\na,0\na,0\nb,0\n", {"time": {"column": "t"}}, "time.duplicates", [1, 2]),
    "time of words": ("g,t\na,soon\nb,late\n", {"time": {"column": "t"}}, "time.type", []),
    "no group column": ("h,y\na,1\n", {}, "columns.present", []),
    "no declared column": ("g,y\na,1\n", {"variables": {"z": {}}}, "columns.present", []),
    "no time column": ("g,y\na,1\n", {"time": {"column": "t"}}, "columns.present", []),
    "no arm column": (
        "g,y\na,1\n", {"missing": {"arm": {"column": "t", "reference": "p"}}}, "columns.present", [],
    ),
    "no wide column": (
        "g,y1\na,1\n",
        {"data": {"source": "x.csv", "wide": {"columns": ["y1", "y2"], "time": "t", "value": "y"}}},
        "columns.types",
        [],
    ),
    "group without ids": ("g,y\n,1\n,2\n", {}, "columns.empty", []),
    "group declared a number": ("g,y\n1,1\n", {"variables": {"g": {"type": "count"}}}, "columns.types", []),
    "reference that is none": (
        "g,c\na,u\nb,v\n",
        {"variables": {"c": {"type": "categorical", "reference": "w"}}},
        "columns.types",
        [],
    ),
    "cycle": ("g,h\na,1\n", {"groups": {"g": {"within": "h"}, "h": {"within": "g"}}}, "groups.within", []),
    "within itself": ("g,h\na,1\n", {"groups": {"g": {"within": "g"}}}, "groups.within", []),
    "within nothing": ("g,h\na,1\n", {"groups": {"g": {"within": "school"}}}, "groups.within", []),
    "derive from nothing": ("g,y\na,1\n", {"derive": [{"center": "z", "as": "c"}]}, "derive", []),
    "derive from words": ("g,y\na,u\n", {"derive": [{"center": "y", "as": "c"}]}, "derive", []),
    "derive onto a column": ("g,y\na,1\n", {"derive": [{"center": "y", "as": "g"}]}, "derive", []),
    "derive by what": ("g,y\na,1\n", {"derive": [{"within": "y", "group": "y", "as": "c"}]}, "derive", []),
    "scale of a constant": ("g,y\na,1\nb,1\n", {"derive": [{"scale": "y", "as": "c"}]}, "derive", []),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors(failing, name):
    content, sections, check, rows = ERRORS[name]
    found = failing(content, **sections)[check]
    assert found.level == "error"
    assert list(found.rows) == rows
    assert found.problem is not None
    assert found.problem.where.startswith("x.csv")
    assert found.problem.way_out
    assert "\n" not in found.sentence
    assert len(found.sentence) < 600
    for row in rows:
        assert str(row) in found.problem.where


WARNINGS = {
    "constant column": ("g,y\na,1\nb,1\n", {}, "columns.constant"),
    "constant words": ("g,c\na,u\nb,u\n", {}, "columns.constant"),
    "constant binary": ("g,c\na,yes\nb,yes\n", {}, "columns.constant"),
    "empty column": ("g,y,z\na,1,\nb,2,\n", {}, "columns.empty"),
    "one group": ("g,y\na,1\na,2\n", {}, "groups.few"),
    "few groups": ("g,y\na,1\nb,2\n", {}, "groups.few"),
    "groups of one row": ("g,y\na,1\nb,2\nb,3\n", {}, "groups.singletons"),
    "no time": ("g,t\na,0\na,\nb,0\n", {"time": {"column": "t"}}, "time.present"),
    "levels alike": ("g,c\na,Yes\nb,yes\nc,maybe\n", {}, "values.similar_levels"),
    "levels with spaces": ("g,c\na,F\nb,F \nc,M\n", {}, "values.similar_levels"),
}


@pytest.mark.parametrize("name", WARNINGS)
def test_warnings(failing, name):
    content, sections, check = WARNINGS[name]
    assert failing(content, **sections)[check].level == "warning"


def test_wrong_names_get_a_hint(failing):
    sentence = failing("G,y\na,1\n")["columns.present"].sentence
    assert "did you mean 'G'" in sentence


def test_all_wrong_names_are_told(judged):
    validation = judged("a,b\n1,2\n", variables={"z": {}}, time={"column": "t"})
    absent = {check.columns for check in validation.errors if check.name == "columns.present"}
    assert absent == {("g",), ("z",), ("t",)}


def test_undeclared_columns_are_told(failing):
    found = failing("g,y,z\na,1,2\n", variables={"y": {}})["columns.declared"]
    assert (found.level, found.columns) == ("info", ("z",))


def test_failures_list_rows_values_and_messages(judged):
    validation = judged(
        "g,y,c\na,x,u\nb,-5,w\n,3,u\n",
        variables={"y": {"type": "continuous", "min": 0}, "c": {"levels": ["u", "v"]}},
    )
    rows = validation.failures.sort("check").rows()
    assert rows == [
        ("ids.present", "g", 3, None, "missing in a grouping factor"),
        ("values.levels", "c", 2, "w", "not one of the declared levels"),
        ("values.range", "y", 2, "-5", "outside the range"),
        ("values.type", "y", 1, "x", "not a number"),
    ]
    assert validation.failure_totals == {
        "ids.present:g": 1, "values.levels:c": 1, "values.range:y": 1, "values.type:y": 1,
    }  # fmt: skip


def test_range_is_told(failing):
    found = failing("g,y\na,9\n", variables={"y": {"min": 0, "max": 5}})["values.range"]
    assert "outside the range from 0 to 5" in found.sentence


def test_failures_are_capped_counted_and_complete_over_batches(judged, monkeypatch):
    """Judging goes by batches of rows: none is skipped, and the list stays short."""
    monkeypatch.setattr(value_checks, "BATCH", 100)
    text = "g,y\n" + "".join(f"a,{-k}\n" for k in range(1, 3001))
    validation = judged(text, variables={"y": {"min": 0}})
    assert validation.failure_totals == {"values.range:y": 3000}
    assert validation.failures["row"].to_list() == list(range(1, 1001))
    (check,) = validation.errors
    assert check.count == 3000
    assert "2,995 more" in check.sentence


def test_last_row_of_many_is_judged(judged, monkeypatch):
    monkeypatch.setattr(value_checks, "BATCH", 64)
    text = "g,y\n" + "a,1\n" * 1000 + "a,-1\n"
    validation = judged(text, variables={"y": {"min": 0}})
    assert validation.failures["row"].to_list() == [1001]


def test_odd_column_names_are_judged(judged):
    """Pandera takes regular expressions for names; ours are names."""
    text = "g,a.b,a+b,(x\na,1,-1,1\nb,-1,1,1\n"
    validation = judged(text, variables={"a.b": {"min": 0}, "a+b": {"min": 0}, "(x": {"min": 0}})
    assert validation.failure_totals == {"values.range:a.b": 1, "values.range:a+b": 1}


def test_rows_of_wide_tables_are_those_of_the_source(judged):
    data = {"source": "x.csv", "wide": {"columns": ["y1", "y2"], "time": "t", "value": "y"}}
    validation = judged("g,y1,y2\na,1,2\nb,3,x\n", data=data, variables={"y": {"type": "continuous"}})
    assert validation.failures["row"].to_list() == [2]
    assert validation.n_rows == 4


def test_variables_table(judged):
    text = "g,y,c,u\na,1,p,5\na,,q,5\nb,3,p,6\nb,4,p,6\n"
    table = {entry["name"]: entry for entry in judged(text, variables={"y": {"unit": "kg"}}).variables}
    assert table["y"]["n"] == 3
    assert table["y"]["missing_share"] == 0.25
    assert (table["y"]["min"], table["y"]["mean"], table["y"]["max"]) == (1.0, 8 / 3, 4.0)
    assert table["y"]["unit"] == "kg"
    assert table["c"]["levels"] == {"p": 3, "q": 1}
    assert {name: entry["varies_at"] for name, entry in table.items()} == {
        "g": None, "y": "row", "c": "row", "u": "g",
    }  # fmt: skip


def test_level_of_a_variable_is_the_coarsest_it_is_constant_in(judged):
    rows = [(s, f"{s}{k}", s * 10, k) for s in (1, 2) for k in (1, 2) for _ in range(2)]
    frame = pl.DataFrame(rows, schema=["school", "class", "a", "b"], orient="row")
    groups = {"school": {}, "class": {"within": "school"}}
    table = {entry["name"]: entry["varies_at"] for entry in judged(frame, groups=groups).variables}
    assert table["a"] == "school"
    assert table["b"] == "class"


def test_missingness_by_level(judged):
    text = "g,y\na,1\na,2\nb,\nb,2\nc,\nc,\n"
    assert judged(text).missingness == (
        {
            "variable": "y", "group": "g", "n_groups": 3,
            "groups_complete": 1, "groups_partly": 1, "groups_wholly": 1,
        },
    )  # fmt: skip


def test_groups_table(judged):
    text = "g,y\na,1\na,2\na,3\nb,1\nc,5\nc,6\n"
    (group,) = judged(text, groups={"g": {"label": "clinic"}}).groups
    expected = {
        "name": "g",
        "label": "clinic",
        "n_groups": 3,
        "min": 1,
        "median": 2.0,
        "max": 3,
        "singletons": 1,
    }
    assert {key: group[key] for key in expected} == expected


def test_record_survives_json(judged, tmp_path):
    validation = judged(
        "g,t,y,z\na,0,<b>,\na,0,inf,\nb,1,2,\n",
        time={"column": "t"},
        variables={"y": {"type": "continuous"}, "q": {}},
    )
    write_json(tmp_path / "v.json", validation.to_json())
    again = validation_from_json(read_json(tmp_path / "v.json"))
    assert again.checks == validation.checks
    assert json.dumps(again.to_json()) == json.dumps(validation.to_json())


def test_typed_data_survive_their_file(table, tmp_path):
    sections = {
        "variables": {"c": {"levels": ["u", "v"], "label": "<i>c</i>"}, "y": {"type": "continuous"}},
        "groups": {"g": {}},
    }
    typed = table("g,y,c,b\na,1,u,yes\nb,x,w,no\n", **sections)
    save_typed(typed, tmp_path / "typed.parquet")
    again = load_typed(tmp_path / "typed.parquet")
    assert again.frame.collect().equals(typed.frame.collect())
    assert again.variables == typed.variables
    assert again.failures.equals(typed.failures)
    assert (again.notes, again.failure_counts, again.problems) == (
        typed.notes,
        typed.failure_counts,
        typed.problems,
    )
    described = DataDescription.model_validate({"data": {"source": "x.csv"}, **sections})
    before, after = (validate(one, described, source="x.csv").to_json() for one in (typed, again))
    assert before == after
