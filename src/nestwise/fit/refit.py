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
from numba import njit

from nestwise.arrays import BoolArray, FloatArray, IntArray
from nestwise.fit.descent import minimise
from nestwise.likelihood.crossproducts import CrossProducts
from nestwise.likelihood.working import Pattern

NEARLY_SINGULAR = 0.05
"""An end with a diagonal element of Lambda below this is tried from other starts."""
SAME = 1e-7
"""Deviances that differ by less belong to one end."""


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _refit_all(  # noqa: PLR0917
    starts: FloatArray,
    curvature: FloatArray,
    rows: IntArray,
    cols: IntArray,
    A: FloatArray,
    B: FloatArray,
    G: FloatArray,
    n: float,
    reml: bool,
    known: float,
    B_y: FloatArray,
    G_y: FloatArray,
    theta: FloatArray,
    beta: FloatArray,
    found: FloatArray,
) -> None:  # pragma: no cover
    """Fill theta (S, k), beta (S, p) and found (S, 4): deviance, sigma, converged, evaluations."""
    p = B.shape[2] - 1
    C, H = np.zeros((B.shape[0], B.shape[1], B.shape[1])), np.empty(B.shape)
    end, coefficients = np.empty(theta.shape[1]), np.empty(p)
    for s in range(B_y.shape[0]):
        B[:, :, p] = B_y[s]
        G[p, :] = G_y[s]
        G[:, p] = G_y[s]
        found[s, 0] = np.inf
        for i in range(starts.shape[0]):
            value, sigma, converged, evaluations = minimise(
                starts[i], curvature, rows, cols, A, B, G, n, reml, known, C, H, end, coefficients
            )
            found[s, 3] += evaluations
            lower, as_low = value < found[s, 0] - SAME, value < found[s, 0] + SAME
            if lower or (as_low and converged and found[s, 2] == 0.0):
                found[s, 0], found[s, 1], found[s, 2] = value, sigma, 1.0 if converged else 0.0
                theta[s], beta[s] = end, coefficients
            size = np.inf
            for h in range(theta.shape[1]):
                if rows[h] == cols[h]:
                    size = min(size, abs(theta[s, h]))
            if found[s, 2] == 1.0 and size > NEARLY_SINGULAR:
                break


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
    _refit_all(
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
