"""A model in mathematical form: the right effects at the right level, as well-formed MathML."""

import re
from dataclasses import asdict, replace
from xml.etree import ElementTree

import numpy as np
import pytest

from nestwise.design.markup import factors
from nestwise.design.mathml import equations, shape, shape_from_record, write
from nestwise.design.record import Design, Membership, RandomTerm, RowFlow
from nestwise.report.ways import five_ways

CODES = np.repeat(np.arange(6), 4)
ONE = np.ones(24)
X = np.tile([0.0, 1.0, 1.0, 0.0], 6)
U = np.array([0.3, -1.2, 0.8, 2.0, -0.4, 1.1])[CODES]


def design(columns, *random, names=None, **given):
    fields = {
        "study": "s",
        "model": "m",
        "formula": "y ~ x",
        "outcome": "y",
        "y": np.arange(24.0),
        "X": np.column_stack(list(columns.values())),
        "names": tuple(columns),
        "random": random,
        "rows": np.arange(1, 25),
        "row_flow": RowFlow(24, 24, 6, 6),
        "analysis_hash": "h",
    }
    return Design(**(fields | given))


def term(columns, group="county", codes=CODES, correlated=True):
    labels = tuple(str(code) for code in np.unique(codes))
    return RandomTerm(
        group, tuple(columns), np.column_stack(list(columns.values())), codes, labels, correlated
    )


FIXED = {"(Intercept)": ONE, "x": X, "u": U, "x:u": X * U}
BOTH = {"(Intercept)": ONE, "x": X}


def text(mathml):
    """The visible letters, without the tags."""
    return re.sub(r"\s+", "", "".join(ElementTree.fromstring(mathml).itertext()))


def test_group_level_predictors_and_cross_level_interactions_stand_at_level_2():
    writing = write(shape(design(FIXED, term(BOTH))))
    lines = {equation.title: text(equation.mathml) for equation in writing.equations}
    assert lines["Level 1: observations"] == "yi=β0j[i]+β1j[i]xi+εi"
    assert lines["Level 2: intercept of county j"] == "β0j=γ00+γ01uj+η0j"
    assert lines["Level 2: slope of x of county j"] == "β1j=γ10+γ11uj+η1j"
    assert "ρτ0τ1" in lines["Between groups (county)"]


def test_an_effect_alike_in_every_group_stays_at_level_1():
    writing = write(shape(design(FIXED, term({"(Intercept)": ONE}))))
    assert text(writing.equations[0].mathml) == "yi=β0j[i]+β1xi+β2xi·ui+εi"
    assert text(writing.equations[2].mathml) == "β0j=γ00+γ01uj+η0j"


def test_independent_effects_have_zeros_off_the_diagonal():
    writing = write(shape(design(BOTH, term(BOTH, correlated=False))))
    assert "ρ" not in text(writing.equations[-1].mathml)
    assert [symbol.component for symbol in writing.symbols] == ["fixed", "fixed", "sd", "sd", "residual"]


def test_the_key_names_every_quantity_of_the_tables_once():
    writing = write(shape(design(FIXED, term(BOTH))))
    named = [(symbol.component, symbol.term) for symbol in writing.symbols]
    assert sorted(named) == sorted(
        [("fixed", name) for name in FIXED]
        + [("sd", "(Intercept)"), ("sd", "x"), ("cor", "(Intercept):x"), ("residual", "sigma")]
    )
    symbols = [text(symbol.mathml) for symbol in writing.symbols]
    assert len(set(symbols)) == len(symbols)


def test_crossed_factors_get_an_error_term_each():
    other = np.tile(np.arange(4), 6)
    writing = write(
        shape(design(BOTH, term({"(Intercept)": ONE}), term({"(Intercept)": ONE}, "week", other)))
    )
    assert text(writing.equations[0].mathml) == "yi=β0+β1xi+η0,j[i]+η0,k[i]+εi"
    assert [equation.title for equation in writing.equations[2:]] == [
        "Between groups (county, j)",
        "Between groups (week, k)",
    ]


def test_without_brackets_it_is_a_regression():
    assert text(write(shape(design(BOTH))).equations[0].mathml) == "yi=β0+β1xi+εi"


def test_an_offset_and_a_curved_link_are_written():
    made = design(BOTH, term({"(Intercept)": ONE}), family="poisson", link="log", offset=ONE)
    lines = [text(equation.mathml) for equation in write(shape(made)).equations]
    assert lines[0] == "log(μi)=β0j[i]+β1xi+offseti"
    assert lines[1] == "yi∼Poisson(μi)"
    assert five_ways(shape(made)) == ()


def test_a_long_regression_is_broken_into_lines():
    columns = {"(Intercept)": ONE} | {f"x{k}": np.random.default_rng(k).normal(size=24) for k in range(11)}
    mathml = write(shape(design(columns))).equations[0].mathml
    assert mathml.count("<mtr>") == 4


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", 'a"b&c', "x < 3 & y", "Größe (cm²)"])
def test_names_from_strangers_are_text(name):
    made = design(
        {"(Intercept)": ONE, name: X, "u": U}, term({"(Intercept)": ONE, name: X}, name), outcome=name
    )
    for mathml in [*equations(made), *(e.mathml for way in five_ways(shape(made)) for e in way.equations)]:
        root = ElementTree.fromstring(mathml)
        tags = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert tags <= {"math", "mrow", "mi", "mo", "mn", "msub", "msup", "mtable", "mtr", "mtd"}
    assert name.replace(" ", "") in text(equations(made)[0])


def test_a_shape_survives_json():
    made = shape(design(FIXED, term(BOTH)))
    assert shape_from_record(asdict(made)) == made


def test_five_ways_are_five():
    ways = five_ways(shape(design(FIXED, term(BOTH))))
    assert len({way.title for way in ways}) == 5
    assert "x" in ways[4].words


@pytest.mark.parametrize(
    ("name", "parts"),
    [("a:b", ("a", "b")), ("I(a:b):c", ("I(a:b)", "c")), ("x", ("x",)), ("a:b:c", ("a", "b", "c"))],
)
def test_interactions_split_at_outer_colons(name, parts):
    assert factors(name) == parts


def test_a_row_of_several_groups_has_the_weighted_sum_of_their_effects():
    shared = Membership(np.column_stack([CODES, CODES[::-1]]), np.full((24, 2), 0.5))
    model = shape(design(FIXED, replace(term(BOTH), membership=shared)))
    assert not model.levelled
    lines = {equation.title: text(equation.mathml) for equation in write(model).equations}
    assert "∑jwijη0,j" in lines["Observations"]
    assert "∑jwijη1,jxi" in lines["Observations"]
    assert five_ways(model) == ()
    assert shape_from_record(asdict(model)) == model


def test_related_groups_have_a_known_covariance_times_their_variance():
    related = replace(term({"(Intercept)": ONE}), relation=np.eye(6))
    lines = {e.title: text(e.mathml) for e in write(shape(design(FIXED, related))).equations}
    assert lines["Between groups (county, j)"] == "η0∼N(0,τ0,j2A)"
    slopes = replace(term(BOTH), relation=np.eye(6))
    lines = {e.title: text(e.mathml) for e in write(shape(design(FIXED, slopes))).equations}
    assert lines["Between groups (county, j)"].endswith("⊗A)")


def test_a_shape_saved_before_memberships_were_is_still_read():
    old = asdict(shape(design(FIXED, term(BOTH))))
    for each in old["random"]:
        del each["memberships"], each["relation"]
    assert shape_from_record(old).levelled
