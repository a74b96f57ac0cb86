"""Where partial pooling moves each group: dumbbells on the line of one coefficient."""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.axes import Axes

from nestwise.figures.colours import COMPLETE, MUTED, NO, PAPER, PARTIAL
from nestwise.figures.drawing import Drawing, FloatArray, Wording, cannot, column, evenly, plain
from nestwise.figures.theme import new_figure, quiet
from nestwise.names import counted
from nestwise.numbers import say
from nestwise.vocabulary import INTERCEPT

DUMBBELLS_UP_TO = 60


def dumbbells(rows: pl.DataFrame, wording: Wording, group: str, term: str) -> Drawing:
    """Movement of one coefficient from its no-pooling to its partial-pooling estimate, a line a group.

    Parameters
    ----------
    rows : DataFrame
        Rows of one varying coefficient in the `GROUPS` schema, smallest group first.
    wording : Wording
        Names and units.
    group, term : str
        Which varying coefficient.

    Raises
    ------
    Refusal
        Where nothing could be estimated without pooling.
    """
    if rows.height == 0 or rows["no_pooling"].is_not_null().sum() == 0:
        raise cannot("shrinkage", f"no group of {group} has a no-pooling estimate")
    shown = rows[evenly(rows.height, DUMBBELLS_UP_TO)]
    name = wording.group(group)
    figure = new_figure(1.3 + 0.145 * shown.height)
    axes = figure.subplots()
    places = np.arange(shown.height, dtype=np.float64)[::-1]
    _dumbbell_marks(axes, shown, places)
    _dumbbell_frame(axes, shown, places, wording, (group, term))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=3)
    caption = _dumbbell_caption(rows, shown, wording, group)
    alt = (
        f"For {counted(shown.height, name)}, smallest first, a line from the no-pooling to the "
        "partial-pooling estimate; lines are longest for the smallest groups and point to the common value."
    )
    kept = ["label", "n", "no_pooling", "complete_pooling", "partial_pooling", "pooling_factor"]
    return Drawing("shrinkage", figure, caption, alt, rows.select(kept))


def _dumbbell_marks(axes: Axes, shown: pl.DataFrame, places: FloatArray) -> None:
    start, end, common = (column(shown, f"{kind}_pooling") for kind in ("no", "partial", "complete"))
    axes.hlines(places, start, end, color=MUTED, alpha=0.6, linewidth=1.3, zorder=2)
    for values, notion, size in ((start, NO, 22), (end, PARTIAL, 20)):
        axes.scatter(
            values,
            places,
            s=size,
            marker=notion.marker,
            facecolor=PAPER if notion is NO else notion.color,
            edgecolor=notion.color,
            linewidths=1,
            zorder=3,
            label=notion.label,
        )
    known = common[np.isfinite(common)]
    if not known.size:  # no fixed effect is their common value: groups move toward 0
        return
    if np.ptp(known) <= 1e-9 * max(1.0, float(np.abs(known).max())):
        axes.axvline(known[0], color=COMPLETE.color, linewidth=1.5, zorder=1.5, label=COMPLETE.label)
    else:
        axes.scatter(
            common,
            places,
            s=14,
            marker=COMPLETE.marker,
            color=COMPLETE.color,
            zorder=2.5,
            label=COMPLETE.label,
        )


def _dumbbell_frame(
    axes: Axes, shown: pl.DataFrame, places: FloatArray, wording: Wording, which: tuple[str, str]
) -> None:
    group, term = which
    axes.set_yticks(
        places,
        [f"{plain(row['label'], 24)} ({row['n']:,})" for row in shown.iter_rows(named=True)],
        fontsize=7,
    )
    axes.set_ylim(-0.8, shown.height - 0.2)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(wording.coefficient_axis(term) if term != INTERCEPT else wording.axis(wording.outcome))
    axes.set_ylabel(f"{wording.group(group)} (n), smallest first")
    quiet(axes, "x")


def _dumbbell_caption(rows: pl.DataFrame, shown: pl.DataFrame, wording: Wording, group: str) -> str:
    unit, name = wording.unit(wording.outcome), wording.group(group)
    moved = rows.with_columns((pl.col("partial_pooling") - pl.col("no_pooling")).abs().alias("moved"))
    moved = moved.drop_nulls("moved").sort("moved", descending=True)
    most = moved.row(0, named=True)
    typical = moved["moved"].median()
    sentences = [
        f"From each {name}'s own estimate (ring) to the partially pooled one (diamond): "
        + (
            "all have the same n, so those far from the common value travel farthest. "
            if rows["n"].n_unique() == 1
            else "small, noisy groups travel farthest. "
        )
        + f"The longest way is that of {wording.who(group, most['label'])} (n = {most['n']:,}), from "
        f"{say(most['no_pooling'])} to {say(most['partial_pooling'])}{f' {unit}' if unit else ''}; half of "
        f"them move less than {say(float(str(typical)), 2)}."
    ]
    if shown.height < rows.height:
        sentences.append(f"{shown.height} of {rows.height:,} groups are shown, evenly over the sizes.")
    return " ".join(sentences)
