"""The Gaussian likelihood of one grouping factor: value and exact gradient on collapsed data.

Pure functions of `CrossProducts` and Lambda, the relative factor of the random effects covariance
``sigma^2 Lambda Lambda'``, in the working parametrisation of `crossproducts`. With
``M_j = I + Lambda'A_j Lambda``,
``K_j = M_j^-1 Lambda'B_j``, ``E_j = B_j - A_j Lambda K_j`` and ``S = G - sum_j B_j'Lambda K_j``:
``beta = S_XX^-1 S_Xy``, ``r2 = S_yy - S_Xy'beta``, ``m = n - p`` under REML and ``n`` under ML, and

    deviance = sum_j log|M_j| + m (1 + log(2 pi r2 / m)) + [REML] log|S_XX|.

Any square Lambda is allowed; the value depends on ``Lambda Lambda'`` only: no change when a column
changes sign. Sources: Bates et al. (2015), Journal of Statistical Software 67(1), section 3; Pinheiro & Bates
(2000), chapter 2.
"""

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


@dataclass(frozen=True)
class Criterion:
    """Minus twice the log-likelihood, restricted or not, and its gradient.

    Attributes
    ----------
    value : float
        Of the working data; add `constant` for that of the outcome itself.
    gradient : ndarray (q, q)
        Derivative with respect to every element of Lambda.
    d_sigma : float
        Derivative with respect to sigma; 0 where sigma is profiled out.
    sigma : float
        The residual standard deviation it was evaluated at, working scale.
    reduced : Reduced
        The solved equations.
    """

    value: float
    gradient: FloatArray
    d_sigma: float
    sigma: float
    reduced: Reduced


def reduce(products: CrossProducts, Lambda: FloatArray) -> Reduced:
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
    S = products.G - sum(LB[a] @ K[a].T for a in range(q))
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
    )


def criterion(
    products: CrossProducts, Lambda: FloatArray, *, reml: bool, sigma: float | None = None
) -> Criterion:
    """Minus twice the (restricted) log-likelihood at Lambda, with its gradient.

    Parameters
    ----------
    products : CrossProducts
        The collapsed data.
    Lambda : ndarray (q, q)
        Relative factor, working parametrisation.
    reml : bool
        Restricted likelihood, else likelihood with beta at its maximum.
    sigma : float, optional
        Residual standard deviation, working scale; profiled out (set to its maximum) by default.

    Returns
    -------
    Criterion
    """
    p = products.p
    reduced = reduce(products, Lambda)
    m = products.n - p if reml else products.n
    profiled = sigma is None
    variance = reduced.r2 / m if sigma is None else sigma**2
    value = reduced.log_det_m + m * np.log(2 * np.pi * variance) + reduced.r2 / variance
    v = np.append(-reduced.beta, 1.0)
    F = np.outer(v, v) / variance
    if reml:
        value += reduced.log_det_xx
        F[:p, :p] += reduced.XX_inverse
    gradient = 2 * _gradient(products, reduced, F)
    root = float(np.sqrt(variance))
    d_sigma = 0.0 if profiled else 2 * m / root - 2 * reduced.r2 / root**3
    return Criterion(float(value), gradient, d_sigma, root, reduced)


def constant(products: CrossProducts, *, reml: bool) -> float:
    """What to add to `Criterion.value` to have it for the outcome and the columns of the formula."""
    m = products.n - products.p if reml else products.n
    value = 2 * m * np.log(products.scale)
    if reml and products.p:
        value -= 2 * np.linalg.slogdet(products.T_X)[1]
    return float(value)


def deviance(products: CrossProducts, theta: FloatArray, *, reml: bool) -> tuple[float, FloatArray]:
    """Profiled deviance and its gradient with respect to theta (k,), working parametrisation."""
    at = criterion(products, products.pattern.matrix(theta), reml=reml)
    return at.value, products.pattern.elements(at.gradient)


def covariance_gradient(products: CrossProducts, reduced: Reduced, contrasts: FloatArray) -> FloatArray:
    """Derivative of c'S_XX^-1 c with respect to Lambda, for each contrast.

    Parameters
    ----------
    products, reduced
        The collapsed data and the equations solved at some Lambda.
    contrasts : ndarray (p, c)
        One contrast of the working fixed effects a column.

    Returns
    -------
    ndarray (c, q, q)
        From d tr(F S) = -2 sum_j E_j F K_j' d Lambda with F = -S_XX^-1 c c' S_XX^-1.
    """
    p = products.p
    U = reduced.XX_inverse @ contrasts
    E_X = products.B[:, :, :p] - reduced.AL @ reduced.K[:, :, :p]
    gradients: FloatArray = 2 * np.einsum("jac,jbc->cab", E_X @ U, reduced.K[:, :, :p] @ U)
    return gradients


def _gradient(products: CrossProducts, reduced: Reduced, F: FloatArray) -> FloatArray:
    """sum_j A_j Lambda M_j^-1 - E_j F K_j' (q, q)."""
    q = products.q
    LA = np.moveaxis(reduced.AL, (0, 1, 2), (2, 1, 0))
    M_inverse, K = np.moveaxis(reduced.M_inverse, 0, -1), np.moveaxis(reduced.K, 0, -1)
    E = np.moveaxis(products.B, 0, -1) - _products(np.swapaxes(LA, 0, 1), K)
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
