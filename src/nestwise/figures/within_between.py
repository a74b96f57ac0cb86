"""One covariate, two effects: inside the groups and across them."""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from nestwise.figures.colours import MUTED, NO, PARTIAL
from nestwise.figures.drawing import Drawing, Wording, cannot, column, drawn, evenly, span
from nestwise.figures.raw import LINES
from nestwise.figures.theme import RASTER_ABOVE, new_figure, quiet
from nestwise.names import plural
from nestwise.numbers import say


@drawn
def within_between(rows: pl.DataFrame, wording: Wording, *, group: str, x: str) -> Drawing:
    """A covariate's slope inside the groups and the one across their means, together.

    Parameters
    ----------
    rows : DataFrame
        `label`, `x` (the covariate, not centred), `y` (outcome).
    wording : Wording
        Names and units.
    group, x : str
        Grouping factor and covariate.

    Raises
    ------
    Refusal
        Where the covariate does not vary both inside groups and between them.
    """
    kept = rows.drop_nulls(["label", "x", "y"])
    means = (
        kept.group_by("label")
        .agg(
            pl.col("x").mean().alias("x_mean"),
            pl.col("y").mean().alias("y_mean"),
            pl.len().alias("n"),
            pl.cov("x", "y", ddof=0).alias("xy"),
            pl.col("x").var(ddof=0).alias("xx"),
            pl.col("x").quantile(0.1).alias("x_low"),
            pl.col("x").quantile(0.9).alias("x_high"),
        )
        .sort("label")
    )
    inside = float((means["xx"] * means["n"]).sum())
    if means.height < 3 or inside <= 0 or float(means["x_mean"].std() or 0.0) <= 0:  # type: ignore[arg-type]
        raise cannot("within_between", f"{x} does not vary both inside {group} and between groups")
    within = float((means["xy"] * means["n"]).sum()) / inside
    between, level = (
        float(value) for value in np.polyfit(column(means, "x_mean"), column(means, "y_mean"), 1)
    )
    table = means.with_columns((pl.col("xy") / pl.col("xx")).alias("slope")).fill_nan(None)
    figure = _panel(kept, table, (within, between, level), wording, x)
    name = wording.group(group)
    ratio = "the same sign" if within * between > 0 else "opposite signs"
    caption = (
        f"Inside {plural(name)} {wording.name(wording.outcome)} changes by "
        f"{say(within)} per unit of "
        f"{wording.name(x)} (thin lines: each {name}; solid: their common slope); across {name} means by "
        f"{say(between)} (dashed). The two have {ratio}; their difference, {say(between - within)}, is "
        "the contextual "
        "effect, what the group adds beyond a member's own value. These are raw slopes; the models "
        "adjust them."
    )
    alt = (
        f"Thin lines of {wording.name(wording.outcome)} on {wording.name(x)} in each {name}, their "
        "common slope, and "
        "the slope across group means."
    )
    data = table.select("label", "n", "x_mean", "y_mean", "slope")
    return Drawing("within_between", figure, caption, alt, data)


def _panel(
    kept: pl.DataFrame, table: pl.DataFrame, slopes: tuple[float, float, float], wording: Wording, x: str
) -> Figure:
    within, between, level = slopes
    figure = new_figure(4.0)
    axes = figure.subplots()
    points = kept[evenly(kept.height, 4000)]
    axes.scatter(
        column(points, "x"),
        column(points, "y"),
        s=3,
        color=MUTED,
        alpha=0.18,
        linewidths=0,
        rasterized=points.height > RASTER_ABOVE // 2,
        zorder=1,
    )
    _group_lines(axes, table)
    axes.scatter(
        column(table, "x_mean"),
        column(table, "y_mean"),
        s=13,
        marker=NO.marker,
        color=NO.color,
        linewidths=0,
        zorder=3,
        label="mean of a group",
        rasterized=table.height > RASTER_ABOVE,
    )
    centre = (float(kept["x"].mean() or 0), float(kept["y"].mean() or 0))  # type: ignore[arg-type]
    reach = np.asarray(kept["x"].quantile(0.02)), np.asarray(kept["x"].quantile(0.98))
    wide = np.array([float(reach[0]), float(reach[1])])
    axes.plot(
        wide,
        centre[1] + within * (wide - centre[0]),
        color=PARTIAL.color,
        linewidth=2.4,
        label=f"within groups: {say(within)}",
        zorder=4,
    )
    narrow = np.array(span(column(table, "x_mean"), margin=0.1))
    axes.plot(
        narrow,
        level + between * narrow,
        color=NO.color,
        linestyle="--",
        linewidth=2.4,
        label=f"between groups: {say(between)}",
        zorder=4,
    )
    axes.set_xlabel(wording.axis(x))
    axes.set_ylabel(wording.axis(wording.outcome))
    quiet(axes, "both")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=3)
    return figure


def _group_lines(axes: Axes, table: pl.DataFrame) -> None:
    """The own line of each group, over the middle of its values."""
    lines = table.drop_nulls("slope").filter(pl.col("n") >= 3)
    lines = lines[evenly(lines.height, LINES)]
    ends = np.stack([column(lines, "x_low"), column(lines, "x_high")], axis=1)
    heights = column(lines, "y_mean")[:, None] + column(lines, "slope")[:, None] * (
        ends - column(lines, "x_mean")[:, None]
    )
    axes.add_collection(
        LineCollection(
            list(np.stack([ends, heights], axis=2)), colors=PARTIAL.color, alpha=0.28, linewidths=0.8
        )
    )
