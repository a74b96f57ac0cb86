"""What the engine glmm refuses: outcomes its families do not have, groups that say nothing, separation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nestwise.errors import Refusal
from nestwise.fit.glmm import fit_glmm
from nestwise.fit.separation import separated

REFUSED = {
    "gaussian": ({"family": "gaussian", "link": "identity"}, "not Gaussian"),
    "link": ({"family": "poisson", "link": "logit"}, "has no link logit"),
    "not binary": ({"y": [0, 1, 2, 1, 0, 1, 0, 1]}, "neither 0 nor 1 in row 3"),
    "fractions": ({"family": "poisson", "link": "log", "y": [0, 1.5, 2, 1, 0, 1, 0, 1]}, "not a count"),
    "negative": ({"family": "poisson", "link": "log", "y": [0, -1, 2, 1, 0, 1, 0, 1]}, "not a count"),
    "gamma": ({"family": "gamma", "link": "log", "y": [0, 1, 2, 1, 1, 1, 2, 1]}, "not positive"),
    "trials": ({"y": [3, 1, 0, 1, 0, 1, 0, 1], "trials": np.full(8, 2.0)}, "trials than successes in row 1"),
    "no trials": ({"y": [0] * 4 + [1] * 4, "trials": np.array([0.0] + [2.0] * 7)}, "has no trials"),
    "parts": ({"y": [0.5] + [0, 1] * 3 + [1], "trials": np.full(8, 2.0)}, "whole numbers"),
    "one group": ({"g": np.zeros(8)}, "has one group"),
    "constant": ({"y": [1] * 8}, "the same in every row"),
    "all zero": ({"family": "poisson", "link": "log", "y": [0] * 8}, "is 0 in every row"),
    "constant groups": ({"y": [0, 0, 1, 1, 0, 0, 1, 1]}, "the same in all rows of each g"),
    "single trials": ({"g": np.arange(8)}, "single trial"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_a_way_out(design_of, name):
    """Rule 33."""
    changed, said = REFUSED[name]
    given = {
        "y": [0, 1, 1, 0, 0, 1, 1, 1],
        "g": [0, 0, 1, 1, 2, 2, 3, 3],
        "family": "binomial",
        "link": "logit",
    }
    with pytest.raises(Refusal) as refusal:
        fit_glmm(design_of(**(given | changed)))
    assert said in str(refusal.value)
    assert all(problem.way_out for problem in refusal.value.problems)


def test_the_same_groups_twice_are_refused(binary):
    design = binary()
    other = replace(design.random[0], group="h")
    with pytest.raises(Refusal, match="are the same groups"):
        fit_glmm(replace(design, random=(design.random[0], other)))


def test_an_outcome_that_is_reproduced_is_refused(design_of):
    """The shape of a gamma grows without bound."""
    g, x = np.repeat(np.arange(10), 4), np.linspace(0, 1, 40)
    y = np.exp(0.3 * np.sin(g) + x)
    with pytest.raises(Refusal, match="reproduce y exactly"):
        fit_glmm(design_of(y, g, "gamma", "log", {"x": x}))


SEPARATED = {
    "complete": ("binomial", [0, 0, 0, 0, 1, 1, 1, 1], [1, 2, 3, 4, 5, 6, 7, 8], True),
    "quasi": ("binomial", [0, 1, 0, 1, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1, 1, 1], False),
    "zeros": ("poisson", [0, 3, 1, 2, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1, 1, 1], False),
    "ordinal": ("ordinal", [0, 1, 1, 0, 2, 2, 2, 2], [0, 0, 0, 0, 1, 1, 1, 1], False),
}


@pytest.mark.parametrize("name", SEPARATED)
def test_separation_is_named(design_of, name):
    """Rule 12: no finite maximum; the predictor and a way out are named."""
    family, y, x, complete = SEPARATED[name]
    link = "log" if family == "poisson" else "logit"
    g = [0, 1, 0, 1, 0, 1, 0, 1]
    design = design_of(y, g, family, link, {"x": np.array(x, float)})
    found = separated(design)
    assert found is not None
    assert "x" in found[0]
    assert found[1] is complete
    with pytest.raises(Refusal, match="has no maximum; leave x out"):
        fit_glmm(design)


def test_only_the_predictor_that_separates_is_named(design_of):
    rng = np.random.default_rng(1)
    x, z = rng.normal(size=60), rng.normal(size=60)
    design = design_of(x > 0.1, np.arange(60) % 6, fixed={"z": z, "x": x})
    assert separated(design) == (("x",), True)


def test_no_separation_without_one(binary):
    assert separated(binary()) is None
