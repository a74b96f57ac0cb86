"""Small designs of generalised models, for all tests of the engine glmm."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest


@pytest.fixture(scope="module")
def design_of(make_design):
    """One grouping factor; `varying` names the fixed columns that vary by it beside the intercept."""

    def build(y, g, family="binomial", link="logit", fixed=None, varying=(), trials=None, **kwargs):
        one = np.ones(len(y))
        columns = {"(Intercept)": one} | (fixed or {})
        slopes = {"(Intercept)": one} | {name: columns[name] for name in varying}
        made = make_design(y, columns, ("g", g, slopes, True), family=family, **kwargs)
        return replace(made, link=link, trials=trials, term_of=tuple(columns))

    return build


@pytest.fixture(scope="module")
def binary(design_of):
    """40 groups of 8 rows, a standard deviation of 1."""

    def build(sd=1.0, seed=1, **kwargs):
        rng = np.random.default_rng(seed)
        g = np.repeat(np.arange(40), 8)
        x = rng.normal(size=320)
        b = sd * rng.normal(size=40)
        y = rng.binomial(1, 1 / (1 + np.exp(0.4 - 0.8 * x - b[g])))
        return design_of(y, g, fixed={"x": x}, **kwargs)

    return build
