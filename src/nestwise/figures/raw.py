"""The data before any model."""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from nestwise.figures.colours import COMPLETE, INK, MUTED, NO
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
    span,
)
from nestwise.figures.theme import RASTER_ABOVE, new_figure, quiet
from nestwise.names import counted
from nestwise.numbers import say, with_unit

LINES = 150
"""Groups drawn as lines; more would be felt."""
PANELS_UP_TO = 24
DOT_GROUPS = 60
LABELLED_GROUPS = 40


@drawn
def spaghetti(rows: pl.DataFrame, wording: Wording, *, group: str) -> Drawing:
    """Outcome over time, a line a group; with few groups a panel each.

    Parameters
    ----------
    rows : DataFrame
        `label`, `x` (time), `y` (outcome).
    wording : Wording
        Names and units; `wording.time` names `x`.
    group : str
        Grouping factor.

    Raises
    ------
    Refusal
        Without rows that have both time and outcome.
    """
    kept = rows.drop_nulls(["label", "x", "y"]).sort("label", "x", maintain_order=True)
    if kept.height == 0 or wording.time is None:
        raise cannot("spaghetti", "no row has both a time and an outcome")
    labels = kept["label"].unique(maintain_order=True).to_list()
    shown = [labels[k] for k in evenly(len(labels), LINES)]
    part = kept.filter(pl.col("label").is_in(shown))
    name = wording.group(group)
    if len(labels) <= PANELS_UP_TO:
        figure = _small_multiples(part, shown, wording)
    else:
        figure = _one_bundle(part, kept, wording)
    means = kept.group_by("x").agg(pl.col("y").mean(), pl.len().alias("n")).sort("x")
    first, last = means.row(0, named=True), means.row(-1, named=True)
    unit = wording.unit(wording.outcome)
    caption = (
        f"{wording.name(wording.outcome)} of each {name} over {wording.name(wording.time)}: "
        f"{counted(kept.height, 'observation')} of {counted(len(labels), name)}. The mean goes from "
        f"{with_unit(first['y'], unit)} at {exact(first['x'])} to {with_unit(last['y'], unit)} at "
        f"{exact(last['x'])}."
    )
    if len(shown) < len(labels):
        caption += f" {len(shown)} groups, evenly chosen, are drawn; the mean is of all."
    alt = (
        f"Lines of {wording.name(wording.outcome)} over {wording.name(wording.time)}, one a {name}, "
        "with their mean."
    )
    data = part.select("label", pl.col("x").alias(wording.time), pl.col("y").alias(wording.outcome))
    return Drawing("spaghetti", figure, caption, alt, data)


def _segments(rows: pl.DataFrame) -> list[FloatArray]:
    return [
        np.column_stack([column(part, "x"), column(part, "y")])
        for _, part in rows.group_by("label", maintain_order=True)
    ]


def _one_bundle(part: pl.DataFrame, kept: pl.DataFrame, wording: Wording) -> Figure:
    figure = new_figure(3.6)
    axes = figure.subplots()
    raster = part.height > RASTER_ABOVE
    axes.add_collection(
        LineCollection(_segments(part), colors=MUTED, alpha=0.35, linewidths=0.8, rasterized=raster)
    )
    axes.scatter(
        column(part, "x"), column(part, "y"), s=3, color=MUTED, alpha=0.4, linewidths=0, rasterized=raster
    )
    _mean_line(axes, kept)
    axes.set_xlim(span(column(kept, "x"), margin=0.03))
    axes.set_ylim(span(column(kept, "y"), margin=0.04))
    axes.set_xlabel(wording.axis(wording.time or ""))
    axes.set_ylabel(wording.axis(wording.outcome))
    quiet(axes, "y")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left")
    return figure


def _mean_line(axes: Axes, kept: pl.DataFrame) -> None:
    """Mean at each time, or in 15 bins where few rows share a time."""
    times = kept["x"].n_unique()
    if times > 40 and times > kept.height / 15:
        table = (
            kept.sort("x")
            .with_row_index("position")
            .group_by((pl.col("position") * 15 // kept.height).alias("bin"), maintain_order=True)
            .agg(pl.col("x").mean(), pl.col("y").mean())
        )
    else:
        table = kept.group_by("x").agg(pl.col("y").mean()).sort("x")
    axes.plot(
        column(table, "x"),
        column(table, "y"),
        color=INK,
        linewidth=2,
        marker=COMPLETE.marker,
        markersize=3.5,
        label="mean",
        zorder=4,
    )


def _small_multiples(part: pl.DataFrame, labels: list[str], wording: Wording) -> Figure:
    n_columns = min(6, len(labels))
    n_rows = -(-len(labels) // n_columns)
    figure = new_figure(0.7 + 1.15 * n_rows if n_rows > 1 else 2.4)
    grid = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    for axes, label in zip(grid.flat, labels, strict=False):
        rows = part.filter(pl.col("label") == label)
        axes.plot(column(rows, "x"), column(rows, "y"), color=MUTED, linewidth=1, marker="o", markersize=2.6)
        axes.set_title(plain(label, 15), fontsize=8, fontweight="normal")
        quiet(axes, "y")
    for axes in grid.flat[len(labels) :]:
        axes.set_axis_off()
    figure.supxlabel(wording.axis(wording.time or ""), fontsize=9)
    figure.supylabel(wording.axis(wording.outcome), fontsize=9)
    return figure


@drawn
def outcome_by_group(rows: pl.DataFrame, wording: Wording, *, group: str) -> Drawing:
    """Outcome of every observation by group, groups in the order of their means.

    Parameters
    ----------
    rows : DataFrame
        `label`, `y` (outcome).
    wording : Wording
        Names and units.
    group : str
        Grouping factor.

    Raises
    ------
    Refusal
        Without rows.
    """
    kept = rows.select("label", "y").drop_nulls()
    if kept.height == 0:
        raise cannot("outcome_by_group", "no row has an outcome")
    means = (
        kept.group_by("label")
        .agg(pl.col("y").mean().alias("mean"), pl.len().alias("n"))
        .sort("mean", "label")
        .with_row_index("place")
    )
    shown = means[evenly(means.height, DOT_GROUPS * 3)].drop("place").with_row_index("place")
    points = kept.join(shown, on="label", maintain_order="left")
    figure = new_figure(3.6)
    axes = figure.subplots()
    axes.scatter(
        column(points, "place"),
        column(points, "y"),
        s=10 if points.height < 300 else 5,
        color=MUTED,
        alpha=0.4,
        linewidths=0,
        rasterized=points.height > RASTER_ABOVE,
        label="observation",
    )
    axes.scatter(
        column(shown, "place"),
        column(shown, "mean"),
        s=18 if shown.height <= DOT_GROUPS else 9,
        marker=NO.marker,
        facecolor="none",
        edgecolor=NO.color,
        linewidths=1.1,
        label="mean of the group",
        zorder=3,
    )
    overall = float(kept["y"].mean() or 0.0)  # type: ignore[arg-type]
    axes.axhline(overall, color=COMPLETE.color, linewidth=1.4, label="overall mean")
    _group_axis(axes, shown, wording, group)
    axes.set_ylabel(wording.axis(wording.outcome))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=3)
    quiet(axes, "y")
    caption = _dots_caption(kept, means, shown, wording, group)
    alt = f"Dots of {wording.name(wording.outcome)} by {wording.group(group)} in order of the group means."
    return Drawing("outcome_by_group", figure, caption, alt, shown.drop("place"))


def _group_axis(axes: Axes, shown: pl.DataFrame, wording: Wording, group: str) -> None:
    name = wording.group(group)
    axes.set_xlim(-1, shown.height)
    if shown.height <= LABELLED_GROUPS:
        axes.set_xticks(
            range(shown.height), [plain(label, 14) for label in shown["label"]], rotation=90, fontsize=7
        )
        axes.set_xlabel(f"{name}, in order of the mean")
    else:
        axes.set_xticks([])
        axes.set_xlabel(
            f"{name}, in order of the mean, from {wording.who(group, shown['label'][0])} "
            f"to {wording.who(group, shown['label'][-1])}"
        )


def _dots_caption(
    kept: pl.DataFrame, means: pl.DataFrame, shown: pl.DataFrame, wording: Wording, group: str
) -> str:
    name, unit = wording.group(group), wording.unit(wording.outcome)
    low, high = means.row(0, named=True), means.row(-1, named=True)
    caption = (
        f"{counted(kept.height, 'observation')} of {wording.name(wording.outcome)} in "
        f"{counted(means.height, name)}. "
        f"Raw means run from {say(low['mean'])} ({wording.who(group, low['label'])}, n = {low['n']:,}) to "
        f"{with_unit(high['mean'], unit)} ({wording.who(group, high['label'])}, n = {high['n']:,}); part "
        "of that spread is "
        "small samples."
    )
    if shown.height < means.height:
        caption += f" {shown.height} of the groups, evenly chosen, are drawn."
    return caption
