"""An MMRM of 200 patients and four visits, a third of the outcomes missing, against SAS PROC MIXED.

The numbers are published (see the case's expected.json). Tolerances: SAS's deviances lie up to 3e-5 above the
optimum, which is 3e-3 standard errors in the estimates; it prints four decimals and whole degrees of freedom;
the data are printed to five decimals, which leaves 1e-5 in the deviance.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from nestwise.config.study import Model, Study
from nestwise.data.contract import validate
from nestwise.data.prepare import prepare
from nestwise.data.read import read
from nestwise.engines import fit_model

FOLDER = Path(__file__).parent / "fev"
SAID = json.loads((FOLDER / "expected.json").read_text())
LEVELS = {
    "ARMCD": ["PBO", "TRT"],
    "AVISIT": ["VIS1", "VIS2", "VIS3", "VIS4"],
    "RACE": ["Asian", "Black or African American", "White"],
    "SEX": ["Male", "Female"],
}
CASES = [
    (name, df)
    for name, case in SAID["arm"].items()
    for df in ("satterthwaite", "kenward_roger", "kenward_roger_linear")
    if df in case
]


@pytest.fixture(scope="module")
def fit():
    study = Study.model_validate(
        {
            "title": "fev",
            "data": {"source": "data.csv"},
            "groups": {"USUBJID": {}},
            "variables": {name: {"type": "categorical", "levels": levels} for name, levels in LEVELS.items()},
            "models": {"m": {"formula": "y ~ 1"}},
        }
    )
    typed = read(FOLDER / "data.csv", study.data, study.variables, study.groups, study.time)
    validation = validate(typed, study, source="data.csv")
    dataset = prepare(typed, validation, "fev", study.groups, study.time, study.derive)

    def fitted(formula, residual, df="satterthwaite"):
        model = Model(formula=formula, residual={"time": "AVISIT"} | residual, df=df)
        result = fit_model(dataset, "m", model, "lmm")
        assert result.status == "ok", result.reason
        return result

    return fitted


def rows(fit, component):
    return {row.term: row for row in fit.estimates if row.component == component}


@pytest.mark.parametrize(("name", "df"), CASES)
def test_structures_and_degrees_of_freedom(fit, name, df):
    case = SAID["arm"][name]
    found = fit("FEV1 ~ ARMCD", case["residual"], df)
    if "deviance" in case:
        assert -2 * found.log_likelihood == pytest.approx(case["deviance"], abs=5e-5)
    said = case[df]
    fixed = list(rows(found, "fixed").values())
    for row, beta, std_error, degrees in zip(fixed, said["beta"], said["std_error"], said["df"], strict=True):
        if beta is None:  # SAS's file has the difference of the arms only
            continue
        assert row.estimate == pytest.approx(beta, abs=3e-3 * std_error)
        assert row.std_error == pytest.approx(std_error, abs=1.5e-4)
        assert row.df == pytest.approx(degrees, abs=0.51 if isinstance(degrees, int) else 0.05)


@pytest.mark.parametrize("name", SAID["arm"])
def test_covariance_parameters(fit, name):
    case = SAID["arm"][name]
    found = rows(fit("FEV1 ~ ARMCD", case["residual"]), "residual")
    if "sigma2" in case:
        assert found["sigma"].estimate ** 2 == pytest.approx(case["sigma2"], rel=1e-4)
    if "rho" in case:
        assert found["rho"].estimate == pytest.approx(case["rho"], abs=1e-4)
    for term, cor in case.get("cor", {}).items():
        assert found[term].estimate == pytest.approx(cor, abs=3e-4)


def test_the_model_of_the_trial(fit):
    said = SAID["trial"]
    found = fit(said["formula"], {"structure": "unstructured"})
    assert -2 * found.log_likelihood == pytest.approx(said["deviance"], abs=5e-5)
    fixed = rows(found, "fixed")
    for term, (beta, std_error, df) in said["satterthwaite"].items():
        assert fixed[term].estimate == pytest.approx(beta, abs=1e-3 * std_error)
        assert fixed[term].std_error == pytest.approx(std_error, abs=2e-4)
        assert fixed[term].df == pytest.approx(df, abs=0.51)
    covariance = np.array(found.record["residual"]["strata"][0]["covariance"])
    for pair, value in said["covariance"].items():
        a, b = (LEVELS["AVISIT"].index(visit) for visit in pair.split(","))
        assert covariance[a, b] == pytest.approx(
            value, abs=5e-4 * np.sqrt(covariance[a, a] * covariance[b, b])
        )
    tests = {test.term: test for test in found.tests}
    for term, (df_num, df_den, statistic) in said["tests"].items():
        assert tests[term].df_num == df_num
        assert tests[term].df_den == pytest.approx(df_den, abs=0.51)
        assert tests[term].statistic == pytest.approx(statistic, abs=0.0075)


def test_a_covariance_for_each_arm(fit):
    said = SAID["arms"]
    found = fit(said["formula"], said["residual"])
    assert -2 * found.log_likelihood == pytest.approx(said["deviance"], abs=5e-5)
    (row,) = rows(found, "fixed").values()
    beta, std_error, df = said["fixed"]
    assert row.estimate == pytest.approx(beta, abs=1e-3 * std_error)
    assert row.std_error == pytest.approx(std_error, abs=1e-4)
    assert row.df == pytest.approx(df, abs=0.51)
    residual = rows(found, "residual")
    for arm, variances in said["variance"].items():
        for visit, variance in zip(LEVELS["AVISIT"], variances, strict=True):
            assert residual[f"sigma[{arm}:{visit}]"].estimate ** 2 == pytest.approx(variance, rel=1e-3)
        for lag, cor in enumerate(said["correlation"][arm], start=1):
            assert residual[f"cor[{arm}:lag {lag}]"].estimate == pytest.approx(cor, abs=3e-4)
