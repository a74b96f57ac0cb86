"""Generalised outcomes by their posterior: against the likelihood engine, brute force, refusals."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy import stats

from nestwise.bayes.engine import fit_pymc
from nestwise.bayes.generalised import prepare_generalised
from nestwise.config.study import Prior
from nestwise.errors import Refusal
from nestwise.fit.glmm import fit_glmm
from nestwise.results import Status, estimates_frame, load_record, save_fit


@pytest.fixture(scope="module")
def clustered(make_design):
    """Twenty groups of twenty rows, or other numbers; `family` with its usual link."""

    def build(family="binomial", J=20, m=20, slopes=True, trials=None, fixed=True, seed=1):
        rng = np.random.default_rng(seed)
        g = np.repeat(np.arange(J), m)
        n, x = J * m, rng.normal(size=J * m)
        eta = -0.3 + (0.6 * x if fixed else 0) + rng.normal(size=J)[g]
        eta += 0.4 * rng.normal(size=J)[g] * x if slopes else 0
        link = "logit" if family == "binomial" else "log"
        m_of = None if trials is None else np.full(n, float(trials))
        y = {
            "binomial": lambda: rng.binomial(trials or 1, 1 / (1 + np.exp(-eta))),
            "poisson": lambda: rng.poisson(np.exp(eta)),
            "negative_binomial": lambda: rng.poisson(np.exp(eta) * rng.gamma(3, 1 / 3, n)),
            "gamma": lambda: np.exp(eta) * rng.gamma(3, 1 / 3, n),
        }[family]()
        one = np.ones(n)
        columns = {"(Intercept)": one} | ({"x": x} if fixed else {})
        varying = columns if slopes else {"(Intercept)": one}
        design = make_design(y, columns, ("g", g, varying, True), family=family)
        return replace(design, link=link, trials=m_of, term_of=tuple(columns))

    return build


@pytest.fixture(scope="module")
def fit(clustered):
    return fit_pymc(clustered(), priors={}, seed=7, draws=500, tune=500)


def rows_of(fit):
    return estimates_frame(fit).select("component", "group", "term", "scale").rows()


def shared(fit):
    """The rows of a likelihood fit without the shares that only `glmm` has, as points without an interval."""
    alone = ("icc_observed", "r2_marginal", "r2_conditional")
    return replace(fit, estimates=tuple(row for row in fit.estimates if row.term not in alone))


def test_the_rows_of_glmm_in_the_same_order(fit, clustered):
    assert fit.status is Status.OK
    assert rows_of(fit) == rows_of(shared(fit_glmm(clustered())))
    assert fit.draws.columns[-1] == "cor|g|(Intercept):x"


def test_a_dispersion_has_its_row_and_its_draws(clustered):
    design = clustered("negative_binomial", slopes=False)
    found = fit_pymc(design, priors={}, seed=7, draws=300, tune=300)
    likelihood = shared(fit_glmm(design))
    assert rows_of(found) == rows_of(likelihood)
    assert found.draws["residual|size"].min() > 0
    for row, other in zip(found.estimates, likelihood.estimates, strict=True):
        if row.component in ("fixed", "residual"):
            # posterior medians of 400 rows: skewed, but nowhere near half a standard error from the maximum
            assert abs(row.estimate - other.estimate) < 0.5 * row.std_error
    zeros = found.record["posterior_predictive"]["statistics"][-1]
    assert zeros["statistic"] == "zeros"
    assert zeros["lower"] <= zeros["observed"] <= zeros["upper"]


@pytest.mark.parametrize(("trials", "form"), [(10, "non-centred"), (400, "centred")])
def test_posterior_of_intercept_and_deviation_on_a_grid(clustered, trials, form):
    """Six groups of one cell: the density on a grid, random effects integrated out by brute force."""
    design = clustered(J=6, m=1, slopes=False, fixed=False, trials=trials, seed=5)
    found = fit_pymc(design, priors={}, seed=3, draws=2000)
    assert found.status is Status.OK
    assert [row["form"] for row in found.record["sampler"]["random_effects"]] == [form]
    beta, tau = np.linspace(-4, 4, 161), np.linspace(0.002, 6, 300)
    prior = found.record["priors"]
    log_p = stats.norm(prior[0]["location"], prior[0]["scale"]).logpdf(beta)[:, None]
    log_p = log_p + stats.t(3, scale=prior[1]["scale"]).logpdf(tau)
    eta = np.linspace(-9, 9, 1201)
    for y in design.y:
        binomial = stats.binom(trials, 1 / (1 + np.exp(-eta))).pmf(y)
        normal = np.exp(-0.5 * ((eta - beta[:, None, None]) / tau[:, None]) ** 2)
        normal /= normal.sum(axis=-1, keepdims=True) + 1e-300  # a tau below the step is one point
        log_p += np.log(normal @ binomial + 1e-300)
    mass = np.exp(log_p - log_p.max())
    grids = ((beta, mass.sum(axis=1)), (tau, mass.sum(axis=0)))
    for row, (values, weight) in zip(found.record["parameters"], grids, strict=True):
        cdf = (np.cumsum(weight) - weight / 2) / weight.sum()
        # the grid's own step is far below the Monte Carlo error
        assert abs(row["median"] - np.interp(0.5, cdf, values)) < 4 * row["mcse_median"]


def test_draws_do_not_depend_on_cores_and_repeat_themselves(fit, clustered):
    again = fit_pymc(clustered(), priors={}, seed=7, draws=500, tune=500, cores=2)
    assert fit.draws.equals(again.draws)
    assert fit.groups.equals(again.groups)
    assert fit.predictions.equals(again.predictions)
    assert fit.record["loo"] == again.record["loo"]
    assert fit.record["posterior_predictive"] == again.record["posterior_predictive"]


def test_groups_and_rows_are_those_of_glmm_up_to_shrinkage(fit, clustered):
    likelihood = fit_glmm(clustered())
    for name in ("complete_pooling", "complete_pooling_se"):
        assert fit.groups[name].to_list() == pytest.approx(likelihood.groups[name].to_list(), rel=1e-6)
    both = fit.groups.join(likelihood.groups, on=["label", "term"], suffix="_ml")
    assert both.height == 40
    moved = (both["partial_pooling"] - both["partial_pooling_ml"]).abs() / both["partial_pooling_se"]
    assert moved.max() < 0.5
    assert fit.groups["pooling_factor"].is_between(0, 1).all()
    assert (fit.predictions["fitted"] - likelihood.predictions["fitted"]).abs().max() < 0.1
    intercepts = fit.groups.filter(pl.col("term") == "(Intercept)")
    assert (intercepts["lower"] < intercepts["upper"]).all()


def test_everything_can_be_saved(fit, tmp_path):
    save_fit(fit, tmp_path / "fit")
    record = load_record(tmp_path / "fit")
    assert {"parameters", "sampler", "priors", "posterior_predictive", "prior_predictive", "loo"} <= set(
        record
    )
    assert json.dumps(record, allow_nan=False)
    assert record["loo"]["elpd"] < 0 < record["loo"]["p"]


def test_separated_outcomes_have_a_posterior(clustered):
    """Where `glmm` refuses because the likelihood has no maximum, the priors keep the answer finite."""
    design = clustered(slopes=False)
    separated = replace(design, y=(design.X[:, 1] > 0.1).astype(float))
    with pytest.raises(Refusal, match="separates"):
        fit_glmm(separated)
    found = fit_pymc(separated, priors={}, seed=1, draws=500, tune=500)
    assert found.status is Status.OK
    slope = found.estimates[1]
    assert 2 < slope.lower < slope.upper < 100
    assert found.groups["complete_pooling"].null_count() == found.groups.height


def test_priors_are_on_the_scale_of_the_link(clustered):
    design = clustered("negative_binomial")
    table = {(row.component, row.term): row for row in prepare_generalised(design, {}).priors}
    assert table["fixed", "(Intercept)"].location == pytest.approx(np.log(design.y.mean()), abs=0.01)
    assert table["fixed", "x"].scale == pytest.approx(2.5 / design.X[:, 1].std())
    assert table["sd", "(Intercept)"].scale == 2.5
    assert table["residual", "size"].distribution == "half_student_t"
    probit = replace(clustered(), link="probit")
    assert prepare_generalised(probit, {}).priors[2].scale == pytest.approx(2.5 * np.sqrt(3) / np.pi)
    given = {"size": Prior(distribution="exponential", scale=5)}
    assert prepare_generalised(design, given).priors[-1].source == "declared"
    with pytest.raises(Refusal, match="no parameter sigma"):
        prepare_generalised(design, {"sigma": Prior(distribution="exponential", scale=5)})


def test_refusals_are_sentences_with_a_way_out(clustered):
    design = clustered()
    cases = {
        "no link log": replace(design, link="log"),
        "neither 0 nor 1": replace(design, y=design.y + 0.5),
        "not a count": replace(design, family="poisson", link="log", y=design.y - 1),
        "the same in every row": replace(design, y=np.ones(design.n)),
        "no random effects": replace(design, random=()),
        "same groups": replace(design, random=(*design.random, replace(design.random[0], group="h"))),
        "weights": replace(design, weights=np.ones(design.n)),
        "single trial": clustered(J=50, m=1, slopes=False),
    }
    for says, wrong in cases.items():
        with pytest.raises(Refusal, match=says) as caught:
            fit_pymc(wrong, priors={}, seed=1)
        assert caught.value.problems[0].way_out
