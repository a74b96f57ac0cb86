"""How large data are: the measure by which memory and time are asked for."""

from __future__ import annotations

import os
from pathlib import Path

AS_TEXT = {
    ".parquet": 4.0, ".arrow": 1.5, ".feather": 1.5, ".ipc": 1.5,
    ".xlsx": 5.0, ".sav": 1.5, ".dta": 1.0, ".sas7bdat": 1.0,
}  # fmt: skip
"""How many times as large a file of a kind would be as text, roughly; a parquet file is compressed."""


def megabytes(*files: str | os.PathLike[str]) -> float:
    """Size of data files as if they were text.

    Parameters
    ----------
    *files : path-like
        Existing files; what they are is judged by their extensions.

    Returns
    -------
    float
        Megabytes of 10**6 bytes, all files together. One row of numbers takes some 50 bytes.
    """
    return (
        sum(Path(file).stat().st_size * AS_TEXT.get(Path(file).suffix.lower(), 1.0) for file in files) / 1e6
    )
