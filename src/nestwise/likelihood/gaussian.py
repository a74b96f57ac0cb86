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
from nestwise.likelihood.grouped import Reduced, grouped_slope, reduce_grouped
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
    """`criterion` from equations that are solved already, as for another sigma at the same Lambda."""
    p = products.p
    m = products.n - p if reml else products.n
    sigma = products.sigma if sigma is None else sigma
    profiled = sigma is None
    variance = reduced.r2 / m if sigma is None else sigma**2
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


def covariance_gradient(products: Products, reduced: Equations, contrasts: FloatArray) -> FloatArray:
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
    if isinstance(reduced, CrossedReduced):
        return _crossed_covariance_gradient(reduced, U)
    assert isinstance(products, CrossProducts)
    E_X = products.B[:, :, :p] - reduced.AL @ reduced.K[:, :, :p]
    gradients: FloatArray = 2 * np.einsum("jac,jbc->cab", E_X @ U, reduced.K[:, :, :p] @ U)
    return gradients


def slope(products: Products, reduced: Equations, F: FloatArray) -> FloatArray:
    """Half the derivative of the criterion by Lambda (q, q); F (p + 1, p + 1) weighs the residuals."""
    if isinstance(reduced, CrossedReduced):
        return crossed_slope(reduced, F)
    assert isinstance(products, CrossProducts)
    return grouped_slope(products, reduced, F)


def _crossed_covariance_gradient(reduced: CrossedReduced, U: FloatArray) -> FloatArray:
    """As `covariance_gradient`, by factors; the blocks between factors stay zero."""
    products, p = reduced.products, reduced.products.p
    EU, KU = residual_products(reduced)[:, :p] @ U, reduced.K[:, :p] @ U
    gradients = np.zeros((U.shape[1], products.q, products.q))
    for f, (_, columns, _) in enumerate(products.factors):
        block = np.einsum("jac,jbc->cab", products.by_group(EU, f), products.by_group(KU, f))
        gradients[np.ix_(range(U.shape[1]), columns, columns)] = 2 * block
    return gradients
