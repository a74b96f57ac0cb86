"""Group coefficients against what is known of the groups."""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.axes import Axes

from nestwise.figures.colours import COMPLETE, PARTIAL
from nestwise.figures.drawing import Drawing, Wording, cannot, column, drawn, span
from nestwise.figures.pooling import BARS_UP_TO, coefficient_rows
from nestwise.figures.theme import RASTER_ABOVE, new_figure, quiet
from nestwise.names import counted
from nestwise.numbers import say


@drawn
def group_level_predictor(
    groups: pl.DataFrame, values: pl.DataFrame, wording: Wording, *, group: str, predictor: str
) -> Drawing:
    """Partially pooled coefficients +- SE against a group-level predictor (Gelman & Hill, fig. 12.5, 12.6).

    Parameters
    ----------
    groups : DataFrame
        Rows of one fit in the `GROUPS` schema.
    values : DataFrame
        `label`, `u`: the predictor of each group.
    wording : Wording
        Names and units.
    group, predictor : str
        Grouping factor and the predictor.

    Raises
    ------
    Refusal
        Where no coefficient has a group-level line.
    """
    known = groups.filter(pl.col("group") == group)
    terms = [
        term
        for term in known["term"].unique(maintain_order=True).to_list()
        if _moves(coefficient_rows(known, group, term))
    ][:2]
    if not terms:
        raise cannot("group_level_predictor", f"{predictor} moves no coefficient of {group}")
    figure = new_figure(3.5)
    tables, sentences = [], []
    for axes, term in zip(figure.subplots(1, len(terms), squeeze=False)[0], terms, strict=True):
        rows = (
            coefficient_rows(known, group, term).join(values, on="label").drop_nulls("u").sort("u", "label")
        )
        rows = _expected(rows)
        if rows.height == 0:
            raise cannot("group_level_predictor", f"{predictor} is missing in every group")
        _panel(axes, rows)
        axes.set_xlabel(f"{wording.axis(predictor)}, by {wording.group(group)}")
        axes.set_ylabel(wording.coefficient_axis(term))
        tables.append(
            rows.select("label", "term", "u", "n", "partial_pooling", "partial_pooling_se", "expected")
        )
        sentences.append(_sentence(rows, wording, term, predictor))
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=2)
    caption = (
        " ".join(sentences) + " Bars are one standard error; the line is what the model expects of a group."
    )
    alt = (
        f"Coefficients of {counted(tables[0].height, wording.group(group))} against "
        f"{wording.name(predictor)} with the "
        "fitted group-level line; groups scatter around it."
    )
    return Drawing("group_level_predictor", figure, caption, alt, pl.concat(tables))


def _expected(rows: pl.DataFrame) -> pl.DataFrame:
    """Add what the fixed effects expect of a group, gamma0 + gamma1 u_j: its own less its deviation."""
    return rows.with_columns((pl.col("partial_pooling") - pl.col("random_effect")).alias("expected"))


def _moves(rows: pl.DataFrame) -> bool:
    common = column(_expected(rows), "expected")
    common = common[np.isfinite(common)]
    return common.size > 2 and float(np.ptp(common)) > 1e-9 * max(1.0, float(np.abs(common).max()))


def _panel(axes: Axes, rows: pl.DataFrame) -> None:
    u, centre, error = (column(rows, name) for name in ("u", "partial_pooling", "partial_pooling_se"))
    raster = rows.height > RASTER_ABOVE
    if rows.height <= BARS_UP_TO:
        error = np.nan_to_num(error)
        axes.vlines(u, centre - error, centre + error, color=PARTIAL.color, alpha=0.4, linewidth=0.9)
    axes.scatter(
        u,
        centre,
        s=15 if rows.height <= BARS_UP_TO else 6,
        marker=PARTIAL.marker,
        color=PARTIAL.color,
        linewidths=0,
        zorder=3,
        label="group, partial pooling ± SE",
        rasterized=raster,
    )
    line = column(rows, "expected")
    residual = line - np.polyval(np.polyfit(u, line, 1), u) if np.ptp(u) > 0 else line - line.mean()
    if np.abs(residual).max() <= 1e-6 * max(1e-12, float(np.ptp(line))):
        axes.plot(u, line, color=COMPLETE.color, linewidth=2, label="group-level line", zorder=2)
    else:
        axes.scatter(
            u,
            line,
            s=9,
            marker=COMPLETE.marker,
            color=COMPLETE.color,
            label="expected of the group",
            zorder=2,
        )
    axes.set_ylim(span(centre, line, margin=0.25))
    quiet(axes, "both")


def _sentence(rows: pl.DataFrame, wording: Wording, term: str, predictor: str) -> str:
    u, line = column(rows, "u"), column(rows, "expected")
    slope = float(np.polyfit(u, line, 1)[0]) if np.ptp(u) > 0 else 0.0
    left = float(np.nanstd(column(rows, "partial_pooling") - line))
    return (
        f"Per unit of {wording.name(predictor)} the {wording.coefficient(term)} changes by {say(slope)}; "
        "around that "
        f"line the shrunken estimates still scatter by {say(left, 2)} (SD)."
    )
