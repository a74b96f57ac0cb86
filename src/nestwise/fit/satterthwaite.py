"""What Satterthwaite's method needs of a likelihood in (theta, sigma): how sure they are, and what they move.

Both follow from evaluations on collapsed data, whatever the number of rows: the exact gradient of the
deviance and the covariance of the fixed effects, at points a little apart. On the boundary the deviance is
an even function of what vanishes there, so nothing moves in that direction and nothing is lost. Source:
Satterthwaite (1946) as in Kuznetsova, Brockhoff & Christensen (2017), Journal of Statistical Software 82(13).
"""

from __future__ import annotations

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.likelihood.gaussian import criterion, evaluate, reduce
from nestwise.likelihood.products import Products

STEP = 1e-5
"""Relative step of central differences of exact values: errors of 1e-10, rounding and curvature alike."""


def theta_moments(products: Products, theta: FloatArray, *, reml: bool) -> tuple[FloatArray, FloatArray]:
    """Covariance of the estimates of (theta, sigma), and how they move that of the fixed effects.

    Parameters
    ----------
    products : CrossProducts or CrossedProducts
        The data; compressed or not.
    theta : ndarray (k,)
        The optimum, working parametrisation.
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
    pattern = products.pattern
    T = products.scale * products.T_X
    here = criterion(products, pattern.matrix(theta), reml=reml)

    def at(point: FloatArray) -> tuple[FloatArray, FloatArray]:
        moved = not np.array_equal(point[:-1], theta)  # sigma alone leaves the equations as they are
        reduced = reduce(products, pattern.matrix(point[:-1])) if moved else here.reduced
        found = evaluate(products, reduced, reml=reml, sigma=float(point[-1]))
        covariance = point[-1] ** 2 * T @ found.reduced.XX_inverse @ T.T
        return np.append(pattern.elements(found.gradient), found.d_sigma), covariance

    point = np.append(theta, here.sigma)
    r = theta.size if products.sigma is not None else point.size
    hessian, gradient = np.empty((r, r)), np.empty((r, products.p, products.p))
    for i in range(r):
        step = np.zeros_like(point)
        step[i] = STEP * max(abs(point[i]), 0.1)
        (up, C_up), (down, C_down) = at(point + step), at(point - step)
        hessian[i] = (up - down)[:r] / (2 * step[i])
        gradient[i] = (C_up - C_down) / (2 * step[i])
    values, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
    curved = values > 1e-8 * values[-1]
    return 2 * (vectors[:, curved] / values[curved]) @ vectors[:, curved].T, gradient
