"""Covariates drawn with the analysis model itself."""

import numpy as np
import pytest

from nestwise.imputation.chained import completed, plan, run_chain
from nestwise.imputation.columns import Source
from nestwise.imputation.record import Product, Variable
from nestwise.imputation.substantive import analysis_sources


def square_study(seed=1, n=400):
    """y = x + x^2 + e, where the gaps of x depend on y."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    y = x + x**2 + rng.normal(size=n)
    return y, x, np.where(rng.random(n) < 1 / (1 + np.exp(0.5 - 0.5 * y)), np.nan, x)


def coefficients(record, iterations=20):
    targets = plan(record)
    found = []
    for seed in range(6):
        chain = run_chain(record, targets, seed, iterations, 3)
        x = completed(targets[0].units, targets[0].variable, chain.draws["x"])
        y = record.variable("y").values
        found.append(np.linalg.lstsq(np.column_stack([np.ones(x.size), x, x**2]), y)[0])
    return np.mean(found, axis=0)


def test_a_square_comes_back_where_passive_imputation_loses_it(make_incomplete):
    y, _, seen = square_study()
    codes = np.arange(y.size) % 20
    products = (Product("I(x^2)", ("x", "x")),)
    parts = {"y": ("continuous", y), "x": ("continuous", seen, None, (), "substantive")}
    own = coefficients(make_incomplete(parts, codes, products=products))
    parts["x"] = ("continuous", seen, None, (), "normal")
    passive = coefficients(make_incomplete(parts, codes, products=products))
    assert own[1:] == pytest.approx([1.0, 1.0], abs=0.15)
    assert passive[2] < 0.9


@pytest.mark.parametrize(
    ("kind", "categories"), [("binary", ()), ("ordinal", tuple("abc")), ("nominal", tuple("abc"))]
)
def test_categories_follow_the_outcome(make_incomplete, kind, categories):
    """Where y separates the categories, the gaps get those that made it."""
    rng = np.random.default_rng(2)
    K = max(2, len(categories))
    x = rng.integers(0, K, 300).astype(float)
    w = rng.normal(size=300)
    y = 3 * x + 0.2 * x * w + 0.5 * rng.normal(size=300)
    gaps = rng.random(300) < 0.3
    record = make_incomplete(
        {
            "y": ("continuous", y),
            "x": (kind, np.where(gaps, np.nan, x), None, categories, "substantive"),
            "w": ("continuous", w),
        },
        np.arange(300) % 15,
        products=(Product("x:w", ("x", "w")),),
    )
    drawn = run_chain(record, plan(record), 1, 4, 3).draws["x"]
    assert (drawn == x[gaps]).mean() > 0.95


def test_a_group_is_accepted_by_all_of_its_rows(make_incomplete):
    """A covariate of groups in a cross-level interaction; a binary outcome."""
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(40), 30)
    w, x = rng.normal(size=40), rng.normal(size=1200)
    y = (2 * w[g] * x + w[g] + rng.normal(size=1200) > 0).astype(float)
    seen = np.where(np.arange(40) < 10, np.nan, w)
    record = make_incomplete(
        {
            "y": ("binary", y),
            "w": ("continuous", seen[g], "g", (), "substantive"),
            "x": ("continuous", x),
        },
        g,
        products=(Product("x:w", ("x", "w")),),
        family="binomial",
    )
    drawn = run_chain(record, plan(record), 1, 10, 5).draws["w"]
    assert np.corrcoef(drawn, w[:10])[0, 1] > 0.8


def test_auxiliary_variables_are_not_in_the_analysis_model(make_incomplete, clustered):
    from dataclasses import replace

    variables, g = clustered
    record = make_incomplete({name: variables[name] for name in ("y", "x", "z", "w")}, g)
    record = replace(record, auxiliary=("z",), contextual=("x",))
    assert analysis_sources(record) == (Source(("x",)), Source(("w",)), Source(("x",), 0))
    assert isinstance(record.variable("z"), Variable)
