"""Which values are missing, and together with which."""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.axes import Axes

from nestwise.figures.colours import GRID, NO, PARTIAL
from nestwise.figures.drawing import Drawing, Wording, cannot, drawn, plain
from nestwise.figures.theme import new_figure, quiet
from nestwise.names import counted

PATTERNS = 10
VARIABLES = 20


@drawn
def missingness(frame: pl.LazyFrame, variables: list[str], wording: Wording) -> Drawing:
    """Patterns of missing values: a row a pattern, its frequency beside it.

    Parameters
    ----------
    frame : LazyFrame
        The data.
    variables : list of str
        Columns to look at.
    wording : Wording
        Names.

    Raises
    ------
    Refusal
        Where nothing is missing.
    """
    counts = frame.select(pl.col(name).is_null().sum() for name in variables).collect().row(0)
    holed = [name for name, count in zip(variables, counts, strict=True) if count][:VARIABLES]
    if not holed:
        raise cannot("missingness", "no value is missing")
    patterns = (
        frame.select(pl.col(name).is_null() for name in holed)
        .group_by(holed)
        .agg(pl.len().alias(".rows"))
        .sort(".rows", *holed, descending=[True] + [False] * len(holed))
        .collect()
    )
    shown = patterns.head(PATTERNS)
    total = int(patterns[".rows"].sum())
    figure = new_figure(1.5 + 0.24 * shown.height)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(max(2, len(holed)), 3))
    _tiles(left, shown, holed, wording)
    bars = right.barh(range(shown.height), shown[".rows"].to_list(), color=PARTIAL.color, height=0.6)
    right.bar_label(bars, [f"{rows / total:.1%}" for rows in shown[".rows"]], fontsize=7.5, padding=3)
    right.set_xlabel("rows")
    right.margins(x=0.15)
    right.tick_params(axis="y", length=0)
    quiet(right, "x")
    whole = int(patterns.filter(~pl.any_horizontal(holed))[".rows"].sum())
    most = max(zip(counts, variables, strict=True))
    caption = (
        f"{whole / total:.0%} of {counted(total, 'row')} are complete. {wording.name(most[1])} lacks most "
        "values "
        f"({most[0]:,}, {most[0] / total:.1%}). Each line is a pattern: filled squares are missing together."
    )
    if patterns.height > shown.height:
        caption += f" The {shown.height} most frequent of {patterns.height} patterns are shown."
    alt = "Grid of missing-data patterns with their frequencies. " + caption
    return Drawing("missingness", figure, caption, alt, patterns.rename({".rows": "rows"}))


def _tiles(axes: Axes, shown: pl.DataFrame, holed: list[str], wording: Wording) -> None:
    gone = shown.select(holed).to_numpy()
    places = np.argwhere(gone)
    present = np.argwhere(~gone)
    axes.scatter(present[:, 1], present[:, 0], marker="s", s=40, facecolor="none", edgecolor=GRID)
    axes.scatter(places[:, 1], places[:, 0], marker="s", s=44, color=NO.color, linewidths=0)
    axes.set_xticks(
        range(len(holed)), [plain(wording.name(name), 18) for name in holed], rotation=40, ha="right"
    )
    axes.set_xlim(-0.6, len(holed) - 0.4)
    axes.set_ylim(shown.height - 0.4, -0.6)
    axes.set_yticks([])
    axes.tick_params(length=0)
    quiet(axes, "none")
