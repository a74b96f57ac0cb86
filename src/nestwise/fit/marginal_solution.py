"""A model with a residual covariance solved at its optimum, and what inference needs of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.config.study import DegreesOfFreedom
from nestwise.design.covariance import ResidualDesign
from nestwise.design.record import Design
from nestwise.fit.clusters import MarginalCovariance
from nestwise.fit.fixed_effects import METHOD_WORDS, FixedInference, marginal_inference
from nestwise.fit.optimise import SINGULAR_TOLERANCE
from nestwise.fit.refusals import refuse
from nestwise.fit.residual_covariance import marginal_covariance
from nestwise.fit.residual_refusals import residual_problems
from nestwise.fit.residual_starts import starts
from nestwise.fit.search import Minimum, minimise
from nestwise.likelihood.marginal import (
    Marginal,
    MarginalData,
    constant,
    marginal,
    marginal_data,
    variance_gradient,
)

FLAT = 1e-8
"""A direction of the parameters with less than this share of the largest curvature says nothing of them."""
MOST_NUMBERS = 2_000_000
"""Columns are taken through the likelihood in portions of at most this many numbers."""


@dataclass(frozen=True)
class MmrmState:
    """A design with everything the maximisation of its likelihood gave.

    Attributes
    ----------
    data : MarginalData
        Sorted rows in the working parametrisation.
    minimum : Minimum
        Where the search ended: parameters of the residual covariance, then free elements of Lambda.
    at : Marginal
        The likelihood there.
    beta, cov_beta : ndarray (p,) and (p, p)
        Fixed effects and their covariance, outcome's scale and formula's columns.
    Sigma : ndarray (q, q)
        Covariance of the random effects.
    deviance : float
        Minus twice the (restricted) log-likelihood with all constants.
    singular : bool
        Whether a covariance has lost rank.
    """

    data: MarginalData
    minimum: Minimum
    at: Marginal
    beta: FloatArray
    cov_beta: FloatArray
    Sigma: FloatArray
    deviance: float
    singular: bool

    @property
    def phi(self) -> FloatArray:
        """Parameters of the residual covariance, the log standard deviations on the outcome's scale."""
        model = self.data.model
        phi = self.minimum.at[: model.k].copy()
        phi[: model.n_scales] += model.constant * np.log(self.data.working.scale)
        return phi


def solve_mmrm(design: Design) -> MmrmState:
    """Maximise the (restricted) likelihood of a design with a residual covariance.

    Raises
    ------
    Refusal
        See `fit.residual_refusals`.
    """
    residual = residual_of(design)
    refuse(residual_problems(design))
    data = marginal_data(design)
    offset = constant(data, reml=design.reml)

    def objective(parameters: FloatArray) -> tuple[float, FloatArray]:
        at = marginal(data, parameters, reml=design.reml)
        return at.value, at.gradient

    minimum = minimise(objective, starts(data, residual), offset=offset)
    at = marginal(data, minimum.at, reml=design.reml)
    working = data.working
    root = working.T_Z @ at.Lambda
    return MmrmState(
        data=data,
        minimum=minimum,
        at=at,
        beta=working.beta_0 + working.scale * working.T_X @ at.beta,
        cov_beta=working.scale**2 * working.T_X @ at.XX_inverse @ working.T_X.T,
        Sigma=working.scale**2 * root @ root.T,
        deviance=minimum.value + offset,
        singular=_lost_rank(data, minimum.at, at),
    )


def mmrm_covariance(design: Design, state: MmrmState, *, what: str = "The method") -> MarginalCovariance:
    """V of each independent cluster and its derivatives by natural parameters."""
    return marginal_covariance(design, state.data.model, state.phi, state.Sigma, what=what)


def mmrm_inference(design: Design, state: MmrmState, method: DegreesOfFreedom) -> FixedInference:
    """Inference about the fixed effects.

    Satterthwaite's method takes the derivatives of their covariance exactly, and the observed information in
    the search's own parameters, on which it does not depend; any number of rows will do.

    Raises
    ------
    Refusal
        Kenward-Roger under ML or with too large clusters.
    """
    if method == "satterthwaite":
        values, vectors = np.linalg.eigh(state.minimum.hessian)
        curved = values > FLAT * values[-1]
        W = 2 * (vectors[:, curved] / values[curved]) @ vectors[:, curved].T
        gradient = _covariance_gradient(state)
        return FixedInference(method, state.beta, state.cov_beta, state.cov_beta, gradient, W)
    needs = method in {"kenward_roger", "kenward_roger_linear"}
    what = f"The method of {METHOD_WORDS[method]}"
    covariance = mmrm_covariance(design, state, what=what) if needs else None
    return marginal_inference(design, state.beta, state.cov_beta, covariance, method)


def _covariance_gradient(state: MmrmState) -> FloatArray:
    """Derivatives (k, p, p) of the covariance of the fixed effects, by polarisation of their variances."""
    working, p = state.data.working, state.beta.shape[0]
    T = working.scale * working.T_X.T  # column r: the working contrast that is the formula's r-th effect
    rows, cols = np.tril_indices(p, -1)
    contrasts = np.column_stack([T, T[:, rows] + T[:, cols]])
    step = max(1, MOST_NUMBERS // max(state.data.W.shape[0], 1))
    parts = [
        variance_gradient(state.data, state.minimum.at, state.at, contrasts[:, begin : begin + step])
        for begin in range(0, contrasts.shape[1], step)
    ]
    by = np.concatenate(parts)  # (contrasts, k)
    gradient = np.zeros((by.shape[1], p, p))
    gradient[:, np.arange(p), np.arange(p)] = by[:p].T
    mixed = (by[p:] - by[rows] - by[cols]).T / 2
    gradient[:, rows, cols] = mixed
    gradient[:, cols, rows] = mixed
    return gradient


def residual_of(design: Design) -> ResidualDesign:
    """The residual covariance of a design that has one."""
    if design.residual is None:
        raise ValueError("fit_mmrm needs a design with a residual covariance")
    return design.residual


def _lost_rank(data: MarginalData, parameters: FloatArray, at: Marginal) -> bool:
    """Whether a standard deviation is nearly 0, or a correlation matrix or Lambda has lost rank."""
    model = data.model
    phi = parameters[: model.k]
    scale = model.scale(phi, data.layout.first)
    if scale.min() < SINGULAR_TOLERANCE * scale.max():
        return True
    if data.q and np.linalg.svd(at.Lambda, compute_uv=False)[-1] < SINGULAR_TOLERANCE * scale.mean():
        return True
    if model.structure == "independent":
        return False
    if model.structure in ("ar1", "compound_symmetry"):
        rho = model.rho(phi)[0]
        low = -1 / max(model.most - 1, 1) if model.structure == "compound_symmetry" else -1.0
        return bool((rho > 1 - SINGULAR_TOLERANCE).any() or (rho < low + SINGULAR_TOLERANCE).any())
    smallest = min(float(np.linalg.eigvalsh(C)[0]) for C in model.correlations(phi)[0])
    return smallest < SINGULAR_TOLERANCE**2


def random_effects(state: MmrmState) -> tuple[FloatArray, FloatArray]:
    """Predicted random effects (J, q) and their conditional covariances (J, q, q), groups of the design."""
    data, at = state.data, state.at
    root = data.working.T_Z @ at.Lambda
    b = data.working.scale * (at.K @ np.append(-at.beta, 1.0)) @ root.T
    covariance = data.working.scale**2 * root @ at.M_inverse @ root.T
    order = np.argsort(data.codes)
    return b[order], covariance[order]
