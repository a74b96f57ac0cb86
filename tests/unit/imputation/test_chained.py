"""Chains: what they leave, what they refuse, and that they depend on their seed only."""

import numpy as np
import pytest

from nestwise.errors import Refusal
from nestwise.imputation.chained import plan, run_chain
from nestwise.imputation.columns import Source
from nestwise.imputation.record import Product


def test_every_kind_is_drawn_in_its_own_range(make_incomplete, clustered):
    variables, g = clustered
    record = make_incomplete(variables, g)
    chain = run_chain(record, plan(record), seed=1, iterations=2, steps=2)
    assert set(chain.draws) == set(variables)
    for name, (kind, values, *_) in variables.items():
        drawn, observed = chain.draws[name], values[~np.isnan(values)]
        assert np.isfinite(drawn).all()
        if kind in ("binary", "ordinal", "nominal"):
            assert set(drawn) <= set(observed)
            assert len(set(drawn)) > 1
        if kind == "count":
            assert (drawn == np.round(drawn)).all()
            assert (drawn >= 0).all()
    assert chain.draws["w"].size == np.isnan(variables["w"][1][::10]).sum()  # once a group
    assert np.isfinite(chain.traces).all()


def test_a_chain_is_a_function_of_its_seed(make_incomplete, clustered):
    variables, g = clustered
    record = make_incomplete({name: variables[name] for name in ("y", "x", "z")}, g)
    one, again, other = (run_chain(record, plan(record), seed, 2, 2) for seed in (1, 1, 2))
    assert all(np.array_equal(one.draws[name], again.draws[name]) for name in one.draws)
    assert not np.array_equal(one.draws["y"], other.draws["y"])


def test_three_levels_use_both_factors(make_incomplete, clustered):
    variables, g = clustered
    record = make_incomplete({name: variables[name] for name in ("y", "x", "w")}, g, g // 5)
    targets = {target.variable.name: target for target in plan(record)}
    assert Source(("x",), 1) in targets["y"].predictors
    assert targets["y"].units.n_outer == 8
    assert targets["w"].units.outer.size == 8  # the group of a group
    chain = run_chain(record, tuple(targets.values()), 1, 2, 2)
    assert np.isfinite(chain.draws["w"]).all()


def test_products_enter_as_themselves_and_turned_around(make_incomplete, clustered):
    variables, g = clustered
    products = (Product("x:w", ("x", "w")),)
    record = make_incomplete({name: variables[name] for name in ("y", "x", "w")}, g, products=products)
    targets = {target.variable.name: target for target in plan(record)}
    assert Source(("x", "w")) in targets["y"].predictors
    assert Source(("y", "w")) in targets["x"].predictors
    assert Source(("y", "x"), 0) in targets["w"].predictors


def test_slopes_of_the_analysis_are_slopes_of_the_imputation(make_incomplete, clustered):
    variables, g = clustered
    record = make_incomplete({name: variables[name] for name in ("y", "x", "z")}, g, slopes=("x",))
    slopes = {target.variable.name: target.slopes for target in plan(record)}
    assert slopes == {"y": (Source(("x",)),), "x": (Source(("y",)),), "z": ()}


def test_nothing_missing_leaves_nothing_to_draw(make_incomplete):
    record = make_incomplete({"y": ("continuous", np.arange(6.0))}, np.repeat([0, 1], 3))
    assert plan(record) == ()
    assert run_chain(record, (), 1).draws == {}


def test_a_group_without_values_is_drawn(make_incomplete, clustered):
    variables, g = clustered
    y = np.where(g == 3, np.nan, variables["y"][1])
    record = make_incomplete({"y": ("continuous", y), "x": variables["x"]}, g)
    drawn = run_chain(record, plan(record), 1, 2, 5).draws["y"]
    assert np.isfinite(drawn).all()
    assert np.abs(drawn[g[np.isnan(y)] == 3]).max() < 10


PLACE = np.arange(60)
NOTHING, SAME = np.full(60, np.nan), np.where(PLACE % 3, 2.0, np.nan)
TWO, FEW = np.where(PLACE % 3, PLACE % 2, np.nan), np.where(PLACE < 4, PLACE**2.0, np.nan)


@pytest.mark.parametrize(
    ("variable", "sentence"),
    [
        (("continuous", NOTHING), "v has no value at all"),
        (("continuous", SAME), "v has the same value wherever it is observed"),
        (("binary", TWO, None, (), "normal"), "does not suit"),
        (("ordinal", TWO, None, ("a", "b", "c")), "no observed value c"),
        (("continuous", FEW), "has a value in 4 rows only"),
        (("count", TWO - 0.5, None, (), "count"), "no counts"),
    ],
)
def test_what_cannot_be_drawn_is_named(make_incomplete, variable, sentence):
    y = np.random.default_rng(1).normal(size=60)
    record = make_incomplete({"v": variable, "y": ("continuous", y)}, np.arange(60) // 6)
    with pytest.raises(Refusal, match=sentence) as refusal:
        plan(record)
    assert all(problem.way_out for problem in refusal.value.problems)


def test_a_variable_that_others_settle_is_refused(make_incomplete):
    x = np.random.default_rng(1).normal(size=60)
    doubled = np.where(np.arange(60) % 3, 2 * x + 1, np.nan)
    record = make_incomplete({"v": ("continuous", doubled), "x": ("continuous", x)}, np.arange(60) // 6)
    with pytest.raises(Refusal, match="v can be computed from the other variables"):
        plan(record)


def test_collinear_predictors_are_left_out(make_incomplete):
    rng = np.random.default_rng(1)
    x = rng.normal(size=60)
    y = np.where(np.arange(60) % 3, x + rng.normal(size=60), np.nan)
    parts = {"y": ("continuous", y), "x": ("continuous", x), "x2": ("continuous", 2 * x)}
    (target,) = plan(make_incomplete(parts, np.arange(60) // 6))
    assert target.kept.size == 2  # x and its means; not those of x2


def test_crossed_factors_are_refused(make_incomplete, clustered):
    variables, g = clustered
    record = make_incomplete({"y": variables["y"]}, g, np.arange(g.size) % 7)
    with pytest.raises(Refusal, match="spread over several"):
        plan(record)
