"""Subjects by scheduled visits, patterns, levels, drop-out tables: counted by hand."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from nestwise.config.study import Derivation
from nestwise.errors import Refusal
from nestwise.missing.dropout import cohort_means, dropout_table, wilson
from nestwise.missing.levels import missing_variables
from nestwise.missing.missing_map import BANDS, variable_map, visit_map
from nestwise.missing.patterns import attendance, variable_patterns, visit_patterns
from nestwise.missing.plan import Arms
from nestwise.missing.schedule import schedule
from nestwise.missing.visits import all_visits

TYPES = {"arm": "categorical", "t": "continuous", "y": "continuous"}
#     visits 0 1 2: complete, drop-out with an empty row, a gap without a row, never
ROWS = {
    "id": ["a", "a", "a", "b", "b", "b", "c", "c", "d"],
    "arm": ["p", "p", "p", "q", "q", "q", "p", "p", "q"],
    "t": [0.0, 1.0, 2.0, 0.0, 1.0, 2.0, 0.0, 2.0, 0.0],
    "y": [1.0, 2.0, 3.0, 4.0, 5.0, None, 6.0, 7.0, None],
}
ARMS = Arms("arm", ("p", "q"), np.array([0, 1, 0, 1]))


@pytest.fixture
def small(study):
    return study(ROWS, TYPES)


def test_absent_rows_and_empty_ones_are_missing(small):
    planned = schedule(small)
    assert planned.labels == ("0", "1", "2")
    assert planned.times.tolist() == [0, 1, 2]
    seen = planned.observed(["y"])
    assert seen.astype(int).tolist() == [[1, 1, 1], [1, 1, 0], [1, 0, 1], [0, 0, 0]]
    assert planned.values("y")[2, [0, 2]].tolist() == [6.0, 7.0]
    assert planned.constant("arm").cast(pl.String).to_list() == ["p", "q", "p", "q"]
    found = attendance(seen)
    assert found.kinds == ("complete", "monotone", "intermittent", "never")
    assert found.last.tolist() == [2, 1, 2, -1]
    assert not found.monotone


def test_a_late_start_is_a_gap():
    found = attendance(np.array([[False, True, True]]))
    assert found.kinds == ("intermittent",)


def test_patterns_are_counted_for_all_and_by_arm(small):
    planned = schedule(small)
    table = visit_patterns("s", "y", attendance(planned.observed(["y"])), ARMS)
    everybody = table.filter(arm="all")
    assert dict(zip(everybody["pattern"], everybody["n"], strict=True)) == {
        "111": 1,
        "110": 1,
        "101": 1,
        "000": 1,
    }
    assert table["arm"].unique(maintain_order=True).to_list() == ["all", "p", "q"]
    assert table.filter(arm="q")["share"].to_list() == [0.5, 0.5]


def test_patterns_of_variables_name_what_is_missing_together():
    frame = pl.DataFrame({"a": [1, None, None, 4], "b": [1, 2, 3, 4], "c": [1, None, 3, 4]})
    table = variable_patterns("s", frame, ["a", "b", "c"])
    assert table["over"].unique().to_list() == ["a, c"]
    assert dict(zip(table["pattern"], table["n"], strict=True)) == {"11": 2, "00": 1, "01": 1}
    assert variable_patterns("s", frame, ["b"]).height == 0


def test_drop_out_is_counted_at_the_visit_before_which_it_happened(small):
    planned = schedule(small)
    table = dropout_table(planned, "y", attendance(planned.observed(["y"])), ARMS)
    everybody = table.filter(arm="all")
    assert everybody["at_risk"].to_list() == [4, 3, 3]
    assert everybody["left"].to_list() == [1, 0, 1]
    assert everybody["remaining"].to_list() == [3, 3, 2]
    assert everybody["observed"].to_list() == [3, 2, 2]
    assert everybody["hazard"].to_list() == pytest.approx([1 / 4, 0, 1 / 3])
    # the product-limit estimate without censoring is the plain proportion
    survived = np.cumprod(1 - everybody["hazard"].to_numpy())
    assert everybody["proportion"].to_numpy() == pytest.approx(survived)
    assert table.filter(arm="q")["proportion"].to_list() == [0.5, 0.5, 0.0]


def test_wilsons_interval():
    # Newcombe (1998), Statistics in Medicine 17, table I: 81 of 263, and none of 20
    assert wilson(81, 263, 0.95) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20, 0.95) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_means_by_cohort(small):
    planned = schedule(small)
    table = cohort_means(planned, "y", planned.values("y"), attendance(planned.observed(["y"])), None)
    left = table.filter(cohort="1")
    assert left["mean"].to_list() == [4.0, 5.0]
    stayed = table.filter(cohort="completed")
    assert stayed["mean"].to_list() == [3.5, 2.0, 5.0]
    assert stayed["n"].to_list() == [2, 1, 2]
    assert stayed["std_error"].to_list() == [pytest.approx(2.5), None, pytest.approx(2.0)]


def test_visits_are_found_where_times_are_as_many_as_rows(study):
    rng = np.random.default_rng(1)
    N, T = 30, 4
    columns = {
        "id": [f"s{k}" for k in np.repeat(np.arange(N), T)],
        "age": np.repeat(rng.integers(20, 30, N), T).astype(float),
        "month": (np.tile(np.arange(T), N) + rng.uniform(0, 0.5, N * T)),
        "visit": np.tile(np.arange(1, T + 1), N),
        "y": rng.normal(size=N * T),
    }
    types = {"age": "continuous", "month": "continuous", "visit": "count", "y": "continuous"}
    dataset = study(columns, types, time="month")
    planned = schedule(dataset)
    assert planned.visit == "visit"
    assert "visit counts the visits" in planned.note
    assert planned.times == pytest.approx(np.arange(T) + 0.25, abs=0.1)
    without = replace(dataset, frame=dataset.frame.drop("visit"))
    without = replace(without, variables={k: v for k, v in dataset.variables.items() if k != "visit"})
    with pytest.raises(Refusal, match="name a column that counts the planned visits"):
        schedule(without)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"time": None}, "names no time"),
        ({"within": {}}, "nobody is followed"),
    ],
)
def test_no_schedule_is_a_sentence(small, change, said):
    with pytest.raises(Refusal, match=said):
        schedule(replace(small, **change))


def test_two_rows_at_a_visit_are_refused(small):
    doubled = pl.concat([small.frame, small.frame.head(1)])
    with pytest.raises(Refusal, match="several rows at one t"):
        schedule(replace(small, frame=doubled))
    with pytest.raises(Refusal, match="no column nowhere"):
        schedule(small, visit="nowhere")
    with pytest.raises(Refusal, match="changes inside"):
        schedule(small).constant("y")


def test_ids_that_restart_in_their_parent_are_different_subjects(study):
    columns = {
        "site": ["u", "u", "v", "v"],
        "id": ["1", "1", "1", "1"],
        "t": [0.0, 1.0, 0.0, 1.0],
        "y": [1.0, 2.0, 3.0, None],
    }
    planned = schedule(study(columns, TYPES, within={"site": None, "id": "site"}))
    assert planned.N == 2
    assert planned.keys == ("site", "id")


def test_levels_say_where_a_variable_is_missing_and_what_treats_it(study):
    columns = {
        "school": ["u", "u", "u", "v", "v", "v", "w", "w"],
        "size": [1.0, 1.0, None, 2.0, 2.0, 2.0, None, None],
        "flag": [0.0, 1.0, None, 1.0, 0.0, 1.0, 1.0, 0.0],
        "y": [1.0, None, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0],
        "void": [None] * 8,
    }
    types = {"size": "continuous", "flag": "binary", "y": "continuous", "void": "continuous"}
    dataset = study(columns, types, within={"school": None}, time=None)
    rows = {row["variable"]: row for row in missing_variables(dataset, "y").to_dicts()}
    assert (rows["size"]["level"], rows["size"]["n"], rows["size"]["missing"], rows["size"]["partly"]) == (
        "school",
        3,
        1,
        1,
    )
    assert rows["size"]["missing_rows"] == 3
    assert "Imputed once a school by a linear regression" in rows["size"]["method"]
    assert "1 school has it in part of the rows" in rows["size"]["method"]
    assert (rows["flag"]["level"], rows["flag"]["missing"]) == ("row", 1)
    assert "logistic mixed model" in rows["flag"]["method"]
    assert "Likelihood models use all observed rows" in rows["y"]["method"]
    assert rows["void"]["method"] == "void has no value at all: leave it out."


def test_derived_variables_are_not_counted(study):
    derived = Derivation(**{"between": "y", "group": "id", "as": "y_mean"})
    dataset = study(ROWS | {"y_mean": [1.0] * 9}, TYPES | {"y_mean": "continuous"}, derivations=[derived])
    assert "y_mean" not in missing_variables(dataset)["variable"].to_list()


def test_the_map_puts_those_seen_longest_first_and_keeps_arms_apart(small):
    planned = schedule(small)
    table = visit_map(planned, "y", attendance(planned.observed(["y"])), ARMS)
    cells = table.sort("band", "position")["missing"].to_numpy().reshape(-1, 3)
    assert cells.tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]]
    assert table.sort("band")["arm"].unique(maintain_order=True).to_list() == ["p", "q"]


def test_the_map_of_many_is_small_and_loses_nobody():
    frame = pl.DataFrame({"a": pl.Series(np.arange(100_000) % 4).replace(0, None)})
    table = variable_map("s", frame, ["a"])
    assert table.height <= BANDS
    assert table["n"].sum() == 100_000
    assert (table["missing"] * table["n"]).sum() == pytest.approx(25_000)


def test_who_was_seen_once_has_no_outcome_at_absent_visits(study):
    """One value in a subject is no evidence that the variable is the subject's."""
    columns = {"id": ["a", "a", "b"], "t": [0.0, 1.0, 0.0], "x": [1.0, 1.0, 2.0], "y": [3.0, 4.0, 5.0]}
    seen = study(columns, {"x": "continuous", "y": "continuous"})
    frame = all_visits(seen).frame.sort("id", "t").collect()
    assert frame["y"].to_list() == [3.0, 4.0, 5.0, None]
    assert frame["x"].to_list() == [1.0, 1.0, 2.0, 2.0]
