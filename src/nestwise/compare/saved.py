"""Comparisons of fits that stand on disk."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from nestwise.compare.effects import (
    CONDITIONAL_ENGINES,
    conditional_effects,
    marginal_effects,
)
from nestwise.compare.engines import comparable, compare_engines
from nestwise.compare.posterior import ENGINE, posterior_effects, reconcile_posterior
from nestwise.compare.reconciliation import Pair, Row, reconcile
from nestwise.compare.settings import grid_of
from nestwise.compare.strategies import sensitivity
from nestwise.config.missing import Arm
from nestwise.config.study import Compare, Model
from nestwise.data.dataset import Dataset
from nestwise.design.build import build_design
from nestwise.design.standard import standard_rows
from nestwise.errors import NestwiseError
from nestwise.results import conform, gather, load_record
from nestwise.tables import stack
from nestwise.vocabulary import RECONCILIATION


def compare_saved(folders: Sequence[str | os.PathLike[str]]) -> pl.DataFrame:
    """Set likelihood and posterior of every model side by side.

    Parameters
    ----------
    folders : sequence of path-like
        Fits as written by `results.save_fit`.

    Returns
    -------
    polars.DataFrame
        In the schema COMPARISON.
    """
    fits = [(pl.read_parquet(Path(folder) / "fits.parquet").row(0, named=True), folder) for folder in folders]
    records = {(fit["model"], fit["engine"]): load_record(folder) for fit, folder in fits}
    return compare_engines(gather(folders, "estimates"), gather(folders, "fits"), records)


def reconcile_saved(
    folders: Sequence[str | os.PathLike[str]], dataset: Dataset, section: Mapping[str, Any]
) -> pl.DataFrame:
    """Reconcile the conditional and the marginal answer to every model that has both.

    Parameters
    ----------
    folders : sequence of path-like
        Fits as written by `results.save_fit`.
    dataset : Dataset
        The prepared data.
    section : mapping
        From `config.sections.compare_section`.

    Returns
    -------
    polars.DataFrame
        In the schema RECONCILIATION, rows of a model's likelihood before those of its posterior; a pair that
        must not be compared is one row `refused` with the reason. Empty without such a pair.
    """
    models = {name: Model.model_validate(each) for name, each in section["models"].items()}
    arm = None if section["arm"] is None else Arm.model_validate(section["arm"])
    level = Compare.model_validate({"level": section["level"]}).level
    by_model: dict[str, dict[str, Path]] = {}
    for folder in map(Path, folders):
        fit = pl.read_parquet(folder / "fits.parquet").row(0, named=True)
        by_model.setdefault(fit["model"], {})[fit["engine"]] = folder
    rows: list[Row] = []
    for name, model in models.items():
        own = by_model.get(name, {})
        engine = next((each for each in CONDITIONAL_ENGINES if each in own), None)
        with_draws = ENGINE in own and model.family != "ordinal"
        engines = [each for each in (engine, ENGINE if with_draws else None) if each is not None]
        for each in engines if "gee" in own else ():
            rows += _reconciled(
                own[each], own["gee"], dataset, model, arm=arm, level=level, labels=section["labels"]
            )
    return conform(pl.DataFrame(rows, schema=dict(RECONCILIATION)), RECONCILIATION)


def sensitivity_saved(
    folders: Sequence[str | os.PathLike[str]], refused: Mapping[str, Mapping[str, str]]
) -> pl.DataFrame:
    """Set every estimand under all strategies for missing data side by side.

    Parameters
    ----------
    folders : sequence of path-like
        Fits as written by `results.save_fit`: to all observed rows, and under every strategy.
    refused : mapping
        Model -> strategy -> why no engine of the model can carry it out.

    Returns
    -------
    polars.DataFrame
        In the schema SENSITIVITY; empty where `observed` is the only strategy.
    """
    tables = stack(folders, refused)
    key = ("model", "engine", "strategy", "method")
    records = {
        tuple(pl.read_parquet(Path(folder) / "fits.parquet").select(key).row(0)): load_record(folder)
        for folder in folders
    }
    return sensitivity(tables.estimates, tables.means, tables.fits, records)


def _reconciled(
    conditional: Path,
    marginal: Path,
    dataset: Dataset,
    model: Model,
    *,
    arm: Arm | None,
    level: float,
    labels: Mapping[str, str],
) -> list[Row]:
    one, other = (
        pl.read_parquet(each / "fits.parquet").row(0, named=True) for each in (conditional, marginal)
    )
    shared = {
        "study": one["study"], "model": one["model"], "strategy": one["strategy"],
        "conditional_engine": one["engine"], "conditional_method": one["method"],
        "marginal_engine": other["engine"], "marginal_method": other["method"],
    }  # fmt: skip
    try:
        comparable(one, other)
        design = build_design(dataset, one["model"], model)
        other_record = load_record(marginal)
        effects = marginal_effects(other, other_record, _fixed(marginal), design)
        rows = standard_rows(dataset, model, design)
        grid = grid_of(rows, dataset, None if arm is None else (arm.column, str(arm.reference)))
        if one["engine"] == ENGINE:
            drawn = posterior_effects(one, pl.read_parquet(conditional / "draws.parquet"), design)
            return [shared | row for row in reconcile_posterior(drawn, effects, rows, grid, level)]
        record = load_record(conditional)
        noun = "row"
        if design.random:
            group = design.random[0].group
            noun = labels.get(group.split(":")[-1], group)
        checks = pl.read_parquet(conditional / "checks.parquet").to_dicts()
        pair = Pair(
            design,
            model,
            conditional_effects(one, record, _fixed(conditional), design),
            effects,
            record,
            {**other_record, "cic": _criterion(marginal)},
            {row["check"]: row for row in checks},
            level,
            noun,
        )
        return [shared | row for row in reconcile(pair, rows, grid)]
    except NestwiseError as refusal:
        reason = " ".join(str(problem) for problem in refusal.problems)
        return [shared | {"kind": "refused", "verdict": "refused", "reason": reason}]


def _criterion(folder: Path) -> float | None:
    """CIC of a saved marginal fit."""
    rows = pl.read_parquet(folder / "estimates.parquet").filter(pl.col("term") == "cic")
    return None if rows.is_empty() else rows["estimate"][0]


def _fixed(folder: Path) -> dict[str, float]:
    """Fixed effects of a saved fit."""
    rows = pl.read_parquet(folder / "estimates.parquet").filter(pl.col("component") == "fixed")
    return dict(rows.select("term", "estimate").drop_nulls().iter_rows())
