"""Compiled steps of the joint model: passes over rows; see `joint` for the model, `joint_steps` for the rest.

Rows are sorted by group, and arrays of rows stand on their sides, a variable's values one after the other:
Y and E (r, n), X (p, n), Z (q, n). ``E = Y - X B - Z b`` is made in one pass over the rows, group by group;
what a new B does to the sums follows from X'X, so that no second pass is needed. Small matrices are factored
here in plain loops: calls of a library cost more than the work.
"""

from __future__ import annotations

from math import erfc, sqrt

import numpy as np
from numba import njit

from nestwise.arrays import BoolArray, FloatArray, IntArray

SUMS = {"reassoc", "contract"}
"""Sums over rows may be taken in another order, the same one in every run."""
ORDINAL, NOMINAL = 1, 2
"""Kinds of latent variables; binary ones, 0, need no case of their own."""


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _factor(A: FloatArray, L: FloatArray, k: int) -> None:  # pragma: no cover
    """Lower Cholesky factor of the leading (k, k) block of A."""
    for i in range(k):
        for j in range(i + 1):
            total = A[i, j]
            for h in range(j):
                total -= L[i, h] * L[j, h]
            L[i, j] = np.sqrt(total) if i == j else total / L[j, j]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def bartlett(S: FloatArray, normals: FloatArray, roots: FloatArray) -> FloatArray:  # pragma: no cover
    """``(A^-1 C')' A^-1 C'`` with C the Cholesky factor of S (k, k).

    A is lower triangular, `normals` (k, k) below its diagonal `roots` (k,).
    """
    k = S.shape[0]
    C, M, found = np.zeros((k, k)), np.empty((k, k)), np.empty((k, k))
    _factor(S, C, k)
    for c in range(k):
        for i in range(k):
            total = C[c, i]
            for j in range(i):
                total -= normals[i, j] * M[j, c]
            M[i, c] = total / roots[i]
    for a in range(k):
        for c in range(k):
            total = 0.0
            for i in range(k):
                total += M[i, a] * M[i, c]
            found[a, c] = total
    return found


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _draw(  # noqa: PLR0917
    L: FloatArray, h: FloatArray, x: FloatArray, k: int, normals: FloatArray, used: int
) -> int:  # pragma: no cover
    """Fill x (k,) with a draw of N(K^-1 h, K^-1), K = L L'; returns how many normals are used now.

    Normals come in an array: to hand over a generator costs as much as a pass over a thousand rows.
    """
    for i in range(k):
        total = h[i]
        for j in range(i):
            total -= L[i, j] * x[j]
        x[i] = total / L[i, i]
    for i in range(k):
        x[i] += normals[used + i]
    for i in range(k - 1, -1, -1):
        total = x[i]
        for j in range(i + 1, k):
            total -= L[j, i] * x[j]
        x[i] = total / L[i, i]
    return used + k


@njit(cache=True, nogil=True, fastmath=SUMS)  # type: ignore[untyped-decorator]
def _less_fixed(  # noqa: PLR0917
    Y: FloatArray,
    X: FloatArray,
    Z: FloatArray,
    B: FloatArray,
    first: int,
    last: int,
    E: FloatArray,
    ZR: FloatArray,
) -> None:  # pragma: no cover
    """Fill E with Y - X B in the rows of one group, and ZR (q, r) with Z'E."""
    for v in range(Y.shape[0]):
        for i in range(first, last):
            E[v, i] = Y[v, i]
        for c in range(X.shape[0]):
            slope = B[c, v]
            for i in range(first, last):
                E[v, i] -= slope * X[c, i]
        for a in range(Z.shape[0]):
            total = 0.0
            for i in range(first, last):
                total += Z[a, i] * E[v, i]
            ZR[a, v] = total


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _equations(  # noqa: PLR0917
    K: FloatArray,
    h: FloatArray,
    ZR: FloatArray,
    ZZ: FloatArray,
    precision: FloatArray,
    Omega: FloatArray,
    u: FloatArray,
) -> None:  # pragma: no cover
    """Fill K and h with the precision of a group's random effects and what it is solved for."""
    q, r = ZR.shape
    for v in range(r):
        for a in range(q):
            row, total = v * q + a, 0.0
            for w in range(r):
                total += ZR[a, w] * precision[w, v]
                for c in range(q):
                    K[row, w * q + c] = precision[v, w] * ZZ[a, c] + Omega[row, w * q + c]
            for s in range(u.shape[0]):
                total -= Omega[row, r * q + s] * u[s]
            h[row] = total


@njit(cache=True, nogil=True, fastmath=SUMS)  # type: ignore[untyped-decorator]
def effects(  # noqa: PLR0917
    Y: FloatArray,
    X: FloatArray,
    Z: FloatArray,
    starts: IntArray,
    ZZ: FloatArray,
    B: FloatArray,
    precision: FloatArray,
    Omega: FloatArray,
    u: FloatArray,
    b: FloatArray,
    E: FloatArray,
    XE: FloatArray,
    EE: FloatArray,
    normals: FloatArray,
) -> None:  # pragma: no cover
    """Draw b (J, r q) given the rest, with as many normals; fill E (r, n), X'E (p, r) and E'E (r, r)."""
    r, p, q, k = Y.shape[0], X.shape[0], Z.shape[0], b.shape[1]
    K, L, h, ZR = np.empty((k, k)), np.empty((k, k)), np.empty(k), np.empty((q, r))
    used = 0
    XE[:], EE[:] = 0.0, 0.0
    for j in range(starts.shape[0] - 1):
        first, last = starts[j], starts[j + 1]
        _less_fixed(Y, X, Z, B, first, last, E, ZR)
        _equations(K, h, ZR, ZZ[j], precision, Omega, u[j])
        _factor(K, L, k)
        used = _draw(L, h, b[j], k, normals, used)
        for v in range(r):
            for a in range(q):
                slope = b[j, v * q + a]
                for i in range(first, last):
                    E[v, i] -= slope * Z[a, i]
            for c in range(p):
                total = 0.0
                for i in range(first, last):
                    total += X[c, i] * E[v, i]
                XE[c, v] += total
            for w in range(v + 1):
                total = 0.0
                for i in range(first, last):
                    total += E[v, i] * E[w, i]
                EE[v, w] += total
    for v in range(r):
        for w in range(v):
            EE[w, v] = EE[v, w]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def fill(  # noqa: PLR0917
    Y: FloatArray,
    E: FloatArray,
    X: FloatArray,
    change: FloatArray,
    precision: FloatArray,
    patterns: BoolArray,
    bounds: IntArray,
    order: IntArray,
    normals: FloatArray,
) -> None:  # pragma: no cover
    """Draw the missing values of each row jointly, given its other values, and put them into Y and E.

    `patterns` (P, r) is true where a value is missing, ``order[bounds[s]:bounds[s + 1]]`` are the rows of
    pattern s. E belongs to B before its `change`.
    """
    r, p = Y.shape[0], X.shape[0]
    K, L, h, x = np.empty((r, r)), np.empty((r, r)), np.empty(r), np.empty(r)
    gone, kept, e = np.empty(r, np.int64), np.empty(r, np.int64), np.empty(r)
    used = 0
    for s in range(patterns.shape[0]):
        count, rest = 0, 0
        for v in range(r):
            if patterns[s, v]:
                gone[count] = v
                count += 1
            else:
                kept[rest] = v
                rest += 1
        for a in range(count):
            for c in range(count):
                K[a, c] = precision[gone[a], gone[c]]
        _factor(K, L, count)
        for place in range(bounds[s], bounds[s + 1]):
            i = order[place]
            for v in range(r):
                e[v] = E[v, i]
                for c in range(p):
                    e[v] -= X[c, i] * change[c, v]
            for a in range(count):
                total = 0.0
                for c in range(rest):
                    total -= precision[gone[a], kept[c]] * e[kept[c]]
                h[a] = total
            used = _draw(L, h, x, count, normals, used)
            for a in range(count):
                Y[gone[a], i] += x[a] - e[gone[a]]
                E[gone[a], i] += x[a] - e[gone[a]]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def truncated(low: float, high: float, rng: np.random.Generator) -> float:  # pragma: no cover
    """A standard normal draw between two limits (Robert 1995)."""
    if low > -high:
        sign = 1.0
    else:  # nearer to zero from below: mirrored
        sign, low, high = -1.0, -high, -low
    while True:
        if low < 0.3 and high - low > 0.8:
            x = rng.standard_normal()
            if low < x < high:
                return float(sign * x)
        elif high - low < 1.0 / max(low, 0.5):
            x = low + (high - low) * rng.random()
            nearest = max(low, 0.0)
            if np.log(rng.random()) < (nearest * nearest - x * x) / 2:
                return float(sign * x)
        else:
            rate = (low + np.sqrt(low * low + 4)) / 2
            x = low + rng.exponential() / rate
            if x < high and np.log(rng.random()) < -((x - rate) ** 2) / 2:
                return float(sign * x)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _given_others(e: FloatArray, precision: FloatArray, column: int) -> float:  # pragma: no cover
    """Mean of one residual of a row given the others; its variance is one over the precision's diagonal."""
    total = 0.0
    for c in range(e.shape[0]):
        if c != column:
            total -= precision[column, c] * e[c]
    return float(total / precision[column, column])


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def cutpoints(  # noqa: PLR0917
    E: FloatArray,
    Y: FloatArray,
    precision: FloatArray,
    observed: IntArray,
    layout: IntArray,
    thresholds: FloatArray,
    rng: np.random.Generator,
) -> None:  # pragma: no cover
    """Move the thresholds of ordinal variables in place, their own latent variable integrated out."""
    n = E.shape[0]
    for v in range(layout.shape[0]):
        kind, column, K = layout[v, 0], layout[v, 1], layout[v, 3]
        if kind != ORDINAL or K < 3:
            continue
        old, new = thresholds[v], thresholds[v].copy()
        change = 0.0
        for c in range(2, K):
            step = 2.0 * rng.standard_normal() / np.sqrt(n)
            new[c] = new[c - 1] + (old[c] - old[c - 1]) * np.exp(step)
            change += step
        sd = 1 / np.sqrt(precision[column, column])
        for i in range(n):
            c = observed[i, v]
            if c < 1:
                continue
            centre = Y[i, column] - E[i, column] + _given_others(E[i], precision, column)
            now = erfc((old[c] - centre) / sd / sqrt(2.0)) - erfc((old[c + 1] - centre) / sd / sqrt(2.0))
            then = erfc((new[c] - centre) / sd / sqrt(2.0)) - erfc((new[c + 1] - centre) / sd / sqrt(2.0))
            change += np.log(max(then, 1e-300)) - np.log(max(now, 1e-300))
        if np.log(rng.random()) < change:
            thresholds[v] = new


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def latents(  # noqa: PLR0917
    E: FloatArray,
    Y: FloatArray,
    precision: FloatArray,
    observed: IntArray,
    layout: IntArray,
    thresholds: FloatArray,
    rng: np.random.Generator,
) -> None:  # pragma: no cover
    """Draw each latent variable of each row given all others, inside what its category allows.

    Here and in `cutpoints` E and Y are (n, R).
    """
    for i in range(E.shape[0]):
        for v in range(layout.shape[0]):
            kind, first, width = layout[v, 0], layout[v, 1], layout[v, 2]
            c = observed[i, v]
            for k in range(width):
                column = first + k
                low, high = -np.inf, np.inf
                if c >= 0 and kind == NOMINAL:
                    if c == k:
                        low = 0.0
                        for other in range(width):
                            if other != k:
                                low = max(low, Y[i, first + other])
                    else:
                        high = Y[i, first + c] if c < width else 0.0
                elif c >= 0:
                    low, high = thresholds[v, c], thresholds[v, c + 1]
                fitted = Y[i, column] - E[i, column]
                centre = fitted + _given_others(E[i], precision, column)
                sd = 1 / np.sqrt(precision[column, column])
                if c < 0:
                    x = rng.standard_normal()
                else:
                    x = truncated((low - centre) / sd, (high - centre) / sd, rng)
                Y[i, column] = centre + sd * x
                E[i, column] = Y[i, column] - fitted
