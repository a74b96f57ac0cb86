"""One estimand under every strategy for missing data, and how far the lost data may be shifted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from math import exp
from typing import Any

import polars as pl
from matplotlib.axes import Axes

from nestwise.compare.strategies import LOG_ODDS, USUALLY_WRONG, conclusion, estimand, label, telling
from nestwise.figures.colours import ENGINE_NOTIONS, INK, MUTED, NOTIONS
from nestwise.figures.drawing import Drawing, Wording, cannot, drawn, plain, span
from nestwise.figures.dropout import dropout_curves, dropout_means
from nestwise.figures.imputed import imputation_plan
from nestwise.figures.inputs import FigureInputs
from nestwise.figures.missing_map import missingness_map
from nestwise.figures.theme import new_figure, quiet
from nestwise.numbers import interval, p_value, say


def description_plan(inputs: FigureInputs, wording: Wording) -> dict[str, Callable[[], Drawing]]:
    """Figures of what is missing over the visits, by name; empty where nobody was to be seen repeatedly.

    Parameters
    ----------
    inputs : FigureInputs
        The study.
    wording : Wording
        Names and units.
    """
    found = inputs.description
    if (
        found is None
        or not found.record.get("schedule")
        or found.record.get("patterns", {}).get("complete") is None
    ):
        return {}
    tables, group = found.tables, str(found.record["schedule"]["subject"])
    if tables["dropout"].is_empty() or int(tables["dropout"]["left"].sum()) == 0:
        return {}
    return {
        "missingness_map": lambda: missingness_map(tables["map"], wording, unit=group),
        "dropout_curves": lambda: dropout_curves(tables["dropout"], wording, group=group),
        "dropout_means": lambda: dropout_means(tables["cohorts"], wording, group=group),
    }


def strategy_plan(inputs: FigureInputs, model: str, wording: Wording) -> dict[str, Callable[[], Drawing]]:
    """Figures of one model's strategies for missing data, by name; empty where it has one strategy.

    Parameters
    ----------
    inputs : FigureInputs
        The study.
    model : str
        One of its models.
    wording : Wording
        Names and units.
    """
    table = inputs.sensitivity.filter(pl.col("model") == model)
    arm = inputs.config.missing.arm
    key = telling(table, None if arm is None else arm.column)
    if key is None:
        return {}
    rows = estimand(table, key)
    plan: dict[str, Callable[[], Drawing]] = {"strategy_forest": lambda: strategy_forest(rows, wording)}
    shifted = rows.filter(pl.col("strategy") == "delta")
    for engine in shifted["engine"].unique(maintain_order=True):
        own = shifted.filter(pl.col("engine") == engine)
        name = "tipping_point" if "tipping_point" not in plan else f"tipping_point_{engine}"
        if own["delta"].n_unique() > 1:
            plan[name] = lambda own=own: tipping_point(own, wording)  # type: ignore[misc]
    return plan | imputation_plan(inputs, model, wording)


@drawn
def strategy_forest(rows: pl.DataFrame, wording: Wording) -> Drawing:
    """Forest of one estimand: a line a strategy and engine, comparators that are usually wrong in grey.

    Parameters
    ----------
    rows : DataFrame
        Rows of one model and estimand in the `SENSITIVITY` schema.
    wording : Wording
        Names and units.

    Raises
    ------
    Refusal
        With fewer than two answers.
    """
    shown = rows.filter(pl.col("estimate").is_not_null())
    if shown.height < 2:
        raise cannot("strategy_forest", "fewer than two strategies have an answer")
    listed = shown.to_dicts()[::-1]
    figure = new_figure(0.8 + 0.27 * len(listed))
    axes = figure.subplots()
    _bands(axes, listed)
    for place, row in enumerate(listed):
        notion = ENGINE_NOTIONS.get(row["engine"], NOTIONS["marginal"])
        color = MUTED if row["strategy"] in USUALLY_WRONG else notion.color
        if row["lower"] is not None:
            axes.hlines(place, row["lower"], row["upper"], color=color, linewidth=1.5)
        axes.plot(
            [row["estimate"]], [place], marker=notion.marker, color=color, linestyle="none", markersize=6
        )
    values = [row[name] for row in listed for name in ("lower", "estimate", "upper") if row[name] is not None]
    axes.set_xlim(span(values, [0.0], margin=0.06))
    axes.axvline(0, color=INK, linewidth=0.8, zorder=1)
    engines = shown["engine"].n_unique() > 1
    axes.set_yticks(range(len(listed)), [_label(row, engines=engines) for row in listed], fontsize=8)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.6, len(listed) - 0.4)
    unit = wording.unit(wording.outcome) if listed[0]["scale"] == "response" else None
    axes.set_xlabel(plain(str(listed[0]["term"]), 60) + (f" ({unit})" if unit else ""))
    axes.spines["left"].set_visible(False)
    quiet(axes, "x")
    kept = ["strategy", "delta", "engine", "method", "estimate", "std_error", "lower", "upper", "p_value"]
    alt = f"Forest plot of one quantity under {len(listed)} treatments of missing data, with intervals."
    return Drawing("strategy_forest", figure, _forest_caption(shown), alt, shown.select(kept))


def _bands(axes: Axes, listed: Sequence[Mapping[str, Any]]) -> None:
    """The interval from all observed rows behind the answers of its engine: others estimate other effects."""
    for row in listed:
        if row["strategy"] == "observed" and row["lower"] is not None:
            own = [place for place, other in enumerate(listed) if other["engine"] == row["engine"]]
            axes.fill_betweenx(
                [min(own) - 0.5, max(own) + 0.5], row["lower"], row["upper"],
                color=MUTED, alpha=0.1, linewidth=0,
            )  # fmt: skip


def _label(row: Mapping[str, Any], *, engines: bool) -> str:
    return f"{label(row)} ({row['engine']})" if engines else label(row)


def _forest_caption(rows: pl.DataFrame) -> str:
    first = rows.row(0, named=True)
    return (
        f"`{plain(first['term'], 60)}` under {rows.height} treatments of missing data, with "
        f"{first['level']:.0%} intervals; the band is the interval from all observed rows by the "
        f"same engine, grey marks are comparators that are usually wrong. {conclusion(rows)}"
    )


@drawn
def tipping_point(rows: pl.DataFrame, wording: Wording) -> Drawing:
    """The estimate against the shift of the imputed outcomes, and where the conclusion tips.

    Parameters
    ----------
    rows : DataFrame
        Rows `delta` of one model, engine and estimand in the `SENSITIVITY` schema.
    wording : Wording
        Names and units.

    Raises
    ------
    Refusal
        With fewer than two shifts.
    """
    shown = rows.filter(pl.col("estimate").is_not_null() & pl.col("delta").is_not_null()).sort("delta")
    if shown.height < 2:
        raise cannot("tipping_point", "fewer than two shifts have an answer")
    notion = ENGINE_NOTIONS.get(str(shown["engine"][0]), NOTIONS["marginal"])
    x = shown["delta"].to_list()
    figure = new_figure(3.0)
    axes = figure.subplots()
    axes.fill_between(x, shown["lower"].to_list(), shown["upper"].to_list(), color=notion.color, alpha=0.15)
    axes.plot(x, shown["estimate"].to_list(), color=notion.color, marker=notion.marker)
    axes.axhline(0, color=INK, linewidth=0.8, zorder=1)
    tip = tipping(shown)
    if tip is not None:
        axes.axvline(tip, color=INK, linewidth=0.8, linestyle=":")
    odds = shown["delta_scale"][0] == LOG_ODDS
    unit = "in log-odds" if odds else wording.unit(wording.outcome)
    axes.set_xlabel(f"shift of the imputed outcomes{f' ({unit})' if unit else ''}")
    axes.set_ylabel(plain(str(shown["term"][0]), 46))
    quiet(axes, "y")
    alt = "A line with a band: the estimate and its interval against the shift of the imputed outcomes."
    kept = ["delta", "delta_scale", "estimate", "std_error", "lower", "upper", "p_value"]
    return Drawing("tipping_point", figure, tipping_words(shown, unit), alt, shown.select(kept))


def tipping(rows: pl.DataFrame) -> float | None:
    """The smallest shift at which an end of the interval crosses zero; None if none does between those tried.

    Parameters
    ----------
    rows : DataFrame
        Rows `delta` of one estimand, in the order of the shifts.
    """
    places = [
        before + (after - before) * low / (low - high)
        for end in ("lower", "upper")
        for (before, low), (after, high) in pairwise(
            zip(rows["delta"].to_list(), rows[end].to_list(), strict=True)
        )
        if low is not None and high is not None and low * high < 0
    ]
    return min(places, key=abs, default=None)


def tipping_words(rows: pl.DataFrame, unit: str | None) -> str:
    """What the grid of shifts says, in a sentence or two; shifts of log-odds as odds ratios too."""
    first, last = rows.row(0, named=True), rows.row(-1, named=True)
    odds = first["delta_scale"] == LOG_ODDS
    what = "the log-odds of the imputed outcomes" if odds else "the imputed outcomes"
    amount = f" {unit}" if unit and not odds else ""
    ratios = f" (odds ratios of {_ratio(first['delta'])} to {_ratio(last['delta'])})" if odds else ""
    text = (
        f"With {what} shifted by {say(first['delta'])} to {say(last['delta'])}{amount}{ratios}, "
        f"the estimate goes from {say(first['estimate'])} (interval "
        f"{interval(first['lower'], first['upper'], first['std_error'])}, p {p_value(first['p_value'])}) to "
        f"{say(last['estimate'])} ({interval(last['lower'], last['upper'], last['std_error'])}). "
    )
    tip = tipping(rows)
    if tip is None:
        return text + "The conclusion does not tip inside this range."
    ratio = f" (an odds ratio of {_ratio(tip)})" if odds else ""
    return (
        text + f"The conclusion tips at a shift of about {say(tip, 2)}{amount}{ratio}: judge whether that is "
        "plausible."
    )


def _ratio(shift: float) -> str:
    """The odds ratio of a shift of the log-odds; beyond e^700 a float has no name for it."""
    return say(exp(min(shift, 700.0)), 2)
