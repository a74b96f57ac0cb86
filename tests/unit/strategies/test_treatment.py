"""Every strategy carried out on a small trial with drop-out."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from nestwise.config.missing import Missing
from nestwise.config.study import Model
from nestwise.engines import fit_model
from nestwise.impute.analyse import analyse
from nestwise.impute.pool import pool
from nestwise.missing.doubly_robust import fit_doubly_robust
from nestwise.missing.plan import Plan
from nestwise.seeds import seed_for
from nestwise.strategies.borrowed import borrowed, borrowing

ENGINE = {"wgee": "gee"}


@pytest.mark.parametrize(
    "label", ["complete_case", "locf", "mi", "wgee", "delta-1", "j2r", "cir", "cr", "lmcf"]
)
def test_each_strategy_answers_and_says_which_it_is(dropout, study_of, answer, label):
    fit = answer(dropout, study_of(), label, ENGINE.get(label, "lmm"))
    assert (fit.status.value, fit.reason) == ("ok", None)
    assert fit.strategy == label.partition("-")[0]
    assert all(row.std_error > 0 for row in fit.estimates if row.component == "fixed")


def test_a_shift_of_nothing_is_multiple_imputation_exactly(dropout, study_of, answer):
    mi, none = (answer(dropout, study_of(), label) for label in ("mi", "delta-0"))
    assert none.estimates == mi.estimates
    assert none.record["delta"] == 0
    assert none.method == f"{mi.method}, delta 0"


@pytest.mark.parametrize("how", ["chained", "joint"])
def test_shifts_move_the_estimate_in_equal_steps(dropout, study_of, answer, fixed, how):
    study = study_of(imputation=how)
    slopes = [fixed(answer(dropout, study, f"delta-{k}"))["armactive:t"] for k in range(3)]
    assert slopes[0] < slopes[1] < slopes[2]
    # least squares at fixed variances would be linear; variances move a little with the shift
    assert slopes[2] - slopes[1] == pytest.approx(slopes[1] - slopes[0], rel=0.1)


def test_complete_cases_are_a_fit_to_those_who_stayed(dropout, study_of, answer, fixed):
    fit = answer(dropout, study_of(), "complete_case")
    whole = pl.len().over("id") == 4
    kept = replace(dropout, frame=dropout.frame.filter(whole))
    plain = fit_model(kept, "m", Model(formula=study_of().models["m"].formula), "lmm")
    assert fixed(fit) == pytest.approx(fixed(plain), rel=1e-8)
    assert fit.n_obs == plain.n_obs < dropout.frame.collect().height


def test_borrowing_from_the_reference_takes_some_of_the_effect_away(dropout, study_of, answer, fixed):
    """Who leaves the active arm goes on improving under mi, and no faster than the reference otherwise."""
    study = study_of(imputations=20)
    slope = {name: fixed(answer(dropout, study, name))["armactive:t"] for name in ("mi", "j2r", "cir", "cr")}
    assert all(slope["mi"] < slope[name] < 0 for name in ("j2r", "cir", "cr"))


def test_jump_to_reference_is_its_data_sets_analysed_and_pooled(dropout, study_of, answer, fixed):
    study = study_of()
    model = Model.model_validate(study.models["m"].model_dump() | {"engines": ["lmm"]})
    found = borrowing(dropout, model, Missing.model_validate(study.missing.model_dump()), "j2r")
    seed = seed_for(3, "trial", "m", "reference", "j2r")
    completed = list(borrowed(found, 5, seed))
    pooled = pool(analyse(completed, "m", model, "lmm", seed=3), strategy="j2r")
    assert fixed(answer(dropout, study, "j2r")) == fixed(pooled)
    frame, start = completed[0].frame.collect(), dropout.frame.collect()
    assert frame["y"].null_count() == 0
    assert frame.height == 240
    same = frame.join(start, on=".row", how="inner")
    assert same.height == start.height
    np.testing.assert_array_equal(same["y"], same["y_right"])


def refused(fit, *words):
    assert fit.status.value == "refused"
    assert not fit.estimates
    for word in words:
        assert word in fit.reason, fit.reason
    assert "Traceback" not in fit.reason
    assert "array" not in fit.reason


def test_a_binary_outcome_is_not_shifted(trial, study_of, answer):
    study = study_of({"formula": "y ~ x + arm * t + (1 | id)", "family": "binomial", "engines": ["glmm"]})
    refused(answer(trial(binary=True), study, "delta-1", "glmm"), "binary")


def test_a_binary_outcome_is_not_borrowed(trial, study_of, answer):
    study = study_of({"formula": "y ~ x + arm * t + (1 | id)", "family": "binomial", "engines": ["glmm"]})
    refused(answer(trial(binary=True), study, "j2r", "glmm"), "binary", "use mi")


def test_an_arm_that_is_not_there_is_named(dropout, study_of, answer):
    study = study_of(arm={"column": "arm", "reference": "sham"})
    refused(answer(dropout, study, "j2r"), "sham")
    refused(answer(dropout, study_of(arm={"column": "group", "reference": "a"}), "j2r"), "group")


def test_weights_are_refused_where_people_come_back(trial, study_of, answer):
    refused(answer(trial(back=True), study_of(), "wgee", "gee"), "gap")


def test_weights_and_regressions_together_are_an_answer_of_their_own(dropout, study_of, answer, fixed):
    keys = {"formula": "y ~ arm * t + (1 | id)", "engines": ["gee"]}
    plain = answer(dropout, study_of(keys), "wgee", "gee")
    both = answer(dropout, study_of(keys, weights={"doubly_robust": True}), "wgee", "gee")
    assert both.status.value == "ok", both.reason
    assert both.method != plain.method
    model = Model.model_validate(study_of(keys).models["m"].model_dump())
    assert fixed(both) == fixed(fit_doubly_robust(dropout, "m", model, Plan(arm="arm")))


@pytest.mark.parametrize("how", ["chained", "joint"])
def test_a_variable_without_any_value_is_named(dropout, study_of, answer, how):
    empty = replace(dropout, frame=dropout.frame.with_columns(x=pl.lit(None, dtype=pl.Float64)))
    refused(answer(empty, study_of(imputation=how), "mi"), "x has no value")


def test_one_imputation_says_nothing_of_its_uncertainty(dropout, study_of, answer):
    refused(answer(dropout, study_of(imputations=1), "mi"), "one imputation", "better 20")
    refused(answer(dropout, study_of(imputations=1), "j2r"), "one imputation", "better 20")
