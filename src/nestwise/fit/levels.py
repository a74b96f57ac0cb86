"""Several levels at once: shares of the variance, and the predicted effects of every grouping factor."""

from __future__ import annotations

import numpy as np
import polars as pl

from nestwise.arrays import FloatArray, IntArray
from nestwise.design.group_level import group_level_parts
from nestwise.design.record import Design, Factor
from nestwise.fit.pooling import complete_pooling
from nestwise.fit.solution import FactorEffects, LmmSolution
from nestwise.likelihood.products import Products
from nestwise.results import Estimate
from nestwise.vocabulary import INTERCEPT


def level_rows(design: Design, Sigma: FloatArray, sigma: float) -> tuple[Estimate, ...]:
    """Rows `derived` of a model with several grouping factors.

    For each factor f: `variance_share`, the mean over rows of ``z_f'Sigma_f z_f`` as a share of the variance
    given the fixed effects (Johnson 2014); and `icc`, the same with covariates at 0, the correlation of two
    rows that share this factor and no other. `residual_share` is what is left. Of related groups, whose
    variances are multiples of Sigma, the mean over the rows counts.

    Parameters
    ----------
    design : Design
        The model.
    Sigma : ndarray (q, q)
        Covariance of the random effects, block diagonal over factors, squared units of the outcome.
    sigma : float
        Residual standard deviation; with known standard errors their mean square is the residual variance.
    """
    residual = sigma**2 * _mean_scale(design)
    between = [_mean_variance(factor, Sigma) for factor in design.factors]
    total = sum(between) + residual
    at_zero = [_intercept_variance(factor, Sigma) for factor in design.factors]
    rows = []
    for factor, share, tau2 in zip(design.factors, between, at_zero, strict=True):
        if tau2 is not None and residual > 0:
            icc = tau2 / (sum(each or 0.0 for each in at_zero) + residual)
            rows.append(Estimate("derived", "icc", icc, factor.group, scale="proportion"))
        share_row = Estimate("derived", "variance_share", share / total, factor.group, scale="proportion")
        rows.append(share_row)
    return (*rows, Estimate("derived", "residual_share", residual / total, scale="proportion"))


def _mean_scale(design: Design) -> float:
    """Mean over rows of the residual variance divided by sigma^2."""
    if design.sampling_error is not None:
        return float((design.sampling_error**2).mean())
    return 1.0 if design.weights is None else float((1 / design.weights).mean())


def _mean_variance(factor: Factor, Sigma: FloatArray) -> float:
    Z, block = factor.Z, Sigma[np.ix_(factor.columns, factor.columns)]
    of_rows = np.einsum("ia,ab,ib->i", Z, block, Z, optimize=True)
    membership = factor.terms[0].membership
    if membership is not None:
        of_rows = of_rows * (membership.weights**2).sum(axis=1)
    return float((of_rows * own_relation(factor)[factor.codes]).mean())


def own_relation(factor: Factor) -> FloatArray:
    """Variance of each group's effects as a multiple of Sigma (J,): the diagonal of a relation, else 1."""
    relation = factor.terms[0].relation
    return np.ones(factor.n_groups) if relation is None else np.diag(relation)


def _intercept_variance(factor: Factor, Sigma: FloatArray) -> float | None:
    if INTERCEPT not in factor.names:
        return None
    at = factor.columns[factor.names.index(INTERCEPT)]
    return float(Sigma[at, at] * own_relation(factor)[factor.codes].mean())


def level_table(design: Design, products: Products, solution: LmmSolution, level: float) -> pl.DataFrame:
    """One row a group and coefficient of every factor: complete and partial pooling.

    With several factors a group has no estimate of its own without the others, so that the columns of no
    pooling stay empty; a group that is one summary with a known standard error has that one. The pooling
    factor is one minus the ratio of conditional to unconditional variance of the random effect.

    Parameters
    ----------
    design, products, solution
        The model, its data and estimates.
    level : float
        Coverage of the normal intervals.
    """
    parts = [
        _factor_table(design, factor, products, solution, effects, level)
        for factor, effects in zip(design.factors, solution.effects, strict=True)
    ]
    return pl.concat(parts)


def _factor_table(  # noqa: PLR0917
    design: Design,
    factor: Factor,
    products: Products,
    solution: LmmSolution,
    effects: FactorEffects,
    level: float,
) -> pl.DataFrame:
    from scipy.special import ndtri

    lines = _lines(design, factor)
    conditional = np.diagonal(effects.b_cov, axis1=1, axis2=2)
    through = lines + effects.b_on_beta
    from_beta = np.einsum("jrp,ps,jrs->jr", through, solution.cov_beta, through, optimize=True)
    partial = lines @ solution.beta + effects.b
    partial_se = np.sqrt(from_beta + conditional)
    half = ndtri((1 + level) / 2) * partial_se
    complete, complete_se = complete_pooling(products, lines)
    variance = own_relation(factor)[:, None] * np.diag(solution.Sigma)[list(factor.columns)]
    alive = variance > 0
    factors = np.zeros_like(conditional)
    factors[alive] = np.clip(1 - conditional[alive] / variance[alive], 0.0, 1.0)
    q, J = len(factor.names), factor.n_groups
    columns = _summaries(design, factor) | {
        "complete_pooling": complete,
        "complete_pooling_se": complete_se,
        "partial_pooling": partial,
        "partial_pooling_se": partial_se,
        "lower": partial - half,
        "upper": partial + half,
        "random_effect": effects.b,
        "random_effect_se": np.sqrt(conditional),
        "pooling_factor": factors,
    }
    frame = pl.DataFrame(
        {
            "group": [factor.group] * (J * q),
            "label": [label for label in factor.labels for _ in range(q)],
            "term": list(factor.names) * J,
            "n": np.repeat(_sizes(factor), q),
        }
        | {name: np.ascontiguousarray(values).reshape(-1) for name, values in columns.items()}
    )
    return frame.with_columns(pl.col(list(columns)).fill_nan(None))


def _summaries(design: Design, factor: Factor) -> dict[str, FloatArray]:
    """No pooling where each group is one summary with a known standard error: the summary itself."""
    term = factor.terms[0]
    plain = term.membership is None and term.relation is None
    single = bool((np.bincount(factor.codes, minlength=factor.n_groups) == 1).all())
    alone = plain and single and len(design.factors) == 1 and factor.names == (INTERCEPT,)
    if design.sampling_error is None or not alone:
        return {}
    row = np.argsort(factor.codes)
    return {"no_pooling": design.y_less_offset[row], "no_pooling_se": design.sampling_error[row]}


def _sizes(factor: Factor) -> IntArray:
    """Rows of each group (J,), every membership counted."""
    membership = factor.terms[0].membership
    codes = factor.codes if membership is None else membership.codes[membership.weights > 0]
    return np.bincount(codes.ravel(), minlength=factor.n_groups).astype(np.int64)


def _lines(design: Design, factor: Factor) -> FloatArray:
    """What of the fixed effects makes each group's coefficients (J, q, p), as `pooling.fixed_lines`."""
    lines = np.zeros((factor.n_groups, len(factor.names), len(design.names)))
    if factor.terms[0].membership is not None:  # group-level values are not seen in rows of several groups
        for r, name in enumerate(factor.names):
            if name in design.names:
                lines[:, r, design.names.index(name)] = 1.0
        return lines
    at = 0
    for term in factor.terms:
        for part in group_level_parts(design, term):
            lines[:, at, list(part.columns)] = part.values
            at += 1
    return lines
