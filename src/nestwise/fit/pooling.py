"""Three ways to treat groups, side by side: no pooling, complete pooling and partial pooling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from nestwise.arrays import FloatArray
from nestwise.design.group_level import group_level_parts
from nestwise.design.record import Design
from nestwise.fit.sweep import Swept
from nestwise.likelihood.crossproducts import CrossProducts
from nestwise.likelihood.products import Products


@dataclass(frozen=True)
class GroupCoefficients:
    """Partial pooling as an engine found it; all arrays (J, q), outcome's units.

    Attributes
    ----------
    partial, partial_se : ndarray (J, q)
        The group's coefficient (its fixed line plus its random effect) and its uncertainty, that of the fixed
        effects included.
    lower, upper : ndarray (J, q)
        Interval of `partial`.
    random_effect, random_effect_se : ndarray (J, q)
        Deviation from the fixed line.
    """

    partial: FloatArray
    partial_se: FloatArray
    lower: FloatArray
    upper: FloatArray
    random_effect: FloatArray
    random_effect_se: FloatArray


def fixed_lines(design: Design) -> FloatArray:
    """What of the fixed effects makes each group's coefficients: L (J, q, p).

    ``L[j, r] @ beta`` is the mean toward which coefficient r of group j is shrunk,
    ``gamma_0 + gamma_1 u_j`` with group-level predictors u; zeros if no fixed effect belongs to it.
    """
    q = sum(len(term.names) for term in design.random)
    lines = np.zeros((design.random[0].n_groups, q, len(design.names)))
    at = 0
    for term in design.random:
        for part in group_level_parts(design, term):
            lines[:, at, list(part.columns)] = part.values
            at += 1
    return lines


def partial_pooling(
    lines: FloatArray,
    *,
    beta: FloatArray,
    cov_beta: FloatArray,
    b: FloatArray,
    b_cov: FloatArray,
    b_on_beta: FloatArray,
    level: float,
) -> GroupCoefficients:
    """Partial pooling of a likelihood engine.

    Parameters
    ----------
    lines : ndarray (J, q, p)
        `fixed_lines`.
    beta, cov_beta : ndarray (p,), (p, p)
        Fixed effects.
    b, b_cov : ndarray (J, q), (J, q, q)
        Conditional means and covariances of the random effects given beta.
    b_on_beta : ndarray (J, q, p)
        Derivative of b by beta: the error of beta reaches a coefficient through its line and through b.
    level : float
        Coverage of the normal intervals.
    """
    from scipy.special import ndtri

    partial = lines @ beta + b
    through = lines + b_on_beta
    variance = np.einsum("jrp,ps,jrs->jr", through, cov_beta, through, optimize=True)
    conditional = np.diagonal(b_cov, axis1=1, axis2=2)
    partial_se = np.sqrt(variance + conditional)
    half = ndtri((1 + level) / 2) * partial_se
    return GroupCoefficients(partial, partial_se, partial - half, partial + half, b, np.sqrt(conditional))


def complete_pooling(products: Products, lines: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Coefficients (J, q) of least squares with the groups ignored, at each group's level, and their SE.

    The standard errors are those complete pooling believes in: independent rows. NaN marks coefficients
    without any fixed effect.
    """
    s2 = products.n * products.scale**2 / (products.n - products.p)
    cov = s2 * products.T_X @ products.T_X.T / products.n
    estimate = lines @ products.beta_0
    std_error = np.sqrt(np.einsum("jrp,ps,jrs->jr", lines, cov, lines, optimize=True))
    absent = ~lines.any(axis=(0, 2))
    estimate[:, absent] = std_error[:, absent] = np.nan
    return estimate, std_error


def no_pooling(swept: Swept) -> tuple[FloatArray, FloatArray]:
    """Each group's own coefficients (J, q) and their SE; NaN where its own rows do not determine them."""
    sigma2 = np.nan if swept.sigma2 is None else swept.sigma2
    estimate = np.where(swept.estimable, swept.own, np.nan)
    variance = np.where(swept.estimable, sigma2 * np.diagonal(swept.own_cov, axis1=1, axis2=2), np.nan)
    return estimate, np.sqrt(np.clip(variance, 0, None))


def pooling_factors(products: CrossProducts, Sigma: FloatArray, sigma: float) -> FloatArray:
    """Weight (J, q) that each coefficient gives to the group's own data; 0 complete, 1 no pooling.

    One minus the ratio of conditional to unconditional variance of the random effect,
    ``(W_j Sigma)_rr / Sigma_rr`` with ``W_j = Sigma (Sigma + sigma^2 A_j^-1)^-1``, computed without
    inverting A_j as ``W_j = Lambda M_j^-1 Lambda'A_j``. For an intercept that varies alone it is n / (n +
    sigma^2 / tau^2). 0 where Sigma_rr is 0.

    Parameters
    ----------
    products : CrossProducts
        Uncompressed.
    Sigma : ndarray (q, q)
        Covariance of the random effects, outcome's units squared.
    sigma : float
        Residual standard deviation.
    """
    values, vectors = np.linalg.eigh(Sigma)
    root = vectors * np.sqrt(np.clip(values, 0, None)) / sigma
    working = np.linalg.solve(products.T_Z, root)
    M_inverse = np.linalg.inv(np.eye(products.q) + working.T @ products.A @ working)
    conditional = np.einsum("ra,jab,rb->jr", root, M_inverse, root, optimize=True)
    unconditional = np.einsum("ra,ra->r", root, root)
    alive = unconditional > 0
    factors = np.zeros_like(conditional)
    factors[:, alive] = 1 - conditional[:, alive] / unconditional[alive]
    bounded: FloatArray = np.clip(factors, 0.0, 1.0)
    return bounded


def pooling_table(
    design: Design,
    products: CrossProducts,
    swept: Swept,
    coefficients: GroupCoefficients,
    *,
    Sigma: FloatArray,
    sigma: float,
    lines: FloatArray | None = None,
) -> pl.DataFrame:
    """The rows of `groups.parquet` that any engine with random effects leaves.

    Parameters
    ----------
    design : Design
        The model.
    products, swept : CrossProducts, Swept
        Its data collapsed (uncompressed) and with the groups' own regressions taken out.
    coefficients : GroupCoefficients
        Partial pooling.
    Sigma : ndarray (q, q)
        Covariance of the random effects (of an engine with draws: at its point estimates).
    sigma : float
        Residual standard deviation.
    lines : ndarray (J, q, p), optional
        `fixed_lines` of the design, if already at hand.

    Returns
    -------
    polars.DataFrame
        One row a group and coefficient, null where a notion has no answer.
    """
    lines = fixed_lines(design) if lines is None else lines
    own, own_se = no_pooling(swept)
    complete, complete_se = complete_pooling(products, lines)
    return group_rows(
        design,
        {
            "no_pooling": own,
            "no_pooling_se": own_se,
            "complete_pooling": complete,
            "complete_pooling_se": complete_se,
            "partial_pooling": coefficients.partial,
            "partial_pooling_se": coefficients.partial_se,
            "lower": coefficients.lower,
            "upper": coefficients.upper,
            "random_effect": coefficients.random_effect,
            "random_effect_se": coefficients.random_effect_se,
            "pooling_factor": pooling_factors(products, Sigma, sigma),
        },
    )


def group_rows(design: Design, columns: dict[str, FloatArray]) -> pl.DataFrame:
    """Arrays (J, q) as rows: group by group, coefficient by coefficient; NaN becomes null."""
    first = design.random[0]
    names = list(design.varying)
    counts = np.bincount(first.codes, minlength=first.n_groups)
    q, J = len(names), first.n_groups
    each = np.arange(J * q)
    frame = pl.DataFrame(
        {
            "group": pl.Series([first.group], dtype=pl.String).new_from_index(0, J * q),
            "label": pl.Series(first.labels, dtype=pl.String).gather(each // q),
            "term": pl.Series(names, dtype=pl.String).gather(each % q),
            "n": np.repeat(counts, q),
        }
        | {name: np.ascontiguousarray(values).reshape(-1) for name, values in columns.items()}
    )
    return frame.with_columns(pl.col(list(columns)).fill_nan(None))
