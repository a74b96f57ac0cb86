"""Refits, compiled: the profiled deviance of one grouping factor, its exact gradient, and BFGS on them.

The algebra of `likelihood.gaussian` group by group, without a Python call between evaluations: with few
groups these calls are what a refit costs. All in one file: see the comment of `bayes.collapsed`.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from nestwise.arrays import FloatArray, IntArray

NEARLY_SINGULAR = 0.05
"""An end with a diagonal element of Lambda below this is tried from other starts."""
SAME = 1e-7
"""Deviances that differ by less belong to one end."""
MOST = 300
"""Evaluations from one start."""
DECREMENT = 1e-9
"""Converged: the step that is left promises to lower the deviance by less than this."""


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _factor(M: FloatArray, C: FloatArray) -> float:  # pragma: no cover
    """Lower Cholesky factor C of M; returns log|M|, or inf if M is not positive definite."""
    log_det = 0.0
    for row in range(M.shape[0]):
        for col in range(row + 1):
            total = M[row, col]
            for k in range(col):
                total -= C[row, k] * C[col, k]
            if row != col:
                C[row, col] = total / C[col, col]
            elif total > 0.0:
                C[row, row] = np.sqrt(total)
                log_det += np.log(total)
            else:
                return np.inf
    return log_det


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _eliminate(  # noqa: PLR0912, PLR0917
    Lambda: FloatArray, A: FloatArray, B: FloatArray, S: FloatArray, C: FloatArray, H: FloatArray
) -> float:  # pragma: no cover
    """Fill C = chol(M_j) and H = C^-1 Lambda'B_j, take sum_j H'H from S; returns sum_j log|M_j|."""
    J, q, width = B.shape
    M, AL = np.empty((q, q)), np.empty((q, q))
    log_dets = 0.0
    for j in range(J):
        for a in range(q):
            for b in range(q):
                total = 0.0
                for k in range(q):
                    total += A[j, a, k] * Lambda[k, b]
                AL[a, b] = total
        for a in range(q):
            for b in range(a + 1):
                total = 1.0 if a == b else 0.0
                for k in range(q):
                    total += Lambda[k, a] * AL[k, b]
                M[a, b] = total
        log_dets += _factor(M, C[j])
        for s in range(width):
            for a in range(q):
                total = 0.0
                for k in range(q):
                    total += Lambda[k, a] * B[j, k, s]
                for k in range(a):
                    total -= C[j, a, k] * H[j, k, s]
                H[j, a, s] = total / C[j, a, a]
        for s in range(width):
            for t in range(s + 1):
                for a in range(q):
                    S[s, t] -= H[j, a, s] * H[j, a, t]
    return log_dets


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _descend(  # noqa: PLR0912, PLR0917
    Lambda: FloatArray,
    A: FloatArray,
    B: FloatArray,
    F: FloatArray,
    C: FloatArray,
    H: FloatArray,
    gradient: FloatArray,
) -> None:  # pragma: no cover
    """Fill gradient (q, q) with 2 sum_j (A_j Lambda M_j^-1 - E_j F K_j')."""
    J, q, width = B.shape
    K, AL, FK, row = np.empty((q, width)), np.empty((q, q)), np.empty((width, q)), np.empty(q)
    gradient[:] = 0.0
    for j in range(J):
        for s in range(width):
            for a in range(q - 1, -1, -1):
                total = H[j, a, s]
                for k in range(a + 1, q):
                    total -= C[j, k, a] * K[k, s]
                K[a, s] = total / C[j, a, a]
        for s in range(width):
            for a in range(q):
                total = 0.0
                for t in range(width):
                    total += F[s, t] * K[a, t]
                FK[s, a] = total
        for a in range(q):
            for b in range(q):
                total = 0.0
                for k in range(q):
                    total += A[j, a, k] * Lambda[k, b]
                AL[a, b] = total
        for a in range(q):
            for b in range(q):
                total = AL[a, b]
                for k in range(b):
                    total -= C[j, b, k] * row[k]
                row[b] = total / C[j, b, b]
            for b in range(q - 1, -1, -1):
                total = row[b]
                for k in range(b + 1, q):
                    total -= C[j, k, b] * row[k]
                row[b] = total / C[j, b, b]
            for b in range(q):
                gradient[a, b] += 2.0 * row[b]
            for s in range(width):
                left = B[j, a, s]
                for k in range(q):
                    left -= AL[a, k] * K[k, s]
                for b in range(q):
                    gradient[a, b] -= 2.0 * left * FK[s, b]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _evaluate(  # noqa: PLR0912, PLR0917
    theta: FloatArray,
    rows: IntArray,
    cols: IntArray,
    A: FloatArray,
    B: FloatArray,
    G: FloatArray,
    n: float,
    reml: bool,
    known: float,
    C: FloatArray,
    H: FloatArray,
    slope: FloatArray,
    beta: FloatArray,
) -> tuple[float, float]:  # pragma: no cover
    """Deviance and sigma at theta; fills its gradient `slope` (k,) and beta (p,)."""
    p, q = B.shape[2] - 1, B.shape[1]
    Lambda = np.zeros((q, q))
    for i in range(theta.shape[0]):
        Lambda[rows[i], cols[i]] = theta[i]
    S = G.copy()
    log_dets = _eliminate(Lambda, A, B, S, C, H)
    root = np.zeros((p + 1, p + 1))
    _factor(S, root)
    r2 = root[p, p] ** 2
    if not (np.isfinite(log_dets) and r2 > 0.0):
        return np.inf, 0.0
    m = n - p if reml else n
    variance = r2 / m if known == 0.0 else known**2
    value = log_dets + m * np.log(2.0 * np.pi * variance) + r2 / variance
    inverse = np.zeros((p, p))
    for i in range(p):
        if reml:
            value += 2.0 * np.log(root[i, i])
        inverse[i, i] = 1.0 / root[i, i]
        for k in range(i):
            total = 0.0
            for h in range(k, i):
                total -= root[i, h] * inverse[h, k]
            inverse[i, k] = total / root[i, i]
    v = np.empty(p + 1)
    v[p] = 1.0
    for i in range(p):
        beta[i] = 0.0
        for k in range(i, p):
            beta[i] += inverse[k, i] * root[p, k]
        v[i] = -beta[i]
    F = np.empty((p + 1, p + 1))
    for i in range(p + 1):
        for k in range(p + 1):
            F[i, k] = v[i] * v[k] / variance
            if reml and i < p and k < p:
                for h in range(max(i, k), p):
                    F[i, k] += inverse[h, i] * inverse[h, k]
    gradient = np.empty((q, q))
    _descend(Lambda, A, B, F, C, H, gradient)
    for i in range(theta.shape[0]):
        slope[i] = gradient[rows[i], cols[i]]
    return value, np.sqrt(variance)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _learn(inverse: FloatArray, change: FloatArray, moved: FloatArray) -> bool:  # pragma: no cover
    """Update the inverse Hessian by what a step did to the gradient; returns whether it changed."""
    along = change @ moved
    if along > 1e-12:
        left = inverse @ change
        scale = 1.0 + (change @ left) / along
        inverse += scale / along * np.outer(moved, moved)
        inverse -= (np.outer(left, moved) + np.outer(moved, left)) / along
        return True
    if along < 0.0:
        # uphill curvature, as beside a variance of zero: what lies ahead is farther than thought
        inverse *= 4.0
        return True
    return False


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _minimise(  # noqa: PLR0917
    start: FloatArray,
    curvature: FloatArray,
    rows: IntArray,
    cols: IntArray,
    A: FloatArray,
    B: FloatArray,
    G: FloatArray,
    n: float,
    reml: bool,
    known: float,
    C: FloatArray,
    H: FloatArray,
    theta: FloatArray,
    beta: FloatArray,
) -> tuple[float, float, bool, int]:  # pragma: no cover
    """BFGS; fills theta and beta, returns deviance, sigma, whether it converged, evaluations."""
    k = start.shape[0]
    inverse = curvature.copy()
    slope, trial, ahead = np.empty(k), np.empty(k), np.empty(k)
    theta[:] = start
    value, sigma = _evaluate(theta, rows, cols, A, B, G, n, reml, known, C, H, slope, beta)
    fresh, evaluations = True, 1
    while evaluations < MOST and np.isfinite(value):
        step = -(inverse @ slope)
        fall = slope @ step
        if not fall < 0.0 or -fall < DECREMENT:
            if fresh:
                return value, sigma, bool(-fall < DECREMENT), evaluations
            # an old approximation may promise too little: once more with the first one
            inverse, fresh = curvature.copy(), True
            continue
        size, found = 1.0, False
        for _ in range(25):
            trial[:] = theta + size * step
            after, sigma_after = _evaluate(trial, rows, cols, A, B, G, n, reml, known, C, H, ahead, beta)
            evaluations += 1
            if after <= value + 1e-4 * size * fall:
                found = True
                break
            size *= (
                0.25
                if not np.isfinite(after)
                else max(0.1, -0.5 * size * fall / (after - value - size * fall))
            )
        if not found:
            done = bool(-fall < 1e3 * DECREMENT)  # all that is left is rounding
            _evaluate(theta, rows, cols, A, B, G, n, reml, known, C, H, slope, beta)
            return value, sigma, done, evaluations
        change, moved = ahead - slope, trial - theta
        fresh = not _learn(inverse, change, moved) and fresh
        theta[:], slope[:], value, sigma = trial, ahead, after, sigma_after
    return value, sigma, False, evaluations


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def refit_all(  # noqa: PLR0917
    starts: FloatArray,
    curvature: FloatArray,
    rows: IntArray,
    cols: IntArray,
    A: FloatArray,
    B: FloatArray,
    G: FloatArray,
    n: float,
    reml: bool,
    known: float,
    B_y: FloatArray,
    G_y: FloatArray,
    theta: FloatArray,
    beta: FloatArray,
    found: FloatArray,
) -> None:  # pragma: no cover
    """Fill theta (S, k), beta (S, p) and found (S, 4): deviance, sigma, converged, evaluations."""
    p = B.shape[2] - 1
    C, H = np.zeros((B.shape[0], B.shape[1], B.shape[1])), np.empty(B.shape)
    end, coefficients = np.empty(theta.shape[1]), np.empty(p)
    for s in range(B_y.shape[0]):
        B[:, :, p] = B_y[s]
        G[p, :] = G_y[s]
        G[:, p] = G_y[s]
        found[s, 0] = np.inf
        for i in range(starts.shape[0]):
            value, sigma, converged, evaluations = _minimise(
                starts[i], curvature, rows, cols, A, B, G, n, reml, known, C, H, end, coefficients
            )
            found[s, 3] += evaluations
            lower, as_low = value < found[s, 0] - SAME, value < found[s, 0] + SAME
            if lower or (as_low and converged and found[s, 2] == 0.0):
                found[s, 0], found[s, 1], found[s, 2] = value, sigma, 1.0 if converged else 0.0
                theta[s], beta[s] = end, coefficients
            size = np.inf
            for h in range(theta.shape[1]):
                if rows[h] == cols[h]:
                    size = min(size, abs(theta[s, h]))
            if found[s, 2] == 1.0 and size > NEARLY_SINGULAR:
                break
