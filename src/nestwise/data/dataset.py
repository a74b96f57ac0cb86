"""The record of a study's data after they have been read, validated and prepared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import polars as pl

from nestwise.config.study import Derivation, Variable
from nestwise.data.relation import Relation
from nestwise.errors import Problem

ROW = ".row"
"""Column that holds the row number in the source, counted from 1 below the header."""


def reserved_names(names: Iterable[str], where: str) -> list[Problem]:
    """Columns that cannot keep their name: `.row` is ours, and Polars takes `*` and `^...$` for patterns."""
    return [
        Problem(f"a column is called {name!r}, a name that is taken", where, "rename it")
        for name in names
        if name in (ROW, "*") or (name.startswith("^") and name.endswith("$"))
    ]


@dataclass(frozen=True)
class VariableInfo:
    """What is known of one variable: declared in the study file, or inferred and reported."""

    name: str
    type: str
    """continuous | count | binary | categorical | ordinal | date"""
    declared: bool
    levels: tuple[str, ...] = ()
    """Of a categorical or ordinal variable, the reference level first."""
    unit: str | None = None
    label: str | None = None


def worded(
    variables: Mapping[str, VariableInfo], declared: Mapping[str, Variable]
) -> dict[str, VariableInfo]:
    """Variables with the units and labels of the study file.

    Prepared data hold neither, so that a new label draws figures anew and fits nothing again.
    """
    return {
        name: replace(info, unit=declared[name].unit or info.unit, label=declared[name].label or info.label)
        if name in declared
        else info
        for name, info in variables.items()
    }


@dataclass(frozen=True)
class Dataset:
    """Validated data, lazily: rows stay on disk until a design asks for columns.

    Attributes
    ----------
    study : str
        Name of the study (the stem of its file).
    frame : polars.LazyFrame
        `.row`, the variables and the derived variables. Categorical and ordinal variables and
        grouping factors are `Enum`, the reference level first; binary ones are 0/1 `Int8`.
    variables : mapping of str to VariableInfo
        Every variable of the frame.
    within : mapping of str to (str or None)
        Each declared grouping factor and the one it is nested in.
    time : str or None
        The time column.
    derivations : tuple of Derivation
        The derived variables, to be computed again where rows are left out.
    relations : mapping of str to Relation
        Known correlation between the groups of a grouping factor.
    """

    study: str
    frame: pl.LazyFrame
    variables: Mapping[str, VariableInfo]
    within: Mapping[str, str | None]
    time: str | None = None
    derivations: tuple[Derivation, ...] = ()
    relations: Mapping[str, Relation] = field(default_factory=dict)
