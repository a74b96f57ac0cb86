"""How far the fixed effects would move without one group."""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from nestwise.figures.colours import INK, MUTED, NO, PARTIAL
from nestwise.figures.drawing import Drawing, Wording, cannot, column, drawn, plain
from nestwise.figures.theme import RASTER_ABOVE, new_figure, quiet
from nestwise.names import counted, several
from nestwise.numbers import say

NAMED = 5
TOO_CLOSE = 0.03
"""Difference of two distances, as a share of the largest, below which their labels would overlap."""
ALARM = 4.0
"""Cook's distances above `ALARM` / J are looked at (Nieuwenhuis, te Grotenhuis & Pelzer 2012)."""


@drawn
def influence(rows: pl.DataFrame, wording: Wording, *, group: str) -> Drawing:
    """Cook's distance of every group in order, the highest named.

    Parameters
    ----------
    rows : DataFrame
        Rows of one fit in the `INFLUENCE` schema.
    wording : Wording
        Names and units.
    group : str
        The grouping factor whose groups are left out.

    Raises
    ------
    Refusal
        Without a Cook's distance.
    """
    ordered = ranked_influence(rows, group)
    if ordered.height == 0:
        raise cannot("influence", f"no Cook's distance of {group} is known")
    limit, name = ALARM / ordered.height, wording.group(group)
    above = ordered.filter(pl.col("cook") > limit)
    figure = new_figure(3.2)
    axes = figure.subplots()
    _dots(axes, ordered, limit)
    axes.set_xlabel(f"{name}, by Cook's distance")
    axes.set_ylabel("Cook's distance")
    quiet(axes, "y")
    top = ordered.row(0, named=True)
    who = wording.who(group, top["label"])
    whole = (
        f"None of {counted(ordered.height, name)} lies above 4/J = {say(limit)}"
        if above.height == 0
        else f"{above.height:,} of {counted(ordered.height, name)} above 4/J = {say(limit)} (circles): "
        + several([wording.who(group, label) for label in above["label"]], NAMED)
    )
    caption = (
        f"How far all fixed effects together would move if one {name} were left out, in units of their own "
        f"uncertainty (Cook's distance over the number of coefficients). {whole}. The largest is "
        f"{say(top['cook'])} ({who}). The line asks for a look at what is special there; it is no reason "
        "to drop a group."
    )
    alt = f"Cook's distance of {counted(ordered.height, name)} in decreasing order, the largest {who}."
    data = ordered.select("label", "n", "cook", "mdffits", "covratio", "leverage")
    return Drawing("influence", figure, caption, alt, data.with_columns(pl.lit(limit).alias("limit")))


def ranked_influence(rows: pl.DataFrame, group: str) -> pl.DataFrame:
    """Rows of one factor with a Cook's distance, the largest first.

    Parameters
    ----------
    rows : DataFrame
        Rows of one fit in the `INFLUENCE` schema.
    group : str
        The grouping factor.
    """
    kept = rows.filter((pl.col("group") == group) & pl.col("cook").is_not_null())
    return kept.sort("cook", "label", descending=[True, False])


def _dots(axes: Axes, ordered: pl.DataFrame, limit: float) -> None:
    cook, places = column(ordered, "cook"), np.arange(1, ordered.height + 1)
    high = cook > limit
    many = ordered.height > RASTER_ABOVE
    for chosen, notion in ((~high, PARTIAL), (high, NO)):
        axes.scatter(
            places[chosen],
            cook[chosen],
            s=16,
            marker=notion.marker,
            color=notion.color,
            linewidths=0,
            zorder=3,
            rasterized=many,
        )
    axes.axhline(limit, color=INK, linewidth=0.8, linestyle="--", zorder=1)
    axes.text(ordered.height, limit, "4/J", ha="right", va="bottom", fontsize=8, color=MUTED)
    for place, value, label in _labels(ordered):
        axes.annotate(label, (place, value), (5, 0), textcoords="offset points", va="center", fontsize=7.5)
    # Ranks are whole numbers, and ticks between them would name no group.
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlim(left=0.3)
    axes.set_ylim(bottom=0)


def _labels(ordered: pl.DataFrame) -> list[tuple[int, float, str]]:
    """Place, height and label of the highest dots; dots too close to name apart share a label."""
    top = ordered.select("label", "cook").head(NAMED).rows()
    named: list[tuple[int, float, str]] = []
    for place, (label, value) in enumerate(top, 1):
        if named and named[-1][1] - value < TOO_CLOSE * top[0][1]:
            _, height, shared = named.pop()
            named.append((place, height, f"{shared}, {plain(label, 22)}"))
        else:
            named.append((place, value, plain(label, 22)))
    return named
