"""Missingness map, drop-out curves and means by drop-out cohort, from tables made by hand."""

import numpy as np
import polars as pl
import pytest
from matplotlib.collections import QuadMesh

from nestwise.errors import Refusal
from nestwise.figures.dropout import dropout_curves, dropout_means
from nestwise.figures.missing_map import missingness_map
from nestwise.figures.theme import svg
from nestwise.missing_vocabulary import COHORT_MEANS, DROPOUT, MISSINGNESS_MAP
from nestwise.results import conform


def band_table(arms=("a", "b"), share=0.25):
    rows = [
        {"study": "s", "over": "y by x", "arm": arm, "band": 2 * k + band, "column": str(t), "position": t,
         "n": 3 - band, "missing": share if t == 2 else 0.0}
        for k, arm in enumerate(arms) for band in range(2) for t in range(3)
    ]  # fmt: skip
    return conform(pl.DataFrame(rows), MISSINGNESS_MAP)


def curve_table(left=(0, 2, 1)):
    rows, n = [], 10
    for arm in ("all", "a", "b"):
        remaining = n
        for t, gone in enumerate(left):
            remaining -= gone
            rows.append(
                {"study": "s", "outcome": "y", "arm": arm, "visit": str(t), "position": t, "time": float(t),
                 "n": n, "left": gone, "at_risk": remaining + gone, "remaining": remaining,
                 "proportion": remaining / n, "lower": 0.1, "upper": 0.95, "level": 0.95}
            )  # fmt: skip
    return conform(pl.DataFrame(rows), DROPOUT)


def cohort_table():
    rows = [
        {"study": "s", "outcome": "y", "arm": "all", "cohort": "completed" if last == 2 else str(last),
         "last": last, "visit": str(t), "position": t, "time": float(t), "n": 5 + last, "mean": 10.0 - last,
         "std_error": 1.0}
        for last in range(3) for t in range(last + 1)
    ]  # fmt: skip
    return conform(pl.DataFrame(rows), COHORT_MEANS)


def test_bands_are_as_high_as_they_have_members_and_as_dark_as_they_lack_values(wording):
    drawing = missingness_map(band_table(), wording, unit="g")
    first, second = drawing.figure.axes
    (mesh,) = [each for each in first.collections if isinstance(each, QuadMesh)]
    assert np.allclose(mesh.get_array()[..., 3], [[0, 0, 0.25], [0, 0, 0.25]])
    assert first.get_ylim() == (0, 5)
    assert second.get_title(loc="left") == "b (5)"
    assert "a 8%, b 8%" in drawing.caption
    assert len(svg(drawing.figure, name="m", title="m")) < 60_000


def test_a_map_of_variables_names_them(wording):
    table = band_table(("all",)).with_columns(over=pl.lit("variables"), column=pl.format("u{}", "position"))
    drawing = missingness_map(table, wording, unit="row")
    assert drawing.figure.axes[0].get_xlabel() == "variable"
    assert "in the order of the file" in drawing.caption


def test_curves_show_arms_and_not_all_together(wording):
    drawing = dropout_curves(curve_table(), wording, group="g")
    lines = drawing.figure.axes[0].lines
    assert [line.get_label() for line in lines] == ["a", "b"]
    assert np.allclose(lines[0].get_ydata(), [1, 0.8, 0.7])
    assert "a 70% and b 70%" in drawing.caption
    assert drawing.figure.axes[0].get_xlabel() == "Time awake (day)"


def test_visits_with_names_of_their_own_are_not_called_time(wording):
    named = curve_table().with_columns(pl.col("visit").replace({"0": "baseline"}))
    assert dropout_curves(named, wording, group="g").figure.axes[0].get_xlabel().startswith("visit")


def test_cohorts_end_where_they_were_seen_last_and_say_how_many_they_are(wording):
    drawing = dropout_means(cohort_table(), wording, group="g")
    axes = drawing.figure.axes[0]
    assert [len(line.get_xdata()) for line in axes.lines] == [1, 2, 3]
    assert [text.get_text() for text in axes.texts] == ["5", "6", "7"]
    # weighted by the size of the cohorts: (5 * 10 + 6 * 9) / 11
    assert "9.45 against 8.00" in drawing.caption


@pytest.mark.parametrize(
    ("figure", "table", "key"),
    [
        (missingness_map, band_table(share=0.0), "unit"),
        (missingness_map, band_table(tuple("abcdefg")), "unit"),
        (dropout_curves, curve_table((0, 0, 0)), "group"),
        (dropout_means, cohort_table().filter(pl.col("last") == 2), "group"),
    ],
)
def test_nothing_missing_no_figure(figure, table, key, wording):
    with pytest.raises(Refusal):
        figure(table, wording, **{key: "g"})
