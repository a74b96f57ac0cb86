"""Binary outcomes before any model: proportions over time by arm, and by group beside what luck does."""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from scipy.special import bdtrik, ndtri

from nestwise.figures.colours import CHAIN_COLORS, COMPLETE, INK, MUTED, NO
from nestwise.figures.drawing import (
    Drawing,
    FloatArray,
    Wording,
    cannot,
    column,
    drawn,
    evenly,
    exact,
    plain,
)
from nestwise.figures.means import LINES, MARKERS, MOST_LINES
from nestwise.figures.pooling import size_axis
from nestwise.figures.theme import new_figure, quiet
from nestwise.names import counted
from nestwise.numbers import percent

MOST_TIMES = 10
"""Times beyond which rows are put into as many bins of equal size."""
MOST_GROUPS = 2000
RASTER = 500
NAMED = 4


def wilson(successes: FloatArray, n: FloatArray, level: float) -> tuple[FloatArray, FloatArray]:
    """Wilson's interval of a proportion (Wilson 1927), which holds at 0 and 1 too.

    Parameters
    ----------
    successes, n : ndarray
        Counts; n above 0.
    level : float
        Coverage.

    Returns
    -------
    lower, upper : ndarray
    """
    z = float(ndtri((1 + level) / 2))
    p = successes / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)


@drawn
def proportions_over_time(
    rows: pl.DataFrame, wording: Wording, *, group: str, level: float = 0.95
) -> Drawing:
    """Proportion of ones at each time, a line an arm, with intervals that take rows for independent.

    Parameters
    ----------
    rows : DataFrame
        `label`, `x` (time), `y` (0 or 1) and, with arms, `by`.
    wording : Wording
        Names and units; `wording.time` names `x`.
    group : str
        Grouping factor.
    level : float
        Coverage.

    Raises
    ------
    Refusal
        Without rows, or with more arms than can be told apart.
    """
    kept = rows if "by" in rows.columns else rows.with_columns(by=pl.lit(None, dtype=pl.String))
    arms = kept["by"].unique().sort().to_list()
    if kept.height == 0 or len(arms) > MOST_LINES or wording.time is None:
        raise cannot("proportions_over_time", "no row has an outcome at a time, or there are too many arms")
    table = _by_time(kept, level)
    figure = new_figure(3.6)
    axes = figure.subplots()
    for k, arm in enumerate(arms):
        _arm(axes, _of_arm(table, arm), arm, k)
    highest = float(column(table, "upper").max())
    axes.set_ylim(-0.02, max(0.3, min(1.02, highest * 1.08)))
    axes.set_xlabel(wording.axis(wording.time))
    axes.set_ylabel(wording.axis(wording.outcome))
    quiet(axes, "y")
    if arms[0] is not None:
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=3)
    caption = _caption(kept, table, arms, wording, group=group, level=level)
    name, time = wording.name(wording.outcome), wording.name(wording.time)
    alt = f"Proportions of {name} over {time} with intervals, a line an arm."
    return Drawing("proportions_over_time", figure, caption, alt, table)


def _of_arm(table: pl.DataFrame, arm: str | None) -> pl.DataFrame:
    return table.filter(pl.col("by").eq_missing(pl.lit(arm, dtype=pl.String)))


def _by_time(kept: pl.DataFrame, level: float) -> pl.DataFrame:
    """`x`, `by`, `n`, `events`, `proportion`, `lower`, `upper`: by time, in bins where there are many."""
    if kept["x"].n_unique() > MOST_TIMES:
        x = column(kept, "x")
        cuts = np.unique(np.quantile(x, np.linspace(0, 1, MOST_TIMES + 1)[1:-1]))
        kept = kept.with_columns(bin=pl.Series(np.searchsorted(cuts, x, side="left")))
    else:
        kept = kept.with_columns(bin=pl.col("x").rank("dense"))
    table = (
        kept.group_by("by", "bin")
        .agg(pl.col("x").mean(), pl.len().alias("n"), pl.col("y").sum().alias("events"))
        .sort("by", "bin")
        .drop("bin")
    )
    lower, upper = wilson(column(table, "events"), column(table, "n"), level)
    share = (pl.col("events") / pl.col("n")).alias("proportion")
    return table.with_columns(share, pl.Series("lower", lower), pl.Series("upper", upper))


def _arm(axes: Axes, table: pl.DataFrame, arm: str | None, k: int) -> None:
    color = INK if arm is None else CHAIN_COLORS[k]
    x = column(table, "x")
    axes.vlines(x, column(table, "lower"), column(table, "upper"), color=color, linewidth=1.1, alpha=0.7)
    axes.plot(
        x, column(table, "proportion"), color=color, marker=MARKERS[k], markersize=4.5,
        linestyle=LINES[k], linewidth=1.6, label=plain(arm, 40) if arm is not None else None,
    )  # fmt: skip


def _caption(
    rows: pl.DataFrame,
    table: pl.DataFrame,
    arms: list[str | None],
    wording: Wording,
    *,
    group: str,
    level: float,
) -> str:
    said = []
    for arm in arms:
        own = _of_arm(table, arm)
        first, last = own.row(0, named=True), own.row(-1, named=True)
        who = f" under {plain(arm, 30)}" if arm is not None else ""
        said.append(
            f"{percent(first['proportion'])} at {exact(round(first['x'], 2))} and "
            f"{percent(last['proportion'])} at {exact(round(last['x'], 2))}{who}"
        )
    binned = rows["x"].n_unique() > MOST_TIMES
    how = f"in {MOST_TIMES} bins of time with about as many rows each" if binned else "at each time"
    patients = counted(rows["label"].n_unique(), wording.group(group))
    return (
        f"Share of rows with {wording.name(wording.outcome)} {how}: {counted(rows.height, 'observation')} of "
        f"{patients}; {'; '.join(said)}. Wilson's {level:.0%} intervals take the rows of one time for "
        "independent. No model is behind it: who left is not in the later shares."
    )


@drawn
def proportions_by_group(rows: pl.DataFrame, wording: Wording, *, group: str, level: float = 0.95) -> Drawing:
    """Proportion of every group against its size, with what luck alone does to groups that are alike.

    The limits are exact ones of the binomial distribution at the overall proportion: a funnel plot
    (Spiegelhalter 2005, Statistics in Medicine 24).

    Parameters
    ----------
    rows : DataFrame
        `label`, `y` (0 or 1).
    wording : Wording
        Names and units.
    group : str
        Grouping factor.
    level : float
        Coverage of the limits.

    Raises
    ------
    Refusal
        With fewer than three groups.
    """
    table = (
        rows.group_by("label")
        .agg(pl.len().alias("n"), pl.col("y").sum().alias("events"))
        .with_columns((pl.col("events") / pl.col("n")).alias("proportion"))
        .sort("n", "label")
    )
    if table.height < 3:
        raise cannot("proportions_by_group", "there are fewer than three groups")
    n = column(table, "n")
    overall = float(column(table, "events").sum() / n.sum())
    lower, upper = funnel(overall, n, level)
    outside = (column(table, "proportion") < lower) | (column(table, "proportion") > upper)
    figure = new_figure(3.6)
    axes = figure.subplots()
    _funnel(axes, overall, n, level)
    shown = table[evenly(table.height, MOST_GROUPS)]
    axes.scatter(
        column(shown, "n"), column(shown, "proportion"), s=16, marker=NO.marker, facecolor="none",
        edgecolor=NO.color, linewidths=1.0, label="a group", rasterized=shown.height > RASTER,
    )  # fmt: skip
    _name_outside(axes, table.filter(pl.Series(outside)), overall)
    axes.set_xlabel(f"rows of the {wording.group(group)} (log scale)")
    size_axis(axes, n)
    axes.set_ylabel(wording.axis(wording.outcome))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=3)
    quiet(axes, "y")
    name = wording.group(group)
    caption = (
        f"Share of rows with {wording.name(wording.outcome)} in each {name} against its number of rows; "
        f"overall "
        f"{percent(overall)}. The band holds at least {level:.0%} of groups that differ by luck alone: "
        f"{int(outside.sum())} of {counted(table.height, name)} are outside it, where at most "
        f"{round((1 - level) * table.height)} or so would be if all were alike. Small groups scatter most "
        "and say least."
    )
    alt = f"Proportions of {counted(table.height, name)} against their size with a funnel of binomial limits."
    return Drawing("proportions_by_group", figure, caption, alt, table)


def _funnel(axes: Axes, overall: float, n: FloatArray, level: float) -> None:
    """The band of luck alone, and the overall proportion."""
    sizes = np.unique(np.geomspace(n.min(), n.max(), 150).round())
    lower, upper = funnel(overall, sizes, level)
    name = f"luck alone, {level:.0%}"
    axes.fill_between(sizes, lower, upper, color=MUTED, alpha=0.15, linewidth=0, label=name)
    axes.axhline(overall, color=COMPLETE.color, linewidth=1.4, label="all groups")
    axes.set_ylim(-0.03, 1.03)


def funnel(p: float, n: FloatArray, level: float) -> tuple[FloatArray, FloatArray]:
    """Limits that a proportion of n trials with chance p leaves on each side with (1 - level) / 2 at most.

    They are exact: beyond the upper one the probability of so many successes or more is below the tail.

    Parameters
    ----------
    p : float
        Chance of a success.
    n : ndarray
        Trials.
    level : float
        Coverage.

    Returns
    -------
    lower, upper : ndarray
    """
    if not 0 < p < 1:
        return np.full_like(n, p), np.full_like(n, p)
    tail = (1 - level) / 2
    least, most = bdtrik(tail, n, p), bdtrik(1 - tail, n, p) + 1
    upper = np.nan_to_num(most, nan=np.inf) / n
    return np.clip(np.nan_to_num(least) / n, 0.0, 1.0), np.clip(upper, 0.0, 1.0)


def _name_outside(axes: Axes, table: pl.DataFrame, overall: float) -> None:
    """Name the groups farthest outside the band."""
    far = table.with_columns(((pl.col("proportion") - overall).abs() * pl.col("n").sqrt()).alias("far"))
    for row in far.sort("far", "label", descending=[True, False]).head(NAMED).iter_rows(named=True):
        axes.annotate(
            plain(row["label"], 18), (row["n"], row["proportion"]), xytext=(5, 0),
            textcoords="offset points", va="center", fontsize=7, color=MUTED,
        )  # fmt: skip
