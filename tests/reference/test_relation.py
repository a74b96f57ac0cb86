"""Groups with a known correlation: lme4 1.1 with transformed columns, metafor 3.8 (tests/reference/relation).

Both optimise the same function: log-likelihood 1e-5; fixed effects and predicted effects 1e-4 of their error,
and so their errors; standard deviations 1e-4 relative, as in test_peers.py. metafor's search for tau stops
at 1e-10 of the deviance, which leaves 1e-5 of tau.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nestwise.config.study import Model
from nestwise.data.dataset import Dataset, VariableInfo
from nestwise.data.relation import read_relation
from nestwise.design.build import build_design
from nestwise.fit.lmm import fit_lmm
from nestwise.fit.state import solve_lmm

HERE = Path(__file__).parent
CASE = HERE / "relation"
SAID = json.loads((CASE / "expected.json").read_text())
FILES = {"Subject": "subjects.csv", "batch": "batches.csv", "trial": "trials.csv"}


def bundled(dataset):
    import importlib.util
    from io import BytesIO

    spec = importlib.util.spec_from_file_location("make_data", HERE / "make_data.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return pl.read_csv(BytesIO(module.csv_bytes("lme4", dataset)))


def design_of(frame, group, others, model):
    names = [group, *others]
    frame = frame.with_columns(pl.col(names).cast(pl.String)).with_row_index(".row", offset=1)
    variables = {name: VariableInfo(name, "continuous", True) for name in frame.columns if name != ".row"}
    relations = {group: read_relation(CASE / FILES[group])}
    dataset = Dataset("relation", frame.lazy(), variables, dict.fromkeys(names), relations=relations)
    return build_design(dataset, "m", model)


def fitted(name):
    said = SAID["fits"][name]
    frame, others = (
        (bundled("Pastes"), ["sample"]) if said["which"] == "batch" else (bundled("sleepstudy"), [])
    )
    model = Model(formula=said["formula"], reml=said["reml"])
    return said, design_of(frame, said["which"], others, model)


@pytest.mark.parametrize("name", SAID["fits"])
def test_lme4_with_transformed_columns(name):
    said, design = fitted(name)
    solution = solve_lmm(design).solution
    assert solution.log_likelihood == pytest.approx(said["log_likelihood"], abs=1e-5)
    errors = np.atleast_1d(said["std_error"])
    np.testing.assert_allclose((solution.beta - said["beta"]) / errors, 0, atol=1e-4)
    np.testing.assert_allclose(np.sqrt(np.diag(solution.cov_beta)), errors, rtol=1e-4)
    assert solution.sigma == pytest.approx(said["sigma"], rel=1e-4)
    ours = [
        solution.sd[column]
        for group in dict.fromkeys(said["sd_group"])
        for factor in design.factors
        if factor.group == group
        for column in factor.columns
    ]
    np.testing.assert_allclose(ours, said["sd"], rtol=1e-4)
    factor = next(each for each in design.factors if each.group == said["which"])
    order = [factor.labels.index(str(label)) for label in said["groups"]]
    effects = next(each for each in solution.effects if each.group == said["which"])
    b_se = np.array(said["b_se"])
    np.testing.assert_allclose((effects.b[order].ravel() - said["b"]) / b_se, 0, atol=1e-3)
    variances = np.diagonal(effects.b_cov, axis1=1, axis2=2)[order]
    np.testing.assert_allclose(np.sqrt(variances).ravel(), b_se, rtol=1e-3)


@pytest.mark.parametrize("criterion", ["reml", "ml"])
def test_metafor_beside_known_errors(criterion):
    said = SAID["meta"][criterion]
    frame = pl.read_csv(HERE / "bcg" / "data.csv")
    model = Model(formula="log_rr ~ 1 + (1 | trial)", sampling_error="std_error", reml=said["reml"])
    solution = solve_lmm(design_of(frame, "trial", [], model)).solution
    assert solution.log_likelihood == pytest.approx(said["log_likelihood"], abs=1e-6)
    assert solution.beta[0] == pytest.approx(said["beta"], abs=1e-4 * said["std_error"])
    assert np.sqrt(solution.cov_beta[0, 0]) == pytest.approx(said["std_error"], rel=1e-4)
    assert solution.sd[0] == pytest.approx(said["sd"], rel=1e-4)
    np.testing.assert_allclose(solution.effects[0].b[:, 0], said["b"], atol=1e-4 * said["sd"])


def test_whole_fits_with_a_relation():
    """Every part of a fit stands, and the relation matters."""
    _, design = fitted("intercepts")
    fit = fit_lmm(design, df="kenward_roger", bootstrap=20)
    rows = {(row.component, row.group, row.term): row for row in fit.estimates}
    tau = rows["sd", "Subject", "(Intercept)"]
    assert tau.lower < tau.estimate < tau.upper
    icc = rows["derived", "Subject", "icc"].estimate
    sigma = rows["residual", None, "sigma"].estimate
    assert icc == pytest.approx(tau.estimate**2 / (tau.estimate**2 + sigma**2))
    assert fit.record["bootstrap"]["refits"] == 20
    assert fit.groups.height == 18
    plain = fit_lmm(replace(design, random=(replace(design.random[0], relation=None),)))
    assert abs(plain.log_likelihood - fit.log_likelihood) > 0.1
