"""Conditional AIC: how well a model predicts new rows of the groups it has seen.

    cAIC = -2 log f(y | b_hat) + 2 (rho + 1),  rho = tr(d y_hat / d y),

where the last 1 is for sigma. With theta taken as known, rho is the trace of the matrix that makes y_hat
(Vaida & Blanchard 2005); it favours random effects that are noise, because theta follows y. Greven & Kneib
(2010) count that too: with s = y'P y, a_k = P V_k P y, c_k = y'P V_k P y and H the Hessian of the profiled
deviance, V relative to sigma^2,

    rho = n - tr(R P) + sum_kl (H^-1)_kl 2 m (a_k'R a_l / s - c_l a_k'R P y / s^2).

On the boundary y_hat and the deviance are even functions of what vanishes, which then contributes nothing.
Sources: Greven & Kneib (2010), Biometrika 97; Saefken et al. (2021), Journal of Statistical Software 99(8).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.design.record import Design
from nestwise.fit.clusters import MarginalCovariance, lmm_covariance, random_parameters, working_columns
from nestwise.fit.covariance_information import parameter_covariance
from nestwise.fit.state import LmmState
from nestwise.fit.variance_tests import row_scale
from nestwise.results import Estimate


@dataclass(frozen=True)
class ConditionalAic:
    """The conditional AIC and what it is made of.

    Attributes
    ----------
    log_likelihood : float
        Of the rows given the predicted random effects, with all constants.
    rho : float
        Effective degrees of freedom of the predictions, the estimation of theta included.
    rho_known : float
        The same with theta taken as known.
    caic : float
        ``-2 log_likelihood + 2 (rho + 1)``, without the 1 where sigma is known.
    """

    log_likelihood: float
    rho: float
    rho_known: float
    caic: float


@dataclass(frozen=True)
class _Vectors:
    """Over all rows, for V relative to sigma^2."""

    u: FloatArray
    """P y (n,)."""
    a: FloatArray
    """P V_k P y (r, n)."""
    trace: float
    """tr(R P)."""


def conditional_aic(design: Design, state: LmmState) -> ConditionalAic:
    """Conditional AIC of a linear mixed model.

    Parameters
    ----------
    design : Design
        The model, without a residual covariance.
    state : LmmState
        Its maximised likelihood.

    Raises
    ------
    Refusal
        With clusters too large for dense algebra.
    """
    solution, n = state.solution, design.n
    known = design.sampling_error is not None
    sigma = solution.sigma
    marginal = lmm_covariance(design, solution.Sigma / sigma**2, 1.0, what="The conditional AIC")
    residual = design.y_less_offset - design.X @ solution.beta
    R = 1 / row_scale(design) ** 2
    vectors = _vectors(marginal, design.X, residual, R, len(random_parameters(design)))
    rho_known = n - vectors.trace
    rho = rho_known + _theta_part(design, state, vectors, residual, R)
    left = R * vectors.u
    log_likelihood = -(n * np.log(2 * np.pi * sigma**2) + np.log(R).sum() + left @ (left / R) / sigma**2) / 2
    caic = -2 * log_likelihood + 2 * (rho if known else rho + 1)
    return ConditionalAic(float(log_likelihood), float(rho), float(rho_known), float(caic))


def _theta_part(
    design: Design, state: LmmState, vectors: _Vectors, residual: FloatArray, R: FloatArray
) -> float:
    """What the dependence of theta on y adds to the trace."""
    jacobian = _jacobian(design, state)
    a, u = jacobian.T @ vectors.a, vectors.u
    moved = a @ (R * a).T
    if design.sampling_error is None:
        m = design.n - design.X.shape[1] if design.reml else design.n
        s = float(residual @ u)
        c = a @ residual
        moved = m * (moved / s - np.outer((R * a) @ u, c) / s**2)
    return float(2 * np.sum(parameter_covariance(state.optimum.hessian) * moved))


def _jacobian(design: Design, state: LmmState) -> FloatArray:
    """Derivative (r, k) of the relative covariances by theta, working parametrisation."""
    products, theta = state.compressed, state.optimum.theta
    T = np.linalg.solve(working_columns(design)[1], products.T_Z)
    Lambda = T @ products.pattern.matrix(theta)
    starts = np.cumsum([0, *(len(term.names) for term in design.random)])
    places = random_parameters(design)
    rows = [starts[place] + row for place, row, _ in places]
    cols = [starts[place] + col for place, _, col in places]
    found = np.empty((len(places), theta.size))
    for k, unit in enumerate(np.eye(theta.size)):
        half = T @ products.pattern.matrix(unit) @ Lambda.T
        found[:, k] = (half + half.T)[rows, cols]
    return found


def _vectors(
    marginal: MarginalCovariance, X: FloatArray, residual: FloatArray, R: FloatArray, r: int
) -> _Vectors:
    """One pass over the clusters; the fixed effects are swept out at the end."""
    n, p = X.shape
    Q = np.linalg.qr(X)[0]
    u, a, WX, trace = np.empty(n), np.empty((r, n)), np.empty((n, p)), 0.0
    for stack in marginal.stacks():
        rows = stack.rows
        W = np.linalg.inv(stack.V)
        u[rows] = (W @ residual[rows][:, :, None])[:, :, 0]
        WX[rows] = W @ Q[rows]
        for k in range(r):
            a[k, rows] = (W @ (stack.first[k] @ u[rows][:, :, None]))[:, :, 0]
        trace += float(np.sum(np.einsum("cii->ci", W) * R[rows]))
    Phi = np.linalg.inv(Q.T @ WX)
    trace -= float(np.sum(Phi * (WX.T @ (R[:, None] * WX))))
    return _Vectors(u, a - (a @ Q) @ Phi @ WX.T, trace)


def conditional_rows(found: ConditionalAic) -> tuple[Estimate, Estimate]:
    """Rows `derived`: `caic` and `effective_df`."""
    return (
        Estimate("derived", "caic", found.caic, scale="deviance"),
        Estimate("derived", "effective_df", found.rho, scale="count"),
    )
