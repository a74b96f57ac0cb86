"""How the residuals of one subject hang together: correlations of the visits and an SD for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from nestwise.figures.colours import INK, NO, PARTIAL
from nestwise.figures.drawing import Drawing, FloatArray, Wording, cannot, drawn, plain
from nestwise.figures.theme import new_figure, quiet
from nestwise.numbers import fixed, say

MOST_STRATA = 4
MOST_NUMBERED = 12
"""Visits beyond which the squares carry no numbers."""
DARKEST = 0.55
"""Opacity at a correlation of 1: text stays readable on it, on light paper and on dark."""

Ends = tuple[float, float]


@drawn
def residual_correlations(residual: Mapping[str, Any], estimates: pl.DataFrame, wording: Wording) -> Drawing:
    """Estimated correlations of the visits as a triangle of squares, and the SD at each visit.

    Parameters
    ----------
    residual : mapping
        The key `residual` of a fit's record: `visits`, and `strata` with `correlation` and `sd`.
    estimates : DataFrame
        Rows of the same fit in the `ESTIMATES` schema, for the intervals of the SDs.
    wording : Wording
        Names and units.

    Raises
    ------
    Refusal
        Where residuals are independent, or have no visits.
    """
    visits = [str(visit) for visit in residual.get("visits") or ()]
    strata = [part for part in residual.get("strata") or () if len(part["correlation"]) == len(visits)]
    if len(visits) < 2 or not strata:
        raise cannot("residual_correlations", "no correlations of visits were estimated")
    shown = strata[:MOST_STRATA]
    has_sd = all("sd" in part for part in shown)
    figure = new_figure(0.5 + 2.6 * len(shown))
    panels = figure.subplots(len(shown), 2 if has_sd else 1, squeeze=False, width_ratios=(1, 1)[: 1 + has_sd])
    limits = _limits(estimates)
    for k, part in enumerate(shown):
        label = str(part.get("label") or "")
        _squares(panels[k, 0], np.array(part["correlation"], dtype=np.float64), visits, label)
        if has_sd:
            _deviations(panels[k, 1], part["sd"], visits, [_ends(limits, each, label) for each in visits])
            panels[k, 1].set_ylabel(f"residual SD{_unit(wording)}")
    for axes in panels[1:, 1:].ravel():
        axes.sharey(panels[0, 1])  # strata are compared by eye
    time = str(residual.get("time") or "")
    axis = wording.axis(time) if time else "visit"
    for axes in panels[-1]:
        axes.set_xlabel(axis)
    data = _data(shown, visits, limits)
    caption, alt = _words(shown, visits, axis, wording, n_strata=len(strata))
    return Drawing("residual_correlations", figure, caption, alt, data)


def _unit(wording: Wording) -> str:
    unit = wording.unit(wording.outcome)
    return f" ({unit})" if unit else ""


def _ends(limits: Mapping[str, Ends], visit: str, label: str) -> Ends | None:
    """Interval of the SD at a visit: its own, or that of the one SD of all visits."""
    own = (f"sigma[{label}:{visit}]", f"sigma[{label}]") if label else (f"sigma[{visit}]", "sigma")
    return next((limits[term] for term in own if term in limits), None)


def _limits(estimates: pl.DataFrame) -> dict[str, Ends]:
    rows = estimates.filter(
        (pl.col("component") == "residual") & pl.col("lower").is_not_null() & pl.col("upper").is_not_null()
    )
    return {term: (low, high) for term, low, high in rows.select("term", "lower", "upper").rows()}


def _squares(axes: Axes, matrix: FloatArray, visits: Sequence[str], label: str) -> None:
    """The lower triangle: a deeper colour is closer to 1, hatched is negative."""
    n = len(visits)
    for t in range(1, n):
        for u in range(t):
            r = float(matrix[t, u])
            notion = PARTIAL if r >= 0 else NO
            axes.add_patch(
                Rectangle(
                    (u - 0.48, t - 0.48),
                    0.96,
                    0.96,
                    facecolor=notion.color,
                    alpha=DARKEST * min(abs(r), 1.0),
                    hatch="" if r >= 0 else "//",
                    linewidth=0,
                )
            )
            if n <= MOST_NUMBERED:
                axes.text(u, t, fixed(r, 2), ha="center", va="center", fontsize=8, color=INK)
    step = max(1, -(-n // MOST_NUMBERED))
    axes.set_xticks(range(0, n - 1, step), [plain(visit, 10) for visit in visits[:-1:step]])
    axes.set_yticks(range(1, n, step), [plain(visit, 10) for visit in visits[1::step]])
    axes.set_xlim(-0.55, n - 1.45)
    axes.set_ylim(n - 0.45, 0.45)
    axes.set_title(plain(f"Correlations, {label}" if label else "Correlations", 40))
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    quiet(axes, "none")


def _deviations(
    axes: Axes,
    sd: Sequence[float],
    visits: Sequence[str],
    limits: Sequence[Ends | None],
) -> None:
    places = np.arange(len(visits))
    for place, ends in zip(places, limits, strict=True):
        if ends is not None:
            axes.vlines(place, *ends, color=PARTIAL.color, linewidth=1.4, alpha=0.8)
    axes.plot(places, sd, color=PARTIAL.color, marker=PARTIAL.marker, linestyle="-", linewidth=1)
    step = max(1, -(-len(visits) // MOST_NUMBERED))
    axes.set_xticks(places[::step], [plain(visit, 10) for visit in visits[::step]])
    axes.set_xlim(-0.5, len(visits) - 0.5)
    axes.set_ylim(bottom=0)
    axes.set_title("SD at each visit")
    quiet(axes, "y")


def _data(
    strata: Sequence[Mapping[str, Any]],
    visits: Sequence[str],
    limits: Mapping[str, Ends],
) -> pl.DataFrame:
    rows = []
    for part in strata:
        label = str(part.get("label") or "")
        for t, visit in enumerate(visits):
            ends = _ends(limits, visit, label) or (None, None)
            sd = part["sd"][t] if "sd" in part else None
            rows.append((label, visit, visit, "sd", sd, *ends))
            rows += [
                (label, visits[u], visit, "correlation", part["correlation"][t][u], None, None)
                for u in range(t)
            ]
    columns = ["stratum", "visit", "other", "quantity", "estimate", "lower", "upper"]
    types = dict.fromkeys(columns[:4], pl.String) | dict.fromkeys(columns[4:], pl.Float64)
    return pl.DataFrame(rows, schema=types, orient="row")


def between(low: str, high: str) -> str:
    """`0.61 to 0.75`, or the one number that both are."""
    return low if low == high else f"{low} to {high}"


def _words(
    strata: Sequence[Mapping[str, Any]],
    visits: Sequence[str],
    axis: str,
    wording: Wording,
    *,
    n_strata: int,
) -> tuple[str, str]:
    sentences = []
    for part in strata:
        matrix = np.array(part["correlation"], dtype=np.float64)
        low = matrix[np.tril_indices(len(visits), -1)]
        near = np.diagonal(matrix, -1)
        own = f"{plain(part['label'], 30)}: " if part.get("label") else ""
        said = (
            f"{own}correlations of two visits "
            f"{between(fixed(float(low.min()), 2), fixed(float(low.max()), 2))}, of neighbouring visits "
            f"{fixed(float(near.mean()), 2)} on average"
        )
        if "sd" in part:
            said += f"; SD {between(say(min(part['sd'])), say(max(part['sd'])))}{_unit(wording)}"
        sentences.append(said[0].upper() + said[1:] + ".")
    more = f" {n_strata - len(strata)} more strata are in the table." if n_strata > len(strata) else ""
    caption = (
        "The deeper its colour, the stronger the correlation of the residuals of one subject at two visits; "
        f"lines are intervals of the standard deviations. {' '.join(sentences)}{more}"
    )
    alt = f"Triangle of correlations of {len(visits)} visits ({axis})" + (
        ", and their standard deviations." if "sd" in strata[0] else "."
    )
    return caption, alt
