"""An ordinal outcome as the indicators of lying above its thresholds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nestwise.design.cumulative import above_threshold, cumulative_design, threshold_names


def graded(make_design):
    one = np.ones(4)
    design = make_design(
        [0, 2, 1, 2],
        {"(Intercept)": one, "x": [1, 2, 3, 4]},
        ("g", [0, 0, 1, 1], {"(Intercept)": one}, True),
        family="ordinal",
        offset=np.array([0.1, 0.2, 0.3, 0.4]),
    )
    return replace(design, categories=("low", "mid", "high", "never"), term_of=("(Intercept)", "x"))


def test_every_row_becomes_one_for_each_threshold(make_design):
    design = graded(make_design)
    made = cumulative_design(design)
    assert threshold_names(design) == ("low|mid", "mid|high")
    assert made.names == ("low|mid", "mid|high", "x")
    assert made.term_of == ("(Intercept)", "(Intercept)", "x")
    assert made.y.tolist() == [0, 0, 1, 1, 1, 0, 1, 1]
    assert made.X[:2].tolist() == [[-1, 0, 1], [0, -1, 1]]
    assert made.random[0].codes.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert made.offset.tolist() == [0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.4, 0.4]
    assert made.family == "binomial"


def test_one_threshold_is_every_so_manieth_row_of_all(make_design):
    design = graded(make_design)
    made = cumulative_design(design)
    for c in range(2):
        one = above_threshold(design, c)
        assert one.names == made.names
        assert np.array_equal(one.X, made.X[c::2])
        assert np.array_equal(one.y, made.y[c::2])
