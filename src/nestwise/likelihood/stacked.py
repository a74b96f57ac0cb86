"""Small symmetric matrices of many groups at once, groups last in memory: (q, q, J).

The loops run over the few rows and columns, each step over all groups; for the sizes of random effects this
is many times quicker than a factorisation group by group.
"""

from __future__ import annotations

import numpy as np

from nestwise.arrays import FloatArray


def factor(H: FloatArray) -> FloatArray:
    """Lower triangular R (q, q, J) with ``R R' = H``, for H (q, q, J) with no eigenvalue below 1.

    Its pivots are then at least 1, which holds against rounding where H is huge.
    """
    q = H.shape[0]
    R = np.zeros_like(H)
    for b in range(q):
        for a in range(b, q):
            rest = H[a, b] - np.einsum("sj,sj->j", R[a, :b], R[b, :b]) if b else H[a, b]
            R[a, b] = np.sqrt(np.maximum(rest, 1.0)) if a == b else rest / R[b, b]
    return R


def inverse_transpose(R: FloatArray) -> FloatArray:
    """Upper triangular ``C = R'^-1`` (q, q, J), so that ``C C' = (R R')^-1``."""
    q = R.shape[0]
    C = np.zeros_like(R)  # C[a, b] = (R^-1)[b, a]
    for a in range(q):
        C[a, a] = 1 / R[a, a]
        for b in range(a + 1, q):
            C[a, b] = -np.einsum("sj,sj->j", R[b, a:b], C[a, a:b]) / R[b, b]
    return C


def times(A: FloatArray, B: FloatArray) -> FloatArray:
    """``A B`` (q, q, J)."""
    return np.asarray(np.einsum("asj,sbj->abj", A, B))


def times_transpose(A: FloatArray, B: FloatArray) -> FloatArray:
    """``A B'`` (q, q, J)."""
    return np.asarray(np.einsum("asj,bsj->abj", A, B))


def solve(C: FloatArray, v: FloatArray) -> FloatArray:
    """``C C' v`` (q, J), with C from `inverse_transpose`."""
    return np.asarray(np.einsum("asj,bsj,bj->aj", C, C, v, optimize=C.shape[0] > 1))
