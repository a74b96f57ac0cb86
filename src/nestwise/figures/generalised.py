"""Which figures of outcomes that are not Gaussian a study and its models have."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl

from nestwise.diagnose.rows import analysis_rows
from nestwise.figures.calibration import (
    QUANTILE_FAMILIES,
    average_expectation,
    binned_residuals,
    quantile_residual_qq,
)
from nestwise.figures.drawing import Drawing, Wording
from nestwise.figures.inputs import FigureInputs, ModelTables
from nestwise.figures.means import MOST_LINES
from nestwise.figures.proportions import proportions_by_group, proportions_over_time
from nestwise.seeds import seed_for
from nestwise.vocabulary import INTERCEPT

Plan = dict[str, Callable[[], Drawing]]

ENGINES = ("glmm", "gee", "pymc")
DISPERSIONS = ("size", "shape")


def _predictions(inputs: FigureInputs, model: str) -> tuple[str, pl.DataFrame]:
    """The first engine that left what it expects of each row, and that."""
    for engine in ENGINES:
        found = inputs.table(model, engine, "predictions")
        if found.height:
            return engine, found
    return "", pl.DataFrame()


def binary_plan(inputs: FigureInputs, tables: ModelTables, wording: Wording, group: str) -> Plan:
    """Proportions over time, or by group, where the outcome of a model is binary; empty otherwise.

    Parameters
    ----------
    inputs : FigureInputs
        The study.
    tables : ModelTables
        Of its main model.
    wording : Wording
        Names and units.
    group : str
        Grouping factor of the rows.
    """
    family, _ = inputs.outcome_of(tables.model)
    _, predictions = _predictions(inputs, tables.model)
    if family != "binomial" or predictions.height == 0:
        return {}
    if not predictions["observed"].is_in([0.0, 1.0]).all():
        return {}
    rows = analysis_rows(inputs.dataset, predictions, group, _labels(inputs, group))
    time, arm = inputs.dataset.time, inputs.config.missing.arm
    y = pl.col(".observed").alias("y")
    if time is not None and time in rows.columns and rows.schema[time].is_numeric():
        label = pl.col(group).cast(pl.String) if rows[".label"].null_count() else pl.col(".label")
        columns = [label.alias("label"), pl.col(time).cast(pl.Float64).alias("x"), y]
        if arm is not None and arm.column in rows.columns and rows[arm.column].n_unique() <= MOST_LINES:
            columns.append(pl.col(arm.column).cast(pl.String).alias("by"))
        shown = rows.select(columns).drop_nulls()
        return {
            "proportions_over_time": lambda: proportions_over_time(
                shown, wording, group=group, level=inputs.level
            )
        }
    if rows[".label"].null_count():
        return {}
    own = rows.select(pl.col(".label").alias("label"), y)
    return {
        "proportions_by_group": lambda: proportions_by_group(own, wording, group=group, level=inputs.level)
    }


def _labels(inputs: FigureInputs, group: str) -> list[str]:
    """Labels of a grouping factor: from the tables of groups or of clusters, else those of its column."""
    tables = (inputs.groups, inputs.influence)
    known = [label for each in tables for label in each.filter(pl.col("group") == group)["label"].unique()]
    if known or group not in inputs.dataset.frame.collect_schema():
        return known
    found = inputs.dataset.frame.select(pl.col(group).cast(pl.String).unique().drop_nulls()).collect()
    return [str(label) for label in found.to_series()]


def residual_plan(inputs: FigureInputs, tables: ModelTables, wording: Wording) -> Plan:
    """Residuals of a model whose outcome is not Gaussian, by the first engine with expectations.

    Parameters
    ----------
    inputs : FigureInputs
        The study.
    tables : ModelTables
        Of the model.
    wording : Wording
        Names and units.
    """
    family, link = inputs.outcome_of(tables.model)
    engine, predictions = _predictions(inputs, tables.model)
    if not engine:
        return {}
    own = tables.of(engine)
    sds = own.filter(pl.col("component") == "sd")
    spread = float(np.linalg.norm(sds["estimate"].to_numpy())) if (sds["term"] == INTERCEPT).all() else None
    rows, averaged = _expected(inputs, tables, (engine, predictions), spread)
    group = tables.group
    plan: Plan = {"binned_residuals": lambda: binned_residuals(rows, wording, group=group, averaged=averaged)}
    if engine == "glmm" and family in QUANTILE_FAMILIES and link == "log":
        residual = own.filter((pl.col("component") == "residual") & pl.col("term").is_in(DISPERSIONS))
        dispersion = float(residual["estimate"][0]) if residual.height else None
        seed = seed_for(inputs.seed, inputs.dataset.study, tables.model, "quantile residuals")
        plan["quantile_residual_qq"] = lambda: quantile_residual_qq(
            predictions, family=family, spread=spread, dispersion=dispersion, seed=seed
        )
    return plan


def _expected(
    inputs: FigureInputs, tables: ModelTables, fit: tuple[str, pl.DataFrame], spread: float | None
) -> tuple[pl.DataFrame, bool]:
    """`label`, `observed`, `expected` of each row, and whether expectations are averages over groups.

    They are where the model has random intercepts only, by integration; of estimating equations always. With
    random slopes, trials or categories the effects of each row's own group stand in.
    """
    engine, predictions = fit
    family, link = inputs.outcome_of(tables.model)
    binary = predictions["observed"].is_in([0.0, 1.0]).all() or family != "binomial"
    expected, averaged = predictions["fitted"].to_numpy(), engine == "gee"
    if engine == "glmm" and spread is not None and binary and family != "ordinal":
        found = average_expectation(predictions["fixed"].to_numpy(), link, spread)
        expected, averaged = (expected, False) if found is None else (found, True)
    rows = analysis_rows(inputs.dataset, predictions, tables.group, _labels(inputs, tables.group))
    known = rows.height == predictions.height and not rows[".label"].null_count()
    labels = rows[".label"] if known else predictions["row"].cast(pl.String)
    frame = predictions.select("observed", pl.Series("expected", expected), labels.alias("label"))
    return frame, averaged
