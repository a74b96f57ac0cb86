"""Comparisons of fits that stand on disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from nestwise.compare.engines import compare_engines
from nestwise.results import gather, load_record


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
