"""Joint densities and sums over quadrature nodes for rows with ``c + a eta - b F(eta)``, compiled.

F is the softplus ``log(1 + e^t)`` or the exponential ``e^t`` of ``t = sign (eta - shift)`` (see
`convex_form`). Groups are taken a few at a time, so that what lies between two loops stays in the processor's
cache; the loops over rows and nodes have no branch and no call, so that each step serves several rows. The
exponential function is ours for that reason: 13 terms of its series about the nearest multiple of log 2,
which is right to the last digit.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from nestwise.arrays import FloatArray, IntArray

type Curve = tuple[int, float, float]
"""Kind, sign and shift of F."""
SOFTPLUS, EXPONENTIAL = 0, 1
"""Kinds of F."""
CACHED = 4096
"""Rows times nodes that are worked on together."""
LOWEST, HIGHEST = -708.0, 700.0
"""Where the exponential function still gives a normal number."""
BY_LOG_2, LOG_2, LOG_2_REST = 1.4426950408889634, 6.93147180369123816490e-01, 1.90821492927058770002e-10
ROUNDS = 6755399441055744.0
"""Added and taken off, it rounds to the nearest integer."""
ROOT_2_MINUS_1 = 0.41421356237309515


@njit(cache=True, inline="always", error_model="numpy")  # type: ignore[untyped-decorator]
def _exp(x: float) -> float:  # pragma: no cover
    x = min(max(x, LOWEST), HIGHEST)
    k = (x * BY_LOG_2 + ROUNDS) - ROUNDS
    r = (x - k * LOG_2) - k * LOG_2_REST
    s = 1.6059043836821613e-10
    s = s * r + 2.08767569878681e-09
    s = s * r + 2.505210838544172e-08
    s = s * r + 2.755731922398589e-07
    s = s * r + 2.7557319223985893e-06
    s = s * r + 2.48015873015873e-05
    s = s * r + 0.0001984126984126984
    s = s * r + 0.001388888888888889
    s = s * r + 0.008333333333333333
    s = s * r + 0.041666666666666664
    s = s * r + 0.16666666666666666
    s = ((s * r + 0.5) * r + 1.0) * r + 1.0
    return s * np.int64((np.int64(k) + 1023) << 52).view(np.float64)


@njit(cache=True, inline="always", error_model="numpy")  # type: ignore[untyped-decorator]
def _log1p(e: float) -> float:  # pragma: no cover
    """``log(1 + e)`` for e in [0, 1]: the series of fdlibm in ``f / (2 + f)`` after halving 1 + e."""
    half = 1.0 * (e > ROOT_2_MINUS_1)
    f = e - half * (0.5 + 0.5 * e)
    s = f / (2.0 + f)
    z = s * s
    r = 1.479819860511658591e-01
    r = r * z + 1.531383769920937332e-01
    r = r * z + 1.818357216161805012e-01
    r = r * z + 2.222219843214978396e-01
    r = r * z + 2.857142874366239149e-01
    r = r * z + 3.999999999940941908e-01
    r = r * z + 6.666666666666735130e-01
    return 0.6931471805599453 * half + s * (2.0 + r * z)


@njit(cache=True, error_model="numpy", fastmath={"contract"})  # type: ignore[untyped-decorator]
def _evaluate(curve: Curve, t: FloatArray, F: FloatArray, F1: FloatArray) -> None:  # pragma: no cover
    """F and its derivative by eta at ``t = eta - shift``."""
    if curve[0] == EXPONENTIAL:
        for i in range(t.size):
            F[i] = _exp(curve[1] * t[i])
            F1[i] = curve[1] * F[i]
    else:
        for i in range(t.size):
            e = _exp(-abs(t[i]))
            F[i] = max(t[i], 0.0) + _log1p(e)
            right = 1.0 * (t[i] >= 0)
            F1[i] = (right + (1.0 - right) * e) / (1.0 + e)


@njit(cache=True, error_model="numpy", fastmath={"contract"})  # type: ignore[untyped-decorator]
def _block_end(bounds: IntArray, first: int, room: int) -> int:  # pragma: no cover
    """The group after the last that fits into `room` rows together with group `first`."""
    last = first + 1
    while last < bounds.size - 1 and bounds[last + 1] - bounds[first] <= room:
        last += 1
    return last


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})  # type: ignore[untyped-decorator]
def joint_densities(  # noqa: PLR0917
    curve: Curve, rows: FloatArray, V: FloatArray, bounds: IntArray, largest: int, u: FloatArray
) -> tuple[FloatArray, FloatArray]:  # pragma: no cover
    """Log joint densities of all groups at one value each of their effects, and derivatives of the rows.

    Parameters
    ----------
    curve : tuple
        Kind, sign and shift of F.
    rows : ndarray (4, n)
        a, b and c of each row, frequencies multiplied in, and its linear predictor without random effects.
    V : ndarray (q, n)
        ``L'z``.
    bounds : ndarray (J + 1,)
        First row of each group, and n.
    largest : int
        Rows of the largest group.
    u : ndarray (q, J)
        Effects in units of their Cholesky factor.

    Returns
    -------
    g : ndarray (J,)
        Without the constant of the normal.
    d : ndarray (3, n)
        Derivatives of each row's log density by eta.
    """
    (q, n), J, shift = V.shape, bounds.size - 1, curve[2]
    g, d = np.empty(J), np.empty((3, n))
    room = max(largest, CACHED // 4)
    work = np.empty((3, room))
    first = 0
    while first < J:
        last, i0 = _block_end(bounds, first, room), bounds[first]
        for j in range(first, last):
            for i in range(bounds[j], bounds[j + 1]):
                t = rows[3, i] - shift + V[0, i] * u[0, j]
                for r in range(1, q):
                    t += V[r, i] * u[r, j]
                work[0, i - i0] = t
        m = bounds[last] - i0
        _evaluate(curve, work[0, :m], work[1, :m], work[2, :m])
        for i in range(i0, i0 + m):
            b, F, F1 = rows[1, i], work[1, i - i0], work[2, i - i0]
            F2, F3 = F, F1
            if curve[0] == SOFTPLUS:
                F2 = F1 * (1.0 - F1)
                F3 = F2 * (1.0 - 2.0 * F1)
            d[0, i], d[1, i], d[2, i] = rows[0, i] - b * F1, -b * F2, -b * F3
            work[1, i - i0] = rows[2, i] + rows[0, i] * (work[0, i - i0] + shift) - b * F
        for j in range(first, last):
            total = 0.0
            for i in range(bounds[j], bounds[j + 1]):
                total += work[1, i - i0]
            for r in range(q):
                total -= 0.5 * u[r, j] * u[r, j]
            g[j] = total
        first = last
    return g, d


@njit(cache=True, error_model="numpy", fastmath={"contract"})  # type: ignore[untyped-decorator]
def _place(  # noqa: PLR0917
    rows: FloatArray, V: FloatArray, u: FloatArray, C: FloatArray, x: FloatArray, shift: float,
    bounds: IntArray, first: int, last: int, nodes: FloatArray, t: FloatArray,
) -> None:  # pragma: no cover  # fmt: skip
    """Nodes (groups, q, K) of a block of groups, and t (rows, K) at them."""
    q, K = x.shape
    for j in range(first, last):
        at = j - first
        for r in range(q):
            for k in range(K):
                nodes[at, r, k] = u[r, j]
            for s in range(r, q):
                size = np.sqrt(2.0) * C[r, s, j]
                for k in range(K):
                    nodes[at, r, k] += size * x[s, k]
        for i in range(bounds[j], bounds[j + 1]):
            row = i - bounds[first]
            for k in range(K):
                t[row, k] = rows[3, i] - shift + V[0, i] * nodes[at, 0, k]
            for r in range(1, q):
                for k in range(K):
                    t[row, k] += V[r, i] * nodes[at, r, k]


@njit(cache=True, error_model="numpy", fastmath={"contract"})  # type: ignore[untyped-decorator]
def _weigh(  # noqa: PLR0917
    rows: FloatArray, log_weights: FloatArray, g: FloatArray, shift: float, bounds: IntArray, first: int,
    nodes: FloatArray, t: FloatArray, F: FloatArray, share: FloatArray, total: FloatArray,
) -> None:  # pragma: no cover  # fmt: skip
    """Each node's share (groups, K) of the integral of its group, and the integrals."""
    count, q, K = nodes.shape
    for at in range(count):
        j = first + at
        for k in range(K):
            share[at, k] = log_weights[k] - g[j]
        for r in range(q):
            for k in range(K):
                share[at, k] -= 0.5 * nodes[at, r, k] * nodes[at, r, k]
        for i in range(bounds[j], bounds[j + 1]):
            a, b, c, row = rows[0, i], rows[1, i], rows[2, i], i - bounds[first]
            for k in range(K):
                share[at, k] += c + a * (t[row, k] + shift) - b * F[row, k]
    for at in range(count):
        for k in range(K):
            share[at, k] = _exp(share[at, k])
        whole = 0.0
        for k in range(K):
            whole += share[at, k]
        for k in range(K):
            share[at, k] /= whole
        total[first + at] = whole


@njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc"})  # type: ignore[untyped-decorator]
def _average(  # noqa: PLR0917
    rows: FloatArray, Z: FloatArray, bounds: IntArray, first: int, work: FloatArray, share: FloatArray,
    pull: FloatArray, d: FloatArray, averages: bool,
) -> None:  # pragma: no cover  # fmt: skip
    """Averages (3, n) of t, F and first derivatives of a block's rows; ``Z'd1`` (groups, q, K)."""
    count, q, K = pull.shape
    pull[:] = 0.0
    for at in range(count):
        for i in range(bounds[first + at], bounds[first + at + 1]):
            row, total, a, b = i - bounds[first], 0.0, rows[0, i], rows[1, i]
            for k in range(K):
                d1 = a - b * work[2, row, k]
                total += share[at, k] * d1
                pull[at, 0, k] += Z[0, i] * d1
            d[2, i] = total
            for r in range(1, q):
                for k in range(K):
                    pull[at, r, k] += Z[r, i] * (a - b * work[2, row, k])
            if averages:
                of_t, of_F = 0.0, 0.0
                for k in range(K):
                    of_t += share[at, k] * work[0, row, k]
                    of_F += share[at, k] * work[1, row, k]
                d[0, i], d[1, i] = of_t, of_F


@njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc"})  # type: ignore[untyped-decorator]
def _moments(  # noqa: PLR0917
    L: FloatArray, x: FloatArray, nodes: FloatArray, share: FloatArray, pull: FloatArray, first: int,
    slope: FloatArray, slope_x: FloatArray, pull_u: FloatArray,
) -> None:  # pragma: no cover  # fmt: skip
    """What `quadrature` averages over the nodes of a block of groups."""
    count, q, K = nodes.shape
    along = np.empty(K)
    for at in range(count):
        for r in range(q):
            for k in range(K):
                along[k] = L[0, r] * pull[at, 0, k] - nodes[at, r, k]
            for s in range(1, q):
                for k in range(K):
                    along[k] += L[s, r] * pull[at, s, k]
            total = 0.0
            for k in range(K):
                along[k] *= share[at, k]
                total += along[k]
            slope[r, first + at] = total
            for s in range(q):
                by_x, by_u = 0.0, 0.0
                for k in range(K):
                    by_x += along[k] * x[s, k]
                    by_u += share[at, k] * pull[at, r, k] * nodes[at, s, k]
                slope_x[r, s, first + at], pull_u[r, s, first + at] = by_x, by_u


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})  # type: ignore[untyped-decorator]
def sum_nodes(  # noqa: PLR0917
    curve: Curve, rows: FloatArray, V: FloatArray, Z: FloatArray, bounds: IntArray, largest: int,
    L: FloatArray, u: FloatArray, C: FloatArray, g: FloatArray, x: FloatArray, log_weights: FloatArray,
    averages: bool,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:  # pragma: no cover  # fmt: skip
    """Integrals of all groups relative to their modes, and averages over the nodes by their shares.

    Parameters
    ----------
    curve, rows, V, bounds, largest
        As for `joint_densities`.
    Z, L : ndarray (q, n), (q, q)
        Working columns and the Cholesky factor.
    u, C, g
        What `modes` found.
    x, log_weights : ndarray (q, K), (K,)
        The product rule.
    averages : bool
        Whether the averages of t and F are wanted.

    Returns
    -------
    total : ndarray (J,)
        The integrals.
    d : ndarray (3, n)
        Averages of ``eta - shift``, of F and of the first derivative of each row's log density.
    slope, slope_x, pull_u : ndarray (q, J), (q, q, J), (q, q, J)
        As `quadrature` has them.
    """
    (q, n), J, K, shift = V.shape, bounds.size - 1, log_weights.size, curve[2]
    total, d, slope = np.empty(J), np.zeros((3, n)), np.empty((q, J))
    slope_x, pull_u = np.empty((q, q, J)), np.empty((q, q, J))
    room = max(largest, CACHED // K)
    work, nodes = np.empty((3, room, K)), np.empty((room, q, K))
    share, pull = np.empty((room, K)), np.empty((room, q, K))
    first = 0
    while first < J:
        last = _block_end(bounds, first, room)
        m, at = bounds[last] - bounds[first], nodes[: last - first]
        _place(rows, V, u, C, x, shift, bounds, first, last, at, work[0])
        t, F, F1 = work[0, :m], work[1, :m], work[2, :m]
        _evaluate(curve, t.reshape(m * K), F.reshape(m * K), F1.reshape(m * K))
        _weigh(rows, log_weights, g, shift, bounds, first, at, t, F, share, total)
        _average(rows, Z, bounds, first, work, share, pull[: last - first], d, averages)
        _moments(L, x, at, share, pull, first, slope, slope_x, pull_u)
        first = last
    return total, d, slope, slope_x, pull_u
