"""rho of true times: irregular ones, negative ones, and the unit it belongs to."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from nestwise.design.occasions import Occasions
from nestwise.fit.autoregression import autoregression, distances
from nestwise.fit.cluster_layout import cluster_layout


@pytest.fixture
def layout_of(make_design):
    def build(times, J=300, rho=0.6, seed=1):
        rng = np.random.default_rng(seed)
        times = np.asarray(times, dtype=float)
        T = len(times)
        codes, visits = np.repeat(np.arange(J), T), np.tile(np.arange(T), J)
        apart = np.abs(np.subtract.outer(times, times))
        R = np.sign(rho) ** np.round(apart) * np.abs(rho) ** apart
        r = (rng.normal(size=(J, T)) @ np.linalg.cholesky(R).T).ravel()
        one = {"(Intercept)": np.ones(codes.size)}
        design = make_design(r, one, ("g", codes, one, True))
        occasions = Occasions("t", visits, tuple(map(str, times)), times)
        return cluster_layout(replace(design, occasions=occasions), "ar1"), r, times

    return build


@pytest.mark.parametrize(
    ("times", "rho"),
    [((0, 1, 2, 3), 0.6), ((0, 0.31, 1.7, 2.05), 0.6), ((0, 1, 2, 3), -0.5), ((0, 30.5, 91.2, 180.7), 0.99)],
)
def test_rho_is_least_squares_over_all_pairs(layout_of, times, rho):
    layout, r, times = layout_of(times, rho=rho)
    found = autoregression(distances(layout), r)
    i, j = np.triu_indices(len(times), 1)
    rows = r.reshape(-1, len(times))
    d, z = times[j] - times[i], rows[:, i] * rows[:, j]

    def squares(value):
        return ((np.sign(value) ** np.round(d) * np.abs(value) ** d - z) ** 2).sum()

    around = minimize_scalar(squares, bounds=(found - 0.009, min(found + 0.009, 0.99999)), method="bounded",
                             options={"xatol": 1e-12})  # fmt: skip
    assert found == pytest.approx(around.x, abs=1e-6)
    assert found == pytest.approx(rho, abs=0.05)


def test_planned_visits_have_a_unit_of_their_own(layout_of):
    layout, r, _ = layout_of((0, 4, 8, 16), rho=0.9)
    found = distances(layout)
    assert (found.unit, found.whole, found.distinct.tolist()) == (4, True, [1, 2, 3, 4])
    assert autoregression(found, r) == pytest.approx(0.9**4, abs=0.05)
    irregular = distances(layout_of((0, 4, 9.5))[0])
    assert (irregular.unit, irregular.whole) == (1, False)
