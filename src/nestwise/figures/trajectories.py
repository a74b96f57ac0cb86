"""Curves of individual groups over time, with the curve of a typical group and the average over all."""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from nestwise.figures.colours import MUTED, NOTIONS
from nestwise.figures.drawing import Drawing, Wording, cannot, column, drawn, evenly, exact, plain, span
from nestwise.figures.theme import RASTER_ABOVE, new_figure, quiet
from nestwise.names import plural
from nestwise.numbers import fixed

LINES = 120
"""Groups drawn in each panel."""
PANELS = 3
CURVES = ("conditional", "integrated", "marginal")


@drawn
def trajectories(rows: pl.DataFrame, means: pl.DataFrame, wording: Wording, *, group: str) -> Drawing:
    """Individual curves beneath the typical group's and the population's.

    Parameters
    ----------
    rows : DataFrame
        `label`, `x` (time), `fitted` and, with arms, `by`.
    means : DataFrame
        Rows `mean` over time of one model in the `RECONCILIATION` schema.
    wording : Wording
        Names and units; `wording.time` names `x`.
    group : str
        Grouping factor.

    Raises
    ------
    Refusal
        Without means over time, or with too many arms.
    """
    curves = means.filter(pl.col("x").is_not_null()).sort("x", maintain_order=True)
    arms = curves["by"].unique(maintain_order=True).to_list()
    if curves.height == 0 or len(arms) > PANELS:
        raise cannot("trajectories", "no means stand over time, or there are too many arms")
    figure = new_figure(3.5)
    panels = figure.subplots(1, len(arms), squeeze=False, sharey=True)[0]
    for axes, arm in zip(panels, arms, strict=True):
        own = rows if arm is None or "by" not in rows.columns else rows.filter(pl.col("by") == arm)
        _panel(axes, own, curves.filter(pl.col("by").eq_missing(pl.lit(arm, dtype=pl.String))))
        axes.set_xlabel(wording.axis(wording.time or "time"))
        if arm is not None:
            axes.set_title(plain(arm, 40))
        axes.set_xlim(span(column(curves, "x"), margin=0.02))
    panels[0].set_ylabel(wording.axis(wording.outcome))
    _height(panels[0], rows, curves)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper left", ncols=3)
    name = wording.group(group)
    caption = _caption(curves, arms, name)
    if rows["label"].n_unique() > LINES:
        caption += f" At most {LINES} {plural(name)} a panel, evenly chosen, are drawn."
    alt = (
        f"Thin curves of single {plural(name)} over time, with the curve of a typical {name}, the average of "
        "all curves, and the curve of the estimating equations."
    )
    data = curves.select(
        "x", "by", *(f"{name}{part}" for name in CURVES for part in ("", "_lower", "_upper"))
    )
    return Drawing("trajectories", figure, caption, alt, data)


def _panel(axes: Axes, rows: pl.DataFrame, curves: pl.DataFrame) -> None:
    labels = rows["label"].unique(maintain_order=True).to_list()
    chosen = [labels[k] for k in evenly(len(labels), LINES)] if labels else []
    part = rows.filter(pl.col("label").is_in(chosen)).sort("label", "x", maintain_order=True)
    lines = [
        np.column_stack([column(each, "x"), column(each, "fitted")])
        for _, each in part.group_by("label", maintain_order=True)
    ]
    raster = part.height > RASTER_ABOVE
    axes.add_collection(LineCollection(lines, colors=MUTED, alpha=0.3, linewidths=0.7, rasterized=raster))
    for name in CURVES:
        notion = NOTIONS[name]
        if name == "integrated":
            axes.fill_between(
                column(curves, "x"), column(curves, "integrated_lower"), column(curves, "integrated_upper"),
                color=notion.color, alpha=0.15, linewidth=0,
            )  # fmt: skip
        axes.plot(
            column(curves, "x"), column(curves, name), color=notion.color, linestyle=notion.line,
            linewidth=2.2, label=notion.label,
        )  # fmt: skip
    quiet(axes, "y")


def _height(axes: Axes, rows: pl.DataFrame, curves: pl.DataFrame) -> None:
    """Probabilities from 0 to 1; other means to where the curves end, single groups may leave the panel."""
    if curves["scale"][0] == "risk":
        axes.set_ylim(-0.02, 1.02)
        return
    individual = column(rows, "fitted")
    ends = np.quantile(individual, [0.02, 0.98]) if len(individual) else np.empty(0)
    axes.set_ylim(span(*(column(curves, name) for name in CURVES), ends, margin=0.05))


def _caption(curves: pl.DataFrame, arms: list[str | None], name: str) -> str:
    first = (
        curves.filter(pl.col("by").eq_missing(pl.lit(arms[0], dtype=pl.String))).sort("x").row(0, named=True)
    )
    decimals = 2 if first["scale"] == "risk" else 1
    where = f"At {exact(first['x'])}" + (f" under {plain(arms[0], 30)}" if arms[0] is not None else "")
    return (
        f"Fitted curves of single {plural(name)} (thin), of a typical {name}, and their average with its "
        f"interval; dotted, the estimating equations. {where} a typical {name} has "
        f"{fixed(first['conditional'], decimals)}, "
        f"the average over {plural(name)} is {fixed(first['integrated'], decimals)}: the average of curves "
        "is "
        "not the curve of the average."
    )
