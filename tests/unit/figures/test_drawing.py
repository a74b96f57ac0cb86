import math

import numpy as np
import pytest

from nestwise.figures.drawing import Wording, evenly, exact, plain, span, squared
from nestwise.names import counted, several
from nestwise.numbers import say


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "0"), (0.12345, "0.123"), (-2.5, "−2.50"), (251.4051, "251"), (12345.6, "12,346"),
     (1e-9, "1.00 × 10⁻⁹"),
     (None, "–"), (math.nan, "–"), (math.inf, "–")],
)  # fmt: skip
def test_numbers_are_said_with_three_digits(value, said):
    assert say(value) == said


def test_values_of_data_are_quoted_without_zeros():
    assert [exact(value) for value in (1.0, -0.5, 1e6)] == ["1", "−0.5", "1e+06"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\tc", "a b c"),
        ("x\x00\x1b[0m\u202ey", "x[0my"),
        ("a" * 30, "a" * 27 + "…"),
        (3, "3"),
        ("  ", ""),
    ],
)
def test_labels_become_one_visible_line(text, shown):
    assert plain(text) == shown


def test_a_number_alone_is_called_by_its_group():
    wording = Wording("y", groups={"county": "county"})
    assert wording.who("county", "70") == "county 70"
    assert wording.who("county", "LAKE") == "LAKE"


def test_axes_say_label_and_unit(wording):
    assert wording.axis("y") == "Reaction (ms)"
    assert wording.axis("unknown") == "unknown"
    assert wording.coefficient_axis("(Intercept)") == "intercept (ms)"
    assert wording.coefficient_axis("x") == "slope of x (ms per day)"


@pytest.mark.parametrize(("unit", "shown"), [("ms", "ms²"), ("log pCi/L", "(log pCi/L)²")])
def test_squares_of_units(unit, shown):
    assert squared(unit) == shown


@pytest.mark.parametrize(
    ("count", "noun", "said"),
    [(1, "county", "1 county"), (2, "county", "2 counties"), (3, "class", "3 classes"), (2, "day", "2 days")],
)
def test_plurals(count, noun, said):
    assert counted(count, noun) == said


def test_lists():
    assert [several(["a", "b", "c"]), several(["a"]), several([])] == ["a, b and c", "a", ""]


def test_limits_hold_what_is_finite_and_have_width():
    assert span([1.0, math.nan], [3.0])[0] < 1.0
    low, high = span([2.0, 2.0])
    assert low < 2.0 < high
    assert span([math.nan]) == (0.0, 1.0)


def test_even_choice_keeps_the_ends():
    chosen = evenly(1000, 10)
    assert chosen[0] == 0
    assert chosen[-1] == 999
    assert chosen.size == 10
    assert np.array_equal(evenly(3, 10), [0, 1, 2])
