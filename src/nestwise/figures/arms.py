"""The difference between the arms of a trial, visit by visit."""

from __future__ import annotations

import polars as pl

from nestwise.figures.colours import INK
from nestwise.figures.drawing import Drawing, Wording, cannot, drawn, plain
from nestwise.figures.means import MOST_LINES, first_variable, level_of, lines_along
from nestwise.figures.theme import new_figure, quiet
from nestwise.names import several
from nestwise.numbers import interval, p_value, with_error


@drawn
def differences_by_visit(means: pl.DataFrame, wording: Wording, *, grid: str) -> Drawing:
    """Differences of marginal means with intervals over the visits, a line a pair of arms.

    Parameters
    ----------
    means : DataFrame
        Rows of one fit in the `MEANS` schema.
    wording : Wording
        Names and units.
    grid : str
        The grid drawn; its first variable is the time.

    Raises
    ------
    Refusal
        Without differences at several visits, or with more pairs than can be told apart.
    """
    rows = visit_differences(means, grid)
    pairs = rows["by"].unique(maintain_order=True).to_list()
    ticks = rows["x"].unique(maintain_order=True).to_list()
    if len(ticks) < 2 or len(pairs) > MOST_LINES:
        why = f"{len(pairs)} lines cannot be told apart" if pairs else "there are no differences by visit"
        raise cannot("differences_by_visit", why)
    time = first_variable(grid)
    figure = new_figure(3.2)
    axes = figure.subplots()
    axes.axhline(0, color=INK, linewidth=0.8, zorder=1)
    signed = rows.with_columns(pl.col("by").str.replace(" - ", " − ", literal=True))
    lines = signed["by"].unique(maintain_order=True).to_list()
    lines_along(axes, signed, ticks, lines, timed=time == wording.time)
    axes.set_xlabel(wording.axis(time))
    unit = wording.unit(wording.outcome)
    axes.set_ylabel("difference of means" + (f" ({unit})" if unit else ""))
    quiet(axes, "y")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=3)
    alt = (
        f"Points with intervals over {len(ticks)} visits around a line at zero, a line each for "
        f"{several([minus(pair) for pair in pairs])}."
    )
    data = rows.select("x", "by", "estimate", "std_error", "df", "p_value", "lower", "upper", "level")
    return Drawing("differences_by_visit", figure, _caption(rows, wording, time, ticks[-1]), alt, data)


def _caption(rows: pl.DataFrame, wording: Wording, time: str, last: str) -> str:
    said = [
        f"{minus(row['by'])} {with_error(row['estimate'], row['std_error'])[0]} "
        f"({interval(row['lower'], row['upper'], row['std_error'])}"
        + (f", p {_equals(row['p_value'])})" if row["p_value"] is not None else ")")
        for row in rows.filter(pl.col("x") == last).iter_rows(named=True)
    ]
    away = rows.filter((pl.col("lower") > 0) | (pl.col("upper") < 0)).height
    return (
        f"Differences of the means of {wording.name(wording.outcome)} at each visit, with {level_of(rows)} "
        "intervals, each by itself. At the last visit "
        f"({wording.unit(time) or wording.name(time)} {plain(last, 16)}): {several(said, 3)}. "
        f"{away} of {rows.height} intervals exclude zero."
    )


def visit_differences(means: pl.DataFrame, grid: str) -> pl.DataFrame:
    """Differences of one grid that stand at a level of its first variable each.

    Parameters
    ----------
    means : DataFrame
        Rows of one fit in the `MEANS` schema.
    grid : str
        The grid.
    """
    return means.filter(
        (pl.col("grid") == grid) & (pl.col("kind") == "contrast") & (pl.col("x").fill_null("") != "")
    ).drop_nulls("estimate")


def minus(pair: str) -> str:
    """A difference with a minus sign: `active − placebo`."""
    return plain(pair.replace(" - ", " − ", 1), 60)


def _equals(p: float) -> str:
    said = p_value(p)
    return said if said.startswith("<") else f"= {said}"
