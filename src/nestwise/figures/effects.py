"""The effect of each term for a typical group, averaged over the groups, and by estimating equations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
from matplotlib.axes import Axes

from nestwise.figures.colours import INK, MUTED, NOTIONS
from nestwise.figures.drawing import Drawing, cannot, drawn, plain, span
from nestwise.figures.theme import new_figure, quiet
from nestwise.numbers import fixed
from nestwise.vocabulary import INTERCEPT, THRESHOLD

PANELS = 8
PLACES = {"conditional": 2, "integrated": 1, "marginal": 0}
SCALES: Mapping[str, str] = {"logit": "log odds ratio", "log": "log rate ratio"}
"""What a coefficient is on the axis, by link; the others have no name of their own."""


@drawn
def three_effects(rows: pl.DataFrame, *, link: str) -> Drawing:
    """Three effects of each term on one axis, the attenuation drawn between the first two.

    Parameters
    ----------
    rows : DataFrame
        Rows `coefficient` of one model in the `RECONCILIATION` schema.
    link : str
        Link, for the name of the axis.

    Raises
    ------
    Refusal
        Without a term beside the intercept.
    """
    effects = rows.filter((pl.col("term") != INTERCEPT) & pl.col("scale").ne_missing(THRESHOLD))
    if effects.height == 0:
        raise cannot("three_effects", "the model has no term beside the intercept")
    shown = effects.head(PANELS)
    figure = new_figure(0.75 + 0.82 * shown.height)
    panels = figure.subplots(shown.height, 1, squeeze=False)[:, 0]
    for axes, row in zip(panels, shown.iter_rows(named=True), strict=True):
        _panel(axes, row)
    panels[-1].set_xlabel(SCALES.get(link, "coefficient"))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper left", ncols=3)
    caption = _caption(effects, link)
    if effects.height > shown.height:
        caption += f" The first {shown.height} of {effects.height} terms are drawn."
    alt = (
        f"{shown.height} panels, one a term, each with three estimates and their intervals: of a typical "
        "group, averaged over the groups, and by estimating equations; an arrow marks how far averaging "
        "moves the first."
    )
    kept = ["term", "attenuation", "attenuation_rule", "left", "left_se", "left_in_se", "level"]
    ends = [f"{name}{part}" for name in PLACES for part in ("", "_lower", "_upper")]
    return Drawing("three_effects", figure, caption, alt, effects.select(*kept, *ends))


def _panel(axes: Axes, row: Mapping[str, Any]) -> None:
    for name, place in PLACES.items():
        notion = NOTIONS[name]
        axes.hlines(place, row[f"{name}_lower"], row[f"{name}_upper"], color=notion.color, linewidth=1.5)
        axes.plot(
            [row[name]], [place], marker=notion.marker, color=notion.color, linestyle="none",
            markersize=6.5, label=notion.label,
        )  # fmt: skip
    start, end = (row["conditional"], PLACES["conditional"]), (row["integrated"], PLACES["integrated"])
    arrow = {"arrowstyle": "-|>", "color": INK, "linewidth": 0.9, "shrinkA": 4, "shrinkB": 4}
    axes.annotate("", xy=end, xytext=start, arrowprops=arrow)
    if row["attenuation"] is not None:
        axes.annotate(
            f"× {fixed(row['attenuation'], 2)}", xy=(1.0, 1.5), xycoords=("axes fraction", "data"),
            ha="right", va="center", fontsize=8, color=INK,
        )  # fmt: skip
    if row["attenuation_rule"] is not None:
        rule = row["conditional"] * row["attenuation_rule"]
        axes.vlines(rule, 0.45, 1.55, color=MUTED, linewidth=1.4, zorder=1)
    axes.axvline(0, color=INK, linewidth=0.8, zorder=1)
    ends = [row[f"{name}{part}"] for name in PLACES for part in ("_lower", "_upper")]
    axes.set_xlim(span(ends, [0.0], margin=0.1))
    axes.set_ylim(-0.6, 2.6)
    axes.set_yticks([])
    axes.set_title(plain(row["term"], 60), fontsize=8.5, pad=3)
    quiet(axes, "x")


def _caption(effects: pl.DataFrame, link: str) -> str:
    level = effects["level"].drop_nulls()
    intervals = f"{level[0]:.0%} intervals" if level.len() else "intervals"
    factors = effects["attenuation"].drop_nulls().sort().to_list()
    text = (
        "Each term's effect for a typical group, the same averaged over the groups, and by estimating "
        f"equations, with {intervals}."
    )
    if factors and link not in ("identity", "log"):
        rule = effects["attenuation_rule"].drop_nulls()
        between = (
            fixed(factors[0], 2)
            if len(factors) == 1
            else f"{fixed(factors[0], 2)} to {fixed(factors[-1], 2)}"
        )
        text += f" The arrow is the attenuation: averaging multiplies the effects by {between}"
        text += f"; the grey tick is the rule of thumb, {fixed(rule[0], 2)}." if rule.len() else "."
    elif factors:
        text += " Averaging leaves effects as they are under this link."
    return text
