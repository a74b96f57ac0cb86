"""Numbers that arithmetic can square: far beyond, sums of squares overflow and answers turn into nonsense."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.errors import Problem, Refusal
from nestwise.formula.tokens import formula_place

LARGEST = 1e100
"""Squares of numbers up to here, summed over any table, are far from the largest double (1.8e308)."""
SMALLEST = 1e-100


def refuse_extreme(formula: str, columns: Mapping[str, FloatArray]) -> None:
    """Refuse columns whose numbers are too large, or all too small, to be squared.

    Parameters
    ----------
    formula : str
        For the message.
    columns : mapping of str to ndarray
        Name and values, finite.

    Raises
    ------
    Refusal
        With every such column.
    """
    problems = []
    for name, values in columns.items():
        size = float(np.abs(values).max(initial=0.0))
        if size > LARGEST or 0 < size < SMALLEST:
            problems.append(
                Problem(
                    f"the values of {name} reach {size:.3g}, which is too {'large' if size > 1 else 'small'} "
                    "to calculate with",
                    formula_place(formula),
                    "check the column, or give it another unit",
                )
            )
    if problems:
        raise Refusal(problems)
