"""One estimand under every strategy for missing data, and how far the lost data may be shifted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import polars as pl

from nestwise.compare.strategies import LABELS, USUALLY_WRONG, conclusion, estimand, telling
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
    reference = next((row for row in listed if row["strategy"] == "observed"), None)
    if reference is not None and reference["lower"] is not None:
        axes.axvspan(reference["lower"], reference["upper"], color=MUTED, alpha=0.1, linewidth=0)
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


def _label(row: Mapping[str, Any], *, engines: bool) -> str:
    text = LABELS[row["strategy"]]
    if row["delta"] is not None:
        text += f" by {row['delta']:g}"
    return f"{text} ({row['engine']})" if engines else text


def _forest_caption(rows: pl.DataFrame) -> str:
    first = rows.row(0, named=True)
    return (
        f"`{plain(first['term'], 60)}` under {rows.height} treatments of missing data, with "
        f"{first['level']:.0%} intervals; the band is the interval from all observed rows, grey marks are "
        f"comparators that are usually wrong. {conclusion(rows)}"
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
    unit = wording.unit(wording.outcome)
    axes.set_xlabel("shift of the imputed outcomes" + (f" ({unit})" if unit else ""))
    axes.set_ylabel(plain(str(shown["term"][0]), 46))
    quiet(axes, "y")
    alt = "A line with a band: the estimate and its interval against the shift of the imputed outcomes."
    kept = ["delta", "estimate", "std_error", "lower", "upper", "p_value"]
    return Drawing("tipping_point", figure, tipping_words(shown, unit), alt, shown.select(kept))


def tipping(rows: pl.DataFrame) -> float | None:
    """The shift at which an end of the interval crosses zero, between the shifts tried; None if it does not.

    Parameters
    ----------
    rows : DataFrame
        Rows `delta` of one estimand, in the order of the shifts.
    """
    for end in ("lower", "upper"):
        pairs = list(zip(rows["delta"].to_list(), rows[end].to_list(), strict=True))
        for (before, low), (after, high) in pairwise(pairs):
            if low is not None and high is not None and low * high < 0:
                return float(before + (after - before) * low / (low - high))
    return None


def tipping_words(rows: pl.DataFrame, unit: str | None) -> str:
    """What the grid of shifts says, in a sentence or two."""
    first, last = rows.row(0, named=True), rows.row(-1, named=True)
    amount = f" {unit}" if unit else ""
    text = (
        f"With the imputed outcomes shifted by {say(first['delta'])} to {say(last['delta'])}{amount}, "
        f"the estimate goes from {say(first['estimate'])} (interval "
        f"{interval(first['lower'], first['upper'], first['std_error'])}, p {p_value(first['p_value'])}) to "
        f"{say(last['estimate'])} ({interval(last['lower'], last['upper'], last['std_error'])}). "
    )
    tip = tipping(rows)
    if tip is None:
        return text + "The conclusion does not tip inside this range."
    return (
        text
        + f"The conclusion tips at a shift of about {say(tip, 2)}{amount}: judge whether that is plausible."
    )
