"""Polars expressions that turn columns as files have them into the types of a study."""

from __future__ import annotations

import polars as pl

LARGEST_WHOLE = 2.0**53
"""Above this, floating point skips whole numbers."""


def is_text(dtype: pl.DataType) -> bool:
    """Whether a column holds text."""
    return isinstance(dtype, pl.String | pl.Categorical | pl.Enum)


def is_readable(dtype: pl.DataType) -> bool:
    """Whether a column can be any variable at all: lists, records and raw bytes cannot."""
    return (
        is_text(dtype)
        or dtype.is_numeric()
        or isinstance(dtype, pl.Boolean | pl.Date | pl.Datetime | pl.Null)
    )


def labels(name: str, dtype: pl.DataType, *, ids: bool = False) -> pl.Expr:
    """Text of a column's values as R prints them: 308 rather than 308.0, TRUE rather than true.

    Parameters
    ----------
    name, dtype
        The column.
    ids : bool
        Whether the values are ids, where the text ``308.0`` means ``308`` too.
    """
    column = pl.col(name)
    if is_text(dtype):
        text = column.cast(pl.String)
        return text.str.replace(r"^\s*([+-]?\d+)\.0+\s*$", "${1}") if ids else text
    if isinstance(dtype, pl.Boolean):
        return pl.when(column).then(pl.lit("TRUE")).when(~column).then(pl.lit("FALSE")).alias(name)
    if dtype.is_float() or isinstance(dtype, pl.Decimal):
        valued = column.cast(pl.Float64)
        whole = (valued == valued.round()) & (valued.abs() <= LARGEST_WHOLE)
        return (
            pl.when(whole)
            .then(valued.cast(pl.Int64, strict=False).cast(pl.String))
            .otherwise(valued.cast(pl.String))
            .alias(name)
        )
    return column.cast(pl.String)


def number(name: str, dtype: pl.DataType) -> pl.Expr:
    """A column as Float64; null where it is not a number."""
    column = pl.col(name)
    if is_text(dtype):
        return column.cast(pl.String).str.strip_chars().cast(pl.Float64, strict=False).fill_nan(None)
    if isinstance(dtype, pl.Date | pl.Datetime):
        return pl.lit(None, dtype=pl.Float64).alias(name)
    return column.cast(pl.Float64, strict=False)


def count(name: str, dtype: pl.DataType) -> pl.Expr:
    """A column as Int64; null where it is not a whole number."""
    if dtype.is_integer():
        return pl.col(name).cast(pl.Int64, strict=False)
    valued = number(name, dtype)
    whole = (valued == valued.round()) & (valued.abs() < LARGEST_WHOLE)
    return pl.when(whole).then(valued).cast(pl.Int64, strict=False).alias(name)


def date(name: str, dtype: pl.DataType) -> pl.Expr:
    """A column as Date (text: 2024-01-31) or Datetime; null where it is no date."""
    column = pl.col(name)
    if isinstance(dtype, pl.Date):
        return column
    if isinstance(dtype, pl.Datetime):
        return column.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if dtype.time_zone else column
    if is_text(dtype):
        text = column.cast(pl.String).str.strip_chars()
        return text.str.to_date("%Y-%m-%d", strict=False)
    return pl.lit(None, dtype=pl.Date).alias(name)


REASONS = {
    "continuous": "not a number",
    "count": "not a whole number",
    "binary": "not one of the two values",
    "categorical": "not one of the levels",
    "ordinal": "not one of the levels",
    "date": "not a date written as 2024-01-31",
}
"""Why a value is not of its type."""
