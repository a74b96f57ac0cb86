"""Group effects in order, with intervals and comparison intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.special import ndtri

from nestwise.figures.colours import INK, MUTED, PARTIAL
from nestwise.figures.drawing import Drawing, FloatArray, Wording, cannot, column, drawn, plain, span
from nestwise.figures.theme import RASTER_ABOVE, new_figure, quiet
from nestwise.names import counted
from nestwise.numbers import say

LABELS_UP_TO = 90
ONE_COLUMN_UP_TO = 36
BARS_UP_TO = 1500
COMPARISON = 1.39
"""Intervals of so many SEs overlap when two groups do not differ at 5% (Goldstein & Healy 1995)."""


@dataclass(frozen=True, eq=False)
class Intervals:
    """Random effects (J,), their standard errors, and how many of these an interval reaches."""

    centre: FloatArray
    error: FloatArray
    reach: float

    @property
    def lower(self) -> FloatArray:
        """Lower ends (J,)."""
        return self.centre - self.reach * self.error

    @property
    def upper(self) -> FloatArray:
        """Upper ends (J,)."""
        return self.centre + self.reach * self.error

    @property
    def away(self) -> NDArray[np.bool_]:
        """Whether an interval excludes zero (J,)."""
        return (self.lower > 0) | (self.upper < 0)


@drawn
def caterpillar(
    groups: pl.DataFrame,
    wording: Wording,
    *,
    group: str,
    term: str,
    level: float = 0.95,
    comparison: bool = False,
) -> Drawing:
    """Random effects in order with intervals.

    Parameters
    ----------
    groups : DataFrame
        Rows of one fit in the `GROUPS` schema.
    wording : Wording
        Names and units.
    group, term : str
        Which varying coefficient.
    level : float
        Coverage of the thin intervals.
    comparison : bool
        Whether to draw thick intervals of 1.39 SE: two groups whose thick bars do not overlap differ.

    Raises
    ------
    Refusal
        Without random effects, or if the groups are alike.
    """
    rows = ordered_effects(groups, group, term)
    if rows.height == 0:
        raise cannot("caterpillar", f"there are no random effects of {group} on {term}")
    if alike(rows):
        raise cannot("caterpillar", f"all groups of {group} are estimated to be alike")
    reach = float(ndtri((1 + level) / 2))
    bars = Intervals(column(rows, "random_effect"), np.nan_to_num(column(rows, "random_effect_se")), reach)
    axis = f"{wording.group(group)} effect on the {wording.coefficient_axis(term)}"
    if rows.height <= LABELS_UP_TO:
        figure = _labelled(rows, bars, axis, comparison=comparison)
    else:
        figure = _unlabelled(rows, bars, axis, wording.group(group))
    away = int(bars.away.sum())
    caption = _caption(rows, wording, (group, term), level=level, comparison=comparison, away=away)
    alt = (
        f"Caterpillar plot of {counted(rows.height, wording.group(group))} in order of their effect on the "
        f"{wording.coefficient(term)}, from {wording.who(group, rows['label'][-1])} to "
        f"{wording.who(group, rows['label'][0])}, with intervals; "
        f"{away} intervals exclude zero."
    )
    data = rows.select("label", "n", "random_effect", "random_effect_se").with_columns(
        pl.Series("lower", bars.lower), pl.Series("upper", bars.upper)
    )
    return Drawing("caterpillar", figure, caption, alt, data)


def alike(rows: pl.DataFrame) -> bool:
    """Whether the standard deviation of the effects is estimated as 0: no group differs from another."""
    effect, error = column(rows, "random_effect"), np.nan_to_num(column(rows, "random_effect_se"))
    return not (bool(effect.any()) or bool(error.any()))


def ordered_effects(groups: pl.DataFrame, group: str, term: str) -> pl.DataFrame:
    """Rows of one varying coefficient that have a random effect, the highest first."""
    return groups.filter(
        (pl.col("group") == group) & (pl.col("term") == term) & pl.col("random_effect").is_not_null()
    ).sort("random_effect", "label", descending=[True, False])


def _labelled(rows: pl.DataFrame, bars: Intervals, axis: str, *, comparison: bool) -> Figure:
    """One row a group, in two columns where one would be long."""
    n_columns = 1 if rows.height <= ONE_COLUMN_UP_TO else 2
    length = -(-rows.height // n_columns)
    figure = new_figure(0.9 + 0.145 * length)
    panels = figure.subplots(1, n_columns, sharex=True, squeeze=False)[0]
    limits = span(bars.lower, bars.upper, [0.0])
    for k, axes in enumerate(panels):
        part = slice(k * length, min((k + 1) * length, rows.height))
        places = length - 1 - np.arange(part.stop - part.start, dtype=np.float64)
        own = Intervals(bars.centre[part], bars.error[part], bars.reach)
        _bars(axes, places, own)
        if comparison:
            axes.hlines(
                places,
                own.centre - COMPARISON * own.error,
                own.centre + COMPARISON * own.error,
                color=PARTIAL.color,
                linewidth=3.2,
                alpha=0.45,
                zorder=2.5,
            )
        axes.set_yticks(places, [plain(label, 22) for label in rows["label"][part]], fontsize=7)
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(-0.8, length - 0.2)
        axes.set_xlim(limits)
        axes.axvline(0, color=INK, linewidth=0.8, zorder=1)
        quiet(axes, "x")
    figure.supxlabel(axis, fontsize=9)
    return figure


def _bars(axes: Axes, places: FloatArray, bars: Intervals) -> None:
    """Thin bars and diamonds, the bars faint where the interval holds zero."""
    for chosen, alpha in ((bars.away, 1.0), (~bars.away, 0.5)):
        axes.hlines(
            places[chosen],
            bars.lower[chosen],
            bars.upper[chosen],
            color=PARTIAL.color,
            linewidth=1.1,
            alpha=alpha,
            zorder=2,
        )
    axes.scatter(
        bars.centre, places, s=13, marker=PARTIAL.marker, color=PARTIAL.color, linewidths=0, zorder=3
    )


def _unlabelled(rows: pl.DataFrame, bars: Intervals, axis: str, name: str) -> Figure:
    figure = new_figure(3.6)
    axes = figure.subplots()
    places = np.arange(1, rows.height + 1, dtype=np.float64)
    if rows.height <= BARS_UP_TO:
        for chosen, alpha in ((bars.away, 0.9), (~bars.away, 0.35)):
            axes.vlines(
                places[chosen],
                bars.lower[chosen],
                bars.upper[chosen],
                color=PARTIAL.color,
                alpha=alpha,
                linewidth=0.7,
                rasterized=rows.height > BARS_UP_TO // 3,
            )
    else:
        axes.fill_between(
            places, bars.lower, bars.upper, color=PARTIAL.color, alpha=0.25, linewidth=0, rasterized=True
        )
    axes.scatter(
        places,
        bars.centre,
        s=5,
        marker=PARTIAL.marker,
        color=PARTIAL.color,
        linewidths=0,
        zorder=3,
        rasterized=rows.height > RASTER_ABOVE,
    )
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set_xlim(0, rows.height + 1)
    axes.set_xlabel(f"rank of the {name}")
    axes.set_ylabel(plain(axis, 80))
    for k, (ends, x, ha, va) in enumerate(
        ((rows["label"][:5], 0.98, "right", "top"), (rows["label"][-5:][::-1], 0.02, "left", "bottom"))
    ):
        words = "\n".join([("highest", "lowest")[k] + ":", *(plain(label, 24) for label in ends)])
        axes.text(
            x,
            0.98 if k == 0 else 0.03,
            words,
            transform=axes.transAxes,
            ha=ha,
            va=va,
            fontsize=7.5,
            color=MUTED,
        )
    quiet(axes, "y")
    return figure


def _caption(
    rows: pl.DataFrame,
    wording: Wording,
    which: tuple[str, str],
    *,
    level: float,
    comparison: bool,
    away: int,
) -> str:
    group, term = which
    name = wording.group(group)
    high, low = rows.row(0, named=True), rows.row(-1, named=True)
    sentences = [
        f"How far the {wording.coefficient(term)} of each {name} lies from what the fixed effects "
        "expect, with "
        f"{level:.0%} intervals: from {say(low['random_effect'])} ({wording.who(group, low['label'])}) to "
        f"{say(high['random_effect'])} ({wording.who(group, high['label'])}). {away} of "
        f"{rows.height:,} intervals "
        "exclude zero (drawn darker)."
    ]
    if comparison:
        sentences.append(
            f"Thick bars are {COMPARISON} standard errors: two groups whose thick bars do not overlap "
            "differ at "
            "about the 5% level."
        )
    if rows.height > LABELS_UP_TO:
        sentences.append("Only the extremes are named; all are in the table behind the figure.")
    return " ".join(sentences)
