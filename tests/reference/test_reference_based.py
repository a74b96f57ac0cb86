"""Reference-based imputation at conditional means against nlme's gls and definitions written out in R.

The same REML criterion is maximised here by EM to a change of 1e-9 and there by nlminb, whose optimum is good
to about 1e-6 of a covariance: 1e-4 relative for estimates, 1e-3 for standard errors of the jackknife, each
fit of which ends on its own tolerance.
"""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nestwise.imputation.arm_contrasts import Trial, jackknife_contrasts
from nestwise.imputation.intercurrent import last_seen
from nestwise.imputation.reference import Plan
from nestwise.imputation.repeated import RepeatedData, fit_repeated

EXPECTED = json.loads((Path(__file__).parent / "reference_based" / "expected.json").read_text())
VISITS = (2, 3, 5, 8)
TRIAL = Trial("beat_the_blues", "m", "bdi", ("TAU", "BtheB"), tuple(map(str, VISITS)), (0, 1, 2, 3))


@pytest.fixture(scope="module")
def data():
    frame = pl.read_csv("src/nestwise/data/datasets/beat_the_blues.csv", null_values="NA")
    subjects = frame.unique("patient", maintain_order=True)
    wide = frame.pivot("month", index="patient", values="bdi", maintain_order=True)
    Y = wide.select(map(str, VISITS)).to_numpy().astype(float)
    arm = (subjects["treatment"] == "BtheB").to_numpy().astype(np.int64)
    return RepeatedData(Y, arm, subjects["bdi_pre"].to_numpy().astype(float)[:, None], True)


def test_the_model_of_the_visits_is_that_of_gls(data):
    at = fit_repeated(data)
    np.testing.assert_allclose(at.Sigma[0], EXPECTED["Sigma"], rtol=1e-4)
    visit, arm, base = np.array(EXPECTED["beta"]).T
    np.testing.assert_allclose(at.B, [visit, visit + arm, base], rtol=1e-4)


@pytest.mark.parametrize("strategy", EXPECTED["strategies"])
def test_differences_of_the_arms_and_their_jackknife_errors_are_those_of_r(data, strategy):
    plan = Plan(last_seen(data.Y), (strategy,) * len(data.Y), 0)
    fit = jackknife_contrasts(TRIAL, data, plan)
    expected = EXPECTED["strategies"][strategy]
    np.testing.assert_allclose([row.estimate for row in fit.estimates], expected["estimate"], rtol=1e-4)
    np.testing.assert_allclose([row.std_error for row in fit.estimates], expected["std_error"], rtol=1e-3)
