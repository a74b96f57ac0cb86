"""How much of the variance the fixed effects explain, and how much fixed and random effects together.

``R2_marginal = v_f / (v_f + v_r + v_e)`` and ``R2_conditional = (v_f + v_r) / (v_f + v_r + v_e)`` with v_f
the variance of X beta over the rows, v_r the mean over the rows of z'Sigma z (all random effects, slopes
included) and v_e the residual variance. Sources: Nakagawa & Schielzeth (2013), Methods in Ecology and
Evolution 4; Johnson (2014), the same journal, 5, for varying slopes.
"""

from __future__ import annotations

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.design.record import Design, Factor
from nestwise.fit.solution import LmmSolution
from nestwise.results import Estimate


def variance_parts(design: Design, solution: LmmSolution) -> dict[str, float]:
    """Variance of an average row: `fixed`, each grouping factor by its name, and `residual`.

    Parameters
    ----------
    design : Design
        Any number of grouping factors. With weights or known sampling errors the residual variance is the
        mean over the rows.
    solution : LmmSolution
        Its fit.
    """
    parts = {"fixed": float(np.var(design.X @ solution.beta, ddof=1)) if design.X.size else 0.0}
    for factor in design.factors:
        Sigma = solution.Sigma[np.ix_(factor.columns, factor.columns)]
        parts[factor.group] = float(
            np.mean(np.sum(_row_columns(factor) @ Sigma * _row_columns(factor), axis=1))
        )
    parts["residual"] = _residual_variance(design, solution.sigma)
    return parts


def r2_rows(design: Design, solution: LmmSolution) -> tuple[Estimate, ...]:
    """Rows `r2_marginal` and `r2_conditional` of the derived quantities."""
    parts = variance_parts(design, solution)
    total = sum(parts.values())
    rows = {"r2_marginal": parts["fixed"], "r2_conditional": total - parts["residual"]}
    return tuple(Estimate("derived", term, value / total, scale="proportion") for term, value in rows.items())


def _row_columns(factor: Factor) -> FloatArray:
    """Z (n, q) of a factor, scaled so that z'Sigma z is the variance of a row: memberships, relations."""
    term = factor.terms[0]
    if term.relation is not None:
        of_relation: FloatArray = factor.Z * np.sqrt(np.diag(term.relation)[term.codes])[:, None]
        return of_relation
    if term.membership is None:
        return factor.Z
    codes, weights = term.membership.codes, term.membership.weights
    shared = (codes[:, :, None] == codes[:, None, :]) * (weights[:, :, None] * weights[:, None, :])
    scaled: FloatArray = factor.Z * np.sqrt(shared.sum(axis=(1, 2)))[:, None]
    return scaled


def _residual_variance(design: Design, sigma: float) -> float:
    if design.sampling_error is not None:
        return float(np.mean(design.sampling_error**2))
    if design.weights is not None:
        return float(sigma**2 * np.mean(1 / design.weights))
    return sigma**2
