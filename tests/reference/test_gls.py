"""Residual covariances against nlme's gls and lme, number by number (rule 8).

Tolerances: log-likelihoods 1e-5 absolute, fixed effects and standard errors 1e-4 of the standard error,
covariance parameters 2e-4 relative: two optimisers on one surface, of which nlme's stops where the deviance
changes by 1e-7.
"""

import importlib.util
import io
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nestwise.config.study import Model, Study
from nestwise.data.contract import validate
from nestwise.data.prepare import prepare
from nestwise.data.read import read
from nestwise.engines import fit_model

HERE = Path(__file__).parent
FITS = json.loads((HERE / "gls" / "expected.json").read_text())["fits"]
GROUPS = {"Orthodont": "Subject", "Ovary": "Mare", "BodyWeight": "Rat", "Dialyzer": "Subject"}
LEVELS = {"Orthodont": {"Sex": ["Male", "Female"]}, "BodyWeight": {"Diet": [1, 2, 3]}}


def dataset_of(name, folder):
    spec = importlib.util.spec_from_file_location("make_data", HERE / "make_data.py")
    make_data = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_data)
    frame = pl.read_csv(io.BytesIO(make_data.csv_bytes("nlme", name)))
    rows = np.arange(1, frame.height + 1)
    path = folder / f"{name}.csv"
    frame.with_columns(pl.Series("w", 1 + (rows % 4) / 2)).write_csv(path)
    variables = {
        key: {"type": "categorical", "levels": levels} for key, levels in LEVELS.get(name, {}).items()
    }
    study = Study.model_validate(
        {
            "title": name,
            "data": {"source": path.name},
            "groups": {GROUPS[name]: {}},
            "variables": variables,
            "models": {"m": {"formula": "y ~ 1"}},
        }
    )
    typed = read(path, study.data, study.variables, study.groups, study.time)
    validation = validate(typed, study, source=path.name)
    return prepare(typed, validation, name, study.groups, study.time, study.derive)


@pytest.fixture(scope="module")
def fits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gls")
    datasets = {name: dataset_of(name, folder) for name in GROUPS}
    kept = {}

    def fitted(name):
        if name not in kept:
            said = FITS[name]
            options = {key: said[key] for key in ("formula", "reml", "residual", "weights")}
            kept[name] = fit_model(datasets[said["dataset"]], name, Model(**options), "lmm")
        return kept[name]

    return fitted


def listed(value):
    return value if isinstance(value, list) else [value]


def lookup(fit, component):
    return {row.term: row for row in fit.estimates if row.component == component}


@pytest.mark.parametrize("name", FITS)
def test_the_likelihood_and_the_fixed_effects_are_those_of_nlme(fits, name):
    fit, said = fits(name), FITS[name]
    assert fit.status == "ok", fit.reason
    assert fit.log_likelihood == pytest.approx(said["log_likelihood"], abs=1e-5)
    assert fit.n_parameters == said["n_parameters"]
    rows = lookup(fit, "fixed")
    for term, beta, std_error in zip(said["terms"], said["beta"], said["std_error"], strict=True):
        assert rows[term].estimate == pytest.approx(beta, abs=1e-4 * std_error)
        assert rows[term].std_error == pytest.approx(std_error, rel=1e-4)


ONE_RHO = [name for name in FITS if FITS[name]["residual"].get("structure") in ("ar1", "compound_symmetry")]


@pytest.mark.parametrize("name", ONE_RHO)
def test_the_correlation_is_that_of_nlme(fits, name):
    rho = (
        next(iter(FITS[name]["correlation"].values()))
        if isinstance(FITS[name]["correlation"], dict)
        else FITS[name]["correlation"][0]
    )
    assert lookup(fits(name), "residual")["rho"].estimate == pytest.approx(rho, rel=2e-4, abs=2e-4)


@pytest.mark.parametrize("name", ["un", "un_ml"])
def test_an_unstructured_covariance_is_that_of_nlme(fits, name):
    said, rows = FITS[name], lookup(fits(name), "residual")
    sds = said["sigma"] * np.array(list(said["variance"].values()))
    ages = ("8", "10", "12", "14")
    for age, sd in zip(ages, sds, strict=True):
        assert rows[f"sigma[{age}]"].estimate == pytest.approx(sd, rel=2e-4)
    pairs = [(a, b) for i, a in enumerate(ages) for b in ages[i + 1 :]]
    for (a, b), cor in zip(pairs, said["correlation"], strict=True):
        assert rows[f"cor[{a},{b}]"].estimate == pytest.approx(cor, abs=2e-4)
    matrix = np.array(fits(name).record["residual"]["strata"][0]["covariance"])
    assert np.sqrt(np.diag(matrix)) == pytest.approx(sds, rel=2e-4)


@pytest.mark.parametrize(
    "name", ["rat_power", "rat_random_power", "dialyzer", "rat_exponential", "dialyzer_exponential"]
)
def test_the_exponent_of_a_variance_function_is_that_of_nlme(fits, name):
    said, rows = FITS[name], lookup(fits(name), "residual")
    exponent = (
        listed(said["variance"])[0]
        if isinstance(said["variance"], list)
        else next(iter(said["variance"].values()))
    )
    kind = next(iter(said["residual"]["variance"]))
    assert rows[kind].estimate == pytest.approx(exponent, rel=2e-4, abs=2e-5)
    assert rows["sigma"].estimate == pytest.approx(said["sigma"], rel=1e-3)


@pytest.mark.parametrize("name", [name for name in FITS if FITS[name]["sd"]])
def test_random_effects_beside_a_residual_covariance_are_those_of_nlme(fits, name):
    rows = lookup(fits(name), "sd")
    for term, sd in FITS[name]["sd"].items():
        assert rows[term].estimate == pytest.approx(sd, rel=5e-4)
