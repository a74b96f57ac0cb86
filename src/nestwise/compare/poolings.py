"""Complete pooling, no pooling and partial pooling of one model, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

POOLING_ENGINES = {
    "pooled": "complete pooling",
    "unpooled": "no pooling",
    "lmm": "partial pooling",
    "glmm": "partial pooling",
    "mixedlm": "partial pooling",
    "pymc": "partial pooling",
}
"""What each engine does with groups, in the order a table shows them."""


@dataclass(frozen=True)
class Value:
    """An estimate with its uncertainty; `n` groups contribute to a spread."""

    estimate: float | None
    std_error: float | None = None
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True)
class Line:
    """One quantity across the engines: None where an engine has no such quantity."""

    component: str
    group: str | None
    term: str
    values: tuple[Value | None, ...]


@dataclass(frozen=True)
class Spread:
    """How much a coefficient differs between groups, by each way of pooling (rule 31).

    `raw` is the SD of the no-pooling estimates, which noise inflates; `tau` the SD of the distribution
    the groups are drawn from; `shrunken` the SD of the partial-pooling estimates, which is below tau.
    """

    group: str
    term: str
    engine: str
    n_groups: int
    n_raw: int
    raw: float | None
    tau: float | None
    shrunken: float | None


@dataclass(frozen=True)
class Raw:
    """The no-pooling estimates of one coefficient over the groups that have one."""

    term: str
    n: int
    mean: float | None
    sd: float | None


@dataclass(frozen=True)
class PoolingTable:
    """The table of one model: its columns are engines, its rows quantities."""

    model: str
    engines: tuple[str, ...]
    lines: tuple[Line, ...]
    spreads: tuple[Spread, ...]
    raw: tuple[Raw, ...] = ()


def _estimates(estimates: pl.DataFrame, engines: tuple[str, ...]) -> tuple[Line, ...]:
    shown = estimates.filter(pl.col("component").is_in(["fixed", "sd", "cor", "residual"]))
    by_key: dict[tuple[str, str | None, str], dict[str, Value]] = {}
    for row in shown.to_dicts():
        key = (row["component"], row["group"], row["term"])
        value = Value(row["estimate"], row["std_error"], row["lower"], row["upper"])
        by_key.setdefault(key, {})[row["engine"]] = value
    order = {name: place for place, name in enumerate(("fixed", "sd", "cor", "residual"))}
    keys = sorted(by_key, key=lambda key: order[key[0]])
    return tuple(Line(*key, tuple(by_key[key].get(engine) for engine in engines)) for key in keys)


def spreads(estimates: pl.DataFrame, groups: pl.DataFrame) -> tuple[Spread, ...]:
    """Spread of each group coefficient under the three ways of pooling.

    Parameters
    ----------
    estimates, groups : polars.DataFrame
        Of one model, in the schemas ESTIMATES and GROUPS.

    Returns
    -------
    tuple of Spread
        One an engine that pools partially, grouping factor and coefficient, in the tables' order.
    """
    found = []
    keys = groups.select("engine", "group", "term").unique(maintain_order=True).rows()
    tau = {
        (row["engine"], row["group"], row["term"]): row["estimate"]
        for row in estimates.filter(pl.col("component") == "sd").to_dicts()
    }
    for engine, group, term in keys:
        part = groups.filter(
            (pl.col("engine") == engine) & (pl.col("group") == group) & (pl.col("term") == term)
        )
        if (engine, group, term) not in tau:
            continue
        raw = part["no_pooling"].drop_nulls()
        found.append(
            Spread(
                group,
                term,
                engine,
                part.height,
                len(raw),
                _sd(raw),
                tau[(engine, group, term)],
                _sd(part["partial_pooling"].drop_nulls()),
            )
        )
    return tuple(found)


def _sd(values: pl.Series) -> float | None:
    spread: Any = values.std() if len(values) > 1 else None
    return None if spread is None else float(spread)


def pooling_table(
    estimates: pl.DataFrame, fits: pl.DataFrame, groups: pl.DataFrame, model: str
) -> PoolingTable:
    """Set the three ways of pooling of a model side by side.

    Parameters
    ----------
    estimates, fits, groups : polars.DataFrame
        Whole tables of the study.
    model : str
        Name of the model.

    Returns
    -------
    PoolingTable
        Engines without estimates are left out; `fits` has their reasons.
    """
    chosen = fits.filter((pl.col("model") == model) & ~pl.col("status").is_in(["failed", "refused"]))
    present = set(chosen["engine"])
    engines = tuple(engine for engine in POOLING_ENGINES if engine in present)
    own = estimates.filter((pl.col("model") == model) & pl.col("engine").is_in(engines))
    own_groups = groups.filter((pl.col("model") == model) & pl.col("engine").is_in(engines))
    return PoolingTable(
        model,
        engines,
        _estimates(own, engines),
        spreads(own, own_groups),
        _raw(own_groups.filter(pl.col("engine") == "unpooled")),
    )


def _raw(groups: pl.DataFrame) -> tuple[Raw, ...]:
    found = []
    for (term,), part in groups.group_by("term", maintain_order=True):
        values = part["no_pooling"].drop_nulls()
        mean = float(np.mean(values.to_numpy())) if len(values) else None
        found.append(Raw(str(term), len(values), mean, _sd(values)))
    return tuple(found)


def pooling_of(engine: str) -> str:
    """Return what an engine does with groups, in words."""
    names: Mapping[str, str] = POOLING_ENGINES
    return names.get(engine, engine)
