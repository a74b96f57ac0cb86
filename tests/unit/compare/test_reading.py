"""Sentences computed from numbers: the book's reading of radon, and what must not be said."""

import polars as pl
import pytest

from nestwise.compare.context import contextual, read_contextual
from nestwise.compare.poolings import pooling_table
from nestwise.compare.reading import (
    Answer,
    answer,
    read_level2,
    read_model,
    read_shrinkage,
    read_slopes,
    read_variance,
    read_weight,
)
from nestwise.config.study import Study
from nestwise.results import conform, empty
from nestwise.vocabulary import ESTIMATES, FITS, GROUPS

STUDY = Study.model_validate(
    {
        "title": "Radon",
        "data": {"source": "dataset:radon"},
        "groups": {"county": {}},
        "derive": [
            {"within": "x", "group": "county", "as": "x_within"},
            {"between": "x", "group": "county", "as": "x_mean"},
        ],
        "models": {"m": {"formula": "y ~ basement + (1 | county)"}},
    }
)


def row(component, term, value, group=None, error=None, **given):
    return {
        "component": component,
        "term": term,
        "estimate": value,
        "group": group,
        "std_error": error,
        "lower": None,
        "upper": None,
        "p_value": None,
        "df": None,
    } | given


def radon(tau=0.3282, sigma=0.7556, *extra, groups=None):
    estimates = (
        row("fixed", "(Intercept)", 1.4616, error=0.0516),
        row("fixed", "basement", -0.693, error=0.0704),
        row("sd", "(Intercept)", tau, "county"),
        row("residual", "sigma", sigma),
        *extra,
    )
    return Answer(STUDY, "m", "lmm", estimates, groups if groups is not None else empty(GROUPS), 919)


def test_the_books_reading_of_radon_about_five_homes():
    (weight,) = read_weight(radon())
    assert weight.sentence.startswith(
        "A county with more than about 5 observations is better served by its own data"
    )
    assert "= 5.3)" in weight.sentence


def test_the_partition_names_both_parts():
    sentence = read_variance(radon())[0].sentence
    assert "16% lies between counties (SD 0.328) and 84% within them (SD 0.756)" in sentence


@pytest.mark.parametrize(
    ("tau", "words"),
    [
        (0.0, "do not differ by more than chance"),
        (0.7, "more than one observation"),
        (2.0, "Already with one observation a county is better served"),
    ],
)
def test_the_weight_at_both_ends(tau, words):
    assert words in read_weight(radon(tau))[0].sentence


def test_no_single_share_is_given_where_slopes_vary():
    slopes = radon(
        0.35, 0.75, row("sd", "basement", 0.34, "county"), row("cor", "(Intercept):basement", -0.34, "county")
    )
    assert read_variance(slopes) == []
    assert read_weight(slopes) == []
    (slope,) = read_slopes(slopes)
    assert "−0.69 on average with an SD of 0.34" in slope.sentence
    assert "between −1.36 and −0.03 in 95% of counties" in slope.sentence
    assert "correlation with the intercept is −0.34" in slope.sentence


def groups(rows):
    frame = pl.DataFrame(rows).with_columns(
        pl.lit("m").alias("model"),
        pl.lit("lmm").alias("engine"),
        pl.lit("county").alias("group"),
        pl.lit("(Intercept)").alias("term"),
    )
    return conform(frame, GROUPS)


ROWS = [
    {
        "label": "A",
        "n": 2,
        "no_pooling": 2.94,
        "partial_pooling": 1.87,
        "partial_pooling_se": 0.2,
        "pooling_factor": 0.27,
    },
    {
        "label": "B",
        "n": 40,
        "no_pooling": 1.2,
        "partial_pooling": 1.22,
        "partial_pooling_se": 0.1,
        "pooling_factor": 0.88,
    },
    {
        "label": "C",
        "n": 4,
        "no_pooling": None,
        "partial_pooling": 1.5,
        "partial_pooling_se": 0.2,
        "pooling_factor": 0.4,
    },
]


def test_the_group_that_moves_farthest_is_named_with_its_weight():
    (reading,) = read_shrinkage(radon(groups=groups(ROWS)))
    assert "county A (2 rows) moves farthest: 2.94 by its own data alone, 1.87 after" in reading.sentence
    assert "weighing 0.27" in reading.sentence
    assert "from 0.27 to 0.88" in reading.sentence


def test_a_group_level_predictor_explains_variance_between_groups():
    small = radon()
    large = Answer(
        STUDY, "m2", "lmm", (*radon(0.1564).estimates, row("fixed", "uranium", 0.72)), empty(GROUPS), 919
    )
    (reading,) = read_level2([small, large], {"m": "h", "m2": "h"})
    assert "from 0.328 to 0.156: uranium explains 77% of the variance" in reading.sentence
    assert read_level2([small, large], {"m": "h", "m2": "other"}) == []
    (reversed_reading,) = read_level2(
        [radon(0.10), Answer(STUDY, "m2", "lmm", large.estimates, empty(GROUPS), 919)], {"m": "h", "m2": "h"}
    )
    assert "explains none of it" in reversed_reading.sentence


COVARIANCE = {"x_within": {"x_mean": 0.001}, "x": {"x_mean": -0.002}}


def test_rule_11_the_contextual_effect_is_between_minus_within_with_its_test():
    found = radon(
        0.3, 0.7, row("fixed", "x_within", 0.55, error=0.02), row("fixed", "x_mean", 0.95, error=0.11)
    )
    (part,) = contextual(found, COVARIANCE)
    assert part.contextual == pytest.approx(0.40)
    assert part.contextual_se == pytest.approx((0.02**2 + 0.11**2 - 0.002) ** 0.5)
    assert part.p < 0.001
    assert (
        "the contextual effect is 0.40 (SE 0.10, 95% interval 0.20 to 0.60"
        in read_contextual(STUDY, part).sentence
    )


def test_rule_11_beside_the_covariate_itself_the_mean_is_the_contextual_effect():
    found = radon(0.3, 0.7, row("fixed", "x", 0.55, error=0.02), row("fixed", "x_mean", 0.40, error=0.11))
    (part,) = contextual(found, COVARIANCE)
    assert (part.within, part.between, part.contextual) == (0.55, pytest.approx(0.95), 0.40)
    assert part.contextual_se == 0.11
    assert part.between_se == pytest.approx((0.02**2 + 0.11**2 - 0.004) ** 0.5)


def test_without_a_covariance_there_is_no_invented_test():
    found = radon(
        0.3, 0.7, row("fixed", "x_within", 0.55, error=0.02), row("fixed", "x_mean", 0.95, error=0.11)
    )
    (part,) = contextual(found, None)
    assert part.contextual_se is None
    assert part.p is None
    assert "SE" not in read_contextual(STUDY, part).sentence


def test_rule_11_the_engines_own_test_comes_before_the_normal_distribution():
    tested = {"statistic": 3.5, "df": 41.25, "p_value": 0.0011, "lower": 0.17, "upper": 0.63}
    found = radon(
        0.3,
        0.7,
        row("fixed", "x_within", 0.55, error=0.02),
        row("fixed", "x_mean", 0.95, error=0.11),
        row("derived", "contextual_effect:x", 0.40, "county", error=0.115, **tested),
    )
    (part,) = contextual(found, COVARIANCE)
    assert (part.contextual_se, part.df, part.p, part.statistic) == (0.115, 41.25, 0.0011, 3.5)
    said = read_contextual(STUDY, part).sentence
    assert "(SE 0.12, 95% interval 0.17 to 0.63, 41.2 df, p" in said


def test_a_model_with_one_part_only_has_no_contextual_effect():
    assert contextual(radon(0.3, 0.7, row("fixed", "x_mean", 0.95, error=0.11)), COVARIANCE) == []


def test_the_answer_is_that_of_the_best_engine_that_has_one():
    fits = conform(
        pl.DataFrame(
            [
                {"model": "m", "engine": "lmm", "status": "failed", "n_obs": 10},
                {"model": "m", "engine": "pymc", "status": "ok", "n_obs": 10},
            ]
        ),
        FITS,
    )
    found = answer(STUDY, "m", empty(ESTIMATES), fits, empty(GROUPS))
    assert found is not None
    assert found.engine == "pymc"
    assert read_model(found) == ()
    assert answer(STUDY, "other", empty(ESTIMATES), fits, empty(GROUPS)) is None


def test_rule_31_tau_is_not_the_spread_of_either_estimate():
    estimates = conform(
        pl.DataFrame(
            [
                {
                    "model": "m",
                    "engine": "lmm",
                    "component": "sd",
                    "group": "county",
                    "term": "(Intercept)",
                    "estimate": 0.33,
                },
                {
                    "model": "m",
                    "engine": "pooled",
                    "component": "fixed",
                    "term": "(Intercept)",
                    "estimate": 1.3,
                },
            ]
        ),
        ESTIMATES,
    )
    fits = conform(
        pl.DataFrame(
            [
                {"model": "m", "engine": engine, "status": status}
                for engine, status in (("pymc", "refused"), ("lmm", "ok"), ("pooled", "ok"))
            ]
        ),
        FITS,
    )
    table = pooling_table(estimates, fits, groups(ROWS), "m")
    assert table.engines == ("pooled", "lmm")
    (spread,) = table.spreads
    assert (spread.tau, spread.n_groups, spread.n_raw) == (0.33, 3, 2)
    assert spread.raw == pytest.approx(pl.Series([2.94, 1.2]).std())
    assert spread.shrunken == pytest.approx(pl.Series([1.87, 1.22, 1.5]).std())
    assert [line.component for line in table.lines] == ["fixed", "sd"]
    assert table.lines[0].values[1] is None
