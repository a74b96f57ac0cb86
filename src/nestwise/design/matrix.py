"""The model matrix of a list of terms, with R's coding of factors and R's names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np
from numpy.typing import NDArray

from nestwise.arrays import FloatArray
from nestwise.design.basis import b_spline, natural_spline, polynomial, polynomial_contrasts
from nestwise.design.columns import AnalysisRows, Levels, computed, factor_levels, is_levels
from nestwise.errors import Problem, Refusal
from nestwise.formula.functions import FUNCTIONS
from nestwise.formula.parser import options_of
from nestwise.formula.syntax import Call, Expression, Name, deparse
from nestwise.formula.terms import Term, term_label
from nestwise.formula.tokens import formula_place
from nestwise.vocabulary import INTERCEPT

MAX_CELLS = 200_000_000
"""Largest matrix made, in numbers of 8 bytes: 1.6 GB."""


@dataclass(frozen=True)
class _Block:
    """Columns of one factor of a term; indicators are kept as Booleans, an eighth of the size."""

    values: NDArray[np.float64] | NDArray[np.bool_]
    names: tuple[str, ...]


@dataclass(frozen=True)
class ModelMatrix:
    """The columns of a list of terms.

    Attributes
    ----------
    X : ndarray (n, p)
        C-contiguous.
    names : tuple of str, length p
        As R names them.
    term_of : tuple of str, length p
        Label of the term each column belongs to.
    """

    X: FloatArray
    names: tuple[str, ...]
    term_of: tuple[str, ...]


def model_matrix(terms: Sequence[Term], table: AnalysisRows) -> ModelMatrix:
    """The columns of a list of terms, as R's `model.matrix` makes and names them.

    Parameters
    ----------
    terms : sequence of Term
        Ordered by `expand`.
    table : AnalysisRows
        The variables.

    Returns
    -------
    ModelMatrix

    Raises
    ------
    FormulaError, Refusal
        If a term cannot be computed from the variables, or the matrix would be too large.
    """
    codings = _codings(terms, table)
    blocks: dict[tuple[Expression, bool], _Block] = {}
    for term, full in zip(terms, codings, strict=True):
        for factor, indicators in zip(term, full, strict=True):
            if (factor, indicators) not in blocks:
                blocks[factor, indicators] = _block(factor, indicators, table)
    parts = [
        [blocks[factor, indicators] for factor, indicators in zip(term, full, strict=True)]
        for term, full in zip(terms, codings, strict=True)
    ]
    width = sum(prod(len(block.names) for block in part) for part in parts)
    if width * table.n > MAX_CELLS:
        raise _too_wide(terms, parts, width, table)
    X = np.empty((table.n, width))
    names: list[str] = []
    term_of: list[str] = []
    for term, part in zip(terms, parts, strict=True):
        # R lets the levels of the first factor change fastest
        for reverse in product(*(range(len(block.names)) for block in reversed(part))):
            chosen = list(zip(part, reversed(reverse), strict=True))
            column = X[:, len(names)]
            column[:] = 1.0
            for block, index in chosen:
                column *= block.values[:, index]
            names.append(":".join(block.names[index] for block, index in chosen) or INTERCEPT)
            term_of.append(term_label(term))
    return ModelMatrix(X, tuple(names), tuple(term_of))


def _too_wide(
    terms: Sequence[Term], parts: Sequence[Sequence[_Block]], width: int, table: AnalysisRows
) -> Refusal:
    sizes = [prod(len(block.names) for block in part) for part in parts]
    widest = term_label(terms[int(np.argmax(sizes))])
    return Refusal(
        Problem(
            f"the model matrix would be {table.n:,} rows by {width:,} columns, {max(sizes):,} for {widest}",
            formula_place(table.text),
            f"use {widest} as a grouping factor, (1 | {widest}), or declare it continuous",
        )
    )


def _codings(terms: Sequence[Term], table: AnalysisRows) -> list[tuple[bool, ...]]:
    """For each factor of each term: True for indicators of all levels, False for contrasts.

    R's rule (`TermCode` in its model.c): a factor has contrasts if the rest of its term is
    contained in a term before it; the rest of a main effect is the intercept. Without an
    intercept, the first categorical factor of the first term that has one gets indicators.
    """
    categorical = {factor: is_levels(factor, table) for term in terms for factor in term}
    codings: list[list[bool]] = []
    for place, term in enumerate(terms):
        earlier = [set(other) for other in terms[:place]]
        codings.append([_indicators(term, factor, earlier) and categorical[factor] for factor in term])
    if () not in terms:
        for term, coding in zip(terms, codings, strict=True):
            first = next((i for i, factor in enumerate(term) if categorical[factor]), None)
            if first is not None:
                coding[first] = True
                break
    return [tuple(coding) for coding in codings]


def _indicators(term: Term, factor: Expression, earlier: Sequence[set[Expression]]) -> bool:
    rest = set(term) - {factor}
    return bool(rest) and not any(rest <= other for other in earlier)


def _block(factor: Expression, indicators: bool, table: AnalysisRows) -> _Block:
    label = deparse(factor)
    if is_levels(factor, table):
        column = factor_levels(factor, table) if isinstance(factor, Call) else table.columns[_name(factor)]
        assert isinstance(column, Levels)
        return _level_block(column, indicators, label, table.n)
    if isinstance(factor, Call) and FUNCTIONS[factor.function].kind == "basis":
        values = _basis(factor, table, label)
        if values.shape[1] == 1:
            return _Block(values, (label,))
        return _Block(values, tuple(f"{label}{number}" for number in range(1, values.shape[1] + 1)))
    return _Block(computed(factor, table)[:, None], (label,))


def _name(factor: Expression) -> str:
    assert isinstance(factor, Name)
    return factor.name


def _level_block(column: Levels, indicators: bool, label: str, n: int) -> _Block:
    count = len(column.labels)
    if count < 2 and not indicators:
        raise Refusal(
            Problem(
                f"{label} has the one level {column.labels[0]!r} in the rows of this model",
                f"column {label}",
                "remove it from the formula",
            )
        )
    if column.ordered and not indicators:
        contrasts, suffixes = polynomial_contrasts(count)
        return _Block(contrasts[column.codes], tuple(label + suffix for suffix in suffixes))
    first = 0 if indicators else 1
    if n * count > MAX_CELLS:
        raise Refusal(
            Problem(
                f"{label} has {count:,} levels, one column each in {n:,} rows",
                f"column {label}",
                f"use it as a grouping factor, (1 | {label}), or declare it continuous",
            )
        )
    values = column.codes[:, None] == np.arange(first, count)
    return _Block(values, tuple(label + level for level in column.labels[first:]))


def _basis(call: Call, table: AnalysisRows, label: str) -> FloatArray:
    x = computed(call.arguments[0], table.source)
    at = None if table.learned is None else computed(call.arguments[0], table)
    options = options_of(call)
    df = int(options["df"]) if "df" in options else None
    if call.function == "poly":
        degree, raw = int(options.get("degree", 1)), bool(options.get("raw", False))
        return polynomial(x, degree, raw=raw, label=label, at=at)
    if call.function == "bs":
        return b_spline(x, df, int(options.get("degree", 3)), label, at)
    return natural_spline(x, df or 1, label, at)
