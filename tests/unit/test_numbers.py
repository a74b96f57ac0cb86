"""Numbers as a reader wants them."""

import pytest

from nestwise.names import plural, several
from nestwise.numbers import NOTHING, count, fixed, interval, p_value, percent, say, with_error


@pytest.mark.parametrize(
    ("value", "error", "shown"),
    [
        (251.4051, 6.8246, ("251.4", "6.8")),
        (-0.69299, 0.07043, ("−0.693", "0.070")),
        (1.46, None, ("1.46", NOTHING)),
        (123456.7, 2345.6, ("123,457", "2,346")),
        (0.0001234, 0.0000456, ("0.000123", "0.000046")),
    ],
)
def test_two_digits_of_the_error_set_the_decimals(value, error, shown):
    assert with_error(value, error) == shown


def test_a_rounded_zero_has_no_minus_sign():
    assert fixed(-0.0001, 2) == "0.00"


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_what_is_not_a_number_is_never_shown_as_one(value):
    assert say(value) == fixed(value, 2) == NOTHING


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0"), (0.00001234, "1.23 × 10⁻⁵"), (-12345, "−12,345"), (2.0, "2.00")]
)
def test_a_number_by_itself(value, shown):
    assert say(value) == shown


@pytest.mark.parametrize(
    ("p", "shown"),
    [(0.0, "<\u00a00.001"), (0.00099, "<\u00a00.001"), (0.0412, "0.041"), (0.5, "0.50"), (None, NOTHING)],
)
def test_a_p_value_is_never_zero(p, shown):
    assert p_value(p) == shown


def test_an_interval_says_to_and_keeps_its_order():
    assert interval(-1.3412, 0.0578, 0.36) == "−1.34 to 0.06"
    assert interval(None, 1.0) == NOTHING


@pytest.mark.parametrize(
    ("share", "shown"), [(0.001, "under 1%"), (0.999, "over 99%"), (0.159, "16%"), (0, "0%")]
)
def test_a_share_does_not_round_to_all_or_nothing(share, shown):
    assert percent(share) == shown


def test_lists_and_plurals():
    assert several(["a"]) == "a"
    assert several(["a", "b", "c"]) == "a, b and c"
    assert several([str(n) for n in range(12)], 2) == "0, 1 and 10 more"
    assert [plural(noun) for noun in ("county", "school", "batch", "day", "batch:cask")] == [
        "counties",
        "schools",
        "batches",
        "days",
        "groups of batch:cask",
    ]
    assert count(None) == NOTHING


def test_a_single_letter_has_no_plural():
    assert plural("g") == "groups of g"
