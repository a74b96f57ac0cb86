"""Small-sample inference of the cases' models against pbkrtest, lmerTest, clubSandwich and nlme.

Tolerances, and why: both programs stop within 1e-4 of the optimum's variances, which covariances, degrees of
freedom and F statistics inherit to first order; degrees of freedom that are counted are whole numbers.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nestwise.fit.between_within import between_within
from nestwise.fit.clusters import lmm_covariance
from nestwise.fit.fixed_effects import fixed_effect_inference
from nestwise.fit.sandwich import robust_covariance
from nestwise.fit.state import solve_lmm
from nestwise.fit.tests import term_tests

SAID = {
    (said["case"], said["model"]): said
    for said in json.loads((Path(__file__).parent / "small_sample/expected.json").read_text())["small_sample"]
}
CLUSTERED = [key for key, said in SAID.items() if "robust" in said]
COUNTED = [key for key, said in SAID.items() if "lme_df" in said]


def at_least_1d(value):
    """R writes a vector of length one as a scalar."""
    return np.atleast_1d(np.array(value, dtype=float))


def solved(cases, case, model):
    said = cases[case].expected["models"][model]
    design = cases[case].design(said["formula"], True)
    state = cases[case].once(("state", model), lambda: solve_lmm(design))
    assert list(design.names) == list(np.atleast_1d(SAID[case, model]["names"]))
    return design, state


def listed(table):
    columns = {name: value if isinstance(value, list) else [value] for name, value in table.items()}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


@pytest.mark.parametrize(("case", "model"), SAID)
def test_kenward_roger_covariance_and_df(cases, case, model):
    """Rule 4. peer: pbkrtest::vcovAdj, and lmerTest's df with ddf = "Kenward-Roger"."""
    design, state = solved(cases, case, model)
    said = SAID[case, model]["kenward_roger"]
    ours = fixed_effect_inference(design, state, "kenward_roger")
    size = np.sqrt(np.outer(*[np.diag(ours.cov_beta)] * 2))
    expected = at_least_1d(said["vcov"]).reshape(size.shape)
    np.testing.assert_allclose(ours.cov_beta / size, expected / size, atol=3e-4)
    np.testing.assert_allclose(ours.t(np.eye(size.shape[0])), at_least_1d(said["df"]), rtol=2e-3)


@pytest.mark.parametrize("method", ["kenward_roger", "satterthwaite"])
@pytest.mark.parametrize(("case", "model"), SAID)
def test_joint_tests(cases, case, model, method):
    """Rule 4. peer: lmerTest::contest on the columns of each term, and on all of them."""
    design, state = solved(cases, case, model)
    ours = fixed_effect_inference(design, state, method)
    for row in listed(SAID[case, model][method]["tests"]):
        columns = [design.names.index(name) for name in row["columns"].split("; ")]
        found = ours.F(np.eye(len(design.names))[columns])
        assert found.df_num == row["df_num"], row
        assert found.statistic == pytest.approx(row["statistic"], rel=1e-3, abs=1e-8), row
        assert found.df_den == pytest.approx(row["df_den"], rel=1e-2, abs=1e-8), row
        p_value = row["p_value"] and pytest.approx(row["p_value"], rel=2e-2)
        assert found.p_value == p_value, row


@pytest.mark.parametrize(("case", "model"), SAID)
def test_terms_of_the_formula(cases, case, model):
    """The columns of a term are those that R assigns to it."""
    design, state = solved(cases, case, model)
    found = term_tests(design.term_of, fixed_effect_inference(design, state, "satterthwaite"))
    said = {row["term"]: row for row in listed(SAID[case, model]["satterthwaite"]["tests"])}
    said.pop("(all)")
    assert [row.term for row in found] == list(said)
    for row in found:
        theirs = said[row.term]
        columns = [n for n, term in zip(design.names, design.term_of, strict=True) if term == row.term]
        assert columns == theirs["columns"].split("; ")
        assert (row.test, row.df_num, row.reference) == ("fixed", theirs["df_num"], "F, Satterthwaite")
        assert row.p_value == pytest.approx(theirs["p_value"], rel=2e-2)


@pytest.mark.parametrize("kind", ["CR0", "CR1", "CR2", "CR3"])
@pytest.mark.parametrize(("case", "model"), CLUSTERED)
def test_cluster_robust(cases, case, model, kind):
    """Peer: clubSandwich::vcovCR and coef_test on the lmer fit."""
    design, state = solved(cases, case, model)
    said = SAID[case, model]["robust"][kind]
    marginal = lmm_covariance(design, state.solution.Sigma, state.solution.sigma)
    ours = robust_covariance(design, state.solution.beta, marginal, kind)
    expected = at_least_1d(said["vcov"]).reshape(ours.covariance.shape)
    size = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    np.testing.assert_allclose(ours.covariance / size, expected / size, atol=5e-4)
    np.testing.assert_allclose(ours.df, at_least_1d(said["df"]), rtol=2e-3)


@pytest.mark.parametrize(("case", "model"), COUNTED)
def test_inner_and_outer(cases, case, model):
    """Peer: nlme::lme's fixDF, exactly; but for the intercept, which nlme tests on the innermost level."""
    said = SAID[case, model]
    design = cases[case].design(cases[case].expected["models"][model]["formula"], True)
    ours = dict(zip(design.names, between_within(design), strict=True))
    theirs = {name: value for name, value in said["lme_df"].items() if name != "(Intercept)"}
    assert {name: ours[name] for name in theirs} == theirs
