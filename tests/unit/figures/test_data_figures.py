import numpy as np
import polars as pl
import pytest
from matplotlib.collections import LineCollection
from scipy import stats

from nestwise.errors import Refusal
from nestwise.figures.missing import missingness
from nestwise.figures.raw import outcome_by_group, spaghetti
from nestwise.figures.residuals import (
    normal_order,
    outside,
    random_effect_qq,
    residual_qq,
    residual_vs_fitted,
)
from nestwise.figures.theme import svg
from nestwise.figures.within_between import within_between


def text_of(drawing):
    return svg(drawing.figure, name=drawing.name, title=drawing.name)


def panel_data(groups, visits=5):
    return pl.DataFrame(
        {
            "label": [f"g{k}" for k in range(groups) for _ in range(visits)],
            "x": np.tile(np.arange(visits, dtype=float), groups),
            "y": np.random.default_rng(1).normal(10, 1, groups * visits),
        }
    )


def test_few_groups_have_a_panel_each(wording):
    drawing = spaghetti(panel_data(18), wording, group="g")
    assert sum(bool(axes.lines) for axes in drawing.figure.axes) == 18
    text = text_of(drawing)
    assert "Time awake (day)" in text
    assert "Reaction (ms)" in text
    assert "18 schools" in drawing.caption


def test_many_groups_are_thinned_and_the_mean_is_of_all(wording):
    rows = panel_data(3000)
    drawing = spaghetti(rows, wording, group="g")
    axes = drawing.figure.axes[0]
    (bundle,) = [c for c in axes.collections if isinstance(c, LineCollection)]
    assert len(bundle.get_segments()) == 150
    assert "150 groups, evenly chosen" in drawing.caption
    means = rows.group_by("x").agg(pl.col("y").mean()).sort("x")["y"]
    assert np.allclose(axes.lines[0].get_ydata(), means)
    assert len(text_of(drawing)) < 700_000


def test_dots_by_group_are_in_order(wording):
    drawing = outcome_by_group(panel_data(30), wording, group="g")
    assert drawing.data["mean"].is_sorted()
    assert drawing.figure.axes[0].get_ylabel() == "Reaction (ms)"


@pytest.mark.parametrize("figure", [spaghetti, outcome_by_group])
def test_no_outcome_no_figure(figure, wording):
    rows = panel_data(3).with_columns(pl.lit(None, dtype=pl.Float64).alias("y"))
    with pytest.raises(Refusal):
        figure(rows, wording, group="g")


def test_within_and_between_slopes_are_told_apart(wording):
    """Rule 11: -1 inside groups, +2 across them."""
    generator = np.random.default_rng(2)
    means = np.arange(20.0)
    inside = generator.normal(0, 1, (20, 30))
    inside -= inside.mean(axis=1, keepdims=True)
    rows = pl.DataFrame(
        {
            "label": [f"g{k}" for k in range(20) for _ in range(30)],
            "x": (means[:, None] + inside).ravel(),
            "y": (2 * means[:, None] - inside).ravel(),
        }
    )
    drawing = within_between(rows, wording, group="g", x="x")
    labels = [line.get_label() for line in drawing.figure.axes[0].lines]
    assert labels == ["within groups: −1.00", "between groups: 2.00"]
    assert "opposite signs" in drawing.caption
    assert "3.00" in drawing.caption


def test_a_constant_covariate_has_no_within_slope(wording):
    rows = panel_data(5).with_columns(pl.lit(1.0).alias("x"))
    with pytest.raises(Refusal, match="does not vary"):
        within_between(rows, wording, group="g", x="x")


def test_patterns_of_missing_values(wording):
    frame = pl.LazyFrame({"a": [1, None, 3, None], "b": [1, None, None, 4], "c": [1, 2, 3, 4]})
    drawing = missingness(frame, ["a", "b", "c"], wording)
    assert drawing.data["rows"].sum() == 4
    assert drawing.data.height == 4
    assert "c" not in drawing.data.columns
    assert "25% of 4 rows are complete" in drawing.caption
    with pytest.raises(Refusal, match="no value is missing"):
        missingness(frame, ["c"], wording)


def test_the_envelope_is_that_of_order_statistics():
    ordered = normal_order(np.random.default_rng(1).normal(size=50))
    row = ordered.row(9, named=True)
    assert row["lower"] == pytest.approx(stats.norm.ppf(stats.beta.ppf(0.025, 10, 41)))
    assert row["upper"] == pytest.approx(stats.norm.ppf(stats.beta.ppf(0.975, 10, 41)))


def test_normal_values_stay_inside_and_heavy_tails_leave():
    generator = np.random.default_rng(4)
    assert outside(normal_order(generator.normal(size=2000))) < 0.2
    assert outside(normal_order(generator.standard_t(2, 2000))) > 0.5


@pytest.mark.parametrize("figure", [residual_qq, residual_vs_fitted])
def test_residual_figures_say_their_units(figure, predictions, wording):
    drawing = figure(predictions, wording)
    assert "ms" in drawing.caption + text_of(drawing)


@pytest.mark.parametrize("figure", [residual_qq, residual_vs_fitted])
def test_residuals_may_be_all_null(figure, predictions, wording):
    none = predictions.with_columns(pl.lit(None, dtype=pl.Float64).alias("residual"))
    with pytest.raises(Refusal):
        figure(none, wording)


def test_large_clouds_become_images(predictions, wording):
    many = pl.concat([predictions] * 200)
    for figure in (residual_qq, residual_vs_fitted):
        assert len(text_of(figure(many, wording))) < 400_000
    assert "<image" in text_of(residual_vs_fitted(many, wording))


def test_outlying_groups_are_named(make_groups, wording):
    groups = make_groups(40).with_columns(
        pl.when(pl.col("label") == "g7").then(40.0).otherwise(pl.col("random_effect")).alias("random_effect")
    )
    assert "g7" in random_effect_qq(groups, wording, group="g").caption


def test_equal_effects_have_no_quantiles(make_groups, wording):
    groups = make_groups(40).with_columns(pl.lit(0.0).alias("random_effect"))
    with pytest.raises(Refusal):
        random_effect_qq(groups, wording, group="g")
