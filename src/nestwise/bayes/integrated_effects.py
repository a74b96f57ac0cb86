"""The normal law of rows in groups, random effects integrated out, where the columns themselves are unknown.

`collapsed` needs the rows once only, in cross-products. Here outcome and columns change with every draw of
what is missing, so that rows are gone through each time: ``r ~ N(0, sigma^2 I + H_j H_j')`` in group j, with
``H = Z Lambda``. By Woodbury's identity with ``M_j = I + H_j'H_j / sigma^2`` and ``c_j = H_j'r_j``,

    log|V_j| = n_j log sigma^2 + log|M_j|,   r'V^-1 r = (r'r - c'M^-1 c / sigma^2) / sigma^2,
    V^-1 r = (r - H M^-1 c / sigma^2) / sigma^2,   V^-1 H = H M^-1 / sigma^2,

and the derivatives are ``-V^-1 r`` by r and ``-(V^-1 - V^-1 r r'V^-1) H`` by H.
"""

from __future__ import annotations

import sys
from math import log
from typing import Any

import numpy as np
from numba import njit
from pytensor.graph.basic import Apply
from pytensor.link.numba.dispatch.basic import register_funcify_and_cache_key

from nestwise.arrays import FloatArray, IntArray
from nestwise.bayes.collapsed import fingerprint
from nestwise.bayes.operation import LogDensity
from nestwise.bayes.row_densities import LOG_2PI


@njit(nogil=True)  # type: ignore[untyped-decorator]
def invert(M: FloatArray) -> float:  # pragma: no cover
    """Replace a positive definite matrix by its inverse (Gauss and Jordan); returns its log determinant."""
    q, value = M.shape[0], 0.0
    for k in range(q):
        pivot = M[k, k]
        value += log(pivot)
        M[k, k] = 1.0
        for col in range(q):
            M[k, col] /= pivot
        for row in range(q):
            if row != k:
                factor = M[row, k]
                M[row, k] = 0.0
                for col in range(q):
                    M[row, col] -= factor * M[k, col]
    return value


@njit(nogil=True)  # type: ignore[untyped-decorator]
def integrated(
    r: FloatArray, H: FloatArray, residual_sd: FloatArray, codes: IntArray, sizes: IntArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:  # pragma: no cover
    """Log density and its derivatives by r, H and sigma; scalars are arrays of shape ()."""
    (n, q), J = H.shape, sizes.shape[0]
    sigma = residual_sd.item()
    s2 = sigma * sigma
    M, c = np.zeros((J, q, q)), np.zeros((J, q))
    squares = 0.0
    for i in range(n):
        j = codes[i]
        squares += r[i] * r[i]
        for a in range(q):
            c[j, a] += H[i, a] * r[i]
            for b in range(q):
                M[j, a, b] += H[i, a] * H[i, b] / s2
    w = np.zeros((J, q))
    value = -0.5 * (n * (LOG_2PI + log(s2)) + squares / s2)
    trace = 0.0
    for j in range(J):
        for a in range(q):
            M[j, a, a] += 1.0
        value -= 0.5 * invert(M[j])
        trace += (sizes[j] - q) / s2
        for a in range(q):
            trace += M[j, a, a] / s2
            for b in range(q):
                w[j, a] += M[j, a, b] * c[j, b] / s2
            value += 0.5 * w[j, a] * c[j, a] / s2
    d_r, d_H, both = np.empty(n), np.empty((n, q)), 0.0
    for i in range(n):
        j, alpha = codes[i], r[i]
        for a in range(q):
            alpha -= H[i, a] * w[j, a]
        alpha /= s2
        both += alpha * alpha
        d_r[i] = -alpha
        for a in range(q):
            d_H[i, a] = alpha * w[j, a]
            for b in range(q):
                d_H[i, a] -= H[i, b] * M[j, b, a] / s2
    return np.asarray(value), d_r, d_H, np.asarray(sigma * (both - trace))


class IntegratedNormal(LogDensity):
    """log p(r | H, sigma) of rows in groups.

    Inputs: r (n,), H (n, q), sigma (), then the data codes (n,), sizes (J,).
    """

    parameters = 3
    kernel = staticmethod(integrated)


@register_funcify_and_cache_key(IntegratedNormal)  # type: ignore[untyped-decorator]
def _to_numba(op: IntegratedNormal, node: Apply, **kwargs: Any) -> tuple[Any, str]:
    del op, node, kwargs
    from nestwise.bayes import row_densities

    return integrated, fingerprint(row_densities, sys.modules[__name__])
