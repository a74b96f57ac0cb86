"""The record of data that were read: typed, not yet judged."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from nestwise.data.dataset import VariableInfo
from nestwise.errors import DataError, Problem
from nestwise.storage import whole_file

FAILURES: Mapping[str, type[pl.DataType]] = {
    "column": pl.String,
    "row": pl.Int64,
    "value": pl.String,
    "reason": pl.String,
}
KEY = "nestwise"
"""Key of the Parquet metadata the record travels in."""


@dataclass(frozen=True)
class TypedData:
    """Data as the study file types them, lazily.

    Attributes
    ----------
    frame : polars.LazyFrame
        `.row` and all columns: continuous Float64, count Int64, binary Int8 (0/1), categorical,
        ordinal and grouping factors Enum, date Date or Datetime, text String.
    variables : mapping of str to VariableInfo
        Every column but `.row`.
    notes : tuple of str
        What was inferred or left out, a sentence each.
    failures : polars.DataFrame
        Values that are not of their declared type, null in `frame`: column, row, value, reason.
        At most 1,000 a column.
    failure_counts : mapping of str to int
        How many there are of each column, listed or not.
    problems : tuple of Problem
        What cannot be read as declared and is no matter of single values.
    occasions : int
        Rows that were made of each source row; above 1 after wide to long.
    """

    frame: pl.LazyFrame
    variables: Mapping[str, VariableInfo]
    notes: tuple[str, ...] = ()
    failures: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=dict(FAILURES)))
    failure_counts: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    occasions: int = 1


def variables_to_json(variables: Mapping[str, VariableInfo], schema: pl.Schema) -> list[dict[str, Any]]:
    """Variables without the levels an `Enum` column holds anyway (a factor may have a million groups)."""

    def held(info: VariableInfo) -> bool:
        dtype = schema[info.name]
        return isinstance(dtype, pl.Enum) and tuple(dtype.categories) == info.levels

    return [asdict(info) | {"levels": [] if held(info) else list(info.levels)} for info in variables.values()]


def variables_from_json(content: list[dict[str, Any]], schema: pl.Schema) -> dict[str, VariableInfo]:
    """Variables with the levels their columns have."""
    variables = {}
    for entry in content:
        dtype = schema[entry["name"]]
        levels = entry["levels"]
        if isinstance(dtype, pl.Enum) and not levels:
            levels = dtype.categories.to_list()
        variables[entry["name"]] = VariableInfo(**(entry | {"levels": tuple(levels)}))
    return variables


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What nestwise wrote into the metadata of a Parquet file.

    Raises
    ------
    DataError
        If the file is no Parquet file of nestwise's.
    """
    try:
        return dict(json.loads(pl.read_parquet_metadata(str(path))[KEY]))
    except (pl.exceptions.PolarsError, OSError, KeyError, ValueError) as error:
        raise DataError(
            Problem("the file was not written by nestwise, or is damaged", str(path), "delete it, run again")
        ) from error


def save_typed(typed: TypedData, path: str | os.PathLike[str]) -> None:
    """Write typed data as Parquet, streaming; the rest of the record goes into its metadata."""
    content = {
        "variables": variables_to_json(typed.variables, typed.frame.collect_schema()),
        "notes": typed.notes,
        "failures": typed.failures.to_dicts(),
        "failure_counts": dict(typed.failure_counts),
        "problems": [asdict(problem) for problem in typed.problems],
        "occasions": typed.occasions,
    }
    with whole_file(path) as partial:
        typed.frame.sink_parquet(partial, metadata={KEY: json.dumps(content)})


def load_typed(path: str | os.PathLike[str]) -> TypedData:
    """Read what `save_typed` wrote; the frame stays on disk."""
    content = read_metadata(path)
    frame = pl.scan_parquet(Path(path), glob=False)
    return TypedData(
        frame=frame,
        variables=variables_from_json(content["variables"], frame.collect_schema()),
        notes=tuple(content["notes"]),
        failures=pl.DataFrame(content["failures"], schema=dict(FAILURES)),
        failure_counts=content["failure_counts"],
        problems=tuple(Problem(**problem) for problem in content["problems"]),
        occasions=content["occasions"],
    )
