"""Which fixed effects belong to which random coefficient."""

import numpy as np
import pytest

from nestwise.design.group_level import group_level_parts

J, N = 6, 60
DICE = np.random.default_rng(11)
CODES = np.concatenate([np.arange(J), DICE.integers(0, J, N - J)])
U = DICE.normal(size=J)
FRAME = {
    "y": DICE.normal(size=N),
    "x": DICE.normal(size=N),
    "b": (DICE.random(N) < 0.4).astype(float),
    "w": DICE.normal(size=N),
    "u": U[CODES],
    "f": [("k", "l", "m")[i % 3] for i in range(N)],
    "g": [f"g{code}" for code in CODES],
}


def parts(design):
    return {
        part.coefficient: {design.names[c]: part.values[:, i] for i, c in enumerate(part.columns)}
        for part in group_level_parts(design, design.random[0])
    }


def names(design):
    return {coefficient: list(columns) for coefficient, columns in parts(design).items()}


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("y ~ x + (1 | g)", {"(Intercept)": ["(Intercept)"]}),
        ("y ~ x + u + (1 | g)", {"(Intercept)": ["(Intercept)", "u"]}),
        ("y ~ x + u + (x | g)", {"(Intercept)": ["(Intercept)", "u"], "x": ["x"]}),
        ("y ~ x * u + w + (x | g)", {"(Intercept)": ["(Intercept)", "u"], "x": ["x", "x:u"]}),
        ("y ~ u * x + (x || g)", {"(Intercept)": ["(Intercept)", "u"], "x": ["x", "u:x"]}),
        ("y ~ x + (0 + x | g)", {"x": ["x"]}),
        ("y ~ 1 + (x | g)", {"(Intercept)": ["(Intercept)"], "x": []}),
        (
            "y ~ I(u^2) + poly(x, 2) + (x | g)",
            {"(Intercept)": ["(Intercept)", "I(u^2)", "poly(x, 2)1"], "x": ["poly(x, 2)1"]},
        ),
        ("y ~ f + (f | g)", {"(Intercept)": ["(Intercept)"], "fl": ["fl"], "fm": ["fm"]}),
        (
            "y ~ f + (0 + f | g)",
            {"fk": ["(Intercept)"], "fl": ["(Intercept)", "fl"], "fm": ["(Intercept)", "fm"]},
        ),
        ("y ~ scale(x) + (x | g)", {"(Intercept)": ["(Intercept)", "scale(x)"], "x": ["scale(x)"]}),
        ("y ~ u + (u | g)", {"(Intercept)": ["(Intercept)"], "u": ["u"]}),
    ],
)
def test_columns_find_their_coefficient(design_of, formula, expected):
    assert names(design_of(FRAME, formula)) == expected


@pytest.mark.parametrize(
    "formula", ["y ~ x * u + (x | g)", "y ~ f * u + (0 + f | g)", "y ~ scale(x) * u + (x | g)"]
)
def test_the_parts_rebuild_the_columns(design_of, formula):
    design = design_of(FRAME, formula)
    term = design.random[0]
    rebuilt = np.zeros_like(design.X)
    for r, part in enumerate(group_level_parts(design, term)):
        rebuilt[:, list(part.columns)] += term.Z[:, [r]] * part.values[term.codes]
    used = sorted({c for part in group_level_parts(design, term) for c in part.columns})
    assert len(used) >= 3
    np.testing.assert_allclose(rebuilt[:, used], design.X[:, used], atol=1e-9)


def test_values_are_those_of_the_groups(design_of):
    found = parts(design_of(FRAME, "y ~ x * u + (x | g)"))
    np.testing.assert_allclose(found["(Intercept)"]["u"], U)
    np.testing.assert_allclose(found["x"]["x:u"], U)
    np.testing.assert_array_equal(found["x"]["x"], np.ones(J))


def test_a_group_in_which_the_slope_variable_is_always_zero_has_its_own_values_still(design_of):
    b = FRAME["b"].copy()
    b[:J] = 1.0
    b[CODES == 2] = 0.0
    found = parts(design_of(FRAME | {"b": b}, "y ~ b * u + (b | g)"))
    np.testing.assert_allclose(found["b"]["b"], np.ones(J))
    np.testing.assert_allclose(found["b"]["b:u"], U)
    # without u itself nothing shows its value there: the mean of the other groups stands in
    alone = parts(design_of(FRAME | {"b": b}, "y ~ b + b:u + (b | g)"))["b"]["b:u"]
    np.testing.assert_allclose(np.delete(alone, 2), np.delete(U, 2))
    assert alone[2] == pytest.approx(np.delete(U, 2).mean())


def test_units_do_not_matter(design_of):
    for scale in (1e-8, 1.0, 1e8):
        frame = FRAME | {"x": FRAME["x"] * scale, "u": U[CODES] / scale}
        expected = {"(Intercept)": ["(Intercept)", "u"], "x": ["x", "x:u"]}
        assert names(design_of(frame, "y ~ x * u + w + (x | g)")) == expected
