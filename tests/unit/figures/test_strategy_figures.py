"""The tipping point: where it lies, and that axis and caption say what was shifted."""

import polars as pl
import pytest

from nestwise.figures.strategies import strategy_forest, tipping_point
from nestwise.results import conform
from nestwise.vocabulary import SENSITIVITY


def shifts(scale, deltas=(-2.0, 0.0, 2.0), step=0.5):
    rows = [
        {"study": "s", "model": "m", "engine": "gee", "term": "arm:t", "kind": "coefficient", "scale": "link",
         "strategy": "delta", "delta": delta, "delta_scale": scale, "method": f"delta {delta:g}",
         "estimate": -0.5 + step * delta, "std_error": 0.2, "lower": -0.9 + step * delta,
         "upper": -0.1 + step * delta, "p_value": 0.03, "level": 0.95, "verdict": "not_compared"}
        for delta in deltas
    ]  # fmt: skip
    return conform(pl.DataFrame(rows), SENSITIVITY)


def test_log_odds_are_said_on_the_axis_and_as_odds_ratios(wording):
    drawing = tipping_point(shifts("log_odds"), wording)
    assert drawing.figure.axes[0].get_xlabel() == "shift of the imputed outcomes (in log-odds)"
    assert "the log-odds of the imputed outcomes shifted by −2.00 to 2.00" in drawing.caption
    assert "(odds ratios of 0.14 to 7.4)" in drawing.caption
    # the upper end is -0.1 + 0.5 delta: zero at 0.2
    assert "at a shift of about 0.20 (an odds ratio of 1.2)" in drawing.caption
    assert drawing.data["delta_scale"].to_list() == ["log_odds"] * 3


def test_numbers_are_shifted_in_the_unit_of_the_outcome(wording):
    drawing = tipping_point(shifts("outcome"), wording)
    unit = wording.unit(wording.outcome)
    assert unit in drawing.figure.axes[0].get_xlabel()
    assert "odds" not in drawing.caption
    assert f"at a shift of about 0.20 {unit}: judge" in drawing.caption


def test_shifts_beyond_any_float_are_still_drawn(wording):
    drawing = tipping_point(shifts("log_odds", (-1e4, 0.0, 1e4), step=0.0), wording)
    assert "does not tip" in drawing.caption


@pytest.mark.parametrize(("scale", "said"), [("log_odds", "by 2 in log-odds"), ("outcome", "by 2")])
def test_a_forest_names_each_shift(wording, scale, said):
    drawing = strategy_forest(shifts(scale), wording)
    assert drawing.figure.axes[0].get_yticklabels()[0].get_text().endswith(said)


def test_the_band_of_all_observed_rows_stands_behind_its_own_engine(wording):
    """Estimating equations estimate another effect than a mixed model, whose interval is no yardstick."""
    two = shifts("outcome", (0.0, 1.0)).with_columns(strategy=pl.Series(["observed", "delta"]))
    answers = pl.concat([two.with_columns(engine=pl.lit(engine)) for engine in ("glmm", "gee")])
    axes = strategy_forest(answers, wording).figure.axes[0]
    bands = [made for made in axes.collections if made.get_alpha() == 0.1]
    edges = [path.get_extents() for made in bands for path in made.get_paths()]
    # from below: gee has the places 0 and 1, glmm 2 and 3
    assert sorted((edge.y0, edge.y1) for edge in edges) == [(-0.5, 1.5), (1.5, 3.5)]
