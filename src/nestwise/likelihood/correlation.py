"""Correlation matrices and their exact derivatives by unconstrained parameters.

Every structure maps any real numbers to a valid correlation matrix:

- `unstructured`: rows of the Cholesky factor are ``(theta, 1)`` brought to length one (as in Pinheiro & Bates
  1996, Statistics and Computing 6, with the diagonal fixed);
- `toeplitz`: tanh(theta) are partial autocorrelations, turned into autocorrelations by Durbin and Levinson
  (Barndorff-Nielsen & Schou 1973, Journal of Multivariate Analysis 3);
- `antedependence`: tanh(theta) are the correlations of neighbouring visits, those further apart are products
  (Gabriel 1962).
"""

from __future__ import annotations

import numpy as np

from nestwise.arrays import FloatArray


def unstructured(theta: FloatArray, T: int) -> tuple[FloatArray, FloatArray]:
    """C (T, T) and its derivatives (k, T, T), with k = T (T - 1) / 2 parameters by rows of the factor."""
    rows, cols = np.tril_indices(T, -1)
    L = np.eye(T)
    L[rows, cols] = theta
    size = np.linalg.norm(L, axis=1)
    L /= size[:, None]
    # derivative of row t by its j-th parameter: (e_j - L_t L_tj) / size_t
    dL = (np.eye(T)[cols] - L[rows] * L[rows, cols][:, None]) / size[rows][:, None]
    along = dL @ L.T  # (k, T): derivative of row t of C
    d = np.zeros((theta.shape[0], T, T))
    k = np.arange(theta.shape[0])
    d[k, rows] = along
    d[k, :, rows] = along
    d[k, rows, rows] = 0.0
    return L @ L.T, d


def unstructured_start(C: FloatArray) -> FloatArray:
    """Theta (k,) of a correlation matrix (T, T), shrunk until it is safely positive definite."""
    L = np.linalg.cholesky(_safe(C))
    return (L / np.diag(L)[:, None])[np.tril_indices(C.shape[0], -1)]


def toeplitz(theta: FloatArray, T: int) -> tuple[FloatArray, FloatArray]:
    """C (T, T) and its derivatives (T - 1, T, T)."""
    r, dr = autocorrelations(theta)
    lags = np.abs(np.subtract.outer(np.arange(T), np.arange(T)))
    return np.append(1.0, r)[lags], np.column_stack([np.zeros(T - 1), dr.T])[:, lags]


def autocorrelations(theta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Autocorrelations (k,) at lags 1 .. k of partial ones tanh(theta), and their Jacobian (k, k)."""
    k = theta.shape[0]
    partial = np.tanh(theta)
    d_partial = 1 - partial**2
    r, dr = np.zeros(k), np.zeros((k, k))
    phi, d_phi = np.zeros(0), np.zeros((0, k))
    left, d_left = 1.0, np.zeros(k)  # share of variance that is not yet predicted
    for lag in range(k):
        back, d_back = r[:lag][::-1], dr[:lag][::-1]
        r[lag] = phi @ back + partial[lag] * left
        dr[lag] = back @ d_phi + phi @ d_back + partial[lag] * d_left
        dr[lag, lag] += d_partial[lag] * left
        mirrored, d_mirrored = phi[::-1], d_phi[::-1]
        d_next = d_phi - partial[lag] * d_mirrored
        d_next[:, lag] -= d_partial[lag] * mirrored
        own = np.zeros(k)
        own[lag] = d_partial[lag]
        phi, d_phi = np.append(phi - partial[lag] * mirrored, partial[lag]), np.vstack([d_next, own])
        d_left = d_left * (1 - partial[lag] ** 2)
        d_left[lag] -= 2 * partial[lag] * d_partial[lag] * left
        left *= 1 - partial[lag] ** 2
    return r, dr


def toeplitz_start(C: FloatArray) -> FloatArray:
    """Theta (T - 1,) of the correlations averaged along the diagonals of C (T, T)."""
    T = C.shape[0]
    means = np.array([1.0] + [float(np.diag(C, lag).mean()) for lag in range(1, T)])
    lags = np.abs(np.subtract.outer(np.arange(T), np.arange(T)))
    r = _safe(means[lags])[0]
    phi: FloatArray = np.zeros(0)
    theta = np.zeros(T - 1)
    left = 1.0
    for lag in range(1, T):
        value = float(np.clip((r[lag] - phi @ r[lag - 1 : 0 : -1]) / left, -0.95, 0.95))
        theta[lag - 1] = np.arctanh(value)
        phi = np.append(phi - value * phi[::-1], value)
        left *= 1 - value**2
    return theta


def antedependence(theta: FloatArray, T: int) -> tuple[FloatArray, FloatArray]:
    """C (T, T) and its derivatives (T - 1, T, T)."""
    rho = np.tanh(theta)
    C = np.eye(T)
    for t in range(1, T):
        C[t, :t] = C[t - 1, :t] * rho[t - 1]
    C = np.tril(C) + np.tril(C, -1).T
    d = np.zeros((T - 1, T, T))
    for k in range(T - 1):  # earlier visits with later ones: the product without rho_k
        block = np.outer(C[: k + 1, k], C[k + 1 :, k + 1]) * (1 - rho[k] ** 2)
        d[k, : k + 1, k + 1 :] = block
        d[k, k + 1 :, : k + 1] = block.T
    return C, d


def antedependence_start(C: FloatArray) -> FloatArray:
    """Theta (T - 1,) of the correlations of neighbouring visits in C (T, T)."""
    return np.arctanh(np.clip(np.diag(C, 1), -0.95, 0.95))


def _safe(C: FloatArray) -> FloatArray:
    """C shrunk towards independence until its smallest eigenvalue is at least 0.05."""
    lowest = float(np.linalg.eigvalsh(C)[0])
    share = 0.0 if lowest >= 0.05 else (0.05 - lowest) / (1 - lowest)
    return (1 - share) * C + share * np.eye(C.shape[0])
