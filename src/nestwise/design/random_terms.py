"""The random part of a formula as arrays: what varies, and by which groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from nestwise.data.relation import Relation
from nestwise.design.analysis_set import AnalysisSet
from nestwise.design.columns import AnalysisRows, is_levels
from nestwise.design.grouping import Factor, group_codes
from nestwise.design.matrix import model_matrix
from nestwise.design.membership import members_of
from nestwise.design.record import RandomTerm
from nestwise.design.relation import group_relation
from nestwise.errors import FormulaError, Problem, Refusal
from nestwise.formula.record import Formula, RandomPart
from nestwise.formula.tokens import formula_place


def random_terms(
    formula: Formula, table: AnalysisRows, groups: AnalysisSet, relations: Mapping[str, Relation]
) -> tuple[tuple[RandomTerm, ...], list[str]]:
    """Make the random terms of a formula.

    Parameters
    ----------
    formula : Formula
        The model.
    table : AnalysisRows
        Its variables.
    groups : AnalysisSet
        The grouping factors and their columns.
    relations : mapping of str to Relation
        Known correlations between the groups of a column.

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
        If `||` has a categorical variable beside it, or memberships or relations do not fit the rows.
    """
    terms = [_random_term(part, table, groups, relations) for part in formula.random]
    _refuse_repetition(formula, terms, groups.factors)
    joined, notes = _joined(terms)
    return tuple(joined), notes


def _random_term(
    part: RandomPart, table: AnalysisRows, groups: AnalysisSet, relations: Mapping[str, Relation]
) -> RandomTerm:
    matrix = model_matrix(part.terms, table)
    Z, names = matrix.X, matrix.names
    levels = any(is_levels(each, table) for term in part.terms for each in term)
    if not part.correlated and (levels or len(names) > len(part.terms)):
        raise Refusal(
            Problem(
                f"{part} has a categorical variable or a basis of several columns left of ||",
                formula_place(table.text),
                f"use a single | there, or write one term a variable, (1 | {part.group}) + ...",
            )
        )
    correlated = part.correlated or len(names) == 1
    if part.memberships:
        members = members_of(part, groups.frame, table.rows, table.text)
        return RandomTerm(
            part.group, names, Z, members.first, members.labels, correlated, membership=members.membership
        )
    factor = groups.factors[part.group]
    codes, labels = group_codes(factor, groups.keys)
    relation = group_relation(factor, labels, relations)
    return RandomTerm(factor.name, names, Z, codes, labels, correlated, relation=relation)


def _refuse_repetition(formula: Formula, terms: Sequence[RandomTerm], factors: Mapping[str, Factor]) -> None:
    """`class` and `school:class` can be the same groups, if class is declared within school."""
    problems = []
    seen: dict[tuple[frozenset[str], str], str] = {}
    shares: dict[str, tuple[object, ...]] = {}
    for term, part in zip(terms, formula.random, strict=True):
        if shares.setdefault(part.group, (part.shares, part.scaled)) != (part.shares, part.scaled):
            what = f"the memberships of {part.group} have different weights in two terms"
            problems.append(Problem(what, formula_place(formula.text), "write the same weights in both"))
        keys = factors[part.group].keys if part.path else (part.group,)
        for name in term.names:
            other = seen.setdefault((frozenset(keys), name), term.group)
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
        together[place] = replace(other, names=names, Z=np.hstack([other.Z, term.Z]), correlated=False)
        notes.append(f"The terms of {term.group} are independent: {', '.join(names)} are not correlated.")
    return together, notes


def _splits(term: RandomTerm) -> bool:
    return not term.correlated or len(term.names) == 1
