"""Imputed values: how the chains that drew them went, and how they lie beside the observed ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import polars as pl
from matplotlib.axes import Axes

from nestwise.data.dataset import ROW
from nestwise.figures.colours import CHAIN_COLORS, INK, NO, PARTIAL
from nestwise.figures.drawing import Drawing, FloatArray, Wording, cannot, drawn, evenly, plain, span
from nestwise.figures.inputs import FigureInputs, model_tables
from nestwise.figures.theme import new_figure, quiet
from nestwise.imputation.draws import KNOWN, Draws
from nestwise.imputation.joint import LOOK
from nestwise.missing.visits import all_visits
from nestwise.names import several
from nestwise.numbers import say

PANELS = 4
"""Variables shown, those with most gaps first."""
MOST_CHAINS = 20
MOST_GROUPS = 300
BINS = 24
MEASURED = ("continuous", "count")


def imputation_plan(inputs: FigureInputs, model: str, wording: Wording) -> dict[str, Callable[[], Drawing]]:
    """Figures of the imputations of one model, by name; empty where none were drawn.

    Parameters
    ----------
    inputs : FigureInputs
        The study.
    model : str
        One of its models.
    wording : Wording
        Names and units.
    """
    draws = inputs.draws_of(model)
    if draws is None or not draws.m or not draws.methods:
        return {}
    group = model_tables(inputs, model).group

    def values() -> Drawing:
        planned = all_visits(inputs.dataset, inputs.config.missing.visit)
        schema = planned.frame.collect_schema()
        names = [ROW, *draws.methods, *([group] if group in schema and group not in draws.methods else [])]
        return imputed_values(draws, planned.frame.select(names).collect(), wording, group=group)

    plan: dict[str, Callable[[], Drawing]] = {}
    if draws.traces.size:
        plan["imputation_traces"] = partial(imputation_traces, draws, wording)
    plan["imputed_values"] = values
    return plan


def _shown(draws: Draws) -> list[str]:
    """Variables with most values drawn."""
    sizes = {each.variable: each.rows.size for each in draws.fillings if each.method != KNOWN}
    return sorted(sizes, key=lambda name: -sizes[name])[:PANELS]


def _left_out(draws: Draws, shown: Sequence[str]) -> str:
    rest = [f"`{plain(name, 30)}`" for name in draws.methods if name not in shown]
    return f" Not shown: {several(rest)}." if rest else ""


@drawn
def imputation_traces(draws: Draws, wording: Wording) -> Drawing:
    """Mean and SD of the imputed values over the sweeps: a line a chain, a row of panels a variable.

    Parameters
    ----------
    draws : Draws
        All imputations.
    wording : Wording
        Names and units.

    Raises
    ------
    Refusal
        With fewer than two sweeps.
    """
    chains, sweeps = draws.traces.shape[:2]
    if sweeps < 2:
        raise cannot("imputation_traces", "the chains of the imputation have one sweep")
    names = [name for name in _shown(draws) if name in draws.trace_variables]
    kept = evenly(chains, MOST_CHAINS)
    figure = new_figure(0.7 + 1.25 * len(names))
    panels = figure.subplots(len(names), 2, squeeze=False, sharex=True)
    x, rows = np.arange(1, sweeps + 1), []
    for own, name in zip(panels, names, strict=True):
        for axes, what in zip(own, ("mean", "sd"), strict=True):
            lines = draws.traces[:, :, draws.trace_variables.index(name), draws.traced.index(what)]
            for chain in kept:
                color = CHAIN_COLORS[chain % len(CHAIN_COLORS)]
                axes.plot(x, lines[chain], color=color, linewidth=0.8, alpha=0.8)
                rows += [
                    {"variable": name, "of": what, "chain": int(chain) + 1, "sweep": int(at), "value": value}
                    for at, value in zip(x, lines[chain].tolist(), strict=True)
                ]
            axes.set_ylim(*span(lines[kept]))
            axes.set_title(f"{plain(wording.name(name), 26)}: {'mean' if what == 'mean' else 'SD'}")
            quiet(axes, "y")
    joint = set(draws.methods.values()) == {"joint"}
    step = f"{LOOK} iterations" if joint else "sweep"
    for axes in panels[-1]:
        axes.set_xlabel(f"times {step}" if joint else step)
    caption = (
        f"Mean and SD of the imputed values in {len(kept)} of {chains} chains, after each {step}. Chains "
        "that mix freely and show no trend have settled; chains that stay apart have not."
        + _left_out(draws, names)
    )
    alt = f"Trace plots of imputed values, {len(names)} variables, a line a chain."
    return Drawing("imputation_traces", figure, caption, alt, pl.DataFrame(rows))


@drawn
def imputed_values(draws: Draws, frame: pl.DataFrame, wording: Wording, *, group: str) -> Drawing:
    """Imputed beside observed values: distributions on the left, means of groups on the right.

    Parameters
    ----------
    draws : Draws
        All imputations.
    frame : DataFrame
        `.row`, the incomplete variables and the groups, a row for each planned visit.
    wording : Wording
        Names and units.
    group : str
        Column of the groups; without it there is no right side.
    """
    names = _shown(draws)
    right = group in frame.columns
    figure = new_figure(0.5 + 1.75 * len(names))
    panels = figure.subplots(len(names), 1 + right, squeeze=False)
    rows: list[dict[str, object]] = []
    said = []
    for place, (own, name) in enumerate(zip(panels, names, strict=True)):
        table = _values(draws, frame, name, group if right else None)
        rows += _distribution(own[0], draws, table, name, wording)
        if place == 0:
            own[0].legend(loc="best")
        if right:
            rows += _group_means(own[1], table, name, wording, group=group)
        seen, made = (table.filter(pl.col("imputed") == flag)["value"].mean() for flag in (False, True))
        said.append(f"`{plain(name, 30)}` {say(made)} imputed, {say(seen)} observed")  # type: ignore[arg-type]
    caption = (
        f"Imputed values of {draws.m} imputations beside the observed ones"
        + (f", and means of them by {wording.group(group)} where there are both" if right else "")
        + f". Means: {'; '.join(said)}. The two may differ where those who are missing are different people: "
        "what is to be looked for is values that cannot be." + _left_out(draws, names)
    )
    alt = f"Distributions of imputed and observed values of {len(names)} variables."
    return Drawing("imputed_values", figure, caption, alt, pl.DataFrame(rows, infer_schema_length=None))


def _values(draws: Draws, frame: pl.DataFrame, name: str, group: str | None) -> pl.DataFrame:
    """`value`, `imputed`, `weight` and `group`, a row a value; imputed ones once an imputation."""
    filling = next(each for each in draws.fillings if each.variable == name and each.method != KNOWN)
    series = frame[name]
    if filling.categories:
        places = {label: float(place) for place, label in enumerate(filling.categories)}
        text = (
            series.cast(pl.Float64).map_elements(lambda value: f"{value:g}", pl.String)
            if (series.dtype.is_numeric())
            else series.cast(pl.String)
        )
        series = text.replace_strict(places, default=None, return_dtype=pl.Float64)
    labels = frame[group].cast(pl.String) if group is not None else pl.repeat("", len(frame), eager=True)
    every = pl.DataFrame({ROW: frame[ROW], "value": series.cast(pl.Float64).fill_nan(None), "group": labels})
    seen = every.drop_nulls("value").select("value", "group", pl.lit(False).alias("imputed"))
    own = pl.DataFrame({ROW: filling.rows}).with_columns(pl.col(ROW).cast(frame.schema[ROW]))
    who = own.join(every.select(ROW, "group"), on=ROW, how="left", maintain_order="left")["group"]
    if filling.level is None:
        values, who = filling.values[:, filling.unit], pl.concat([who] * draws.m)
    else:  # one value a group, however many rows it has
        values, who = filling.values, pl.repeat(None, filling.values.size, dtype=pl.String, eager=True)
        seen = seen.unique(["group", "value"], maintain_order=True) if filling.level == group else seen
    made = pl.DataFrame({"value": values.ravel(), "group": who, "imputed": True})
    return pl.concat([seen, made])


def _distribution(
    axes: Axes, draws: Draws, table: pl.DataFrame, name: str, wording: Wording
) -> list[dict[str, object]]:
    """Shares of bins or categories, observed and imputed."""
    filling = next(each for each in draws.fillings if each.variable == name and each.method != KNOWN)
    values = table["value"].to_numpy()
    measured = filling.kind in MEASURED
    edges = np.linspace(*span(values, margin=0.0), BINS + 1) if measured else _category_edges(values)
    labels = list(filling.categories) or [f"{value:g}" for value in np.unique(values)]
    rows: list[dict[str, object]] = []
    for imputed, notion in ((False, PARTIAL), (True, NO)):
        own = table.filter(pl.col("imputed") == imputed)["value"].to_numpy()
        shares = np.histogram(own, edges)[0] / max(own.size, 1)
        word = "imputed" if imputed else "observed"
        line = notion.line if measured else "none"
        if measured:
            axes.stairs(shares, edges, color=notion.color, linestyle=line, linewidth=1.3, label=word)
        else:
            at = np.arange(len(shares)) + (0.15 if imputed else -0.15)
            axes.bar(at, shares, width=0.28, color=notion.color, label=word)
        middles = (edges[:-1] + edges[1:]) / 2
        rows += [
            {"variable": name, "of": f"share {word}", "at": f"{at:.6g}" if measured else labels[k], "x": at,
             "value": share}
            for k, (at, share) in enumerate(zip(middles.tolist(), shares.tolist(), strict=True))
        ]  # fmt: skip
    if not measured:
        axes.set_xticks(range(len(labels)), [plain(label, 12) for label in labels])
    axes.set_ylim(bottom=0)
    axes.set_xlabel(wording.axis(name))
    axes.set_ylabel("share")
    quiet(axes, "y")
    return rows


def _category_edges(values: FloatArray) -> FloatArray:
    return np.arange(int(values.min()), int(values.max()) + 2, dtype=np.float64) - 0.5


def _group_means(
    axes: Axes, table: pl.DataFrame, name: str, wording: Wording, *, group: str
) -> list[dict[str, object]]:
    """Mean of the imputed against mean of the observed values of each group that has both."""
    means = (
        table.drop_nulls("group")
        .group_by("group", maintain_order=True)
        .agg(
            pl.col("value").filter(~pl.col("imputed")).mean().alias("observed"),
            pl.col("value").filter(pl.col("imputed")).mean().alias("imputed"),
        )
        .drop_nulls()
    )
    if means.is_empty():
        axes.set_axis_off()
        return []
    means = means[evenly(means.height, MOST_GROUPS).tolist()]
    x, y = means["observed"].to_numpy(), means["imputed"].to_numpy()
    limits = span(x, y)
    axes.plot(limits, limits, color=INK, linewidth=0.7, linestyle=":")
    axes.plot(x, y, marker=NO.marker, markersize=3, linestyle="none", color=NO.color, alpha=0.5)
    axes.set_xlim(*limits)
    axes.set_ylim(*limits)
    axes.set_xlabel("mean of the observed")
    axes.set_ylabel("mean of the imputed")
    axes.set_title(f"{plain(wording.name(name), 20)} by {wording.group(group)}")
    quiet(axes, "both")
    return [
        {"variable": name, "of": f"mean by {group}", "at": row["group"], "x": row["observed"],
         "value": row["imputed"]}
        for row in means.to_dicts()
    ]  # fmt: skip
