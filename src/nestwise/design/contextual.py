"""Within is not between: which contrasts of the fixed effects compare the levels of one covariate (rule 11).

A covariate x falls into parts: what rows deviate from the mean of their group, what these means deviate from
the mean of a group of groups, and so on outward. A column made by `derive` holds some of the parts, x itself
all of them. The effect of a part is the sum of the coefficients of the columns that hold it; the contextual
effect of a level is the effect of its part less that of the next part further in. Source: Bell, Fairbrother &
Jones (2019), Quality & Quantity 53; Raudenbush & Bryk (2002), chapter 5.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from nestwise.arrays import FloatArray, IntArray
from nestwise.config.study import Derivation
from nestwise.data.derive import group_keys
from nestwise.design.record import ContextualContrast

Nested = Callable[[str, str], bool]
"""Whether each group of the first factor lies in one of the second."""


@dataclass(frozen=True)
class _Family:
    """Columns of the fixed part that hold parts of one covariate.

    `groups`: the factors its parts are made by, the innermost first.
    """

    covariate: str
    columns: tuple[str, ...]
    groups: tuple[str, ...]


def contextual_contrasts(
    names: Sequence[str],
    derivations: Sequence[Derivation],
    frame: pl.DataFrame,
    within: Mapping[str, str | None],
) -> tuple[ContextualContrast, ...]:
    """Contrasts between the levels of each covariate that the fixed part holds at several.

    Parameters
    ----------
    names : sequence of str, length p
        Columns of the fixed part.
    derivations : sequence of Derivation
        How derived columns were made.
    frame : polars.DataFrame
        The analysis rows, with the grouping factors of the derivations.
    within : mapping of str to (str or None)
        Declared nesting.

    Returns
    -------
    tuple of ContextualContrast
        In the order of `derivations`. Where the groups of a covariate are crossed, each factor is compared by
        itself, the parts of the other held constant.
    """
    made = {each.as_: each for each in derivations if each.kind != "scale"}
    covariates = dict.fromkeys(_covariate(name, made) for name in made)
    found = []
    for covariate in covariates:
        columns = tuple(name for name in names if _covariate(name, made) == covariate)
        for family in _families(covariate, columns, made, _nesting(frame, within)):
            found += _contrasts(family, names, made)
    return tuple(found)


def _covariate(name: str, made: Mapping[str, Derivation]) -> str:
    """What a column was made from in the end."""
    while name in made:
        name = made[name].source
    return name


def _groups(name: str, made: Mapping[str, Derivation]) -> set[str]:
    """Factors that a column was made by."""
    found = set()
    while name in made:
        if made[name].group is not None:
            found.add(str(made[name].group))
        name = made[name].source
    return found


def _nesting(frame: pl.DataFrame, within: Mapping[str, str | None]) -> Nested:
    def nested(inner: str, outer: str) -> bool:
        keys = group_keys(inner, within)
        both = list(dict.fromkeys((*keys, *group_keys(outer, within))))
        return frame.select(keys).n_unique() == frame.select(both).n_unique()

    return nested


def _families(
    covariate: str, columns: tuple[str, ...], made: Mapping[str, Derivation], nested: Nested
) -> list[_Family]:
    groups = sorted(set().union(*(_groups(name, made) for name in columns)) if columns else ())
    if len(columns) < 2 or not groups:
        return []
    chain = groups
    if len(groups) > 1:
        chain = sorted(groups, key=lambda one: sum(nested(other, one) for other in groups))
    if all(nested(inner, outer) for inner, outer in itertools.pairwise(chain)):
        return [_Family(covariate, columns, tuple(chain))]
    return [
        _Family(covariate, tuple(name for name in columns if _groups(name, made) <= {group}), (group,))
        for group in groups
    ]


def _parts(name: str, family: _Family, made: Mapping[str, Derivation]) -> IntArray:
    """Which parts (K + 1,) a column holds, from the innermost outward: 0 or 1."""
    size = len(family.groups) + 1
    if name not in made:
        return np.ones(size, dtype=np.int64)
    each = made[name]
    parts = _parts(each.source, family, made)
    if each.kind == "center":
        return parts
    outside = np.arange(size) > family.groups.index(str(each.group))
    return np.where(outside == (each.kind == "between"), parts, 0)


def _contrasts(
    family: _Family, names: Sequence[str], made: Mapping[str, Derivation]
) -> list[ContextualContrast]:
    held = np.zeros((len(family.groups) + 1, len(names)))
    for name in family.columns:
        held[:, list(names).index(name)] = _parts(name, family, made)
    levels = np.flatnonzero(held.any(axis=1))
    found = []
    for inner, outer in itertools.pairwise(levels):
        weights: FloatArray = held[outer] - held[inner]
        if weights.any():
            found.append(ContextualContrast(family.covariate, family.groups[outer - 1], weights))
    return found
