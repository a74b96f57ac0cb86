"""The search: exact minima, saddles left, places where nothing can be evaluated, honest verdicts."""

import numpy as np
import pytest

from nestwise.fit.search import minimise


def quadratic(x):
    H = np.array([[3.0, 1.0], [1.0, 2.0]])
    centre = np.array([1.0, -2.0])
    return float((x - centre) @ H @ (x - centre) / 2), H @ (x - centre)


def even_well(x):
    """Two minima at (1, 0) and (-1, 0), a saddle at the origin."""
    return float((x[0] ** 2 - 1) ** 2 + x[1] ** 2), np.array([4 * x[0] * (x[0] ** 2 - 1), 2 * x[1]])


def test_a_quadratic_is_solved_and_its_hessian_known():
    found = minimise(quadratic, [("zero", np.zeros(2))], offset=10.0)
    assert found.converged
    assert found.at == pytest.approx([1.0, -2.0], abs=1e-8)
    assert found.hessian == pytest.approx(np.array([[3.0, 1.0], [1.0, 2.0]]), abs=1e-8)
    assert found.record["objective"] == pytest.approx(10.0)
    assert found.record["runs"][0]["start"] == [0.0, 0.0]


def test_a_saddle_with_zero_gradient_is_left():
    found = minimise(even_well, [("saddle", np.zeros(2))])
    assert found.converged
    assert abs(found.at[0]) == pytest.approx(1.0, abs=1e-6)
    assert any(run["from"] == "negative curvature" for run in found.record["runs"])


def test_the_lower_of_two_ends_is_taken():
    def tilted(x):
        value, gradient = even_well(x)
        return value + 0.3 * x[0], gradient + np.array([0.3, 0.0])

    found = minimise(tilted, [("right", np.array([1.0, 0.0])), ("left", np.array([-1.0, 0.0]))])
    assert found.at[0] < 0


def test_a_step_to_where_a_matrix_is_singular_turns_back():
    def walled(x):
        if x[0] > 1.5:
            raise np.linalg.LinAlgError
        return quadratic(x)

    found = minimise(walled, [("far", np.array([-30.0, 10.0]))])
    assert found.at == pytest.approx([1.0, -2.0], abs=1e-6)


def test_a_function_without_a_minimum_does_not_converge():
    found = minimise(lambda x: (float(x[0]), np.ones(1)), [("zero", np.zeros(1))])
    assert not found.converged
