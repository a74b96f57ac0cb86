"""Marginal means and differences: which are made, what they say, and empty cells."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from nestwise.design.grid import MeansGrid
from nestwise.fit.fixed_effects import FixedInference
from nestwise.fit.means import means_frame
from nestwise.vocabulary import MEANS


@pytest.fixture
def inference():
    """Four fixed effects: intercept, visit 2, active, active at visit 2; 20 degrees of freedom for all."""
    C = np.diag([1.0, 2.0, 3.0, 4.0])
    return FixedInference(
        "between_within",
        np.array([10.0, 1.0, -2.0, -0.5]),
        C,
        C,
        np.zeros((0, 4, 4)),
        np.zeros((0, 0)),
        np.full(4, 20.0),
    )


@pytest.fixture
def grid():
    X = np.array([[1, 0, 0, 0], [1, 0, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1.0]])
    levels = (("1", "placebo"), ("1", "active"), ("2", "placebo"), ("2", "active"))
    return MeansGrid(("visit", "arm"), levels, X, np.ones(4, dtype=bool))


def test_means_and_differences_at_each_level(grid, inference):
    frame = means_frame([grid], inference, level=0.9)
    assert frame.columns == list(MEANS)
    means, differences = (frame.filter(pl.col("kind") == kind) for kind in ("mean", "contrast"))
    assert means["estimate"].to_list() == [10.0, 8.0, 11.0, 8.5]
    assert means["x"].to_list() == ["1", "1", "2", "2"]
    assert means["by"].to_list() == ["placebo", "active"] * 2
    assert differences["estimate"].to_list() == [-2.0, -2.5]
    assert differences["term"].to_list() == ["active - placebo at 1", "active - placebo at 2"]
    assert differences["x"].to_list() == ["1", "2"]
    np.testing.assert_allclose(differences["std_error"], np.sqrt([3.0, 7.0]))
    t = -2.5 / np.sqrt(7)
    last = differences.row(1, named=True)
    assert last["statistic"] == pytest.approx(t)
    from scipy import stats

    assert last["p_value"] == pytest.approx(2 * stats.t.sf(-t, 20))
    assert last["lower"] == pytest.approx(-2.5 - stats.t.ppf(0.95, 20) * np.sqrt(7))
    assert last["level"] == 0.9


def test_one_variable_pairwise_or_from_the_first(inference):
    """Up to six levels every pair; of more, all against the first."""
    for n, expected in ((3, [(0, 1), (0, 2), (1, 2)]), (7, [(0, k) for k in range(1, 7)])):
        X = np.zeros((n, 4))
        X[:, 0] = 1
        X[:, 1] = np.arange(n)
        levels = tuple((f"l{k}",) for k in range(n))
        frame = means_frame([MeansGrid(("dose",), levels, X, np.ones(n, dtype=bool))], inference)
        differences = frame.filter(pl.col("kind") == "contrast")
        assert differences["term"].to_list() == [f"l{b} - l{a}" for a, b in expected]
        assert differences["estimate"].to_list() == [float(b - a) for a, b in expected]


def test_cells_the_data_do_not_determine(grid, inference):
    """Rule 33: an empty cell and its differences are null rows that say why."""
    empty = MeansGrid(grid.by, grid.levels, grid.X, np.array([True, True, True, False]))
    frame = means_frame([empty], inference)
    null = frame.filter(pl.col("estimate").is_null())
    assert null["kind"].to_list() == ["mean", "contrast"]
    assert all("not estimable" in term for term in null["term"])
    for name in ("std_error", "df", "p_value", "lower", "upper", "level"):
        assert null[name].null_count() == 2
    assert frame["estimate"].null_count() == 2


def test_z_tests_have_no_df(grid, inference):
    normal = FixedInference(
        "normal",
        inference.beta,
        inference.cov_beta,
        inference.cov_beta,
        np.zeros((0, 4, 4)),
        np.zeros((0, 0)),
    )
    frame = means_frame([grid], normal)
    assert frame["df"].null_count() == frame.height
    row = frame.row(0, named=True)
    assert row["upper"] - row["estimate"] == pytest.approx(1.959964, abs=1e-6)


def test_no_grids(inference):
    assert means_frame([], inference).is_empty()
