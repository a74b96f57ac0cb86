import numpy as np
import polars as pl
import pytest
from matplotlib.collections import PathCollection

from nestwise.errors import Refusal
from nestwise.figures.lines import pooling_lines, spanning
from nestwise.figures.pooling import pooling_by_size, pooling_factor
from nestwise.figures.shrinkage import shrinkage
from nestwise.figures.theme import svg
from nestwise.vocabulary import INTERCEPT


def text_of(drawing):
    return svg(drawing.figure, name=drawing.name, title=drawing.name, description=drawing.alt)


def offsets(axes):
    clouds = [collection for collection in axes.collections if isinstance(collection, PathCollection)]
    return [cloud.get_offsets().shape[0] for cloud in clouds]


def test_pooling_by_size_shows_every_group_twice(groups, wording):
    drawing = pooling_by_size(groups, wording, group="g", term=INTERCEPT, variance_ratio=4.0)
    left, right = drawing.figure.axes
    assert 12 in offsets(left)
    assert 12 in offsets(right)
    assert left.get_ylabel() == "intercept (ms)"
    assert left.get_xscale() == "log"
    assert "school" in left.get_xlabel()
    assert left.get_ylim() == right.get_ylim()
    assert "more than about 4.0 observations" in drawing.caption
    assert "own data outweigh" in text_of(drawing)
    assert drawing.data.height == 12


def test_groups_of_one_size_stand_in_a_row(make_groups, wording):
    groups = make_groups().with_columns(n=pl.lit(10, dtype=pl.Int64))
    drawing = pooling_by_size(groups, wording, group="g", term=INTERCEPT, variance_ratio=4.0)
    assert drawing.figure.axes[0].get_xscale() == "linear"
    assert "n = 10 each" in drawing.figure.axes[0].get_xlabel()
    with pytest.raises(Refusal, match="different sizes"):
        pooling_factor(groups, wording, group="g", variance_ratio=4.0)


def test_pooling_factor_follows_its_curve(groups, wording):
    drawing = pooling_factor(groups, wording, group="g", variance_ratio=4.0)
    axes = drawing.figure.axes[0]
    curve = next(line for line in axes.lines if "n / (n + 4.00)" in str(line.get_label()))
    x, y = curve.get_data()
    assert np.allclose(y, x / (x + 4))
    points = np.asarray(axes.collections[0].get_offsets())
    assert np.allclose(points[:, 1], drawing.data["pooling_factor"])


def test_dumbbells_run_from_own_to_pooled(groups, wording):
    drawing = shrinkage(groups, wording, group="g")
    axes = drawing.figure.axes[0]
    assert offsets(axes) == [12, 12]
    assert len(axes.get_yticklabels()) == 12
    assert axes.get_xlabel() == "Reaction (ms)"
    assert "The longest way is that of" in drawing.caption


def test_dumbbells_without_a_common_value(groups, wording):
    """`y ~ 0 + x + (1 | g)`: no fixed effect is what the intercepts are shrunk toward."""
    none = groups.with_columns(pl.lit(None, dtype=pl.Float64).alias("complete_pooling"))
    assert offsets(shrinkage(none, wording, group="g").figure.axes[0]) == [12, 12]


def test_two_coefficients_make_a_plane_with_ellipses(make_groups, wording):
    groups = make_groups(terms=(INTERCEPT, "x"))
    covariance = np.array([[1.0, 0.3], [0.3, 2.0]])
    drawing = shrinkage(groups, wording, group="g", covariance=covariance)
    axes = drawing.figure.axes[0]
    assert axes.get_xlabel() == "intercept (ms)"
    assert axes.get_ylabel() == "slope of x (ms per day)"
    half, most = axes.patches
    # the area of a level set is pi r^2 sqrt(det), r^2 = -2 log(1 - p)
    for ellipse, share in ((half, 0.5), (most, 0.95)):
        area = np.pi * ellipse.width * ellipse.height / 4
        assert area == pytest.approx(np.pi * -2 * np.log(1 - share) * np.sqrt(np.linalg.det(covariance)))
    tilt = np.degrees(np.arctan2(*np.linalg.eigh(covariance)[1][:, 1][::-1]))
    assert half.angle == pytest.approx(tilt)


def test_groups_without_an_own_estimate_are_counted(make_groups, wording):
    groups = make_groups(terms=(INTERCEPT, "x")).with_columns(
        pl.when((pl.col("label") == "g3") & (pl.col("term") == "x"))
        .then(None)
        .otherwise(pl.col("no_pooling"))
        .alias("no_pooling")
    )
    drawing = shrinkage(groups, wording, group="g")
    assert "1 school cannot be fitted alone" in drawing.caption


@pytest.mark.parametrize("figure", ["pooling_by_size", "shrinkage"])
def test_nothing_to_draw_is_said(groups, wording, figure):
    none = groups.with_columns(pl.lit(None, dtype=pl.Float64).alias("no_pooling"))
    with pytest.raises(Refusal, match="no-pooling estimate"):
        if figure == "shrinkage":
            shrinkage(none, wording, group="g")
        else:
            pooling_by_size(none, wording, group="g", term=INTERCEPT)
    with pytest.raises(Refusal):
        pooling_by_size(groups, wording, group="absent", term=INTERCEPT)


def lines_of(groups):
    parts = [
        groups.select(
            "label",
            "n",
            pl.lit(pooling).alias("pooling"),
            pl.col(f"{pooling}_pooling").alias("intercept"),
            (pl.col(f"{pooling}_pooling") / 10).alias("slope"),
        )
        for pooling in ("no", "complete", "partial")
    ]
    return pl.concat(parts)


def rows_of(groups, distinct=10):
    frames = [
        pl.DataFrame({"label": label, "x": np.arange(n) % distinct * 1.0, "y": 10 + np.arange(n) * 0.1})
        for label, n in zip(groups["label"], groups["n"], strict=True)
    ]
    return pl.concat(frames).with_columns(adjusted=pl.lit(value=False))


def test_lines_have_three_poolings_in_every_panel(make_groups, wording):
    groups = make_groups(30)
    drawing = pooling_lines(rows_of(groups), lines_of(groups), wording, group="g", x="x")
    panels = [axes for axes in drawing.figure.axes if axes.lines]
    assert len(panels) == 12
    assert all(len(axes.lines) == 3 for axes in panels)
    assert [line.get_label() for line in panels[0].lines] == [
        "complete pooling",
        "no pooling",
        "partial pooling",
    ]
    words = text_of(drawing)
    assert "Time awake (day)" in words
    assert "Reaction (ms)" in words


def test_chosen_groups_span_the_sizes_and_hold_the_extremes(make_groups):
    partial = lines_of(make_groups(200)).filter(pl.col("pooling") == "partial")
    chosen = spanning(partial)
    ordered = partial.sort("n", "label")["label"].to_list()
    assert len(chosen) == len(set(chosen)) == 12
    assert chosen[0] == ordered[0]
    assert chosen[-1] == ordered[-1]
    assert partial.sort("intercept")["label"][0] in chosen
    assert partial.sort("intercept")["label"][-1] in chosen


def test_a_predictor_of_two_values_has_two_ticks(make_groups, wording):
    groups = make_groups(6)
    drawing = pooling_lines(rows_of(groups, 2), lines_of(groups), wording, group="g", x="x")
    assert list(drawing.figure.axes[0].get_xticks()) == [0.0, 1.0]
    assert ">0.0<" not in text_of(drawing)


def test_one_group_is_enough(make_groups, wording):
    groups = make_groups(1)
    for drawing in (
        pooling_by_size(groups, wording, group="g", term=INTERCEPT),
        shrinkage(groups, wording, group="g"),
        pooling_lines(rows_of(groups), lines_of(groups), wording, group="g", x="x"),
    ):
        assert "<svg" in text_of(drawing)


@pytest.mark.parametrize("terms", [(INTERCEPT,), (INTERCEPT, "x")])
def test_three_thousand_groups_stay_small(make_groups, wording, terms):
    groups = make_groups(3000, terms)
    for drawing in (
        pooling_by_size(groups, wording, group="g", term=INTERCEPT, variance_ratio=4.0),
        shrinkage(groups, wording, group="g"),
        pooling_factor(groups, wording, group="g", variance_ratio=4.0),
    ):
        assert len(text_of(drawing)) < 700_000


def test_hostile_labels_are_drawn_as_text(make_groups, wording, hostile):
    groups = make_groups(3, labels=[hostile, "$a", "b"])
    text = text_of(shrinkage(groups, wording, group="g"))
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "\x1b" not in text
