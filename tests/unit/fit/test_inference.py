"""Satterthwaite's degrees of freedom and the rows of fixed effects."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from nestwise.fit.fixed_effects import fixed_effect_inference
from nestwise.fit.inference import t_rows
from nestwise.fit.state import solve_lmm


def df_of(design):
    state = solve_lmm(design)
    return fixed_effect_inference(design, state, "satterthwaite").t(np.eye(design.X.shape[1]))


@pytest.mark.parametrize(
    ("random", "expected"), [("slopes", [17.0, 17.0]), ("independent", [18.156, 18.156])]
)
def test_lmertest(sleepstudy, random, expected):
    """Rule 4. source of numbers: lmerTest 3.1-3."""
    np.testing.assert_allclose(df_of(sleepstudy(random)), expected, atol=1e-3)


def test_balanced_means_have_groups_minus_one(make_design):
    """A one-way layout: J - 1 for the mean; a treatment inside groups has J(n - 1) - 1."""
    rng = np.random.default_rng(4)
    codes = np.repeat(np.arange(9), 6)
    x = np.tile([0.0, 1.0], 27)
    y = 2 * rng.normal(size=9)[codes] + rng.normal(size=54)
    columns = {"(Intercept)": np.ones(54), "x": x - 0.5}
    df = df_of(make_design(y, columns, ("g", codes, {"(Intercept)": np.ones(54)}, True)))
    assert df[0] == pytest.approx(8, rel=1e-5)
    assert df[1] == pytest.approx(44, rel=1e-5)


def test_without_variance_between_groups_it_is_least_squares(make_design):
    codes = np.repeat(np.arange(3), 3)
    one = {"(Intercept)": np.ones(9)}
    y = np.array([1.0, 3, 2, 1, 3, 2, 1, 3, 2.1])
    assert df_of(make_design(y, one, ("g", codes, one, True))) == pytest.approx([8.0], rel=1e-6)


def test_rows_of_t_tests():
    (row,) = t_rows(["x"], np.array([2.0]), np.array([0.8]), np.array([7.5]), 0.9)
    assert row.statistic == pytest.approx(2.5)
    assert row.p_value == pytest.approx(2 * stats.t.sf(2.5, 7.5), rel=1e-12)
    half = stats.t.ppf(0.95, 7.5) * 0.8
    assert (row.lower, row.upper) == pytest.approx((2 - half, 2 + half))
    assert row.level == 0.9


def test_rows_of_z_tests_have_no_df():
    (row,) = t_rows(["x"], np.array([2.0]), np.array([0.8]), None, 0.95)
    assert row.df is None
    assert row.p_value == pytest.approx(2 * stats.norm.sf(2.5), rel=1e-6)
    assert row.upper == pytest.approx(2 + 1.959964 * 0.8, rel=1e-6)
