"""What a model assumes of its residuals and grouping factors, in mathematics and in words (rule 8)."""

from xml.etree import ElementTree

import pytest

from nestwise.config.study import Study
from nestwise.report.covariance import (
    kind_and_place,
    residual_equations,
    residual_symbols,
    residual_words,
)
from nestwise.report.grouping import grouping_words
from nestwise.report.words import residual_name

NAMES = {"weights": "w", "sampling_error": "se", "subject": "patient"}
STRUCTURES = ("unstructured", "compound_symmetry", "ar1", "toeplitz", "antedependence")


def design(structure="unstructured", *, heterogeneous=False, by="", variance=None, visits=3, **others):
    residual = {
        "structure": structure,
        "heterogeneous": heterogeneous,
        "subject": "patient",
        "time": "week",
        "visits": [str(k) for k in range(visits)],
        "by": by,
        "variance": variance,
        "n_parameters": 4,
    }
    return {"residual": residual, "weights": False, "sampling_error": False} | others


def text(equation):
    """All symbols of an equation in reading order; the MathML has to be well-formed for that."""
    return "".join(ElementTree.fromstring(equation.mathml).itertext())


def written(made, times=()):
    return [text(line) for line in residual_equations(made, NAMES, times)]


def test_plain_residuals_are_left_to_the_shape_of_the_model():
    assert residual_equations({"residual": None, "weights": False}, NAMES) == ()
    assert residual_words({"residual": None}, NAMES) == ""


@pytest.mark.parametrize(
    ("structure", "covariance", "first_row"),
    [
        ("unstructured", "σtσuρtu", "1ρ0,1ρ0,2"),
        ("compound_symmetry", "σ2ρ", "1ρρ"),
        ("ar1", "σ2ρ|xt−xu|", "1ρ1.5ρ6"),
        ("toeplitz", "σ2ρ|t−u|", "1ρ1ρ2"),
        ("antedependence", "σ2ρtρt+1⋯ρu−1", "1ρ0,1ρ0,1ρ1,2"),
    ],
)
def test_every_structure_is_written_in_general_and_as_a_matrix(structure, covariance, first_row):
    made = design(structure, heterogeneous=structure == "unstructured")
    lead, entry, matrix = written(made, (0, 1.5, 6))
    assert lead == "εs∼N(0,Σ)"
    assert entry == f"cov(εst,εsu)={covariance}"
    assert matrix.removeprefix("(").startswith(first_row)


def test_many_visits_have_no_matrix():
    assert len(written(design("ar1", visits=9))) == 2


def test_strata_weights_and_variance_functions_enter_the_covariance():
    assert written(design(by="arm"))[0] == "εs∼N(0,Σarm[s])"
    assert "wstwsu" in written(design("ar1", weights=True))[1]
    power = {"kind": "power", "name": "dose"}
    assert "σ|dosest|δσ|dosesu|δ" in written(design("ar1", variance=power))[1]
    assert written(design("independent", variance=power)) == ["εi∼N(0,σ2|dosei|2δ)"]
    exponential = {"kind": "exponential", "name": "dose"}
    assert written(design("independent", variance=exponential)) == ["εi∼N(0,σ2exp(2δdosei))"]
    strata = {"kind": "strata", "name": "site"}
    assert written(design("independent", variance=strata)) == ["εi∼N(0,σsitei2)"]


def test_weights_and_known_errors_alone():
    assert written({"residual": None, "weights": True}) == ["εi∼N(0,σ2wi)"]
    assert written({"residual": None, "sampling_error": True}) == ["εi∼N(0,sei2)"]
    assert "known (se)" in residual_words({"residual": None, "sampling_error": True}, NAMES)
    assert "divided by its weight w" in residual_words({"residual": None, "weights": True}, NAMES)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_every_structure_has_words(structure):
    said = residual_words(design(structure, by="arm"), NAMES)
    assert said.startswith("Inside a patient ")
    assert "each level of arm has a covariance of its own" in said
    assert said.endswith("(4 covariance parameters).")


def test_words_tell_one_variance_from_one_a_visit():
    assert "all visits have one variance" in residual_words(design("ar1"), NAMES)
    assert "each visit has a variance" in residual_words(design("ar1", heterogeneous=True), NAMES)
    function = {"kind": "power", "name": "dose"}
    assert "σ|dose|^δ" in residual_words(design("ar1", variance=function), NAMES)


def test_a_hostile_column_stays_text_in_mathematics():
    made = {"residual": None, "weights": True}
    (line,) = residual_equations(made, NAMES | {"weights": "<script>"}, ())
    assert "<script>" not in line.mathml
    assert text(line) == "εi∼N(0,σ2<script>i)"


@pytest.mark.parametrize(
    ("term", "parts", "symbol", "name"),
    [
        ("sigma", ("sigma", ""), "σ", "residual SD (σ)"),
        ("sigma[2]", ("sigma", "2"), "σ2", "residual SD, week 2"),
        ("sigma[placebo:2]", ("sigma", "placebo:2"), "σplacebo:2", "residual SD, placebo:2"),
        ("cor[2,8]", ("cor", "2,8"), "ρ2,8", "residual correlation, week 2 and 8"),
        ("cor[lag 1]", ("cor", "lag 1"), "ρ1", "residual correlation, 1 visit apart"),
        ("cor[lag 2]", ("cor", "lag 2"), "ρ2", "residual correlation, 2 visits apart"),
        ("cor[a:lag 2]", ("cor", "a:lag 2"), "ρa:2", "residual correlation, a, 2 visits apart"),
        ("rho", ("rho", ""), "ρ", "residual correlation (ρ)"),
        ("power", ("power", ""), "δ", "power of the residual SD (δ)"),
    ],
)
def test_residual_parameters_have_symbols_and_names(term, parts, symbol, name):
    study = Study.model_validate(
        {
            "title": "t",
            "data": {"source": "a.csv"},
            "groups": {"g": {}},
            "time": {"column": "week"},
            "models": {"m": {"formula": "y ~ 1"}},
        }
    )
    assert kind_and_place(term) == parts
    (made,) = residual_symbols([term])
    assert "".join(ElementTree.fromstring(made.mathml).itertext()) == symbol
    assert residual_name(study, term) == name


@pytest.fixture
def schools():
    return Study.model_validate(
        {
            "title": "t",
            "data": {"source": "a.csv"},
            "groups": {"pupil": {"within": "class"}, "class": {"within": "school"}, "school": {}, "area": {}},
            "models": {"m": {"formula": "y ~ 1"}},
        }
    )


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (("school",), []),
        (("school", "school:class"), ["School:class is nested in school"]),
        (("pupil", "school"), ["Pupil is nested in school"]),
        (("school", "area"), ["School and area are crossed"]),
        (
            ("class", "school", "area"),
            ["Class is nested in school", "Class and area as well as school and area are crossed"],
        ),
    ],
)
def test_nested_and_crossed_factors_are_told_apart(schools, groups, expected):
    said = grouping_words(schools, {"random": [{"group": group} for group in groups]})
    assert len(said) == len(expected)
    assert all(part in sentence for part, sentence in zip(expected, said, strict=True))


def test_memberships_and_relations_are_said(schools):
    random = [{"group": "school", "memberships": 3, "relation": True}]
    shared, related = grouping_words(schools, {"random": random})
    assert "up to 3 schools at once (multiple membership)" in shared
    assert "known relation of school" in related
