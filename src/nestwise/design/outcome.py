"""The outcome of a model: its numbers, its hash, and what a reader should know of it."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import numpy as np

from nestwise.arrays import FloatArray, IntArray
from nestwise.design.columns import AnalysisRows, Levels, computed
from nestwise.errors import Problem, Refusal
from nestwise.formula.record import Formula
from nestwise.formula.tokens import formula_place


def read_outcome(formula: Formula, table: AnalysisRows, family: str) -> tuple[FloatArray, FloatArray | None]:
    """The numbers of the outcome.

    Parameters
    ----------
    formula : Formula
        The model.
    table : AnalysisRows
        Its variables.
    family : str
        Of the outcome.

    Returns
    -------
    y : ndarray (n,)
        The outcome, or the number of successes.
    trials : ndarray (n,) or None
        With `cbind(success, failure)`, the number of trials.

    Raises
    ------
    Refusal
        If the outcome does not suit the family.
    """
    outcome = formula.outcome
    if outcome.kind == "cbind":
        if family != "binomial":
            raise Refusal(
                Problem(
                    f"{outcome.name} counts successes and failures and the family is {family}",
                    formula_place(formula.text),
                    "set family: binomial",
                )
            )
        successes, failures = (computed(part, table) for part in outcome.parts)
        return successes.copy(), successes + failures
    column = table.columns[outcome.name] if outcome.kind == "column" else None
    if isinstance(column, Levels):
        if family == "ordinal" or (family == "binomial" and len(column.labels) == 2):
            return column.codes.astype(np.float64), None
        raise Refusal(
            Problem(
                f"the outcome {outcome.name} is categorical and the family is {family}",
                formula_place(formula.text),
                "choose another outcome or family, or declare the outcome continuous if it holds numbers",
            )
        )
    return computed(outcome.parts[0], table).copy(), None


def outcome_hash(outcome: str, y: FloatArray, trials: FloatArray | None, rows: IntArray) -> str:
    """Equal for the same outcome on the same rows, in whatever order they come."""
    ordered = bool(np.all(rows[1:] > rows[:-1]))
    order = slice(None) if ordered else np.argsort(rows, kind="stable")
    digest = sha256(outcome.encode() + b"\x00")
    digest.update(np.ascontiguousarray(rows[order], dtype="<i8"))
    for values in (y, trials):
        if values is not None:
            digest.update(np.ascontiguousarray(values[order], dtype="<f8"))
    return digest.hexdigest()


def outcome_notes(y: FloatArray, dropped: Sequence[str]) -> list[str]:
    """Sentences on columns that were left out, and on an outcome that does not vary."""
    notes = []
    if dropped:
        notes.append(
            f"Left out of the fixed part as linear combinations of other columns: {', '.join(dropped)}."
        )
    if np.ptp(y) == 0.0:
        notes.append("The outcome is the same in every row.")
    return notes
