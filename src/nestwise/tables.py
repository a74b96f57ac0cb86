"""The tables of a study: every saved fit stacked in the tidy vocabulary."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import polars as pl

from nestwise.results import Status, conform, gather
from nestwise.storage import write_parquet
from nestwise.vocabulary import FITS


@dataclass(frozen=True)
class Tables:
    """Every table but the checks of a study, in the order of its models and engines."""

    estimates: pl.DataFrame
    fits: pl.DataFrame
    groups: pl.DataFrame
    tests: pl.DataFrame
    means: pl.DataFrame
    influence: pl.DataFrame
    profiles: pl.DataFrame


def stack(
    folders: Sequence[str | os.PathLike[str]], refused: Mapping[str, Mapping[str, str]] | None = None
) -> Tables:
    """Stack saved fits, and answer for the strategies that were asked for and lead to none.

    Parameters
    ----------
    folders : sequence of path-like
        As written by `results.save_fit`.
    refused : mapping, optional
        Model -> strategy for missing data -> why no engine of the model can carry it out. Each becomes a
        refused row of every engine of the model.

    Returns
    -------
    Tables
    """
    fits = gather(folders, "fits")
    rows = [
        _refused(fits, model, strategy, reason)
        for model, strategies in (refused or {}).items()
        for strategy, reason in strategies.items()
    ]
    return Tables(
        estimates=gather(folders, "estimates"),
        fits=pl.concat([fits, *rows]),
        groups=gather(folders, "groups"),
        tests=gather(folders, "tests"),
        means=gather(folders, "means"),
        influence=gather(folders, "influence"),
        profiles=gather(folders, "profiles"),
    )


def _refused(fits: pl.DataFrame, model: str, strategy: str, reason: str) -> pl.DataFrame:
    own = fits.filter((pl.col("model") == model) & (pl.col("strategy") == "observed"))
    rows = own.select("study", "model", "engine", "method", "formula", "n_obs", "n_groups").with_columns(
        strategy=pl.lit(strategy), status=pl.lit(Status.REFUSED.value), reason=pl.lit(reason)
    )
    return conform(rows, FITS)


def save_tables(tables: Tables, **paths: str) -> None:
    """Write each table to its path.

    Parameters
    ----------
    tables : Tables
        From `stack`.
    **paths : str
        Name of every table -> where it goes.
    """
    for table in fields(tables):
        write_parquet(Path(paths[table.name]), getattr(tables, table.name))
