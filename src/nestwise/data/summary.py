"""The tables of a validation: every variable, what it holds and on which level it varies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from nestwise.data.dataset import ROW, VariableInfo
from nestwise.data.derive import group_keys
from nestwise.data.typed import TypedData

MOST_LEVELS_SHOWN = 50
NUMBERS = ("continuous", "count", "binary")


def summarise_variables(
    typed: TypedData,
    groups: Sequence[str],
    varying: Mapping[str, Mapping[str, int]],
    sizes: Mapping[str, int],
) -> list[dict[str, Any]]:
    """One entry a variable (see `Validation.variables`); one streaming pass and one a factor.

    Parameters
    ----------
    typed : TypedData
    groups : sequence of str
        Grouping factors present.
    varying : mapping
        Of each factor: variable -> number of groups inside which it varies.
    sizes : mapping of str to int
        Number of groups of each factor.
    """
    names = list(typed.variables)
    aggregates = [pl.len().alias("rows")]
    for position, (name, info) in enumerate(typed.variables.items()):
        aggregates += _aggregates(name, info, position)
    row: Any = typed.frame.select(aggregates).collect(engine="streaming")
    found = row.row(0, named=True)
    entries = []
    for position, name in enumerate(names):
        info, rows = typed.variables[name], found["rows"]
        missing = found[f"missing{position}"]
        entry: dict[str, Any] = {
            "name": name,
            "type": info.type,
            "declared": info.declared,
            "unit": info.unit,
            "label": info.label,
            "n": rows - missing,
            "missing": missing,
            "missing_share": missing / rows if rows else None,
            **{what: found.get(f"{what}{position}") for what in ("min", "mean", "sd", "max")},
            "infinite": found.get(f"infinite{position}", 0),
            "grouping_factor": name in groups,
            "varies_at": _varies_at(name, groups, varying, sizes),
        }
        entries.append(entry | _levels(typed, name, info, is_group=name in groups))
    return entries


def _aggregates(name: str, info: VariableInfo, position: int) -> list[pl.Expr]:
    column = pl.col(name)
    aggregates = [column.null_count().alias(f"missing{position}")]
    if info.type in NUMBERS:
        valued = column.cast(pl.Float64)
        finite = valued.filter(valued.is_finite())
        aggregates += [
            finite.min().alias(f"min{position}"),
            finite.mean().alias(f"mean{position}"),
            finite.std().alias(f"sd{position}"),
            finite.max().alias(f"max{position}"),
            valued.is_infinite().sum().alias(f"infinite{position}"),
        ]
    elif info.type == "date":
        aggregates += [
            column.min().cast(pl.String).alias(f"min{position}"),
            column.max().cast(pl.String).alias(f"max{position}"),
        ]
    return aggregates


def _levels(typed: TypedData, name: str, info: VariableInfo, *, is_group: bool) -> dict[str, Any]:
    """Counts of the levels, in their order; groups have a table of their own."""
    if is_group or info.type not in ("categorical", "ordinal", "binary"):
        return {"levels": None, "n_levels": len(info.levels) or None}
    counted: Any = (
        typed.frame.select(pl.col(name)).group_by(name).agg(pl.len().alias(".n")).collect(engine="streaming")
    )
    counts = dict(counted.drop_nulls(name).iter_rows())
    if info.type == "binary":
        labels = info.levels or ("0", "1")
        ordered = {labels[code]: counts.get(code, 0) for code in (0, 1)}
    else:
        extras = sorted(set(counts) - set(info.levels))
        ordered = {level: counts.get(level, 0) for level in (*info.levels, *extras)}
    return {"levels": dict(list(ordered.items())[:MOST_LEVELS_SHOWN]), "n_levels": len(ordered)}


def _varies_at(
    name: str, groups: Sequence[str], varying: Mapping[str, Mapping[str, int]], sizes: Mapping[str, int]
) -> str | None:
    """The coarsest factor inside whose groups a variable is constant; `row` if there is none."""
    constant = [
        group for group in groups if group != name and group in varying and varying[group].get(name) == 0
    ]
    if name not in next(iter(varying.values()), {}):
        return None
    return min(constant, key=lambda group: sizes[group]) if constant else "row"


def variation(
    typed: TypedData, within: Mapping[str, str | None]
) -> tuple[dict[str, dict[str, int]], list[dict[str, Any]]]:
    """Inside how many groups each variable varies, and where its missing values lie.

    Returns
    -------
    varying : dict
        Of each factor: variable -> number of groups inside which it varies.
    missingness : list of dict
        `Validation.missingness`.
    """
    varying: dict[str, dict[str, int]] = {}
    missingness: list[dict[str, Any]] = []
    names = [name for name, info in typed.variables.items() if info.type != "text"]
    schema = typed.frame.collect_schema()
    for group in within:
        keys = group_keys(group, within)
        others = [name for name in names if name not in keys]
        found = _per_group(typed.frame, keys, others, schema)
        n_groups = found["n_groups"]
        varying[group] = {name: found[f"varies{k}"] for k, name in enumerate(others)}
        missingness += [
            {
                "variable": name,
                "group": group,
                "n_groups": n_groups,
                "groups_complete": n_groups - found[f"some{k}"],
                "groups_partly": found[f"some{k}"] - found[f"all{k}"],
                "groups_wholly": found[f"all{k}"],
            }
            for k, name in enumerate(others)
            if found[f"some{k}"]
        ]
    return varying, missingness


def _per_group(
    frame: pl.LazyFrame, keys: Sequence[str], names: Sequence[str], schema: Mapping[str, pl.DataType]
) -> dict[str, int]:
    aggregates, verdicts = [pl.len().alias(".n")], [pl.len().alias("n_groups")]
    for k, name in enumerate(names):
        value = pl.col(name).to_physical() if isinstance(schema[name], pl.Enum) else pl.col(name)
        aggregates += [
            (value.min() != value.max()).fill_null(value=False).alias(f"varies{k}"),
            pl.col(name).null_count().alias(f"missing{k}"),
        ]
        verdicts += [
            pl.col(f"varies{k}").sum(),
            (pl.col(f"missing{k}") > 0).sum().alias(f"some{k}"),
            (pl.col(f"missing{k}") == pl.col(".n")).sum().alias(f"all{k}"),
        ]
    collected: Any = (
        frame.select(ROW, *keys, *names)
        .drop_nulls(list(keys))
        .group_by(keys)
        .agg(aggregates)
        .select(verdicts)
        .collect(engine="streaming")
    )
    return dict(collected.row(0, named=True))
