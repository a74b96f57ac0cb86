"""The record of what is missing, for whoever shows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import polars as pl


@dataclass(frozen=True)
class Description:
    """What is missing in a study.

    Attributes
    ----------
    outcome : str
    tables : mapping of str to DataFrame
        variables, patterns, dropout, cohorts, leaving, map, anova: each in its schema, empty where the
        notion does not apply.
    record : dict
        JSON-able: the schedule, counts of patterns, Little's test, sphericity, the sentences that say why
        something is not there.
    sentences : tuple of str
        What a reader should know, in order.
    """

    outcome: str
    tables: dict[str, pl.DataFrame]
    record: dict[str, Any] = field(default_factory=dict)
    sentences: tuple[str, ...] = ()
