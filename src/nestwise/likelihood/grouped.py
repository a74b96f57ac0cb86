"""The mixed-model equations of one grouping factor, solved for all groups at once on collapsed data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.likelihood.crossproducts import CrossProducts


@dataclass(frozen=True)
class Reduced:
    """The mixed-model equations solved at one Lambda (working parametrisation).

    Attributes
    ----------
    Lambda : ndarray (q, q)
        Relative factor.
    AL : ndarray (J, q, q)
        A_j Lambda.
    M_inverse : ndarray (J, q, q)
        M_j^-1.
    log_det_m : float
        sum_j log|M_j|, weighted.
    K : ndarray (J, q, p + 1)
        M_j^-1 Lambda'B_j.
    beta : ndarray (p,)
        Generalised least-squares coefficients.
    XX_inverse : ndarray (p, p)
        S_XX^-1; times sigma^2 the covariance of beta.
    log_det_xx : float
        log|S_XX|.
    r2 : float
        Penalised residual sum of squares.
    E : ndarray (J, q, p + 1) or None
        ``B_j - A_j Lambda K_j`` where that difference would lose it; see `crossproducts`.
    """

    Lambda: FloatArray
    AL: FloatArray
    M_inverse: FloatArray
    log_det_m: float
    K: FloatArray
    beta: FloatArray
    XX_inverse: FloatArray
    log_det_xx: float
    r2: float
    E: FloatArray | None = None


def reduce_grouped(products: CrossProducts, Lambda: FloatArray) -> Reduced:
    """Solve the mixed-model equations at Lambda (q, q).

    Raises
    ------
    numpy.linalg.LinAlgError
        If S_XX is not positive definite, which the full rank of X excludes up to rounding.
    """
    p, q = products.p, products.q
    # Groups last: the few operations on q x q matrices become long ones over all groups at once. Copies
    # nothing if the products were laid out by `groups_last`.
    A = np.ascontiguousarray(np.moveaxis(products.A, 0, -1))
    B = np.ascontiguousarray(np.moveaxis(products.B, 0, -1))
    LA = (Lambda.T @ A.reshape(q, -1)).reshape(A.shape)
    LB = (Lambda.T @ B.reshape(q, -1)).reshape(B.shape)
    M_inverse, log_dets = _inverses(np.eye(q)[:, :, None] + np.einsum("baj,ad->bdj", LA, Lambda))
    K = _products(M_inverse, LB)
    E = None
    if products.inside is None:
        S = products.G - sum(LB[a] @ K[a].T for a in range(q))
    else:
        E = _undrowned(A, B, Lambda, M_inverse)
        own = np.moveaxis(products.own, 0, -1)
        S = products.inside + sum(own[a] @ E[a].T for a in range(q))
        S = (S + S.T) / 2
    root = np.linalg.cholesky(S[:p, :p])
    root_inverse = np.linalg.inv(root)
    along = root_inverse @ S[:p, p]
    return Reduced(
        Lambda=Lambda,
        AL=np.moveaxis(LA, (0, 1, 2), (2, 1, 0)),
        M_inverse=np.moveaxis(M_inverse, -1, 0),
        log_det_m=float(products.weights @ log_dets),
        K=np.moveaxis(K, -1, 0),
        beta=root_inverse.T @ along,
        XX_inverse=root_inverse.T @ root_inverse,
        log_det_xx=2 * float(np.log(np.diag(root)).sum()),
        r2=float(S[p, p] - along @ along),
        E=None if E is None else np.moveaxis(E, -1, 0),
    )


def group_residuals(products: CrossProducts, reduced: Reduced) -> FloatArray:
    """``E_j = B_j - A_j Lambda K_j`` (J, q, p + 1): what Z_j says of the residuals of X and y."""
    if reduced.E is not None:
        return reduced.E
    E: FloatArray = products.B - reduced.AL @ reduced.K
    return E


def _undrowned(A: FloatArray, B: FloatArray, Lambda: FloatArray, M_inverse: FloatArray) -> FloatArray:
    """``(I + A_j Lambda Lambda')^-1 B_j`` (q, p + 1, J): E_j, not as a difference of what is nearly equal."""
    q = A.shape[0]
    if q == 1:
        return M_inverse * B
    left = np.eye(q) + np.moveaxis(A, -1, 0) @ (Lambda @ Lambda.T)
    return np.ascontiguousarray(np.moveaxis(np.linalg.solve(left, np.moveaxis(B, -1, 0)), 0, -1))


def grouped_slope(products: CrossProducts, reduced: Reduced, F: FloatArray) -> FloatArray:
    """Half the derivative of the criterion by Lambda: sum_j A_j Lambda M_j^-1 - E_j F K_j' (q, q)."""
    q = products.q
    LA = np.moveaxis(reduced.AL, (0, 1, 2), (2, 1, 0))
    M_inverse, K = np.moveaxis(reduced.M_inverse, 0, -1), np.moveaxis(reduced.K, 0, -1)
    if reduced.E is None:
        E = np.moveaxis(products.B, 0, -1) - _products(np.swapaxes(LA, 0, 1), K)
    else:
        E = np.moveaxis(reduced.E, 0, -1)
    FE = np.stack([F @ E[a] for a in range(q)])
    first: FloatArray = sum(LA[c] @ (M_inverse[c] * products.weights).T for c in range(q))
    return first - FE.reshape(q, -1) @ K.reshape(q, -1).T


def _products(left: FloatArray, right: FloatArray) -> FloatArray:
    """Matrix products (a, s, J) of stacks (a, b, J) and (b, s, J) with the groups last."""
    out = left[:, 0, None] * right[None, 0]
    for b in range(1, left.shape[1]):
        out += left[:, b, None] * right[None, b]
    return out


def _inverses(M: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Inverses (q, q, J) and log-determinants (J,) of symmetric positive definite matrices (q, q, J)."""
    q = M.shape[0]
    if q == 1:
        return 1 / M, np.log(M[0, 0])
    if q == 2:  # LAPACK, called once a group, is ten times slower than this
        det = M[0, 0] * M[1, 1] - M[0, 1] * M[1, 0]
        adjugate = np.stack([np.stack([M[1, 1], -M[0, 1]]), np.stack([-M[1, 0], M[0, 0]])])
        return adjugate / det, np.log(det)
    roots = np.linalg.cholesky(np.ascontiguousarray(np.moveaxis(M, -1, 0)))
    log_dets = 2 * np.log(np.diagonal(roots, axis1=1, axis2=2)).sum(axis=1)
    inverses = np.linalg.inv(roots)
    both = np.swapaxes(inverses, 1, 2) @ inverses
    return np.ascontiguousarray(np.moveaxis(both, 0, -1)), log_dets
