"""The trial of the gallery against nlme, lme4, pbkrtest and emmeans (beat_the_blues/make.R; rules 4, 8).

The models are those of the study file. Tolerances: log-likelihoods 1e-5 absolute; means, differences and
covariance parameters 2e-4 relative, for two optimisers on one surface, of which nlme's stops where the
deviance changes by 1e-7. Degrees of freedom of Kenward and Roger: 1e-3 relative, since pbkrtest
differentiates at lme4's optimum.
"""

import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nestwise.compare.models import compare_models
from nestwise.compare.structures import structure_of
from nestwise.config.load import load_study
from nestwise.data.bundled import DATASETS
from nestwise.data.contract import validate
from nestwise.data.prepare import prepare
from nestwise.data.read import read
from nestwise.data.source import locate
from nestwise.engines import fit_model
from nestwise.results import estimates_frame, fits_frame

HERE = Path(__file__).parent
EXPECTED = json.loads((HERE / "beat_the_blues" / "expected.json").read_text())
STUDY = HERE.parents[1] / "config" / "studies" / "beat_the_blues.yaml"


@pytest.fixture(scope="module")
def study():
    return load_study(STUDY).study


@pytest.fixture(scope="module")
def fits(study):
    path = locate(study.data.source, STUDY, ())
    typed = read(path, study.data, study.variables, study.groups, study.time)
    dataset = prepare(
        typed,
        validate(typed, study, source=path.name),
        "beat_the_blues",
        study.groups,
        study.time,
        study.derive,
    )
    kept = {}

    def fitted(name, df):
        if (name, df) not in kept:
            model = study.models[name].model_copy(update={"df": df, "robust": None})
            kept[name, df] = fit_model(dataset, name, model, "lmm")
        return kept[name, df]

    return fitted


def numbers(fit, kind, column):
    return fit.means.filter(pl.col("kind") == kind)[column].to_numpy()


def test_the_trial_is_the_one_that_r_analysed():
    content = (DATASETS / "beat_the_blues.csv").read_bytes()
    assert sha256(content).hexdigest() == EXPECTED["sha256"]


@pytest.mark.parametrize("name", EXPECTED["fits"])
def test_the_likelihood_and_the_aic(fits, name):
    fit, said = fits(name, "satterthwaite"), EXPECTED["fits"][name]
    assert fit.n_obs == EXPECTED["rows"]
    assert fit.log_likelihood == pytest.approx(said["log_likelihood"], abs=1e-5)
    assert fit.n_parameters == said["n_parameters"]
    assert fit.aic == pytest.approx(said["aic"], abs=2e-5)


@pytest.mark.parametrize("name", EXPECTED["fits"])
def test_means_and_differences_of_the_arms(fits, name):
    """Kenward and Roger correct the standard errors: those of gls are held against the uncorrected ones."""
    df = "kenward_roger" if name == "random_intercept" else "satterthwaite"
    fit, said = fits(name, df), EXPECTED["fits"][name]
    for kind, part, value in (("mean", "means", "emmean"), ("contrast", "differences", "estimate")):
        theirs = said[part]
        assert fit.means.filter(pl.col("kind") == kind)["x"].to_list() == theirs["months"]
        errors = np.array(theirs["SE"])
        assert np.abs(numbers(fit, kind, "estimate") - theirs[value]) == pytest.approx(0, abs=2e-4)
        assert numbers(fit, kind, "std_error") == pytest.approx(errors, rel=2e-4)
        if df == "kenward_roger":
            assert numbers(fit, kind, "df") == pytest.approx(np.array(theirs["df"]), rel=1e-3)
    if df == "kenward_roger":
        p_values = np.array(said["differences"]["p.value"])
        assert numbers(fit, "contrast", "p_value") == pytest.approx(p_values, rel=1e-3)


@pytest.mark.parametrize("name", ["mmrm", "ar1"])
def test_the_covariance_of_the_visits(fits, name):
    said = EXPECTED["fits"][name]
    residual = fits(name, "satterthwaite").record["residual"]
    stratum = residual["strata"][0]
    assert stratum["sd"] == pytest.approx(said["sd"], rel=2e-4)
    matrix = np.array(stratum["correlation"])
    if name == "mmrm":
        assert matrix[np.triu_indices(4, 1)] == pytest.approx(np.array(said["correlation"]), abs=2e-4)
    else:
        months = np.array([2.0, 3.0, 5.0, 8.0])
        apart = np.abs(months[:, None] - months)
        assert matrix == pytest.approx(said["correlation"] ** apart, abs=2e-4)


def test_kenward_and_roger_change_errors_and_not_estimates(fits):
    plain, corrected = fits("mmrm", "satterthwaite"), fits("mmrm", "kenward_roger")
    for kind in ("mean", "contrast"):
        assert numbers(corrected, kind, "estimate") == pytest.approx(numbers(plain, kind, "estimate"))
        assert (numbers(corrected, kind, "std_error") > numbers(plain, kind, "std_error")).all()
        assert (numbers(corrected, kind, "df") < 100).all()


def test_the_likelihood_ratio_of_two_covariances_is_that_of_anova(fits):
    both = [fits(name, "satterthwaite") for name in ("mmrm", "ar1")]
    rows = pl.concat([fits_frame(fit) for fit in both])
    estimates = pl.concat([estimates_frame(fit) for fit in both])
    designs = {fit.model: {"residual": fit.record["residual"]} for fit in both}
    structures = {name: structure_of(design) for name, design in designs.items()}
    (test,) = compare_models(rows, estimates, ["mmrm", "ar1"], structures).tests
    said = EXPECTED["ratio"]
    assert (test.large, test.small, test.df) == ("mmrm", "ar1", said["df"])
    assert test.statistic == pytest.approx(said["statistic"], abs=2e-5)
    assert test.p_value == pytest.approx(said["p_value"], rel=1e-4)
