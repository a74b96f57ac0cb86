"""Labels of levels and groups, and the order they stand in."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

TRUE = frozenset({"true", "yes", "y", "t", "1"})
FALSE = frozenset({"false", "no", "n", "f", "0"})
YES_NO: tuple[tuple[str, str], ...] = (("0", "1"), ("false", "true"), ("no", "yes"))
"""Pairs that are binary without being declared, in lower case; the second is 1."""

_DIGITS = re.compile(r"(\d+)")


def label(value: str | int | float | bool) -> str:
    """A level of the study file as text, as R prints it: 1, 1.5, TRUE, or the text itself."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def declared_labels(
    levels: Iterable[str | int | float | bool], found: Iterable[str]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Labels of declared levels, and how labels found in the data map to them.

    YAML reads an unquoted ``no`` or ``yes`` as false or true. Such a level is matched with the one
    word of the data that means the same, and takes its spelling.

    Parameters
    ----------
    levels : iterable
        As the study file has them.
    found : iterable of str
        Labels in the data.

    Returns
    -------
    labels : tuple of str
        In declared order.
    spelling : dict of str to str
        Labels of the data that are written in another way than their level (`1.0` for `1`).
    """
    present = set(found)
    labels: list[str] = []
    spelling: dict[str, str] = {}
    for level in levels:
        name = label(level)
        if isinstance(level, bool) and name not in present:
            same = sorted(text for text in present if text.casefold() in (TRUE if level else FALSE))
            name = same[0] if same else name
            spelling |= {text: name for text in same if text != name}
        elif not isinstance(level, str):
            spelling |= {text: name for text in present if text != name and _number(text) == float(level)}
        labels.append(name)
    return tuple(labels), spelling


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def level_order(labels: Iterable[str]) -> tuple[str, ...]:
    """Order of levels nobody declared, as R's ``factor()``: by number if all are, else alphabetical.

    Lower case stands before upper case of the same letter, as in R outside the C locale.
    """
    listed = list(labels)
    numbers = [_number(text) for text in listed]
    if listed and all(number is not None and not math.isnan(number) for number in numbers):
        return tuple(sorted(listed, key=lambda text: (float(text), text)))
    return tuple(sorted(listed, key=lambda text: (text.casefold(), text.swapcase())))


def group_order(labels: Iterable[str]) -> tuple[str, ...]:
    """Order of groups: as people count, 2 before 10 and class 2 before class 10."""
    return tuple(sorted(labels, key=_counting))


def _counting(text: str) -> tuple[tuple[int, int, str], ...]:
    parts = _DIGITS.split(text.casefold())
    numbered = tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part)
    return (*numbered, (2, 0, text))
