"""Figures of outcomes that are not Gaussian: intervals, funnels, averages and residuals."""

import numpy as np
import polars as pl
import pytest
from scipy.special import expit, ndtr
from scipy.stats import binom, kstest

from nestwise.errors import Refusal
from nestwise.figures.calibration import (
    average_expectation,
    binned_residuals,
    quantile_residual_qq,
    quantile_residuals,
)
from nestwise.figures.proportions import funnel, proportions_by_group, proportions_over_time, wilson
from nestwise.figures.theme import svg


def test_wilson_is_that_of_newcombe():
    # Newcombe (1998), Statistics in Medicine 17, table I, method 3: 81 of 263, 15 of 148, 0 of 20.
    lower, upper = wilson(np.array([81.0, 15.0, 0.0]), np.array([263.0, 148.0, 20.0]), 0.95)
    assert lower == pytest.approx([0.2553, 0.0624, 0.0], abs=5e-5)
    assert upper == pytest.approx([0.3662, 0.1605, 0.1611], abs=5e-5)


@pytest.mark.parametrize("n", [3, 10, 47, 400])
def test_luck_alone_leaves_the_funnel_with_the_tail_at_most(n):
    p, y = 0.3, np.arange(n + 1)
    lower, upper = funnel(p, np.full(y.size, float(n)), 0.95)
    for beyond in (y / n < lower, y / n > upper):
        assert binom.pmf(y[beyond], n, p).sum() <= 0.025
    inside = (y / n >= lower) & (y / n <= upper)
    tightest = inside[:-1] != inside[1:]
    assert tightest.any() or n == 3


def test_a_probit_average_has_its_closed_form():
    eta, tau = np.linspace(-3, 3, 7), 1.7
    found = average_expectation(ndtr(eta), "probit", tau)
    assert found == pytest.approx(ndtr(eta / np.sqrt(1 + tau**2)), abs=1e-8)
    assert average_expectation(np.array([2.0]), "log", 0.5) == pytest.approx([2 * np.exp(0.125)])
    assert average_expectation(np.array([0.2]), "identity", 0.5) is None


@pytest.mark.parametrize("family", ["poisson", "negative_binomial", "gamma"])
def test_quantile_residuals_of_the_right_model_are_normal(family):
    generator = np.random.default_rng(7)
    typical, spread, dispersion = np.exp(generator.normal(1, 0.5, 4000)), 0.6, 2.5
    mean = typical * np.exp(spread * generator.standard_normal(4000))
    y = {
        "poisson": lambda: generator.poisson(mean).astype(float),
        "negative_binomial": lambda: generator.poisson(
            mean * generator.gamma(dispersion, 1 / dispersion, 4000)
        ).astype(float),
        "gamma": lambda: generator.gamma(dispersion, mean / dispersion),
    }[family]()
    right = quantile_residuals(y, typical, family, spread=spread, dispersion=dispersion, seed=1)
    assert kstest(right, "norm").pvalue > 0.01
    alone = quantile_residuals(y, typical, family, spread=0.0, dispersion=dispersion, seed=1)
    assert kstest(alone, "norm").pvalue < 1e-6  # without the groups the same rows are far too spread


def binary_rows(groups=60, size=8, tau=2.0, seed=3):
    generator = np.random.default_rng(seed)
    label = np.repeat([f"g{k:03d}" for k in range(groups)], size)
    x = np.tile(np.arange(size, dtype=float), groups)
    eta = 0.5 - 0.3 * x
    y = generator.random(label.size) < expit(eta + np.repeat(tau * generator.standard_normal(groups), size))
    arm = np.repeat(np.where(np.arange(groups) % 2 == 0, "a", "b"), size)
    return pl.DataFrame({"label": label, "x": x, "y": y.astype(float), "by": arm}), expit(eta)


def test_bins_scatter_around_zero_when_averaged_and_not_for_a_typical_group(wording):
    rows, typical = binary_rows(groups=3000)
    averaged = average_expectation(typical, "logit", 2.0)

    def outside(expected):
        frame = rows.select("label", pl.col("y").alias("observed")).with_columns(expected=pl.Series(expected))
        table = binned_residuals(frame, wording, group="g", averaged=True).data
        assert table["n"].sum() == rows.height
        return (table["mean"].abs() > table["band"]).mean()

    assert outside(averaged) < 0.2
    assert outside(typical) > 0.5


def test_too_few_rows_are_refused(wording):
    rows, typical = binary_rows(groups=2)
    frame = rows.select("label", pl.col("y").alias("observed")).with_columns(expected=pl.Series(typical))
    with pytest.raises(Refusal, match="fewer than 20 rows"):
        binned_residuals(frame, wording, group="g", averaged=True)


def test_proportions_over_time_count_rows_by_arm(wording):
    rows, _ = binary_rows()
    drawing = proportions_over_time(rows, wording, group="g")
    table = drawing.data
    assert table["n"].sum() == rows.height
    assert table.height == 2 * 8
    first = rows.filter((pl.col("by") == "a") & (pl.col("x") == 0.0))["y"].mean()
    assert table["proportion"][0] == pytest.approx(first)
    assert "under a" in drawing.caption


def test_many_times_are_put_into_bins(wording):
    rows, _ = binary_rows()
    jittered = rows.with_columns(pl.col("x") + pl.int_range(pl.len()) / 10_000).drop("by")
    drawing = proportions_over_time(jittered, wording, group="g")
    assert drawing.data.height <= 10
    assert "bins of time" in drawing.caption
    with pytest.raises(Refusal, match="no row has an outcome"):
        proportions_over_time(jittered.head(0), wording, group="g")


def test_groups_that_differ_leave_the_funnel(wording, hostile):
    rows, _ = binary_rows(size=40, tau=1.5)

    drawing = proportions_by_group(
        rows.with_columns(label=pl.col("label").replace("g001", hostile)), wording, group="g"
    )
    alike = proportions_by_group(rows.with_columns(y=pl.col("x") % 2), wording, group="g")
    count = int(drawing.caption.partition("luck alone: ")[2].split(" ")[0])
    assert count > 8  # three at most by luck
    assert "luck alone: 0 of 60" in alike.caption
    uneven = proportions_by_group(
        pl.concat([rows.filter(pl.col("x") < 2), rows.head(400)]), wording, group="g"
    )
    assert "mathdefault" not in svg(uneven.figure, name="funnel", title="Funnel")
    with pytest.raises(Refusal, match="fewer than three groups"):
        proportions_by_group(rows.head(40), wording, group="g")


def test_the_quantile_plot_says_what_it_rests_on():
    generator = np.random.default_rng(2)
    mu = np.exp(generator.normal(1, 0.3, 300))
    frame = pl.DataFrame({"observed": generator.poisson(mu).astype(float), "fixed": mu, "fitted": mu})
    averaged = quantile_residual_qq(frame, family="poisson", spread=0.0, seed=1)
    given = quantile_residual_qq(frame, family="poisson", spread=None, seed=1)
    assert "averaged over the groups" in averaged.caption
    assert "given its group" in given.caption
    with pytest.raises(Refusal):
        quantile_residual_qq(frame, family="binomial", spread=0.0)
