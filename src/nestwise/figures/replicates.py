"""Data replicated from the posterior beside the data that were observed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from nestwise.figures.drawing import Drawing, FloatArray, Wording, cannot, drawn, listed, say, span
from nestwise.figures.theme import INK, MUTED, NOTIONS, new_figure, quiet


@drawn
def posterior_predictive(replicates: Mapping[str, Any], wording: Wording) -> Drawing:
    """Quantile curves of replicated data sets around the observed one, and test quantities beside theirs.

    Parameters
    ----------
    replicates : mapping
        `record["posterior_predictive"]` of a Bayesian fit: `probabilities` (k,), `observed` (k,) and
        `replicates` (S, k) quantiles, `statistics`: dicts with `name`, `observed`, `median`, `lower`,
        `upper`, `p_value`.
    wording : Wording
        Names and units.

    Raises
    ------
    Refusal
        Without replicates.
    """
    probabilities = np.asarray(replicates.get("probabilities") or [], dtype=np.float64)
    observed = np.asarray(replicates.get("observed") or [], dtype=np.float64)
    curves = np.asarray(replicates.get("replicates") or [], dtype=np.float64)
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
    segments = [np.column_stack([curve, probabilities]) for curve in curves[:50]]
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
        observed, median = ((row[name] - row["lower"]) / width for name in ("observed", "median"))
        axes.hlines(place, 0, 1, color=color, linewidth=3, alpha=0.35)
        axes.plot([median], [place], marker=NOTIONS["pymc"].marker, color=color, linestyle="none")
        axes.plot(
            [np.clip(observed, -0.6, 1.6)], [place], marker="|", markersize=13, markeredgewidth=2, color=INK
        )
        axes.text(
            0.5, place + 0.2, f"{row['name']}: {say(row['observed'])}", ha="center", fontsize=7.5, color=INK
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
        f"If the model could have made these data, the observed curve lies among those of {min(50, curves.shape[0])} data sets "
        f"replicated from the posterior; {share:.0%} of its length is outside the 95% range of all replicates."
    ]
    off = [row["name"] for row in statistics if not row["lower"] <= row["observed"] <= row["upper"]]
    if statistics:
        sentences.append(
            f"The model does not reproduce the {listed(off)} of the data."
            if off
            else "All test quantities of the data are inside the range of their replicates."
        )
    return " ".join(sentences)
