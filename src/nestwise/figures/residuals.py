"""Residuals and random effects against what the model assumes of them."""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from scipy.special import betaincinv, ndtri

from nestwise.figures.colours import INK, MUTED, NO, PARTIAL
from nestwise.figures.drawing import Drawing, FloatArray, Wording, cannot, column, drawn, plain, span
from nestwise.figures.theme import RASTER_ABOVE, new_figure, quiet
from nestwise.names import counted, several
from nestwise.numbers import say

MIDDLE_POINTS = 150
TAIL_POINTS = 75


def normal_order(values: FloatArray, level: float = 0.95, *, standardise: bool = True) -> pl.DataFrame:
    """Sorted standardised values, normal quantiles and the pointwise envelope of order statistics.

    Parameters
    ----------
    values : ndarray (n,)
        Not all equal; NaN is left out.
    level : float
        Pointwise coverage. The k-th of n uniform order statistics is Beta(k, n + 1 - k).
    standardise : bool
        Whether mean and SD are those of the values; otherwise 0 and 1 are expected.

    Returns
    -------
    DataFrame
        `position` (0 .. n-1 in the sorted order), `theoretical`, `standardised`, `lower`, `upper`.
    """
    kept = values[np.isfinite(values)]
    order = np.argsort(kept, kind="stable")
    spread = float(kept.std(ddof=1)) if kept.size > 1 else 0.0
    scaled = kept[order]
    if standardise:
        scaled = (scaled - kept.mean()) / spread if spread > 0 else np.zeros(kept.size)
    k = np.arange(1, kept.size + 1)
    tail = (1 - level) / 2
    return pl.DataFrame(
        {
            "theoretical": ndtri((k - 0.375) / (kept.size + 0.25)),
            "standardised": scaled,
            "lower": ndtri(betaincinv(k, kept.size + 1 - k, tail)),
            "upper": ndtri(betaincinv(k, kept.size + 1 - k, 1 - tail)),
        }
    )


def thinned(ordered: pl.DataFrame) -> pl.DataFrame:
    """All of the tails, an even choice of the middle of ordered values."""
    if ordered.height <= MIDDLE_POINTS + 2 * TAIL_POINTS:
        return ordered
    middle = np.linspace(TAIL_POINTS, ordered.height - TAIL_POINTS - 1, MIDDLE_POINTS).round().astype(int)
    tails = np.r_[0:TAIL_POINTS, ordered.height - TAIL_POINTS : ordered.height]
    return ordered[np.unique(np.r_[tails, middle])]


def draw_qq(axes: Axes, ordered: pl.DataFrame) -> None:
    """Ordered values against normal quantiles, with their envelope; `ordered` is from `normal_order`."""
    shown = thinned(ordered)
    x = column(shown, "theoretical")
    axes.fill_between(x, column(shown, "lower"), column(shown, "upper"), color=MUTED, alpha=0.18, linewidth=0)
    axes.plot(x, x, color=INK, linewidth=0.9)
    axes.scatter(
        x,
        column(shown, "standardised"),
        s=11,
        color=PARTIAL.color,
        linewidths=0,
        alpha=0.8,
        zorder=3,
        marker=PARTIAL.marker,
    )
    axes.set_xlabel("quantile of the normal distribution")
    quiet(axes, "both")


def outside(ordered: pl.DataFrame) -> float:
    """Share of points outside their pointwise envelope; about 5% are expected at level 0.95."""
    beyond = (pl.col("standardised") < pl.col("lower")) | (pl.col("standardised") > pl.col("upper"))
    return float(ordered.select(beyond.mean()).item() or 0.0)


@drawn
def residual_qq(predictions: pl.DataFrame, wording: Wording) -> Drawing:
    """Standardised residuals against normal quantiles with a pointwise 95% envelope.

    Parameters
    ----------
    predictions : DataFrame
        Rows of one fit in the `PREDICTIONS` schema.
    wording : Wording
        Names and units.

    Raises
    ------
    Refusal
        With fewer than five residuals, or residuals that are all equal.
    """
    values = column(predictions, "residual")
    values = values[np.isfinite(values)]
    if values.size < 5 or np.ptp(values) == 0:
        raise cannot("residual_qq", "there are too few different residuals")
    ordered = normal_order(values)
    figure = new_figure(3.5)
    axes = figure.subplots()
    draw_qq(axes, ordered)
    axes.set_ylabel("standardised residual")
    extreme = float(ordered["standardised"].abs().max())  # type: ignore[arg-type]
    beyond = int((ordered["standardised"].abs() > 4).sum())
    caption = (
        f"Residuals of {counted(values.size, 'observation')} in standard deviations (SD = "
        f"{say(float(values.std(ddof=1)))}{f' {u}' if (u := wording.unit(wording.outcome)) else ''}) "
        "against what a normal "
        "distribution would give; the band holds 95% of such samples at each point. "
        f"{outside(ordered):.0%} of the "
        f"points are outside it; the largest is {say(extreme, 2)} SD away and {beyond or 'none'} beyond 4."
    )
    if ordered.height > MIDDLE_POINTS + 2 * TAIL_POINTS:
        caption += f" Of the middle, {MIDDLE_POINTS} evenly chosen points are drawn."
    alt = "Quantile plot of the residuals; points on the diagonal are normal, bent ends are heavy tails."
    return Drawing("residual_qq", figure, caption, alt, thinned(ordered))


@drawn
def residual_vs_fitted(predictions: pl.DataFrame, wording: Wording) -> Drawing:
    """Residuals against fitted values, with the mean and spread in bins of equal size.

    Parameters
    ----------
    predictions : DataFrame
        Rows of one fit in the `PREDICTIONS` schema.
    wording : Wording
        Names and units.

    Raises
    ------
    Refusal
        With fewer than five residuals.
    """
    rows = predictions.select("row", "fitted", "residual").drop_nulls()
    if rows.height < 5:
        raise cannot("residual_vs_fitted", "there are fewer than five residuals")
    bins = _bins(rows)
    figure = new_figure(3.4)
    axes = figure.subplots()
    axes.scatter(
        column(rows, "fitted"),
        column(rows, "residual"),
        s=7 if rows.height < 500 else 3,
        color=MUTED,
        alpha=0.45,
        linewidths=0,
        rasterized=rows.height > RASTER_ABOVE,
        label="observation",
    )
    axes.axhline(0, color=INK, linewidth=0.8)
    x, mean, spread = (column(bins, name) for name in ("fitted", "mean", "sd"))
    axes.plot(
        x, mean, color=PARTIAL.color, marker=PARTIAL.marker, markersize=4, label="mean in a bin", zorder=3
    )
    for sign in (-1, 1):
        axes.plot(
            x,
            sign * spread,
            color=NO.color,
            linestyle="--",
            linewidth=1.1,
            label="± 1 SD in a bin" if sign > 0 else None,
        )
    axes.set_xlabel(f"fitted {wording.axis(wording.outcome)}")
    unit = wording.unit(wording.outcome)
    axes.set_ylabel(f"residual ({unit})" if unit else "residual")
    axes.set_ylim(span(column(rows, "residual")))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=3)
    quiet(axes, "y")
    least, most = float(np.nanmin(spread)), float(np.nanmax(spread))
    caption = (
        f"A level blue line and parallel dashed lines are what the model assumes. Across {bins.height} "
        "bins of fitted "
        f"values the residual SD runs from {say(least)} to {say(most)} and the mean from "
        f"{say(float(mean.min()), 2)} to {say(float(mean.max()), 2)}."
    )
    alt = "Scatter of residuals against fitted values with their mean and spread in bins."
    return Drawing("residual_vs_fitted", figure, caption, alt, bins)


def _bins(rows: pl.DataFrame) -> pl.DataFrame:
    """Return at most 12 bins of about equal size, never fewer than 10 rows each where there are so many."""
    count = max(1, min(12, rows.height // 20))
    return (
        rows.sort("fitted", "row")
        .with_row_index("position")
        .with_columns((pl.col("position") * count // rows.height).alias("bin"))
        .group_by("bin", maintain_order=True)
        .agg(
            pl.col("fitted").mean(),
            pl.len().alias("n"),
            pl.col("residual").mean().alias("mean"),
            pl.col("residual").std().alias("sd"),
        )
    )


@drawn
def random_effect_qq(groups: pl.DataFrame, wording: Wording, *, group: str) -> Drawing:
    """Random effects against normal quantiles, a panel a coefficient.

    Parameters
    ----------
    groups : DataFrame
        Rows of one fit in the `GROUPS` schema.
    wording : Wording
        Names and units.
    group : str
        Grouping factor.

    Raises
    ------
    Refusal
        With fewer than five groups, or effects that are all equal.
    """
    rows = groups.filter((pl.col("group") == group) & pl.col("random_effect").is_not_null())
    ordered = {}
    for term in rows["term"].unique(maintain_order=True).to_list()[:4]:
        part = rows.filter(pl.col("term") == term).sort("random_effect", "label")
        values = column(part, "random_effect")
        if values.size >= 5 and np.ptp(values) > 1e-12 * max(1.0, float(np.abs(values).max())):
            ordered[term] = normal_order(values).with_columns(part["label"], pl.lit(term).alias("term"))
    if not ordered:
        raise cannot("random_effect_qq", f"too few groups of {group} have different random effects")
    figure = new_figure(3.5)
    sentences = []
    for axes, (term, table) in zip(
        figure.subplots(1, len(ordered), squeeze=False)[0], ordered.items(), strict=True
    ):
        draw_qq(axes, table)
        axes.set_title(f"{wording.coefficient(term)}")
        sentences.append(_named_extremes(axes, table, wording, (group, term)))
    figure.axes[0].set_ylabel("standardised random effect")
    caption = (
        f"Effects of {counted(next(iter(ordered.values())).height, wording.group(group))} against a normal "
        "distribution, with the band that holds 95% of such samples at each point. Shrinkage makes them "
        "look more "
        "normal than they are, so only clear departures count. " + " ".join(sentences)
    )
    alt = "Quantile plots of the random effects; points on the diagonal are normal."
    return Drawing("random_effect_qq", figure, caption, alt, pl.concat(list(ordered.values())))


def _named_extremes(axes: Axes, table: pl.DataFrame, wording: Wording, which: tuple[str, str]) -> str:
    """Name the groups that leave the envelope at the ends, at most three."""
    group, term = which
    beyond = table.filter(
        ((pl.col("standardised") < pl.col("lower")) | (pl.col("standardised") > pl.col("upper")))
        & (pl.col("standardised").abs() > 1.5)
    )
    named = beyond.sort(pl.col("standardised").abs(), descending=True).head(3)
    for row in named.iter_rows(named=True):
        low = row["theoretical"] < 0
        axes.annotate(
            plain(row["label"], 18),
            (row["theoretical"], row["standardised"]),
            xytext=(5 if low else -5, 0),
            textcoords="offset points",
            ha="left" if low else "right",
            va="center",
            fontsize=7,
            color=MUTED,
        )
    if named.height == 0:
        return f"No {wording.coefficient(term)} stands out."
    names = several([wording.who(group, label) for label in named["label"]])
    return f"For the {wording.coefficient(term)}, {names} stand{'s' if named.height == 1 else ''} out."
