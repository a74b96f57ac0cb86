"""The collapsed Gaussian likelihood as one PyTensor operation, value and gradient from one compiled kernel.

The kernel is `likelihood.conditional.log_density`, in terms of standard deviations and partial correlations.
"""

from __future__ import annotations

import inspect
import sys
from hashlib import sha256
from types import ModuleType
from typing import Any

import numpy as np
from numba import njit
from pytensor.graph.basic import Apply
from pytensor.link.numba.dispatch.basic import register_funcify_and_cache_key

from nestwise.arrays import FloatArray, IntArray
from nestwise.bayes.operation import LogDensity
from nestwise.likelihood import conditional


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def correlation_factor(partial: FloatArray, starts: IntArray, L: FloatArray) -> None:  # pragma: no cover
    """Fill L with the lower Cholesky factor of a correlation matrix, block by block.

    Row a holds columns starts[a] .. a; `partial` has its partial correlations in the same order:
    ``L[a, c] = r_ac prod_{k < c} sqrt(1 - r_ak^2)`` (Lewandowski, Kurowicka & Joe 2009).
    """
    at = 0
    for row in range(starts.shape[0]):
        left = 1.0
        for col in range(starts[row], row):
            r = partial[at]
            L[row, col] = r * left
            left *= np.sqrt((1.0 - r) * (1.0 + r))
            at += 1
        L[row, row] = left


# Not cached on disk: a cached function keeps what it called in other files, also after these have changed.
@njit(nogil=True)  # type: ignore[untyped-decorator]
def collapsed(  # noqa: PLR0917
    beta: FloatArray,
    sd: FloatArray,
    partial: FloatArray,
    residual_sd: FloatArray,
    A: FloatArray,
    B: FloatArray,
    G: FloatArray,
    rows: FloatArray,
    weights: FloatArray,
    starts: IntArray,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:  # pragma: no cover
    """Log likelihood and its derivatives by beta, sd, partial and sigma; scalars are arrays of shape ()."""
    q = sd.shape[0]
    sigma, n = residual_sd.item(), rows.item()
    L = np.zeros((q, q))
    correlation_factor(partial, starts, L)
    Lambda = np.empty((q, q))
    for row in range(q):
        for col in range(q):
            Lambda[row, col] = sd[row] * L[row, col] / sigma
    value, d_beta, d_Lambda, d_sigma = conditional.log_density(beta, Lambda, sigma, A, B, G, n, weights)
    d_sd = np.zeros(q)
    d_partial = np.zeros(partial.shape[0])
    at = 0
    for row in range(q):
        for col in range(starts[row], row + 1):
            d_sd[row] += d_Lambda[row, col] * L[row, col] / sigma
            d_sigma -= d_Lambda[row, col] * Lambda[row, col] / sigma
        left = 1.0
        for col in range(starts[row], row):
            r = partial[at]
            rest = (1.0 - r) * (1.0 + r)
            d_partial[at] = d_Lambda[row, col] * left
            for k in range(col + 1, row + 1):
                d_partial[at] -= d_Lambda[row, k] * L[row, k] * r / rest
            d_partial[at] *= sd[row] / sigma
            left *= np.sqrt(rest)
            at += 1
    return np.asarray(value), d_beta, d_sd, d_partial, np.asarray(d_sigma)


class CollapsedGaussian(LogDensity):
    """log p(y | beta, sd, partial, sigma) with the random effects integrated out.

    Inputs: beta (p,), sd (q,), partial (k,), sigma (), then the data A (J, q, q), B (J, q, p + 1),
    G (p + 1, p + 1), n (), weights (J,), starts (q,).
    """

    parameters = 4
    kernel = staticmethod(collapsed)


def fingerprint(*modules: ModuleType) -> str:
    """Key of the source of modules."""
    return sha256("".join(inspect.getsource(module) for module in modules).encode()).hexdigest()


@register_funcify_and_cache_key(CollapsedGaussian)  # type: ignore[untyped-decorator]
def _to_numba(op: CollapsedGaussian, node: Apply, **kwargs: Any) -> tuple[Any, str]:
    del op, node, kwargs

    # Compiled callers are cached with the kernel inside them: the key follows its source.
    return collapsed, fingerprint(conditional, sys.modules[__name__])
