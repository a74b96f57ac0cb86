"""Summaries with known standard errors against rma of metafor 3.8 (tests/reference/metafor.R).

Both maximise one function of tau: tau 1e-6 of the largest standard error, where metafor stops at 1e-12;
mean, its error, log-likelihood and shrunken effects follow, 1e-6 of their scale. lmm searches by gradients to
its own tolerance: 1e-4 as in test_peers.py. Limits of tau are those of rma.mv's profile likelihood.
Conditional modes of lmm are compared where it is not at zero.
"""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nestwise.config.study import Model
from nestwise.data.bundled import DATASETS
from nestwise.data.dataset import Dataset, VariableInfo
from nestwise.design.build import build_design
from nestwise.fit.empirical_bayes import empirical_bayes
from nestwise.fit.lmm import fit_lmm

HERE = Path(__file__).parent
FILES = {"eight_schools": DATASETS / "eight_schools.csv", "bcg": HERE / "bcg" / "data.csv"}
EXPECTED = {name: json.loads((HERE / name / "expected.json").read_text()) for name in FILES}
FITS = [(case, fit) for case, content in EXPECTED.items() for fit in content["fits"]]


def listed(value):
    return value if isinstance(value, list) else [value]


def numbers(case):
    """Frame, outcome, standard errors."""
    frame, about = pl.read_csv(FILES[case]), EXPECTED[case]["summaries"]
    return frame, frame[about["outcome"]].to_numpy().astype(float), frame[about["sampling_error"]].to_numpy()


def dataset_of(case):
    frame, about = numbers(case)[0], EXPECTED[case]["summaries"]
    frame = frame.with_columns(pl.col(about["group"]).cast(pl.String)).with_row_index(".row", offset=1)
    variables = {name: VariableInfo(name, "continuous", True) for name in frame.columns if name != ".row"}
    return Dataset(case, frame.lazy(), variables, {about["group"]: None})


@pytest.mark.parametrize(("case", "fit"), [(case, fit) for case, fit in FITS if fit != "latitude"])
def test_empirical_bayes_is_that_of_metafor(case, fit):
    said = EXPECTED[case]["fits"][fit]
    _, y, s = numbers(case)
    ours = empirical_bayes(y, s.astype(float), reml=said["reml"])
    size = float(np.max(s))
    assert ours.tau == pytest.approx(said["tau"], abs=1e-6 * size)
    assert [ours.mean, ours.mean_se] == pytest.approx(
        [said["beta"][0], said["std_error"][0]], abs=1e-6 * size
    )
    assert ours.log_likelihood == pytest.approx(said["log_likelihood"], abs=1e-6)
    np.testing.assert_allclose(ours.estimates, said["blup"], atol=1e-6 * size)
    np.testing.assert_allclose(ours.std_errors, said["blup_se"], atol=1e-6 * size)


@pytest.mark.parametrize(("case", "fit"), FITS)
def test_lmm_with_known_errors_is_that_of_metafor(case, fit):
    said, about = EXPECTED[case]["fits"][fit], EXPECTED[case]["summaries"]
    model = Model(formula=said["formula"], reml=said["reml"], sampling_error=about["sampling_error"])
    ours = fit_lmm(build_design(dataset_of(case), fit, model))
    assert str(ours.status) == ("singular" if said["tau"] == 0 else "ok")
    rows = {(row.component, row.term): row for row in ours.estimates}
    for name, beta, error in zip(said["names"], said["beta"], said["std_error"], strict=True):
        assert rows["fixed", name].estimate == pytest.approx(beta, abs=1e-4 * error)
        assert rows["fixed", name].std_error == pytest.approx(error, rel=1e-4)
    tau = rows["sd", "(Intercept)"]
    assert tau.estimate == pytest.approx(said["tau"], rel=1e-4)
    width = said["tau_upper"] - said["tau_lower"]  # profile limits: 2e-3 of the width as in test_peers.py
    assert tau.lower == pytest.approx(said["tau_lower"], abs=2e-3 * width)
    assert tau.upper == pytest.approx(said["tau_upper"], abs=2e-3 * width)
    assert ("residual", "sigma") not in rows  # known, not estimated
    assert ours.log_likelihood == pytest.approx(said["log_likelihood"], abs=1e-5)


def test_a_grid_of_tau_finds_no_better_likelihood():
    """Brute force, independent of the search."""
    from scipy import stats

    for case in FILES:
        _, y, s = numbers(case)
        best = empirical_bayes(y, s.astype(float), reml=False).log_likelihood
        for tau in np.linspace(0, 3 * np.ptp(y), 400):
            w = 1 / (s**2 + tau**2)
            mean = w @ y / w.sum()
            assert stats.norm.logpdf(y, mean, np.sqrt(s**2 + tau**2)).sum() <= best + 1e-9
