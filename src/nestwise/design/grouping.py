"""Who belongs to which group: codes and names, nested ids kept apart."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from nestwise.arrays import IntArray
from nestwise.design.columns import level_codes

_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True)
class Keys:
    """A grouping column: `codes` (n,), naturally sorted `labels`; -1 where it is missing."""

    codes: IntArray
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Factor:
    """A grouping factor as a formula means it.

    Attributes
    ----------
    name : str
        As the tables show it, outermost first, e.g. `batch:cask`.
    keys : tuple of str
        Columns whose combination is the group, outermost first, declared parents included.
    labelled_by : tuple of str
        Columns that make the label; the parents are left out where ids do not restart.
    restarts : bool
        Whether a factor named without its declared parents has ids that restart inside them.
    """

    name: str
    keys: tuple[str, ...]
    labelled_by: tuple[str, ...]
    restarts: bool = False


def read_keys(series: pl.Series) -> Keys:
    """Codes and naturally sorted labels of a grouping column.

    Parameters
    ----------
    series : polars.Series
        Enum, String or whole numbers; missing values become code -1.
    """
    present = series.is_not_null()
    if present.all():
        codes, labels = level_codes(series)
        return _sorted(codes, labels)
    known, labels = level_codes(series.filter(present))
    sorted_known = _sorted(known, labels)
    codes = np.full(len(series), -1, dtype=np.int64)
    codes[present.to_numpy()] = sorted_known.codes
    return Keys(codes, sorted_known.labels)


def _sorted(codes: IntArray, labels: Sequence[str]) -> Keys:
    order = natural_order(labels)
    if order == list(range(len(labels))):  # as prepared data have them
        return Keys(codes, tuple(labels))
    rank = np.empty(len(labels), dtype=np.int64)
    rank[order] = np.arange(len(labels))
    return Keys(rank[codes], tuple(labels[index] for index in order))


def natural_order(labels: Sequence[str]) -> list[int]:
    """Indices that sort labels as a person would: 2 before 10, a2 before a10.

    Parameters
    ----------
    labels : sequence of str

    Returns
    -------
    list of int
    """
    numbered = _by_number(labels)
    if numbered is not None:
        return numbered
    keys = [_natural(label) for label in labels]
    return sorted(range(len(labels)), key=keys.__getitem__)


def _by_number(labels: Sequence[str]) -> list[int] | None:
    """The same order where every label is one number behind a common beginning, as ids mostly are.

    `None` where some label is not. The whole column at once: forty times as quick as label by label.
    """
    if not labels:
        return None
    start = _DIGITS.split(labels[0])[0]
    texts = pl.Series(labels, dtype=pl.String)
    numbers = texts.str.strip_prefix(start)
    if not (texts.str.starts_with(start).all() and numbers.str.contains(r"^[0-9]{1,17}$").all()):
        return None
    sizes = numbers.cast(pl.Int64)
    if bool((sizes.diff().drop_nulls() > 0).all()):
        return list(range(len(labels)))
    frame = pl.DataFrame({"size": sizes, "text": texts, "index": np.arange(len(labels))})
    return frame.sort("size", "text")["index"].to_list()


def _natural(label: str) -> tuple[list[tuple[int, int, str]], str]:
    # numbers by size before texts by letters; the label itself settles 01 against 1
    pieces = [
        (0, int(piece), "") if piece.isascii() and piece.isdecimal() and len(piece) < 400 else (1, 0, piece)
        for piece in _DIGITS.split(label)
        if piece
    ]
    return pieces, label


def ancestors(name: str, within: Mapping[str, str | None]) -> tuple[str, ...]:
    """The declared parents of a grouping factor, outermost first."""
    found: list[str] = []
    parent = within.get(name)
    while parent is not None and parent not in found and parent != name:
        found.append(parent)
        parent = within.get(parent)
    return tuple(reversed(found))


def factor_keys(path: Sequence[str], within: Mapping[str, str | None]) -> tuple[str, ...]:
    """Columns that tell the groups of a path apart: its own and all declared parents, outermost first."""
    parents = [parent for name in path for parent in ancestors(name, within)]
    together = dict.fromkeys((*parents, *path))
    depth = {name: len(ancestors(name, within)) for name in together}
    related = {name for name in together if depth[name] or name in parents}
    # only declared relatives are put in order; other columns stay where they were written
    ordered = iter(sorted(related, key=lambda name: (depth[name], list(together).index(name))))
    return tuple(next(ordered) if name in related else name for name in together)


def read_factor(path: Sequence[str], keys: Mapping[str, Keys], within: Mapping[str, str | None]) -> Factor:
    """Name a grouping factor and decide how its groups are labelled.

    Parameters
    ----------
    path : sequence of str
        From the formula.
    keys : mapping of str to Keys
        Of all rows of the data, so that labels do not depend on which rows a model uses.
    within : mapping of str to (str or None)
        Declared nesting.

    Returns
    -------
    Factor
    """
    columns = factor_keys(path, within)
    name = ":".join(column for column in columns if column in path)
    if len(path) == 1 and len(columns) > 1:
        child = keys[path[0]]
        known = np.all([keys[column].codes >= 0 for column in columns], axis=0)
        pairs = _combined([Keys(keys[column].codes[known], keys[column].labels) for column in columns])
        if len(np.unique(pairs)) == len(np.unique(child.codes[known])):
            return Factor(name, columns, (path[0],))
        return Factor(name, columns, columns, restarts=True)
    return Factor(name, columns, columns)


def group_codes(factor: Factor, keys: Mapping[str, Keys]) -> tuple[IntArray, tuple[str, ...]]:
    """Codes 0..J-1 of the groups that occur, and their labels.

    Parameters
    ----------
    factor : Factor
        From `read_factor`.
    keys : mapping of str to Keys
        Of the analysis rows, nothing missing.

    Returns
    -------
    codes : ndarray (n,)
    labels : tuple of str, length J
        Naturally sorted, every one different.
    """
    parts = [keys[column] for column in factor.labelled_by]
    if len(parts) == 1:
        present, codes = _dense(parts[0].codes, len(parts[0].labels))
        whole = len(present) == len(parts[0].labels)
        return codes, parts[0].labels if whole else tuple(parts[0].labels[index] for index in present)
    present, codes = _dense(_combined(parts), int(np.prod([len(part.labels) for part in parts], dtype=float)))
    indices: list[IntArray] = []
    for part in reversed(parts):
        present, index = np.divmod(present, max(len(part.labels), 1))
        indices.append(index)
    texts = [[part.labels[i] for i in index] for part, index in zip(parts, reversed(indices), strict=True)]
    labels = tuple(":".join(pieces) for pieces in zip(*texts, strict=True))
    if len(set(labels)) < len(labels):
        labels = tuple(" : ".join(pieces) for pieces in zip(*texts, strict=True))
    return codes, labels


def _combined(parts: Sequence[Keys]) -> IntArray:
    total = parts[0].codes
    for part in parts[1:]:
        total = total * len(part.labels) + part.codes
    return total


def _dense(codes: IntArray, size: int) -> tuple[IntArray, IntArray]:
    """The distinct codes in increasing order, and the place of each row's code among them."""
    if size > 8 * len(codes) + 1000:
        distinct, places = np.unique(codes, return_inverse=True)
        return distinct, places.astype(np.int64)
    present = np.bincount(codes, minlength=max(size, 1)) > 0
    if present.all():
        return np.arange(len(present)), codes
    return np.flatnonzero(present), (np.cumsum(present) - 1)[codes]
