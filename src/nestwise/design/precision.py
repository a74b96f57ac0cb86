"""How well each row is known: prior weights, and standard errors known beforehand."""

from __future__ import annotations

import numpy as np
import polars as pl

from nestwise.arrays import FloatArray, IntArray
from nestwise.design.magnitude import LARGEST, SMALLEST
from nestwise.design.membership import row_list
from nestwise.errors import Problem, Refusal

_KEYS = {"weights": ("weight", "of weight 0"), "sampling_error": ("standard error", "known without error")}


def row_precision(frame: pl.DataFrame, name: str | None, key: str, rows: IntArray) -> FloatArray | None:
    """The numbers of `weights` or `sampling_error`, all of them positive and finite.

    Parameters
    ----------
    frame : polars.DataFrame
        The analysis rows, nothing missing.
    name : str or None
        The column; `None` gives `None`.
    key : str
        `weights` or `sampling_error`.
    rows : ndarray (n,)
        Row numbers in the source, for messages.

    Returns
    -------
    ndarray (n,) or None

    Raises
    ------
    Refusal
        If the column holds no numbers, or numbers that are infinite, zero or negative: it names the rows.
    """
    if name is None:
        return None
    series = frame[name]
    where = f"the key {key}"
    noun, nothing = _KEYS[key]
    if not series.dtype.is_numeric():
        what = f"{name} holds no numbers and cannot be a {noun}"
        raise Refusal(Problem(what, where, "name a numeric column, or declare it continuous"))
    values = series.cast(pl.Float64).to_numpy()
    leave_out = f"declare the value a missing value (data.missing_values) to leave rows {nothing} out"
    problems = [
        Problem(f"the {noun} {name} is {state} in {row_list(rows[wrong])}", where, way_out)
        for state, wrong, way_out in (
            ("infinite", ~np.isfinite(values), "correct it, or declare it missing"),
            ("zero", values == 0, leave_out),
            (
                "too large or too small to calculate with",
                np.isfinite(values) & (np.abs(values) > LARGEST)
                | (values != 0) & (np.abs(values) < SMALLEST),
                "give it another unit",
            ),
            ("negative", np.isfinite(values) & (values < 0), f"correct it: a {noun} is larger than 0"),
        )
        if wrong.any()
    ]
    if problems:
        raise Refusal(problems)
    return values.copy()
