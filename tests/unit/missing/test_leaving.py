"""The drop-out model by brute force and by hand, separation; Little's test; the whole description."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy.special import chdtrc, expit

from nestwise.errors import Refusal
from nestwise.missing.description import describe_missing
from nestwise.missing.hazard import Hazard, Separated, carried, fit_hazard, steps_at_risk
from nestwise.missing.leaving import LAST, LeavingModel, leaving_model
from nestwise.missing.little import little_test
from nestwise.missing.patterns import attendance
from nestwise.missing.plan import Plan
from nestwise.missing.saved import TABLES, describe_model_saved, describe_saved, load_description
from nestwise.missing.schedule import schedule
from nestwise.missing_vocabulary import (
    COHORT_MEANS,
    DROPOUT,
    DROPOUT_MODEL,
    MISSING_PATTERNS,
    MISSING_VARIABLES,
    MISSINGNESS_MAP,
    REPEATED_ANOVA,
)
from nestwise.results import conform


def test_steps_are_those_at_which_somebody_could_leave():
    steps = steps_at_risk(np.array([2, 0, -1]), 3, from_start=True)
    # visit 0: all three, one stays away; visit 1: two, one leaves; visit 2: one, who stays
    assert steps.visit.tolist() == [0, 0, 0, 1, 1]
    assert steps.stays.tolist() == [True, True, False, True, False]
    assert steps.certain.tolist() == [[0, 2]]
    assert steps_at_risk(np.array([2, 0]), 3, from_start=False).visit.tolist() == [1, 1]


def test_values_are_carried_over_gaps_only_forward():
    assert carried(np.array([[np.nan, 1.0, np.nan, 3.0]]))[0, 1:].tolist() == [1, 1, 3]
    assert np.isnan(carried(np.array([[np.nan, 1.0]]))[0, 0])


def test_the_hazard_is_a_logistic_regression():
    rng = np.random.default_rng(1)
    X = np.column_stack([np.ones(300), rng.normal(5, 100, 300), rng.integers(0, 2, 300)])
    stays = rng.random(300) < 1 / (1 + np.exp(-(0.5 + 0.01 * X[:, 1] - X[:, 2])))
    found = fit_hazard({"(Intercept)": X[:, 0], "a": X[:, 1], "b": X[:, 2], "c": X[:, 1] - X[:, 2]}, stays)

    def score(alpha):
        return X.T @ (stays - expit(X @ alpha))

    assert isinstance(found, Hazard)
    assert found.left_out == ("c",)
    assert score(found.alpha) == pytest.approx(np.zeros(3), abs=1e-6)
    steps = np.diag([1e-5, 1e-7, 1e-5])
    information = [(score(found.alpha - h) - score(found.alpha + h)) / (2 * h.max()) for h in steps]
    assert found.covariance == pytest.approx(np.linalg.inv(information), rel=1e-5)
    assert found.scores.sum(axis=0) == pytest.approx(np.zeros(3), abs=1e-7)


def test_separation_is_named():
    z = np.array([0.0, 0, 0, 1, 1, 1])
    found = fit_hazard({"(Intercept)": np.ones(6), "z": z}, z == 0)
    assert isinstance(found, Separated)
    assert found.names == ("z",)


def leaving_of(dataset, covariates=("arm",)):
    planned = schedule(dataset)
    found = attendance(planned.observed(["y"]))
    return leaving_model(planned, "y", planned.values("y"), found, covariates)


def test_what_predicts_leaving_is_found(trial):
    found = leaving_of(trial(N=600, leave=0.8), ("arm", "x"))
    assert isinstance(found, LeavingModel)
    rows = {row["term"]: row for row in found.table.to_dicts()}
    assert rows[LAST]["estimate"] == pytest.approx(0.8, abs=0.2)
    assert rows[LAST]["odds_ratio"] > 1
    assert abs(rows["armactive"]["statistic"]) < 3
    assert rows["armactive"]["odds_ratio"] == pytest.approx(np.exp(rows["armactive"]["estimate"]))
    assert {"t 2", "t 3"} < set(rows)


def test_a_two_by_two_table_of_leaving(study):
    """One visit to leave before and the arm alone but for the outcome: log odds ratio of the counts."""
    rng = np.random.default_rng(4)
    rows = []
    for k, (arm, stays) in enumerate([("a", 1)] * 30 + [("a", 0)] * 10 + [("b", 1)] * 20 + [("b", 0)] * 40):
        rows += [{"id": f"s{k}", "arm": arm, "t": float(t), "y": rng.normal()} for t in range(1 + stays)]
    # an outcome at the first visit that is balanced: two symmetric values in every cell
    frame = pl.DataFrame(rows).with_columns(
        y=pl.when(pl.col("t") == 0)
        .then((pl.int_range(pl.len()).over("arm", "t") % 2).cast(pl.Float64))
        .otherwise("y")
    )
    dataset = study(
        frame.to_dict(as_series=False), {"arm": "categorical", "t": "continuous", "y": "continuous"}
    )
    found = leaving_of(dataset)
    (row,) = found.table.filter(term="armb").to_dicts()
    assert row["estimate"] == pytest.approx(np.log((40 / 20) / (10 / 30)), abs=1e-6)
    assert row["std_error"] == pytest.approx(np.sqrt(1 / 30 + 1 / 10 + 1 / 20 + 1 / 40), rel=1e-3)


def test_a_separating_covariate_is_set_aside_and_said(trial):
    dataset = trial(N=300, absent=False)
    oracle = pl.col("y").is_null().any().over("id").cast(pl.Float64).alias("oracle")
    found = leaving_of(
        replace(dataset, frame=dataset.frame.collect().with_columns(oracle).lazy()), ("oracle", "x")
    )
    (row,) = found.table.filter(term="oracle").to_dicts()
    assert row["estimate"] is None
    assert "infinite" in row["note"]
    assert found.table.filter(term="x")["estimate"].null_count() == 0
    assert any("oracle" in note for note in found.notes)


def test_nobody_leaving_is_a_sentence(trial):
    dataset = trial(N=40)
    whole = dataset.frame.collect().filter(pl.len().over("id") == 4).lazy()
    assert leaving_of(replace(dataset, frame=whole)).startswith("Every id was seen to the end")


def test_little_by_hand():
    """Two variables, one of them complete: means of the complete one in two patterns, its variance known."""
    x = np.array([1.0, 2, 3, 4, 5, 6, 7, 8])
    y = np.where(x > 5, np.nan, [1.1, 1.9, 3.2, 3.9, 5.1, 0, 0, 0])
    found = little_test(np.column_stack([x, y]), ["x", "y"])
    # ML of x is its own mean and variance; y given x is a regression on the complete rows
    inside = x < 6
    slope, intercept = np.polyfit(x[inside], y[inside], 1)
    s_xx, residual = x.var(), (y[inside] - intercept - slope * x[inside]).var()
    mean = np.array([x.mean(), intercept + slope * x.mean()])
    cov = np.array([[s_xx, slope * s_xx], [slope * s_xx, residual + slope**2 * s_xx]])
    gap = np.array([x[inside].mean(), y[inside].mean()]) - mean
    d2 = 5 * gap @ np.linalg.solve(cov, gap) + 3 * (x[~inside].mean() - x.mean()) ** 2 / s_xx
    assert found.statistic == pytest.approx(d2, rel=1e-7)
    assert found.df == 1
    assert found.p_value == pytest.approx(chdtrc(1, d2), rel=1e-6)


@pytest.mark.slow
def test_little_keeps_its_level():
    """5% rejections where values are missing completely at random; limits of 3.5 Monte Carlo errors."""
    rng = np.random.default_rng(5)
    L = np.linalg.cholesky(0.5 * np.eye(3) + 0.5)
    p = []
    for _ in range(400):
        Y = rng.normal(size=(150, 3)) @ L.T
        Y[rng.random(Y.shape) < 0.2] = np.nan
        p.append(little_test(Y, "abc").p_value)
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=3.5 * np.sqrt(0.05 * 0.95 / 400))


NAN = np.nan


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.random.default_rng(0).normal(size=(9, 2)), "no value is missing"),
        (np.array([[1.0, NAN], [2.0, NAN], [3.0, NAN]]), "v1 has no value at all"),
        (np.array([[1.0, 5.0], [2.0, 5.0], [3.0, NAN], [4.0, NAN], [7.0, 5.0]]), "v1 does not vary"),
        (
            np.array([[1.0, NAN], [2.0, NAN], [NAN, 3.0], [NAN, 4.0], [NAN, 1.0]]),
            "hardly ever observed together",
        ),
        (np.array([[1.0, 2.0], [2.0, 1.0], [3.0, NAN]]), "3 rows cannot determine"),
        (
            np.column_stack([np.arange(20.0), 2 * np.arange(20.0), np.r_[np.arange(19.0) % 3, NAN]]),
            "singular",
        ),
        (np.array([[1.0], [NAN]]), "2 to"),
        (np.array([[1.0, np.inf], [NAN, 2.0]]), "infinite"),
    ],
)
def test_little_is_refused_where_it_is_not_defined(values, said):
    with pytest.raises(Refusal, match=said):
        little_test(values, [f"v{k}" for k in range(values.shape[1])])


SCHEMAS = {
    "variables": MISSING_VARIABLES,
    "patterns": MISSING_PATTERNS,
    "dropout": DROPOUT,
    "cohorts": COHORT_MEANS,
    "leaving": DROPOUT_MODEL,
    "map": MISSINGNESS_MAP,
    "anova": REPEATED_ANOVA,
}


def test_a_description_is_saved_whole_and_read_again(trial, tmp_path):
    dataset = trial(N=120)
    written = describe_saved(dataset, "y", tmp_path / "missing", Plan(arm="arm"), covariates=["x"])
    found = load_description(tmp_path / "missing")
    assert set(SCHEMAS) == set(TABLES)
    for name, schema in SCHEMAS.items():
        assert found.tables[name].equals(written.tables[name])
        assert conform(found.tables[name], schema).equals(found.tables[name])
        assert found.tables[name].height > 0
    assert found.sentences == written.sentences
    assert found.record["monotone"] is True
    assert found.record["little"]["variables"][-1] == "x"
    assert any("left before the last one without a gap" in said for said in found.sentences)


def test_a_model_names_its_outcome_and_predictors(trial, tmp_path, model):
    formula = "log(y) ~ x * factor(t) + arm + (x | id)"
    written = describe_model_saved(trial(N=60), model(formula), tmp_path / "missing", Plan(arm="arm"))
    assert written.outcome == "y"
    terms = written.tables["leaving"]["term"].to_list()
    assert [term for term in terms if not term.startswith("t ")] == ["(Intercept)", LAST, "armactive", "x"]


def test_without_time_the_map_is_of_variables_and_the_reason_is_kept(study):
    columns = {"id": ["a", "a", "b", "b"], "x": [1.0, None, 2.0, 3.0], "y": [1.0, 2.0, 3.0, 4.0]}
    dataset = study(columns, {"x": "continuous", "y": "continuous"}, time=None)
    found = describe_missing(dataset, "y")
    assert found.tables["map"]["over"].unique().to_list() == ["variables"]
    assert found.tables["dropout"].height == 0
    assert "names no time" in found.record["why"]["schedule"]
    assert "3 of 4 rows are complete" in found.sentences[0]


def test_tests_of_numbers_are_not_made_of_categories(study):
    columns = {
        "id": ["a", "a", "b", "b", "c"],
        "t": [0.0, 1.0, 0.0, 1.0, 0.0],
        "y": ["u", "v", "v", "u", "w"],
    }
    found = describe_missing(study(columns, {"t": "continuous", "y": "categorical"}), "y")
    assert found.record["little"] is None
    assert found.record["anova"] is None
    assert "y is categorical" in found.record["why"]["anova"]


def test_arms_are_in_the_order_of_their_levels_and_unknown_last(trial):
    dataset = trial(N=60)
    frame = dataset.frame.with_columns(
        arm=pl.when(pl.col("id").cast(pl.String) != "s0").then("arm").cast(pl.Enum(["active", "control"]))
    )
    found = describe_missing(replace(dataset, frame=frame), "y", Plan(arm="arm"))
    arms = found.tables["dropout"]["arm"].unique(maintain_order=True).to_list()
    assert arms == ["all", "active", "control", "unknown"]
