"""Patterns of missing values: who was seen when, and which variables are missing together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from nestwise.arrays import BoolArray, IntArray
from nestwise.missing.plan import Arms
from nestwise.missing_vocabulary import MISSING_PATTERNS
from nestwise.results import conform

KINDS = ("complete", "monotone", "intermittent", "never")
ALL = "all"
"""Stands for all arms together."""


@dataclass(frozen=True)
class Attendance:
    """Who was seen when.

    Attributes
    ----------
    seen : ndarray (N, T) of bool
    last : ndarray (N,)
        Last visit at which each subject was seen, -1 for never.
    kinds : tuple of str, length N
        complete: every visit; monotone: every visit up to the last one; intermittent: with a gap before the
        last one, a late start included; never: at no visit.
    """

    seen: BoolArray
    last: IntArray
    kinds: tuple[str, ...]

    @property
    def monotone(self) -> bool:
        """Whether nobody has a gap."""
        return "intermittent" not in self.kinds

    def count(self, kind: str) -> int:
        """Subjects of one kind."""
        return self.kinds.count(kind)


def attendance(seen: BoolArray) -> Attendance:
    """Read the pattern of each subject.

    Parameters
    ----------
    seen : ndarray (N, T) of bool
        Whether the outcome was observed.
    """
    T = seen.shape[1]
    last = np.where(seen.any(axis=1), T - 1 - np.argmax(seen[:, ::-1], axis=1), -1).astype(np.int64)
    total = seen.sum(axis=1)
    kind = np.where(total == T, 0, np.where(total == 0, 3, np.where(total == last + 1, 1, 2)))
    return Attendance(seen, last, tuple(KINDS[k] for k in kind.tolist()))


def visit_patterns(study: str, outcome: str, found: Attendance, arms: Arms | None) -> pl.DataFrame:
    """Patterns over the visits, most frequent first, for all subjects and for each arm.

    Parameters
    ----------
    study, outcome : str
    found : Attendance
    arms : Arms or None
        Arm of each subject.

    Returns
    -------
    DataFrame
        In the schema MISSING_PATTERNS; `pattern` has a 1 for each visit with the outcome and a 0 without.
    """
    text = ["".join("1" if cell else "0" for cell in row) for row in found.seen.tolist()]
    base = pl.DataFrame(
        {"pattern": text, "kind": list(found.kinds), "arm": arms.names if arms else [ALL] * len(text)}
    )
    parts = [base.with_columns(arm=pl.lit(ALL))] + ([base] if arms else [])
    return _counted(pl.concat(parts), study, "visits", outcome, arms.labels if arms else ())


def variable_patterns(study: str, frame: pl.DataFrame, variables: Sequence[str]) -> pl.DataFrame:
    """Patterns over the variables that miss values, a row of the data each.

    Returns
    -------
    DataFrame
        In the schema MISSING_PATTERNS; `over` names the variables in the order of `pattern`.
    """
    holed = [name for name in variables if frame[name].null_count()]
    if not holed:
        return pl.DataFrame(schema=dict(MISSING_PATTERNS))
    present = frame.select(
        pl.concat_str([pl.col(name).is_not_null().cast(pl.Int8) for name in holed]).alias("pattern")
    )
    kinds = {text: "complete" if "0" not in text else "incomplete" for text in present["pattern"].unique()}
    base = present.with_columns(
        pl.col("pattern").replace_strict(kinds, return_dtype=pl.String).alias("kind"),
        pl.lit(ALL).alias("arm"),
    )
    return _counted(base, study, "variables", ", ".join(holed))


def _counted(base: pl.DataFrame, study: str, by: str, over: str, labels: Sequence[str] = ()) -> pl.DataFrame:
    order = {arm: place for place, arm in enumerate((ALL, *labels))}
    found = (
        base.group_by("arm", "pattern", "kind")
        .len("n")
        .with_columns((pl.col("n") / pl.col("n").sum().over("arm")).alias("share"))
        .with_columns(pl.col("arm").replace_strict(order, return_dtype=pl.Int64).alias(".order"))
        .sort(".order", "n", "pattern", descending=[False, True, True])
        .drop(".order")
        .with_columns(study=pl.lit(study), by=pl.lit(by), over=pl.lit(over))
    )
    return conform(found, MISSING_PATTERNS)
