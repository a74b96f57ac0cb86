"""Draws as tables: the parameters under their names, their summaries, and what is derived from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from nestwise.arrays import FloatArray
from nestwise.bayes.units import Draws
from nestwise.design.record import Design
from nestwise.fit.generalised import threshold_names
from nestwise.fit.partition import kish_size, mean_square_z, partition
from nestwise.likelihood.families import DISPERSION
from nestwise.results import Estimate
from nestwise.vocabulary import INTERCEPT

HEAVY = ("variance_ratio", "break_even_n")
"""Derived ratios whose posterior need not have a variance: no SD is given."""


def parameter_columns(design: Design, home: Draws) -> dict[str, FloatArray]:
    """Draws (chains, draws) of every parameter under the name it has in `draws.parquet`."""
    columns: dict[str, FloatArray] = {}
    if home.thresholds is not None:
        cuts = threshold_names(design, home.thresholds.shape[-1])
        columns = {f"fixed|{name}": home.thresholds[..., at] for at, name in enumerate(cuts)}
    columns |= {
        f"fixed|{name}": home.beta[..., at]
        for at, name in enumerate(design.names)
        if design.family != "ordinal" or name != INTERCEPT
    }
    names = [(term.group, name) for term in design.random for name in term.names]
    columns |= {f"sd|{group}|{name}": home.sd[..., at] for at, (group, name) in enumerate(names)}
    correlation = home.correlation @ np.swapaxes(home.correlation, -1, -2)
    start = 0
    for term in design.random:
        for row, later in enumerate(term.names):
            for col in range(row) if term.correlated else ():
                name = f"cor|{term.group}|{term.names[col]}:{later}"
                columns[name] = correlation[..., start + row, start + col]
        start += len(term.names)
    dispersion = "sigma" if design.family == "gaussian" else DISPERSION.get(design.family)
    return columns if dispersion is None else columns | {f"residual|{dispersion}": home.sigma}


def parameter_of(column: str) -> dict[str, Any]:
    """Component, group and term of a column of `draws.parquet`."""
    component, *rest = column.split("|", 2 if column.startswith(("sd|", "cor|")) else 1)
    group, term = rest if len(rest) == 2 else (None, rest[0])
    return {"component": component, "group": group, "term": term}


def parameter_rows(parameters: Sequence[Mapping[str, Any]], level: float) -> list[Estimate]:
    """Posterior medians, SDs and intervals of the parameters."""
    return [
        Estimate(
            row["component"],
            row["term"],
            row["median"],
            row["group"],
            std_error=row["sd"],
            lower=row["lower"],
            upper=row["upper"],
            level=level,
            scale="correlation" if row["component"] == "cor" else "response",
        )
        for row in parameters
    ]


def derived_rows(design: Design, home: Draws, level: float) -> list[Estimate]:
    """Posterior of what `fit.partition` derives, draw by draw."""
    flat = home.flat()
    names = design.varying
    ZZ, size, group = mean_square_z(design), kish_size(design), design.random[0].group
    root = flat.sd[:, :, None] * flat.correlation
    Sigma = root @ np.swapaxes(root, 1, 2)
    parts = [partition(Sigma[s], float(flat.sigma[s]), names, ZZ, size) for s in range(flat.sigma.size)]
    rows = [
        ("icc", "icc", group, "proportion"),
        ("variance_share", "share_group", group, "proportion"),
        ("design_effect", "design_effect", group, "ratio"),
        ("variance_ratio", "variance_ratio", group, "ratio"),
        ("break_even_n", "break_even", group, "rows"),
        ("residual_share", "share_residual", None, "proportion"),
    ]
    tail = (1 - level) / 2
    estimates = []
    for term, field, owner, scale in rows:
        values = [getattr(part, field) for part in parts]
        if None in values:
            continue
        lower, median, upper = (float(value) for value in np.quantile(values, [tail, 0.5, 1 - tail]))
        sd = None if term in HEAVY else float(np.std(values, ddof=1))
        estimates.append(
            Estimate(
                "derived", term, median, owner,
                std_error=sd, lower=lower, upper=upper, level=level, scale=scale,
            )
        )  # fmt: skip
    return estimates


def draws_frame(columns: Mapping[str, FloatArray]) -> pl.DataFrame:
    """Draws with their chain, as `draws.parquet` holds them."""
    chains, draws = next(iter(columns.values())).shape
    index: dict[str, Any] = {
        "chain": np.repeat(np.arange(chains), draws),
        "draw": np.tile(np.arange(draws), chains),
    }
    return pl.DataFrame(index | {name: values.reshape(-1) for name, values in columns.items()})
