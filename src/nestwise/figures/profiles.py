"""The profile of the deviance along each covariance parameter."""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from scipy.special import ndtri

from nestwise.figures.colours import INK, MUTED, PARTIAL
from nestwise.figures.drawing import Drawing, Wording, cannot, column, drawn, plain
from nestwise.figures.theme import new_figure, quiet
from nestwise.names import counted

COLUMNS = 3
MOST_PANELS = 12


@drawn
def profile_zeta(profiles: pl.DataFrame, wording: Wording, *, level: float = 0.95) -> Drawing:
    """Signed root of the rise of the deviance against each covariance parameter.

    Parameters
    ----------
    profiles : DataFrame
        Rows of one fit in the `PROFILES` schema.
    wording : Wording
        Names and units.
    level : float
        Coverage whose limits are drawn.

    Raises
    ------
    Refusal
        Without a profile.

    Notes
    -----
    zeta = sign(theta - optimum) sqrt(D(theta) - D(optimum)), D minus twice the profiled log likelihood
    (Bates, Mächler, Bolker & Walker 2015, section 5.1).
    """
    kept = profiles.drop_nulls(["value", "zeta"])
    keys = kept.select("component", "group", "term").unique(maintain_order=True).head(MOST_PANELS)
    if keys.height == 0:
        raise cannot("profiles", "no covariance parameter was profiled")
    reach = float(ndtri((1 + level) / 2))
    n_columns = min(COLUMNS, keys.height)
    n_rows = -(-keys.height // n_columns)
    figure = new_figure(0.6 + 2.1 * n_rows)
    panels = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for axes in panels[keys.height :]:
        axes.set_visible(False)
    for axes, key in zip(panels, keys.iter_rows(named=True), strict=False):
        own = kept.filter(pl.all_horizontal(pl.col(name).eq_missing(pl.lit(key[name])) for name in key))
        _curve(axes, own.sort("value"), reach)
        axes.set_title(_title(key, wording), fontsize=8)
    figure.supylabel("ζ", fontsize=9)
    figure.supxlabel("value of the parameter", fontsize=9)
    caption = (
        "How the fit worsens as one covariance parameter is moved and all others follow: the signed root of "
        f"the rise of the deviance, ζ. It crosses ±{reach:.2f} (dashed) at the limits of the {level:.0%} "
        "profile interval. A straight line means that estimate ± standard error serves; a bend, as is usual "
        "for small variances, that the interval is lopsided; a curve that stops, a limit at a boundary."
    )
    alt = (
        f"Profile curves of {counted(keys.height, 'covariance parameter')} with dashed lines at ±{reach:.2f}."
    )
    return Drawing(
        "profiles", figure, caption, alt, kept.select("component", "group", "term", "value", "zeta")
    )


def _curve(axes: Axes, own: pl.DataFrame, reach: float) -> None:
    value, zeta = column(own, "value"), column(own, "zeta")
    axes.plot(value, zeta, color=PARTIAL.color, linewidth=1.6)
    for edge in (-reach, reach):
        axes.axhline(edge, color=MUTED, linewidth=0.8, linestyle="--")
    axes.axhline(0, color=INK, linewidth=0.6)
    low, high = np.nanmin(zeta), np.nanmax(zeta)
    if low < 0 < high:
        best = float(np.interp(0.0, zeta, value))
        axes.scatter([best], [0], s=22, marker=PARTIAL.marker, color=PARTIAL.color, linewidths=0, zorder=3)
    quiet(axes, "x")


def _title(key: dict[str, str | None], wording: Wording) -> str:
    term, group = str(key["term"]), key["group"]
    if key["component"] == "residual":
        return "residual SD (σ)" if term == "sigma" else f"residual {plain(term, 24)}"
    what = wording.coefficient(term) if key["component"] == "sd" else plain(term, 30)
    kind = {"sd": "SD", "cor": "correlation"}.get(str(key["component"]), str(key["component"]))
    return f"{kind}, {what}" + (f"\nbetween groups of {wording.group(group)}" if group else "")
