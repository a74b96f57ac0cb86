"""The engine end to end: estimates, tables, reproducibility, refusals; special cases with known answers."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy import integrate, stats

from nestwise.bayes import attempts
from nestwise.bayes.engine import fit_pymc
from nestwise.config.study import Prior
from nestwise.errors import Refusal
from nestwise.fit.lmm import fit_lmm
from nestwise.results import Status, estimates_frame, load_record, save_fit


@pytest.fixture(scope="module")
def fit(toy):
    return fit_pymc(toy("slopes"), priors={}, seed=7, draws=500, tune=500)


def test_the_same_terms_as_lmm_in_the_same_order(fit, toy):
    def terms(table):
        return table.select("component", "group", "term", "scale").rows()

    sampled, likelihood = terms(estimates_frame(fit)), terms(estimates_frame(fit_lmm(toy("slopes"))))
    assert len(sampled) >= 7
    # what only the likelihood derives (R2, the conditional AIC) comes after what both have
    assert sampled == likelihood[: len(sampled)]


def test_medians_lie_where_reml_does(fit, toy):
    reml = {(row.component, row.term): row for row in fit_lmm(toy("slopes")).estimates}
    for row in fit.estimates:
        other = reml[row.component, row.term]
        if row.component in ("fixed", "residual"):
            assert abs(row.estimate - other.estimate) < 0.5 * row.std_error


def test_draws_do_not_depend_on_cores_and_repeat_themselves(fit, toy):
    again = fit_pymc(toy("slopes"), priors={}, seed=7, draws=500, tune=500, cores=2)
    assert fit.draws.equals(again.draws)
    assert fit.groups.equals(again.groups)
    assert fit.predictions.equals(again.predictions)
    different = fit_pymc(toy("slopes"), priors={}, seed=8, draws=500, tune=500, cores=2)
    assert not fit.draws.equals(different.draws)
    chains = fit.draws.partition_by("chain", include_key=False)
    assert not chains[0].equals(chains[1])


def test_draws_and_record_agree(fit):
    median = fit.draws["sd|g|x"].median()
    row = next(row for row in fit.record["parameters"] if (row["component"], row["term"]) == ("sd", "x"))
    assert row["median"] == pytest.approx(median)
    assert {"mcse_median", "rhat", "ess_bulk", "ess_tail"} <= set(row)
    assert fit.draws.columns[-2:] == ["cor|g|(Intercept):x", "residual|sigma"]


def test_everything_can_be_saved(fit, tmp_path):
    save_fit(fit, tmp_path / "fit")
    record = load_record(tmp_path / "fit")
    assert set(record) >= {
        "parameters",
        "sampler",
        "priors",
        "posterior_predictive",
        "prior_predictive",
        "loo",
    }
    assert json.dumps(record, allow_nan=False)


def test_partial_pooling_lies_between_the_others(fit):
    rows = fit.groups.filter(pl.col("term") == "(Intercept)")
    assert rows.height == 10
    assert rows["pooling_factor"].is_between(0, 1).all()
    assert (rows["lower"] < rows["partial_pooling"]).all()
    assert (rows["partial_pooling"] < rows["upper"]).all()
    assert fit.predictions["residual"].std() < fit.predictions["observed"].std()


def test_predictive_checks_find_the_data_plausible(fit):
    found = {row["statistic"]: row for row in fit.record["posterior_predictive"]["statistics"]}
    for row in found.values():
        assert row["lower"] < row["observed"] < row["upper"]
    assert len(fit.record["posterior_predictive"]["curves"]) == 50
    assert fit.record["prior_predictive"]["sd_ratio"]["median"] > 1


def test_few_groups_that_do_not_differ_sample_without_divergence(toy):
    found = fit_pymc(toy(J=5, tau=0.0), priors={}, seed=1)
    assert found.status is Status.OK
    tau = next(row for row in found.estimates if row.component == "sd")
    assert 0 < tau.lower < 0.1


def test_balanced_one_way_posterior_of_tau_by_integration(make_design):
    """The marginal posterior of tau on a grid: flat-ish mean, exact integrals over the other parameters."""
    rng = np.random.default_rng(4)
    J, m = 8, 5
    g = np.repeat(np.arange(J), m)
    y = rng.normal(size=J)[g] + rng.normal(size=J * m)
    one = np.ones(J * m)
    found = fit_pymc(
        make_design(y, {"(Intercept)": one}, ("g", g, {"(Intercept)": one}, True)),
        priors={},
        seed=2,
        draws=2000,
    )
    spread, means = y.std(ddof=1), y.reshape(J, m).mean(axis=1)
    within = ((y.reshape(J, m) - means[:, None]) ** 2).sum()

    def joint(tau, sigma):
        variance = tau**2 + sigma**2 / m
        common = 1 / (J / variance + 1 / (2.5 * spread) ** 2)
        center = common * (means.sum() / variance + y.mean() / (2.5 * spread) ** 2)
        quadratic = (means**2).sum() / variance + y.mean() ** 2 / (2.5 * spread) ** 2 - center**2 / common
        log_p = -0.5 * quadratic - J / 2 * np.log(variance) + 0.5 * np.log(common)
        log_p += -(J * (m - 1)) * np.log(sigma) - within / (2 * sigma**2)
        half_t = stats.t(3, scale=2.5 * spread)
        return np.exp(log_p + half_t.logpdf(tau) + half_t.logpdf(sigma))

    tau, sigma = np.linspace(1e-4, 5, 800), np.linspace(0.4, 2.5, 300)
    mass = integrate.simpson(joint(tau[:, None], sigma[None, :]), x=sigma, axis=1)
    cdf = integrate.cumulative_simpson(mass, x=tau, initial=0)
    median = np.interp(0.5, cdf / cdf[-1], tau)
    row = next(row for row in found.record["parameters"] if row["component"] == "sd")
    assert abs(row["median"] - median) < 4 * row["mcse_median"]


def test_a_declared_prior_moves_the_posterior(toy):
    tight = fit_pymc(
        toy(),
        priors={"x": Prior(distribution="normal", location=5, scale=0.001)},
        seed=1,
        draws=300,
        tune=300,
    )
    assert tight.estimates[1].estimate == pytest.approx(5, abs=0.01)
    assert tight.record["priors"][1]["source"] == "declared"


def test_a_run_that_never_passes_is_not_converged(toy, monkeypatch):
    monkeypatch.setattr(attempts, "LADDER", ((0.9, 1), (0.95, 1)))
    found = fit_pymc(toy(), priors={}, seed=1, draws=30, tune=100, chains=2)
    assert found.status is Status.NOT_CONVERGED
    assert not found.converged
    assert "draws" in found.reason
    assert len(found.record["sampler"]["attempts"]) == 2


def test_refusals_are_sentences_with_a_way_out(toy):
    design = toy()
    one_group = replace(
        design.random[0], codes=np.zeros(design.n, np.int64), labels=("a",), Z=design.random[0].Z
    )
    cases = {
        "link log": replace(design, link="log"),
        "same in every row": replace(design, y=np.ones(design.n)),
        "one group": replace(design, random=(one_group,)),
        "no random effects": replace(design, random=()),
        "one grouping factor": replace(design, random=(*design.random, replace(design.random[0], group="h"))),
    }
    for says, wrong in cases.items():
        with pytest.raises(Refusal, match=says) as caught:
            fit_pymc(wrong, priors={}, seed=1)
        assert caught.value.problems[0].way_out
