"""Thousands of refits of one model with one grouping factor: compiled, from a start that is nearly right.

The design is the same in all of them; only the outcome's column of the cross-products changes. Each refit
minimises the profiled deviance of `likelihood.gaussian` by BFGS with exact gradients, started at the optimum
of the original outcome with the inverse of its Hessian. As there, no bounds are needed: a variance of zero is
an interior point. An end where the covariance has lost rank may be a local one, so further starts are tried
from there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestwise.arrays import BoolArray, FloatArray, IntArray
from nestwise.fit.descent import refit_all
from nestwise.likelihood.crossproducts import CrossProducts
from nestwise.likelihood.working import Pattern


@dataclass(frozen=True)
class Refits:
    """S refits, working parametrisation.

    Attributes
    ----------
    theta : ndarray (S, k)
    beta : ndarray (S, p)
    sigma : ndarray (S,)
    deviance : ndarray (S,)
        As `Criterion.value`.
    converged : ndarray (S,) of bool
    evaluations : ndarray (S,)
        Of deviance and gradient, over all starts.
    """

    theta: FloatArray
    beta: FloatArray
    sigma: FloatArray
    deviance: FloatArray
    converged: BoolArray
    evaluations: IntArray


def refit(
    products: CrossProducts,
    B_y: FloatArray,
    G_y: FloatArray,
    *,
    reml: bool,
    theta: FloatArray,
    hessian: FloatArray,
) -> Refits:
    """Maximise the likelihood of many outcomes on one design.

    Parameters
    ----------
    products : CrossProducts
        The design, one entry a group; its outcome is not read.
    B_y : ndarray (S, J, q)
        ``Z_j'y`` of each outcome, working columns.
    G_y : ndarray (S, p + 1)
        ``[X'y, y'y]`` of each outcome.
    reml : bool
        Criterion.
    theta : ndarray (k,)
        Where to start: the optimum of the outcome they were simulated from.
    hessian : ndarray (k, k)
        Of the profiled deviance there.
    """
    pattern, S = products.pattern, B_y.shape[0]
    values, vectors = np.linalg.eigh(hessian)
    kept = np.maximum(np.abs(values), 1e-3 * max(float(np.abs(values).max()), 1e-3))
    ends, beta, found = np.zeros((S, pattern.k)), np.zeros((S, products.p)), np.zeros((S, 4))
    refit_all(
        starts(products.pattern, theta),
        np.ascontiguousarray((vectors / kept) @ vectors.T),
        pattern.rows,
        pattern.cols,
        np.ascontiguousarray(products.A),
        np.array(products.B, order="C"),
        np.array(products.G, order="C"),
        float(products.n),
        reml,
        float(products.sigma or 0.0),
        np.ascontiguousarray(B_y),
        np.ascontiguousarray(G_y),
        ends,
        beta,
        found,
    )
    fine = (found[:, 2] == 1) & np.isfinite(found[:, 0])
    return Refits(ends, beta, found[:, 1], found[:, 0], fine, found[:, 3].astype(np.int64))


def starts(pattern: Pattern, theta: FloatArray) -> FloatArray:
    """Where to start (3, k): the optimum, and two other points for ends that are singular.

    The first is moved off zero, where the gradient vanishes by symmetry.
    """
    on_diagonal = pattern.rows == pattern.cols
    moved = np.where(on_diagonal, np.maximum(np.abs(theta), 0.1), theta)
    even = np.where(on_diagonal, np.sqrt(np.mean(moved[on_diagonal] ** 2)), 0.0)
    mirrored = np.where(on_diagonal, moved, -theta - 0.1 * np.sign(theta))
    return np.array([moved, even, mirrored])
