"""The rows of tests and intervals of fixed effects, AIC and BIC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.design.record import ContextualContrast
from nestwise.results import Estimate

if TYPE_CHECKING:
    from nestwise.fit.fixed_effects import FixedInference


def information(log_likelihood: float | None, n_parameters: int, n: int) -> dict[str, Any]:
    """`log_likelihood`, `aic`, `bic` and `n_parameters` of a `Fit`; no criteria without a likelihood."""
    fields: dict[str, Any] = {"log_likelihood": log_likelihood, "n_parameters": n_parameters}
    if log_likelihood is None:
        return fields
    deviance = -2 * log_likelihood
    return fields | {
        "aic": deviance + 2 * n_parameters,
        "bic": deviance + float(np.log(n)) * n_parameters,
    }


def least_squares_log_likelihood(rss: float, n: int) -> float | None:
    """Log-likelihood of least squares at the maximum likelihood variance; `None` if nothing is left."""
    return -n / 2 * (np.log(2 * np.pi * rss / n) + 1) if rss > 0 else None


def contextual_rows(
    contrasts: Sequence[ContextualContrast], inference: FixedInference, level: float
) -> tuple[Estimate, ...]:
    """Rows `derived` named `contextual_effect:x`: between minus within, with a t test (rule 11).

    Parameters
    ----------
    contrasts : sequence of ContextualContrast
        Of a design.
    inference : FixedInference
        Of its fit; standard errors and degrees of freedom are those of its method.
    level : float
        Coverage of the intervals.
    """
    if not contrasts:
        return ()
    L = np.array([each.weights for each in contrasts])
    errors = np.sqrt(np.einsum("ka,ab,kb->k", L, inference.cov_beta, L))
    names = [f"contextual_effect:{each.covariate}" for each in contrasts]
    rows = t_rows(names, L @ inference.beta, errors, inference.df(L), level, component="derived")
    return tuple(replace(row, group=each.group) for row, each in zip(rows, contrasts, strict=True))


def t_rows(
    names: Sequence[str],
    beta: FloatArray,
    std_error: FloatArray,
    df: FloatArray | float | None,
    level: float,
    *,
    target: str = "conditional",
    component: str = "fixed",
) -> tuple[Estimate, ...]:
    """Rows of the fixed effects with t tests and intervals on the outcome's scale.

    Parameters
    ----------
    names : sequence of str, length p
        Terms.
    beta, std_error : ndarray (p,)
        Estimates and standard errors.
    df : ndarray (p,), float or None
        Degrees of freedom; `None` for z tests, whose rows have no `df`.
    level : float
        Coverage of the intervals.
    target : str
        `conditional`, or `marginal` where the coefficients are population averages.
    component : str
        `fixed`, or `robust` with cluster-robust standard errors.
    """
    from scipy.special import stdtr, stdtrit

    many = 1e10 if df is None else df  # so many degrees of freedom that t is z to the last digit
    df_each = np.broadcast_to(np.asarray(many, dtype=float), beta.shape)
    t = beta / std_error
    p_value = 2 * stdtr(df_each, -np.abs(t))
    half = stdtrit(df_each, (1 + level) / 2) * std_error
    return tuple(
        Estimate(
            component=component,
            term=name,
            estimate=float(beta[i]),
            std_error=float(std_error[i]),
            df=None if df is None else float(df_each[i]),
            statistic=float(t[i]),
            p_value=float(p_value[i]),
            lower=float(beta[i] - half[i]),
            upper=float(beta[i] + half[i]),
            level=level,
            target=target,
        )
        for i, name in enumerate(names)
    )
