"""Complete cases, last observation carried forward, and the analysis of completers."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from nestwise.config.study import Derivation, Model
from nestwise.errors import Refusal
from nestwise.missing.anova import repeated_anova
from nestwise.missing.comparators import COMPARATORS
from nestwise.missing.complete import complete_case
from nestwise.missing.locf import locf
from nestwise.missing.plan import Arms, Plan
from nestwise.missing.sphericity import contrasts, sphericity

TYPES = {"arm": "categorical", "x": "continuous", "t": "continuous", "y": "continuous", "base": "continuous"}
ROWS = {
    "id": ["a", "a", "a", "b", "b", "c", "c", "d"],
    "arm": ["p", "p", "p", "q", "q", "p", "p", "q"],
    "base": [0.0, 0.0, 0.0, 9.0, 9.0, 5.0, 5.0, 8.0],
    "x": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, None, 7.0],
    "t": [0.0, 1.0, 2.0, 0.0, 1.0, 0.0, 2.0, 0.0],
    "y": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, None],
}


@pytest.fixture
def small(study):
    mean = Derivation(**{"center": "y", "as": "y_c"})
    rows = ROWS | {"y_c": [None if y is None else y - 4.0 for y in ROWS["y"]]}
    return study(rows, TYPES | {"y_c": "continuous"}, derivations=[mean])


def test_complete_cases_are_those_with_every_visit(small):
    kept = complete_case(small, ["y"]).frame.collect()
    assert kept["id"].unique().to_list() == ["a"]
    # the mean is that of the rows that stay
    assert kept["y_c"].to_list() == [-1.0, 0.0, 1.0]


def test_without_time_complete_cases_are_rows(small):
    rows = replace(small, time=None)
    assert complete_case(rows, ["x", "y"]).frame.collect()["x"].to_list() == [1, 2, 3, 4, 5, 6]
    nan = rows.frame.with_columns(pl.col("x").fill_null(float("nan")))
    assert complete_case(replace(rows, frame=nan), ["x"]).frame.collect().height == 7


def test_nobody_complete_is_a_sentence(small):
    none = replace(small, frame=small.frame.filter(pl.col("id").cast(pl.String) != "a"))
    with pytest.raises(Refusal, match="no id is complete"):
        complete_case(none, ["y"])


def test_the_last_value_is_carried_into_visits_without_a_row(small):
    made = locf(small, ["y"]).frame.collect().sort("id", "t")
    assert made.height == 12
    values = made["y"].to_list()
    assert values[:9] == [1, 2, 3, 4, 5, 5, 6, 6, 7]
    assert values[9:] == [None] * 3  # never seen, and no baseline was named
    assert made["arm"].cast(pl.String).to_list() == ["p"] * 3 + ["q"] * 3 + ["p"] * 3 + ["q"] * 3
    assert made[".row"].is_duplicated().sum() == 0
    # x varies: carried into absent rows, and not made up where its row was there
    assert made["x"].to_list()[3:9] == [4, 5, 5, 6, 6, None]
    assert made["y_c"].to_list()[0] == pytest.approx(1 - np.mean(values[:9]))


def test_absent_visits_have_the_names_of_their_visit(small):
    names = pl.concat_str([pl.lit("v"), pl.col("t").cast(pl.Int64).cast(pl.String)])
    named = replace(small, frame=small.frame.with_columns(name=names, week=pl.col("t") * 4))
    made = locf(named, ["y"]).frame.collect().sort("id", "t")
    assert made["name"].to_list() == ["v0", "v1", "v2"] * 4
    assert made["week"].to_list() == [0, 4, 8] * 4


def test_the_baseline_is_carried_where_nothing_else_is_known(small):
    made = locf(small, ["y"], baseline="base").frame.collect().sort("id", "t")
    assert made["y"].to_list()[9:] == [8.0, 8.0, 8.0]


def test_rows_there_are_left_as_they_are(small):
    before = small.frame.collect()
    after = locf(small, ["y"]).frame.collect().filter(pl.col(".row") <= before.height)
    known = before["y"].is_not_null()
    assert after["y"].filter(known).equals(before["y"].filter(known))
    assert after.drop("y", "y_c").equals(before.drop("y", "y_c"))


def test_without_time_nothing_is_last(small):
    with pytest.raises(Refusal, match="no last observation"):
        locf(replace(small, time=None), ["y"])


@pytest.mark.parametrize("name", COMPARATORS)
def test_comparators_by_name_say_why_they_are_wrong(small, name):
    comparator = COMPARATORS[name]
    made = comparator.apply(small, Model(formula="y ~ t + (1 | id)"), Plan())
    assert made.frame.collect_schema().names() == small.frame.collect_schema().names()
    assert comparator.wrong.startswith("Usually wrong: ")


def test_two_visits_are_a_paired_t_test():
    rng = np.random.default_rng(1)
    Y = rng.normal(size=(15, 2))
    found = repeated_anova(Y, ("y", "visit", "subject"))
    d = Y[:, 1] - Y[:, 0]
    t = d.mean() / (d.std(ddof=1) / np.sqrt(15))
    row = found.table.row(0, named=True)
    assert row["statistic"] == pytest.approx(t**2)
    assert (row["df_num"], row["df_den"]) == (1, 14)
    assert found.sphericity.W is None
    assert found.sphericity.greenhouse_geisser == pytest.approx(1)


def test_statsmodels_and_the_sums_of_squares_agree():
    """The F of AnovaRM is that of the sums of squares beside it."""
    Y = np.random.default_rng(2).normal(size=(9, 4))
    row = repeated_anova(Y, ("y", "visit", "subject")).table.row(0, named=True)
    F = row["sum_of_squares"] / row["df_num"] / (row["error_sum_of_squares"] / row["df_den"])
    assert row["statistic"] == pytest.approx(F)


def test_completers_only():
    Y = np.random.default_rng(3).normal(size=(20, 3))
    holed = Y.copy()
    holed[15:, 2] = np.nan
    arms = Arms("arm", ("p", "q"), np.arange(20) % 2)
    found = repeated_anova(holed, ("y", "visit", "patient"), arms)
    only = repeated_anova(Y[:15], ("y", "visit", "patient"), Arms("arm", ("p", "q"), np.arange(15) % 2))
    assert found.table.equals(only.table)
    assert (found.n, found.left_out) == (15, 5)
    assert found.reason.startswith("Usually wrong: 5 patients of 20 without every visit are left out")


@pytest.mark.parametrize(
    ("Y", "codes", "said"),
    [
        (np.zeros((5, 1)), None, "one visit"),
        (np.arange(12.0).reshape(4, 3), [0, 0, 0, 1], "each arm needs two"),
        (np.ones((6, 3)), None, "nothing varies"),
        (np.full((6, 3), np.nan), None, "each arm needs two"),
    ],
)
def test_what_cannot_be_analysed_is_a_sentence(Y, codes, said):
    arms = None if codes is None else Arms("arm", ("p", "q"), np.array(codes))
    with pytest.raises(Refusal, match=said):
        repeated_anova(Y, ("y", "visit", "subject"), arms)


def test_sphericity_holds_where_all_differences_vary_alike():
    C = contrasts(5)
    assert pytest.approx(np.eye(4)) == C.T @ C
    compound = 2.0 * np.eye(5) + 1.5
    judged = sphericity(C.T @ compound @ C, 30)
    assert pytest.approx(1) == judged.W
    assert judged.p_value == pytest.approx(1, abs=1e-6)
    assert judged.greenhouse_geisser == pytest.approx(1)
    assert judged.huynh_feldt == 1
    assert judged.huynh_feldt_raw > 1
    # one difference carries all: the lowest epsilon there is
    worst = sphericity(np.diag([1.0, 1e-12, 1e-12, 1e-12]), 30)
    assert worst.greenhouse_geisser == pytest.approx(0.25)
