"""The Gaussian likelihood: value and exact gradient on collapsed data of one grouping factor or several.

Pure functions of the cross-products and Lambda, the relative factor of the random effects covariance
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
from nestwise.likelihood.crossed import CrossedProducts
from nestwise.likelihood.crossed_equations import (
    CrossedReduced,
    crossed_slope,
    reduce_crossed,
    residual_products,
)
from nestwise.likelihood.crossproducts import CrossProducts
from nestwise.likelihood.grouped import Reduced, group_residuals, grouped_slope, reduce_grouped
from nestwise.likelihood.products import Products

Equations = Reduced | CrossedReduced
"""The mixed-model equations solved at one Lambda."""


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
    reduced: Equations


def reduce(products: Products, Lambda: FloatArray) -> Equations:
    """Solve the mixed-model equations at Lambda (q, q).

    Raises
    ------
    numpy.linalg.LinAlgError
        If S_XX is not positive definite, which the full rank of X excludes up to rounding.
    """
    if isinstance(products, CrossedProducts):
        return reduce_crossed(products, Lambda)
    return reduce_grouped(products, Lambda)


def criterion(products: Products, Lambda: FloatArray, *, reml: bool, sigma: float | None = None) -> Criterion:
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
        Residual standard deviation, working scale; by default the known one, else it is profiled out (set
        to its maximum).

    Returns
    -------
    Criterion
    """
    return evaluate(products, reduce(products, Lambda), reml=reml, sigma=sigma)


def evaluate(products: Products, reduced: Equations, *, reml: bool, sigma: float | None = None) -> Criterion:
    """`criterion` from equations that are solved already, as for another sigma at the same Lambda.

    Raises
    ------
    numpy.linalg.LinAlgError
        If no residual variance is left in rounding.
    """
    p = products.p
    m = products.n - p if reml else products.n
    sigma = products.sigma if sigma is None else sigma
    profiled = sigma is None
    variance = reduced.r2 / m if sigma is None else sigma**2
    if not variance > 0:
        raise np.linalg.LinAlgError("no residual variance is left")
    value = reduced.log_det_m + m * np.log(2 * np.pi * variance) + reduced.r2 / variance
    v = np.append(-reduced.beta, 1.0)
    F = np.outer(v, v) / variance
    if reml:
        value += reduced.log_det_xx
        F[:p, :p] += reduced.XX_inverse
    gradient = 2 * slope(products, reduced, F)
    root = float(np.sqrt(variance))
    d_sigma = 0.0 if profiled else 2 * m / root - 2 * reduced.r2 / root**3
    return Criterion(float(value), gradient, d_sigma, root, reduced)


def constant(products: Products, *, reml: bool) -> float:
    """What to add to `Criterion.value` to have it for the outcome and the columns of the formula."""
    m = products.n - products.p if reml else products.n
    value = 2 * m * np.log(products.scale) - products.log_weights
    if reml and products.p:
        value -= 2 * np.linalg.slogdet(products.T_X)[1]
    return float(value)


def deviance(products: Products, theta: FloatArray, *, reml: bool) -> tuple[float, FloatArray]:
    """Profiled deviance and its gradient with respect to theta (k,), working parametrisation."""
    at = criterion(products, products.pattern.matrix(theta), reml=reml)
    return at.value, products.pattern.elements(at.gradient)


def form_gradients(products: Products, reduced: Equations, U: FloatArray) -> FloatArray:
    """Derivatives by Lambda of ``U'S U``, S the cross-products of [X, y] with the random effects swept out.

    Parameters
    ----------
    products, reduced
        The collapsed data and the equations solved at some Lambda.
    U : ndarray (p + 1, c)
        Held fixed. With ``(-beta, 1)`` the form is the residual sum of squares, whose derivative this is, as
        beta is at its best; with ``S_XX^-1`` above a row of zeros it is minus that of ``S_XX^-1``.

    Returns
    -------
    ndarray (c, c, q, q)
        From ``dS = -sum_j (E_j'dLambda K_j + K_j'dLambda'E_j)``.
    """
    c = U.shape[1]
    gradients = np.zeros((c, c, products.q, products.q))
    for columns, E, K in _residuals_by_factor(products, reduced):
        EU = (E @ U).transpose(0, 2, 1).reshape(E.shape[0], -1)  # (J, c q)
        KU = (K @ U).transpose(0, 2, 1).reshape(E.shape[0], -1)
        found = (EU.T @ KU).reshape(c, len(columns), c, len(columns)).transpose(0, 2, 1, 3)
        gradients[:, :, *np.ix_(columns, columns)] = -found - found.transpose(1, 0, 2, 3)
    return gradients


def _residuals_by_factor(
    products: Products, reduced: Equations
) -> list[tuple[tuple[int, ...], FloatArray, FloatArray]]:
    """Of each factor: its varying coefficients, ``E = Z'(W - Z Lambda K)`` and K (J, q, p + 1) by group."""
    if isinstance(products, CrossedProducts):
        assert isinstance(reduced, CrossedReduced)
        E = residual_products(reduced)
        return [
            (columns, products.by_group(E, f), products.by_group(reduced.K, f))
            for f, (_, columns, _) in enumerate(products.factors)
        ]
    assert isinstance(reduced, Reduced)
    return [(tuple(range(products.q)), group_residuals(products, reduced), reduced.K)]


def slope(products: Products, reduced: Equations, F: FloatArray) -> FloatArray:
    """Half the derivative of the criterion by Lambda (q, q); F (p + 1, p + 1) weighs the residuals."""
    if isinstance(reduced, CrossedReduced):
        return crossed_slope(reduced, F)
    assert isinstance(products, CrossProducts)
    return grouped_slope(products, reduced, F)
