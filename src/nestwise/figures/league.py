"""Ranks of groups, with the uncertainty that rankings hide (rule 30)."""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from nestwise.figures.caterpillar import LABELS_UP_TO, ONE_COLUMN_UP_TO, alike, ordered_effects
from nestwise.figures.colours import GRID, PARTIAL
from nestwise.figures.drawing import Drawing, Wording, cannot, column, drawn, plain
from nestwise.figures.theme import RASTER_ABOVE, new_figure, quiet
from nestwise.names import counted, several


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
        With fewer than three groups that have a random effect and a standard error, or if all are alike.
    """
    rows = ordered_effects(groups, group, term).filter(pl.col("random_effect_se").is_not_null())
    if rows.height < 3:
        raise cannot("league", f"fewer than three groups of {group} can be ranked")
    if alike(rows):
        raise cannot("league", f"all groups of {group} are estimated to be alike: there is nothing to rank")
    table = ranks(rows, seed=seed, level=level, draws=draws)
    figure = _league_figure(table, wording, group)
    caption = _league_caption(table, wording, group, term, level)
    alt = (
        f"Ranks of {counted(rows.height, wording.group(group))} with intervals; most intervals overlap "
        "and only "
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
        f"Expected rank on the {wording.coefficient(term)} with {level:.0%} rank intervals. The three "
        "highest are "
        f"{several(top)}, yet even {wording.who(group, first['label'])} may rank anywhere from "
        f"{first['rank_lower']:.0f} to "
        f"{first['rank_upper']:.0f}; the typical interval spans {width:.0f} of {count} ranks, and "
        f"{_counted(above, name)} can be placed in the upper half with confidence, "
        f"{_counted(below, name)} in the "
        "lower half."
    )


def _counted(count: int, name: str) -> str:
    return f"only {counted(count, name)}" if count else f"no {name}"
