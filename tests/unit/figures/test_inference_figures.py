import numpy as np
import polars as pl
import pytest

from nestwise.errors import Refusal
from nestwise.figures.influence import influence
from nestwise.figures.means import marginal_means, mean_contrasts
from nestwise.figures.profiles import profile_zeta
from nestwise.results import conform
from nestwise.vocabulary import INFLUENCE, INTERCEPT, MEANS, PROFILES


@pytest.fixture
def left_out(hostile):
    cook = [0.01] * 8 + [0.9, 0.02]
    labels = [f"g{k}" for k in range(8)] + [hostile, "g9"]
    frame = pl.DataFrame({"group": "g", "label": labels, "n": 5, "cook": cook, "leverage": 0.1})
    return conform(frame, INFLUENCE)


def means_frame(arms=2, kind="mean"):
    rows = [
        {
            "grid": "x",
            "kind": kind,
            "x": str(x),
            "by": f"arm {arm}",
            "term": f"{x}, arm {arm}",
            "estimate": x + arm,
            "lower": x + arm - 0.5,
            "upper": x + arm + 0.5,
            "level": 0.95,
        }
        for arm in range(arms)
        for x in (1, 2, 3)
    ]
    return conform(pl.DataFrame(rows), MEANS)


def test_influence_puts_the_largest_first_and_marks_what_is_above_4_over_j(left_out, wording):
    drawing = influence(left_out, wording, group="g")
    assert drawing.data["cook"][0] == 0.9
    assert drawing.data["limit"].unique().to_list() == [0.4]
    assert "1 of 10 schools above 4/J = 0.400" in drawing.caption
    assert "\x1b" not in drawing.caption
    with pytest.raises(Refusal, match="no Cook's distance"):
        influence(left_out, wording, group="other")


def test_means_are_a_line_a_level_and_more_than_can_be_told_apart_are_refused(wording):
    drawing = marginal_means(means_frame(), wording, grid="x")
    assert len(drawing.figure.axes[0].lines) == 2
    assert drawing.data.height == 6
    assert "95% intervals" in drawing.caption
    with pytest.raises(Refusal, match="9 lines cannot be told apart"):
        marginal_means(means_frame(9), wording, grid="x")
    with pytest.raises(Refusal, match="no means"):
        marginal_means(means_frame(kind="contrast"), wording, grid="x")


def test_contrasts_count_the_intervals_that_exclude_zero(wording):
    frame = means_frame(kind="contrast").with_columns(pl.col("lower") - 1.0)
    drawing = mean_contrasts(frame, wording, grid="x")
    # lower ends x + arm - 1.5: above zero for 2 and 3 in arm 0, and for all three in arm 1
    assert "5 of 6 intervals exclude zero" in drawing.caption
    with pytest.raises(Refusal, match="no differences"):
        mean_contrasts(means_frame(), wording, grid="x")


def test_a_profile_has_a_panel_a_parameter_and_its_dot_at_the_optimum(wording):
    value = np.linspace(1, 3, 21)
    frames = [
        pl.DataFrame({"component": c, "group": g, "term": t, "value": value, "zeta": (value - at) * 2})
        for c, g, t, at in (("sd", "g", INTERCEPT, 2.0), ("residual", None, "sigma", 1.5))
    ]
    frame = conform(pl.concat(frames, how="vertical_relaxed"), PROFILES)
    drawing = profile_zeta(frame, wording)
    shown = [axes for axes in drawing.figure.axes if axes.get_visible()]
    dots = [float(axes.collections[-1].get_offsets()[0][0]) for axes in shown]
    assert dots == pytest.approx([2.0, 1.5])
    assert drawing.data.height == 42
    with pytest.raises(Refusal, match="no covariance parameter"):
        profile_zeta(frame.clear(), wording)
