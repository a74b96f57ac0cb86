import numpy as np
import polars as pl
import pytest
from scipy import stats

from nestwise.errors import Refusal
from nestwise.figures.forest import reml_vs_posterior
from nestwise.figures.partition import variance_partition
from nestwise.figures.posterior import _reflected_density, prior_density, tau_posterior, trace_rank
from nestwise.figures.replicates import posterior_predictive, prior_predictive
from nestwise.figures.theme import svg

GRID = np.linspace(0, 5, 60)


def text_of(drawing):
    return svg(drawing.figure, name=drawing.name, title=drawing.name)


@pytest.mark.parametrize(
    ("prior", "expected"),
    [
        ({"distribution": "half_normal", "scale": 2.0}, stats.halfnorm.pdf(GRID, 0, 2)),
        ({"distribution": "half_student_t", "scale": 2.0, "df": 3}, 2 * stats.t.pdf(GRID, 3, 0, 2)),
        ({"distribution": "exponential", "scale": 0.5}, stats.expon.pdf(GRID, 0, 0.5)),
        (
            {"distribution": "normal", "location": 1, "scale": 2},
            stats.truncnorm.pdf(GRID, -0.5, np.inf, 1, 2),
        ),
    ],
)
def test_priors_are_those_of_scipy(prior, expected):
    assert np.allclose(prior_density(prior, GRID), expected)


def test_an_unknown_prior_is_not_invented():
    assert prior_density({"distribution": "lkj"}, GRID) is None


def test_the_posterior_density_keeps_its_mass_above_zero():
    values = np.abs(np.random.default_rng(1).normal(0, 1, 4000))
    grid = np.linspace(0, 6, 400)
    density = _reflected_density(values, grid)
    assert np.trapezoid(density, grid) == pytest.approx(1, abs=0.01)
    assert density[0] == pytest.approx(2 * stats.norm.pdf(0), abs=0.06)


def test_tau_has_prior_posterior_and_likelihood(draws, estimates, wording):
    priors = {"sd|g|(Intercept)": {"distribution": "half_student_t", "scale": 2.5, "df": 3}}
    reml = estimates.filter(pl.col("engine") == "lmm")
    drawing = tau_posterior(draws, wording, priors=priors, reml=reml)
    axes = drawing.figure.axes[0]
    labels = axes.get_legend_handles_labels()[1]
    assert labels == ["posterior", "prior", "median, 95%", "REML, profile interval"]
    assert axes.get_xlabel() == "standard deviation (ms)"
    assert "REML 1.00 (0.500 to 1.80)" in drawing.caption
    assert drawing.data["prior"].null_count() == 0


def test_tau_without_likelihood_or_prior(draws, wording, estimates):
    drawing = tau_posterior(draws, wording, priors={}, reml=estimates.head(0))
    assert drawing.data["prior"].null_count() == drawing.data.height
    assert "REML" not in drawing.caption


def test_chains_are_traced_and_ranked(draws, wording):
    drawing = trace_rank(draws, wording, verdicts={"residual|sigma": "R-hat 1.001"})
    assert len(drawing.figure.axes) == 6
    assert all(len(axes.lines) == 4 for axes in drawing.figure.axes[::2])
    totals = drawing.data.group_by("parameter", "chain").agg(pl.col("count").sum())
    assert set(totals["count"]) == {250}
    assert "R-hat 1.001" in text_of(drawing)


def test_a_stuck_chain_leans_in_its_ranks(draws, wording):
    stuck = draws.with_columns(
        pl.when(pl.col("chain") == 0).then(99.0).otherwise(pl.col("residual|sigma")).alias("residual|sigma")
    )
    data = trace_rank(stuck, wording).data.filter(parameter="residual|sigma", chain=0)
    assert data.filter(pl.col("bin") < 15)["count"].sum() == 0


def test_many_parameters_are_cut_to_the_telling_ones(draws, wording):
    wide = draws.with_columns(pl.lit(0.5).alias(f"fixed|x{k}") for k in range(30))
    drawing = trace_rank(wide, wording)
    shown = drawing.data["parameter"].unique().to_list()
    assert len(shown) == 8
    assert "sd|g|(Intercept)" in shown
    assert "8 of 33 parameters" in drawing.caption


def test_no_draws_no_figure(wording, estimates):
    with pytest.raises(Refusal):
        trace_rank(pl.DataFrame(), wording)
    with pytest.raises(Refusal):
        tau_posterior(pl.DataFrame(), wording, priors={}, reml=estimates)


def test_the_forest_has_a_panel_a_parameter_on_its_own_scale(estimates, wording):
    drawing = reml_vs_posterior(estimates, wording)
    panels = [axes for axes in drawing.figure.axes if axes.get_title(loc="left")]
    assert [axes.get_title(loc="left") for axes in panels] == [
        "(Intercept)", "SD of intercepts, school", "residual SD (sigma)",
    ]  # fmt: skip
    assert len({axes.get_xlim() for axes in panels}) == 3
    names = [label.get_text() for label in panels[0].get_yticklabels()]
    assert names == ["posterior (pymc)", "MixedLM", "likelihood (lmm)"]


def test_the_forest_needs_a_mixed_model(make_estimates, wording):
    with pytest.raises(Refusal, match="no mixed-model engine"):
        reml_vs_posterior(make_estimates("pooled"), wording)


def test_shares_of_the_variance(make_estimates, wording):
    both = pl.concat(
        [make_estimates(model="a", sd=1.0, sigma=2.0), make_estimates(model="b", sd=2.0, sigma=2.0)]
    )
    drawing = variance_partition(both, wording, labels={"a": "First", "b": "Second"})
    shares = {(row["model"], row["source"]): row["share"] for row in drawing.data.iter_rows(named=True)}
    assert shares[("a", "g")] == pytest.approx(0.2)
    assert shares[("b", "g")] == pytest.approx(0.5)
    assert ", ms²" in drawing.figure.axes[0].get_xlabel()
    bars = [patch for patch in drawing.figure.axes[0].patches if patch.get_width() > 0]
    assert sorted(bar.get_width() for bar in bars) == pytest.approx([1, 4, 4, 4])


def replicated(observed_shift=0.0):
    probabilities = np.linspace(0, 1, 21)
    curves = np.sort(np.random.default_rng(1).normal(10, 1, (50, 21)), axis=1)
    return {
        "probabilities": probabilities.tolist(),
        "observed": (curves.mean(axis=0) + observed_shift).tolist(),
        "curves": curves.tolist(),
        "statistics": [
            {"statistic": "sd", "observed": 1 + observed_shift, "mean": 1.0, "lower": 0.9, "upper": 1.1}
        ],
    }


def test_replicates_around_the_data(wording):
    drawing = posterior_predictive(replicated(), wording)
    assert "inside the range" in drawing.caption
    assert drawing.figure.axes[0].get_xlabel() == "Reaction (ms)"
    assert drawing.data.height == 21


def test_data_the_model_cannot_make_are_named(wording):
    assert "does not reproduce the SD" in posterior_predictive(replicated(5.0), wording).caption


def test_replicates_may_be_absent(wording):
    with pytest.raises(Refusal):
        posterior_predictive({}, wording)
    with pytest.raises(Refusal):
        prior_predictive({}, wording)


def test_the_priors_expect_more_than_was_observed(wording):
    expected = {
        "probabilities": [0.005, 0.25, 0.5, 0.75, 0.995],
        "expected": [-30.0, 5.0, 10.0, 15.0, 50.0],
        "observed": [8.0, 9.5, 10.0, 10.5, 12.0],
        "sd_ratio": {"median": 6.0, "lower": 3.0, "upper": 14.0, "level": 0.9},
    }
    drawing = prior_predictive(expected, wording)
    assert "99% of outcomes from −30.0 to 50.0" in drawing.caption
    assert "6.0 times" in drawing.caption
