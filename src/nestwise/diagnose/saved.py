"""Verdicts on fits that stand on disk."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType

import polars as pl

from nestwise.config.study import Model
from nestwise.data.dataset import Dataset
from nestwise.diagnose.checks import diagnose
from nestwise.results import conform, empty, gather
from nestwise.storage import read_json
from nestwise.vocabulary import CHECKS


def diagnose_saved(
    folders: Sequence[str | os.PathLike[str]],
    designs: Sequence[str | os.PathLike[str]],
    dataset: Dataset,
    models: Mapping[str, Model] = MappingProxyType({}),
) -> pl.DataFrame:
    """Judge every fit of a study: the checks its engine made, and those made of its results.

    Parameters
    ----------
    folders : sequence of path-like
        Fits as written by `results.save_fit`.
    designs : sequence of path-like
        `design.json` of every model.
    dataset : Dataset
        The prepared data.
    models : mapping of str to Model
        Models as the study file has them; the optimum of one that is absent is not computed again.

    Returns
    -------
    polars.DataFrame
        In the schema CHECKS; a check that the engine made already is not made twice, and `mixedlm` beside
        a fit by `lmm` keeps to its own: the same model has the same residuals and groups.
    """
    by_model = {design["model"]: design for design in map(read_json, designs)}
    estimated = gather(folders, "estimates")
    by_lmm = frozenset(estimated.filter(pl.col("engine") == "lmm")["model"])
    parts = (_of_fit(Path(folder), by_model, by_lmm, dataset, models) for folder in folders)
    return pl.concat([empty(CHECKS), *parts])


def _of_fit(
    folder: Path,
    designs: Mapping[str, Mapping[str, object]],
    by_lmm: frozenset[str],
    dataset: Dataset,
    models: Mapping[str, Model],
) -> pl.DataFrame:
    fit = pl.read_parquet(folder / "fits.parquet").row(0, named=True)
    own = pl.read_parquet(folder / "checks.parquet")
    if fit["engine"] == "mixedlm" and fit["model"] in by_lmm:
        return own
    made = set(own["check"])
    identity = {name: fit[name] for name in ("study", "model", "engine")}
    found = diagnose(folder, designs.get(fit["model"], {}), dataset, models.get(fit["model"]))
    rows = [identity | asdict(check) for check in found if check.check not in made]
    return pl.concat([own, conform(pl.DataFrame(rows, schema=dict(CHECKS)), CHECKS)])
