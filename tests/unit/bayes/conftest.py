"""Small designs for the Bayesian side; compiled code is kept between runs in the person's cache."""

from __future__ import annotations

import numpy as np
import pytest

from nestwise.bayes.engine import prepare


@pytest.fixture(scope="session")
def toy(make_design):
    """Ten groups of eight rows; `kind` chooses intercepts, slopes or independent slopes."""

    def build(kind="intercepts", J=10, tau=1.0, seed=1, **kwargs):
        rng = np.random.default_rng(seed)
        g = np.repeat(np.arange(J), 8)
        one, x = np.ones(g.size), rng.normal(3, 2, g.size)
        y = 5 + 0.5 * x + tau * rng.normal(size=J)[g] + rng.normal(size=g.size)
        columns = {"(Intercept)": one} if kind == "intercepts" else {"(Intercept)": one, "x": x}
        term = ("g", g, columns, kind != "independent")
        return make_design(y, {"(Intercept)": one, "x": x}, term, **kwargs)

    return build


@pytest.fixture(scope="session")
def prepared(toy):
    def build(kind="intercepts", priors=None, **kwargs):
        return prepare(toy(kind, **kwargs), priors or {})

    return build
