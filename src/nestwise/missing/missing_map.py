"""The missingness map: who lacks what, in so few bands that a page can draw any study."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from nestwise.arrays import BoolArray, FloatArray, IntArray
from nestwise.missing.patterns import ALL, Attendance
from nestwise.missing.plan import Arms
from nestwise.missing.schedule import Schedule
from nestwise.missing_vocabulary import MISSINGNESS_MAP
from nestwise.results import conform

BANDS = 150
"""Bands of subjects or rows, over all arms."""


def visit_map(planned: Schedule, outcome: str, found: Attendance, arms: Arms | None) -> pl.DataFrame:
    """Share of missing outcomes by visit, in bands of subjects who left at about the same time.

    Parameters
    ----------
    planned : Schedule
    outcome : str
    found : Attendance
    arms : Arms or None

    Returns
    -------
    DataFrame
        In the schema MISSINGNESS_MAP; within an arm, those seen longest and most often come first.
    """
    group = np.zeros(planned.N, dtype=np.int64) if arms is None else arms.codes
    labels = (ALL,) if arms is None else arms.labels
    # patterns beside each other: by last visit, visits seen, and then visit by visit
    early = tuple(~found.seen[:, t] for t in range(planned.T - 1, -1, -1))
    order = np.lexsort((*early, -found.seen.sum(axis=1), -found.last, group))
    bands = _bands(group[order])
    rows = _shares(~found.seen[order], bands, planned.labels)
    arm_of_band = [labels[code] for code in group[order][_firsts(bands)].tolist()]
    names = pl.DataFrame({"band": np.arange(len(arm_of_band)), "arm": arm_of_band})
    frame = rows.join(names, on="band", how="left").with_columns(
        study=pl.lit(planned.study), over=pl.lit(f"{outcome} by {planned.visit}")
    )
    return conform(frame, MISSINGNESS_MAP)


def variable_map(study: str, frame: pl.DataFrame, variables: Sequence[str]) -> pl.DataFrame:
    """Share of missing values by variable, in bands of consecutive rows, in the schema MISSINGNESS_MAP."""
    missing = np.column_stack([frame[name].is_null().to_numpy() for name in variables])
    bands = _bands(np.zeros(frame.height, dtype=np.int64))
    rows = _shares(missing, bands, tuple(variables))
    found = rows.with_columns(study=pl.lit(study), over=pl.lit("variables"), arm=pl.lit(ALL))
    return conform(found, MISSINGNESS_MAP)


def _bands(group: IntArray) -> IntArray:
    """Band of each unit in order; no band holds units of two groups."""
    n = group.size
    size = max(1, int(np.ceil(n / BANDS)))
    found, start = np.empty(n, dtype=np.int64), 0
    for part in np.unique(group):
        own = np.flatnonzero(group == part)
        found[own] = start + np.arange(own.size) // size
        start = int(found[own[-1]]) + 1
    return found


def _firsts(bands: IntArray) -> IntArray:
    return np.flatnonzero(np.diff(bands, prepend=-1)).astype(np.int64)


def _shares(missing: BoolArray, bands: IntArray, columns: Sequence[str]) -> pl.DataFrame:
    firsts = _firsts(bands)
    counts = np.diff(np.append(firsts, bands.size))
    share: FloatArray = np.add.reduceat(missing.astype(float), firsts, axis=0) / counts[:, None]
    B, K = share.shape
    return pl.DataFrame(
        {
            "band": np.repeat(np.arange(B), K),
            "column": list(columns) * B,
            "position": np.tile(np.arange(K), B),
            "n": np.repeat(counts, K),
            "missing": share.ravel(),
        }
    )
