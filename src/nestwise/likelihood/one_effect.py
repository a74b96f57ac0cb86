"""Quadrature where one coefficient varies and no parameter is auxiliary: all steps in one pass, compiled.

The formulas are those of `modes`, `quadrature` and `adjoint`, for densities of the form of `convex`. Groups
of similar size are taken together, a tile, with rows of no weight where one is shorter: every loop over them
serves several groups in one instruction, and what lies between two loops stays in the processor's cache.

In one dimension the slope s of a joint density falls by at least one for each unit of the effect, so that the
mode lies between the effect and the effect plus s. Steps that leave what is known to hold the mode go to its
middle; no values of the density are needed. The steps are Halley's, which triple the digits.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from nestwise.arrays import FloatArray, IntArray

SOFTPLUS, EXPONENTIAL, BERNOULLI = 0, 1, 2
"""F of `convex`; the last is the softplus of rows of one trial, whose densities are multiplied."""
type Content = tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]
LANES = 64
"""Groups that are taken together."""
CERTAIN = 1000.0
"""Linear predictor of a success without doubt."""
FREE, STEPS = 8, 60
"""Steps after which every third goes to that middle, and after which the general search has to do it."""
STEP_TOLERANCE = 1e-22
"""As in `modes`."""
FOLDED, SMALLEST = 64, 1e-250
"""Probabilities that are multiplied before a logarithm; products at modes need some room below them."""
LOWEST, HIGHEST, ROUNDS = -708.0, 600.0, 6755399441055744.0
BY_LOG_2, LOG_2, LOG_2_REST = 1.4426950408889634, 6.93147180369123816490e-01, 1.90821492927058770002e-10
ROOT_2_MINUS_1 = 0.41421356237309515


@njit(cache=True, inline="always", error_model="numpy")  # type: ignore[untyped-decorator]
def _exp(x: float) -> float:  # pragma: no cover
    """As in `nodes`, with room for sums of the largest."""
    x = min(max(x, LOWEST), HIGHEST)
    k = (x * BY_LOG_2 + ROUNDS) - ROUNDS
    r = (x - k * LOG_2) - k * LOG_2_REST
    s = (1.6059043836821613e-10 * r + 2.08767569878681e-09) * r + 2.505210838544172e-08
    s = ((s * r + 2.755731922398589e-07) * r + 2.7557319223985893e-06) * r + 2.48015873015873e-05
    s = ((s * r + 0.0001984126984126984) * r + 0.001388888888888889) * r + 0.008333333333333333
    s = (s * r + 0.041666666666666664) * r + 0.16666666666666666
    s = ((s * r + 0.5) * r + 1.0) * r + 1.0
    return s * np.int64((np.int64(k) + 1023) << 52).view(np.float64)


@njit(cache=True, inline="always", error_model="numpy")  # type: ignore[untyped-decorator]
def _log1p(e: float) -> float:  # pragma: no cover
    """As in `nodes`."""
    half = 1.0 * (e > ROOT_2_MINUS_1)
    f = e - half * (0.5 + 0.5 * e)
    s = f / (2.0 + f)
    z = s * s
    r = (1.479819860511658591e-01 * z + 1.531383769920937332e-01) * z + 1.818357216161805012e-01
    r = ((r * z + 2.222219843214978396e-01) * z + 2.857142874366239149e-01) * z + 3.999999999940941908e-01
    r = r * z + 6.666666666666735130e-01
    return 0.6931471805599453 * half + s * (2.0 + r * z)


@njit(cache=True, error_model="numpy", fastmath={"contract"})  # type: ignore[untyped-decorator]
def _slopes(kind: int, t: FloatArray, F1: FloatArray) -> None:  # pragma: no cover
    """The derivative of F, flat arrays."""
    for i in range(t.size):
        e = _exp(t[i] if kind == EXPONENTIAL else -t[i])
        F1[i] = e if kind == EXPONENTIAL else 1.0 / (1.0 + e)


@njit(cache=True, error_model="numpy", fastmath={"contract"})  # type: ignore[untyped-decorator]
def _densities(  # noqa: PLR0917
    kind: int, a: FloatArray, b: FloatArray, t: FloatArray, F1: FloatArray, logs: FloatArray,
    factors: FloatArray,
) -> None:  # pragma: no cover  # fmt: skip
    """Add log densities to `logs` (LANES,); what is left as a product is written to `factors`."""
    for j in range(LANES):
        factors[j] = 1.0
    for i in range(t.shape[0]):
        if kind == BERNOULLI:
            for j in range(LANES):
                factors[j] *= F1[i, j]
            if i % FOLDED == FOLDED - 1:
                for j in range(LANES):
                    logs[j] += np.log(factors[j])
                    factors[j] = 1.0
        else:
            for j in range(LANES):
                log_whole = _log1p(_exp(-abs(t[i, j]))) if kind == SOFTPLUS else 0.0
                F = max(t[i, j], 0.0) + log_whole if kind == SOFTPLUS else F1[i, j]
                logs[j] += a[i, j] * t[i, j] - b[i, j] * F


@njit(cache=True, error_model="numpy", fastmath={"contract"})  # type: ignore[untyped-decorator]
def _predict(tile: FloatArray, b: FloatArray, t: FloatArray) -> None:  # pragma: no cover
    """Linear predictors of the rows at random effects b (LANES,)."""
    for i in range(t.shape[0]):
        for j in range(LANES):
            t[i, j] = tile[2, i, j] + tile[3, i, j] * b[j]


@njit(cache=True, error_model="numpy", fastmath={"contract"})  # type: ignore[untyped-decorator]
def _curvatures(  # noqa: PLR0917
    kind: int, tile: FloatArray, L: float, F1: FloatArray, u: FloatArray, S: FloatArray
) -> None:  # pragma: no cover
    """Slope, curvature and third derivative (3, LANES) of the joint densities by u."""
    a, b, z = tile[0], tile[1], tile[3]
    bent = 0.0 if kind == EXPONENTIAL else 1.0
    S[:] = 0.0
    for i in range(F1.shape[0]):
        for j in range(LANES):
            S[0, j] += z[i, j] * (a[i, j] - b[i, j] * F1[i, j])
            second = z[i, j] * z[i, j] * b[i, j] * F1[i, j] * (1.0 - bent * F1[i, j])
            S[1, j] += second
            S[2, j] -= z[i, j] * second * (1.0 - 2.0 * bent * F1[i, j])
    for j in range(LANES):
        S[0, j], S[1, j], S[2, j] = L * S[0, j] - u[j], L * L * S[1, j] + 1.0, L * L * L * S[2, j]


@njit(cache=True, error_model="numpy", fastmath={"contract"})  # type: ignore[untyped-decorator]
def _heights(  # noqa: PLR0917
    kind: int, tile: FloatArray, modes: FloatArray, t: FloatArray, F1: FloatArray, S: FloatArray,
    factors: FloatArray,
) -> bool:  # pragma: no cover  # fmt: skip
    """C and g at the modes; whether there is room below g."""
    u, C, g = modes[0], modes[1], modes[2]
    for j in range(LANES):
        C[j], g[j] = 1.0 / np.sqrt(S[1, j]), -0.5 * u[j] * u[j]
    _densities(kind, tile[0], tile[1], t, F1, g, factors)
    for j in range(LANES):
        g[j] += np.log(factors[j])
        if not (g[j] > -np.inf and factors[j] > SMALLEST):
            return False
    return True


@njit(cache=True, error_model="numpy", fastmath={"contract"})  # type: ignore[untyped-decorator]
def _climb(  # noqa: PLR0917
    kind: int, tile: FloatArray, L: float, modes: FloatArray, t: FloatArray, F1: FloatArray,
    S: FloatArray, ends: FloatArray,
) -> bool:  # pragma: no cover  # fmt: skip
    """Modes of a tile, C and g, with F' there; whether they were found."""
    u, low, high, effect, left = modes[0], ends[0], ends[1], ends[2], ends[3]
    low[:], high[:] = -np.inf, np.inf
    for n in range(STEPS):
        for j in range(LANES):
            effect[j] = L * u[j]
        _predict(tile, effect, t)
        _slopes(kind, t.reshape(t.size), F1.reshape(t.size))
        _curvatures(kind, tile, L, F1, u, S)
        largest = 0.0
        for j in range(LANES):
            left[j] = S[0, j] / S[1, j] * S[0, j]
            if not left[j] >= 0:
                return False
            largest = max(largest, left[j])
        if largest < STEP_TOLERANCE:
            return bool(_heights(kind, tile, modes, t, F1, S, left))
        for j in range(LANES):
            s, R = S[0, j], S[1, j]
            low[j], high[j] = max(low[j], u[j] + min(s, 0.0)), min(high[j], u[j] + max(s, 0.0))
            ahead = u[j] + s * R / max(R * R - 0.5 * s * S[2, j], 0.5 * R * R)
            good = (ahead > low[j]) & (ahead < high[j]) & ((n < FREE) | (n % 3 > 0))
            u[j] = ahead if good else 0.5 * (low[j] + high[j])
    return False


@njit(cache=True, error_model="numpy", fastmath={"contract"})  # type: ignore[untyped-decorator]
def _integrate(  # noqa: PLR0917
    kind: int, tile: FloatArray, L: float, modes: FloatArray, t: FloatArray, F1: FloatArray,
    x: FloatArray, log_weights: FloatArray, share: FloatArray, work: FloatArray,
) -> None:  # pragma: no cover  # fmt: skip
    """Each node's part (K, LANES) of the integrals, and F' (K, rows, LANES) there."""
    u, C, g, effect, logs = modes[0], modes[1], modes[2], work[0], work[1]
    for k in range(x.size):
        for j in range(LANES):
            node = u[j] + np.sqrt(2.0) * C[j] * x[k]
            effect[j] = L * node
            logs[j] = log_weights[k] - 0.5 * node * node - g[j]
        _predict(tile, effect, t)
        _slopes(kind, t.reshape(t.size), F1[k].reshape(t.size))
        _densities(kind, tile[0], tile[1], t, F1[k], logs, share[k])
        for j in range(LANES):
            share[k, j] *= _exp(logs[j])


@njit(cache=True, error_model="numpy", fastmath={"contract"})  # type: ignore[untyped-decorator]
def _average(  # noqa: PLR0917
    tile: FloatArray, L: float, modes: FloatArray, F1: FloatArray, x: FloatArray, share: FloatArray,
    mean: FloatArray, M: FloatArray, pull: FloatArray,
) -> None:  # pragma: no cover  # fmt: skip
    """Average F' (rows, LANES); `slope`, `slope_x` and `pull_u` of `quadrature` (3, LANES); integrals."""
    a, b, z, u, C, total = tile[0], tile[1], tile[3], modes[0], modes[1], modes[3]
    total[:], mean[:], M[:] = 0.0, 0.0, 0.0
    for k in range(x.size):
        total += share[k]
    for k in range(x.size):
        for j in range(LANES):
            share[k, j] /= total[j]
            pull[j] = 0.0
        for i in range(mean.shape[0]):
            for j in range(LANES):
                mean[i, j] += share[k, j] * F1[k, i, j]
            for j in range(LANES):
                pull[j] += z[i, j] * (a[i, j] - b[i, j] * F1[k, i, j])
        for j in range(LANES):
            node = u[j] + np.sqrt(2.0) * C[j] * x[k]
            slope = share[k, j] * (L * pull[j] - node)
            M[0, j], M[1, j] = M[0, j] + slope, M[1, j] + slope * x[k]
            M[2, j] += share[k, j] * pull[j] * node


@njit(cache=True, error_model="numpy", fastmath={"contract"})  # type: ignore[untyped-decorator]
def _through_modes(  # noqa: PLR0917
    kind: int, tile: FloatArray, L: float, modes: FloatArray, at: FloatArray, M: FloatArray,
    mean: FloatArray, S: FloatArray,
) -> None:  # pragma: no cover  # fmt: skip
    """Derivatives by eta, where the averages were, and by L; `at` is F' at the modes."""
    a, b, z, u, C, by_L = tile[0], tile[1], tile[3], modes[0], modes[1], modes[4]
    by_H, shift, of_d1 = S[0], S[1], S[2]
    bent = 0.0 if kind == EXPONENTIAL else 1.0
    for j in range(LANES):
        by_H[j] = -C[j] * C[j] * (np.sqrt(2.0) * C[j] * M[1, j] + 1.0) / 2.0
        shift[j], of_d1[j], by_L[j] = M[0, j], 0.0, M[2, j]
    for i in range(mean.shape[0]):
        for j in range(LANES):
            v = L * z[i, j]
            d2 = -b[i, j] * at[i, j] * (1.0 - bent * at[i, j])
            rest = -d2 * (1.0 - 2.0 * bent * at[i, j]) * by_H[j] * v * v
            shift[j] += rest * v
            of_d1[j] += z[i, j] * (a[i, j] - b[i, j] * at[i, j])
            by_L[j] += z[i, j] * (rest * u[j] - 2.0 * by_H[j] * v * d2)
            mean[i, j] = rest + a[i, j] - b[i, j] * mean[i, j]
    for j in range(LANES):
        shift[j] *= C[j] * C[j]
        by_L[j] += of_d1[j] * shift[j]
    for i in range(mean.shape[0]):
        for j in range(LANES):
            d2 = -b[i, j] * at[i, j] * (1.0 - bent * at[i, j])
            rest = d2 * L * z[i, j] * shift[j]
            by_L[j] += z[i, j] * rest * u[j]
            mean[i, j] += rest


@njit(cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _gather(  # noqa: PLR0917
    kind: int, content: Content, bounds: IntArray, groups: IntArray, tile: FloatArray,
    constants: FloatArray,
) -> None:  # pragma: no cover  # fmt: skip
    """a, b, eta and z (4, rows, LANES) of a tile's groups, and the sums of their constants.

    A failure is the success of the opposite eta: a Bernoulli row has ``a = b = 1`` and eta and z times its
    sign.
    """
    a, b, c, eta, z = content
    tile[:], constants[:] = 0.0, 0.0
    if kind == BERNOULLI:
        tile[:2], tile[2] = 1.0, CERTAIN
    for j in range(groups.size):
        first = bounds[groups[j]]
        for i in range(bounds[groups[j] + 1] - first):
            tile[0, i, j], tile[1, i, j] = a[first + i], b[first + i]
            tile[2, i, j], tile[3, i, j] = eta[first + i], z[first + i]
            constants[j] += c[first + i]
            if kind == BERNOULLI:
                sign = 2.0 * a[first + i] - 1.0
                tile[0, i, j], tile[2, i, j], tile[3, i, j] = 1.0, sign * eta[first + i], sign * z[first + i]


@njit(cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _scatter(  # noqa: PLR0917
    kind: int, tile: FloatArray, at: FloatArray, by_eta: FloatArray, bounds: IntArray, groups: IntArray,
    y: FloatArray, d: FloatArray, by_row: FloatArray,
) -> None:  # pragma: no cover  # fmt: skip
    """Derivatives of the rows by eta, from the tile's places and signs back to their own."""
    bent = 0.0 if kind == EXPONENTIAL else 1.0
    for j in range(groups.size):
        first = bounds[groups[j]]
        for i in range(bounds[groups[j] + 1] - first):
            F1, b = at[i, j], tile[1, i, j]
            sign = 2.0 * y[first + i] - 1.0 if kind == BERNOULLI else 1.0
            second = -b * F1 * (1.0 - bent * F1)
            d[0, first + i], d[1, first + i] = sign * (tile[0, i, j] - b * F1), second
            d[2, first + i] = sign * second * (1.0 - 2.0 * bent * F1)
            by_row[first + i] = sign * by_eta[i, j]


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def integrate_groups(  # noqa: PLR0917
    kind: int, content: Content, L: float, bounds: IntArray, order: IntArray, start: FloatArray,
    x: FloatArray, log_weights: FloatArray,
) -> tuple[bool, FloatArray, FloatArray, FloatArray]:  # pragma: no cover  # fmt: skip
    """Modes, integrals and derivatives of all groups.

    Parameters
    ----------
    kind, L : int, float
        Of F; the standard deviation of the effect, working parametrisation, of either sign.
    content : tuple of ndarray (n,)
        a, b and c of each row, its linear predictor without random effects, its working column z.
    bounds, order : ndarray (J + 1,), (J,)
        First row of each group, and n; the groups by size.
    start, x, log_weights : ndarray (J,), (K,), (K,)
        Where the search for the modes starts; the rule.

    Returns
    -------
    found : bool
        Whether all modes were found; nothing else holds if not.
    groups : ndarray (5, J)
        Mode, C and g as in `modes.Modes`, the integral relative to the mode, and the derivative by L.
    d, by_row : ndarray (3, n), (n,)
        Derivatives of each row's log density at the modes; derivative of the result by eta.
    """
    J, K, n, largest = bounds.size - 1, x.size, content[0].size, order[-1]
    room = (bounds[largest + 1] - bounds[largest]) * LANES
    groups, d, by_row = np.empty((5, J)), np.empty((3, n)), np.empty(n)
    rows_of, slopes_of = np.empty(7 * room), np.empty(K * room)
    modes, share, work = np.empty((5, LANES)), np.empty((K, LANES)), np.empty((4, LANES))
    S, M, constants = np.empty((3, LANES)), np.empty((3, LANES)), np.empty(LANES)
    for first in range(0, J, LANES):
        here = order[first : min(first + LANES, J)]
        m = bounds[here[-1] + 1] - bounds[here[-1]]
        rows = rows_of[: 7 * m * LANES].reshape(7, m, LANES)
        F1 = slopes_of[: K * m * LANES].reshape(K, m, LANES)
        tile, t, at, mean = rows[:4], rows[4], rows[5], rows[6]
        _gather(kind, content, bounds, here, tile, constants)
        modes[0, :] = 0.0
        modes[0, : here.size] = start[here]
        if not _climb(kind, tile, L, modes, t, at, S, work):
            return False, groups, d, by_row
        _integrate(kind, tile, L, modes, t, F1, x, log_weights, share, work)
        _average(tile, L, modes, F1, x, share, mean, M, work[0])
        _through_modes(kind, tile, L, modes, at, M, mean, S)
        _scatter(kind, tile, at, mean, bounds, here, content[0], d, by_row)
        for j in range(here.size):
            groups[:, here[j]] = modes[:, j]
            groups[2, here[j]] += constants[j]
    return True, groups, d, by_row
