"""Derivatives of a quadrature through the modes and curvatures its nodes hang on, compiled.

The formulas are those of `quadrature`; what is added over rows and small matrices here would otherwise be
written to memory a dozen times.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from nestwise.arrays import FloatArray, IntArray


@njit(cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _by_curvature(
    C: FloatArray, slope_x: FloatArray, by_H: FloatArray, N: FloatArray
) -> None:  # pragma: no cover
    """``-C N C'`` of one group, N the mirrored half of the upper triangle of ``sqrt(2) C'A``."""
    q = C.shape[0]
    for a in range(q):
        for b in range(a, q):
            total = 0.0
            for s in range(q):
                total += C[s, a] * slope_x[s, b]
            N[a, b] = np.sqrt(2.0) * total / 2
            N[b, a] = N[a, b]
        N[a, a] += 0.5  # from log |C|
    for a in range(q):
        for b in range(q):
            total = 0.0
            for s in range(q):
                along = 0.0
                for t in range(q):
                    along += N[s, t] * C[b, t]
                total += C[a, s] * along
            by_H[a, b] = -total


@njit(cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _solve(C: FloatArray, j: int, v: FloatArray, solved: FloatArray) -> None:  # pragma: no cover
    """``C C' v`` of group j."""
    solved[:] = 0.0
    for s in range(v.size):
        along = 0.0
        for r in range(s + 1):
            along += C[r, s, j] * v[r]
        for r in range(s + 1):
            solved[r] += C[r, s, j] * along


@njit(cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _through_mode(  # noqa: PLR0917
    v: FloatArray, z: FloatArray, bounds: IntArray, u: FloatArray, C: FloatArray, d: FloatArray,
    slope: FloatArray, slope_x: FloatArray, pull_u: FloatArray,
) -> tuple[FloatArray, FloatArray]:  # pragma: no cover  # fmt: skip
    """`through_modes` where one effect varies."""
    rows, by_L = np.empty((3, v.size)), pull_u.copy()
    for j in range(bounds.shape[0] - 1):
        by_H = -C[j] * C[j] * (np.sqrt(2.0) * C[j] * slope_x[j] + 1) / 2
        acc, of_d1, of_through = slope[j], 0.0, 0.0
        for i in range(bounds[j], bounds[j + 1]):
            spread = by_H * v[i] * v[i]
            rows[2, i] = spread
            rows[0, i] = -d[2, i] * spread
            acc += rows[0, i] * v[i]
            of_d1 += z[i] * d[0, i]
            of_through += z[i] * d[1, i] * v[i]
        c, of_rest = C[j] * C[j] * acc, 0.0
        for i in range(bounds[j], bounds[j + 1]):
            rows[1, i] = v[i] * c
            rows[0, i] += d[1, i] * rows[1, i]
            of_rest += z[i] * rows[0, i]
        by_L[0, 0, j] += of_rest * u[j] + of_d1 * c - 2 * by_H * of_through
    return rows, by_L


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def through_modes(  # noqa: PLR0917
    V: FloatArray, Z: FloatArray, bounds: IntArray, u: FloatArray, C: FloatArray, d: FloatArray,
    slope: FloatArray, slope_x: FloatArray, pull_u: FloatArray,
) -> tuple[FloatArray, FloatArray]:  # pragma: no cover  # fmt: skip
    """What rows and L do to the modes and curvatures.

    Parameters
    ----------
    V, Z, bounds, u, C, d
        ``L'z`` and z of each row (q, n); first row of each group, and n (J + 1,); modes (q, J) and factors
        of their inverse curvature (q, q, J); derivatives of each row's log density there (3, n).
    slope, slope_x, pull_u
        Averages over the nodes, see `quadrature`.

    Returns
    -------
    rows : ndarray (3, n)
        Derivative by eta through the nodes; the shift of eta with the mode; the spread ``V' dH V``.
    by_L : ndarray (q, q, J)
        Derivative by L, that of the nodes themselves included.
    """
    if V.shape[0] == 1:
        alone: tuple[FloatArray, FloatArray] = _through_mode(
            V[0], Z[0], bounds, u[0], C[0, 0], d, slope[0], slope_x[0, 0], pull_u
        )
        return alone
    (q, n), J = V.shape, bounds.shape[0] - 1
    rows, by_L = np.empty((3, n)), pull_u.copy()
    by_H, N, of_through = np.empty((3, q, q))
    acc, c, through, of_rest, of_d1 = np.empty((5, q))
    for j in range(J):
        _by_curvature(C[:, :, j], slope_x[:, :, j], by_H, N)
        acc[:], of_rest[:], of_d1[:], of_through[:] = slope[:, j], 0.0, 0.0, 0.0
        for i in range(bounds[j], bounds[j + 1]):
            spread = 0.0
            for r in range(q):
                through[r] = 0.0
                for s in range(q):
                    through[r] += by_H[r, s] * V[s, i]
                spread += through[r] * V[r, i]
            rows[2, i] = spread
            rows[0, i] = -d[2, i] * spread
            for r in range(q):
                acc[r] += rows[0, i] * V[r, i]
                of_d1[r] += Z[r, i] * d[0, i]
                for s in range(q):
                    of_through[r, s] += Z[r, i] * d[1, i] * through[s]
        _solve(C, j, acc, c)
        for i in range(bounds[j], bounds[j + 1]):
            along = 0.0
            for r in range(q):
                along += V[r, i] * c[r]
            rows[1, i] = along
            rows[0, i] += d[1, i] * along
            for r in range(q):
                of_rest[r] += Z[r, i] * rows[0, i]
        for r in range(q):
            for s in range(q):
                by_L[r, s, j] += of_rest[r] * u[s, j] + of_d1[r] * c[s] - 2 * of_through[r, s]
    return rows, by_L
