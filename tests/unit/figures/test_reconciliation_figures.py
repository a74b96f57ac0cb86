"""Conditional and marginal effects, and the curves they describe, as figures."""

import polars as pl
import pytest

from nestwise.data.dataset import VariableInfo
from nestwise.errors import Refusal
from nestwise.figures.drawing import Wording
from nestwise.figures.effects import three_effects
from nestwise.figures.theme import png, svg
from nestwise.figures.trajectories import trajectories
from nestwise.results import conform
from nestwise.vocabulary import RECONCILIATION

WORDING = Wording("y", {"y": VariableInfo("y", "binary", True, label="Infection")}, {"g": "patient"}, "t")


def coefficients(*terms, attenuation=0.4):
    rows = [
        {
            "kind": "coefficient",
            "term": term,
            "level": 0.95,
            "attenuation": attenuation,
            "attenuation_rule": 0.39,
        }
        | {
            f"{name}{part}": value + shift
            for name, value in (("conditional", 1.0), ("integrated", 0.4), ("marginal", 0.42))
            for part, shift in (("", 0), ("_lower", -0.2), ("_upper", 0.2))
        }
        for term in terms
    ]
    return conform(pl.DataFrame(rows), RECONCILIATION)


def means(arms=("a", "b")):
    rows = [
        {"kind": "mean", "scale": "risk", "x": x, "by": arm}
        | {
            f"{name}{part}": value + shift
            for name, value in (("conditional", 0.2), ("integrated", 0.35), ("marginal", 0.34))
            for part, shift in (("", 0), ("_lower", -0.05), ("_upper", 0.05))
        }
        for arm in arms
        for x in (0.0, 1.0, 2.0)
    ]
    return conform(pl.DataFrame(rows, schema_overrides={"by": pl.String}), RECONCILIATION)


def individuals(n=6):
    rows = [(f"p{j}", float(t), 0.1 * j, "ab"[j % 2]) for j in range(n) for t in range(3)]
    return pl.DataFrame(rows, schema=["label", "x", "fitted", "by"], orient="row")


def test_three_effects_of_every_term_but_the_intercept_are_drawn_with_their_attenuation():
    drawing = three_effects(coefficients("(Intercept)", "x", "arm"), link="logit")
    assert drawing.data["term"].to_list() == ["x", "arm"]
    assert len(drawing.figure.axes) == 2
    text = svg(drawing.figure, name="a", title="t")
    assert "× 0.40" in text
    assert "log odds ratio" in text
    assert "typical group" in text
    assert "multiplies the effects by 0.40" in drawing.caption
    assert png(drawing.figure).startswith(b"\x89PNG")


def test_of_many_terms_the_first_are_drawn_and_all_are_in_the_data():
    drawing = three_effects(coefficients(*(f"x{k}" for k in range(12))), link="probit")
    assert len(drawing.figure.axes) == 8
    assert drawing.data.height == 12
    assert "first 8 of 12" in drawing.caption


def test_a_model_of_an_intercept_alone_has_no_such_figure():
    with pytest.raises(Refusal, match="no term"):
        three_effects(coefficients("(Intercept)"), link="logit")


def test_a_logarithm_is_said_to_attenuate_nothing():
    drawing = three_effects(coefficients("x", attenuation=1.0), link="log")
    assert "leaves effects as they are" in drawing.caption


def test_individual_typical_and_average_curves_stand_in_a_panel_an_arm():
    drawing = trajectories(individuals(), means(), WORDING, group="g")
    assert [axes.get_title(loc="left") for axes in drawing.figure.axes] == ["a", "b"]
    assert all(len(axes.lines) == 3 for axes in drawing.figure.axes)
    assert [len(axes.collections[0].get_segments()) for axes in drawing.figure.axes] == [3, 3]
    assert "a typical patient has 0.20, the average over patients is 0.35" in drawing.caption
    assert drawing.data.height == 6


def test_without_arms_there_is_one_panel_and_all_groups_are_in_it():
    drawing = trajectories(individuals().drop("by"), means((None,)), WORDING, group="g")
    assert len(drawing.figure.axes) == 1
    assert len(drawing.figure.axes[0].collections[0].get_segments()) == 6


def test_without_time_there_are_no_curves():
    with pytest.raises(Refusal, match="no means stand over time"):
        trajectories(individuals(), means().with_columns(x=None), WORDING, group="g")
