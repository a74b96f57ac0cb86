"""Several memberships of a row in one grouping factor: `(1 | mm(school1, school2))`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from nestwise.arrays import BoolArray, FloatArray, IntArray
from nestwise.design.grouping import Keys, natural_order, read_keys
from nestwise.design.record import Membership
from nestwise.errors import Problem, Refusal
from nestwise.formula.record import Formula, RandomPart
from nestwise.formula.tokens import formula_place


@dataclass(frozen=True)
class Members:
    """The groups of each row, and their names.

    Attributes
    ----------
    membership : Membership
        Codes and shares (n, M).
    first : ndarray (n,)
        The first group that is known.
    labels : tuple of str, length J
        Of the groups of all columns together, naturally sorted.
    """

    membership: Membership
    first: IntArray
    labels: tuple[str, ...]


def membership_gaps(frame: pl.DataFrame, formula: Formula) -> list[tuple[str, BoolArray]]:
    """Rows that memberships leave without a group, or a known group without its weight.

    Parameters
    ----------
    frame : polars.DataFrame
        All rows.
    formula : Formula
        The model.

    Returns
    -------
    list of (str, ndarray (n,) of bool)
        What is missing, and where.
    """
    gaps: dict[str, BoolArray] = {}
    for part in formula.random:
        if not part.memberships:
            continue
        known = np.column_stack([frame[name].is_not_null().to_numpy() for name in part.memberships])
        gaps[part.group] = ~known.any(axis=1)
        for place, name in enumerate(part.shares):
            blank = frame[name].is_null().to_numpy() & known[:, place]
            gaps[name] = gaps.get(name, np.zeros(len(blank), dtype=bool)) | blank
    return list(gaps.items())


def members_of(part: RandomPart, frame: pl.DataFrame, rows: IntArray, text: str) -> Members:
    """Read the memberships of a random term.

    Parameters
    ----------
    part : RandomPart
        With `memberships`.
    frame : polars.DataFrame
        The analysis rows.
    rows : ndarray (n,)
        Their numbers in the source, for messages.
    text : str
        The formula, for messages.

    Returns
    -------
    Members
        Shares sum to 1 in each row if `scaled`; without weights they are equal. A membership that is
        missing has share 0, so that the others take its part.

    Raises
    ------
    Refusal
        If weights are no numbers, negative, infinite, or 0 for all memberships of a row.
    """
    keys = [read_keys(frame[name]) for name in part.memberships]
    codes, labels = _united(keys)
    known = codes >= 0
    shares = np.where(known, _weights(part, frame, known, rows, text), 0.0)
    total = shares.sum(axis=1)
    if (total == 0).any():
        what = f"the weights of {part.group} are all 0"
        raise _refusal(what, total == 0, rows, text, "give the row's groups weights that are larger than 0")
    if part.scaled:
        shares = shares / total[:, None]
    first = np.take_along_axis(codes, known.argmax(axis=1)[:, None], axis=1)[:, 0]
    return Members(Membership(np.where(known, codes, first[:, None]), shares), first, labels)


def _united(keys: list[Keys]) -> tuple[IntArray, tuple[str, ...]]:
    """Codes (n, M) over the labels of all columns together; -1 where a membership is missing."""
    together = list(dict.fromkeys(label for key in keys for label in _used(key)))
    order = natural_order(together)
    labels = tuple(together[index] for index in order)
    place = {label: index for index, label in enumerate(labels)}
    columns = []
    for key in keys:
        new = np.array([*(place.get(label, -1) for label in key.labels), -1], dtype=np.int64)
        columns.append(new[key.codes])
    return np.column_stack(columns), labels


def _used(key: Keys) -> list[str]:
    counts = np.bincount(key.codes[key.codes >= 0], minlength=len(key.labels))
    return [label for label, count in zip(key.labels, counts, strict=True) if count]


def _weights(
    part: RandomPart, frame: pl.DataFrame, known: BoolArray, rows: IntArray, text: str
) -> FloatArray:
    if not part.shares:
        return np.full(known.shape, 1.0 / len(part.memberships) if not part.scaled else 1.0)
    columns = []
    for name in part.shares:
        if not (frame[name].dtype.is_numeric() or frame[name].dtype == pl.Boolean):
            what = f"{name} is no number and cannot be a weight of {part.group}"
            raise Refusal(Problem(what, formula_place(text), "name a numeric column"))
        columns.append(frame[name].cast(pl.Float64).fill_null(0.0).to_numpy())
    weights = np.column_stack(columns)
    wrong = ((weights < 0) | ~np.isfinite(weights)) & known
    if wrong.any():
        what = f"the weights of {part.group} are negative or infinite"
        raise _refusal(what, wrong.any(axis=1), rows, text, "correct them, or declare them missing")
    return weights


def _refusal(what: str, wrong: BoolArray, rows: IntArray, text: str, way_out: str) -> Refusal:
    return Refusal(Problem(f"{what} in {row_list(rows[wrong])}", formula_place(text), way_out))


def row_list(rows: IntArray) -> str:
    """Rows as a sentence names them: ``row 3``, or ``12 rows (1, 2, 3, 4, 5, ...)``."""
    if len(rows) == 1:
        return f"row {rows[0]}"
    some = ", ".join(str(row) for row in rows[:5]) + (", ..." if len(rows) > 5 else "")
    return f"{len(rows)} rows ({some})"
