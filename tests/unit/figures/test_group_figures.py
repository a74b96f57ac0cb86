import numpy as np
import polars as pl
import pytest
from matplotlib.collections import LineCollection

from nestwise.errors import Refusal
from nestwise.figures.caterpillar import COMPARISON, caterpillar
from nestwise.figures.league import league, ranks
from nestwise.figures.predictors import group_level_predictor
from nestwise.figures.theme import svg
from nestwise.vocabulary import INTERCEPT


def text_of(drawing):
    return svg(drawing.figure, name=drawing.name, title=drawing.name)


def test_caterpillar_is_in_order_and_labelled(groups, wording):
    drawing = caterpillar(groups, wording, group="g", term=INTERCEPT)
    axes = drawing.figure.axes[0]
    effects = drawing.data["random_effect"].to_list()
    assert effects == sorted(effects, reverse=True)
    assert [label.get_text() for label in axes.get_yticklabels()] == drawing.data["label"].to_list()
    assert "school effect on the intercept (ms)" in text_of(drawing)


def test_intervals_have_their_coverage(groups, wording):
    data = caterpillar(groups, wording, group="g", term=INTERCEPT, level=0.95).data
    width = (data["upper"] - data["lower"]) / data["random_effect_se"]
    assert np.allclose(width, 2 * 1.959964, atol=1e-5)


def test_comparison_intervals_are_1_39_standard_errors(groups, wording):
    """Rule 30."""
    plain = caterpillar(groups, wording, group="g", term=INTERCEPT)
    thick = caterpillar(groups, wording, group="g", term=INTERCEPT, comparison=True)
    lines = [c for c in thick.figure.axes[0].collections if isinstance(c, LineCollection)]
    assert len(lines) == 1 + sum(isinstance(c, LineCollection) for c in plain.figure.axes[0].collections)
    segments = np.array([segment[:, 0] for segment in lines[-1].get_segments()])
    widths = np.sort(segments[:, 1] - segments[:, 0])
    assert np.allclose(widths, np.sort(2 * COMPARISON * thick.data["random_effect_se"].to_numpy()))
    assert "1.39" in thick.caption


@pytest.mark.parametrize("count", [2, 60, 300, 3000])
def test_any_number_of_groups_is_drawn(make_groups, wording, count):
    drawing = caterpillar(make_groups(count), wording, group="g", term=INTERCEPT)
    assert drawing.data.height == count
    assert len(text_of(drawing)) < 700_000
    assert drawing.figure.get_size_inches()[1] < 12


def test_extremes_are_named_where_labels_would_not_fit(make_groups, wording):
    drawing = caterpillar(make_groups(300), wording, group="g", term=INTERCEPT)
    text = text_of(drawing)
    assert drawing.data["label"][0] in text
    assert drawing.data["label"][-1] in text


def test_ranks_agree_with_the_exact_probability():
    rows = pl.DataFrame(
        {"label": ["a", "b"], "n": [1, 1], "random_effect": [1.0, 0.0], "random_effect_se": [1.0, 1.0]}
    )
    table = ranks(rows, seed=1, draws=40_000)
    # P(a > b) = Phi(1 / sqrt 2) = 0.7602
    assert table.row(0, named=True)["expected_rank"] == pytest.approx(2 - 0.7602, abs=0.01)


def test_the_league_is_the_same_for_the_same_seed(groups, wording):
    first, second, other = (
        league(groups, wording, group="g", term=INTERCEPT, seed=seed).data for seed in (1, 1, 2)
    )
    assert first.equals(second)
    assert not first.equals(other)
    assert first["rank"].to_list() == list(range(1, 13))
    assert (first["rank_lower"] <= first["expected_rank"]).all()
    assert (first["rank_upper"] >= first["expected_rank"]).all()


def test_two_groups_make_no_league(make_groups, wording):
    with pytest.raises(Refusal, match="fewer than three"):
        league(make_groups(2), wording, group="g", term=INTERCEPT, seed=1)


def test_a_group_level_predictor_has_the_line_of_the_model(make_groups, wording):
    groups = make_groups(20)
    u = np.linspace(-1, 1, 20)
    moved = groups.with_columns(pl.Series("partial_pooling", groups["partial_pooling"] + 3 * u))
    values = pl.DataFrame({"label": groups["label"], "u": u})
    drawing = group_level_predictor(moved, values, wording, group="g", predictor="u")
    line = drawing.figure.axes[0].lines[0]
    x, y = line.get_data()
    assert np.allclose(np.polyfit(x, y, 1)[0], 3)
    assert drawing.figure.axes[0].get_xlabel() == "u (ppm), by school"
    assert "changes by 3.00" in drawing.caption


def test_a_predictor_that_moves_nothing_is_refused(groups, wording):
    values = pl.DataFrame({"label": groups["label"], "u": np.arange(12.0)})
    with pytest.raises(Refusal, match="moves no coefficient"):
        group_level_predictor(groups, values, wording, group="g", predictor="u")


def test_all_null_effects_are_refused(groups, wording):
    none = groups.with_columns(pl.lit(None, dtype=pl.Float64).alias("random_effect"))
    with pytest.raises(Refusal, match="no random effects"):
        caterpillar(none, wording, group="g", term=INTERCEPT)
