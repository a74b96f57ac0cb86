"""Gaps drawn as a study file asks, chained or joint, as many as needed; and what is told of them."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from nestwise.config import sections
from nestwise.errors import Refusal
from nestwise.imputation.draws import Draws, Filling, load_draws
from nestwise.impute.impute import impute
from nestwise.missing.visits import all_visits
from nestwise.strategies.convergence import CHECK, chain_checks, imputation_record
from nestwise.strategies.gaps import draw_gaps, save_gaps


def drawn(dataset, study, seed=3):
    return draw_gaps(dataset, "m", sections.draw_section(study, "m", seed))


def with_gaps(dataset, **columns):
    return replace(dataset, frame=dataset.frame.with_columns(**columns))


def some(column, every):
    return pl.when(pl.col(".row") % every == 0).then(None).otherwise(pl.col(column))


def test_joint_draws_fill_every_gap_of_every_level(dropout, study_of):
    """`x` is one number a subject and is drawn once a subject."""
    holed = with_gaps(dropout, x=pl.when(pl.col("id").to_physical() % 5 == 0).then(None).otherwise("x"))
    draws = drawn(holed, study_of(imputation="joint"))
    assert draws.methods == {"y": "joint", "x": "joint"}
    frame = impute(all_visits(holed), draws, 5).frame.collect()
    assert not frame["y"].null_count() + frame["x"].null_count()
    assert (frame.group_by("id").agg(pl.col("x").n_unique())["x"] == 1).all()
    assert draws.traces.shape[0] == 4
    assert np.ptp(draws.traces[:, :, 0, 0]) > 0


def test_imputation_k_of_the_joint_model_is_the_same_however_many_there_are(dropout, study_of):
    few, many = (drawn(dropout, study_of(imputation="joint", imputations=m)) for m in (3, 6))
    np.testing.assert_array_equal(few.fillings[0].values, many.fillings[0].values[:3])
    assert few.seeds == many.seeds[:3]
    assert len({row.tobytes() for row in many.fillings[0].values}) == 6


def test_as_many_joint_imputations_as_the_answers_need(dropout, study_of, monkeypatch):
    monkeypatch.setattr("nestwise.strategies.gaps.PILOT", 2)
    asked = drawn(dropout, study_of(imputation="joint", imputations="auto"))
    assert asked.m > 2
    assert asked.numbers == tuple(range(1, asked.m + 1))


@pytest.mark.parametrize(
    ("formula", "columns", "keys", "word"),
    [
        ("y ~ x + x:t + (1 | id)", {"x": some("x", 5)}, {}, "x has an interaction"),
        ("y ~ x + (x | id)", {"x": some("x", 5)}, {}, "x has an interaction"),
        ("y ~ x + t + (1 | id)", {"x": some("x", 5)}, {"methods": {"x": "matching"}}, "by matching"),
        ("y ~ x + t + (1 | id) + (1 | arm)", {}, {}, "2 grouping factors"),
    ],
)
def test_what_the_joint_model_does_not_take_is_a_sentence(dropout, study_of, formula, columns, keys, word):
    study = study_of({"formula": formula}, imputation="joint", **keys)
    with pytest.raises(Refusal) as caught:
        drawn(with_gaps(dropout, **columns), study)
    assert word in str(caught.value)
    assert "chained" in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"methods": {"z": "normal"}}, ("no variable z", "missing.methods")),
        ({"auxiliary": ["z"]}, ("z", "missing.auxiliary")),
        ({"visit": "week"}, ("week", "missing.visit")),
        ({"methods": {"y": "binary"}}, ("y is continuous", "normal, heterogeneous")),
    ],
)
def test_keys_that_are_wrong_for_the_data_are_sentences_in_the_file(dropout, study_of, keys, words, tmp_path):
    save_gaps(dropout, "m", sections.draw_section(study_of(**keys), "m", 3), tmp_path / "m.npz")
    ((_, reason),) = load_draws(tmp_path / "m.npz").failed
    assert all(word in reason for word in words), reason


def test_the_fit_says_how_each_variable_was_imputed(dropout, study_of, answer):
    fit = answer(dropout, study_of(iterations=12), "mi")
    told = fit.record["imputation"]
    (row,) = told["variables"]
    assert (told["imputations"], told["chains"], told["iterations"]) == (5, 5, 12)
    assert (row["variable"], row["method"], row["level"]) == ("y", "normal", None)
    assert row["gaps"] == row["drawn"] == 240 - dropout.frame.collect().height
    (check,) = [each for each in fit.checks if each.check == CHECK]
    assert check.value == max(row["r_hat_mean"], row["r_hat_sd"])
    assert check.ok == row["mixed"]


def traced(shift, sweeps=20):
    """Draws of one variable whose chains lie `shift` apart."""
    rng = np.random.default_rng(2)
    traces = rng.normal(size=(4, sweeps, 1, 2)) + shift * np.arange(4)[:, None, None, None]
    filling = Filling("x", "continuous", "normal", None, np.arange(3), np.arange(3), np.zeros((4, 3)))
    return Draws("s", "m", (1, 2, 3, 4), (1,) * 4, (filling,), ("mean", "sd"), traces, ("x",))


def test_chains_that_stay_apart_fail_a_check_with_advice():
    (bad,), (good,) = (chain_checks(imputation_record(traced(shift))) for shift in (5, 0))
    assert not bad.ok
    assert "`x`" in bad.advice
    assert "missing.iterations" in bad.advice
    assert good.ok
    assert good.value < 1.1 < bad.value


def test_chains_too_short_to_judge_are_not_called_good():
    told = imputation_record(traced(0, sweeps=4))
    (check,) = chain_checks(told)
    assert told["variables"][0]["r_hat_mean"] is None
    assert (check.ok, check.value) == (False, None)
