"""From a data set and a model of the study file to the arrays every engine takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.config.study import Model
from nestwise.data.dataset import Dataset
from nestwise.design.analysis_set import AnalysisSet, analysis_set
from nestwise.design.columns import AnalysisRows, Levels, Quantity, computed, read_column
from nestwise.design.contextual import contextual_contrasts
from nestwise.design.magnitude import refuse_extreme
from nestwise.design.matrix import ModelMatrix, model_matrix
from nestwise.design.means import FittedColumns, means_grids
from nestwise.design.occasions import occasion_column, occasions
from nestwise.design.outcome import outcome_categories, outcome_hash, outcome_notes, read_outcome
from nestwise.design.precision import row_precision
from nestwise.design.random_terms import random_terms
from nestwise.design.rank import independent_columns
from nestwise.design.record import Design
from nestwise.design.residual import residual_columns, residual_design, residual_subject
from nestwise.errors import FormulaError, Problem, Refusal
from nestwise.formula.record import Formula, parse
from nestwise.formula.syntax import names_in
from nestwise.formula.tokens import formula_place

LINKS: Mapping[str, str] = {
    "gaussian": "identity",
    "binomial": "logit",
    "poisson": "log",
    "negative_binomial": "log",
    "ordinal": "logit",
    "gamma": "log",
}
"""The link of each family unless the study file names another."""


def build_design(dataset: Dataset, name: str, model: Model) -> Design:
    """Make a model of a study ready for any engine.

    Parameters
    ----------
    dataset : Dataset
        Prepared data; only the columns of the model are read.
    name, model : str, Model
        Name of the model and its section of the study file.

    Returns
    -------
    Design

    Raises
    ------
    FormulaError
        If the formula is not understood, names unknown columns or calculates with levels.
    Refusal
        If no row is complete, the outcome does not suit the family, or numbers, weights, memberships,
        relations or the covariance of the residuals cannot be worked with.
    """
    formula = parse(model.formula)
    subject = residual_subject(model.residual, formula, dataset)
    used = analysis_set(dataset, formula, named_columns(model, dataset), subject)
    table = formula_columns(formula, used, dataset)
    y, trials = read_outcome(formula, table, model.family)
    matrix = model_matrix(formula.fixed, table)
    _refuse_duplicates(formula, matrix.names)
    _, (random, merged), precisions = _all_at_once(
        lambda: _refuse_extreme(formula, table, y, matrix),
        lambda: random_terms(formula, table, used, dataset.relations),
        lambda: _precisions(model, used),
    )
    X, names, dropped = _full_rank(matrix, kept := independent_columns(matrix.X))
    residual = residual_design(model, dataset, used, subject, len(names), random)
    return Design(
        study=dataset.study,
        model=name,
        formula=formula.text,
        outcome=formula.outcome.name,
        y=y,
        X=X,
        names=names,
        random=random,
        rows=used.rows,
        row_flow=used.flow,
        analysis_hash=outcome_hash(formula.outcome.name, y, trials, used.rows),
        **_asked(model) | _of_rows(formula, table, model),
        trials=trials,
        dropped=dropped,
        notes=(*used.notes, *_column_notes(dataset, table.columns), *merged, *outcome_notes(y, dropped)),
        term_of=tuple(matrix.term_of[place] for place in kept),
        residual=residual,
        occasions=occasions(model, dataset, used.frame),
        means=means_grids(model, formula, table, FittedColumns(matrix.X, kept), residual),
        **precisions | _contextual(names, dataset, used),
    )


def _asked(model: Model) -> dict[str, Any]:
    link = model.link or LINKS[model.family]
    return {"family": model.family, "link": link, "reml": model.reml and model.family == "gaussian"}


def named_columns(model: Model, dataset: Dataset) -> dict[str, str]:
    """Columns that keys of the model beside its formula name, each with its key."""
    named = {"weights": model.weights, "sampling_error": model.sampling_error}
    columns = {column: key for key, column in named.items() if column is not None}
    return columns | occasion_column(model, dataset) | residual_columns(model.residual, dataset)


def _precisions(model: Model, used: AnalysisSet) -> dict[str, Any]:
    named = {"weights": model.weights, "sampling_error": model.sampling_error}
    steps = [partial(row_precision, used.frame, name, key, used.rows) for key, name in named.items()]
    return dict(zip(named, _all_at_once(*steps), strict=True))


def _all_at_once(*steps: Callable[[], Any]) -> list[Any]:
    """What each step makes; the refusals of all of them together, if there are any."""
    made: list[Any] = []
    problems: list[Problem] = []
    for step in steps:
        try:
            made.append(step())
        except Refusal as refusal:
            problems += refusal.problems
    if problems:
        raise Refusal(problems)
    return made


def _contextual(names: Sequence[str], dataset: Dataset, used: AnalysisSet) -> dict[str, Any]:
    found = contextual_contrasts(names, dataset.derivations, used.frame, dataset.within)
    return {"contextual": found}


def formula_columns(formula: Formula, used: AnalysisSet, dataset: Dataset) -> AnalysisRows:
    """The variables that enter the arithmetic or the matrices of a formula."""
    columns = {
        variable: read_column(used.frame[variable], dataset.variables.get(variable))
        for variable in _model_columns(formula)
    }
    return AnalysisRows(formula.text, used.rows, columns)


def _of_rows(formula: Formula, table: AnalysisRows, model: Model) -> dict[str, Any]:
    categories = outcome_categories(formula, table, model.family)
    return {"offset": offset_of(formula, table), "categories": categories}


def offset_of(formula: Formula, table: AnalysisRows) -> FloatArray | None:
    """Sum of the offsets of a formula (n,); `None` without any."""
    if not formula.offsets:
        return None
    return np.asarray(np.sum([computed(each, table) for each in formula.offsets], axis=0))


def _refuse_extreme(formula: Formula, table: AnalysisRows, y: FloatArray, matrix: ModelMatrix) -> None:
    numeric = {name: column.values for name, column in table.columns.items() if isinstance(column, Quantity)}
    made = dict(zip(matrix.names, matrix.X.T, strict=True))
    refuse_extreme(formula.text, numeric | {formula.outcome.name: y} | made)


def _model_columns(formula: Formula) -> tuple[str, ...]:
    """Variables that enter arithmetic or matrices; grouping columns do not unless they also stand there."""
    terms = [*formula.fixed, *(term for part in formula.random for term in part.terms)]
    expressions = [*formula.outcome.parts, *formula.offsets, *(factor for term in terms for factor in term)]
    return tuple(dict.fromkeys(name for expression in expressions for name in names_in(expression)))


def _refuse_duplicates(formula: Formula, names: Sequence[str]) -> None:
    doubled = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    where = formula_place(formula.text)
    if doubled:
        raise FormulaError(
            [
                Problem(f"two columns of the model are called {name}", where, "rename a variable or a level")
                for name in doubled
            ]
        )


def _full_rank(
    matrix: ModelMatrix, kept: Sequence[int]
) -> tuple[FloatArray, tuple[str, ...], tuple[str, ...]]:
    if len(kept) == len(matrix.names):
        return matrix.X, matrix.names, ()
    dropped = tuple(name for place, name in enumerate(matrix.names) if place not in kept)
    X = np.ascontiguousarray(matrix.X[:, kept])
    return X, tuple(matrix.names[place] for place in kept), dropped


def _column_notes(dataset: Dataset, columns: Mapping[str, object]) -> list[str]:
    notes = []
    for name, column in columns.items():
        declared = dataset.variables[name].levels if name in dataset.variables else ()
        if not isinstance(column, Levels) or not declared:
            continue
        absent = [level for level in declared if level not in column.labels]
        if absent:
            instead = f"; the reference is {column.labels[0]}" if declared[0] in absent else ""
            listed = ", ".join(absent[:10]) + (", ..." if len(absent) > 10 else "")
            notes.append(f"{name} has no rows of {listed}{instead}.")
    return notes
