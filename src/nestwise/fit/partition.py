"""Where the variance lies: ICC, shares, design effect, and how much data outweigh the common mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.design.record import Design
from nestwise.results import Estimate
from nestwise.vocabulary import INTERCEPT


@dataclass(frozen=True)
class Partition:
    """Derived quantities of a random effects covariance, each `None` where it has no meaning.

    Attributes
    ----------
    icc : float or None
        Intraclass correlation ``tau^2 / (tau^2 + sigma^2)``, tau^2 the variance of the intercepts: with
        varying slopes that is the correlation at covariates of 0. `None` without a varying intercept.
    share_group : float
        Share of the variance given the fixed effects that lies between groups: the mean over rows of
        ``z'Sigma z``, divided by that plus sigma^2 (Johnson 2014 for slopes; the ICC for intercepts alone).
    share_residual : float
        One minus `share_group`.
    design_effect : float or None
        ``1 + (m - 1) icc``: by how much clustering multiplies the variance of a mean. m is the average group
        size as a row sees it, ``sum n_j^2 / n`` (Kish), equal to the group size in balanced data.
    variance_ratio : float or None
        ``tau^2 / sigma^2``.
    break_even : float or None
        ``sigma^2 / tau^2``: rows at which a group's own mean weighs as much as the common one.
        `None` at tau = 0.
    """

    icc: float | None
    share_group: float
    share_residual: float
    design_effect: float | None
    variance_ratio: float | None
    break_even: float | None


def kish_size(design: Design) -> float:
    """Average group size as a row sees it, ``sum n_j^2 / n``."""
    counts = np.bincount(design.random[0].codes).astype(float)
    return float(counts @ counts / counts.sum())


def mean_square_z(design: Design) -> FloatArray:
    """``Z'Z / n`` (q, q) over all terms: what a covariance is averaged over to give its share."""
    Z = design.Z
    mean: FloatArray = Z.T @ Z / design.n
    return mean


def partition(
    Sigma: FloatArray, sigma: float, names: tuple[str, ...], ZZ: FloatArray, size: float
) -> Partition:
    """Derived quantities of one covariance; call it once a posterior draw for their distribution.

    Parameters
    ----------
    Sigma : ndarray (q, q)
        Covariance of the random effects, outcome's units squared.
    sigma : float
        Residual standard deviation.
    names : tuple of str, length q
        Coefficients that vary.
    ZZ : ndarray (q, q)
        `mean_square_z` of the design.
    size : float
        `kish_size` of the design.
    """
    between = float(np.sum(Sigma * ZZ))
    share = between / (between + sigma**2)
    if INTERCEPT not in names:
        return Partition(None, share, 1 - share, None, None, None)
    at = names.index(INTERCEPT)
    tau2 = float(Sigma[at, at])
    icc = tau2 / (tau2 + sigma**2)
    ratio = tau2 / sigma**2
    return Partition(icc, share, 1 - share, 1 + (size - 1) * icc, ratio, 1 / ratio if ratio > 0 else None)


def partition_rows(
    group: str,
    parts: Partition,
    ratio_interval: tuple[float | None, float | None] = (None, None),
    level: float | None = None,
    size: float = 1.0,
) -> tuple[Estimate, ...]:
    """Rows `derived` of the tidy table.

    Parameters
    ----------
    group : str
        Grouping factor.
    parts : Partition
        The estimates.
    ratio_interval : (float or None, float or None)
        Interval of tau^2 / sigma^2, where intercepts alone vary: all others follow from it.
    level : float, optional
        Its coverage.
    size : float
        `kish_size`, for the interval of the design effect.
    """
    low, high = ratio_interval

    def icc_of(ratio: float | None) -> float | None:
        return None if ratio is None else ratio / (1 + ratio)

    def effect_of(ratio: float | None) -> float | None:
        share = icc_of(ratio)
        return None if share is None else 1 + (size - 1) * share

    def inverse(ratio: float | None) -> float | None:
        return 1 / ratio if ratio else None

    known = None not in ratio_interval
    rows = [
        ("icc", parts.icc, icc_of(low), icc_of(high), "proportion"),
        ("variance_share", parts.share_group, icc_of(low), icc_of(high), "proportion"),
        ("design_effect", parts.design_effect, effect_of(low), effect_of(high), "ratio"),
        ("variance_ratio", parts.variance_ratio, low, high, "ratio"),
        ("break_even_n", parts.break_even, inverse(high), inverse(low), "rows"),
    ]
    found = [
        Estimate(
            "derived",
            term,
            value,
            group,
            lower=lower,
            upper=upper,
            scale=scale,
            level=level if known else None,
        )
        for term, value, lower, upper, scale in rows
        if value is not None or (term == "break_even_n" and parts.variance_ratio is not None)
    ]
    share = parts.share_residual
    return (*found, Estimate("derived", "residual_share", share, scale="proportion"))
