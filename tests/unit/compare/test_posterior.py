"""Conditional and averaged effects by draws: held against the delta method, and by hand."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy.special import expit
from scipy.stats import norm

from nestwise.compare.effects import conditional_effects
from nestwise.compare.posterior import posterior_effects
from nestwise.compare.reading import by_likelihood_and_posterior
from nestwise.compare.saved import reconcile_saved
from nestwise.design.build import build_design
from nestwise.results import load_record

FORMULA = "y ~ arm + t + (1 | g)"


def drawn_from(found, folder, shrink=1.0, status="ok", S=1000):
    """A fit of the posterior whose draws are normal around the likelihood's, by its covariance."""
    design = build_design(found.dataset, "m", found.model)
    home = found.folders[0]
    fit = pl.read_parquet(home / "fits.parquet")
    rows = pl.read_parquet(home / "estimates.parquet").filter(pl.col("component") == "fixed")
    effects = conditional_effects(
        fit.row(0, named=True), load_record(home), dict(rows.select("term", "estimate").rows()), design
    )
    # stratified normal deviates: their quantiles are exact, and so is the covariance after whitening
    rng = np.random.default_rng(1)
    k = len(effects.covariance)
    z = np.column_stack([rng.permutation(norm.ppf((np.arange(S) + 0.5) / S)) for _ in range(k)])
    z = (z - z.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(z, rowvar=False))).T
    theta = np.append(effects.beta, effects.Sigma[0, 0])
    theta = theta + shrink * z @ np.linalg.cholesky(effects.covariance).T
    names = [f"fixed|{name}" for name in design.names]
    columns = dict(zip(names, theta.T, strict=False)) | {"sd|g|(Intercept)": np.sqrt(theta[:, -1])}
    folder.mkdir()
    pl.DataFrame(columns).write_parquet(folder / "draws.parquet")
    fit.with_columns(
        pl.lit("pymc").alias("engine"), pl.lit("NUTS").alias("method"), pl.lit(status).alias("status")
    ).write_parquet(folder / "fits.parquet")
    return replace(found, folders=(*found.folders, folder)), design


def reconciled(found):
    return reconcile_saved(found.folders, found.dataset, found.section)


def by_engine(table):
    return by_likelihood_and_posterior(table)


@pytest.fixture
def binary(fitted, trial, tmp_path):
    return fitted(trial(), FORMULA, family="binomial", time="t"), tmp_path / "m.pymc"


def test_narrow_draws_give_what_the_delta_method_gives(binary):
    """A hundredth of the spread: medians are the estimates, SDs the delta method's, every row and column."""
    found, _ = drawn_from(*binary, shrink=0.01, S=400)
    likelihood, posterior = by_engine(reconciled(found))
    kinds = ("coefficient", "mean", "difference", "ratio")
    likelihood = likelihood.filter(pl.col("kind").is_in(kinds))
    key = ["kind", "term", "x", "by", "scale"]
    assert posterior.select(key).equals(likelihood.select(key))
    for name in ("conditional", "integrated"):
        for part, rel in (("", 2e-3), ("_se", 0.06)):
            ours, delta = posterior[f"{name}{part}"].to_numpy(), likelihood[f"{name}{part}"].to_numpy()
            # whitened draws: what is left is the curvature, and sums of a few hundred stratified deviates
            scale = 1.0 if part == "" else 0.01
            assert ours == pytest.approx(scale * delta, rel=rel, abs=2e-3 if part == "" else 0.0)
    assert posterior["marginal"].equals(likelihood["marginal"])
    assert posterior["marginal_upper"].equals(likelihood["marginal_upper"])
    rows = (
        likelihood.filter(pl.col("kind") == "coefficient"),
        posterior.filter(pl.col("kind") == "coefficient"),
    )
    assert rows[1]["attenuation"].to_numpy() == pytest.approx(rows[0]["attenuation"].to_numpy(), rel=1e-2)
    assert rows[1]["verdict"].null_count() == rows[1].height


def test_one_draw_is_averaged_by_brute_force(binary):
    """A mean over arm and time, and a risk difference, by a sum over simulated groups."""
    found, design = drawn_from(*binary, shrink=1e-9, S=250)
    posterior = by_engine(reconciled(found))[1]
    fit = pl.read_parquet(found.folders[-1] / "fits.parquet").row(0, named=True)
    drawn = posterior_effects(fit, pl.read_parquet(found.folders[-1] / "draws.parquet"), design)
    beta, sd = drawn.beta[0], np.sqrt(drawn.Sigma[0, 0, 0])
    u = norm.ppf((np.arange(200_000) + 0.5) / 200_000)
    risk = {arm: expit(beta[0] + beta[1] * arm + 2 * beta[2] + sd * u).mean() for arm in (0, 1)}
    at = posterior.filter(pl.col("x") == 2.0)
    means = dict(at.filter(pl.col("kind") == "mean").select("by", "integrated").rows())
    assert means["drug"] == pytest.approx(risk[1], abs=1e-6)
    difference = at.filter(pl.col("kind") == "difference")["integrated"][0]
    assert difference == pytest.approx(risk[1] - risk[0], abs=1e-6)
    typical = at.filter(pl.col("kind") == "mean").filter(pl.col("by") == "control")["conditional"][0]
    assert typical == pytest.approx(expit(beta[0] + 2 * beta[2]), abs=1e-6)


def test_with_a_logarithm_only_the_intercept_moves(fitted, trial, tmp_path):
    of_group = pl.col("g").str.strip_prefix("g").cast(pl.Int64) % 5
    frame = trial(60).with_columns((2 * pl.col("y") + 3 * of_group).alias("y"))
    counts = fitted(frame, FORMULA, family="poisson", time="t")
    found, _ = drawn_from(counts, tmp_path / "m.pymc", shrink=0.1, S=300)
    rows = by_engine(reconciled(found))[1].filter(pl.col("kind") == "coefficient")
    assert rows["integrated"][1:].to_numpy() == pytest.approx(rows["conditional"][1:].to_numpy(), abs=1e-10)
    assert rows["attenuation"].to_list() == [None, pytest.approx(1, abs=1e-9), pytest.approx(1, abs=1e-9)]


def test_draws_that_did_not_converge_are_not_integrated(binary):
    found, _ = drawn_from(*binary, shrink=0.1, status="not_converged", S=100)
    posterior = by_engine(reconciled(found))[1]
    assert posterior["kind"].to_list() == ["refused"]
    assert "left no draws that can be trusted" in posterior["reason"][0]


def test_a_posterior_alone_leads():
    rows = pl.DataFrame({"conditional_engine": ["pymc", "pymc"]})
    leading, beside = by_likelihood_and_posterior(rows)
    assert leading.height == 2
    assert beside.is_empty()
