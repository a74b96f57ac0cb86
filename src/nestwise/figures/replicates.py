"""Data replicated from the posterior beside the data that were observed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from nestwise.figures.colours import GRID, INK, MUTED, NOTIONS
from nestwise.figures.drawing import Drawing, FloatArray, Wording, cannot, drawn, span
from nestwise.figures.theme import new_figure, quiet
from nestwise.names import several
from nestwise.numbers import say

CURVES = 30
"""Replicated curves drawn; the band in the data is of all."""

_STATISTICS = {
    "mean": "mean",
    "sd": "SD",
    "min": "smallest value",
    "max": "largest value",
    "sd_of_group_means": "SD of the group means",
}


@drawn
def posterior_predictive(replicates: Mapping[str, Any], wording: Wording) -> Drawing:
    """Quantile curves of replicated data sets around the observed one, and test quantities beside theirs.

    Parameters
    ----------
    replicates : mapping
        `record["posterior_predictive"]` of a Bayesian fit: `probabilities` (k,), quantiles `observed` (k,)
        and `curves` (S, k), `statistics`: dicts with `statistic`, `observed`, `mean`, `lower`, `upper`.
    wording : Wording
        Names and units.

    Raises
    ------
    Refusal
        Without replicates.
    """
    probabilities = np.asarray(replicates.get("probabilities") or [], dtype=np.float64)
    observed = np.asarray(replicates.get("observed") or [], dtype=np.float64)
    curves = np.asarray(replicates.get("curves") or [], dtype=np.float64)
    statistics = list(replicates.get("statistics") or [])
    if curves.ndim != 2 or curves.shape[0] == 0 or observed.size != curves.shape[1]:
        raise cannot("posterior_predictive", "there are no replicated data")
    figure = new_figure(3.6)
    if statistics:
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        _statistics(right, statistics)
    else:
        left = figure.subplots()
    _quantiles(left, probabilities, observed, curves)
    left.set_xlabel(wording.axis(wording.outcome))
    left.set_ylabel("share of observations below")
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper left", ncols=2)
    alt = f"Distribution curves of {curves.shape[0]} replicated data sets around the observed one" + (
        ", and test quantities of the data inside or outside their replicated ranges." if statistics else "."
    )
    data = pl.DataFrame(
        {
            "probability": probabilities,
            "observed": observed,
            "replicated_lower": np.quantile(curves, 0.025, axis=0),
            "replicated_median": np.median(curves, axis=0),
            "replicated_upper": np.quantile(curves, 0.975, axis=0),
        }
    )
    return Drawing("posterior_predictive", figure, _caption(curves, statistics, data), alt, data)


def _quantiles(axes: Axes, probabilities: FloatArray, observed: FloatArray, curves: FloatArray) -> None:
    color = NOTIONS["pymc"].color
    segments = [np.column_stack([curve, probabilities])[::2] for curve in curves[:CURVES]]
    axes.add_collection(LineCollection(segments, colors=color, alpha=0.25, linewidths=0.8))
    axes.plot([], [], color=color, alpha=0.6, linewidth=0.8, label="replicated from the posterior")
    axes.plot(observed, probabilities, color=INK, linewidth=1.8, label="observed", zorder=3)
    axes.set_xlim(span(observed, curves, margin=0.03))
    axes.set_ylim(-0.01, 1.01)
    quiet(axes, "both")


def _statistics(axes: Axes, statistics: list[Mapping[str, Any]]) -> None:
    """Each test quantity on its own scale: its 95% replicated range is drawn from 0 to 1."""
    color = NOTIONS["pymc"].color
    places = np.arange(len(statistics))[::-1]
    for place, row in zip(places, statistics, strict=True):
        width = (row["upper"] - row["lower"]) or 1.0
        observed, mean = ((row[name] - row["lower"]) / width for name in ("observed", "mean"))
        axes.hlines(place, 0, 1, color=color, linewidth=3, alpha=0.35)
        axes.plot([mean], [place], marker=NOTIONS["pymc"].marker, color=color, linestyle="none")
        axes.plot(
            [np.clip(observed, -0.6, 1.6)], [place], marker="|", markersize=13, markeredgewidth=2, color=INK
        )
        axes.text(
            0.5,
            place + 0.2,
            f"{_STATISTICS.get(row['statistic'], row['statistic'])}: {say(row['observed'])}",
            ha="center",
            fontsize=7.5,
            color=INK,
        )
        axes.text(0, place - 0.34, say(row["lower"]), ha="center", fontsize=6.5, color=MUTED)
        axes.text(1, place - 0.34, say(row["upper"]), ha="center", fontsize=6.5, color=MUTED)
    axes.set_xlim(-0.7, 1.7)
    axes.set_ylim(-0.6, len(statistics) - 0.35)
    axes.set_yticks([])
    axes.set_xticks([])
    axes.set_title("observed | in the replicated 95% range", fontsize=8, fontweight="normal")
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    quiet(axes, "none")


def _caption(curves: FloatArray, statistics: list[Mapping[str, Any]], data: pl.DataFrame) -> str:
    beyond = (pl.col("observed") < pl.col("replicated_lower")) | (
        pl.col("observed") > pl.col("replicated_upper")
    )
    share = float(data.select(beyond.mean()).item())
    sentences = [
        "If the model could have made these data, the observed curve lies among those of "
        f"{min(CURVES, curves.shape[0])} data sets "
        f"replicated from the posterior; {share:.0%} of its length is outside the 95% range of all "
        "replicates."
    ]
    off = [
        _STATISTICS.get(row["statistic"], row["statistic"])
        for row in statistics
        if not row["lower"] <= row["observed"] <= row["upper"]
    ]
    if statistics:
        sentences.append(
            f"The model does not reproduce the {several(off)} of the data."
            if off
            else "All test quantities of the data are inside the range of their replicates."
        )
    return " ".join(sentences)


@drawn
def prior_predictive(expected: Mapping[str, Any], wording: Wording) -> Drawing:
    """Quantiles of the outcome as the priors alone expect them, above those observed.

    Parameters
    ----------
    expected : mapping
        `record["prior_predictive"]` of a Bayesian fit: `probabilities`, `expected`, `observed`, `sd_ratio`.
    wording : Wording
        Names and units.

    Raises
    ------
    Refusal
        Without quantiles.
    """
    table = pl.DataFrame(
        {name: expected.get(key) or [] for name, key in _PRIOR_COLUMNS.items()},
        schema=dict.fromkeys(_PRIOR_COLUMNS, pl.Float64),
    ).sort("probability")
    if table.height < 3:
        raise cannot("prior_predictive", "there are no data replicated from the priors")
    figure = new_figure(1.7)
    axes = figure.subplots()
    notion = NOTIONS["pymc"]
    for place, (name, color) in enumerate((("observed", INK), ("expected", notion.color))):
        values = table[name].to_list()
        for depth in range(len(values) // 2):
            axes.hlines(
                place, values[depth], values[-1 - depth], color=color, linewidth=2.0 + 3.0 * depth, alpha=0.35
            )
        middle = values[len(values) // 2]
        axes.plot([middle], [place], marker="|", markersize=15, color=color, linestyle="none")
    axes.axvspan(table["observed"][0], table["observed"][-1], color=GRID, alpha=0.4, linewidth=0, zorder=0)
    axes.set_yticks([0, 1], ["observed", "expected by the priors"])
    axes.set_ylim(-0.6, 1.6)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(wording.axis(wording.outcome))
    quiet(axes, "x")
    low, high = table["probability"][0], table["probability"][-1]
    ratio = expected.get("sd_ratio") or {}
    caption = (
        f"Before they see the data, the priors expect {high - low:.0%} of outcomes from "
        f"{say(table['expected'][0])} to "
        f"{say(table['expected'][-1])}; observed are {say(table['observed'][0])} to "
        f"{say(table['observed'][-1])}. "
        "Bars thicken toward the median."
    )
    if ratio.get("median") is not None:
        caption += (
            f" Replicated data spread {say(ratio['median'], 2)} times as much as the observed ones (90% from "
            f"{say(ratio.get('lower'), 2)} to {say(ratio.get('upper'), 2)}): weakly informative means "
            "well above 1, "
            "not thousands."
        )
    alt = "Bars of the outcome as the priors expect it, wider than the bar of the observed outcome."
    return Drawing("prior_predictive", figure, caption, alt, table)


_PRIOR_COLUMNS = {"probability": "probabilities", "expected": "expected", "observed": "observed"}
