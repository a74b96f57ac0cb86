"""The tables of a study: every saved fit stacked in the tidy vocabulary."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from nestwise.results import Status, conform, gather
from nestwise.storage import write_parquet
from nestwise.vocabulary import FITS


@dataclass(frozen=True)
class Tables:
    """`estimates`, `fits` and `groups` of a study, in the order of its models and engines."""

    estimates: pl.DataFrame
    fits: pl.DataFrame
    groups: pl.DataFrame


def stack(folders: Sequence[str | os.PathLike[str]], strategies: Sequence[str] = ("observed",)) -> Tables:
    """Stack saved fits, and answer for the strategies that were asked for and not fitted.

    Parameters
    ----------
    folders : sequence of path-like
        As written by `results.save_fit`.
    strategies : sequence of str
        Strategies for missing data that the study asks for. Each that has no fit gets a refused
        row for every model and engine.

    Returns
    -------
    Tables
    """
    fits = gather(folders, "fits")
    refused = [_refused(fits, strategy) for strategy in strategies if strategy not in fits["strategy"]]
    return Tables(gather(folders, "estimates"), pl.concat([fits, *refused]), gather(folders, "groups"))


def _refused(fits: pl.DataFrame, strategy: str) -> pl.DataFrame:
    reason = f"The strategy {strategy} is not part of this version; `observed` uses all observed rows."
    rows = fits.select("study", "model", "engine", "method", "formula", "n_obs", "n_groups").with_columns(
        strategy=pl.lit(strategy), status=pl.lit(Status.REFUSED.value), reason=pl.lit(reason)
    )
    return conform(rows, FITS)


def save_tables(tables: Tables, *, estimates: str, fits: str, groups: str) -> None:
    """Write each table to its path."""
    for frame, path in ((tables.estimates, estimates), (tables.fits, fits), (tables.groups, groups)):
        write_parquet(Path(path), frame)
