"""What a fit expects of each row: fixed effects alone, and with the random effects of its group."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from nestwise.arrays import FloatArray
from nestwise.design.record import Design


def fixed_part(design: Design, beta: FloatArray) -> FloatArray:
    """``X beta`` plus the offset (n,)."""
    mean: FloatArray = design.X @ beta
    return mean if design.offset is None else mean + design.offset


def with_random_part(design: Design, fixed: FloatArray, b: FloatArray) -> FloatArray:
    """``fixed + Z b`` (n,), with b (J, q) by group of the one grouping factor."""
    fitted, start = fixed.copy(), 0
    for term in design.random:
        stop = start + len(term.names)
        fitted += np.einsum("iq,iq->i", term.Z, b[term.codes, start:stop])
        start = stop
    return fitted


def prediction_rows(design: Design, fixed: FloatArray, fitted: FloatArray) -> pl.DataFrame:
    """One row an analysis row, in the schema `PREDICTIONS`.

    Parameters
    ----------
    design : Design
        The model.
    fixed, fitted : ndarray (n,)
        Expected by the fixed effects alone, and of a row of its group.
    """
    columns: dict[str, Any] = {
        "row": design.rows,
        "observed": design.y,
        "fixed": fixed,
        "fitted": fitted,
        "residual": design.y - fitted,
    }
    return pl.DataFrame(columns)
