"""ICC, shares of variance, design effect, break-even size."""

from __future__ import annotations

import numpy as np
import pytest

from nestwise.fit.partition import kish_size, mean_square_z, partition, partition_rows


def test_blood_pressure():
    """Between 28, within 52 mmHg^2: 0.35."""
    parts = partition(np.array([[28.0]]), np.sqrt(52.0), ("(Intercept)",), np.ones((1, 1)), 10.0)
    assert parts.icc == pytest.approx(0.35)
    assert parts.share_group == pytest.approx(0.35)
    assert parts.share_residual == pytest.approx(0.65)
    assert parts.design_effect == pytest.approx(1 + 9 * 0.35)
    assert parts.variance_ratio == pytest.approx(28 / 52)
    assert parts.break_even == pytest.approx(52 / 28)


def test_with_slopes_the_share_is_averaged_over_rows(simulate):
    """The mean over rows of z'Sigma z; the ICC stays that at covariates of 0."""
    design = simulate()
    Sigma = np.array([[1.0, 0.3], [0.3, 0.5]])
    parts = partition(Sigma, 1.2, ("(Intercept)", "x"), mean_square_z(design), kish_size(design))
    Z = design.random[0].Z
    between = np.mean([z @ Sigma @ z for z in Z])
    assert parts.share_group == pytest.approx(between / (between + 1.44))
    assert parts.icc == pytest.approx(1 / 2.44)


def test_average_size_is_that_a_row_sees(simulate):
    """Design effect of a mean of unequal groups, by the covariance matrix of all rows."""
    design = simulate()
    codes, icc = design.random[0].codes, 0.3
    V = np.where(codes[:, None] == codes[None, :], icc, 0.0) + (1 - icc) * np.eye(design.n)
    parts = partition(
        np.array([[icc]]), np.sqrt(1 - icc), ("(Intercept)",), np.ones((1, 1)), kish_size(design)
    )
    assert parts.design_effect == pytest.approx(V.sum() / design.n)


def test_without_a_varying_intercept_there_is_no_icc():
    parts = partition(np.array([[2.0]]), 1.0, ("x",), np.array([[3.0]]), 5.0)
    assert parts.icc is None
    assert parts.design_effect is None
    assert parts.share_group == pytest.approx(6 / 7)
    assert {row.term for row in partition_rows("g", parts)} == {"variance_share", "residual_share"}


def test_no_variance_between_groups():
    parts = partition(np.zeros((1, 1)), 1.0, ("(Intercept)",), np.ones((1, 1)), 5.0)
    assert (parts.icc, parts.design_effect, parts.variance_ratio, parts.break_even) == (0, 1, 0, None)
    rows = {row.term: row for row in partition_rows("g", parts, (0.0, 0.5), 0.95, 5.0)}
    assert rows["break_even_n"].estimate is None
    assert (rows["break_even_n"].lower, rows["break_even_n"].upper) == (2.0, None)
    assert rows["icc"].upper == pytest.approx(1 / 3)
