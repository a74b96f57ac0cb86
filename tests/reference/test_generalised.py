"""What glmer, glmmTMB and clmm say of the same csv, at the same number of quadrature points.

Tolerances, and why:

- fixed effects 1e-3 of the larger of estimate and standard error, SDs 1e-3 relative (reference-values.md:
  same
  quadrature 1e-3; two optimisers on one surface do better, but the peers' modes settle to 1e-6 only);
- standard errors 5e-3 relative: peers differentiate the deviance numerically;
- log-likelihoods 1e-3 absolute, with all constants (rule 3), and never below the peer's by more than 1e-4;
- conditional modes 2e-3 of their SD.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from nestwise.config.study import Model, Study
from nestwise.data.contract import validate
from nestwise.data.prepare import prepare
from nestwise.data.read import read
from nestwise.design.build import build_design
from nestwise.fit.generalised import solution_of
from nestwise.fit.glm import fit_glm
from nestwise.fit.glmm import fit_glmm, rows_of
from nestwise.fit.glmm_table import linear_predictors
from nestwise.fit.latent import latent_rows
from nestwise.fit.points import optimise_glmm
from nestwise.results import Status

HERE = Path(__file__).parent
EXPECTED = {
    path.parent.name: content
    for path in sorted(HERE.glob("*/expected.json"))
    if "generalised" in (content := json.loads(path.read_text()))
}
FITS = [(case, name) for case, content in EXPECTED.items() for name in content["generalised"]]
R2 = json.loads((HERE / "r2_generalised" / "expected.json").read_text())["sets"]
FAMILIES = {"nbinom2": "negative_binomial", "Gamma": "gamma"}


def listed(value):
    """R writes a vector of length one as a scalar, and none as null or an empty list."""
    return value if isinstance(value, list) else [] if value is None else [value]


@cache
def csv(case):
    about = EXPECTED[case]["data"]
    if about["package"] is None:
        return (HERE / case / "data.csv").read_bytes()
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("make_data", HERE / "make_data.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.csv_bytes(about["package"], about["dataset"])


@pytest.fixture(scope="session")
def design(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generalised")
    datasets = {}

    def dataset(case):
        about = EXPECTED[case]["data"]
        path = folder / f"{case}.csv"
        path.write_bytes(csv(case))
        study = Study.model_validate(
            {
                "title": case,
                "data": {"source": path.name, "missing_values": ["NA"]},
                "groups": {
                    name: {"within": group["within"]} if group["within"] else {}
                    for name, group in about["groups"].items()
                },
                "variables": {
                    name: {"type": "categorical", "levels": levels}
                    for name, levels in dict(about["levels"] or {}).items()
                },
                "derive": about["derive"],
                "models": {"m": {"formula": "y ~ 1", "engines": ["glmm"]}},
            }
        )
        typed = read(path, study.data, study.variables, study.groups, study.time)
        validation = validate(typed, study, source=path.name)
        return prepare(typed, validation, case, study.groups, study.time, study.derive)

    @cache
    def build(case, formula, family, link):
        if case not in datasets:
            datasets[case] = dataset(case)
        model = Model(formula=formula, family=FAMILIES.get(family, family), link=link, engines=["glmm"])
        return build_design(datasets[case], "m", model)

    return build


@pytest.mark.parametrize("case", EXPECTED)
def test_data_are_those_r_read(case):
    from hashlib import sha256

    assert sha256(csv(case)).hexdigest() == EXPECTED[case]["data"]["sha256"]


@pytest.mark.parametrize(("case", "name"), FITS)
def test_same_points_same_numbers(design, case, name):
    said = EXPECTED[case]["generalised"][name]
    made = design(case, said["formula"], said["family"], said["link"])
    rows = rows_of(made)
    points = said["points"]
    optimum = optimise_glmm(rows, fit_glm(rows), (1,) if points == 1 else (1, points))
    assert optimum.minimum.converged
    assert optimum.points == points
    found = solution_of(made, rows, optimum)
    ours = dict(zip((*found.aux_names, *found.names), np.append(found.aux, found.beta), strict=True))
    errors = np.sqrt(np.append(np.diag(found.cov_aux), np.diag(found.cov_beta)))
    error_of = dict(zip(ours, errors, strict=True))
    fixed = {key: listed(value) for key, value in said["fixed"].items()}
    for term, estimate, error in zip(fixed["term"], fixed["estimate"], fixed["std_error"], strict=True):
        assert ours[term] == pytest.approx(estimate, abs=1e-3 * max(abs(estimate), error)), term
        assert error_of[term] == pytest.approx(error, rel=5e-3), term
    group = [term.group for term in made.random for _ in term.names]
    sds = dict(zip(zip(group, made.varying, strict=True), found.sd, strict=True))
    theirs = {key: listed(value) for key, value in said["sd"].items()}
    groups = theirs.get("group") or group
    terms = made.varying if len(set(groups)) == 1 else theirs["term"]
    for key, estimate in zip(zip(groups, terms, strict=True), theirs["estimate"], strict=True):
        assert sds[key] == pytest.approx(estimate, rel=1e-3), key
    if listed(said["cor"]):
        r = found.Sigma[1, 0] / found.sd[0] / found.sd[1]
        assert r == pytest.approx(listed(said["cor"])[0], abs=2e-3)
    for term, value in (said["dispersion"] or {}).items():
        assert np.exp(ours[term]) == pytest.approx(value, rel=2e-3)
    if said["log_likelihood"] is not None:
        assert found.log_likelihood == pytest.approx(said["log_likelihood"], abs=1e-3)
        assert found.log_likelihood > said["log_likelihood"] - 1e-4
    if said["modes"] is not None:
        labels = made.random[0].labels
        for label, values in zip(said["modes"]["label"], said["modes"]["value"], strict=True):
            own = found.effects[0].b[labels.index(str(label))]
            np.testing.assert_allclose(own, listed(values), atol=2e-3 * found.sd.max(), err_msg=label)


def by_many_points(case):
    """Fits of a peer by quadrature; some sets have fits by Laplace's approximation alone."""
    return [said for said in EXPECTED[case]["generalised"].values() if said["points"] >= 15]


@pytest.mark.parametrize("case", [case for case in EXPECTED if by_many_points(case)])
def test_engine_ends_where_more_points_change_nothing(design, case):
    """Rule 9: the fit is stable, its table kept; the most points any peer used agree with it."""
    fits = by_many_points(case)
    said = max(fits, key=lambda each: each["points"])
    fit = fit_glmm(design(case, said["formula"], said["family"], said["link"]))
    assert fit.status is Status.OK
    assert fit.method.startswith("AGQ(")
    assert fit.record["points"][0]["points"] == 1
    estimates = {row.term: row for row in fit.estimates if row.component == "fixed"}
    for term, estimate, error in zip(*(listed(value) for value in said["fixed"].values()), strict=True):
        assert estimates[term].estimate == pytest.approx(estimate, abs=0.01 * error), term
    sds = [row.estimate for row in fit.estimates if row.component == "sd"]
    np.testing.assert_allclose(sds, listed(said["sd"]["estimate"]), rtol=2e-3)


def test_laplace_fails_on_toenail(design):
    """reference-values.md: 50 points say -1.6183, 4.0067, -625.397; Laplace is far away, few points too."""
    said = EXPECTED["toenail"]["generalised"]["laplace"]
    fit = fit_glmm(design("toenail", said["formula"], "binomial", "logit"))
    estimates = {(row.component, row.term): row.estimate for row in fit.estimates}
    assert estimates["fixed", "(Intercept)"] == pytest.approx(-1.6183, abs=1e-3)
    assert estimates["fixed", "treatment:month"] == pytest.approx(-0.1368, abs=2e-4)
    assert estimates["sd", "(Intercept)"] == pytest.approx(4.0067, rel=1e-3)
    assert fit.log_likelihood == pytest.approx(-625.397, abs=5e-3)
    table = {row["points"]: row for row in fit.record["points"]}
    assert table[1]["fixed"]["(Intercept)"] < -2.4
    assert table[1]["sd"][0] > 4.5
    assert table[5]["sd"][0] < 3.8
    assert max(table) > 25


@pytest.mark.parametrize("name", R2)
def test_r2(design, name):
    """Nakagawa's R2 by performance, to 2e-5: both at the optimum of Laplace's approximation."""
    said = R2[name]
    made = design(said["case"], said["formula"], "binomial", said["link"])
    rows = rows_of(made)
    solution = solution_of(made, rows, optimise_glmm(rows, fit_glm(rows), (1,)))
    fixed, _ = linear_predictors(made, solution)
    found = {row.term: row.estimate for row in latent_rows(made, solution, fixed, None, 0.95)}
    assert found["r2_marginal"] == pytest.approx(said["marginal"], abs=2e-5)
    assert found["r2_conditional"] == pytest.approx(said["conditional"], abs=2e-5)
