"""Correlation structures: valid for any parameters, derivatives by differences, starts that come back."""

import numpy as np
import pytest

from nestwise.likelihood.correlation import (
    antedependence,
    antedependence_start,
    toeplitz,
    toeplitz_start,
    unstructured,
    unstructured_start,
)

T = 5
STRUCTURES = {
    "unstructured": (unstructured, unstructured_start, T * (T - 1) // 2),
    "toeplitz": (toeplitz, toeplitz_start, T - 1),
    "antedependence": (antedependence, antedependence_start, T - 1),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_any_parameters_give_a_correlation_matrix(name):
    function, _, k = STRUCTURES[name]
    theta = np.random.default_rng(1).normal(size=k)
    C, _ = function(theta, T)
    assert np.diag(C) == pytest.approx(np.ones(T))
    assert pytest.approx(C.T) == C
    assert np.linalg.eigvalsh(C)[0] > 0


@pytest.mark.parametrize("name", STRUCTURES)
def test_derivatives(name):
    function, _, k = STRUCTURES[name]
    theta = np.random.default_rng(2).normal(size=k)
    _, d = function(theta, T)
    for i in range(k):
        step = np.zeros(k)
        step[i] = 1e-6
        difference = (function(theta + step, T)[0] - function(theta - step, T)[0]) / 2e-6
        assert d[i] == pytest.approx(difference, abs=1e-9)


@pytest.mark.parametrize("name", STRUCTURES)
def test_a_start_gives_back_the_matrix(name):
    function, start, k = STRUCTURES[name]
    C, _ = function(0.2 * np.random.default_rng(4).normal(size=k), T)
    assert function(start(C), T)[0] == pytest.approx(C, abs=1e-12)


def test_a_start_from_a_matrix_that_is_none_is_valid():
    broken = np.array([[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]])
    C, _ = unstructured(unstructured_start(broken), 3)
    assert np.linalg.eigvalsh(C)[0] > 0.01


def test_antedependence_multiplies_neighbours():
    rho = np.array([0.5, -0.4, 0.8, 0.3])
    C, _ = antedependence(np.arctanh(rho), T)
    assert C[0, 3] == pytest.approx(0.5 * -0.4 * 0.8)
    assert C[4, 1] == pytest.approx(-0.4 * 0.8 * 0.3)


def test_a_toeplitz_correlation_depends_on_the_lag_alone():
    C, _ = toeplitz(np.array([0.4, -0.3, 0.2, 0.1]), T)
    for lag in range(T):
        assert np.ptp(np.diag(C, lag)) < 1e-14
    assert C[0, 1] == pytest.approx(np.tanh(0.4))
