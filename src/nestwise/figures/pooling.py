"""Complete, no and partial pooling against the size of the groups."""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from nestwise.figures.colours import COMPLETE, GRID, INK, MUTED, NO, PAPER, PARTIAL, Notion
from nestwise.figures.drawing import Drawing, FloatArray, Wording, cannot, column, drawn, span
from nestwise.figures.theme import RASTER_ABOVE, new_figure, quiet
from nestwise.names import counted
from nestwise.numbers import say
from nestwise.vocabulary import INTERCEPT

BARS_UP_TO = 400
"""Groups above which standard-error bars would be one grey block."""


def coefficient_rows(groups: pl.DataFrame, group: str, term: str) -> pl.DataFrame:
    """Rows of one varying coefficient that have a partial-pooling estimate, smallest group first."""
    return groups.filter(
        (pl.col("group") == group) & (pl.col("term") == term) & pl.col("partial_pooling").is_not_null()
    ).sort("n", "label")


@drawn
def pooling_by_size(
    groups: pl.DataFrame, wording: Wording, *, group: str, term: str, variance_ratio: float | None = None
) -> Drawing:
    """No-pooling beside partial-pooling estimates by group size (Gelman & Hill 2007, fig. 12.1 and 12.3).

    Parameters
    ----------
    groups : DataFrame
        Rows of one fit in the `GROUPS` schema.
    wording : Wording
        Names and units.
    group, term : str
        Which varying coefficient.
    variance_ratio : float, optional
        sigma^2 / tau^2: the group size at which a group's own data weigh as much as the common line.

    Raises
    ------
    Refusal
        Without groups, or without a no-pooling estimate.
    """
    rows = coefficient_rows(groups, group, term)
    if rows.height == 0 or rows["no_pooling"].is_not_null().sum() == 0:
        raise cannot("pooling_by_size", f"no group of {group} has a no-pooling estimate")
    figure = new_figure(3.6)
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    balanced = rows["n"].n_unique() == 1
    rows = rows.sort("no_pooling", "label") if balanced else rows
    sizes = np.arange(1.0, rows.height + 1) if balanced else _dodged(column(rows, "n"))
    for axes, notion, name in ((left, NO, "no_pooling"), (right, PARTIAL, "partial_pooling")):
        _complete(axes, sizes, column(rows, "complete_pooling"))
        _estimates(axes, sizes, column(rows, name), column(rows, f"{name}_se"), notion)
        axes.set_title(notion.label)
        axes.set_xlabel(
            f"{wording.group(group)}, by own estimate (n = {rows['n'][0]:,} each)"
            if balanced
            else f"observations in the {wording.group(group)} (log scale)"
        )
        if balanced:
            axes.set_xticks([])
            quiet(axes, "y")
        else:
            size_axis(axes, column(rows, "n"))
    left.set_ylabel(wording.coefficient_axis(term))
    left.set_ylim(_limits(rows))
    crossover = variance_ratio if term == INTERCEPT else None
    if crossover is not None and crossover > 0 and not balanced:
        _mark_crossover(right, crossover, column(rows, "n"))
    caption = _by_size_caption(rows, wording, group, term, crossover)
    alt = (
        f"Two scatter plots of the {wording.coefficient(term)} of "
        f"{counted(rows.height, wording.group(group))} "
        "against group size. Estimates without pooling scatter widely where groups are small; with partial "
        "pooling the same groups lie close to the common line."
    )
    names = ["label", "n", "no_pooling", "no_pooling_se", "complete_pooling", "partial_pooling"]
    return Drawing("pooling_by_size", figure, caption, alt, rows.select(*names, "partial_pooling_se"))


def _dodged(sizes: FloatArray) -> FloatArray:
    """Groups of one size stand side by side: a fixed fan, not a random jitter."""
    placed = sizes.copy()
    for size in np.unique(sizes):
        at = np.flatnonzero(sizes == size)
        room = min(0.13, 0.35 / max(size, 1.0))
        offsets = np.linspace(-room, room, at.size) if at.size > 1 else np.zeros(1)
        placed[at] = size * np.exp(offsets)
    return placed


def _complete(axes: Axes, sizes: FloatArray, common: FloatArray) -> None:
    finite = common[np.isfinite(common)]
    if finite.size == 0:
        return
    if np.ptp(finite) <= 1e-9 * max(1.0, float(np.abs(finite).max())):
        axes.axhline(finite[0], color=COMPLETE.color, linewidth=1.6, label=COMPLETE.label, zorder=1.5)
    else:
        label = f"{COMPLETE.label} (the line a group is pulled to)"
        axes.scatter(
            sizes,
            common,
            s=9,
            marker=COMPLETE.marker,
            color=COMPLETE.color,
            linewidths=0,
            label=label,
            zorder=1.5,
            rasterized=sizes.size > RASTER_ABOVE,
        )


def _estimates(axes: Axes, sizes: FloatArray, values: FloatArray, errors: FloatArray, notion: Notion) -> None:
    many = sizes.size > BARS_UP_TO
    raster = sizes.size > RASTER_ABOVE
    if not many:
        known = np.isfinite(values) & np.isfinite(errors)
        axes.vlines(
            sizes[known],
            (values - errors)[known],
            (values + errors)[known],
            color=notion.color,
            alpha=0.45,
            linewidth=0.9,
            zorder=2,
        )
    axes.scatter(
        sizes,
        values,
        s=6 if many else 17,
        marker=notion.marker,
        facecolor=PAPER if notion is NO and not many else notion.color,
        edgecolor=notion.color,
        linewidths=0.9 if not many else 0,
        alpha=0.5 if many else 1,
        zorder=3,
        rasterized=raster,
        label=notion.label,
    )


def size_axis(axes: Axes, sizes: FloatArray) -> None:
    """A log axis with whole numbers; a plain one where all groups are of nearly one size."""
    low, high = float(np.nanmin(sizes)), float(np.nanmax(sizes))
    quiet(axes, "y")
    if high < 1.5 * low:
        axes.set_xlim(low - 1 - 0.1 * low, high + 1 + 0.1 * high)
        axes.set_xlabel(axes.get_xlabel().replace(" (log scale)", ""))
        axes.xaxis.get_major_locator().set_params(integer=True)  # type: ignore[call-arg]
        return
    axes.set_xscale("log")
    axes.set_xlim(low * 0.8, high * 1.25)
    subs = (1.0, 2.0, 5.0) if high / low < 2000 else (1.0,)
    axes.xaxis.set_major_locator(LogLocator(subs=subs))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else ""))


def _limits(rows: pl.DataFrame) -> tuple[float, float]:
    """Every estimate is inside, and bars as far as they do not squeeze the rest."""
    values = [column(rows, name) for name in ("no_pooling", "partial_pooling", "complete_pooling")]
    inner = span(*values, margin=0.25)
    bars = [
        column(rows, "no_pooling") + sign * np.nan_to_num(column(rows, "no_pooling_se")) for sign in (-1, 1)
    ]
    outer = span(*values, *bars, margin=0.03)
    return max(inner[0], outer[0]), min(inner[1], outer[1])


def _mark_crossover(axes: Axes, crossover: float, sizes: FloatArray) -> None:
    low, high = axes.get_xlim()
    if not low < crossover < high:
        return
    axes.axvline(crossover, color=INK, linewidth=0.9, linestyle=(0, (2, 2)), zorder=1.2)
    middle = np.sqrt(low * high) if sizes.max() >= 1.5 * sizes.min() else (low + high) / 2
    on_left = crossover > middle
    axes.annotate(
        f"own data outweigh\nthe common line\nabove n = {say(crossover, 2)}",
        (crossover, 0.985),
        xycoords=("data", "axes fraction"),
        xytext=(-4 if on_left else 4, 0),
        textcoords="offset points",
        ha="right" if on_left else "left",
        va="top",
        fontsize=7.5,
        color=MUTED,
    )


def _by_size_caption(
    rows: pl.DataFrame, wording: Wording, group: str, term: str, crossover: float | None
) -> str:
    unit = wording.unit(wording.outcome) if term == INTERCEPT else None
    spread = [float(np.nanstd(column(rows, name))) for name in ("no_pooling", "partial_pooling")]
    small, large = rows.row(0, named=True), rows.row(-1, named=True)
    name, what = wording.group(group), wording.coefficient(term)
    sentences = [
        f"Each mark is the {what} of one {name}, with one standard error: alone on the left, partially "
        f"pooled on the right. The estimates of {counted(rows.height, name)} spread by "
        f"{say(spread[0], 2)} (SD) without pooling and by {say(spread[1], 2)} with it."
    ]
    if small["n"] < large["n"] and small["no_pooling"] is not None:
        sentences.append(
            f"The smallest, {wording.who(group, small['label'])} (n = {small['n']}), moves from "
            f"{say(small['no_pooling'])} to {say(small['partial_pooling'])}"
            f"{f' {unit}' if unit else ''}; the largest, {wording.who(group, large['label'])} (n = "
            f"{large['n']:,}), "
            f"from {say(large['no_pooling'])} to {say(large['partial_pooling'])}."
        )
    if crossover is not None and crossover > 0:
        sentences.append(
            f"With more than about {say(crossover, 2)} observations a {name} is better served by its own "
            "data than by the common line (residual variance over between-group variance)."
        )
    if rows.height > BARS_UP_TO:
        sentences.append(f"Standard errors are left out above {BARS_UP_TO} groups.")
    return " ".join(sentences)


@drawn
def pooling_factor(
    groups: pl.DataFrame, wording: Wording, *, group: str, variance_ratio: float | None = None
) -> Drawing:
    """Weight on a group's own data against its size, with n / (n + sigma^2/tau^2) for intercepts.

    Parameters
    ----------
    groups : DataFrame
        Rows of one fit in the `GROUPS` schema.
    wording : Wording
        Names and units.
    group : str
        Grouping factor.
    variance_ratio : float, optional
        sigma^2 / tau^2 of the intercept; draws the closed-form curve.

    Raises
    ------
    Refusal
        Without pooling factors.
    """
    rows = groups.filter((pl.col("group") == group) & pl.col("pooling_factor").is_not_null()).sort("n")
    if rows.height == 0 or rows["n"].n_unique() == 1:
        raise cannot("pooling_factor", f"no two groups of {group} have a pooling factor and different sizes")
    figure = new_figure(3.1)
    axes = figure.subplots()
    name = wording.group(group)
    terms = rows["term"].unique(maintain_order=True).to_list()[:4]
    looks = ((PARTIAL.marker, PARTIAL.color), ("^", "#d55e00"), ("o", "#009e73"), ("v", "#aa3377"))
    for term, (marker, color) in zip(terms, looks, strict=False):
        part = rows.filter(pl.col("term") == term)
        axes.scatter(
            _dodged(column(part, "n")),
            column(part, "pooling_factor"),
            s=16 if part.height <= BARS_UP_TO else 6,
            marker=marker,
            facecolor=color,
            linewidths=0,
            alpha=0.8,
            rasterized=part.height > RASTER_ABOVE,
            label=wording.coefficient(term),
            zorder=3,
        )
    axes.set_xlabel(f"observations in the {name} (log scale)")
    axes.set_ylabel("weight on the group's own data")
    axes.set_ylim(min(-0.03, float(column(rows, "pooling_factor").min()) - 0.03), 1.03)
    size_axis(axes, column(rows, "n"))
    if variance_ratio is not None and variance_ratio > 0:
        _factor_curve(axes, variance_ratio)
    axes.axhline(0.5, color=GRID, linewidth=1.2, zorder=1)
    axes.legend(loc="best")
    alt = f"Pooling factor of {counted(rows['label'].n_unique(), name)} rising with group size toward 1."
    caption = _factor_caption(rows, wording, name, variance_ratio)
    return Drawing(
        "pooling_factor", figure, caption, alt, rows.select("label", "term", "n", "pooling_factor")
    )


def _factor_curve(axes: Axes, variance_ratio: float) -> None:
    """The closed form of a varying intercept alone, over the sizes shown."""
    low, high = axes.get_xlim()
    grid = np.linspace(max(low, 1e-3), high, 200)
    if axes.get_xscale() == "log":
        grid = np.geomspace(low, high, 200)
    axes.plot(
        grid,
        grid / (grid + variance_ratio),
        color=INK,
        linewidth=1,
        label=f"n / (n + {say(variance_ratio, 3)}), varying intercept alone",
        zorder=2,
    )


def _factor_caption(rows: pl.DataFrame, wording: Wording, name: str, ratio: float | None) -> str:
    term = INTERCEPT if INTERCEPT in rows["term"] else rows["term"][0]
    part = rows.filter(pl.col("term") == term)
    small, large = part.row(0, named=True), part.row(-1, named=True)
    sentence = (
        f"How much the partially pooled {wording.coefficient(term)} listens to the {name} itself: "
        f"0 is complete pooling, 1 is no pooling. It runs from {say(small['pooling_factor'], 2)} at n = "
        f"{small['n']:,} to {say(large['pooling_factor'], 2)} at n = {large['n']:,}."
    )
    if ratio is not None and ratio > 0 and term == INTERCEPT:
        if rows["term"].n_unique() == 1:
            sentence += f" Half the weight is reached at n = {say(ratio, 2)}."
        else:
            sentence += (
                " Where slopes vary too, the weight depends on the predictor's values in the group, and "
                "marks leave the curve."
            )
    return sentence
