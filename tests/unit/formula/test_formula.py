"""Formulas are read as lme4 and R read them; what is wrong is said with its place."""

import pytest

from nestwise.errors import FormulaError
from nestwise.formula.functions import FUNCTIONS
from nestwise.formula.record import parse
from nestwise.formula.syntax import number_text
from nestwise.formula.terms import term_label


def fixed(text):
    return [term_label(term) for term in parse(text).fixed]


def random_parts(text):
    return [str(part) for part in parse(text).random]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("y ~ x + (x | g)", ["(1 + x | g)"]),
        ("y ~ x + (1 + x || g)", ["(1 + x || g)"]),
        ("y ~ x + (0 + x | g)", ["(0 + x | g)"]),
        ("y ~ x + (x - 1 | g)", ["(0 + x | g)"]),
        ("y ~ x + (-1 + x | g)", ["(0 + x | g)"]),
        ("y ~ (1 | a/b)", ["(1 | a)", "(1 | a:b)"]),
        ("y ~ (1 | a/b/c)", ["(1 | a)", "(1 | a:b)", "(1 | a:b:c)"]),
        ("y ~ (1 | a:b)", ["(1 | a:b)"]),
        ("y ~ (1 | (a:b))", ["(1 | a:b)"]),
        ("y ~ (1 | a/(b/c))", ["(1 | a)", "(1 | a:b)", "(1 | a:b:c)"]),
        ("y ~ x + (1 | g) + (0 + x | g)", ["(1 | g)", "(0 + x | g)"]),
        ("y ~ x + (1 | g) + (1 | h)", ["(1 | g)", "(1 | h)"]),
        ("y ~ (x:z | g)", ["(1 + x:z | g)"]),
        ("y ~ (x * z || g)", ["(1 + x + z + x:z || g)"]),
        ("y ~ x + ((x | g))", ["(1 + x | g)"]),
        ("y ~ (1 | g) + x", ["(1 | g)"]),
    ],
)
def test_random_terms(text, expected):
    assert random_parts(text) == expected


def test_the_parts_of_a_formula():
    formula = parse("log(y) ~ x * z + offset(log(n)) + (x | school/class)")
    assert formula.outcome.name == "log(y)"
    assert formula.outcome.columns == ("y",)
    assert formula.outcome.kind == "transformed"
    assert [term_label(term) for term in formula.fixed] == ["(Intercept)", "x", "z", "x:z"]
    assert formula.groups == ("school", "school:class")
    assert formula.variables == ("y", "x", "z", "n", "school", "class")
    assert formula.random[0].names == ("(Intercept)", "x")
    assert formula.intercept
    assert len(formula.offsets) == 1


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("log.radon ~ basement + (1 | county)", ("log.radon", "basement", "county")),
        ("`größe in cm` ~ `2nd` + (1 | `the school`)", ("größe in cm", "2nd", "the school")),
        ("größe ~ 年齢 + (1 | école)", ("größe", "年齢", "école")),
        ("y\n  ~ x\r\n\t+ (1\n|\ng)", ("y", "x", "g")),
        ("y~.x+..1+x_1", ("y", ".x", "..1", "x_1")),
        ("y ~ log", ("y", "log")),
        ("y ~ `TRUE`", ("y", "TRUE")),
    ],
)
def test_names_of_every_kind(text, columns):
    assert parse(text).variables == columns


def test_cbind_is_an_outcome_of_two_parts():
    outcome = parse("cbind(success, n - success) ~ x + (1 | g)").outcome
    assert outcome.kind == "cbind"
    assert outcome.name == "cbind(success, n - success)"
    assert outcome.columns == ("success", "n")


def test_memberships_are_written_as_brms_does():
    formula = parse(
        "y ~ x + (x | mm(s1, `2nd school`, weights = cbind(w1, w2), scale = FALSE)) + (1 | mm(a, b, c))"
    )
    first, second = formula.random
    assert first.group == "mm(s1, `2nd school`)"
    assert (first.memberships, first.shares, first.scaled) == (("s1", "2nd school"), ("w1", "w2"), False)
    assert first.path == ()
    assert (second.memberships, second.shares, second.scaled) == (("a", "b", "c"), (), True)
    assert formula.groups == ("mm(s1, `2nd school`)", "mm(a, b, c)")
    assert formula.variables == ("y", "x", "s1", "2nd school", "w1", "w2", "a", "b", "c")
    assert formula.optional == ("s1", "2nd school", "w1", "w2", "a", "b", "c")
    assert str(second) == "(1 | mm(a, b, c))"


def test_columns_used_elsewhere_too_may_not_be_missing():
    formula = parse("y ~ s1 + (w1 | mm(s1, s2, weights = cbind(w1, w2))) + (1 | s2)")
    assert formula.optional == ("w2",)


# text, a word of the complaint, the character it points at
WRONG = [
    ("y", "no ~", 2),
    ("~ x", "no outcome", 1),
    ("y ~", "nothing stands", 4),
    ("y ~ x ~ z", "second ~", 7),
    ("y ~ (x", "not closed", 5),
    ("y ~ log(x", "not closed", 8),
    ("y ~ x)", "not opened", 6),
    ("y ~ ()", "empty", 6),
    ("y ~ x +", "ends too early", 8),
    ("y ~ + * x", "lacks a term before", 7),
    ("y ~ x z", "does not belong", 7),
    ("y ~ x | g", "outside parentheses", 7),
    ("y ~ x || g", "outside parentheses", 7),
    ("y ~ (1 | )", "lacks a term", 10),
    ("y ~ ( | g)", "lacks a term", 7),
    ("y ~ (0 | g)", "nothing varies", 5),
    ("y ~ (x | g | h)", "two |", 12),
    ("y ~ (1 | g + h)", "not a grouping factor", 12),
    ("y ~ (1 | g*h)", "not a grouping factor", 11),
    ("y ~ (1 | 1)", "not a grouping factor", 10),
    ("y ~ (1 | log(g))", "not a grouping factor", 10),
    ("y ~ (1 | g/g)", "nested in itself", 11),
    ("y ~ x * (1 | g)", "random term cannot", 9),
    ("y ~ x - (1 | g)", "random term cannot", 9),
    ("y ~ x + (1 | g) + (x | g)", "varies twice", 25),
    ("y ~ (1 | a:b) + (1 | b:a)", "varies twice", 25),
    ("y ~ 2", "not a term", 5),
    ("y ~ 0", "fixed part is empty", 5),
    ("y ~ x - z", "never added", 9),
    ("y ~ x + y", "its own predictors", 9),
    ("log(y) ~ x + y", "its own predictors", 14),
    ("y ~ (y | g)", "its own predictors", 6),
    ("y ~ x:2", "part of an interaction", 7),
    ("y ~ (a + b)^z", "exponent", 13),
    ("y ~ (a + b)^99", "exponent", 13),
    ("y ~ (a + b)^2.5", "exponent", 13),
    ("y ~ .", "all other columns", 5),
    ("y ~ I(x:z)", "not arithmetic", 8),
    ("y ~ I(factor(x))", "inside arithmetic", 7),
    ("y ~ I(poly(x, 2))", "inside arithmetic", 7),
    ("y ~ log()", "number of arguments", 5),
    ("y ~ log(x, 2)", "number of arguments", 5),
    ("y ~ log(x, )", "lacks an argument", 12),
    ("y ~ I(2)", "holds no column", 5),
    ("y ~ poly(x, 99)", "whole number from 1 to 10", 13),
    ("y ~ poly(x, 2.5)", "whole number", 13),
    ("y ~ poly(x, z)", "whole number", 13),
    ("y ~ poly(x, 2, degree = 3)", "twice", 5),
    ("y ~ poly(x, knots = 3)", "does not take", 21),
    ("y ~ scale(x, center = 3)", "not TRUE or FALSE", 23),
    ("y ~ log(TRUE)", "not numbers", 9),
    ("y ~ I(x * TRUE)", "not numbers", 11),
    ("y ~ offset(x):z", "offset()", 5),
    ("y ~ x - offset(z)", "offset()", 9),
    ("y ~ cbind(a, b)", "makes an outcome", 5),
    ("cbind(a, b, c) ~ x", "number of arguments", 1),
    ("y ~ mm(a, b)", "groups of a random term", 5),
    ("y ~ I(mm(a, b))", "inside arithmetic", 7),
    ("y ~ log(mm(a, b))", "inside arithmetic", 9),
    ("mm(a, b) ~ x", "inside arithmetic", 1),
    ("y ~ (mm(a, b) | g)", "groups of a random term", 6),
    ("y ~ (1 | mm(a))", "number of arguments", 10),
    ("y ~ (1 | mm())", "number of arguments", 10),
    ("y ~ (1 | mm(a, a))", "each named once", 10),
    ("y ~ (1 | mm(a, log(b)))", "each named once", 10),
    ("y ~ (1 | mm(a, 2))", "each named once", 10),
    ("y ~ (1 | mm(a, b)/c)", "not a grouping factor", 10),
    ("y ~ (1 | c:mm(a, b))", "not a grouping factor", 12),
    ("y ~ (1 | mm(a, b, weights = w))", "not columns bound together", 29),
    ("y ~ (1 | mm(a, b, weights = cbind(v, w, x)))", "2 groups and 3 weights", 10),
    ("y ~ (1 | mm(a, b, weights = cbind(v, v)))", "each named once", 10),
    ("y ~ (1 | mm(a, b, weights = cbind(v, 2 * w)))", "each named once", 10),
    ("y ~ (1 | mm(a, b, scale = 2))", "not TRUE or FALSE", 27),
    ("y ~ (1 | mm(a, b, by = c))", "does not take by", 24),
    ("y ~ (1 | mm(a, b, scale = TRUE, scale = TRUE))", "twice", 10),
    ("y ~ (1 | mm(a, b)) + (1 | mm(a, b))", "varies twice", 35),
    ("1 ~ x", "no column", 1),
    ("(1 | g) ~ x", "left of ~", 1),
    ("y ~ x = 2", "no meaning", 7),
    ("y ~ NULL", "reserved", 5),
    ("y ~ 1e999", "too large", 5),
    ("y ~ x %% 2", "%in%", 7),
    ("y ~ _x", "begin with _", 5),
    ("y ~ ``", "backtick", 5),
    ("y ~ `x", "backtick", 5),
]


@pytest.mark.parametrize(("text", "what", "character"), WRONG, ids=[case[0] for case in WRONG])
def test_what_is_wrong_is_said_with_its_place_and_the_way_out(text, what, character):
    with pytest.raises(FormulaError) as caught:
        parse(text)
    (problem,) = caught.value.problems
    assert what in problem.what
    assert problem.where.endswith(f"character {character}")
    assert problem.way_out


def test_an_unknown_function_is_answered_with_the_list_and_a_guess():
    with pytest.raises(FormulaError) as caught:
        parse("y ~ sqr(x)")
    assert "did you mean sqrt()" in str(caught.value)
    assert all(name in str(caught.value) for name in FUNCTIONS)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.0, "2"),
        (0.1, "0.1"),
        (1e5, "1e+05"),
        (123456.0, "123456"),
        (1e-5, "1e-05"),
        (0.0001, "1e-04"),
        (0.0, "0"),
    ],
)
def test_numbers_are_written_as_r_prints_them(value, text):
    assert number_text(value) == text
