"""What type a column has when the study file does not say, and the sentence that reports it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from nestwise.data.casts import date, is_text, number
from nestwise.data.labels import YES_NO

MOST_LEVELS = 1000
"""Text with more distinct values than this is kept as text, out of reach of models."""
MOSTLY = 0.5
"""Share of numbers from which text among them is pointed at as a likely missing code."""
TEXT = "text"


@dataclass(frozen=True)
class Inference:
    """An inferred type and the sentence about it."""

    type: str
    note: str


def infer(frame: pl.LazyFrame, names: Sequence[str]) -> dict[str, Inference]:
    """Infer the types of columns from all of their values, in one streaming pass.

    Numbers are continuous, true/false and yes/no binary, ISO dates dates, other text categorical
    (levels in alphabetical order, as in R) up to 1,000 distinct values.

    Parameters
    ----------
    frame : polars.LazyFrame
        Columns as the file has them, missing values null.
    names : sequence of str
        Columns to infer.
    """
    schema = frame.collect_schema()
    inferred = {name: _from_dtype(name, schema[name]) for name in names}
    texts = [name for name in names if inferred[name] is None]
    statistics = _text_statistics(frame, texts) if texts else {}
    return {
        name: inference or _from_text(name, statistics, schema[name]) for name, inference in inferred.items()
    }


def _from_dtype(name: str, dtype: pl.DataType) -> Inference | None:
    if is_text(dtype):
        return None
    if isinstance(dtype, pl.Boolean):
        return Inference("binary", f"{name} is taken as binary (true is 1).")
    if isinstance(dtype, pl.Date | pl.Datetime):
        return Inference("date", f"{name} is taken as a date.")
    if isinstance(dtype, pl.Null):
        return Inference("continuous", f"{name} has no value at all.")
    return Inference("continuous", f"{name} is taken as continuous.")


def _text_statistics(frame: pl.LazyFrame, names: Sequence[str]) -> Mapping[str, Any]:
    schema = frame.collect_schema()
    aggregates: list[pl.Expr] = []
    for position, name in enumerate(names):
        column = pl.col(name).cast(pl.String)
        not_number = number(name, schema[name]).is_null() & column.is_not_null()
        low = column.str.strip_chars().str.to_lowercase()
        aggregates += [
            column.count().alias(f"n{position}"),
            not_number.sum().alias(f"words{position}"),
            column.filter(not_number).first().alias(f"word{position}"),
            (date(name, schema[name]).is_null() & column.is_not_null()).sum().alias(f"undated{position}"),
            column.approx_n_unique().alias(f"distinct{position}"),
            *(
                (~low.is_in(pair)).sum().alias(f"pair{number}.{position}")
                for number, pair in enumerate(YES_NO)
            ),
        ]
    row: Any = frame.select(aggregates).collect(engine="streaming")
    found = row.row(0, named=True)
    return {
        name: {key.removesuffix(str(position)): found[key] for key in found if _belongs(key, position)}
        for position, name in enumerate(names)
    }


def _belongs(key: str, position: int) -> bool:
    stem = key.removesuffix(str(position))
    return stem != key and not (stem[-1].isdecimal())


def _from_text(name: str, statistics: Mapping[str, Any], dtype: pl.DataType) -> Inference:
    of = statistics[name]
    plain = {
        "continuous": of["words"] == 0,
        "a date": of["undated"] == 0,
        "binary": any(of[f"pair{number}."] == 0 for number in range(len(YES_NO))),
    }
    if of["n"] == 0:
        return Inference("continuous", f"{name} has no value at all.")
    if isinstance(dtype, pl.Enum):
        return Inference("categorical", f"{name} is taken as categorical, levels in the file's order.")
    kind = next((kind for kind, fits in plain.items() if fits), None)
    if kind is not None:
        return Inference(kind.removeprefix("a "), f"{name} is taken as {kind}.")
    if of["distinct"] > MOST_LEVELS:
        return Inference(
            TEXT, f"{name} has more than {MOST_LEVELS} different texts and is kept out of reach of models."
        )
    remark = ""
    if of["words"] < (1 - MOSTLY) * of["n"]:
        remark = (
            f" because {of['words']} of its {of['n']} values are no numbers ({of['word']!r} is the first); "
            "if that means missing, list it under data.missing_values"
        )
    return Inference("categorical", f"{name} is taken as categorical{remark}.")
