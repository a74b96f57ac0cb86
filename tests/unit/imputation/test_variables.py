"""A data set and a formula made into the record its gaps are drawn from."""

from datetime import date

import numpy as np
import polars as pl
import pytest

from nestwise.config.study import Derivation, Model
from nestwise.data.dataset import Dataset, VariableInfo
from nestwise.data.derive import derive
from nestwise.errors import Refusal
from nestwise.imputation.variables import ROWS, Wishes, incomplete_record

G = np.repeat(np.arange(20), 5)
RNG = np.random.default_rng(1)


def holes(values, every=7):
    return [None if place % every == 0 else value for place, value in enumerate(np.asarray(values).tolist())]


def study(derivations=(), **columns):
    base = {
        "y": holes(RNG.normal(size=100)),
        "x": holes(RNG.normal(size=100), 6),
        "w": [None if g in (3, 4) else float(g) ** 0.5 for g in G],
        "k": holes(np.array(["a", "b", "c"])[np.arange(100) % 3], 9),
        "age": holes(RNG.integers(20, 60, 100), 8),
    } | columns
    frame = pl.DataFrame(
        {".row": np.arange(1, 101), "g": [f"g{g}" for g in G], "h": [f"h{g // 4}" for g in G]} | base
    )
    frame = frame.with_columns(
        pl.col("g").cast(pl.Enum([f"g{g}" for g in range(20)])),
        pl.col("h").cast(pl.Enum([f"h{g}" for g in range(5)])),
        pl.col("k").cast(pl.Enum(["a", "b", "c"])),
    )
    types = {"g": "categorical", "h": "categorical", "k": "categorical", "age": "count"}
    names = [*frame.columns[1:], *(each.as_ for each in derivations)]
    variables = {name: VariableInfo(name, types.get(name, "continuous"), True) for name in names}
    within = {"g": "h", "h": None}
    return Dataset(
        "s", derive(frame.lazy(), derivations, within), variables, within, None, tuple(derivations)
    )


def record(formula, wishes=None, family="gaussian", **options):
    return incomplete_record(study(**options), "m", Model(formula=formula, family=family), wishes)


def test_kinds_levels_and_factors_are_seen_from_the_data():
    found = record("y ~ x + w + k + age + (1 | g) + (1 | h)")
    assert {each.name: (each.kind, each.level) for each in found.variables} == {
        "y": ("continuous", None),
        "x": ("continuous", None),
        "w": ("continuous", "g"),
        "k": ("nominal", None),
        "age": ("count", None),
    }
    assert [factor.n_groups for factor in found.factors] == [20, 5]
    assert found.variable("k").categories == ("a", "b", "c")


def test_products_and_slopes_decide_methods():
    found = record("y ~ x * w + I(x^2) + log(age) + (x | g)")
    assert {product.name: product.factors for product in found.products} == {
        "x*x": ("x", "x"),
        "x:w": ("x", "w"),
    }
    assert found.factors[0].slopes == ("x",)
    methods = {each.name: each.method for each in found.variables}
    assert methods == {"y": "", "x": "substantive", "w": "substantive", "age": "matching"}


def test_derived_variables_stand_for_their_sources():
    derivations = (
        Derivation.model_validate({"within": "x", "group": "g", "as": "xw"}),
        Derivation.model_validate({"between": "x", "group": "g", "as": "xb"}),
    )
    found = record("y ~ xw * w + xb + (1 | g)", derivations=derivations)
    assert [each.name for each in found.variables] == ["y", "x", "w"]
    assert found.contextual == ("x",)
    assert found.variable("x").method == ""  # its means are in the analysis: chained equations keep them
    assert found.products[0].factors == ("x", "w")


def test_wishes_are_heard():
    found = record("y ~ x + (1 | g)", Wishes(("age",), {"x": "matching"}, {"w": ROWS}))
    assert found.auxiliary == ("age",)
    assert found.variable("x").method == "matching"


def test_a_value_of_the_group_fills_its_rows():
    w = [None if place % 5 > 1 else float(G[place]) for place in range(100)]
    found = record("y ~ w + (1 | g)", w=w)
    assert not found.variable("w").missing.any()


def test_contradictions_name_the_groups():
    w = [float(g) for g in G]
    w[7], w[93] = 99.0, 98.0
    with pytest.raises(Refusal, match=r"constant in nearly all groups .* different values in g1 and g18"):
        record("y ~ w + (1 | g)", w=w)
    found = record("y ~ w + (1 | g)", Wishes(levels={"w": ROWS}), w=w)
    assert found.variable("w").level is None
    with pytest.raises(Refusal, match="declared constant within g"):
        record("y ~ x + (1 | g)", Wishes(levels={"x": "g"}))


def test_missing_ids_and_dates_are_refused():
    dates = [None, *[date(2020, 1, 1)] * 99]
    with pytest.raises(Refusal, match="d is a date"):
        record("y ~ d + (1 | g)", d=dates)
    with pytest.raises(Refusal, match="weighed and is missing"):
        incomplete_record(study(), "m", Model(formula="y ~ x + (1 | g)", weights="age"))
    with pytest.raises(Refusal, match="one group a row"):
        record("y ~ x + (1 | mm(g, h))")


def test_outcomes_are_drawn_as_they_are_analysed():
    counts = holes(RNG.integers(0, 9, 100))
    assert record("age ~ x + (1 | g)").variable("age").method == "normal"
    assert record("age ~ x + (1 | g)", family="poisson", age=counts).variable("age").method == "count"


def test_factor_makes_levels_of_numbers():
    found = record("y ~ factor(visit) + (1 | g)", visit=[0, 2, 3, 5, 8] * 20)
    assert (found.variable("visit").kind, found.variable("visit").categories) == (
        "nominal",
        ("0", "2", "3", "5", "8"),
    )
