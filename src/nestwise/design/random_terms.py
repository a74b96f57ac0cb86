"""The random part of a formula as arrays: what varies, and by which groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nestwise.design.columns import AnalysisRows, is_levels
from nestwise.design.grouping import Factor, Keys, group_codes
from nestwise.design.matrix import model_matrix
from nestwise.design.record import RandomTerm
from nestwise.errors import FormulaError, Problem, Refusal
from nestwise.formula.record import Formula, RandomPart
from nestwise.formula.tokens import formula_place


def random_terms(
    formula: Formula, table: AnalysisRows, factors: Mapping[str, Factor], keys: Mapping[str, Keys]
) -> tuple[tuple[RandomTerm, ...], list[str]]:
    """Make the random terms of a formula.

    Parameters
    ----------
    formula : Formula
        The model.
    table : AnalysisRows
        Its variables.
    factors : mapping of str to Factor
        The grouping factors, by name as written.
    keys : mapping of str to Keys
        Their columns on the analysis rows.

    Returns
    -------
    terms : tuple of RandomTerm
        In the formula's order; independent terms of one factor are joined.
    notes : list of str
        What a reader should know of them.

    Raises
    ------
    FormulaError
        If a coefficient varies twice by the same groups.
    Refusal
        If `||` has a categorical variable beside it.
    """
    terms = [_random_term(part, table, factors[part.group], keys) for part in formula.random]
    _refuse_repetition(formula, terms, [factors[part.group] for part in formula.random])
    joined, notes = _joined(terms)
    return tuple(joined), notes


def _random_term(
    part: RandomPart, table: AnalysisRows, factor: Factor, keys: Mapping[str, Keys]
) -> RandomTerm:
    Z, names = model_matrix(part.terms, table)
    levels = any(is_levels(each, table) for term in part.terms for each in term)
    if not part.correlated and (levels or len(names) > len(part.terms)):
        raise Refusal(
            Problem(
                f"{part} has a categorical variable or a basis of several columns left of ||",
                formula_place(table.text),
                f"use a single | there, or write one term a variable, (1 | {part.group}) + ...",
            )
        )
    codes, labels = group_codes(factor, keys)
    return RandomTerm(factor.name, names, Z, codes, labels, part.correlated or len(names) == 1)


def _refuse_repetition(formula: Formula, terms: Sequence[RandomTerm], factors: Sequence[Factor]) -> None:
    """`class` and `school:class` can be the same groups, if class is declared within school."""
    problems = []
    seen: dict[tuple[frozenset[str], str], str] = {}
    for term, factor in zip(terms, factors, strict=True):
        for name in term.names:
            other = seen.setdefault((frozenset(factor.keys), name), term.group)
            if other != term.group:
                what = f"{other} and {term.group} are the same groups, and {name} varies by both"
                problems.append(Problem(what, formula_place(formula.text), "keep one of the two terms"))
    if problems:
        raise FormulaError(problems)


def _joined(terms: Sequence[RandomTerm]) -> tuple[list[RandomTerm], list[str]]:
    """Join independent terms of one factor: (1 | g) + (0 + x | g) is (1 + x || g)."""
    together: list[RandomTerm] = []
    notes: list[str] = []
    for term in terms:
        place = next(
            (
                i
                for i, other in enumerate(together)
                if other.group == term.group and _splits(other) and _splits(term)
            ),
            None,
        )
        if place is None:
            together.append(term)
            continue
        other = together[place]
        names = (*other.names, *term.names)
        together[place] = RandomTerm(
            other.group, names, np.hstack([other.Z, term.Z]), other.codes, other.labels, correlated=False
        )
        notes.append(f"The terms of {term.group} are independent: {', '.join(names)} are not correlated.")
    return together, notes


def _splits(term: RandomTerm) -> bool:
    return not term.correlated or len(term.names) == 1
