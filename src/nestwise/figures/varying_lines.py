"""Which predictor a group's line runs along, and the lines and points of each pooling."""

from __future__ import annotations

import polars as pl

from nestwise.figures.inputs import ModelTables
from nestwise.vocabulary import INTERCEPT

NUMERIC = (
    pl.Float64,
    pl.Float32,
    pl.Int64,
    pl.Int32,
    pl.Int16,
    pl.Int8,
    pl.UInt32,
    pl.UInt64,
    pl.UInt16,
    pl.UInt8,
)


def line_predictor(tables: ModelTables) -> str | None:
    """Choose the within-group predictor of the fitted lines: one whose slope varies, else the first.

    Parameters
    ----------
    tables : ModelTables
        Of the model.
    """
    if tables.rows.height == 0:
        return None
    candidates = [name for name in (*tables.terms, *tables.names) if name != INTERCEPT]
    for name in dict.fromkeys(candidates):
        if _numeric(tables.rows, name) and _varies_within(tables.rows, name):
            return name
    return None


def group_predictors(tables: ModelTables) -> list[str]:
    """List the numeric fixed effects that are constant inside every group; at most two."""
    if tables.rows.height == 0:
        return []
    return [
        name
        for name in tables.names
        if _numeric(tables.rows, name)
        and tables.rows[name].n_unique() > 2
        and not _varies_within(tables.rows, name)
    ][:2]


def _numeric(rows: pl.DataFrame, name: str) -> bool:
    return name in rows.columns and rows.schema[name] in NUMERIC


def _varies_within(rows: pl.DataFrame, name: str) -> bool:
    spread = rows.group_by(".label").agg((pl.col(name).max() - pl.col(name).min()).alias("range"))["range"]
    size = float(rows[name].abs().max() or 1.0)  # type: ignore[arg-type]
    return bool((spread > 1e-9 * size).any())


def line_table(tables: ModelTables, x: str) -> pl.DataFrame:
    """Intercept and slope in `x` of each group under each pooling.

    Parameters
    ----------
    tables : ModelTables
        Of the model.
    x : str
        The predictor.

    Returns
    -------
    DataFrame
        `label`, `n`, `pooling` (no | complete | partial), `intercept`, `slope`. Where the slope does
        not vary, each pooling has its own common slope.
    """
    intercepts = tables.groups.filter(pl.col("term") == INTERCEPT)
    slopes = tables.groups.filter(pl.col("term") == x)
    parts = []
    for pooling in ("no", "complete", "partial"):
        column_name = f"{pooling}_pooling"
        lines = intercepts.select("label", "n", pl.col(column_name).alias("intercept"))
        if slopes.height:
            own = slopes.select("label", pl.col(column_name).alias("slope"))
            lines = lines.join(own, on="label", maintain_order="left")
        else:
            lines = lines.with_columns(
                pl.lit(common_slope(tables, x, pooling), dtype=pl.Float64).alias("slope")
            )
        parts.append(lines.with_columns(pl.lit(pooling).alias("pooling")))
    return pl.concat(parts).select("label", "n", "pooling", "intercept", "slope")


def common_slope(tables: ModelTables, x: str, pooling: str) -> float | None:
    """Slope in `x` where it does not vary: of the group indicators, else of the mixed model."""
    engine = {"no": "unpooled", "complete": "pooled"}.get(pooling, tables.engine)
    found = tables.of(engine).filter((pl.col("component") == "fixed") & (pl.col("term") == x))
    return float(found["estimate"][0]) if found.height else tables.estimate("fixed", x)


def line_rows(tables: ModelTables, x: str) -> pl.DataFrame:
    """Points of the lines figure: `label`, `x`, `y`, `adjusted`.

    What other predictors contribute is taken out: a point is its group's partially pooled line at
    `x` plus its residual, which is the raw outcome where the line is all there is.
    """
    partial = line_table(tables, x).filter(pl.col("pooling") == "partial").drop("pooling")
    rows = tables.rows.select(
        pl.col(".label").alias("label"), pl.col(x).cast(pl.Float64).alias("x"), ".observed", ".residual"
    ).join(partial, on="label", maintain_order="left")
    on_line = pl.col("intercept") + pl.col("slope") * pl.col("x") + pl.col(".residual")
    moved = ((on_line - pl.col(".observed")).abs() > 1e-6 * pl.col(".observed").std()).fill_null(value=False)
    return rows.select(
        "label",
        "x",
        pl.when(moved.any()).then(on_line).otherwise(pl.col(".observed")).alias("y"),
        moved.any().alias("adjusted"),
    ).drop_nulls(["x", "y"])
