"""Where partial pooling moves each group: arrows in the plane of two coefficients."""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.patches import Ellipse
from numpy.typing import NDArray

from nestwise.figures.colours import COMPLETE, MUTED, NO, PAPER, PARTIAL
from nestwise.figures.drawing import Drawing, FloatArray, Wording, cannot, column, drawn, span
from nestwise.figures.dumbbells import dumbbells
from nestwise.figures.pooling import coefficient_rows
from nestwise.figures.theme import RASTER_ABOVE, new_figure, quiet
from nestwise.names import counted
from nestwise.numbers import say


@drawn
def shrinkage(
    groups: pl.DataFrame, wording: Wording, *, group: str, covariance: FloatArray | None = None
) -> Drawing:
    """Movement from the no-pooling to the partial-pooling estimates.

    Parameters
    ----------
    groups : DataFrame
        Rows of one fit in the `GROUPS` schema. With two or more varying coefficients the first two
        span the plane; with one, dumbbells are drawn.
    wording : Wording
        Names and units.
    group : str
        Grouping factor.
    covariance : ndarray (2, 2), optional
        Estimated covariance of the two random effects, outcome's scale: draws the ellipses that hold
        half and 95% of the groups.

    Raises
    ------
    Refusal
        Without groups, or where nothing could be estimated without pooling.
    """
    terms = groups.filter(pl.col("group") == group)["term"].unique(maintain_order=True).to_list()
    if not terms:
        raise cannot("shrinkage", f"there are no groups of {group}")
    if len(terms) == 1:
        return dumbbells(coefficient_rows(groups, group, terms[0]), wording, group, terms[0])
    return _plane(groups, wording, group, (terms[0], terms[1]), covariance)


def _plane(
    groups: pl.DataFrame,
    wording: Wording,
    group: str,
    terms: tuple[str, str],
    covariance: FloatArray | None,
) -> Drawing:
    kept = ["label", "n", "no_pooling", "complete_pooling", "partial_pooling", "random_effect"]
    first, second = (coefficient_rows(groups, group, term).select(kept) for term in terms)
    rows = first.join(second.drop("n"), on="label", suffix="_2").sort("n", "label")
    if rows.height == 0:
        raise cannot("shrinkage", f"no group of {group} has both coefficients")
    start = np.column_stack([column(rows, "no_pooling"), column(rows, "no_pooling_2")])
    end = np.column_stack([column(rows, "partial_pooling"), column(rows, "partial_pooling_2")])
    centre = np.column_stack([column(rows, "complete_pooling"), column(rows, "complete_pooling_2")])
    figure = new_figure(4.6)
    axes = figure.subplots()
    toward = end - np.column_stack([column(rows, "random_effect"), column(rows, "random_effect_2")])
    if np.isfinite(toward).any(axis=0).all():
        _ellipses(axes, np.nanmean(toward, axis=0), covariance)
    x_limits, y_limits = (
        _window(start[:, k], end[:, k], np.concatenate([centre[:, k], axes.dataLim.get_points()[:, k]]))
        for k in range(2)
    )
    axes.set_xlim(x_limits)
    axes.set_ylim(y_limits)
    _arrows(axes, start, end)
    _centres(axes, centre)
    axes.set_xlabel(wording.coefficient_axis(terms[0]))
    axes.set_ylabel(wording.coefficient_axis(terms[1]))
    quiet(axes, "both")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=4, columnspacing=1.2)
    alone = np.isfinite(start).all(axis=1)
    inside = alone & _within(start[:, 0], x_limits) & _within(start[:, 1], y_limits)
    caption = _plane_caption(
        rows, wording, group, terms, unfitted=int((~alone).sum()), outside=int((alone & ~inside).sum())
    )
    alt = (
        "Arrows from the no-pooling to the partial-pooling estimate of "
        f"{counted(rows.height, wording.group(group))} "
        f"in the plane of {wording.coefficient(terms[0])} and {wording.coefficient(terms[1])}; "
        "they point toward the complete-pooling estimate."
    )
    renamed = {name: f"{name.removesuffix('_2')}: {terms[name.endswith('_2')]}" for name in rows.columns[2:]}
    return Drawing("shrinkage", figure, caption, alt, rows.rename(renamed))


def _within(values: FloatArray, limits: tuple[float, float]) -> NDArray[np.bool_]:
    return (values >= limits[0]) & (values <= limits[1])


def _window(start: FloatArray, end: FloatArray, centre: FloatArray) -> tuple[float, float]:
    """All partial estimates, and starts as far as they leave these legible."""
    core = span(end, centre, margin=0.1)
    finite = start[np.isfinite(start)]
    if finite.size == 0:
        return core
    reach = 2.0 * (core[1] - core[0])
    if finite.size >= 30:  # of many groups a few may start outside: the caption counts them
        low, high = np.quantile(finite, [0.025, 0.975])
        finite = finite[(finite >= low) & (finite <= high)]
    wide = span(end, centre, finite, margin=0.05)
    return max(wide[0], core[0] - reach), min(wide[1], core[1] + reach)


def _arrows(axes: Axes, start: FloatArray, end: FloatArray) -> None:
    many = end.shape[0] > 150
    raster = end.shape[0] > RASTER_ABOVE
    alone = np.isfinite(start).all(axis=1)
    step = end[alone] - start[alone]
    axes.quiver(
        start[alone, 0],
        start[alone, 1],
        step[:, 0],
        step[:, 1],
        angles="xy",
        scale_units="xy",
        scale=1,
        width=0.0012 if many else 0.0022,
        headwidth=5,
        headlength=6,
        headaxislength=5.5,
        color=MUTED,
        alpha=0.25 if many else 0.55,
        zorder=2,
        rasterized=raster,
    )
    size = 6 if many else 16
    axes.scatter(
        start[alone, 0],
        start[alone, 1],
        s=size,
        marker=NO.marker,
        facecolor=PAPER,
        edgecolor=NO.color,
        linewidths=0.9,
        zorder=2.5,
        label=NO.label,
        rasterized=raster,
    )
    axes.scatter(
        end[:, 0],
        end[:, 1],
        s=size,
        marker=PARTIAL.marker,
        color=PARTIAL.color,
        linewidths=0,
        zorder=3,
        label=PARTIAL.label,
        rasterized=raster,
    )


def _centres(axes: Axes, centre: FloatArray) -> None:
    points = np.unique(centre[np.isfinite(centre).all(axis=1)].round(12), axis=0)
    if points.size == 0:
        return
    one = points.shape[0] == 1
    axes.scatter(
        points[:, 0],
        points[:, 1],
        s=60 if one else 8,
        marker=COMPLETE.marker,
        facecolor=COMPLETE.color,
        edgecolor=PAPER,
        linewidths=1.2 if one else 0,
        zorder=4 if one else 2.2,
        label=COMPLETE.label if one else f"{COMPLETE.label} (given the group)",
        rasterized=points.shape[0] > RASTER_ABOVE,
    )


def _ellipses(axes: Axes, centre: FloatArray, covariance: FloatArray | None) -> None:
    """Level sets of the bivariate normal: radius^2 = -2 log(1 - p)."""
    if covariance is None or not np.isfinite(covariance).all() or not np.isfinite(centre).all():
        return
    values, vectors = np.linalg.eigh(covariance)
    angle = float(np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1])))
    spread = np.sqrt(np.clip(values, 0.0, None))
    for share, style in ((0.5, "-"), (0.95, (0, (4, 2)))):
        radius = float(np.sqrt(-2 * np.log(1 - share)))
        axes.add_patch(
            Ellipse(
                (float(centre[0]), float(centre[1])),
                width=2 * radius * float(spread[1]),
                height=2 * radius * float(spread[0]),
                angle=angle,
                fill=False,
                edgecolor=PARTIAL.color,
                linewidth=1,
                linestyle=style,
                alpha=0.8,
                zorder=1.5,
                label="half of all groups" if share == 0.5 else "95% of all groups",
            )
        )


def _plane_caption(
    rows: pl.DataFrame, wording: Wording, group: str, terms: tuple[str, str], *, unfitted: int, outside: int
) -> str:
    name = wording.group(group)
    spread = [
        f"{say(float(np.nanstd(column(rows, first))), 2)} to {say(float(np.nanstd(column(rows, second))), 2)}"
        for first, second in (
            ("no_pooling", "partial_pooling"),
            ("no_pooling_2", "partial_pooling_2"),
        )
    ]
    sentences = [
        f"Each arrow is one {name}: from its own regression (ring) to the partially pooled one (diamond), "
        f"toward the common line (square). The spread (SD) shrinks from {spread[0]} for the "
        f"{wording.coefficient(terms[0])} and from {spread[1]} for the {wording.coefficient(terms[1])}. "
        "The ellipses are the estimated distribution the groups come from."
    ]
    if unfitted:
        sentences.append(
            f"{counted(unfitted, name)} cannot be fitted alone and {'has' if unfitted == 1 else 'have'} a "
            "diamond only."
        )
    if outside:
        sentences.append(f"{counted(outside, name)} start{'s' if outside == 1 else ''} outside the frame.")
    return " ".join(sentences)
