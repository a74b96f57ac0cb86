"""The outcome of a model: its numbers, its hash, and what a reader should know of it."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import numpy as np

from nestwise.arrays import FloatArray, IntArray
from nestwise.design.columns import AnalysisRows, Levels, computed
from nestwise.errors import Problem, Refusal
from nestwise.formula.record import Formula
from nestwise.formula.syntax import Binary, number_text
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
        The outcome, or the number of successes; the places of an ordinal outcome's values.
    trials : ndarray (n,) or None
        With `cbind(success, failure)`, or `success / trials` of a binomial, the number of trials.

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
    part = outcome.parts[0]
    if family == "binomial" and isinstance(part, Binary) and part.operator == "/":
        return computed(part.left, table).copy(), computed(part.right, table).copy()
    column = table.columns[outcome.name] if outcome.kind == "column" else None
    if family == "ordinal" and not isinstance(column, Levels):
        return np.unique(computed(part, table), return_inverse=True)[1].astype(np.float64), None
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
    return computed(part, table).copy(), None


def outcome_categories(formula: Formula, table: AnalysisRows, family: str) -> tuple[str, ...]:
    """Values of an ordinal outcome, lowest first; none of any other family."""
    if family != "ordinal" or formula.outcome.kind == "cbind":
        return ()
    column = table.columns.get(formula.outcome.name)
    if isinstance(column, Levels):
        return column.labels
    return tuple(number_text(float(value)) for value in np.unique(computed(formula.outcome.parts[0], table)))


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
