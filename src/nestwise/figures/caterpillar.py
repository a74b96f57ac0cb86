"""Group effects in order: intervals, comparison intervals, ranks."""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import ndtri

from nestwise.figures.drawing import (
    Drawing,
    FloatArray,
    Wording,
    cannot,
    column,
    drawn,
    listed,
    plain,
    plural,
    say,
    span,
)
from nestwise.figures.theme import GRID, INK, MUTED, PARTIAL, RASTER_ABOVE, new_figure, quiet

LABELS_UP_TO = 90
ONE_COLUMN_UP_TO = 36
BARS_UP_TO = 1500
COMPARISON = 1.39
"""Intervals of so many SEs overlap when two groups do not differ at 5% (Goldstein & Healy 1995)."""


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
        Without random effects.
    """
    rows = _ordered(groups, group, term)
    if rows.height == 0:
        raise cannot("caterpillar", f"there are no random effects of {group} on {term}")
    reach = float(ndtri((1 + level) / 2))
    centre, error = column(rows, "random_effect"), np.nan_to_num(column(rows, "random_effect_se"))
    lower, upper = centre - reach * error, centre + reach * error
    inner = COMPARISON * error if comparison else None
    away = (lower > 0) | (upper < 0)
    axis = f"{wording.group(group)} effect on the {wording.coefficient_axis(term)}"
    if rows.height <= LABELS_UP_TO:
        figure = _labelled(rows, centre, lower, upper, inner, away, axis)
    else:
        figure = _unlabelled(rows, centre, lower, upper, away, axis, wording.group(group))
    caption = _caption(rows, wording, group, term, level, comparison, away)
    alt = (
        f"Caterpillar plot of {plural(rows.height, wording.group(group))} in order of their effect on the "
        f"{wording.coefficient(term)}, from {wording.who(group, rows['label'][-1])} to {wording.who(group, rows['label'][0])}, with intervals; "
        f"{int(away.sum())} intervals exclude zero."
    )
    data = rows.select("label", "n", "random_effect", "random_effect_se").with_columns(
        pl.Series("lower", lower), pl.Series("upper", upper)
    )
    return Drawing("caterpillar", figure, caption, alt, data)


def _ordered(groups: pl.DataFrame, group: str, term: str) -> pl.DataFrame:
    return groups.filter(
        (pl.col("group") == group) & (pl.col("term") == term) & pl.col("random_effect").is_not_null()
    ).sort("random_effect", "label", descending=[True, False])


def _labelled(
    rows: pl.DataFrame,
    centre: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    inner: FloatArray | None,
    away: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
    axis: str,
) -> Figure:
    """One row a group, in two columns where one would be long."""
    n_columns = 1 if rows.height <= ONE_COLUMN_UP_TO else 2
    length = -(-rows.height // n_columns)
    figure = new_figure(0.9 + 0.145 * length)
    panels = figure.subplots(1, n_columns, sharex=True, squeeze=False)[0]
    limits = span(lower, upper, [0.0])
    for k, axes in enumerate(panels):
        part = slice(k * length, min((k + 1) * length, rows.height))
        places = length - 1 - np.arange(part.stop - part.start, dtype=np.float64)
        _bars(axes, places, centre[part], lower[part], upper[part], away[part])
        if inner is not None:
            axes.hlines(
                places,
                (centre - inner)[part],
                (centre + inner)[part],
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


def _bars(
    axes: Axes,
    places: FloatArray,
    centre: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    away: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
) -> None:
    """Thin bars and diamonds, hollow-looking (faint) where the interval holds zero."""
    for chosen, alpha in ((away, 1.0), (~away, 0.5)):
        axes.hlines(
            places[chosen],
            lower[chosen],
            upper[chosen],
            color=PARTIAL.color,
            linewidth=1.1,
            alpha=alpha,
            zorder=2,
        )
    axes.scatter(centre, places, s=13, marker=PARTIAL.marker, color=PARTIAL.color, linewidths=0, zorder=3)


def _unlabelled(
    rows: pl.DataFrame,
    centre: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    away: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
    axis: str,
    name: str,
) -> Figure:
    figure = new_figure(3.6)
    axes = figure.subplots()
    places = np.arange(1, rows.height + 1, dtype=np.float64)
    if rows.height <= BARS_UP_TO:
        for chosen, alpha in ((away, 0.9), (~away, 0.35)):
            axes.vlines(
                places[chosen],
                lower[chosen],
                upper[chosen],
                color=PARTIAL.color,
                alpha=alpha,
                linewidth=0.7,
                rasterized=rows.height > BARS_UP_TO // 3,
            )
    else:
        axes.fill_between(places, lower, upper, color=PARTIAL.color, alpha=0.25, linewidth=0, rasterized=True)
    axes.scatter(
        places,
        centre,
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
    group: str,
    term: str,
    level: float,
    comparison: bool,
    away: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
) -> str:
    name = wording.group(group)
    high, low = rows.row(0, named=True), rows.row(-1, named=True)
    sentences = [
        f"How far the {wording.coefficient(term)} of each {name} lies from what the fixed effects expect, with "
        f"{level:.0%} intervals: from {say(low['random_effect'])} ({wording.who(group, low['label'])}) to "
        f"{say(high['random_effect'])} ({wording.who(group, high['label'])}). {int(away.sum())} of {rows.height:,} intervals "
        "exclude zero (drawn darker)."
    ]
    if comparison:
        sentences.append(
            f"Thick bars are {COMPARISON} standard errors: two groups whose thick bars do not overlap differ at "
            "about the 5% level."
        )
    if rows.height > LABELS_UP_TO:
        sentences.append("Only the extremes are named; all are in the table behind the figure.")
    return " ".join(sentences)


@drawn
def league(
    groups: pl.DataFrame,
    wording: Wording,
    *,
    group: str,
    term: str,
    seed: int,
    level: float = 0.95,
    draws: int = 4000,
) -> Drawing:
    """Ranks of groups with their intervals, by simulation from each random effect and its SE.

    Parameters
    ----------
    groups : DataFrame
        Rows of one fit in the `GROUPS` schema.
    wording : Wording
        Names and units.
    group, term : str
        Which varying coefficient.
    seed : int
        Of the simulation.
    level : float
        Coverage of the rank intervals.
    draws : int
        Number of simulated rankings.

    Raises
    ------
    Refusal
        With fewer than three groups that have a random effect and a standard error.
    """
    rows = _ordered(groups, group, term).filter(pl.col("random_effect_se").is_not_null())
    if rows.height < 3:
        raise cannot("league", f"fewer than three groups of {group} can be ranked")
    table = ranks(rows, seed=seed, level=level, draws=draws)
    figure = _league_figure(table, wording, group)
    caption = _league_caption(table, wording, group, term, level)
    alt = (
        f"Ranks of {plural(rows.height, wording.group(group))} with intervals; most intervals overlap and only "
        "the ends of the list are set apart."
    )
    return Drawing("league", figure, caption, alt, table)


def ranks(rows: pl.DataFrame, *, seed: int, level: float = 0.95, draws: int = 4000) -> pl.DataFrame:
    """Rank 1 is the highest effect: expected rank, interval and probability of being in the top tenth.

    Parameters
    ----------
    rows : DataFrame
        `label`, `n`, `random_effect`, `random_effect_se`.
    seed : int
        Of the simulation.
    level : float
        Coverage of the interval.
    draws : int
        Number of simulated rankings; fewer are drawn beyond 2,000 groups to bound memory.

    Returns
    -------
    DataFrame
        `label`, `n`, `random_effect`, `random_effect_se`, `rank`, `expected_rank`, `rank_lower`,
        `rank_upper`, `p_top_tenth`, best first.
    """
    effect, error = column(rows, "random_effect"), column(rows, "random_effect_se")
    count = effect.size
    generator = np.random.default_rng(seed)
    draws = max(200, min(draws, 8_000_000 // count))
    simulated = effect + error * generator.standard_normal((draws, count))
    order = np.argsort(-simulated, axis=1)
    placed = np.empty_like(order)
    np.put_along_axis(placed, order, np.broadcast_to(np.arange(1, count + 1), order.shape), axis=1)
    tail = (1 - level) / 2
    lower, upper = np.quantile(placed, [tail, 1 - tail], axis=0)
    table = rows.select("label", "n", "random_effect", "random_effect_se").with_columns(
        pl.Series("rank", np.argsort(np.argsort(-effect, kind="stable"), kind="stable") + 1),
        pl.Series("expected_rank", placed.mean(axis=0)),
        pl.Series("rank_lower", lower),
        pl.Series("rank_upper", upper),
        pl.Series("p_top_tenth", (placed <= max(1, round(count / 10))).mean(axis=0)),
    )
    return table.sort("rank")


def _league_figure(table: pl.DataFrame, wording: Wording, group: str) -> Figure:
    count = table.height
    labelled = count <= LABELS_UP_TO
    n_columns = 1 if not labelled or count <= ONE_COLUMN_UP_TO else 2
    length = -(-count // n_columns)
    figure = new_figure(0.9 + 0.145 * length if labelled else 4.2)
    for k, axes in enumerate(figure.subplots(1, n_columns, sharex=True, squeeze=False)[0]):
        part = table[k * length : (k + 1) * length]
        places = -np.arange(part.height, dtype=np.float64)
        axes.hlines(
            places,
            column(part, "rank_lower"),
            column(part, "rank_upper"),
            color=PARTIAL.color,
            alpha=0.6,
            linewidth=1.2 if labelled else 0.6,
            rasterized=count > RASTER_ABOVE,
        )
        axes.scatter(
            column(part, "expected_rank"),
            places,
            s=13 if labelled else 5,
            marker=PARTIAL.marker,
            color=PARTIAL.color,
            linewidths=0,
            zorder=3,
            rasterized=count > RASTER_ABOVE,
        )
        if labelled:
            axes.set_yticks(places, [plain(label, 22) for label in part["label"]], fontsize=7)
            axes.tick_params(axis="y", length=0)
        else:
            axes.set_yticks([])
        axes.set_ylim(-length + 0.2, 0.8)
        axes.set_xlim(0, count + 1)
        axes.axvline((count + 1) / 2, color=GRID, linewidth=1.2, zorder=1)
        quiet(axes, "x")
    figure.supxlabel(f"rank of the {wording.group(group)} (1 = highest)", fontsize=9)
    return figure


def _league_caption(table: pl.DataFrame, wording: Wording, group: str, term: str, level: float) -> str:
    name, count = wording.group(group), table.height
    width = float(np.median(column(table, "rank_upper") - column(table, "rank_lower")))
    top = [wording.who(group, label) for label in table["label"][:3]]
    first = table.row(0, named=True)
    above = int((column(table, "rank_upper") < (count + 1) / 2).sum())
    below = int((column(table, "rank_lower") > (count + 1) / 2).sum())
    return (
        f"Expected rank on the {wording.coefficient(term)} with {level:.0%} rank intervals. The three highest are "
        f"{listed(top)}, yet even {wording.who(group, first['label'])} may rank anywhere from {first['rank_lower']:.0f} to "
        f"{first['rank_upper']:.0f}; the typical interval spans {width:.0f} of {count} ranks. "
        f"{_counted(above, name)} can be placed in the upper half with confidence, {_counted(below, name)} in the "
        "lower half."
    )


def _counted(count: int, name: str) -> str:
    return f"only {plural(count, name)}" if count else f"no {name}"
