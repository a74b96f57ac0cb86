"""Second moments of the random effects given the data, and what an evaluation of the likelihood costs."""

from __future__ import annotations

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.likelihood.crossed import CrossedProducts
from nestwise.likelihood.crossed_equations import CrossedReduced
from nestwise.likelihood.crossproducts import CrossProducts
from nestwise.likelihood.gaussian import Equations
from nestwise.likelihood.products import Products


def second_moments(products: Products, reduced: Equations, sigma: float, *, reml: bool) -> FloatArray:
    """Mean over the groups of ``E[u u' | y] / sigma^2`` (q, q) with ``b = Lambda u``, one block a factor.

    Under REML the uncertainty of the fixed effects is part of it. Source: Laird & Ware (1982), Biometrics
    38, equations 4.1-4.5.

    Parameters
    ----------
    products, reduced
        The data, and the equations solved at some Lambda.
    sigma : float
        Residual standard deviation, working scale.
    reml : bool
        Criterion.
    """
    v = np.append(-reduced.beta, 1.0) / sigma
    if isinstance(reduced, CrossedReduced):
        return _of_factors(reduced, v, reml=reml)
    assert isinstance(products, CrossProducts)
    w = reduced.K @ v
    moment: FloatArray = w.T @ w + np.tensordot(products.weights, reduced.M_inverse, axes=1)
    if reml:
        K_X = reduced.K[:, :, : products.p]
        moment += np.tensordot(K_X @ reduced.XX_inverse, K_X, axes=((0, 2), (0, 2)))
    return moment / products.weights.sum()


def _of_factors(reduced: CrossedReduced, v: FloatArray, *, reml: bool) -> FloatArray:
    products = reduced.products
    out = np.zeros((products.q, products.q))
    for f, (_, columns, J) in enumerate(products.factors):
        K = products.by_group(reduced.K, f)
        w = K @ v
        moment = w.T @ w + reduced.own_inverses(f).sum(axis=0)
        if reml:
            K_X = K[:, :, : products.p]
            moment += np.tensordot(K_X @ reduced.XX_inverse, K_X, axes=((0, 2), (0, 2)))
        out[np.ix_(columns, columns)] = moment / J
    return out


def work(products: Products) -> float:
    """Multiplications of one evaluation of the likelihood, roughly."""
    if isinstance(products, CrossedProducts):
        return products.elimination.work
    return float(products.J * products.q**2 * (products.q + products.p))
