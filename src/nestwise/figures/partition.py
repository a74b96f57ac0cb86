"""Where the variance lies: between groups and within them."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import wrap

import polars as pl
from matplotlib.axes import Axes

from nestwise.figures.colours import COMPLETE, NOTIONS, PAPER, Notion
from nestwise.figures.drawing import Drawing, Wording, cannot, drawn, plain, squared
from nestwise.figures.theme import new_figure, quiet
from nestwise.numbers import say
from nestwise.vocabulary import INTERCEPT

RESIDUAL = "residual"
NARROWEST = 0.06
"""Width of a bar, as a share of the widest, that holds its label."""
_LEVELS = ("partial_pooling", "pymc", "lmm", "mixedlm")
_HATCHES = ("", "//", "..", "\\\\")


@drawn
def variance_partition(estimates: pl.DataFrame, wording: Wording, *, labels: Mapping[str, str]) -> Drawing:
    """Variance between groups and within them, one bar a model.

    Parameters
    ----------
    estimates : DataFrame
        `ESTIMATES` rows of one engine, any number of models.
    wording : Wording
        Names and units.
    labels : mapping of str to str
        Model -> what to call it, in the order to draw.

    Raises
    ------
    Refusal
        Where no model has both an intercept SD and a residual SD.
    """
    parts = _variances(estimates, list(labels))
    if parts.height == 0:
        raise cannot("variance_partition", "no model has a between-group and a residual variance")
    models = [name for name in labels if name in parts["model"].to_list()]
    figure = new_figure(1.15 + 0.4 * len(models) + 0.2 * (parts["source"].n_unique() > 2))
    axes = figure.subplots()
    widest = float(parts.select((pl.col("start") + pl.col("variance")).max()).item())
    for k, source in enumerate(parts["source"].unique(maintain_order=True).to_list()):
        _stack(axes, parts.filter(pl.col("source") == source), models, _look(source, k, wording), k, widest)
    axes.set_yticks(range(len(models)), [_two_lines(labels[name]) for name in models], fontsize=7.5)
    axes.set_ylim(len(models) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)
    unit = wording.unit(wording.outcome)
    axes.set_xlabel(f"variance of {wording.name(wording.outcome)}" + (f", {squared(unit)}" if unit else ""))
    axes.spines["left"].set_visible(False)
    quiet(axes, "x")
    # Three names of sources are wider than the page.
    n_columns = 2 if parts["source"].n_unique() > 2 else 4
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=n_columns)
    slopes = estimates.filter(
        (pl.col("component") == "sd") & (pl.col("term") != INTERCEPT) & pl.col("model").is_in(models)
    )
    caption = _caption(parts, models, labels, wording, unit, sloped=slopes.height > 0)
    alt = "Stacked bars of the variance between groups and within groups, one bar a model."
    return Drawing("variance_partition", figure, caption, alt, parts.drop("start"))


def _variances(estimates: pl.DataFrame, models: list[str]) -> pl.DataFrame:
    """One row a model and source, the residual last: `variance`, `share`, `start` of its bar."""
    intercepts = (pl.col("component") == "sd") & (pl.col("term") == INTERCEPT)
    residual = (pl.col("component") == "residual") & (pl.col("term") == "sigma")
    place = {name: k for k, name in enumerate(models)}
    kept = (
        estimates.filter(
            pl.col("model").is_in(models) & pl.col("estimate").is_not_null() & (intercepts | residual)
        )
        .select(
            "model",
            pl.when(residual).then(pl.lit(RESIDUAL)).otherwise(pl.col("group")).alias("source"),
            (pl.col("estimate") ** 2).alias("variance"),
        )
        .sort(
            pl.col("model").replace_strict(place, return_dtype=pl.Int64),
            pl.col("source") == RESIDUAL,
            maintain_order=True,
        )
    )
    total = pl.col("variance").sum().over("model")
    is_residual = pl.col("source") == RESIDUAL
    both = is_residual.any().over("model") & (~is_residual).any().over("model")
    return (
        kept.with_columns(
            (pl.col("variance") / total).alias("share"),
            (pl.col("variance").cum_sum().over("model") - pl.col("variance")).alias("start"),
            both.alias("both"),
        )
        .filter("both")
        .drop("both")
        .sort("source", descending=False, maintain_order=True)
        .sort(pl.col("source") == RESIDUAL, maintain_order=True)
    )


def _two_lines(label: str) -> str:
    return "\n".join(wrap(plain(label, 76), 38, max_lines=2, placeholder="…"))


def _look(source: str, k: int, wording: Wording) -> tuple[str, Notion]:
    if source == RESIDUAL:
        return "within groups (residual)", COMPLETE
    return f"between groups of {wording.group(source)}", NOTIONS[_LEVELS[k % len(_LEVELS)]]


def _stack(  # noqa: PLR0917 (what is drawn, and where)
    axes: Axes, part: pl.DataFrame, models: list[str], look: tuple[str, Notion], k: int, widest: float
) -> None:
    label, notion = look
    places = [models.index(name) for name in part["model"]]
    residual = notion is COMPLETE
    bars = axes.barh(
        places,
        part["variance"].to_list(),
        left=part["start"].to_list(),
        height=0.62,
        color=notion.color,
        alpha=0.4 if residual else 0.85,
        hatch="" if residual else _HATCHES[k % len(_HATCHES)],
        edgecolor=PAPER,
        linewidth=1,
        label=label,
    )
    # A label has to fit its bar, and bars are as long as the variance is large.
    shares = [
        f"{share:.0%}" if variance >= NARROWEST * widest else ""
        for share, variance in part.select("share", "variance").rows()
    ]
    axes.bar_label(bars, shares, label_type="center", fontsize=8, fontweight="bold")
    if not residual:
        for text in axes.texts[-len(shares) :]:
            text.set_color(PAPER)


def _caption(
    parts: pl.DataFrame,
    models: list[str],
    labels: Mapping[str, str],
    wording: Wording,
    unit: str | None,
    *,
    sloped: bool,
) -> str:
    first, last = models[0], models[-1]
    units = f" {squared(unit)}" if unit else ""
    sentences = []
    for model in dict.fromkeys([first, last]):
        rows = parts.filter(pl.col("model") == model).iter_rows(named=True)
        said = [
            f"{say(row['variance'])}{units} ({row['share']:.0%}) "
            + ("within" if row["source"] == RESIDUAL else f"between groups of {wording.group(row['source'])}")
            for row in rows
        ]
        sentences.append(f"{plain(labels[model], 90)}: " + ", ".join(said) + ".")
    lead = "How much of the outcome's variance lies between groups and how much inside them."
    if sloped:
        sentences.append("Where slopes vary, the between-group variance is the one at predictors equal to 0.")
    return " ".join([lead, *sentences])
