"""Likelihood beside Bayes: judged on one parametrisation, explained, and refused where it misleads."""

import polars as pl
import pytest

from nestwise.compare.engines import (
    COMPARISON,
    comparable,
    compare_engines,
    same_quantity,
)
from nestwise.compare.verdict import Quantity, judge
from nestwise.errors import Refusal
from nestwise.results import conform
from nestwise.vocabulary import ESTIMATES, FITS


def fit_row(engine, **given):
    row = {
        "study": "s",
        "model": "m",
        "engine": engine,
        "method": "REML",
        "strategy": "observed",
        "status": "ok",
        "singular": False,
        "n_obs": 919,
        "n_groups": 85,
        "analysis_hash": "abc",
    }
    return row | given


def estimate_row(engine, component, term, value, error, group=None, lower=None, upper=None, **given):
    row = {
        "study": "s",
        "model": "m",
        "engine": engine,
        "method": "x",
        "strategy": "observed",
        "component": component,
        "term": term,
        "group": group,
        "estimate": value,
        "std_error": error,
        "lower": lower,
        "upper": upper,
        "target": "conditional",
        "scale": "response",
    }
    return row | given


def tables(fits, estimates):
    return conform(pl.DataFrame(estimates), ESTIMATES), conform(pl.DataFrame(fits), FITS)


RECORD = {
    "parameters": [
        {"component": "fixed", "group": None, "term": "x", "mcse_median": 0.002, "mcse_mean": 0.001},
        {"component": "sd", "group": "g", "term": "(Intercept)", "mcse_median": 0.004},
    ]
}


def compared(**sd):
    low, mid, high = sd.get("posterior", (0.2, 0.35, 0.7))
    estimates, fits = tables(
        [fit_row("lmm"), fit_row("mixedlm"), fit_row("pymc", method="NUTS")],
        [
            estimate_row("lmm", "fixed", "x", -0.693, 0.07),
            estimate_row("mixedlm", "fixed", "x", -0.6931, 0.0701),
            estimate_row("pymc", "fixed", "x", -0.695, 0.071, None, -0.83, -0.55),
            estimate_row("lmm", "sd", "(Intercept)", sd.get("reml", 0.25), None, "g"),
            estimate_row("pymc", "sd", "(Intercept)", mid, 0.12, "g", low, high),
        ],
    )
    return compare_engines(estimates, fits, {("m", "pymc"): RECORD})


def test_the_frame_has_its_schema_and_both_answers():
    frame = compared()
    assert dict(frame.schema) == dict(COMPARISON)
    fixed = frame.row(0, named=True)
    assert (fixed["likelihood"], fixed["referee"], fixed["posterior"]) == (-0.693, -0.6931, -0.695)
    assert fixed["in_mcse"] == pytest.approx(-1.0)
    assert (fixed["flagged"], fixed["verdict"]) == (False, "agrees")


def test_rule_29_a_skewed_posterior_above_the_mode_is_flagged_and_explained():
    row = compared().row(1, named=True)
    assert row["flagged"] is True
    assert row["verdict"] == "differs"
    assert row["difference"] == pytest.approx(0.10)
    assert row["in_sd"] == pytest.approx(0.10 / 0.12)
    assert "skewed to the right" in row["reason"]
    assert "85 groups" in row["reason"]


def test_a_posterior_below_the_likelihood_is_not_called_skewed():
    row = compared(reml=0.45).row(1, named=True)
    assert "prior" in row["reason"]
    assert "skewed" not in row["reason"]


def test_a_boundary_estimate_is_explained_as_one():
    quantity = Quantity("sd", "g", "(Intercept)", 0.0, None, 3.0, 2.0, 0.1, 8.0, 0.1, 6, True)
    assert "boundary" in judge(quantity).reason


def test_a_difference_without_a_monte_carlo_error_is_not_called_chance():
    verdict = judge(Quantity("fixed", None, "x", 1.0, None, 1.5, 0.5, 0.5, 2.5, None, 10, False))
    assert verdict.flagged is None
    assert verdict.verdict == "differs"


def test_a_quantity_of_one_school_only_is_said_to_be_one():
    estimates, fits = tables(
        [fit_row("lmm"), fit_row("pymc")],
        [estimate_row("lmm", "fixed", "x", 1.0, 0.1), estimate_row("pymc", "fixed", "z", 1.0, 0.1)],
    )
    frame = compare_engines(estimates, fits, {})
    assert frame["verdict"].to_list() == ["one_sided", "one_sided"]
    assert frame["reason"].to_list() == [
        "There is no posterior value to compare with.",
        "There is no likelihood value to compare with.",
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"analysis_hash": "other", "n_obs": 900}, "different rows (919 and 900)"),
        ({"strategy": "mi"}, "missing data were treated in two ways"),
        ({"status": "not_converged"}, None),
        ({"status": "failed"}, "it was failed"),
    ],
)
def test_rule_3_fits_that_answer_different_questions_are_refused_with_the_way_out(change, words):
    if words is None:
        comparable(fit_row("lmm"), fit_row("pymc") | change)
        return
    with pytest.raises(Refusal) as refusal:
        comparable(fit_row("lmm"), fit_row("pymc") | change)
    assert words in str(refusal.value)
    assert refusal.value.problems[0].way_out


def test_a_refused_pair_is_a_row_with_its_reason_and_no_numbers():
    estimates, fits = tables(
        [fit_row("lmm"), fit_row("pymc", analysis_hash="other")],
        [estimate_row("lmm", "fixed", "x", 1.0, 0.1), estimate_row("pymc", "fixed", "x", 1.0, 0.1)],
    )
    frame = compare_engines(estimates, fits, {})
    assert frame.height == 1
    assert frame["verdict"][0] == "refused"
    assert frame["difference"][0] is None
    assert "different rows" in frame["reason"][0]


@pytest.mark.parametrize(("column", "value"), [("target", "marginal"), ("scale", "link")])
def test_rule_13_targets_and_scales_are_never_mixed(column, value):
    left = estimate_row("lmm", "fixed", "x", 1.0, 0.1)
    with pytest.raises(Refusal, match=value):
        same_quantity(left, left | {column: value})
    estimates, fits = tables(
        [fit_row("lmm"), fit_row("pymc")],
        [left, estimate_row("pymc", "fixed", "x", 1.0, 0.1, **{column: value})],
    )
    frame = compare_engines(estimates, fits, {})
    assert "agrees" not in frame["verdict"].to_list()


def test_a_model_without_bayes_has_nothing_to_compare():
    estimates, fits = tables([fit_row("lmm")], [estimate_row("lmm", "fixed", "x", 1.0, 0.1)])
    assert compare_engines(estimates, fits, {}).is_empty()
