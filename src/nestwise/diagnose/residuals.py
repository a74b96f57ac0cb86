"""Whether the residuals behave as the model says."""

from __future__ import annotations

import numpy as np
import polars as pl

from nestwise.arrays import FloatArray
from nestwise.results import Check

EXTREME = 4.0
"""Standard deviations beyond which a residual is an outlier: one in 16,000 if normal."""
SKEWNESS = 1.0
EXCESS_KURTOSIS = 4.0
SPREAD_RATIO = 2.0
"""Largest over smallest residual SD that is still called even."""
BY_GROUP = "residual_spread_by_group"
"""Name of the one verdict on residuals that needs the groups."""
P_VALUE = 0.001
"""A small level: with many rows, trifles are significant."""


def residual_checks(predictions: pl.DataFrame, labels: pl.Series | None = None) -> tuple[Check, ...]:
    """Judge outliers, shape and evenness of the residuals of a saved fit.

    Parameters
    ----------
    predictions : DataFrame
        In the `PREDICTIONS` schema; rows without a residual are left out.
    labels : Series, optional
        Group of each row, in the order of `predictions`: also compares the spread between groups.

    Returns
    -------
    tuple of Check
        Empty with fewer than ten residuals, or residuals that do not vary.
    """
    table = predictions.select("row", "fitted", "residual")
    if labels is not None and labels.len() == table.height:
        table = table.with_columns(labels.alias("label"))
    table = table.drop_nulls(["fitted", "residual"])
    residual = table["residual"].to_numpy().astype(np.float64)
    if residual.size < 10 or not np.isfinite(residual).all():
        return ()
    spread = float(residual.std(ddof=1))
    if spread <= 1e-12 * max(1.0, float(np.abs(table["fitted"].to_numpy()).max())):
        return ()
    standardised = (residual - residual.mean()) / spread
    checks = [_outliers(table, standardised), _shape(standardised), _spread_by_fitted(table)]
    if "label" in table.columns:
        checks.append(_spread_by_group(table))
    return tuple(check for check in checks if check is not None)


def _outliers(table: pl.DataFrame, standardised: FloatArray) -> Check:
    size = np.abs(standardised)
    largest, count = float(size.max()), int((size > EXTREME).sum())
    if count == 0:
        advice = f"No residual is farther than {EXTREME:g} standard deviations from zero."
        return Check("residual_outliers", largest, EXTREME, ok=True, advice=advice)
    worst = table["row"].to_numpy()[np.argsort(-size)[:5]]
    rows = ", ".join(str(row) for row in worst[: min(count, 5)])
    many = f"{count} residuals are" if count > 1 else "One residual is"
    advice = (
        f"{many} farther than {EXTREME:g} standard deviations from zero (source row {rows}"
        f"{' and others' if count > 5 else ''}); look these rows up, and see whether the conclusions stand "
        "without them."
    )
    return Check("residual_outliers", largest, EXTREME, ok=False, advice=advice)


def _shape(standardised: FloatArray) -> Check:
    """Judge skewness and excess kurtosis, not a test: with many rows any test of normality rejects."""
    skewness = float((standardised**3).mean())
    kurtosis = float((standardised**4).mean() - 3)
    if abs(skewness) > SKEWNESS:
        side = "right" if skewness > 0 else "left"
        advice = (
            f"The residuals are skewed to the {side} (skewness {skewness:.2f}); a transformation such as the "
            "logarithm, or another family, may describe the outcome better."
        )
        return Check("residual_shape", skewness, SKEWNESS, ok=False, advice=advice)
    if kurtosis > EXCESS_KURTOSIS:
        advice = (
            f"The residuals have heavy tails (excess kurtosis {kurtosis:.1f}): fixed effects stay "
            "unbiased, but "
            "single values weigh much, and intervals for new observations are too narrow in the tails."
        )
        return Check("residual_shape", kurtosis, EXCESS_KURTOSIS, ok=False, advice=advice)
    advice = (
        f"The residuals are close enough to normal (skewness {skewness:.2f}, excess kurtosis {kurtosis:.2f})."
    )
    return Check("residual_shape", skewness, SKEWNESS, ok=True, advice=advice)


def levene(values: FloatArray, groups: FloatArray) -> float | None:
    """P-value of Levene's test on absolute deviations from the medians (Brown & Forsythe 1974).

    Parameters
    ----------
    values : ndarray (n,)
        Residuals.
    groups : ndarray (n,)
        Group of each.

    Returns
    -------
    float or None
        None with fewer than two groups or no degrees of freedom left.
    """
    from scipy.special import fdtrc

    _, codes = np.unique(groups, return_inverse=True)
    counts = np.bincount(codes).astype(np.float64)
    count, n = counts.size, values.size
    if count < 2 or n <= count:
        return None
    order = np.lexsort((values, codes))
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
    low = starts + ((counts - 1) // 2).astype(np.int64)
    high = starts + (counts // 2).astype(np.int64)
    median = (values[order][low] + values[order][high]) / 2
    deviation = np.abs(values - median[codes])
    means = np.bincount(codes, deviation) / counts
    between = float((counts * (means - deviation.mean()) ** 2).sum()) / (count - 1)
    within = float(((deviation - means[codes]) ** 2).sum()) / (n - count)
    if within <= 0:
        return None
    return float(fdtrc(count - 1, n - count, between / within))


def _spread_by_fitted(table: pl.DataFrame) -> Check | None:
    """Residual SD across four bins of fitted values."""
    if table.height < 40 or table["fitted"].n_unique() < 8:
        return None
    ordered = table.sort("fitted", "row")
    bins = np.arange(ordered.height) * 4 // ordered.height
    residual = ordered["residual"].to_numpy().astype(np.float64)
    spreads = np.array([residual[bins == k].std(ddof=1) for k in range(4)])
    if spreads.min() <= 0:
        return None
    ratio, p_value = float(spreads.max() / spreads.min()), levene(residual, bins.astype(np.float64))
    uneven = ratio > SPREAD_RATIO and p_value is not None and p_value < P_VALUE
    if not uneven:
        advice = (
            f"The residuals spread about evenly over the fitted values (largest to smallest SD {ratio:.2f})."
        )
    else:
        grows = "grows" if int(spreads.argmax()) > int(spreads.argmin()) else "falls"
        advice = (
            f"The spread of the residuals {grows} with the fitted values (largest to smallest SD "
            f"{ratio:.2f}); model "
            "the logarithm of the outcome or let the residual variance differ, and trust standard errors "
            "less."
        )
    return Check("residual_spread_by_fitted", ratio, SPREAD_RATIO, ok=not uneven, advice=advice)


def _spread_by_group(table: pl.DataFrame) -> Check | None:
    """Residual SD across groups of at least five rows."""
    sizes = table.group_by("label").agg(pl.len().alias("n"), pl.col("residual").std().alias("sd"))
    large = sizes.filter((pl.col("n") >= 5) & (pl.col("sd") > 0)).sort("sd", "label")
    if large.height < 2:
        return None
    kept = table.join(large.select("label"), on="label", how="semi", maintain_order="left")
    codes = kept["label"].cast(pl.String).rank("dense").to_numpy().astype(np.float64)
    p_value = levene(kept["residual"].to_numpy().astype(np.float64), codes)
    if p_value is None:
        return None
    low, high = large.row(0, named=True), large.row(-1, named=True)
    uneven = p_value < P_VALUE
    range_said = f"from {low['sd']:.3g} (group {low['label']}) to {high['sd']:.3g} (group {high['label']})"
    if uneven:
        advice = (
            f"Residuals spread more in some groups than in others, {range_said}; one residual variance "
            "for all shrinks "
            "calm groups too much and noisy ones too little."
        )
    else:
        advice = f"The residual SD differs between groups no more than chance allows, {range_said}."
    return Check(BY_GROUP, p_value, P_VALUE, ok=not uneven, advice=advice)
