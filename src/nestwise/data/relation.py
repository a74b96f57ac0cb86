"""Known correlation between groups: a pedigree, a phylogeny, a neighbourhood, read from a square table."""

from __future__ import annotations

import base64
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from nestwise.arrays import FloatArray
from nestwise.config.study import Group
from nestwise.errors import DataError, Problem

MOST_GROUPS = 5000
"""A dense matrix of this size holds 200 MB."""
ASYMMETRY = 1e-8
"""Differences across the diagonal, beside the largest entry, that rounding in a file explains."""


@dataclass(frozen=True)
class Relation:
    """A known covariance between groups, up to the variance that is estimated.

    Attributes
    ----------
    labels : tuple of str, length J
        The groups.
    matrix : ndarray (J, J)
        Symmetric and positive definite.
    """

    labels: tuple[str, ...]
    matrix: FloatArray


def read_relations(
    groups: Mapping[str, Group], paths: Sequence[str | os.PathLike[str]]
) -> dict[str, Relation]:
    """Read the relations that grouping factors declare.

    Parameters
    ----------
    groups : mapping of str to Group
        The study file's section.
    paths : sequence of path-like
        The files of those with a `relation`, in the order of the section.

    Raises
    ------
    DataError
        With the problems of every file.
    """
    names = [name for name, group in groups.items() if group.relation is not None]
    found: dict[str, Relation] = {}
    problems: list[Problem] = []
    for name, path in zip(names, paths, strict=True):
        try:
            found[name] = read_relation(path)
        except DataError as error:
            problems += error.problems
    if problems:
        raise DataError(problems)
    return found


def read_relation(path: str | os.PathLike[str]) -> Relation:
    """Read a square table: labels of the groups in the first column and in the header.

    Parameters
    ----------
    path : path-like
        csv, or tab-separated text by its ending.

    Raises
    ------
    DataError
        If it is not square, labels differ or repeat, entries are no numbers, or the matrix is not
        symmetric and positive definite.
    """
    file = Path(path)
    try:
        table = pl.read_csv(
            file,
            separator="," if file.suffix.lower() == ".csv" else "\t",
            infer_schema=False,
            has_header=False,
            truncate_ragged_lines=False,
        )
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        reason = str(error).split("\n", maxsplit=1)[0].rstrip(".")[:120]
        raise _wrong(file, f"the table cannot be read ({reason})", "save it as csv in UTF-8") from None
    rows, columns = table.height - 1, table.width - 1
    if rows != columns or rows < 1:
        what = f"the table has {max(rows, 0)} rows and {columns} columns beside its labels"
        raise _wrong(file, what, "write one row and one column a group, labels in both")
    if rows > MOST_GROUPS:
        raise _wrong(file, f"the table holds {rows:,} groups", f"a relation may hold {MOST_GROUPS:,}")
    return _checked(table, file)


def _checked(table: pl.DataFrame, file: Path) -> Relation:
    header = tuple((cell or "").strip() for cell in table.row(0)[1:])
    body = table[1:]
    labels = tuple((cell or "").strip() for cell in body[:, 0])
    if "" in labels or len(set(labels)) < len(labels):
        raise _wrong(file, "labels of the first column are empty or repeat", "name each group once")
    if set(header) != set(labels) or len(set(header)) < len(header):
        raise _wrong(file, "rows and columns do not name the same groups", "give both the same labels")
    cells = body[:, 1:].cast(pl.Float64, strict=False)
    for row, values in zip(labels, cells.iter_rows(), strict=True):
        for column, value in zip(header, values, strict=True):
            if value is None or not np.isfinite(value):
                raise _wrong(file, f"the entry of {row} and {column} is no finite number", "fill it in")
    order = [header.index(label) for label in labels]
    matrix = np.ascontiguousarray(cells.to_numpy()[:, order])
    size = float(np.abs(matrix).max())
    apart = np.abs(matrix - matrix.T)
    if apart.max() > ASYMMETRY * size:
        i, j = np.unravel_index(int(apart.argmax()), apart.shape)
        what = f"the entries of {labels[i]} and {labels[j]} differ across the diagonal"
        raise _wrong(file, what, "a relation is symmetric: make them equal")
    matrix = (matrix + matrix.T) / 2
    smallest = float(np.linalg.eigvalsh(matrix)[0])
    if smallest <= len(labels) * float(np.finfo(float).eps) * size:
        what = f"the matrix is not positive definite (its smallest eigenvalue is {smallest:.2g})"
        raise _wrong(file, what, "check for groups listed twice, such as twins, or add to its diagonal")
    return Relation(labels, matrix)


def _wrong(file: Path, what: str, way_out: str) -> DataError:
    return DataError(Problem(what, str(file), way_out))


def relations_to_json(relations: Mapping[str, Relation]) -> dict[str, Any]:
    """Relations as text: the lower triangle row by row, 8 bytes a number, packed."""
    return {
        name: {
            "labels": list(relation.labels),
            "triangle": base64.b64encode(
                zlib.compress(relation.matrix[np.tril_indices(len(relation.labels))].astype("<f8").tobytes())
            ).decode("ascii"),
        }
        for name, relation in relations.items()
    }


def relations_from_json(content: Mapping[str, Any]) -> dict[str, Relation]:
    """What `relations_to_json` wrote."""
    found = {}
    for name, entry in content.items():
        size = len(entry["labels"])
        triangle = np.frombuffer(zlib.decompress(base64.b64decode(entry["triangle"])), dtype="<f8")
        matrix = np.zeros((size, size))
        matrix[np.tril_indices(size)] = triangle
        matrix = matrix + np.tril(matrix, -1).T
        found[name] = Relation(tuple(entry["labels"]), matrix)
    return found
