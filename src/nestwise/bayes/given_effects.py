"""The likelihood of outcomes that are not Gaussian given the random effects, and the law of these.

One compiled kernel for all families: log density of every row (`row_densities`) plus that of the random
effects, with the gradient by fixed effects, standard deviations, partial correlations, log dispersion or
thresholds, and random effects. The effects of a term come in one of two forms: centred, the better the more
the rows of a group say of it, or non-centred, ``b = Lambda u`` with standard normal u, the better the less
they say (Papaspiliopoulos, Roberts & Skoeld 2007). Centred ones are sampled around the line of the fixed
effects of their group, ``u = b + lines beta``: what the rows of the group show is then a coordinate.
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
from nestwise.bayes.collapsed import correlation_factor, fingerprint
from nestwise.bayes.operation import LogDensity
from nestwise.bayes.row_densities import LOG_2PI, rows_density


@njit(nogil=True)  # type: ignore[untyped-decorator]
def effects_of(
    u: FloatArray, Lambda: FloatArray, starts: IntArray, centred: IntArray
) -> FloatArray:  # pragma: no cover
    """Random effects b (J, q) from what is sampled."""
    b = u.copy()
    for j in range(u.shape[0]):
        for row in range(u.shape[1]):
            if centred[row] == 0:
                b[j, row] = 0.0
                for col in range(starts[row], row + 1):
                    b[j, row] += Lambda[row, col] * u[j, col]
    return b


@njit(nogil=True)  # type: ignore[untyped-decorator]
def standardise(
    u: FloatArray, Lambda: FloatArray, starts: IntArray, centred: IntArray, w: FloatArray
) -> None:  # pragma: no cover
    """Fill w (q,) with the standard normal form of one group's u (q,): ``Lambda^-1 u`` if centred."""
    for row in range(u.shape[0]):
        w[row] = u[row]
        if centred[row] == 1:
            for col in range(starts[row], row):
                w[row] -= Lambda[row, col] * w[col]
            w[row] /= Lambda[row, row]


@njit(nogil=True)  # type: ignore[untyped-decorator]
def effects_density(  # noqa: PLR0917
    u: FloatArray,
    Lambda: FloatArray,
    starts: IntArray,
    centred: IntArray,
    d_b: FloatArray,
    d_Lambda: FloatArray,
) -> tuple[float, FloatArray]:  # pragma: no cover
    """Log density of u, and the derivative of the whole by u from that by b (d_b); adds to d_Lambda."""
    J, q = u.shape
    total, d_u = -0.5 * LOG_2PI * J * q, np.zeros((J, q))
    w, v = np.zeros(q), np.zeros(q)
    for at in range(q):
        if centred[at] == 1:
            total -= J * log(Lambda[at, at])
            d_Lambda[at, at] -= J / Lambda[at, at]
    for j in range(J):
        standardise(u[j], Lambda, starts, centred, w)
        for row in range(q - 1, -1, -1):
            total -= 0.5 * w[row] * w[row]
            if centred[row] == 1:
                v[row] = w[row]
                for k in range(row + 1, q):
                    if starts[k] == starts[row]:
                        v[row] -= Lambda[k, row] * v[k]
                v[row] /= Lambda[row, row]
                d_u[j, row] += d_b[j, row] - v[row]
                for col in range(starts[row], row + 1):
                    d_Lambda[row, col] += v[row] * w[col]
            else:
                d_u[j, row] -= w[row]
                for col in range(starts[row], row + 1):
                    d_Lambda[row, col] += d_b[j, row] * u[j, col]
                    d_u[j, col] += d_b[j, row] * Lambda[row, col]
    return total, d_u


@njit(nogil=True)  # type: ignore[untyped-decorator]
def deviations(u: FloatArray, beta: FloatArray, lines: FloatArray) -> FloatArray:  # pragma: no cover
    """What is sampled (U,) less the lines of the groups."""
    v = u.copy()
    for i in range(lines.shape[0]):
        for c in range(beta.shape[0]):
            v[i] -= lines[i, c] * beta[c]
    return v


@njit(nogil=True)  # type: ignore[untyped-decorator]
def linear_predictors(  # noqa: PLR0917
    beta: FloatArray,
    b: FloatArray,
    X: FloatArray,
    Z: FloatArray,
    offset: FloatArray,
    places: IntArray,
    blocks: IntArray,
) -> FloatArray:  # pragma: no cover
    """Linear predictor of every row (n,)."""
    eta = offset.copy()
    for i in range(eta.shape[0]):
        for c in range(beta.shape[0]):
            eta[i] += X[i, c] * beta[c]
        for t in range(blocks.shape[0]):
            for c in range(blocks[t, 1]):
                eta[i] += Z[i, blocks[t, 0] + c] * b[places[i, t] + c]
    return eta


@njit(nogil=True)  # type: ignore[untyped-decorator]
def by_coefficients(  # noqa: PLR0917
    d_eta: FloatArray, size: int, X: FloatArray, Z: FloatArray, places: IntArray, blocks: IntArray
) -> tuple[FloatArray, FloatArray]:  # pragma: no cover
    """Derivatives by fixed and random effects (size,) from those by the linear predictors."""
    d_beta, d_b = np.zeros(X.shape[1]), np.zeros(size)
    for i in range(d_eta.shape[0]):
        for c in range(X.shape[1]):
            d_beta[c] += X[i, c] * d_eta[i]
        for t in range(blocks.shape[0]):
            for c in range(blocks[t, 1]):
                d_b[places[i, t] + c] += Z[i, blocks[t, 0] + c] * d_eta[i]
    return d_beta, d_b


@njit(nogil=True)  # type: ignore[untyped-decorator]
def by_correlations(
    sd: FloatArray,
    partial: FloatArray,
    L: FloatArray,
    starts: IntArray,
    d_Lambda: FloatArray,
) -> tuple[FloatArray, FloatArray]:  # pragma: no cover
    """Derivatives by standard deviations and partial correlations from those by Lambda."""
    q, at = sd.shape[0], 0
    d_sd, d_partial = np.zeros(q), np.zeros(partial.shape[0])
    for row in range(q):
        for col in range(starts[row], row + 1):
            d_sd[row] += d_Lambda[row, col] * L[row, col]
        left = 1.0
        for col in range(starts[row], row):
            r = partial[at]
            rest = (1.0 - r) * (1.0 + r)
            d_partial[at] = d_Lambda[row, col] * left
            for k in range(col + 1, row + 1):
                d_partial[at] -= d_Lambda[row, k] * L[row, k] * r / rest
            d_partial[at] *= sd[row]
            left *= np.sqrt(rest)
            at += 1
    return d_sd, d_partial


# Not cached on disk: a cached function keeps what it called in other files, also after these have changed.
@njit(nogil=True)  # type: ignore[untyped-decorator]
def given_effects(  # noqa: PLR0917
    beta: FloatArray,
    sd: FloatArray,
    partial: FloatArray,
    aux: FloatArray,
    u: FloatArray,
    X: FloatArray,
    Z: FloatArray,
    y: FloatArray,
    trials: FloatArray,
    offset: FloatArray,
    places: IntArray,
    blocks: IntArray,
    lines: FloatArray,
    starts: IntArray,
    centred: IntArray,
    family: IntArray,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:  # pragma: no cover
    """Log density of outcomes (less their constant) and effects, and its derivatives by the first five."""
    (n, p), q = X.shape, sd.shape[0]
    L, Lambda, d_Lambda = np.zeros((q, q)), np.zeros((q, q)), np.zeros((q, q))
    correlation_factor(partial, starts, L)
    for row in range(q):
        for col in range(starts[row], row + 1):
            Lambda[row, col] = sd[row] * L[row, col]
    v, b = deviations(u, beta, lines), np.empty(u.shape[0])
    for first, width, at, J in blocks:
        own, stop = slice(first, first + width), at + J * width
        block = v[at:stop].reshape((J, width))
        found = effects_of(block, Lambda[own, own], starts[own] - first, centred[own])
        b[at:stop] = found.reshape(J * width)
    eta = linear_predictors(beta, b, X, Z, offset, places, blocks)
    d_eta, d_aux = np.empty(n), np.zeros(aux.shape[0])
    value = rows_density(family[0], y, trials, eta, aux, d_eta, d_aux)
    d_beta, d_b = by_coefficients(d_eta, u.shape[0], X, Z, places, blocks)
    d_u = np.empty(u.shape[0])
    for first, width, at, J in blocks:
        own, stop = slice(first, first + width), at + J * width
        more, d_block = effects_density(
            v[at:stop].reshape((J, width)),
            Lambda[own, own],
            starts[own] - first,
            centred[own],
            d_b[at:stop].reshape((J, width)),
            d_Lambda[own, own],
        )
        value += more
        d_u[at:stop] = d_block.reshape(J * width)
    for i in range(lines.shape[0]):
        for c in range(p):
            d_beta[c] -= lines[i, c] * d_u[i]
    d_sd, d_partial = by_correlations(sd, partial, L, starts, d_Lambda)
    return np.asarray(value), d_beta, d_sd, d_partial, d_aux, d_u


class GivenEffects(LogDensity):
    """log p(y, u | beta, sd, partial, aux), less the constants of y.

    Inputs: beta (p,), sd (q,), partial (k,), aux (a,), u (U,), then the data X (n, p), Z (n, q), y, trials,
    offset, and the fields of `layout.Layout` with starts (q,) and family (1,).
    """

    parameters = 5
    kernel = staticmethod(given_effects)


@register_funcify_and_cache_key(GivenEffects)  # type: ignore[untyped-decorator]
def _to_numba(op: GivenEffects, node: Apply, **kwargs: Any) -> tuple[Any, str]:
    del op, node, kwargs
    from nestwise.bayes import collapsed, row_densities

    return given_effects, fingerprint(collapsed, row_densities, sys.modules[__name__])
