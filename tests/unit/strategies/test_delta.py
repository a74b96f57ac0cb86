"""Shifts of the log-odds: of binary and ordinal outcomes, from the study file to the fit."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from nestwise.config import sections
from nestwise.config.missing import Arm
from nestwise.data.dataset import VariableInfo
from nestwise.errors import Refusal
from nestwise.imputation.shift import shift_of, shifted
from nestwise.impute.impute import impute
from nestwise.missing.visits import followed_rows, planned_visits
from nestwise.strategies.gaps import draw_gaps

ARM = Arm(column="arm", reference="control")
LOGIT = {"formula": "y ~ x + arm * t + (1 | id)", "family": "binomial", "engines": ["glmm", "gee"]}


@pytest.fixture(scope="module")
def binary(trial):
    return trial(binary=True)


@pytest.fixture(scope="module")
def ordered(trial):
    """The outcome in four categories with labels, lowest first."""
    data = trial()
    names = ["none", "mild", "much", "most"]
    place = pl.sum_horizontal(*(pl.col("y") > cut for cut in (-1.0, 0.0, 1.0)))
    labels = place.replace_strict(dict(enumerate(names)), return_dtype=pl.Enum(names))
    info = VariableInfo("y", "ordinal", declared=True)
    return replace(
        data, frame=data.frame.with_columns(y=labels), variables=dict(data.variables) | {"y": info}
    )


@pytest.fixture(scope="module")
def moved(study_of):
    """(dataset, delta) -> draws of the model with shifted outcomes, and the shift."""
    kept = {}

    def make(dataset, delta, **missing):
        planned, table = planned_visits(dataset)
        key = (id(dataset), str(missing))
        if key not in kept:
            section = sections.draw_section(study_of(LOGIT, **missing), "m", 3)
            kept[key] = draw_gaps(dataset, "m", section)
        shift = shift_of(planned, "y", delta, ARM, followed_rows(table, ["y"]))
        return planned, shifted(kept[key], shift), shift

    return make


@pytest.mark.parametrize("engine", ["glmm", "gee"])
def test_no_shift_of_the_log_odds_is_multiple_imputation_exactly(binary, study_of, answer, engine):
    mi, none = (answer(binary, study_of(LOGIT), label, engine) for label in ("mi", "delta-0"))
    assert (none.status.value, none.reason) == ("ok", None)
    assert none.estimates == mi.estimates
    assert none.record["delta_scale"] == "log_odds"
    assert none.method == f"{mi.method}, delta 0"


def test_the_estimate_moves_with_the_log_odds(binary, study_of, answer, fixed):
    study = study_of(LOGIT, delta=[-2, -1, 0, 1, 2])
    slopes = [fixed(answer(binary, study, f"delta-{k}", "gee"))["armactive:t"] for k in range(5)]
    assert (np.diff(slopes) > 0).all()


@pytest.mark.parametrize("case", ["binary", "ordered"])
def test_a_larger_shift_never_lowers_a_category(case, moved, request):
    data = request.getfixturevalue(case)
    made = [moved(data, delta)[1].fillings[0].values for delta in (-60.0, -1.0, 0.0, 1.0, 60.0)]
    assert all((low <= high).all() for low, high in pairwise(made))
    assert all((low < high).any() for low, high in pairwise(made))


@pytest.mark.parametrize("case", ["binary", "ordered"])
def test_only_those_who_left_the_active_arm_are_shifted(case, moved, request):
    data = request.getfixturevalue(case)
    planned, draws, shift = moved(data, 60.0)
    before, after = planned.frame.collect(), impute(planned, draws, 1).frame.collect()
    plain = impute(planned, moved(data, 0.0)[1], 1).frame.collect()
    gone = before["y"].is_null().to_numpy()
    active = gone & (before["arm"] == "active").to_numpy()
    assert set(before[".row"].to_numpy()[active]) == set(shift.rows)
    highest = after["y"].to_physical().max()
    assert (after["y"].to_physical().to_numpy()[active] == highest).all()
    assert after.filter(pl.Series(~active)).equals(plain.filter(pl.Series(~active)))
    assert after.schema == before.schema


def test_an_ordinal_outcome_is_shifted_from_the_study_file(ordered, study_of, answer, fixed):
    model = {"formula": "y ~ arm * t + (1 | id)", "family": "ordinal", "engines": ["gee"]}
    model |= {"correlation": "independence"}
    study = study_of(model, imputations=3)
    slopes = [fixed(answer(ordered, study, f"delta-{k}", "gee"))["armactive:t"] for k in range(3)]
    assert slopes[0] < slopes[1] < slopes[2]


@pytest.mark.parametrize("written", [False, True], ids=["absent rows", "empty rows"])
def test_who_came_back_did_not_leave(trial, written):
    """Gaps before the last visit seen are not shifted, whether or not the file has a row for them."""
    data = trial(back=True)
    planned, table = planned_visits(data)
    if written:  # every planned visit has a row
        planned, table = planned_visits(planned)
    shift = shift_of(planned, "y", 1.0, None, followed_rows(table, ["y"]))
    gone = planned.frame.filter(pl.col(".row").is_in(shift.rows.tolist())).collect()
    last = data.frame.collect().group_by("id").agg(pl.col("t").max().alias("last"))
    joined = gone.join(last, on="id")
    assert (joined["t"] > joined["last"]).all()
    assert gone.height == int((3 - last["last"]).sum())


@pytest.mark.parametrize(
    ("keys", "way_out"),
    [
        ({"methods": {"y": "matching"}}, "give y the method binary under missing.methods"),
        ({"imputation": "joint", "imputations": 1}, "set missing.imputation to chained"),
    ],
)
def test_draws_without_log_odds_are_refused_with_a_way_out(binary, study_of, answer, keys, way_out):
    fit = answer(binary, study_of(LOGIT, **keys), "delta-1", "gee")
    assert fit.status.value == "refused"
    assert "no log-odds to shift" in fit.reason
    assert way_out in fit.reason


def test_categories_without_order_are_refused(ordered):
    info = VariableInfo("y", "categorical", declared=True)
    nominal = replace(ordered, variables=dict(ordered.variables) | {"y": info})
    with pytest.raises(Refusal, match="y is categorical"):
        shift_of(nominal, "y", 1.0)


def test_a_shift_that_is_no_number_is_refused(study_of):
    with pytest.raises(ValueError, match="finite"):
        study_of(delta=[0, float("inf")])
