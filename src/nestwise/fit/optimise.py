"""The search for the optimum of the profiled deviance, and its proof.

The deviance depends on Lambda only through ``Lambda Lambda'``, so it is an even, smooth function of each
column: no bounds are needed, and a variance of zero is an interior point with zero gradient. Bounds are
what makes other programs stop on a false boundary; here such a point is a saddle, recognised by its
negative curvature and left. An optimum counts as converged only with a vanishing gradient *and* no negative
curvature.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.fit.search import DECREMENT_TOLERANCE, Evaluations, Objective, judged, minimise
from nestwise.likelihood.crossed import CrossedProducts
from nestwise.likelihood.gaussian import constant, criterion, deviance
from nestwise.likelihood.moments import second_moments, work
from nestwise.likelihood.products import Products

SINGULAR_TOLERANCE = 1e-4
"""Singular: a singular value of a term's Lambda, in standardised columns, below this (lme4's tolerance)."""
MANY = 200_000
"""With more than this many cross-products the first start is followed alone unless it fails."""
SMALL = 0.05
"""A standard deviation below this share of the residual one gives no unit of length for the search."""
HEAVY = 1e7
"""From this many multiplications an evaluation, the search begins with fewer trials."""


@dataclass(frozen=True)
class Optimum:
    """Where the search ended, working parametrisation.

    Attributes
    ----------
    theta : ndarray (k,)
        Free elements of Lambda, diagonal not negative.
    value : float
        Profiled deviance of the working data.
    gradient : ndarray (k,)
        Its gradient.
    hessian : ndarray (k, k)
        By central differences of the exact gradient.
    converged : bool
        Both criteria hold.
    singular : bool
        Whether the random effects covariance has lost rank, judged on theta.
    record : dict
        Every run: start, end, objective, evaluations, optimiser, return code, gradient; and the verdict.
    """

    theta: FloatArray
    value: float
    gradient: FloatArray
    hessian: FloatArray
    converged: bool
    singular: bool
    record: dict[str, Any] = field(default_factory=dict)


def optimise(products: Products, *, reml: bool) -> Optimum:
    """Minimise the profiled deviance over theta.

    The ladder of `fit.search` from several starts.

    Parameters
    ----------
    products : CrossProducts
        The data, `compress`ed if possible.
    reml : bool
        Criterion.

    Returns
    -------
    Optimum
    """
    objective = Evaluations(
        lambda theta: deviance(products, theta, reml=reml), lambda theta: _metric(products, theta)
    )
    starts = _starts(products, objective, reml=reml)
    if products.B.size > MANY or work(products) > HEAVY:
        starts = starts[:1]
    found = minimise(objective, starts, offset=constant(products, reml=reml))
    theta = _snap(objective, products, found.at)
    at = found if np.array_equal(theta, found.at) else judged(objective, theta)[0]
    singular = bool(_smallest(products, theta) < SINGULAR_TOLERANCE)
    record = {
        "parametrisation": "theta: free elements of Lambda for standardised columns",
        "criterion": "REML" if reml else "ML",
        **found.record,
        **at.record,
        "evaluations": objective.evaluations,
        "theta": theta.tolist(),
        "objective": at.value + constant(products, reml=reml),
        "singular": singular,
        "converged": at.converged,
    }
    return Optimum(theta, at.value, at.gradient, at.hessian, at.converged, singular, record)


def _metric(products: Products, theta: FloatArray) -> FloatArray:
    """Square roots (k,) of the curvature to expect along theta: that of J effects seen without error.

    The information about the standard deviation s of J normal deviates is ``2 J / s^2``, that about an
    element beside the diagonal of their covariance's factor ``J / s^2`` with s of its row; twice that for a
    deviance.
    """
    pattern = products.pattern
    groups = np.zeros(pattern.q)
    for columns, J in _groups(products):
        groups[list(columns)] = J
    size = np.zeros(pattern.q)
    np.maximum.at(size, pattern.rows, np.abs(theta))
    on_diagonal = pattern.rows == pattern.cols
    spread = np.maximum(size[pattern.rows], SMALL)
    return np.sqrt(2.0 * groups[pattern.rows] * np.where(on_diagonal, 2.0, 1.0)) / spread


def _groups(products: Products) -> list[tuple[tuple[int, ...], int]]:
    """Varying coefficients and number of groups of each factor."""
    if isinstance(products, CrossedProducts):
        return [(columns, J) for _, columns, J in products.factors]
    return [(tuple(range(products.q)), products.J)]


def _starts(products: Products, objective: Objective, *, reml: bool) -> list[tuple[str, FloatArray]]:
    """Named starts: moments (EM steps from the best multiple of the identity), that multiple, I."""
    identity = products.pattern.elements(np.eye(products.q))
    heavy = work(products) > HEAVY
    multiples = [identity * size for size in (0.03, 0.1, 0.3, 1.0, 3.0)]
    best = multiples[2] if heavy else min(multiples, key=lambda theta: objective(theta)[0])
    Lambda = products.pattern.matrix(best)
    for _ in range(3 if heavy else 8):
        Lambda = _em_step(products, Lambda, reml=reml)
    starts = [("moments", products.pattern.elements(Lambda)), ("multiple of the identity", best)]
    return starts if heavy or best is multiples[3] else [*starts, ("identity", identity)]


def _em_step(products: Products, Lambda: FloatArray, *, reml: bool) -> FloatArray:
    """One EM step for Lambda: the second moments of the random effects given the data, their factor taken.

    Laird & Ware (1982), equations 4.1-4.5; blocks outside the pattern are set to zero.
    """
    at = criterion(products, Lambda, reml=reml)
    Sigma = Lambda @ second_moments(products, at.reduced, at.sigma, reml=reml) @ Lambda.T
    pattern = products.pattern
    allowed = pattern.matrix(np.ones(pattern.k))
    Sigma = np.where((allowed + allowed.T) > 0, Sigma, 0.0)
    return lower_factor(Sigma)


def lower_factor(Sigma: FloatArray) -> FloatArray:
    """Lower triangular L (q, q) with ``L L' = Sigma`` and a diagonal that is not negative.

    Sigma may have lost rank, where a Cholesky factorisation fails.
    """
    values, vectors = np.linalg.eigh(Sigma)
    root = vectors * np.sqrt(np.clip(values, 0, None))
    return triangular(root)


def triangular(root: FloatArray) -> FloatArray:
    """Lower triangular L (q, q), diagonal not negative, with ``L L' = root root'``."""
    R = np.linalg.qr(root.T, mode="r")
    signs = np.where(np.diag(R) < 0, -1.0, 1.0)
    return (R * signs[:, None]).T


def _smallest(products: Products, theta: FloatArray) -> float:
    """Smallest singular value of Lambda."""
    return float(np.linalg.svd(products.pattern.matrix(theta), compute_uv=False)[-1])


def _snap(objective: Objective, products: Products, theta: FloatArray) -> FloatArray:
    """Diagonal made non-negative, and elements that are zero up to the search's precision made zero."""
    Lambda = products.pattern.matrix(theta)
    Lambda = Lambda * np.where(np.diag(Lambda) < 0, -1.0, 1.0)
    theta = products.pattern.elements(Lambda)
    small = np.abs(theta) < SINGULAR_TOLERANCE
    if small.any():
        snapped = np.where(small, 0.0, theta)
        if objective(snapped)[0] <= objective(theta)[0] + DECREMENT_TOLERANCE:
            return snapped
    return theta
