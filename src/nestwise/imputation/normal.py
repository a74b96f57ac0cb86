"""Compiled Gibbs steps of the normal mixed model with two or three levels.

``y_i = X_i beta + Z_i b_j + c_g + e_i`` with ``b_j ~ N(0, Sigma)`` by the inner factor, ``c_g ~ N(0, tau2)``
by the outer one and ``e_i ~ N(0, s2_j)``. Each step draws (beta, c, b) jointly, with c and b integrated out
of the draw of beta (a blocked step: Chib & Carlin 1999), then the variances. Rows are sorted by inner group.

Priors: flat on beta but for a given precision; ``p(s2)`` proportional to 1/s2; Sigma and tau2 as Huang & Wand
(2013) with nu = 2: half-t SDs with 2 degrees of freedom and scale `SCALE`, uniform correlations. Group-wise
variances (Kasim & Raudenbush 1998; van Buuren 2011) are scaled inverse chi-squared with common location and
degrees of freedom, both drawn.
"""

from __future__ import annotations

from math import exp, lgamma, log, sqrt
from typing import Any

import numpy as np
from numba import njit

_compiled: Any = njit(cache=True, nogil=True, error_model="numpy")

SCALE = 1.0
"""Of the half-t prior of SDs; responses are standardised or latent."""
COMMON, BY_GROUP, UNIT, LATENT = 0, 1, 2, 3
"""Residual variance: one, one a group, fixed at 1, or that of a latent count (with a half-t prior)."""
TAU2, TAU_AUX, NU, LOCATION, S2_AUX = 0, 1, 2, 3, 4
"""Places in `hyper`."""


@_compiled
def cholesky(A, L):  # type: ignore[no-untyped-def]
    """Lower factor of A into L; False if A is not positive definite."""
    p = A.shape[0]
    for i in range(p):
        for j in range(i + 1):
            total = A[i, j]
            for k in range(j):
                total -= L[i, k] * L[j, k]
            if i == j:
                if not total > 0.0:
                    return False
                L[i, i] = sqrt(total)
            else:
                L[i, j] = total / L[j, j]
    return True


@_compiled
def whitened(L, source, s2, x):  # type: ignore[no-untyped-def]
    """``L^-1 source / s2`` into x, which may be the source itself."""
    for i in range(x.shape[0]):
        total = source[i] / s2
        for k in range(i):
            total -= L[i, k] * x[k]
        x[i] = total / L[i, i]


@_compiled
def backward(L, x):  # type: ignore[no-untyped-def]
    """``L^-T x`` in place."""
    for i in range(x.shape[0] - 1, -1, -1):
        total = x[i]
        for k in range(i + 1, x.shape[0]):
            total -= L[k, i] * x[k]
        x[i] = total / L[i, i]


@_compiled
def draw_covariance(rng, S, df, Sigma, P):  # type: ignore[no-untyped-def]
    """``P ~ Wishart(df, S^-1)`` by Bartlett's decomposition, and ``Sigma = P^-1``; False if S is singular."""
    q = S.shape[0]
    L = np.zeros((q, q))
    if not cholesky(S, L):
        return False
    T = np.zeros((q, q))
    for i in range(q):
        T[i, i] = sqrt(2.0 * rng.standard_gamma(0.5 * (df - i)))
        for j in range(i):
            T[i, j] = rng.standard_normal()
    W = np.zeros((q, q))  # L T^-T: its product with itself is Sigma
    U = np.zeros((q, q))  # L^-T T: its product with itself is P
    x = np.empty(q)
    for k in range(q):
        x[:] = L[k]
        whitened(T, x, 1.0, x)
        W[k] = x
        x[:] = T[:, k]
        backward(L, x)
        U[:, k] = x
    for i in range(q):
        for j in range(q):
            Sigma[i, j] = 0.0
            P[i, j] = 0.0
            for k in range(q):
                Sigma[i, j] += W[i, k] * W[j, k]
                P[i, j] += U[i, k] * U[j, k]
    return True


@_compiled
def draw_nu(rng, s2, counted, nu, location):  # type: ignore[no-untyped-def]
    """A Metropolis step for the degrees of freedom of group-wise variances; log nu ~ N(log 10, 1)."""
    logs, inverse, J = 0.0, 0.0, 0
    for j in range(s2.shape[0]):
        if counted[j]:
            logs += log(s2[j])
            inverse += 1.0 / s2[j]
            J += 1
    for _ in range(5):
        proposal = nu * exp(0.5 * rng.standard_normal())
        ratio = 0.0
        for sign, v in ((1.0, proposal), (-1.0, nu)):
            half = 0.5 * v
            density = J * (half * log(half * location) - lgamma(half)) - half * (logs + location * inverse)
            ratio += sign * (density - 0.5 * (log(v) - log(10.0)) ** 2)
        if log(rng.random()) < ratio:
            nu = proposal
    return nu


@_compiled
def draw_residual(rng, kind, squares, n, sizes, s2, hyper):  # type: ignore[no-untyped-def]
    """Residual variances given the sums of squares of each group."""
    J = s2.shape[0]
    if kind == COMMON:
        s2[:] = squares.sum() / (2.0 * rng.standard_gamma(0.5 * n))
    elif kind == LATENT:
        hyper[S2_AUX] = (2.0 / s2[0] + 1.0 / SCALE**2) / rng.standard_gamma(1.5)
        s2[:] = (0.5 * squares.sum() + 2.0 / hyper[S2_AUX]) / rng.standard_gamma(0.5 * n + 1.0)
    elif kind == BY_GROUP:
        nu, location = hyper[NU], hyper[LOCATION]
        inverse, counted = 0.0, 0
        for j in range(J):
            s2[j] = (nu * location + squares[j]) / (2.0 * rng.standard_gamma(0.5 * (nu + sizes[j])))
            if sizes[j] > 0:
                inverse += 1.0 / s2[j]
                counted += 1
        hyper[LOCATION] = rng.standard_gamma(0.5 * counted * nu) / (0.5 * nu * inverse)
        hyper[NU] = draw_nu(rng, s2, sizes > 0, nu, hyper[LOCATION])


@_compiled
def draw_variances(rng, b, sizes, Sigma, P, aux, c, filled, hyper):  # type: ignore[no-untyped-def]
    """Sigma and tau2 given the random effects of the groups that hold rows; False if a matrix is singular."""
    J, q = b.shape
    if q:
        S = np.zeros((q, q))
        counted = 0
        for j in range(J):
            if sizes[j] > 0:
                counted += 1
                for u in range(q):
                    for v in range(q):
                        S[u, v] += b[j, u] * b[j, v]
        for u in range(q):
            aux[u] = (2.0 * P[u, u] + 1.0 / SCALE**2) / rng.standard_gamma(0.5 * (2.0 + q))
            S[u, u] += 4.0 / aux[u]
        if not draw_covariance(rng, S, 1.0 + q + counted, Sigma, P):
            return False
    G = c.shape[0]
    if G:
        total, counted = 0.0, 0
        for g in range(G):
            if filled[g]:
                total += c[g] ** 2
                counted += 1
        hyper[TAU_AUX] = (2.0 / hyper[TAU2] + 1.0 / SCALE**2) / rng.standard_gamma(1.5)
        hyper[TAU2] = (0.5 * total + 2.0 / hyper[TAU_AUX]) / rng.standard_gamma(0.5 * counted + 1.0)
    return True


@_compiled
def crossproducts(X, Z, start):  # type: ignore[no-untyped-def]
    """``Z'Z`` (J, q, q) and ``X'Z`` (J, p, q) of each group, ``X'X`` (p, p) of all rows."""
    J, p, q = start.shape[0] - 1, X.shape[1], Z.shape[1]
    A, C, XX = np.zeros((J, q, q)), np.zeros((J, p, q)), np.zeros((p, p))
    for j in range(J):
        for i in range(start[j], start[j + 1]):
            for u in range(q):
                for v in range(q):
                    A[j, u, v] += Z[i, u] * Z[i, v]
                for v in range(p):
                    C[j, v, u] += Z[i, u] * X[i, v]
            for u in range(p):
                for v in range(u + 1):
                    XX[u, v] += X[i, u] * X[i, v]
    for u in range(p):
        for v in range(u):
            XX[v, u] = XX[u, v]
    return A, C, XX


@_compiled
def weighted_products(X, Z, y, start, s2, common, XX, XWX, XWy, Zy):  # type: ignore[no-untyped-def]
    """Lower half of ``X'W X``, and ``X'W y``, with ``W = 1/s2`` of the group; ``Z'y`` of each group."""
    J, p, q = s2.shape[0], X.shape[1], Z.shape[1]
    XWy[:] = 0.0
    Zy[:] = 0.0
    for u in range(p):
        for v in range(u + 1):
            XWX[u, v] = XX[u, v] / s2[0] if common else 0.0
    for j in range(J):
        for i in range(start[j], start[j + 1]):
            for u in range(q):
                Zy[j, u] += Z[i, u] * y[i]
            for u in range(p):
                w = X[i, u] / s2[j]
                XWy[u] += w * y[i]
                if not common:
                    for v in range(u + 1):
                        XWX[u, v] += w * X[i, v]


@_compiled
def inner(x, y):  # type: ignore[no-untyped-def]
    """Inner product of two short vectors."""
    total = 0.0
    for i in range(x.shape[0]):
        total += x[i] * y[i]
    return total


@_compiled
def without_effects(A, C, Zy, s2, P, outer, M, Q, r, K, H, R):  # type: ignore[no-untyped-def]
    """Take the random effects out of the normal equations Q, r of beta; factors of each group into M.

    K, H, R gather what the outer groups add: they are zero at the start, H holds 1/tau2. `C` is (J, p, q).
    """
    J, p, q = C.shape
    half, x, ones, W = np.zeros((p, q)), np.empty(q), np.empty(q), np.empty((q, q))
    for j in range(J):
        L = M[j]
        for u in range(q):
            for v in range(q):
                W[u, v] = A[j, u, v] / s2[j] + P[u, v]
        if not cholesky(W, L):
            return False
        whitened(L, Zy[j], s2[j], x)
        for u in range(p):
            whitened(L, C[j, u], s2[j], half[u])
            r[u] -= inner(half[u], x)
            for v in range(u + 1):
                Q[u, v] -= inner(half[u], half[v])
        g = outer[j]
        if g >= 0:
            whitened(L, A[j, 0], s2[j], ones)
            H[g] += A[j, 0, 0] / s2[j] - inner(ones, ones)
            R[g] += Zy[j, 0] / s2[j] - inner(ones, x)
            for v in range(p):
                K[g, v] += C[j, v, 0] / s2[j] - inner(half[v], ones)
    for g in range(H.shape[0]):
        for u in range(p):
            r[u] -= K[g, u] * R[g] / H[g]
            for v in range(u + 1):
                Q[u, v] -= K[g, u] * K[g, v] / H[g]
    return True


@_compiled
def effects(rng, noise, beta, A, C, Zy, s2, outer, M, K, H, R, c, b):  # type: ignore[no-untyped-def]
    """C and b given beta: drawn with noise 1, their means with noise 0."""
    for g in range(H.shape[0]):
        c[g] = (R[g] - inner(K[g], beta)) / H[g]
        if noise > 0.0:
            c[g] += rng.standard_normal() / sqrt(H[g])
    J, q = b.shape
    for j in range(J):
        shift = c[outer[j]] if outer[j] >= 0 else 0.0
        for u in range(q):
            total = Zy[j, u] - A[j, u, 0] * shift
            for v in range(beta.shape[0]):
                total -= C[j, v, u] * beta[v]
            b[j, u] = total / s2[j]
        whitened(M[j], b[j], 1.0, b[j])
        if noise > 0.0:
            for u in range(q):
                b[j, u] += rng.standard_normal()
        backward(M[j], b[j])


@_compiled
def residual_squares(X, Z, y, start, outer, beta, b, c):  # type: ignore[no-untyped-def]
    """Sum of squared residuals of each group (J,)."""
    J, p, q = start.shape[0] - 1, X.shape[1], Z.shape[1]
    squares = np.zeros(J)
    for j in range(J):
        shift = c[outer[j]] if outer[j] >= 0 else 0.0
        for i in range(start[j], start[j + 1]):
            e = y[i] - shift
            for u in range(p):
                e -= X[i, u] * beta[u]
            for u in range(q):
                e -= Z[i, u] * b[j, u]
            squares[j] += e * e
    return squares


@_compiled
def gibbs(  # type: ignore[no-untyped-def]
    rng, steps, kind, X, Z, y, start, outer, products, prior,
    beta, b, c, Sigma, P, aux, s2, hyper, beta_mean, b_mean, c_mean,
):  # fmt: skip
    """`steps` Gibbs steps in place; the conditional means of the last one; False if a matrix is singular."""
    A, C, XX = products
    J, p, q = C.shape
    n, G, sizes = X.shape[0], c.shape[0], start[1:] - start[:-1]
    filled = np.zeros(G, np.bool_)
    for j in range(J):
        if sizes[j] > 0 and outer[j] >= 0:
            filled[outer[j]] = True
    Q, L, r, M = np.empty((p, p)), np.zeros((p, p)), np.empty(p), np.zeros((J, q, q))
    Zy = np.empty((J, q))
    for _ in range(steps):
        weighted_products(X, Z, y, start, s2, kind != BY_GROUP, XX, Q, r, Zy)
        K, H, R = np.zeros((G, p)), np.full(G, 1.0 / hyper[TAU2]), np.zeros(G)
        if q and not without_effects(A, C, Zy, s2, P, outer, M, Q, r, K, H, R):
            return False
        for u in range(p):
            Q[u, u] += prior[u]
        if not cholesky(Q, L):
            return False
        whitened(L, r, 1.0, r)
        beta_mean[:] = r
        backward(L, beta_mean)
        if q == 0 and kind == COMMON:  # the ordinary regression: s2 drawn with beta integrated out
            squares = residual_squares(X, Z, y, start, outer, beta_mean, b, c)
            ratio = squares.sum() / (2.0 * rng.standard_gamma(0.5 * (n - p))) / s2[0]
            L, r = L / sqrt(ratio), r / sqrt(ratio)
            s2[:] *= ratio
        for u in range(p):
            beta[u] = r[u] + rng.standard_normal()
        backward(L, beta)
        effects(rng, 0.0, beta_mean, A, C, Zy, s2, outer, M, K, H, R, c_mean, b_mean)
        effects(rng, 1.0, beta, A, C, Zy, s2, outer, M, K, H, R, c, b)
        if q or kind != COMMON:
            draw_residual(rng, kind, residual_squares(X, Z, y, start, outer, beta, b, c), n, sizes, s2, hyper)
        if not draw_variances(rng, b, sizes, Sigma, P, aux, c, filled, hyper):
            return False
    return True
