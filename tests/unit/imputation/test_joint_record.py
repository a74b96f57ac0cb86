"""Variables of an analysis model laid out for the joint model."""

import numpy as np
import pytest

from nestwise.errors import Refusal
from nestwise.imputation.joint import impute_joint
from nestwise.imputation.joint_record import joint_record, values_by_variable
from nestwise.imputation.record import Grouping, Incomplete, Product, Variable

G = np.repeat(np.arange(12), 5)


def variable(name, values, gaps=(), **more):
    values = np.array(values, dtype=float)
    values[list(gaps)] = np.nan
    return Variable(name, more.pop("kind", "continuous"), values, **more)


@pytest.fixture
def made():
    def build(*variables, slopes=(), products=(), codes=(G,)):
        factors = tuple(
            Grouping(f"g{k}", each, tuple(map(str, np.unique(each))), slopes) for k, each in enumerate(codes)
        )
        return Incomplete("s", "m", variables, factors, products, variables[0].name)

    rng = np.random.default_rng(3)
    y, x, z = rng.normal(size=(3, 60))
    of_group = rng.normal(size=12)[G]
    return build, y, x, z, of_group


def test_predictors_span_the_complete_variables_their_means_and_products(made):
    build, y, x, z, w = made
    product = Product("x:z", ("x", "z"))
    record = joint_record(
        build(
            variable("y", y, [3, 9]), variable("x", x), variable("z", z), variable("w", w, level="g0"),
            slopes=("x",), products=(product,),
        )
    )  # fmt: skip
    means = [np.bincount(G, each)[G] / 5 for each in (x, z)]
    standard = (x - x.mean()) * (z - z.mean())  # values stand centred in products
    for column in (np.ones(60), x, z, w, standard, *means):
        fitted = record.data.X @ np.linalg.lstsq(record.data.X, column, rcond=None)[0]
        np.testing.assert_allclose(fitted, column, atol=1e-9)
    assert record.data.X.shape == (60, 7)
    assert record.data.Z.shape == (60, 2)
    assert record.data.X2.shape == (12, 4)


def test_predictors_that_follow_from_others_are_left_out(made):
    build, y, x, _, _ = made
    record = joint_record(build(variable("y", y, [3]), variable("x", x), variable("twice", 2 * x + 1)))
    assert record.data.X.shape[1] == 3  # 1, x and its group means


def test_drawn_values_go_to_their_variables(made):
    build, y, x, _, w = made
    late = np.flatnonzero(np.isin(G, (2, 7)))
    record = joint_record(
        build(
            variable("y", 100 + y, [3, 9, 30]), variable("x", x, [4]), variable("w", w - 50, late, level="g0")
        )
    )
    found = values_by_variable(record, impute_joint(record.data, 3, 1, burn=60, between=20))
    assert {name: values.shape for name, values in found.items()} == {"y": (3, 3), "x": (3, 1), "w": (3, 2)}
    assert found["y"].min() > 90
    assert found["w"].max() < -40
    assert abs(found["x"]).max() < 10


@pytest.mark.parametrize(
    ("gap", "word"),
    [
        ({"kind": "binary", "level": "g0"}, "binary variable of g0"),
        ({"method": "heterogeneous"}, "drawn by heterogeneous"),
    ],
)
def test_what_is_not_taken_is_named_with_a_way_out(made, gap, word):
    build, y, x, _, w = made
    values = (w > 0).astype(float) if "level" in gap else x
    places = np.flatnonzero(G == 2)
    with pytest.raises(Refusal) as caught:
        joint_record(build(variable("y", y, [3]), variable("x", values, places, **gap)))
    assert word in str(caught.value)
    assert "set missing.imputation to chained" in str(caught.value)


def test_groups_alone_or_none_at_all_are_refused(made):
    build, y, x, _, w = made
    of_groups = variable("w", w, np.flatnonzero(G == 2), level="g0")
    with pytest.raises(Refusal, match="only variables of groups"):
        joint_record(build(variable("y", y), of_groups))
    with pytest.raises(Refusal, match="no grouping factor"):
        joint_record(build(variable("y", y, [3]), variable("x", x), codes=()))
