"""Sums over the rows of each group, and values of groups given back to their rows, compiled.

Rows are sorted by group. NumPy's `add.reduceat` takes ten times as long on groups of a few rows, and its
gathers write arrays that are read once.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from nestwise.arrays import FloatArray, IntArray


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _group_sums(values: FloatArray, starts: IntArray) -> FloatArray:  # pragma: no cover
    m, n = values.shape
    J = starts.shape[0]
    sums = np.empty((m, J))
    for r in range(m):
        for j in range(J):
            stop = starts[j + 1] if j + 1 < J else n
            total = 0.0
            for i in range(starts[j], stop):
                total += values[r, i]
            sums[r, j] = total
    return sums


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def linear_predictors(
    eta: FloatArray, V: FloatArray, u: FloatArray, starts: IntArray
) -> FloatArray:  # pragma: no cover
    """``eta + V'u`` (B, n) at B values u (q, B, J) of the groups' effects; eta (n,), V (q, n)."""
    q, n = V.shape
    B, J = u.shape[1], starts.shape[0]
    out = np.empty((B, n))
    for b in range(B):
        for j in range(J):
            stop = starts[j + 1] if j + 1 < J else n
            for i in range(starts[j], stop):
                total = eta[i]
                for r in range(q):
                    total += V[r, i] * u[r, b, j]
                out[b, i] = total
    return out


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def add_weighted(
    total: FloatArray, share: FloatArray, values: FloatArray, starts: IntArray
) -> None:  # pragma: no cover
    """Add ``sum_b share_bj values_bi`` to `total` (n,), i in group j; share (B, J), values (B, n)."""
    B, n = values.shape
    J = starts.shape[0]
    for b in range(B):
        for j in range(J):
            stop = starts[j + 1] if j + 1 < J else n
            weight = share[b, j]
            for i in range(starts[j], stop):
                total[i] += weight * values[b, i]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def products(Z: FloatArray, values: FloatArray, starts: IntArray) -> FloatArray:  # pragma: no cover
    """``sum_i Z_ri values_bi`` (q, B, J) over the rows i of each group; Z (q, n), values (B, n)."""
    q, n = Z.shape
    B, J = values.shape[0], starts.shape[0]
    sums = np.empty((q, B, J))
    for r in range(q):
        for b in range(B):
            for j in range(J):
                stop = starts[j + 1] if j + 1 < J else n
                total = 0.0
                for i in range(starts[j], stop):
                    total += Z[r, i] * values[b, i]
                sums[r, b, j] = total
    return sums


def group_sums(values: FloatArray, starts: IntArray) -> FloatArray:
    """Sums over each group's rows: (..., n) to (..., J).

    Parameters
    ----------
    values : ndarray (..., n)
        Rows sorted by group.
    starts : ndarray (J,)
        First row of each group; none is empty.
    """
    flat = np.ascontiguousarray(values).reshape(-1, values.shape[-1])
    return np.asarray(_group_sums(flat, starts).reshape(*values.shape[:-1], starts.shape[0]))
