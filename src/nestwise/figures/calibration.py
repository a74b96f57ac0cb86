"""Residuals of outcomes that are not Gaussian: means in bins, and quantile residuals against the normal.

A residual of a binary outcome takes two values and no normal distribution judges it; its mean over rows with
similar expectation does (Gelman & Hill 2007, section 5.6). Counts and positive outcomes have quantile
residuals, normal where the model is right: the normal quantile of the probability of a smaller outcome, drawn
at random where outcomes are whole numbers (Dunn & Smyth 1996).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import polars as pl
from scipy.special import betainc, expit, gammainc, logit, ndtr, ndtri, pdtr

from nestwise.figures.colours import INK, MUTED, PARTIAL
from nestwise.figures.drawing import Drawing, FloatArray, Wording, cannot, column, drawn, span
from nestwise.figures.residuals import draw_qq, normal_order, outside, thinned
from nestwise.figures.theme import new_figure, quiet
from nestwise.names import counted, plural
from nestwise.numbers import say

FEWEST = 10
"""Rows in a bin."""
MOST_BINS = 30
NODES = 41
QUANTILE_FAMILIES = ("poisson", "negative_binomial", "gamma")
LARGEST = 700.0
EDGE = 1e-12


@drawn
def binned_residuals(rows: pl.DataFrame, wording: Wording, *, group: str, averaged: bool) -> Drawing:
    """Mean residual of rows with similar expectation, with the band that two standard errors make.

    The standard error of a bin takes the rows of one group for dependent: it is the root of the summed
    squares of the groups' sums of residuals, over the number of rows.

    Parameters
    ----------
    rows : DataFrame
        `label` (of the group), `observed`, `expected`.
    wording : Wording
        Names and units.
    group : str
        Grouping factor.
    averaged : bool
        Whether expectations are averages over groups; otherwise they hold the effects of each row's group.

    Raises
    ------
    Refusal
        With fewer than two bins of ten rows.
    """
    rows = rows.drop_nulls(["observed", "expected"]).sort("expected", maintain_order=True)
    bins = min(MOST_BINS, int(np.sqrt(rows.height)), rows.height // FEWEST)
    if bins < 2:
        raise cannot("binned_residuals", f"there are fewer than {2 * FEWEST} rows")
    table = _bins(rows, bins)
    figure = new_figure(3.4)
    axes = figure.subplots()
    x, mean, band = (column(table, name) for name in ("expected", "mean", "band"))
    axes.fill_between(x, -band, band, color=MUTED, alpha=0.18, linewidth=0, label="± 2 standard errors")
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.scatter(
        x, mean, s=20, color=PARTIAL.color, marker=PARTIAL.marker, linewidths=0, zorder=3,
        label="mean in a bin",
    )  # fmt: skip
    axes.set_xlabel(f"expected {wording.axis(wording.outcome)}")
    axes.set_ylabel("mean residual")
    axes.set_ylim(span(mean, band, -band))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=2)
    quiet(axes, "y")
    alt = (
        "Mean residuals in bins of the expectation; they scatter around zero in a band where the model fits."
    )
    caption = _binned_caption(table, rows.height, wording.group(group), averaged=averaged)
    return Drawing("binned_residuals", figure, caption, alt, table)


def _binned_caption(table: pl.DataFrame, n: int, name: str, *, averaged: bool) -> str:
    beyond = table.filter(pl.col("mean").abs() > pl.col("band")).height
    basis = (
        f"averaged over {plural(name)}"
        if averaged
        else f"with the effect of each row's {name}, which follows the data a little"
    )
    return (
        f"Observed less expected, the expectation {basis}, in {table.height} bins of about "
        f"{round(n / table.height)} rows with similar expectation. {beyond or 'None'} of "
        f"{counted(table.height, 'bin')} {'lies' if beyond == 1 else 'lie'} outside two standard errors "
        f"(rows of one {name} taken for dependent), where one in twenty would by chance. A bend or a slope "
        "would say that the link or a predictor is wrong."
    )


def _bins(rows: pl.DataFrame, bins: int) -> pl.DataFrame:
    """`expected`, `n`, `mean` and `band` of as many bins of equal size."""
    residual = pl.col("observed") - pl.col("expected")
    number = pl.int_range(pl.len()) * bins // rows.height
    return (
        rows.with_columns(residual.alias("residual"), number.alias("bin"))
        .group_by("bin", "label", maintain_order=True)
        .agg(pl.col("expected").sum(), pl.len().alias("n"), pl.col("residual").sum())
        .group_by("bin", maintain_order=True)
        .agg(
            (pl.col("expected").sum() / pl.col("n").sum()).alias("expected"),
            pl.col("n").sum().alias("rows"),
            (pl.col("residual").sum() / pl.col("n").sum()).alias("mean"),
            (2 * pl.col("residual").pow(2).sum().sqrt() / pl.col("n").sum()).alias("band"),
        )
        .drop("bin")
        .rename({"rows": "n"})
    )


def average_expectation(typical: FloatArray, link: str, spread: float) -> FloatArray | None:
    """Means of rows averaged over normal random intercepts; `None` for links that are not known here.

    Parameters
    ----------
    typical : ndarray (n,)
        Means at random effects of 0.
    link : str
        logit, probit, cloglog or log.
    spread : float
        SD of the random intercepts together.
    """
    if link == "log":
        return np.asarray(typical * np.exp(spread**2 / 2))
    if link not in LINKS:
        return None
    forward, back = LINKS[link]
    eta = np.clip(forward(np.clip(typical, EDGE, 1 - EDGE)), -LARGEST, LARGEST)
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    at: FloatArray = back(eta[:, None] + spread * nodes)
    return np.asarray(at @ (weights / weights.sum()))


def _cloglog(p: FloatArray) -> FloatArray:
    return np.log(-np.log1p(-p))


def _cloglog_inverse(eta: FloatArray) -> FloatArray:
    return -np.expm1(-np.exp(np.minimum(eta, LARGEST)))


LINKS: Mapping[str, tuple[Callable[[FloatArray], FloatArray], Callable[[FloatArray], FloatArray]]] = {
    "logit": (logit, expit),
    "probit": (ndtri, ndtr),
    "cloglog": (_cloglog, _cloglog_inverse),
}
"""Links of probabilities, and their inverses."""


@drawn
def quantile_residual_qq(
    predictions: pl.DataFrame,
    *,
    family: str,
    spread: float | None,
    dispersion: float | None = None,
    seed: int = 0,
) -> Drawing:
    """Randomised quantile residuals against normal quantiles with a pointwise 95% envelope.

    Parameters
    ----------
    predictions : DataFrame
        Rows of one fit in the `PREDICTIONS` schema, log link.
    family : str
        One of `QUANTILE_FAMILIES`.
    spread : float or None
        SD of all random effects together on the log scale, over which the distribution of a row is averaged;
        `None` where it differs between rows: then the effects of each row's group are taken as known.
    dispersion : float, optional
        Size of a negative binomial, shape of a gamma distribution.
    seed : int
        Of the draws between the probabilities of neighbouring counts.

    Raises
    ------
    Refusal
        With fewer than five rows, or another family.
    """
    rows = predictions.select("observed", "fixed", "fitted").drop_nulls()
    if rows.height < 5 or family not in QUANTILE_FAMILIES:
        raise cannot("quantile_residual_qq", "there are fewer than five rows")
    mu = column(rows, "fixed" if spread is not None else "fitted")
    residuals = quantile_residuals(
        column(rows, "observed"), mu, family, spread=spread or 0.0, dispersion=dispersion, seed=seed
    )
    ordered = normal_order(residuals, standardise=False)
    figure = new_figure(3.5)
    axes = figure.subplots()
    draw_qq(axes, ordered)
    axes.set_ylabel("quantile residual")
    at_random = " (drawn at random between neighbouring counts)" if family != "gamma" else ""
    basis = (
        "the distribution of a row, averaged over the groups,"
        if spread is not None
        else "the distribution of a row given its group (which makes them a little too small)"
    )
    caption = (
        f"Quantile residuals of {counted(residuals.size, 'observation')}{at_random}: where {basis} is "
        f"right, they are normal with an SD of 1. Theirs is {say(float(residuals.std(ddof=1)))}; "
        f"{outside(ordered):.0%} of the points are outside the band that holds 95% of independent samples "
        "at each point. Points above the line on the right are outcomes larger than the model allows."
    )
    alt = "Quantile plot of randomised quantile residuals; points on the diagonal fit the model."
    return Drawing("quantile_residual_qq", figure, caption, alt, thinned(ordered))


def quantile_residuals(
    y: FloatArray, mu: FloatArray, family: str, *, spread: float, dispersion: float | None, seed: int
) -> FloatArray:
    """Normal quantiles of the probability of a smaller outcome, by log link.

    Parameters
    ----------
    y, mu : ndarray (n,)
        Outcomes, and their means at random effects of 0.
    family : str
        One of `QUANTILE_FAMILIES`.
    spread : float
        SD of the random part of the linear predictor; probabilities are averaged over it.
    dispersion : float or None
        Size or shape.
    seed : int
        Of the draws for whole numbers.

    Returns
    -------
    ndarray (n,)
        Finite.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES if spread > 0 else 1)
    weights = weights / weights.sum()
    below, upto = np.zeros(y.size), np.zeros(y.size)
    for node, weight in zip(nodes, weights, strict=True):
        at = mu * np.exp(min(spread * node, LARGEST))
        upto += weight * _probability(y, at, family, dispersion)
        if family != "gamma":
            below += weight * _probability(y - 1, at, family, dispersion)
    if family == "gamma":
        below = upto
    between = np.random.default_rng(seed).random(y.size)
    return np.asarray(ndtri(np.clip(below + between * (upto - below), EDGE, 1 - EDGE)))


def _probability(y: FloatArray, mu: FloatArray, family: str, dispersion: float | None) -> FloatArray:
    """Probability of an outcome up to y; 0 below 0."""
    known = np.maximum(y, 0.0)
    if family == "gamma":
        shape = dispersion or 1.0
        return np.asarray(gammainc(shape, shape * known / mu))
    if family == "poisson" or not dispersion:
        found = pdtr(known, mu)
    else:
        found = betainc(dispersion, known + 1, dispersion / (dispersion + mu))
    return np.where(y < 0, 0.0, found)
