"""Which formula holds which."""

import pytest

from nestwise.formula.nesting import holds
from nestwise.formula.record import parse


@pytest.mark.parametrize(
    ("large", "small"),
    [
        ("y ~ x * z + (1 | g)", "y ~ x + z + (1 | g)"),
        ("y ~ x + (x | g)", "y ~ x + (1 | g)"),
        ("y ~ x + (x | g)", "y ~ x + (x || g)"),
        ("y ~ x + (1 | g/h)", "y ~ x + (1 | g)"),
        ("y ~ x + (1 | g) + offset(w)", "y ~ 1 + (1 | g) + offset(w)"),
    ],
)
def test_a_formula_holds_what_lacks_some_of_its_terms(large, small):
    assert holds(parse(large), parse(small))
    assert not holds(parse(small), parse(large))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("y ~ x + (1 | g)", "y ~ x + (1 | g)"),
        ("y ~ x + (1 | g)", "w ~ 1 + (1 | g)"),
        ("y ~ x + (1 | g)", "y ~ z + (1 | g)"),
        ("y ~ x + (1 | g)", "y ~ 1 + (1 | h)"),
        ("y ~ x + (x || g)", "y ~ 1 + (x | g)"),
        ("y ~ x + (1 | g) + offset(w)", "y ~ 1 + (1 | g)"),
    ],
)
def test_formulas_side_by_side_hold_neither(one, other):
    assert not holds(parse(one), parse(other))
