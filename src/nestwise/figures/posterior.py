"""The posterior beside its prior and the likelihood, its chains, and data replicated from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from scipy.special import gammaln, ndtr

from nestwise.figures.colours import CHAIN_COLORS, INK, MUTED, NOTIONS, Notion
from nestwise.figures.drawing import Drawing, FloatArray, Wording, cannot, column, drawn, evenly, plain
from nestwise.figures.theme import new_figure, quiet
from nestwise.names import several
from nestwise.numbers import say
from nestwise.vocabulary import INTERCEPT

PARAMETERS = 8
POINTS_A_CHAIN = 200
"""Noise does not compress: more would make the largest figure of a page, and show no more."""
RANK_BINS = 20
GRID_POINTS = 200


def parameter_name(column_name: str, wording: Wording) -> str:
    """What a column of draws is called: `sd|Subject|Days` -> `SD of Days by Subject`."""
    kind, *rest = column_name.split("|")
    if kind == "fixed":
        return plain(rest[0], 34)
    if kind == "sd" and len(rest) == 2:
        what = "intercepts" if rest[1] == INTERCEPT else f"{rest[1]} slopes"
        return plain(f"SD of {what}, {wording.group(rest[0])}", 44)
    if kind == "cor" and len(rest) == 2:
        return plain(f"correlation {rest[1]}, {wording.group(rest[0])}", 44)
    if kind == "residual":
        return "residual SD (sigma)"
    return plain(column_name, 40)


def prior_density(prior: Mapping[str, Any], grid: FloatArray) -> FloatArray | None:
    """Density of a prior on an SD at the points of `grid`; None for a distribution not known here."""
    scale, location = float(prior.get("scale") or 1.0), float(prior.get("location") or 0.0)
    half = (grid >= 0).astype(np.float64)
    match prior.get("distribution"):
        case "half_normal":
            return 2 * _normal_density(grid / scale) / scale * half
        case "half_student_t":
            return 2 * _t_density(grid / scale, float(prior.get("df") or 3.0)) / scale * half
        case "exponential":
            return np.asarray(np.exp(-grid / scale) / scale * half)
        case "normal":
            above = float(ndtr(location / scale))
            return _normal_density((grid - location) / scale) / scale * half / above
        case _:
            return None


def _normal_density(z: FloatArray) -> FloatArray:
    return np.asarray(np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi))


def _t_density(z: FloatArray, df: float) -> FloatArray:
    """Student's t; scipy.stats would say the same and takes seconds to import."""
    constant = np.exp(gammaln((df + 1) / 2) - gammaln(df / 2)) / np.sqrt(df * np.pi)
    return np.asarray(constant * (1 + z**2 / df) ** (-(df + 1) / 2))


@drawn
def tau_posterior(
    draws: pl.DataFrame,
    wording: Wording,
    *,
    priors: Mapping[str, Mapping[str, Any]],
    reml: pl.DataFrame,
) -> Drawing:
    """Prior and posterior of the between-group SDs, with the REML estimate and its profile interval.

    Parameters
    ----------
    draws : DataFrame
        Posterior draws with columns `sd|<group>|<term>`.
    wording : Wording
        Names and units.
    priors : mapping
        Column of draws -> prior (`distribution`, `scale`, `df`).
    reml : DataFrame
        Rows of the likelihood fit in the `ESTIMATES` schema; may be empty.

    Raises
    ------
    Refusal
        Without draws of a between-group SD.
    """
    columns = [name for name in draws.columns if name.startswith("sd|")][:6]
    if not columns or draws.height < 10:
        raise cannot("tau_posterior", "there are no posterior draws of a between-group SD")
    n_columns = min(2, len(columns))
    n_rows = -(-len(columns) // n_columns)
    figure = new_figure(0.5 + 2.5 * n_rows)
    grid = figure.subplots(n_rows, n_columns, squeeze=False)
    curves, sentences = [], []
    for axes, name in zip(grid.flat, columns, strict=False):
        estimate = _likelihood_row(reml, name)
        curve, sentence = _tau_panel(
            axes, name, column(draws, name), priors.get(name), estimate=estimate, wording=wording
        )
        curves.append(curve)
        sentences.append(sentence)
    for axes in grid.flat[len(columns) :]:
        axes.set_axis_off()
    handles = {
        label: handle
        for axes in grid.flat
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside upper left", ncols=3)
    caption = "How large the differences between groups may be. " + " ".join(sentences)
    alt = (
        "Densities of the between-group standard deviations: a wide flat prior, a narrower posterior, "
        "and the "
        "likelihood estimate with its interval marked below."
    )
    return Drawing("tau_posterior", figure, caption, alt, pl.concat(curves))


def _likelihood_row(reml: pl.DataFrame, name: str) -> dict[str, Any] | None:
    _, group, term = name.split("|", 2)
    rows = reml.filter(
        (pl.col("component") == "sd")
        & (pl.col("group") == group)
        & (pl.col("term") == term)
        & pl.col("estimate").is_not_null()
    )
    return rows.row(0, named=True) if rows.height else None


def _tau_panel(
    axes: Axes,
    name: str,
    values: FloatArray,
    prior: Mapping[str, Any] | None,
    *,
    estimate: dict[str, Any] | None,
    wording: Wording,
) -> tuple[pl.DataFrame, str]:
    top = float(np.quantile(values, 0.998)) * 1.15
    if estimate is not None and estimate["upper"] is not None:
        top = max(top, min(float(estimate["upper"]) * 1.05, 2.5 * top))
    grid = np.linspace(0, top or 1.0, GRID_POINTS)
    density = _reflected_density(values, grid)
    posterior, likelihood = NOTIONS["pymc"], NOTIONS["lmm"]
    axes.fill_between(grid, density, color=posterior.color, alpha=0.3, linewidth=0)
    axes.plot(grid, density, color=posterior.color, label="posterior")
    prior_at = prior_density(prior, grid) if prior else None
    if prior_at is not None:
        axes.plot(grid, prior_at, color=INK, linestyle="--", linewidth=1.1, label="prior")
    peak = float(density.max())
    lower, median, upper = (float(value) for value in np.quantile(values, [0.025, 0.5, 0.975]))
    _interval(axes, -0.08 * peak, (lower, median, upper), posterior, "median, 95%")
    if estimate is not None:
        _interval(
            axes,
            -0.17 * peak,
            (estimate["lower"], estimate["estimate"], estimate["upper"]),
            likelihood,
            f"{estimate['method'] or 'likelihood'}, profile interval",
        )
    unit = wording.coefficient_unit(name.split("|", 2)[2])
    axes.set_title(parameter_name(name, wording))
    axes.set_xlabel(f"standard deviation ({unit})")
    axes.set_xlim(0, top or 1.0)
    axes.set_ylim(-0.25 * peak, 1.08 * peak)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    quiet(axes, "x")
    curve = pl.DataFrame(
        {"parameter": [name] * grid.size, "sd": grid, "posterior": density, "prior": prior_at},
        schema={"parameter": pl.String, "sd": pl.Float64, "posterior": pl.Float64, "prior": pl.Float64},
    )
    sentence = (
        f"{parameter_name(name, wording)}: posterior median {say(median)} "
        f"(95% from {say(lower)} to {say(upper)})"
    )
    if estimate is not None:
        sentence += f", {estimate['method'] or 'likelihood'} {say(estimate['estimate'])}"
        if estimate["lower"] is not None and estimate["upper"] is not None:
            sentence += f" ({say(estimate['lower'])} to {say(estimate['upper'])})"
    return curve, sentence + "."


def _interval(
    axes: Axes,
    height: float,
    interval: tuple[float | None, float, float | None],
    notion: Notion,
    label: str,
) -> None:
    lower, centre, upper = interval
    if lower is not None and upper is not None:
        axes.hlines(height, lower, upper, color=notion.color, linewidth=1.6)
    axes.plot(
        [centre],
        [height],
        marker=notion.marker,
        color=notion.color,
        linestyle="none",
        label=label,
        clip_on=False,
    )


def _reflected_density(values: FloatArray, grid: FloatArray) -> FloatArray:
    """Gaussian kernel density (Scott's width); mass that would leak below zero is folded back."""
    thinned = values[evenly(values.size, 4000)]
    if np.ptp(thinned) < 1e-12:
        return np.asarray(np.isclose(grid, thinned[0], atol=grid[1]).astype(np.float64))
    width = float(thinned.std(ddof=1)) * thinned.size ** (-1 / 5)
    both = np.stack([grid, -grid])[:, :, None]
    return np.asarray(_normal_density((both - thinned) / width).sum(axis=0).mean(axis=1) / width)


@drawn
def trace_rank(
    draws: pl.DataFrame, wording: Wording, *, verdicts: Mapping[str, str] | None = None
) -> Drawing:
    """Trace and rank plot of each parameter (Vehtari et al. 2021): good chains look alike.

    Parameters
    ----------
    draws : DataFrame
        `chain`, `draw`, then one column a parameter.
    wording : Wording
        Names.
    verdicts : mapping of str to str, optional
        Column of draws -> what to write beside it, e.g. `R-hat 1.002`.

    Raises
    ------
    Refusal
        Without draws.
    """
    available = [name for name in draws.columns if name not in ("chain", "draw")]
    if not available or draws.height < 10:
        raise cannot("trace_rank", "there are no posterior draws")
    names = _telling(available)
    figure = new_figure(0.5 + 1.15 * len(names))
    grid = figure.subplots(len(names), 2, sharex="col", squeeze=False, width_ratios=(2, 1))
    frames = []
    for (trace, rank), name in zip(grid, names, strict=True):
        _trace(trace, draws, name)
        frames.append(_rank(rank, draws, name))
        verdict = (verdicts or {}).get(name)
        title = parameter_name(name, wording) + (f"   {verdict}" if verdict else "")
        trace.set_title(title, fontsize=8, fontweight="normal")
    grid[0, 1].set_title("ranks in each chain", fontsize=8, fontweight="normal")
    grid[-1, 0].set_xlabel("draw")
    grid[-1, 1].set_xlabel("rank among all draws")
    n_chains = draws["chain"].n_unique()
    caption = (
        f"Left: the draws of {n_chains} chains, which should be one band without trend. Right: the ranks "
        "of each "
        "chain's draws among all, which should be flat: a chain that leans to one side explores another "
        "region."
    )
    if draws.height > POINTS_A_CHAIN * n_chains:
        caption += f" {POINTS_A_CHAIN} evenly spaced draws of each chain are drawn, all are ranked."
    if len(names) < len(available):
        caption += f" {len(names)} of {len(available)} parameters are shown."
    alt = (
        f"Trace and rank plots of {len(names)} parameters: " + several([plain(name) for name in names]) + "."
    )
    return Drawing("trace_rank", figure, caption, alt, pl.concat(frames))


def _telling(names: Sequence[str]) -> list[str]:
    """Variance parameters first (they mix worst), then fixed effects, in the order of the table."""
    variance = [name for name in names if not name.startswith("fixed|")]
    fixed = [name for name in names if name.startswith("fixed|")]
    kept = variance[: max(PARAMETERS - len(fixed), PARAMETERS // 2)]
    kept += fixed[: PARAMETERS - len(kept)]
    return [name for name in names if name in kept]


def _trace(axes: Axes, draws: pl.DataFrame, name: str) -> None:
    for k, (_, part) in enumerate(draws.group_by("chain", maintain_order=True)):
        values = column(part, name)
        shown = evenly(values.size, POINTS_A_CHAIN)
        axes.plot(
            shown,
            values[shown],
            color=CHAIN_COLORS[k % len(CHAIN_COLORS)],
            linewidth=0.5,
            alpha=0.75,
        )
    axes.margins(x=0)
    quiet(axes, "y")


def _rank(axes: Axes, draws: pl.DataFrame, name: str) -> pl.DataFrame:
    ranked = column(draws, name).argsort(kind="stable").argsort() + 1
    chains = draws["chain"].to_numpy()
    edges = np.linspace(0.5, ranked.size + 0.5, RANK_BINS + 1)
    frames = []
    for k, chain in enumerate(np.unique(chains)):
        counts = np.histogram(ranked[chains == chain], bins=edges)[0]
        axes.stairs(counts, edges, color=CHAIN_COLORS[k % len(CHAIN_COLORS)], linewidth=1.1)
        frames.append(
            pl.DataFrame(
                {
                    "parameter": name,
                    "chain": int(chain),
                    "bin": np.arange(RANK_BINS),
                    "count": counts.tolist(),
                }
            )
        )
    expected = ranked.size / RANK_BINS / max(1, np.unique(chains).size)
    axes.axhline(expected, color=MUTED, linewidth=0.8, linestyle=":")
    axes.set_ylim(0, None)
    axes.set_yticks([])
    axes.margins(x=0)
    quiet(axes, "none")
    return pl.concat(frames)
