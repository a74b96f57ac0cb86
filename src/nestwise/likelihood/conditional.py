"""The Gaussian likelihood given beta, Lambda and sigma: random effects integrated out, then drawn.

With ``v = (-beta, 1)`` and for each group ``c_j = B_j v``, ``e_j = Lambda'c_j``,
``M_j = I + Lambda'A_j Lambda``, ``w_j = M_j^-1 e_j``:

    log p(y | beta, Lambda, sigma)
        = -1/2 [n log 2 pi + 2 n log sigma + sum_j log|M_j| + (v'Gv - sum_j e_j'w_j) / sigma^2],

    b_j | y, beta, Lambda, sigma ~ N(Lambda w_j, sigma^2 Lambda M_j^-1 Lambda').

Everything is in the parametrisation of the `CrossProducts` handed in. This is the likelihood that `bayes`
samples; `gaussian` maximises the same one with beta and sigma profiled out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numba import njit

from nestwise.arrays import FloatArray
from nestwise.likelihood.crossproducts import CrossProducts

BLOCK = 64
"""Groups drawn at a time. The random stream is keyed on the block, so the size is part of the numbers."""


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _cross(Lambda: FloatArray, A_j: FloatArray, AL: FloatArray, M: FloatArray) -> None:  # pragma: no cover
    """Fill AL = A_j Lambda and M = I + Lambda'A_j Lambda."""
    q = Lambda.shape[0]
    for row in range(q):
        for col in range(q):
            total = 0.0
            for k in range(q):
                total += A_j[row, k] * Lambda[k, col]
            AL[row, col] = total
    for row in range(q):
        for col in range(q):
            total = 1.0 if row == col else 0.0
            for k in range(q):
                total += Lambda[k, row] * AL[k, col]
            M[row, col] = total


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _factor(M: FloatArray, C: FloatArray) -> float:  # pragma: no cover
    """Lower Cholesky factor C of M (q, q); returns log|M|."""
    log_det = 0.0
    for row in range(M.shape[0]):
        for col in range(row + 1):
            total = M[row, col]
            for k in range(col):
                total -= C[row, k] * C[col, k]
            if row == col:
                C[row, row] = np.sqrt(total)
                log_det += np.log(total)
            else:
                C[row, col] = total / C[col, col]
    return log_det


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _solve_lower(C: FloatArray, x: FloatArray) -> None:  # pragma: no cover
    """Overwrite x with C^-1 x."""
    for row in range(x.shape[0]):
        for k in range(row):
            x[row] -= C[row, k] * x[k]
        x[row] /= C[row, row]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _solve_upper(C: FloatArray, x: FloatArray) -> None:  # pragma: no cover
    """Overwrite x with C'^-1 x."""
    for row in range(x.shape[0] - 1, -1, -1):
        for k in range(row + 1, x.shape[0]):
            x[row] -= C[k, row] * x[k]
        x[row] /= C[row, row]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def log_density(  # noqa: PLR0917
    beta: FloatArray,
    Lambda: FloatArray,
    sigma: float,
    A: FloatArray,
    B: FloatArray,
    G: FloatArray,
    n: float,
    weights: FloatArray,
) -> tuple[float, FloatArray, FloatArray, float]:  # pragma: no cover
    """Compiled `conditional_density`: log p, d/dbeta (p,), d/dLambda (q, q), d/dsigma."""
    J, q = A.shape[0], A.shape[1]
    p = beta.shape[0]
    v = np.empty(p + 1)
    v[:p] = -beta
    v[p] = 1.0
    Gv = np.zeros(p + 1)
    rss = 0.0
    for row in range(p + 1):
        for col in range(p + 1):
            Gv[row] += G[row, col] * v[col]
        rss += v[row] * Gv[row]
    precision = 1.0 / sigma**2
    log_dets = 0.0
    d_Lambda = np.zeros((q, q))
    d_beta = Gv[:p].copy()
    AL, M, C = np.empty((q, q)), np.empty((q, q)), np.empty((q, q))
    c, w, row_of = np.empty(q), np.empty(q), np.empty(q)
    for j in range(J):
        _cross(Lambda, A[j], AL, M)
        log_dets += weights[j] * _factor(M, C)
        for a in range(q):
            c[a] = 0.0
            for k in range(p + 1):
                c[a] += B[j, a, k] * v[k]
        for a in range(q):
            w[a] = 0.0
            for k in range(q):
                w[a] += Lambda[k, a] * c[k]
        _solve_lower(C, w)
        for a in range(q):
            rss -= w[a] * w[a]
        _solve_upper(C, w)
        for a in range(q):
            effect = 0.0
            left = c[a]
            for k in range(q):
                effect += Lambda[a, k] * w[k]
                left -= AL[a, k] * w[k]
                row_of[k] = AL[a, k]
            _solve_lower(C, row_of)
            _solve_upper(C, row_of)
            for k in range(p):
                d_beta[k] -= B[j, a, k] * effect
            for b in range(q):
                d_Lambda[a, b] += left * w[b] * precision - weights[j] * row_of[b]
    value = -0.5 * (n * np.log(2.0 * np.pi) + 2.0 * n * np.log(sigma) + log_dets + rss * precision)
    return value, d_beta * precision, d_Lambda, (rss * precision - n) / sigma


@dataclass(frozen=True)
class ConditionalDensity:
    """log p(y | beta, Lambda, sigma) and its derivatives.

    Attributes
    ----------
    value : float
        Log density of the working outcome, with all its constants.
    d_beta : ndarray (p,)
    d_Lambda : ndarray (q, q)
        With respect to every element, free or not.
    d_sigma : float
    """

    value: float
    d_beta: FloatArray
    d_Lambda: FloatArray  # noqa: N815
    d_sigma: float


def conditional_density(
    products: CrossProducts, beta: FloatArray, Lambda: FloatArray, sigma: float
) -> ConditionalDensity:
    """Log density of the outcome with the random effects integrated out, and its gradient.

    Parameters
    ----------
    products : CrossProducts
        The collapsed data, compressed or not.
    beta : ndarray (p,)
        Fixed effects.
    Lambda : ndarray (q, q)
        Relative factor: the random effects covariance is ``sigma^2 Lambda Lambda'``.
    sigma : float
        Residual standard deviation, positive.

    Returns
    -------
    ConditionalDensity
    """
    data = (products.A, products.B, products.G, float(products.n), products.weights)
    value, d_beta, d_Lambda, d_sigma = log_density(
        np.ascontiguousarray(beta, dtype=float),
        np.ascontiguousarray(Lambda, dtype=float),
        float(sigma),
        *data,
    )
    return ConditionalDensity(float(value), d_beta, d_Lambda, float(d_sigma))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _draw(  # noqa: PLR0917
    beta: FloatArray, Lambda: FloatArray, sigma: FloatArray, A: FloatArray, B: FloatArray, normal: FloatArray
) -> None:  # pragma: no cover
    """Turn standard normal draws (S, J, q) into draws of b, in place."""
    S, J, q = normal.shape
    p = beta.shape[1]
    AL, M, C = np.empty((q, q)), np.empty((q, q)), np.empty((q, q))
    w, z = np.empty(q), np.empty(q)
    for s in range(S):
        for j in range(J):
            _cross(Lambda[s], A[j], AL, M)
            _factor(M, C)
            for a in range(q):
                w[a] = 0.0
            for a in range(q):
                c = B[j, a, p]
                for k in range(p):
                    c -= B[j, a, k] * beta[s, k]
                for k in range(q):
                    w[k] += Lambda[s, a, k] * c
            _solve_lower(C, w)
            for a in range(q):
                z[a] = w[a] + sigma[s] * normal[s, j, a]
            _solve_upper(C, z)
            for a in range(q):
                total = 0.0
                for k in range(q):
                    total += Lambda[s, a, k] * z[k]
                normal[s, j, a] = total


def draw_random_effects(
    products: CrossProducts, beta: FloatArray, Lambda: FloatArray, sigma: FloatArray, seed: int
) -> Iterator[tuple[slice, FloatArray]]:
    """Exact draws of the random effects, one for each draw of the other parameters.

    Groups come in blocks, so that S draws of many groups never stand in memory together.

    Parameters
    ----------
    products : CrossProducts
        The collapsed data, not compressed.
    beta : ndarray (S, p)
    Lambda : ndarray (S, q, q)
    sigma : ndarray (S,)
        Draws of the parameters, in the parametrisation of `products`.
    seed : int
        Between 0 and 2**63 - 1.

    Yields
    ------
    groups : slice
        Which groups.
    b : ndarray (S, groups, q)
        Their random effects.
    """
    beta = np.ascontiguousarray(beta)
    Lambda = np.ascontiguousarray(Lambda)
    sigma = np.ascontiguousarray(sigma)
    for block, start in enumerate(range(0, products.J, BLOCK)):
        groups = slice(start, min(start + BLOCK, products.J))
        generator = np.random.Generator(np.random.PCG64([seed, block]))
        b = generator.standard_normal((sigma.shape[0], groups.stop - groups.start, products.q))
        _draw(beta, Lambda, sigma, products.A[groups], products.B[groups], b)
        yield groups, b


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _by_group(  # noqa: PLR0917
    beta: FloatArray,
    Lambda: FloatArray,
    sigma: FloatArray,
    A: FloatArray,
    B: FloatArray,
    G: FloatArray,
    counts: FloatArray,
    out: FloatArray,
) -> None:  # pragma: no cover
    """Fill out (S, J) with the log density of each group."""
    S, J, q = out.shape[0], out.shape[1], A.shape[1]
    p = beta.shape[1]
    AL, M, C = np.empty((q, q)), np.empty((q, q)), np.empty((q, q))
    v, w = np.empty(p + 1), np.empty(q)
    v[p] = 1.0
    for s in range(S):
        for k in range(p):
            v[k] = -beta[s, k]
        for j in range(J):
            _cross(Lambda[s], A[j], AL, M)
            log_det = _factor(M, C)
            rss = 0.0
            for row in range(p + 1):
                for col in range(p + 1):
                    rss += v[row] * G[j, row, col] * v[col]
            for a in range(q):
                w[a] = 0.0
            for a in range(q):
                c = 0.0
                for k in range(p + 1):
                    c += B[j, a, k] * v[k]
                for k in range(q):
                    w[k] += Lambda[s, a, k] * c
            _solve_lower(C, w)
            for a in range(q):
                rss -= w[a] * w[a]
            spread = counts[j] * (np.log(2.0 * np.pi) + 2.0 * np.log(sigma[s]))
            out[s, j] = -0.5 * (spread + log_det + rss / sigma[s] ** 2)


def group_log_densities(
    products: CrossProducts, G: FloatArray, beta: FloatArray, Lambda: FloatArray, sigma: FloatArray
) -> FloatArray:
    """Log density of each group's outcomes at each draw, its random effects integrated out.

    Parameters
    ----------
    products : CrossProducts
        The collapsed data, not compressed.
    G : ndarray (J, p + 1, p + 1)
        Each group's own [X_j, y_j]'[X_j, y_j]; they add up to ``products.G``.
    beta : ndarray (S, p)
    Lambda : ndarray (S, q, q)
    sigma : ndarray (S,)
        Draws of the parameters.

    Returns
    -------
    ndarray (S, J)
        Of the working outcome. Summed over groups: `conditional_density`.
    """
    out = np.empty((sigma.shape[0], products.J))
    draws = (np.ascontiguousarray(beta), np.ascontiguousarray(Lambda), np.ascontiguousarray(sigma))
    _by_group(*draws, products.A, products.B, np.ascontiguousarray(G), products.counts.astype(float), out)
    return out
