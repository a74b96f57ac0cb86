"""Tests and intervals of fixed effects (t with Satterthwaite's degrees of freedom), AIC and BIC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.likelihood.gaussian import Products, covariance_gradient, criterion
from nestwise.results import Estimate


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


def satterthwaite(products: Products, theta: FloatArray, *, reml: bool) -> FloatArray:
    """Degrees of freedom (p,) of the t statistics of the fixed effects.

    ``df = 2 v^2 / (g'A g)`` with v the variance of a coefficient in (theta, sigma), g its
    gradient and A twice the inverse Hessian of minus twice the log-likelihood in (theta, sigma), directions
    without curvature left out. Source: Satterthwaite (1946) as in Kuznetsova, Brockhoff &
    Christensen (2017), Journal of Statistical Software 82(13), computed with exact gradients.

    Parameters
    ----------
    products : CrossProducts or CrossedProducts
        The data; compressed or not.
    theta : ndarray (k,)
        The optimum, working parametrisation.
    reml : bool
        Criterion that was optimised.
    """
    pattern = products.pattern
    at = criterion(products, pattern.matrix(theta), reml=reml)
    sigma = at.sigma
    contrasts = products.T_X.T  # column r: the working contrast that is the formula's r-th coefficient
    v = sigma**2 * np.einsum("ac,ab,bc->c", contrasts, at.reduced.XX_inverse, contrasts)
    by_Lambda = covariance_gradient(products, at.reduced, contrasts)
    by_theta = sigma**2 * by_Lambda[:, pattern.rows, pattern.cols]
    g = np.column_stack([by_theta, 2 * v / sigma])
    hessian = _hessian(products, theta, sigma, reml=reml)
    if products.sigma is not None:  # known: no uncertainty comes from it
        g, hessian = by_theta, hessian[:-1, :-1]
    values, vectors = np.linalg.eigh(hessian)
    curved = values > 1e-8 * values[-1]
    along = g @ vectors[:, curved]
    spread = 2 * (along**2 @ (1 / values[curved]))
    df: FloatArray = 2 * v**2 / spread
    return df


def _hessian(products: Products, theta: FloatArray, sigma: float, *, reml: bool) -> FloatArray:
    """Hessian (k + 1, k + 1) in (theta, sigma), by central differences of the exact gradient."""
    pattern = products.pattern

    def gradient(point: FloatArray) -> FloatArray:
        at = criterion(products, pattern.matrix(point[:-1]), reml=reml, sigma=float(point[-1]))
        return np.append(pattern.elements(at.gradient), at.d_sigma)

    point = np.append(theta, sigma)
    hessian = np.empty((point.shape[0],) * 2)
    for i in range(point.shape[0]):
        step = np.zeros_like(point)
        step[i] = 1e-5 * max(abs(point[i]), 0.1)
        hessian[i] = (gradient(point + step) - gradient(point - step)) / (2 * step[i])
    return (hessian + hessian.T) / 2


def t_rows(
    names: Sequence[str],
    beta: FloatArray,
    std_error: FloatArray,
    df: FloatArray | float | None,
    level: float,
    *,
    target: str = "conditional",
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
    """
    from scipy.special import stdtr, stdtrit

    many = 1e10 if df is None else df  # so many degrees of freedom that t is z to the last digit
    df_each = np.broadcast_to(np.asarray(many, dtype=float), beta.shape)
    t = beta / std_error
    p_value = 2 * stdtr(df_each, -np.abs(t))
    half = stdtrit(df_each, (1 + level) / 2) * std_error
    return tuple(
        Estimate(
            component="fixed",
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
