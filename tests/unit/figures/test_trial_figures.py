"""Figures of a longitudinal trial: correlations of the visits, and the arms visit by visit."""

import re

import numpy as np
import polars as pl
import pytest

from nestwise.errors import Refusal
from nestwise.figures.arms import differences_by_visit
from nestwise.figures.correlations import residual_correlations
from nestwise.figures.influence import influence
from nestwise.figures.means import marginal_means, positions
from nestwise.figures.theme import svg
from nestwise.results import conform
from nestwise.vocabulary import ESTIMATES, INFLUENCE, MEANS

VISITS = ["1", "2", "6"]
CORRELATION = [[1.0, 0.6, -0.3], [0.6, 1.0, 0.5], [-0.3, 0.5, 1.0]]


def residual(labels=("",), visits=tuple(VISITS), correlation=CORRELATION):
    strata = [{"label": label, "correlation": correlation, "sd": [2.0, 3.0, 4.0]} for label in labels]
    return {"structure": "unstructured", "time": "x", "visits": list(visits), "strata": strata}


def sds(**intervals):
    rows = [
        {"component": "residual", "term": term, "estimate": 2.0, "lower": low, "upper": high}
        for term, (low, high) in intervals.items()
    ]
    return conform(pl.DataFrame(rows, infer_schema_length=None), ESTIMATES) if rows else empty()


def empty():
    return pl.DataFrame(schema=dict(ESTIMATES))


def differences(pairs=("b - a",), visits=("1", "2", "6")):
    rows = [
        {"grid": "x, arm", "kind": kind, "x": visit, "by": pair, "term": f"{pair} at {visit}"}
        | {"estimate": float(visit) - 2.5, "std_error": 1.0, "p_value": 0.03, "level": 0.95}
        | {"lower": float(visit) - 4.5, "upper": float(visit) - 0.5}
        for visit in visits
        for kind, pair in [("contrast", each) for each in pairs] + [("mean", "a"), ("mean", "b")]
    ]
    return conform(pl.DataFrame(rows), MEANS)


def test_a_square_a_pair_darker_the_stronger_and_hatched_where_negative(wording):
    drawing = residual_correlations(residual(), sds(), wording)
    squares = drawing.figure.axes[0].patches
    assert len(squares) == 3
    strength = [square.get_alpha() / 0.55 for square in squares]
    assert strength == pytest.approx([0.6, 0.3, 0.5])
    assert [bool(square.get_hatch()) for square in squares] == [False, True, False]
    assert [text.get_text() for text in drawing.figure.axes[0].texts] == ["0.60", "−0.30", "0.50"]
    assert "of two visits −0.30 to 0.60" in drawing.caption


def test_the_table_behind_the_squares_holds_every_pair_and_every_sd_with_its_interval(wording):
    intervals = {"sigma[placebo:1]": (1.5, 2.5), "sigma[active]": (1.0, 9.0)}
    data = residual_correlations(residual(("placebo", "active")), sds(**intervals), wording).data
    assert data.height == 2 * (3 + 3)
    sd = data.filter(pl.col("quantity") == "sd").select("stratum", "visit", "estimate", "lower", "upper")
    assert sd.rows()[:2] == [("placebo", "1", 2.0, 1.5, 2.5), ("placebo", "2", 3.0, None, None)]
    # one SD for all visits of a stratum has one interval
    assert {row[3:] for row in sd.rows()[3:]} == {(1.0, 9.0)}


def test_many_visits_have_squares_without_numbers(wording):
    n = 20
    visits = [str(k) for k in range(n)]
    many = residual((), visits) | {"strata": [{"label": "", "correlation": np.eye(n).tolist()}]}
    figure = residual_correlations(many, empty(), wording).figure
    assert len(figure.axes) == 1
    assert len(figure.axes[0].patches) == n * (n - 1) / 2
    assert not figure.axes[0].texts
    assert len(figure.axes[0].get_xticks()) <= 12


def test_without_correlations_there_is_no_figure(wording):
    for nothing in ({}, residual(()), residual(visits=("1",), correlation=[[1.0]])):
        with pytest.raises(Refusal, match="no correlations"):
            residual_correlations(nothing, empty(), wording)


def test_a_hostile_visit_is_text(wording, hostile):
    drawing = residual_correlations(residual((hostile,), (hostile, "2", "6")), empty(), wording)
    text = svg(drawing.figure, name="x", title="t")
    assert "<script" not in text
    assert "\x1b" not in text


def test_the_last_visit_is_named_with_its_difference(wording):
    drawing = differences_by_visit(differences(), wording, grid="x, arm")
    assert drawing.data["estimate"].to_list() == [-1.5, -0.5, 3.5]
    assert "At the last visit (day 6): b − a 3.5 (1.5 to 5.5, p = 0.030)" in drawing.caption
    assert "1 of 3 intervals exclude zero" in drawing.caption


def test_visits_stand_at_their_true_times(wording):
    figure = differences_by_visit(differences(), wording, grid="x, arm").figure
    assert figure.axes[0].get_xticks().tolist() == [1, 2, 6]
    means = marginal_means(differences(), wording, grid="x, arm").figure
    assert means.axes[0].get_xticks().tolist() == [1, 2, 6]
    # any other variable stands level by level
    assert list(positions(["1", "2", "6"], timed=False).values()) == [0, 1, 2]
    assert list(positions(["base", "week 4"], timed=True).values()) == [0, 1]


def test_one_visit_or_too_many_pairs_are_refused(wording):
    with pytest.raises(Refusal, match="9 lines"):
        differences_by_visit(differences([f"{k} - a" for k in range(9)]), wording, grid="x, arm")
    with pytest.raises(Refusal, match="no differences by visit"):
        differences_by_visit(differences(()), wording, grid="x, arm")


@pytest.mark.parametrize("n", [2, 10, 97])
def test_ranks_of_influence_are_whole_numbers(wording, n):
    frame = pl.DataFrame({"group": "g", "label": [f"g{k}" for k in range(n)], "n": 5})
    frame = frame.with_columns(pl.Series("cook", np.linspace(1, 0.01, n)))
    drawing = influence(conform(frame, INFLUENCE), wording, group="g")
    ticks = drawing.figure.axes[0].get_xticks()
    assert np.allclose(ticks, np.round(ticks))


def test_groups_of_about_one_influence_share_a_label(wording):
    cook = [1.0, 0.5, 0.49, 0.2, 0.1, 0.01]
    frame = pl.DataFrame({"group": "g", "label": list("abcdef"), "n": 5, "cook": cook})
    axes = influence(conform(frame, INFLUENCE), wording, group="g").figure.axes[0]
    said = [text.get_text() for text in axes.texts]
    assert [label for label in said if re.fullmatch(r"[a-f](, [a-f])*", label)] == ["a", "b, c", "d", "e"]
