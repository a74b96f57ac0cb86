"""Weights for drop-out after the gaps of those who came back were imputed (rule 18)."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from nestwise.config import sections
from nestwise.config.study import Model
from nestwise.data.dataset import VariableInfo
from nestwise.engines import fit_model
from nestwise.imputation.draws import load_draws
from nestwise.impute.impute import imputations
from nestwise.missing.patterns import attendance
from nestwise.missing.schedule import schedule
from nestwise.strategies.gaps import save_gaps
from nestwise.strategies.weighted import followed

GEE = {"formula": "y ~ x + arm * t + (1 | id)", "engines": ["gee"], "correlation": "independence"}
IMPUTE = {"weights": {"gaps": "impute"}}


@pytest.fixture(scope="module")
def back(trial):
    return trial(back=True)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    def draw(dataset, study):
        path = tmp_path_factory.mktemp("draws") / "m.npz"
        save_gaps(dataset, "m", sections.draw_section(study, "m", 3), path)
        return load_draws(path)

    return draw


def patterns(dataset):
    return attendance(schedule(dataset).observed(["y"]))


def test_without_gaps_the_weights_are_those_of_the_data_as_they_are(dropout, study_of, answer):
    plain = answer(dropout, study_of(GEE), "wgee", "gee")
    imputed = answer(dropout, study_of(GEE, **IMPUTE), "wgee", "gee")
    assert imputed.estimates == plain.estimates
    assert imputed.method == plain.method
    assert imputed.record == plain.record


@pytest.mark.parametrize("doubly_robust", [False, True])
def test_gaps_are_imputed_and_drop_out_is_weighted(back, study_of, answer, doubly_robust):
    keys = GEE | {"formula": "y ~ arm * t + (1 | id)"} if doubly_robust else GEE
    weights = {"weights": {"gaps": "impute", "doubly_robust": doubly_robust}}
    fit = answer(back, study_of(keys, **weights), "wgee", "gee")
    assert (fit.status.value, fit.reason, fit.strategy) == ("ok", None, "wgee")
    assert fit.method.endswith("5 imputations")
    gone = patterns(back)
    missing = int((gone.last + 1).sum() - gone.seen.sum())
    assert f"{gone.count('intermittent')} ids missed a visit and came back" in fit.warnings[0]
    assert f"{missing} values of y were imputed 5 times" in fit.warnings[0]
    (variable,) = fit.record["imputation"]["variables"]
    assert (variable["variable"], variable["gaps"], variable["drawn"]) == ("y", missing, missing)
    assert len(fit.record["pooling"]["terms"]) >= 4
    assert fit.n_obs == back.frame.collect().height + missing


def test_the_record_keeps_the_diagnostics_of_the_weights(back, study_of, answer):
    fit = answer(back, study_of(GEE, **IMPUTE), "wgee", "gee")
    weights = fit.record["weights"]
    assert (weights["gaps"], weights["imputations"]) == ("impute", 5)
    everything = weights["by_visit"][-1]
    assert (everything["visit"], everything["n"]) == ("all", fit.n_obs)
    assert everything["smallest"] <= everything["mean"] <= everything["largest"]
    leaving = weights["denominator"]
    assert len(leaving["terms"]) == len(leaving["log_odds_of_staying"]) == len(leaving["std_error"])
    assert all(error > 0 for error in leaving["std_error"])
    assert {"weights_effective", "weights_mean", "imputation_chains"} <= {each.check for each in fit.checks}
    assert len({"".join(c for c in text if not c.isdigit()) for text in fit.warnings}) == len(fit.warnings)


def test_what_follows_the_last_visit_stays_missing(back, study_of, drawn):
    study = study_of(GEE, **IMPUTE)
    found = followed(back, study.models["m"], None, drawn(back, study))
    before = patterns(back)
    for completed in imputations(found.dataset, found.draws, (1, 4)):
        after = patterns(completed)
        assert after.monotone
        np.testing.assert_array_equal(after.last, before.last)
        frame = completed.frame.collect().join(back.frame.collect(), on=".row")
        assert frame["y"].equals(frame["y_right"])


def test_covariates_are_imputed_where_somebody_was_followed(back, study_of, answer):
    """z varies from visit to visit and lacks every tenth value: without imputation these rows are gaps."""
    rng = np.random.default_rng(2)
    frame = back.frame.collect()
    z = pl.Series("z", [None if k % 10 == 3 else v for k, v in enumerate(rng.normal(size=frame.height))])
    variables = dict(back.variables) | {"z": VariableInfo("z", "continuous", declared=True)}
    data = replace(back, frame=frame.with_columns(z).lazy(), variables=variables)
    keys = GEE | {"formula": "y ~ z + arm * t + (1 | id)"}
    fit = answer(data, study_of(keys, **IMPUTE), "wgee", "gee")
    assert (fit.status.value, fit.reason) == ("ok", None)
    gone = patterns(data)
    absent = int((gone.last + 1).sum() - gone.seen.sum())
    gaps = {each["variable"]: each["gaps"] for each in fit.record["imputation"]["variables"]}
    assert gaps == {"y": absent, "z": absent + z.null_count()}


def test_visits_may_have_times_of_their_own(back, study_of, answer):
    """Times differ from subject to subject, so that a column counts the visits; absent ones stand between."""
    rng = np.random.default_rng(4)
    frame = back.frame.with_columns(pl.col("t").cast(pl.Int64).alias("visit")).collect()
    late = pl.Series("t", frame["t"].to_numpy() + rng.uniform(0, 0.9, frame.height))
    variables = dict(back.variables) | {"visit": VariableInfo("visit", "count", declared=True)}
    data = replace(back, frame=frame.with_columns(late).lazy(), variables=variables)
    study = study_of(GEE, **IMPUTE)
    for label in ("wgee", "delta-1"):
        fit = answer(data, study, label, "gee")
        assert (fit.status.value, fit.reason) == ("ok", None)


def test_the_refusal_names_the_way_to_impute(back, study_of, answer):
    fit = answer(back, study_of(GEE), "wgee", "gee")
    assert fit.status.value == "refused"
    assert "`gaps: impute`" in fit.reason


def test_what_cannot_be_imputed_is_refused_with_the_reason(back, study_of, answer):
    empty = replace(back, frame=back.frame.with_columns(x=pl.lit(None, dtype=pl.Float64)))
    fit = answer(empty, study_of(GEE, **IMPUTE), "wgee", "gee")
    assert fit.status.value == "refused"
    assert "x has no value" in fit.reason
    assert "missing.weights.gaps" in fit.reason


def test_one_imputation_is_refused(back, study_of, answer):
    fit = answer(back, study_of(GEE, imputations=1, **IMPUTE), "wgee", "gee")
    assert fit.status.value == "refused"
    assert "one imputation" in fit.reason


def test_it_recovers_what_unweighted_equations_lose(study_of, answer, fixed, simulated):
    """2,500 subjects miss visits, and leave, by what was seen of them last.

    Weighted, every coefficient is within 3.5 standard errors of the truth; unweighted, that of time is not.
    """
    data, truth = simulated(2500)
    keys = GEE | {"formula": "y ~ arm * t + (1 | id)"}
    fit = answer(data, study_of(keys, **IMPUTE), "wgee", "gee")
    error = {row.term: row.std_error for row in fit.estimates if row.component == "fixed"}
    apart = {term: (value - truth[term]) / error[term] for term, value in fixed(fit).items()}
    assert max(map(abs, apart.values())) < 3.5, apart
    plain = fit_model(data, "m", Model.model_validate(keys), "gee")
    assert abs(fixed(plain)["t"] - truth["t"]) > 5 * error["t"]


@pytest.fixture(scope="module")
def simulated(trial):
    """N subjects at four visits; whether somebody misses the next, or leaves, depends on what was seen."""

    def build(N):
        rng = np.random.default_rng(5)
        arm, u, T = np.arange(N) % 2, rng.normal(size=N), 4
        t = np.arange(T)
        y = (0.2 - 0.3 * arm[:, None]) * t + u[:, None] + rng.normal(size=(N, T))
        seen, there, last = np.ones((N, T), dtype=bool), np.ones(N, dtype=bool), y[:, 0].copy()
        for visit in range(1, T):
            there &= rng.random(N) < 1 / (1 + np.exp(-(2.0 - 1.0 * last)))
            seen[:, visit] = there & (rng.random(N) < 1 / (1 + np.exp(-(2.0 - 0.5 * last))))
            last = np.where(seen[:, visit], y[:, visit], last)
        who, when = np.nonzero(seen)
        frame = pl.DataFrame(
            {
                ".row": np.arange(1, who.size + 1),
                "id": pl.Series([f"s{k}" for k in who]),
                "arm": pl.Series([("control", "active")[a] for a in arm[who]]),
                "t": when.astype(float),
                "y": y[who, when],
            }
        )
        frame = frame.with_columns(
            pl.col("id").cast(pl.Enum([f"s{k}" for k in range(N)])),
            pl.col("arm").cast(pl.Enum(["control", "active"])),
        )
        truth = {"(Intercept)": 0.0, "armactive": 0.0, "t": 0.2, "armactive:t": -0.3}
        return replace(trial(), frame=frame.lazy()), truth

    return build
