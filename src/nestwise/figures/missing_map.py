"""The missingness map: every subject or row in a band of its likes, dark where values are missing."""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from nestwise.figures.colours import NO
from nestwise.figures.drawing import Drawing, Wording, cannot, drawn, plain
from nestwise.figures.theme import new_figure, quiet
from nestwise.names import plural
from nestwise.numbers import percent

PANELS = 4
MOST_TICKS = 24
ALL = "all"


@drawn
def missingness_map(table: pl.DataFrame, wording: Wording, *, unit: str) -> Drawing:
    """Who lacks what: columns are visits or variables, rows are bands of similar subjects.

    Parameters
    ----------
    table : DataFrame
        In the schema MISSINGNESS_MAP.
    wording : Wording
        Names.
    unit : str
        What a band holds: the grouping factor of the subjects, or `row`.

    Raises
    ------
    Refusal
        Where nothing is missing, or there are too many arms.
    """
    arms = table["arm"].unique(maintain_order=True).to_list()
    if table.height == 0 or float(table["missing"].max() or 0) == 0 or len(arms) > PANELS:  # type: ignore[arg-type]
        raise cannot("missingness_map", "no value is missing, or there are too many arms")
    visits = table["over"][0] != "variables"
    columns = table.sort("position")["column"].unique(maintain_order=True).to_list()
    figure = new_figure(3.6)
    panels = figure.subplots(1, len(arms), squeeze=False)[0]
    who = wording.group(unit)
    for axes, arm in zip(panels, arms, strict=True):
        own = table.filter(pl.col("arm") == arm)
        total = _panel(axes, own, len(columns))
        _label(axes, columns, wording, visits=visits)
        if arm != ALL:
            axes.set_title(f"{plain(arm, 24)} ({total:,})")
        axes.set_xlabel("visit" if visits else "variable")
    panels[0].set_ylabel(f"{plural(who)}, longest observed at the bottom" if visits else plural(who))
    share = _shares(table)
    said = [f"{plain(arm, 24)} {percent(value)}" for arm, value in share]
    whole = f" ({', '.join(said)})" if len(said) > 1 else f" ({percent(share[0][1])})"
    what = wording.name(wording.outcome) if visits else "values"
    caption = (
        f"Filled where {what} {'is' if visits else 'are'} missing{whole}. Each line stands for "
        f"{_band(table)} {'with like histories' if visits else 'in the order of the file'}; a lighter fill "
        "means that part of them lack it."
    )
    alt = f"Map of missing values, {plural(who)} by {'visit' if visits else 'variable'}. " + caption
    return Drawing("missingness_map", figure, caption, alt, table.drop("study"))


def _panel(axes: Axes, own: pl.DataFrame, K: int) -> int:
    """Draw the bands of one arm as high as they have members, and return how many these are."""
    ordered = own.sort("band", "position")
    share = ordered["missing"].to_numpy().reshape(-1, K)
    sizes = ordered.filter(pl.col("position") == 0)["n"].to_numpy()
    edges = np.concatenate([[0], np.cumsum(sizes)])
    cells = np.empty((*share.shape, 4))
    cells[..., :3], cells[..., 3] = to_rgb(NO.color), share
    axes.pcolormesh(np.arange(K + 1) - 0.5, edges, cells, rasterized=True, linewidth=0)
    axes.set_ylim(0, edges[-1])
    axes.set_xlim(-0.5, K - 0.5)
    quiet(axes, "none")
    return int(edges[-1])


def _label(axes: Axes, columns: list[str], wording: Wording, *, visits: bool) -> None:
    step = max(1, -(-len(columns) // MOST_TICKS))
    ticks = list(range(0, len(columns), step))
    names = [columns[k] if visits else wording.name(columns[k]) for k in ticks]
    axes.set_xticks(ticks, [plain(name, 14) for name in names])
    if not visits:
        axes.tick_params(axis="x", labelrotation=40)


def _shares(table: pl.DataFrame) -> list[tuple[str, float]]:
    found = table.group_by("arm", maintain_order=True).agg(
        ((pl.col("missing") * pl.col("n")).sum() / pl.col("n").sum()).alias("share")
    )
    return list(zip(found["arm"].to_list(), found["share"].to_list(), strict=True))


def _band(table: pl.DataFrame) -> str:
    most = int(table["n"].max() or 1)  # type: ignore[arg-type]
    return "one" if most == 1 else f"up to {most:,}"
