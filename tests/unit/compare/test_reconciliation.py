"""Conditional and marginal answers of fitted studies: agreement, intervals, reasons and refusals."""

import numpy as np
import polars as pl
import pytest
from scipy.special import expit

from nestwise.compare.disagreement import influences
from nestwise.compare.dropout import Dropout, dropout_model
from nestwise.compare.effects import Effects, conditional_effects, refuse_irreconcilable
from nestwise.compare.integrated import integrated
from nestwise.compare.marginalised import averaged
from nestwise.compare.saved import reconcile_saved
from nestwise.design.build import build_design
from nestwise.errors import Refusal
from nestwise.results import load_record
from nestwise.vocabulary import RECONCILIATION

FORMULA = "y ~ arm + t + (1 | g)"


def reconciled(fitted):
    return reconcile_saved(fitted.folders, fitted.dataset, fitted.section)


def kind(table, name):
    return table.filter(pl.col("kind") == name)


@pytest.fixture
def binary(fitted, trial):
    found = fitted(trial(), FORMULA, family="binomial", time="t")
    return found, reconciled(found)


def conditional(found):
    folder = found.folders[0]
    design = build_design(found.dataset, "m", found.model)
    fit = pl.read_parquet(folder / "fits.parquet").row(0, named=True)
    rows = pl.read_parquet(folder / "estimates.parquet").filter(pl.col("component") == "fixed")
    return design, conditional_effects(
        fit, load_record(folder), dict(rows.select("term", "estimate").rows()), design
    )


def test_the_three_answers_to_every_term_stand_in_one_row(binary):
    found, table = binary
    rows = kind(table, "coefficient")
    assert table.schema == dict(RECONCILIATION)
    assert rows["term"].to_list() == ["(Intercept)", "armdrug", "t"]
    for engine, column in (("glmm", "conditional"), ("gee", "marginal")):
        place = 0 if engine == "glmm" else 1
        own = pl.read_parquet(found.folders[place] / "estimates.parquet").filter(
            pl.col("component") == "fixed"
        )
        assert rows[column].to_list() == own["estimate"].to_list()
        assert rows[f"{column}_se"].to_numpy() == pytest.approx(own["std_error"].to_numpy(), rel=1e-10)
    # rule 13: between the raw answers lies the attenuation, and almost nothing is left after it
    assert rows["attenuation"].to_numpy() == pytest.approx(rows["attenuation_rule"].to_numpy(), rel=0.1)
    assert (rows["left"].abs() < 0.05).all()
    assert set(rows["verdict"]) == {"agrees"}


def test_delta_method_errors_are_those_of_numerical_derivatives(binary):
    design, effects = conditional(binary[0])
    found = integrated(design, effects)

    def coefficients(theta):
        mu = averaged("logit", design.X @ theta[:3], np.full(design.n, theta[3])).mu
        return np.linalg.lstsq(design.X, np.log(mu / (1 - mu)), rcond=None)[0]

    theta = np.append(effects.beta, effects.Sigma[0, 0])
    h = 1e-5
    columns = [(coefficients(theta + h * e) - coefficients(theta - h * e)) / (2 * h) for e in np.eye(4)]
    assert found.by_parameters == pytest.approx(np.column_stack(columns), rel=1e-5, abs=1e-7)
    assert found.beta == pytest.approx(coefficients(theta), rel=1e-9)


def test_standardised_means_are_averages_of_integrated_predictions(binary):
    found, table = binary
    _, effects = conditional(found)
    rows = kind(table, "mean").filter((pl.col("x") == 2) & (pl.col("by") == "drug"))
    eta = effects.beta @ [1, 1, 2]
    draws = np.random.default_rng(0).normal(size=400_000) * np.sqrt(effects.Sigma[0, 0])
    assert rows["conditional"].item() == pytest.approx(expit(eta), rel=1e-9)
    assert rows["integrated"].item() == pytest.approx(expit(eta + draws).mean(), abs=3e-3)
    assert (
        0 < rows["integrated_lower"].item() < rows["integrated"].item() < rows["integrated_upper"].item() < 1
    )


def test_risk_differences_and_ratios_follow_from_the_means(binary):
    table = binary[1]
    at = pl.col("x") == 1
    drug, control = (kind(table, "mean").filter(at & (pl.col("by") == arm)) for arm in ("drug", "control"))
    for name in ("conditional", "integrated", "marginal"):
        difference = kind(table, "difference").filter(at)[name].item()
        assert difference == pytest.approx(drug[name].item() - control[name].item(), rel=1e-12)
        ratio = kind(table, "ratio").filter(at)[name].item()
        assert ratio == pytest.approx(drug[name].item() / control[name].item(), rel=1e-12)
    assert set(kind(table, "difference")["scale"]) == {"risk_difference"}


def influences_of(found, table_of_effects):
    design, effects = table_of_effects
    points = load_record(found.folders[0])["optimisation"]["points"]
    return design, influences(design, found.model, effects, integrated(design, effects), points)


def test_influences_sum_to_nothing_and_their_squares_to_the_robust_covariance(binary):
    _, both = influences_of(binary[0], conditional(binary[0]))
    for each in (both.marginal, both.integrated):
        assert each.shape == (120, 3)
        assert np.abs(each.sum(axis=0)).max() < 1e-3 * np.sqrt((each**2).sum(axis=0)).min()
    # LZ is the default of 120 clusters
    robust = kind(binary[1], "coefficient")["marginal_se"].to_numpy()
    assert np.sqrt((both.marginal**2).sum(axis=0)) == pytest.approx(robust, rel=1e-6)


@pytest.mark.parametrize("group", ["g3", "g40"])
def test_an_influence_is_what_a_group_seen_twice_adds(fitted, trial, group):
    frame = trial(n=300, seed=3, leave=lambda y: 0.2)
    found = fitted(frame, FORMULA, family="binomial")
    before = kind(reconciled(found), "coefficient")
    design, both = influences_of(found, conditional(found))
    j = design.random[0].labels.index(group)
    twice = pl.concat([frame, frame.filter(pl.col("g") == group).with_columns(g=pl.lit("again"))])
    after = kind(reconciled(fitted(twice, FORMULA, family="binomial")), "coefficient")
    for name, each in (("marginal", both.marginal), ("integrated", both.integrated)):
        moved = after[name].to_numpy() - before[name].to_numpy()
        assert moved == pytest.approx(each[j], rel=0.05, abs=0.02 * np.abs(each[j]).max())


def test_with_an_identity_link_mixed_model_and_equations_agree_and_say_so(fitted):
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(60), 5)
    x = rng.normal(size=300)
    y = 2 + 0.7 * x + rng.normal(size=60)[g] + rng.normal(size=300)
    frame = pl.DataFrame({"g": [f"g{j}" for j in g], "x": x, "y": y})
    table = reconciled(fitted(frame, "y ~ x + (1 | g)", ("lmm", "gee")))
    rows = kind(table, "coefficient")
    assert rows["attenuation"].to_list() == pytest.approx([1, 1])
    assert rows["integrated"].to_list() == pytest.approx(rows["conditional"].to_list(), rel=1e-12)
    assert (rows["left_in_se"].abs() < 0.1).all()
    link = kind(table, "reason").filter(pl.col("term") == "link")
    assert "one question" in link["reason"].item()


def test_rate_ratios_are_the_same_for_one_group_and_for_the_average_and_offsets_are_exposure(fitted):
    rng = np.random.default_rng(9)
    g = np.repeat(np.arange(80), 4)
    x, hours = rng.integers(0, 2, 320).astype(float), rng.uniform(1, 5, 320)
    y = rng.poisson(hours * np.exp(0.2 + 0.5 * x + rng.normal(0, 0.7, 80)[g])).astype(float)
    frame = pl.DataFrame({"g": [f"g{j}" for j in g], "x": x, "hours": hours, "y": y})
    found = fitted(frame, "y ~ x + offset(log(hours)) + (1 | g)", family="poisson")
    table = reconciled(found)
    intercept, slope = kind(table, "coefficient").to_dicts()
    s2 = load_record(found.folders[0])["Sigma"][0][0]
    assert slope["integrated"] == pytest.approx(slope["conditional"], rel=1e-9)
    assert slope["attenuation"] == pytest.approx(1)
    assert intercept["integrated"] == pytest.approx(intercept["conditional"] + s2 / 2, rel=1e-9)
    assert intercept["attenuation"] is None
    # a rate, per hour: the offset is left out
    at = kind(table, "mean").filter(pl.col("by") == "1").row(0, named=True)
    assert at["scale"] == "rate"
    assert at["conditional"] == pytest.approx(
        np.exp(intercept["conditional"] + slope["conditional"]), rel=1e-9
    )
    assert kind(table, "ratio")["integrated"].item() == pytest.approx(np.exp(slope["conditional"]), rel=1e-9)


def test_a_random_slope_is_integrated_with_its_covariance(fitted, trial):
    rng = np.random.default_rng(11)
    n, visits = 150, 6
    b = rng.multivariate_normal([0, 0], [[1.0, 0.3], [0.3, 0.5]], n)
    g, t = np.repeat(np.arange(n), visits), np.tile(np.arange(visits) - 2.5, n)
    y = (rng.random(n * visits) < expit(0.3 + 0.6 * t + b[g, 0] + b[g, 1] * t)).astype(int)
    frame = pl.DataFrame({"g": [f"g{j}" for j in g], "t": t, "y": y})
    found = fitted(frame, "y ~ t + (t | g)", family="binomial", time="t")
    design, effects = conditional(found)
    assert effects.places == ((0, 0), (1, 0), (1, 1))
    draws = rng.multivariate_normal([0, 0], effects.Sigma, 400_000)
    at = kind(reconciled(found), "mean").filter(pl.col("x") == 2.5).row(0, named=True)
    eta = effects.beta @ [1, 2.5]
    assert at["integrated"] == pytest.approx(expit(eta + draws @ [1, 2.5]).mean(), abs=3e-3)

    def coefficients(theta):
        s2 = theta[2] + 2 * theta[3] * t + theta[4] * t**2
        mu = averaged("logit", design.X @ theta[:2], s2).mu
        return np.linalg.lstsq(design.X, np.log(mu / (1 - mu)), rcond=None)[0]

    S = effects.Sigma
    theta, h = np.array([*effects.beta, S[0, 0], S[1, 0], S[1, 1]]), 1e-5
    columns = [(coefficients(theta + h * e) - coefficients(theta - h * e)) / (2 * h) for e in np.eye(5)]
    assert integrated(design, effects).by_parameters == pytest.approx(
        np.column_stack(columns), rel=1e-4, abs=1e-6
    )


def test_leaving_after_a_bad_outcome_is_found_and_leaving_by_chance_is_not(fitted, trial):
    for leave, verdict in ((lambda y: 0.5 if y else 0.05, "likely"), (lambda y: 0.15, "unlikely")):
        found = fitted(trial(n=200, seed=8, leave=leave), FORMULA, family="binomial", time="t")
        rows = kind(reconciled(found), "reason")
        assert rows.filter(pl.col("term") == "missingness")["verdict"].item() == verdict


def test_the_model_of_leaving_finds_its_odds_ratio(trial, fitted):
    # leaving with probability 0.4 after an event and 0.1 without: odds ratio 6
    found = fitted(
        trial(n=1500, seed=4, leave=lambda y: 0.4 if y else 0.1), FORMULA, ("gee",), family="binomial"
    )
    design = build_design(found.dataset, "m", found.model)
    times = found.dataset.frame.select("t").collect()["t"].to_numpy()
    model = dropout_model(design, times, "patient")
    assert isinstance(model, Dropout)
    assert model.estimate == pytest.approx(np.log(6), abs=3 * model.std_error)
    assert model.std_error < 0.15


def test_a_study_without_time_or_without_leavers_says_so(trial, fitted):
    found = fitted(trial(n=40), FORMULA, ("gee",), family="binomial")
    design = build_design(found.dataset, "m", found.model)
    assert "names no time" in dropout_model(design, None, "g")
    times = found.dataset.frame.select("t").collect()["t"].to_numpy()
    assert "nobody left" in dropout_model(design, times, "g")


def test_a_cluster_whose_size_goes_with_its_outcomes_is_found(fitted):
    rng = np.random.default_rng(6)
    rows = []
    for j in range(200):
        b = rng.normal(0, 1.5)
        rows += [(f"g{j}", rng.normal(), int(rng.random() < expit(b))) for _ in range(2 if b > 0 else 7)]
    frame = pl.DataFrame(rows, schema=["g", "x", "y"], orient="row")
    table = reconciled(fitted(frame, "y ~ x + (1 | g)", family="binomial"))
    row = kind(table, "reason").filter(pl.col("term") == "cluster_size").row(0, named=True)
    assert row["verdict"] == "likely"
    assert row["statistic"] < -3


def test_fits_of_other_rows_are_refused_with_a_sentence_and_leave_no_number(fitted, trial):
    found = fitted(trial(n=60), FORMULA, family="binomial")
    fits = pl.read_parquet(found.folders[1] / "fits.parquet")
    fits.with_columns(analysis_hash=pl.lit("other")).write_parquet(found.folders[1] / "fits.parquet")
    table = reconciled(found)
    assert table["kind"].to_list() == ["refused"]
    assert "different rows" in table["reason"].item()
    assert table["conditional"].item() is None


def effects(**given):
    usual = {
        "model": "m", "engine": "glmm", "method": "AGQ(9)", "status": "ok", "link": "logit",
        "analysis_hash": "a", "n_obs": 10, "names": ("x",), "beta": np.ones(1), "covariance": np.eye(1),
        "df": None, "Sigma": np.empty((0, 0)),
    }  # fmt: skip
    return Effects(**usual | given)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"analysis_hash": "b", "n_obs": 9}, "different rows"),
        ({"link": "probit"}, "links differ"),
        ({"names": ("z",)}, "no term in common"),
    ],
)
def test_what_cannot_be_reconciled_is_refused(given, sentence):
    with pytest.raises(Refusal, match=sentence):
        refuse_irreconcilable(effects(), effects(engine="gee", **given))


def test_all_problems_are_told_at_once():
    with pytest.raises(Refusal) as refused:
        refuse_irreconcilable(effects(), effects(engine="gee", link="log", names=("z",), analysis_hash="b"))
    assert len(refused.value.problems) == 3


def test_a_refused_fit_is_refused(fitted, trial):
    found = fitted(trial(n=60), FORMULA, family="binomial")
    fits = pl.read_parquet(found.folders[1] / "fits.parquet")
    fits.with_columns(status=pl.lit("refused")).write_parquet(found.folders[1] / "fits.parquet")
    assert "has no estimates" in reconciled(found)["reason"].item()
