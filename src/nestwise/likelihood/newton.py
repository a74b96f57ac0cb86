"""Newton steps of many groups at once, each with a small matrix of its own, compiled."""

from __future__ import annotations

import numpy as np
from numba import njit

from nestwise.arrays import FloatArray, IntArray


@njit(cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _factor(R: FloatArray, C: FloatArray, j: int) -> None:  # pragma: no cover
    """C[:, :, j], the transposed inverse of the Cholesky factor of R, which is overwritten.

    No eigenvalue of R is below 1, so that its pivots are at least 1, which holds against rounding where R is
    huge.
    """
    q = R.shape[0]
    for s in range(q):
        for r in range(s, q):
            rest = R[r, s]
            for t in range(s):
                rest -= R[r, t] * R[s, t]
            R[r, s] = np.sqrt(max(rest, 1.0)) if r == s else rest / R[s, s]
    for s in range(q):
        C[s, s, j] = 1.0 / R[s, s]
        for r in range(s + 1, q):
            rest = 0.0
            for t in range(s, r):
                rest -= R[r, t] * C[s, t, j]
            C[s, r, j] = rest / R[r, r]


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def newton_steps(
    d1: FloatArray, d2: FloatArray, V: FloatArray, bounds: IntArray, u: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:  # pragma: no cover
    """Steps towards the modes, and the curvature of the joint densities.

    Parameters
    ----------
    d1, d2 : ndarray (n,)
        Derivatives of each row's log density by eta.
    V : ndarray (q, n)
        ``L'z``.
    bounds : ndarray (J + 1,)
        First row of each group, and n.
    u : ndarray (q, J)
        Where the groups are.

    Returns
    -------
    C : ndarray (q, q, J)
        Upper triangular with ``C C' = H^-1``, ``H = I - V d2 V'``.
    step : ndarray (q, J)
        ``H^-1 (V d1 - u)``.
    left : ndarray (J,)
        Its squared length in the metric H.
    """
    (q, J), slope, R = u.shape, np.empty(u.shape[0]), np.empty((u.shape[0], u.shape[0]))
    C, step, left = np.zeros((q, q, J)), np.empty((q, J)), np.empty(J)
    for j in range(J):
        slope_0, R_00 = -u[0, j], 1.0  # most models have no more, and these stay in registers
        for i in range(bounds[j], bounds[j + 1]):
            slope_0 += V[0, i] * d1[i]
            R_00 -= V[0, i] * V[0, i] * d2[i]
        if q == 1:
            C[0, 0, j], step[0, j] = 1.0 / np.sqrt(R_00), slope_0 / R_00
            left[j] = slope_0 * step[0, j]
            continue
        slope[0], R[0, 0] = slope_0, R_00
        for r in range(1, q):
            slope[r] = -u[r, j]
            for s in range(r + 1):
                R[r, s] = 1.0 * (r == s)
            for i in range(bounds[j], bounds[j + 1]):
                slope[r] += V[r, i] * d1[i]
                for s in range(r + 1):
                    R[r, s] -= V[r, i] * V[s, i] * d2[i]
        _factor(R, C, j)
        left[j] = 0.0
        for s in range(q):
            along = 0.0
            for r in range(s + 1):
                along += C[r, s, j] * slope[r]
            left[j] += along * along
            step[s, j] = 0.0
            for r in range(s + 1):
                step[r, j] += C[r, s, j] * along
    return C, step, left
