"""Marginal means over one variable, a line a level of the others, and their differences."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import polars as pl
from matplotlib.axes import Axes

from nestwise.figures.colours import CHAIN_COLORS, INK, PARTIAL
from nestwise.figures.drawing import Drawing, FloatArray, Wording, cannot, column, drawn, plain
from nestwise.figures.theme import new_figure, quiet
from nestwise.names import plural, several
from nestwise.numbers import say

MARKERS = ("o", "s", "D", "^", "v", "P")
LINES = ("-", "--", "-.", ":", "-", "--")
MOST_LINES = len(MARKERS)
MOST_CONTRASTS = 40
SPREAD = 0.12
"""Points of neighbouring lines stand so far apart that their intervals are told apart."""


@drawn
def marginal_means(means: pl.DataFrame, wording: Wording, *, grid: str) -> Drawing:
    """Marginal means with intervals.

    Parameters
    ----------
    means : DataFrame
        Rows of one fit in the `MEANS` schema.
    wording : Wording
        Names and units.
    grid : str
        The grid drawn.

    Raises
    ------
    Refusal
        Without means, or with more lines than can be told apart.
    """
    rows = means.filter((pl.col("grid") == grid) & (pl.col("kind") == "mean")).drop_nulls("estimate")
    lines = rows["by"].fill_null("").unique(maintain_order=True).to_list()
    if rows.height == 0 or len(lines) > MOST_LINES:
        why = f"{len(lines)} lines cannot be told apart" if lines else "there are no means"
        raise cannot("marginal_means", why)
    ticks = rows["x"].unique(maintain_order=True).to_list()
    figure = new_figure(3.6)
    axes = figure.subplots()
    lines_along(axes, rows, ticks, lines, timed=first_variable(grid) == wording.time)
    axes.set_xlabel(wording.axis(first_variable(grid)))
    axes.set_ylabel(f"mean of {wording.axis(wording.outcome)}")
    quiet(axes, "y")
    if len(lines) > 1:
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=3)
    low, high = rows.sort("estimate").row(0, named=True), rows.sort("estimate").row(-1, named=True)
    caption = (
        f"What the model expects of {wording.name(wording.outcome)}, with other predictors at their "
        f"averages, and {level_of(rows)} intervals: from {say(low['estimate'])} ({low['term']}) to "
        f"{say(high['estimate'])} ({high['term']}). Intervals of two means may overlap although their "
        "difference is clear: differences have a figure or table of their own."
    )
    told = several([plain(by, 30) for by in lines if by])
    alt = f"Marginal means over {plural('level')} {several([plain(t, 16) for t in ticks])}" + (
        f", a line each for {told}." if told else "."
    )
    data = rows.select("x", "by", "estimate", "std_error", "df", "lower", "upper", "level")
    return Drawing("marginal_means", figure, caption, alt, data)


def first_variable(grid: str) -> str:
    """Name of the variable that a grid lays along the axis: `month` of `month, treatment`."""
    return re.split(r"[\s:,*]", grid.strip())[0]


def lines_along(
    axes: Axes, rows: pl.DataFrame, ticks: Sequence[str], lines: Sequence[str], *, timed: bool
) -> None:
    """Estimates with intervals along the levels of a variable, one line each of `by`.

    Parameters
    ----------
    axes : Axes
        Drawn upon.
    rows : DataFrame
        `MEANS` rows of one kind.
    ticks, lines : sequence of str
        Levels along the axis; those of `by`, in the order to draw.
    timed : bool
        Whether numeric levels stand at their true distance from each other.
    """
    at = positions(ticks, timed=timed)
    step = float(np.diff(np.sort(list(at.values()))).min()) if len(at) > 1 else 1.0
    for k, by in enumerate(lines):
        own = rows.filter(pl.col("by").fill_null("") == by)
        shift = SPREAD * step * (k - (len(lines) - 1) / 2)
        places = np.array([at[x] for x in own["x"]], dtype=np.float64) + shift
        _line(axes, places, own, k, plain(by, 40))
    axes.set_xticks(list(at.values()), [plain(tick, 16) for tick in ticks])
    axes.set_xlim(min(at.values()) - 0.5 * step, max(at.values()) + 0.5 * step)


def positions(ticks: Sequence[str], *, timed: bool) -> dict[str, float]:
    """Where the levels of a variable stand on an axis: at their times, else one apart.

    Parameters
    ----------
    ticks : sequence of str
        Levels.
    timed : bool
        Whether they are times, if they are numbers.
    """
    values: list[float] = []
    with suppress(ValueError):
        values = [float(tick) for tick in ticks] if timed else []
    if len(set(values)) != len(ticks) or not np.isfinite(values).all():
        values = [float(place) for place in range(len(ticks))]
    return dict(zip(ticks, values, strict=True))


def _line(axes: Axes, places: FloatArray, own: pl.DataFrame, k: int, label: str) -> None:
    color = CHAIN_COLORS[k % len(CHAIN_COLORS)]
    axes.vlines(places, column(own, "lower"), column(own, "upper"), color=color, linewidth=1.2, alpha=0.8)
    axes.plot(
        places,
        column(own, "estimate"),
        color=color,
        marker=MARKERS[k],
        linestyle=LINES[k],
        label=label or None,
    )


def level_of(rows: pl.DataFrame) -> str:
    """Coverage of the intervals, as a caption says it."""
    level = rows["level"].drop_nulls()
    return f"{level[0]:.0%}" if level.len() else "confidence"


@drawn
def mean_contrasts(means: pl.DataFrame, wording: Wording, *, grid: str) -> Drawing:
    """Differences of marginal means with intervals, as a forest.

    Parameters
    ----------
    means : DataFrame
        Rows of one fit in the `MEANS` schema.
    wording : Wording
        Names and units.
    grid : str
        The grid drawn.

    Raises
    ------
    Refusal
        Without differences.
    """
    rows = means.filter((pl.col("grid") == grid) & (pl.col("kind") == "contrast")).drop_nulls("estimate")
    if rows.height == 0:
        raise cannot("mean_contrasts", "there are no differences of means")
    shown = rows.head(MOST_CONTRASTS)
    figure = new_figure(0.9 + 0.22 * shown.height)
    axes = figure.subplots()
    places = shown.height - 1 - np.arange(shown.height, dtype=np.float64)
    axes.hlines(places, column(shown, "lower"), column(shown, "upper"), color=PARTIAL.color, linewidth=1.4)
    axes.scatter(
        column(shown, "estimate"), places, s=20, marker=PARTIAL.marker, color=PARTIAL.color, zorder=3
    )
    axes.axvline(0, color=INK, linewidth=0.8, zorder=1)
    axes.set_yticks(places, [plain(term, 44) for term in shown["term"]], fontsize=7.5)
    axes.set_ylim(-0.8, shown.height - 0.2)
    unit = wording.unit(wording.outcome)
    axes.set_xlabel(f"difference of means ({unit})" if unit else "difference of means")
    quiet(axes, "x")
    away = rows.filter((pl.col("lower") > 0) | (pl.col("upper") < 0)).height
    cut = f" The first {shown.height} are drawn; all are in the table." if rows.height > shown.height else ""
    caption = (
        f"Differences of marginal means with {level_of(rows)} intervals, one at a time and not adjusted for "
        f"their number: {away} of {rows.height:,} intervals exclude zero.{cut}"
    )
    alt = f"{shown.height} differences of means with intervals around a line at zero; {away} exclude it."
    data = rows.select("term", "x", "by", "estimate", "std_error", "df", "p_value", "lower", "upper")
    return Drawing("mean_contrasts", figure, caption, alt, data)
