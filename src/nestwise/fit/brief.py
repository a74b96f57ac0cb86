"""A linear mixed model fitted for pooling over imputations: estimates and their standard errors, no more.

Profiles, influence, groups, expected rows and tests of what varies cost ten times as much as the fit and are
not pooled. Standard deviations, correlations and shares have Wald standard errors from the curvature instead
of profile intervals: pooling puts them on the scale on which those hold.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.config.study import DegreesOfFreedom, Sandwich
from nestwise.design.record import Design
from nestwise.errors import Refusal
from nestwise.fit.clusters import lmm_covariance
from nestwise.fit.fixed_effects import fixed_effect_inference, method_name
from nestwise.fit.inference import contextual_rows, information, t_rows
from nestwise.fit.means import means_frame
from nestwise.fit.quantities import covariance_rows, derived_rows
from nestwise.fit.r2 import r2_rows
from nestwise.fit.residual_table import difference_jacobian
from nestwise.fit.sandwich import robust_covariance, robust_rows, robust_warnings
from nestwise.fit.satterthwaite import theta_moments
from nestwise.fit.solution import LmmSolution
from nestwise.fit.state import LmmState, verdict
from nestwise.fit.tests import term_tests
from nestwise.results import Estimate, Fit


def brief_lmm(
    design: Design, state: LmmState, df: DegreesOfFreedom, robust: Sandwich | None, level: float
) -> Fit:
    """The part of `fit_lmm` that pooling uses.

    Parameters
    ----------
    design, state
        The model and its maximised likelihood.
    df, robust, level
        As in `fit_lmm`.
    """
    solution, optimum = state.solution, state.optimum
    status, reason, warnings = verdict(design, state)
    inference = fixed_effect_inference(design, state, df)
    at = inference.df(np.eye(solution.beta.size))
    robust_rows_, notes = robust_part(design, solution, robust, level)
    return Fit(
        **design.identity,
        engine="lmm",
        method=method_name(design, df),
        status=status,
        reason=reason,
        converged=optimum.converged,
        singular=optimum.singular,
        **information(solution.log_likelihood, solution.n_parameters, design.n),
        warnings=(*warnings, *notes),
        estimates=(
            *t_rows(design.names, solution.beta, inference.std_error, at, level),
            *_with_errors(design, state, level),
            *contextual_rows(design.contextual, inference, level),
            *r2_rows(design, solution),
            *robust_rows_,
        ),
        tests=term_tests(design.term_of, inference),
        means=means_frame(design.means, inference, level),
        record={
            "fixed_covariance": {"names": list(design.names), "values": inference.cov_beta.tolist()},
        },
    )


def robust_part(
    design: Design, solution: LmmSolution, robust: Sandwich | None, level: float
) -> tuple[tuple[Estimate, ...], tuple[str, ...]]:
    """Rows `robust` and what a reader must know of them; nothing unless they are asked for."""
    if robust is None:
        return (), ()
    try:
        marginal = lmm_covariance(design, solution.Sigma, solution.sigma)
        sandwich = robust_covariance(design, solution.beta, marginal, robust)
    except Refusal as refusal:
        return (), tuple(f"{problem.what[0].upper()}{problem.what[1:]}." for problem in refusal.problems)
    rows = robust_rows(design.names, solution.beta, sandwich, level)
    return rows, robust_warnings(design.names, sandwich)


def _with_errors(design: Design, state: LmmState, level: float) -> tuple[Estimate, ...]:
    """Rows `sd`, `cor`, `residual` and `derived` with standard errors by the delta method.

    A row on its boundary, where the slope of a standard deviation has no sign, has none.
    """
    products, optimum = state.products, state.optimum
    sigma = state.solution.sigma / products.scale
    W, _ = theta_moments(state.compressed, optimum, reml=state.solution.reml)
    known = state.solution.known_sigma
    start = optimum.theta if known else np.append(optimum.theta, sigma)

    def rows_at(parameters: FloatArray) -> tuple[Estimate, ...]:
        theta = parameters if known else parameters[:-1]
        residual = (sigma if known else float(parameters[-1])) * products.scale
        root = residual * products.T_Z @ products.pattern.matrix(theta)
        moved = replace(state.solution, Sigma=root @ root.T, sigma=residual)
        return (*covariance_rows(design, moved, {}, level), *derived_rows(design, moved, {}, level))

    rows = rows_at(start)
    if not optimum.converged:
        return rows

    def values(parameters: FloatArray) -> FloatArray:
        return np.array([np.nan if row.estimate is None else row.estimate for row in rows_at(parameters)])

    slopes = difference_jacobian(values, start)
    variance = np.einsum("ak,kl,al->a", slopes, W, slopes)
    return tuple(
        replace(row, std_error=float(np.sqrt(v))) if row.estimate and np.isfinite(v) and v > 0 else row
        for row, v in zip(rows, variance, strict=True)
    )
