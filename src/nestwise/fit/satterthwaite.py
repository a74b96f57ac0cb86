"""What Satterthwaite's method needs of a likelihood in (theta, sigma): how sure they are, and what they move.

Both follow from one evaluation on collapsed data, whatever the number of rows, and the Hessian that the
search ended with. On the boundary the deviance is an even function of what vanishes there, so nothing moves
in that direction and nothing is lost. Source: Satterthwaite (1946) as in Kuznetsova, Brockhoff & Christensen
(2017), Journal of Statistical Software 82(13).
"""

from __future__ import annotations

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.fit.optimise import Optimum
from nestwise.likelihood.gaussian import Equations, form_gradients, reduce
from nestwise.likelihood.products import Products


def theta_moments(products: Products, optimum: Optimum, *, reml: bool) -> tuple[FloatArray, FloatArray]:
    """Covariance of the estimates of (theta, sigma), and how they move that of the fixed effects.

    Parameters
    ----------
    products : CrossProducts or CrossedProducts
        The data; compressed or not.
    optimum : Optimum
        Where the search ended, working parametrisation.
    reml : bool
        Criterion that was optimised.

    Returns
    -------
    W : ndarray (r, r)
        Twice the inverse Hessian of minus twice the log-likelihood, directions without curvature left out;
        r = k + 1, or k where sigma is known.
    gradient : ndarray (r, p, p)
        Derivatives of the covariance of the fixed effects, for the columns of the formula.
    """
    pattern, p = products.pattern, products.p
    reduced = reduce(products, pattern.matrix(optimum.theta))
    m = products.n - p if reml else products.n
    variance = reduced.r2 / m if products.sigma is None else products.sigma**2
    hessian = optimum.hessian
    T = products.scale * products.T_X
    U = np.vstack([reduced.XX_inverse, np.zeros((1, p))])
    by_theta = -_elements(products, form_gradients(products, reduced, U)) * variance  # (p, p, k)
    gradient = T @ np.moveaxis(by_theta, 2, 0) @ T.T
    if products.sigma is None:
        hessian = _with_sigma(products, reduced, hessian, m)
        by_sigma = 2 * np.sqrt(variance) * T @ reduced.XX_inverse @ T.T
        gradient = np.concatenate([gradient, by_sigma[None]])
    values, vectors = np.linalg.eigh(hessian)
    curved = values > 1e-8 * values[-1]
    return 2 * (vectors[:, curved] / values[curved]) @ vectors[:, curved].T, gradient


def _elements(products: Products, by_Lambda: FloatArray) -> FloatArray:
    """Derivatives by theta (..., k) of those by Lambda (..., q, q)."""
    return by_Lambda[..., products.pattern.rows, products.pattern.cols]


def _with_sigma(products: Products, reduced: Equations, profiled: FloatArray, m: int) -> FloatArray:
    """Hessian (k + 1, k + 1) in (theta, sigma) from that (k, k) of the deviance with sigma profiled out.

    With ``d(theta, sigma) = f(theta) + m log(sigma^2) + r(theta) / sigma^2`` and g the gradient of r, at
    ``sigma^2 = r / m``: the profile has the Hessian ``f'' + m r''/ r - m g g'/ r^2``.
    """
    v = np.append(-reduced.beta, 1.0)[:, None]
    g = _elements(products, form_gradients(products, reduced, v))[0, 0]
    sigma = np.sqrt(reduced.r2 / m)
    beside = -2 * g / sigma**3
    above = np.column_stack([profiled + m / reduced.r2**2 * np.outer(g, g), beside])
    below = np.append(beside, 4 * m / sigma**2)
    return np.vstack([above, below])
