"""Whether one coefficient mixes what happens inside groups with what happens between them (rule 11)."""

from __future__ import annotations

import numpy as np
import polars as pl

from nestwise.arrays import FloatArray
from nestwise.results import Check

LEVEL = 0.01


def contextual_check(
    x: FloatArray, groups: FloatArray, y: FloatArray, *, tau: float, sigma: float, name: str
) -> Check | None:
    """Test the contextual effect: between-group minus within-group slope of a covariate.

    The within slope comes from deviations from group means, the between slope from the means,
    weighted by the inverse of tau^2 + sigma^2 / n_j; their difference over its standard error is
    about normal (Bell et al. 2019 on the Mundlak form). Other covariates enter through `y`.

    Parameters
    ----------
    x : ndarray (n,)
        Covariate that varies inside groups and between them.
    groups : ndarray (n,)
        Group of each row.
    y : ndarray (n,)
        Outcome less the contribution of the other fixed effects.
    tau, sigma : float
        SD of the intercepts and of the residuals.
    name : str
        Of the covariate.

    Returns
    -------
    Check or None
        None where the slopes cannot be told apart: too few groups, or no variation on a side.
    """
    _, codes = np.unique(groups, return_inverse=True)
    n = np.bincount(codes).astype(np.float64)
    if n.size < 10 or sigma <= 0:
        return None
    mean_x, mean_y = (np.bincount(codes, values) / n for values in (x, y))
    inside_x, inside_y = x - mean_x[codes], y - mean_y[codes]
    within_ss = float(inside_x @ inside_x)
    weight = 1 / (tau**2 + sigma**2 / n)
    centred = mean_x - np.average(mean_x, weights=weight)
    between_ss = float(weight @ centred**2)
    total = float(((x - x.mean()) ** 2).sum())
    if total <= 0 or within_ss < 1e-6 * total or between_ss * sigma**2 < 1e-6 * total:
        return None
    within = float(inside_x @ inside_y) / within_ss
    between = float(weight @ (centred * mean_y)) / between_ss
    error = float(np.sqrt(sigma**2 / within_ss + 1 / between_ss))
    return _judge(within, between, error, name)


def _judge(within: float, between: float, error: float, name: str) -> Check:
    from scipy.special import ndtr

    p_value = float(2 * ndtr(-abs(between - within) / error))
    said = (
        f"{within:.3g} inside groups, {between:.3g} between them, "
        f"difference {between - within:.3g} (SE {error:.2g})"
    )
    mixed = p_value < LEVEL
    if mixed:
        advice = (
            f"The one coefficient of {name} mixes two effects: {said}; derive its group mean and its "
            "deviation "
            "(`derive: between` and `within`) and put both into the formula."
        )
    else:
        advice = f"{name} acts alike inside and between groups as far as these data tell: {said}."
    return Check(f"contextual_effect:{name}", p_value, LEVEL, ok=not mixed, advice=advice)


def varying_both_ways(frame: pl.DataFrame, name: str, label: str = "label") -> bool:
    """Tell whether a column varies inside groups and between their means."""
    means = frame.group_by(label).agg(
        pl.col(name).mean().alias("mean"), (pl.col(name).max() - pl.col(name).min()).alias("range")
    )
    size = float(np.nanmax(np.abs(frame[name].to_numpy().astype(np.float64)))) if frame.height else 0.0
    floor = 1e-9 * max(size, 1e-300)
    spread = float(means["mean"].max() or 0) - float(means["mean"].min() or 0)  # type: ignore[arg-type]
    return bool((means["range"] > floor).any()) and spread > floor
