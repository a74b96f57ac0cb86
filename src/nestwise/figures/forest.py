"""Estimates of the engines side by side."""

from __future__ import annotations

import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from nestwise.figures.colours import ENGINE_NOTIONS, INK
from nestwise.figures.drawing import Drawing, Wording, cannot, drawn, plain, span
from nestwise.figures.theme import new_figure, quiet
from nestwise.numbers import say
from nestwise.vocabulary import INTERCEPT

PANELS = 16
ENGINES = ("pooled", "lmm", "mixedlm", "pymc")
COMPONENTS = ("fixed", "sd", "cor", "residual")


@drawn
def reml_vs_posterior(estimates: pl.DataFrame, wording: Wording) -> Drawing:
    """Forest of fixed effects, SDs and correlations per engine, each on its own scale.

    Parameters
    ----------
    estimates : DataFrame
        Rows of one model in the `ESTIMATES` schema, all engines.
    wording : Wording
        Names and units.

    Raises
    ------
    Refusal
        Where no mixed-model engine has estimates.
    """
    rows = estimates.filter(
        pl.col("engine").is_in(ENGINES)
        & pl.col("component").is_in(COMPONENTS)
        & pl.col("estimate").is_not_null()
    )
    mixed = rows.filter(pl.col("engine") != "pooled")
    if mixed.height == 0:
        raise cannot("reml_vs_posterior", "no mixed-model engine has estimates")
    keys = (
        mixed.select("component", "group", "term")
        .unique(maintain_order=True)
        .with_columns(
            pl.col("component").replace_strict({name: k for k, name in enumerate(COMPONENTS)}).alias("place")
        )
        .sort("place", maintain_order=True)
        .drop("place")
    )
    engines = [name for name in ENGINES if name in rows["engine"].to_list()]
    shown = keys.head(PANELS)
    n_rows = -(-shown.height // 2)
    figure = new_figure(0.55 + (0.52 + 0.15 * len(engines)) * n_rows)
    grid = figure.subplots(n_rows, 2 if shown.height > 1 else 1, squeeze=False)
    for k, (axes, key) in enumerate(zip(grid.flat, shown.iter_rows(named=True), strict=False)):
        _forest_panel(axes, _matching(rows, key), engines, key, wording, named=k % 2 == 0)
    for axes in grid.flat[shown.height :]:
        axes.set_axis_off()
    caption = _forest_caption(rows, shown, keys.height)
    alt = (
        f"Forest plot of {shown.height} parameters, each with an estimate and interval from "
        + ", ".join(ENGINE_NOTIONS[name].label for name in engines)
        + "."
    )
    kept = ["engine", "component", "group", "term", "estimate", "std_error", "lower", "upper", "level"]
    return Drawing("reml_vs_posterior", figure, caption, alt, rows.select(kept))


def _matching(rows: pl.DataFrame, key: dict[str, str | None]) -> pl.DataFrame:
    return rows.filter(
        (pl.col("component") == key["component"])
        & pl.col("group").eq_missing(pl.lit(key["group"], dtype=pl.String))
        & (pl.col("term") == key["term"])
    )


def parameter_label(component: str, group: str | None, term: str, wording: Wording) -> str:
    """What a row of the estimates table is called in a figure."""
    if component == "fixed":
        return plain(term, 40)
    if component == "sd":
        what = "intercepts" if term == INTERCEPT else f"{term} slopes"
        return plain(f"SD of {what}, {wording.group(group or '')}", 46)
    if component == "cor":
        return plain(f"correlation {term.replace(':', ', ')}", 46)
    return "residual SD (sigma)"


def _forest_panel(
    axes: Axes,
    rows: pl.DataFrame,
    engines: list[str],
    key: dict[str, str],
    wording: Wording,
    *,
    named: bool,
) -> None:
    by_engine = {row["engine"]: row for row in rows.iter_rows(named=True)}
    for place, engine in enumerate(reversed(engines)):
        row = by_engine.get(engine)
        if row is None:
            continue
        notion = ENGINE_NOTIONS[engine]
        if row["lower"] is not None and row["upper"] is not None:
            axes.hlines(place, row["lower"], row["upper"], color=notion.color, linewidth=1.5)
        axes.plot(
            [row["estimate"]],
            [place],
            marker=notion.marker,
            markersize=6.5,
            color=notion.color,
            markeredgewidth=0,
            linestyle="none",
        )
    values = [
        value
        for row in by_engine.values()
        for value in (row["lower"], row["estimate"], row["upper"])
        if value is not None
    ]
    low, high = span(values, margin=0.08)
    axes.set_xlim(low, high)
    if low < 0 < high and key["component"] in ("fixed", "cor"):
        axes.axvline(0, color=INK, linewidth=0.7, zorder=1)
    labels = [ENGINE_NOTIONS[engine].label for engine in reversed(engines)]
    axes.set_yticks(range(len(engines)), labels if named else [""] * len(engines), fontsize=7.5)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.6, len(engines) - 0.4)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    title = parameter_label(key["component"], key["group"], key["term"], wording)
    axes.set_title(title, fontsize=8.5, fontweight="normal")
    axes.spines["left"].set_visible(False)
    quiet(axes, "x")


def _forest_caption(rows: pl.DataFrame, shown: pl.DataFrame, available: int) -> str:
    sentences = [
        "The same parameters by each engine, with their intervals; every panel has its own scale. Likelihood "
        "intervals of standard deviations are profile intervals and posterior ones hold the central 95%, so "
        "both may be lopsided."
    ]
    both = {
        name: rows.filter((pl.col("engine") == name) & (pl.col("component") == "sd"))
        for name in ("lmm", "pymc")
    }
    if both["lmm"].height and both["pymc"].height:
        pair = both["lmm"].join(both["pymc"], on=["group", "term"], suffix="_pymc", maintain_order="left")
        if pair.height:
            row = pair.row(0, named=True)
            sentences.append(
                "The SD of the "
                f"{'intercepts' if row['term'] == INTERCEPT else 'slopes of ' + plain(row['term'])} is "
                f"{say(row['estimate'])} by likelihood and {say(row['estimate_pymc'])} (median) by Bayes."
            )
    if shown.height < available:
        sentences.append(f"{shown.height} of {available} parameters are shown; all are in the table.")
    return " ".join(sentences)
