"""Fitted lines of single groups under the three poolings, over their own data."""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.axes import Axes

from nestwise.figures.colours import COMPLETE, MUTED, NO, PARTIAL
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
from nestwise.figures.theme import new_figure, quiet
from nestwise.names import counted
from nestwise.numbers import say

PANELS = 12
COLUMNS = 4
POINTS_A_PANEL = 300


@drawn
def pooling_lines(
    rows: pl.DataFrame, lines: pl.DataFrame, wording: Wording, *, group: str, x: str
) -> Drawing:
    """Small multiples of groups spanning the sizes, after Gelman & Hill (2007), fig. 12.2 and 12.4.

    Parameters
    ----------
    rows : DataFrame
        `label`, `x`, `y` and optionally `adjusted` (whether `y` had other predictors' contribution
        taken out), one row an analysis row.
    lines : DataFrame
        `label`, `n`, `pooling` (no | complete | partial), `intercept`, `slope`; a line that could not
        be fitted is null.
    wording : Wording
        Names and units.
    group, x : str
        Grouping factor and the predictor on the horizontal axis.

    Raises
    ------
    Refusal
        Without a partial-pooling line.
    """
    usable = lines.filter((pl.col("pooling") == "partial") & pl.col("slope").is_not_null())
    if usable.height == 0:
        raise cannot("pooling_lines", f"no {group} has a partially pooled line in {x}")
    chosen = spanning(usable)
    count = len(chosen)
    n_rows = -(-count // COLUMNS)
    figure = new_figure(0.75 + 1.45 * n_rows)
    grid = figure.subplots(n_rows, min(COLUMNS, count), sharex=True, sharey=True, squeeze=False)
    shown = rows.filter(pl.col("label").is_in(chosen))
    kept = lines.filter(pl.col("label").is_in(chosen))
    x_limits = span(column(rows, "x"), margin=0.08)
    for axes, label in zip(grid.flat, chosen, strict=False):
        _panel(axes, shown.filter(pl.col("label") == label), kept.filter(pl.col("label") == label), x_limits)
    for axes in grid.flat[count:]:
        axes.set_axis_off()
    grid[0, 0].set_xlim(x_limits)
    grid[0, 0].set_ylim(_outcome_limits(shown, kept, x_limits))
    distinct = np.unique(column(rows, "x"))
    if distinct.size <= 4:
        grid[0, 0].set_xticks(distinct, [exact(float(value)) for value in distinct])
    figure.supxlabel(wording.axis(x), fontsize=9)
    adjusted = "adjusted" in rows.columns and bool(rows["adjusted"].any())
    figure.supylabel(
        wording.axis(wording.outcome) + (", other predictors taken out" if adjusted else ""), fontsize=9
    )
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper left", ncols=4)
    caption = _caption(kept, wording, group, x, available=usable.height, adjusted=adjusted)
    alt = (
        f"{count} small panels, one {wording.group(group)} each from small to large, with its data and three "
        "lines: complete pooling is the same everywhere, no pooling follows each group's own points, "
        "partial pooling lies between and nearer to the common line where data are few."
    )
    return Drawing("pooling_lines", figure, caption, alt, kept)


def spanning(groups: pl.DataFrame, count: int = PANELS) -> list[str]:
    """Labels of groups from the smallest to the largest, and those with the extreme lines, by size.

    Parameters
    ----------
    groups : DataFrame
        `label`, `n`, `intercept`, `slope` of the partially pooled lines.
    count : int
        At most so many.
    """
    ordered = groups.sort("n", "label")
    labels = ordered["label"].to_list()
    if len(labels) <= count:
        return labels
    extremes = [
        labels[position]
        for name in ("intercept", "slope")
        for position in _ends(column(ordered, name))
        if position is not None
    ]
    chosen = dict.fromkeys([labels[0], labels[-1], *extremes])
    for position in evenly(len(labels), count):
        if len(chosen) >= count:
            break
        chosen.setdefault(labels[int(position)])
    for label in labels[len(labels) // 2 :]:
        if len(chosen) >= count:
            break
        chosen.setdefault(label)
    return [label for label in labels if label in chosen]


def _ends(values: FloatArray) -> tuple[int | None, int | None]:
    """Positions of the least and the greatest value; none where all are equal."""
    if not np.isfinite(values).any() or np.nanmax(values) - np.nanmin(values) < 1e-12:
        return None, None
    return int(np.nanargmin(values)), int(np.nanargmax(values))


def _panel(axes: Axes, rows: pl.DataFrame, lines: pl.DataFrame, x_limits: tuple[float, float]) -> None:
    part = rows[evenly(rows.height, POINTS_A_PANEL)]
    axes.scatter(
        _fanned(column(part, "x"), x_limits),
        column(part, "y"),
        s=9 if part.height <= 60 else 4,
        color=MUTED,
        alpha=0.55,
        linewidths=0,
        zorder=4 if part.height <= 30 else 2,
    )
    ends = np.array(x_limits)
    for name, notion in (("complete", COMPLETE), ("no", NO), ("partial", PARTIAL)):
        line = lines.filter(pl.col("pooling") == name)
        if line.height == 0 or line["slope"][0] is None or line["intercept"][0] is None:
            axes.plot([], [], color=notion.color, linestyle=notion.line, label=notion.label)
            continue
        axes.plot(
            ends,
            line["intercept"][0] + line["slope"][0] * ends,
            color=notion.color,
            linestyle=notion.line,
            linewidth=1.8 if name == "partial" else 1.4,
            label=notion.label,
            zorder=3,
        )
    size = lines["n"][0]
    axes.set_title(f"{plain(lines['label'][0], 17)} ({size:,})", fontsize=8, fontweight="normal")
    quiet(axes, "y")


def _fanned(x: FloatArray, x_limits: tuple[float, float]) -> FloatArray:
    """Points of a predictor with few values stand beside one another, in a fixed fan."""
    distinct, place, counts = np.unique(x, return_inverse=True, return_counts=True)
    if distinct.size > 4:
        return x
    room = 0.04 * (x_limits[1] - x_limits[0])
    fanned = x.astype(np.float64, copy=True)
    for k, count in enumerate(counts):
        # steps of the golden ratio fill the fan evenly whatever the order of the rows
        fanned[place == k] += room * (2 * (np.arange(count) * 0.618034 % 1) - 1) * (count > 1)
    return fanned


def _outcome_limits(
    rows: pl.DataFrame, lines: pl.DataFrame, x_limits: tuple[float, float]
) -> tuple[float, float]:
    """Data and the calmer lines; a wild no-pooling line may leave the frame."""
    calm = lines.filter(pl.col("pooling") != "no")
    ends = [column(calm, "intercept") + column(calm, "slope") * x for x in x_limits]
    return span(column(rows, "y"), *ends)


def _caption(
    lines: pl.DataFrame, wording: Wording, group: str, x: str, *, available: int, adjusted: bool
) -> str:
    name = wording.group(group)
    partial, own = (lines.filter(pl.col("pooling") == pooling) for pooling in ("partial", "no"))
    count = partial.height
    small = partial.sort("n").row(0, named=True)
    alone = own.filter(pl.col("label") == small["label"])
    own_slope = alone["slope"][0] if alone.height else None
    fitted_alone = (
        f"its own line has slope {say(own_slope)}, the partially pooled one {say(small['slope'])}"
        if own_slope is not None
        else f"it has no line of its own, and borrows one of slope {say(small['slope'])}"
    )
    which = (
        f"All {count} groups"
        if count == available
        else f"{count} of {counted(available, name)}, from the smallest to the largest and with the most "
        "extreme lines"
    )
    sentences = [
        f"{which}; n in brackets. The fewer data a {name} has, the nearer its partially pooled line is to "
        f"the complete-pooling one: for {wording.who(group, small['label'])} (n = {small['n']:,}) "
        f"{fitted_alone}."
    ]
    if own["slope"].is_not_null().sum() < own.height:
        sentences.append(
            f"A missing dashed line: {plain(x)} does not vary in that {name}, or data are too few."
        )
    if adjusted:
        sentences.append("Points have the contribution of the other predictors taken out.")
    return " ".join(sentences)
