"""Which figures of conditional and marginal effects a model has."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from nestwise.compare.reading import by_likelihood_and_posterior
from nestwise.diagnose.rows import analysis_rows
from nestwise.figures.drawing import Drawing, Wording
from nestwise.figures.effects import three_effects
from nestwise.figures.inputs import FigureInputs, model_factors
from nestwise.figures.trajectories import PANELS, trajectories

IDENTITY = "identity"


def reconciliation_plan(
    inputs: FigureInputs, model: str, wording: Wording
) -> dict[str, Callable[[], Drawing]]:
    """Figures of one model's conditional and marginal effects, by name; empty where it has not both.

    Parameters
    ----------
    inputs : FigureInputs
        The study.
    model : str
        One of its models.
    wording : Wording
        Names and units.
    """
    rows, _ = by_likelihood_and_posterior(inputs.reconciliation.filter(pl.col("model") == model))
    coefficients = rows.filter(pl.col("kind") == "coefficient")
    if coefficients.height == 0:
        return {}
    link = str(inputs.designs.get(model, {}).get("link") or IDENTITY)
    plan: dict[str, Callable[[], Drawing]] = {"three_effects": lambda: three_effects(coefficients, link=link)}
    # an ordinal outcome has several means at a time, which `term` tells apart, and no one curve
    means = rows.filter((pl.col("kind") == "mean") & pl.col("x").is_not_null() & pl.col("term").is_null())
    arms = means["by"].drop_nulls().unique().to_list()
    if means.height and len(arms) <= PANELS and wording.time is not None and link != IDENTITY:
        own, group = _fitted(inputs, model, str(coefficients["conditional_engine"][0]), arms)
        if own.height:
            plan["trajectories"] = lambda: trajectories(own, means, wording, group=group)
    return plan


def _fitted(inputs: FigureInputs, model: str, engine: str, arms: list[str]) -> tuple[pl.DataFrame, str]:
    """Fitted values of every row with its group, time and arm, and the name of the group."""
    factors = model_factors(inputs, model)
    predictions = inputs.table(model, engine, "predictions")
    if not factors or predictions.height == 0 or inputs.dataset.time is None:
        return pl.DataFrame(), ""
    group = factors[-1]
    groups = inputs.groups.filter((pl.col("model") == model) & (pl.col("group") == group))
    rows = analysis_rows(inputs.dataset, predictions, group, groups["label"].unique().to_list())
    if inputs.dataset.time not in rows.columns:
        return pl.DataFrame(), group
    arm = _arm(inputs, rows, arms)
    columns = [
        pl.col(".label").alias("label"),
        pl.col(inputs.dataset.time).cast(pl.Float64).alias("x"),
        pl.col(".fitted").alias("fitted"),
        *([pl.col(arm).cast(pl.String).alias("by")] if arm else []),
    ]
    return rows.select(columns).drop_nulls(), group


def _arm(inputs: FigureInputs, rows: pl.DataFrame, arms: list[str]) -> str | None:
    """The column whose levels the means are told apart by."""
    declared = inputs.config.missing.arm
    candidates = ([declared.column] if declared is not None else []) + list(inputs.dataset.variables)
    for name in candidates if arms else []:
        if name in rows.columns and set(rows[name].drop_nulls().cast(pl.String)) == set(arms):
            return name
    return None
