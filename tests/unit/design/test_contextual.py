"""Contrasts between the levels of a covariate: special cases by hand (rule 11)."""

import polars as pl
import pytest

from nestwise.config.study import Derivation
from nestwise.design.contextual import contextual_contrasts

FRAME = pl.DataFrame(
    {
        "school": ["a", "a", "a", "a", "b", "b", "b", "b"],
        "class": ["1", "1", "2", "2", "3", "3", "4", "4"],
        "area": ["u", "v", "u", "v", "u", "v", "u", "v"],
        "restarts": ["1", "1", "2", "2", "1", "1", "2", "2"],
    }
)


def derivation(name, **keys):
    return Derivation.model_validate(keys | {"as": name})


ONE = (derivation("x_in", within="x", group="school"), derivation("x_school", between="x", group="school"))
CHAIN = (
    derivation("x_in", within="x", group="class"),
    derivation("x_class", between="x", group="class"),
    derivation("class_in", within="x_class", group="school"),
    derivation("x_school", between="x", group="school"),
)


def found(names, derivations, within=None):
    made = contextual_contrasts(names, derivations, FRAME, within or {})
    return [
        (each.covariate, each.group, dict(zip(names, each.weights.tolist(), strict=True))) for each in made
    ]


def only(**weights):
    return lambda names: {name: float(weights.get(name, 0)) for name in names}


@pytest.mark.parametrize(
    ("names", "derivations", "expected"),
    [
        # deviation and mean: the difference of the coefficients
        (("one", "x_in", "x_school"), ONE, [("x", "school", only(x_in=-1, x_school=1))]),
        # the covariate beside its mean: the coefficient of the mean
        (("one", "x", "x_school"), ONE, [("x", "school", only(x_school=1))]),
        # the covariate beside the deviation: minus its coefficient
        (("one", "x", "x_in"), ONE, [("x", "school", only(x_in=-1))]),
        # one part only says nothing of the other
        (("one", "x_in"), ONE, []),
        (("one", "x_school"), ONE, []),
        (("one", "x"), ONE, []),
        # three levels: each against the next one inside
        (
            ("x_in", "class_in", "x_school"),
            CHAIN,
            [
                ("x", "class", only(x_in=-1, class_in=1)),
                ("x", "school", only(class_in=-1, x_school=1)),
            ],
        ),
        (
            ("x", "x_class", "x_school"),
            CHAIN,
            [("x", "class", only(x_class=1)), ("x", "school", only(x_school=1))],
        ),
        # the classes' own part left out: schools against pupils
        (("x_in", "x_school"), CHAIN, [("x", "school", only(x_in=-1, x_school=1))]),
        # the mean of the class holds the mean of the school
        (("x_in", "x_class"), CHAIN, [("x", "class", only(x_in=-1, x_class=1))]),
        # crossed groups: each by itself
        (
            ("x", "x_school", "x_area"),
            (*ONE, derivation("x_area", between="x", group="area")),
            [("x", "area", only(x_area=1)), ("x", "school", only(x_school=1))],
        ),
        # centring moves only the intercept; scaling makes another variable
        (
            ("x_in", "mean_c"),
            (*ONE, derivation("mean_c", center="x_school")),
            [("x", "school", only(x_in=-1, mean_c=1))],
        ),
        (("x_in", "mean_s"), (*ONE, derivation("mean_s", scale="x_school")), []),
    ],
)
def test_weights(names, derivations, expected):
    assert found(names, derivations) == [(x, group, weights(names)) for x, group, weights in expected]


def test_two_covariates_stand_apart():
    more = (derivation("z_in", within="z", group="class"), derivation("z_mean", between="z", group="class"))
    names = ("x_in", "z_mean", "x_school", "z_in")
    assert [(x, group) for x, group, _ in found(names, (*ONE, *more))] == [("x", "school"), ("z", "class")]


def test_ids_that_restart_are_nested_by_declaration():
    derivations = (
        derivation("x_in", within="x", group="restarts"),
        derivation("x_mean", between="x", group="restarts"),
        derivation("x_school", between="x", group="school"),
    )
    names = ("x_in", "x_mean", "x_school")
    assert [group for _, group, _ in found(names, derivations)] == ["restarts"]
    nested = found(names, derivations, {"restarts": "school"})
    assert [(group, weights["x_school"]) for _, group, weights in nested] == [("restarts", 0), ("school", 1)]
