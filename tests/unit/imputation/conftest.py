"""Small incomplete records with groups."""

import numpy as np
import pytest

from nestwise.imputation.record import Grouping, Incomplete, Variable


@pytest.fixture
def make_incomplete():
    """{name: (kind, values, level, categories, method)} and codes, innermost first -> Incomplete."""

    def make(variables, *codes, slopes=(), products=(), outcome="y", family="gaussian"):
        labels = [tuple(map(str, range(int(each.max()) + 1))) for each in codes]
        factors = tuple(
            Grouping(name, each.astype(np.int64), groups, slopes if name == "g" else ())
            for name, each, groups in zip("gh", codes, labels, strict=False)
        )
        made = tuple(Variable(name, *parts) for name, parts in variables.items())
        rows = np.arange(1, made[0].values.size + 1)
        return Incomplete("study", "model", made, factors, products, outcome, family, rows)

    return make


@pytest.fixture
def clustered():
    """A data set of 40 groups of 10 with a gap in a fifth of each variable: (variables, codes)."""
    rng = np.random.default_rng(5)
    J, size = 40, 10
    g = np.repeat(np.arange(J), size)
    w = rng.normal(size=J)[g]
    x = 0.5 * rng.normal(size=J)[g] + 0.3 * w + rng.normal(size=g.size)
    z = (rng.normal(size=g.size) + 0.5 * x > 0).astype(float)
    y = 1 + 0.5 * x + 0.4 * z + 0.3 * w + 0.6 * rng.normal(size=J)[g] + rng.normal(size=g.size)
    o = np.digitize(0.5 * y + rng.normal(size=g.size), [-0.5, 0.5, 1.5]).astype(float)
    c = rng.poisson(np.exp(0.3 * x + 0.5)).astype(float)
    k = rng.integers(0, 3, g.size).astype(float)

    def holes(values, share=0.2):
        return np.where(rng.random(values.size) < share, np.nan, values)

    variables = {
        "y": ("continuous", holes(y)),
        "x": ("continuous", holes(x)),
        "z": ("binary", holes(z)),
        "w": ("continuous", np.where(rng.random(J) < 0.2, np.nan, w[::size])[g], "g"),
        "o": ("ordinal", holes(o), None, tuple("abcd")),
        "c": ("count", holes(c), None, (), "count"),
        "k": ("nominal", holes(k), None, tuple("uvw")),
    }
    return variables, g
