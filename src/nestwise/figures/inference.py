"""Which figures of means, influence and profiles a model has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from re import sub
from typing import Any

import polars as pl

from nestwise.figures.arms import differences_by_visit, visit_differences
from nestwise.figures.correlations import residual_correlations
from nestwise.figures.drawing import Drawing, Wording
from nestwise.figures.influence import influence
from nestwise.figures.inputs import FigureInputs, ModelTables
from nestwise.figures.means import MOST_LINES, first_variable, marginal_means, mean_contrasts
from nestwise.figures.profiles import profile_zeta

MOST_FACTORS = 3


def inference_plan(
    inputs: FigureInputs, tables: ModelTables, wording: Wording
) -> dict[str, Callable[[], Drawing]]:
    """Figures of one model's means, influence and profiles, by name.

    Parameters
    ----------
    inputs : FigureInputs
        The study.
    tables : ModelTables
        Of the model.
    wording : Wording
        Names and units.
    """

    def own(frame: pl.DataFrame) -> pl.DataFrame:
        # A pooled or unpooled model has no mixed engine: the first engine that left rows is drawn.
        rows = frame.filter(pl.col("model") == tables.model)
        engine = (
            tables.engine
            if tables.engine in rows["engine"]
            else (rows["engine"].head(1).to_list() or [""])[0]
        )
        return rows.filter(pl.col("engine") == engine)

    plan: dict[str, Callable[[], Drawing]] = {}
    means = own(inputs.means)
    for grid in means["grid"].unique(maintain_order=True).to_list():
        rows = means.filter(pl.col("grid") == grid)
        kinds = {"marginal_means": ("mean", marginal_means)}
        if _by_visit(rows, grid, wording):
            kinds["differences_by_visit"] = ("contrast", differences_by_visit)
        else:
            kinds["mean_contrasts"] = ("contrast", mean_contrasts)
        for name, (kind, draw) in kinds.items():
            if kind in rows["kind"]:
                key = name if name not in plan else f"{name}_{sub(r'\W+', '_', grid)}"
                plan[key] = lambda draw=draw, grid=grid: draw(means, wording, grid=grid)  # type: ignore[misc]
    residual = inputs.record(tables.model, "lmm").get("residual")
    if residual and _correlated_visits(residual):
        estimates = tables.of("lmm")
        plan["residual_correlations"] = lambda: residual_correlations(residual, estimates, wording)
    left_out = own(inputs.influence)
    sizes = left_out.group_by("group", maintain_order=True).len().sort("len", descending=True)
    for factor in sizes["group"].head(MOST_FACTORS).to_list():
        key = "influence" if "influence" not in plan else f"influence_{factor}"
        plan[key] = lambda factor=factor: influence(left_out, wording, group=factor)  # type: ignore[misc]
    profiles = own(inputs.profiles)
    if profiles.height:
        plan["profiles"] = lambda: profile_zeta(profiles, wording, level=inputs.level)
    return plan


def _by_visit(means: pl.DataFrame, grid: str, wording: Wording) -> bool:
    """Whether the differences of a grid stand at several visits each, and can be told apart."""
    rows = visit_differences(means, grid)
    few = rows["by"].n_unique() <= MOST_LINES
    return first_variable(grid) == wording.time and rows["x"].n_unique() > 1 and few


def _correlated_visits(residual: Mapping[str, Any]) -> bool:
    """Whether the record of a fit holds correlations of named visits: without visits there are none."""
    visits, strata = residual.get("visits") or (), residual.get("strata") or ()
    return len(visits) > 1 and any(len(part["correlation"]) == len(visits) for part in strata)
