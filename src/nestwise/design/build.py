"""From a data set and a model of the study file to the arrays every engine takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256

import numpy as np
import polars as pl

from nestwise.arrays import FloatArray, IntArray
from nestwise.config.study import Derivation, Model
from nestwise.data.dataset import ROW, Dataset
from nestwise.design.columns import AnalysisRows, Levels, Quantity, computed, read_column
from nestwise.design.grouping import Factor, Keys, factor_keys
from nestwise.design.magnitude import refuse_extreme
from nestwise.design.matrix import model_matrix
from nestwise.design.random_terms import random_terms
from nestwise.design.rank import independent_columns
from nestwise.design.record import Design, RowFlow
from nestwise.design.rows import (
    complete_rows,
    needed_columns,
    needed_derivations,
    read_factors,
    read_source,
    refuse_if_empty,
    row_flow,
    source_groups,
)
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
    name : str
        Name of the model.
    model : Model
        Its section of the study file.

    Returns
    -------
    Design
        Outcome, fixed part of full rank, random terms, and the account of the rows.

    Raises
    ------
    FormulaError
        If the formula is not understood, names unknown columns or calculates with levels.
    Refusal
        If no row is complete, a transformation gives infinite values, numbers are too large to be
        squared, or the outcome does not suit the family.
    """
    formula = parse(model.formula)
    frame, table_rows, flow, factors, keys, notes = _analysis_set(dataset, formula)
    columns = {
        variable: read_column(frame[variable], dataset.variables.get(variable))
        for variable in _model_columns(formula)
    }
    table = AnalysisRows(formula.text, table_rows, columns)
    y, trials = _outcome(formula, table, model)
    X, names = model_matrix(formula.fixed, table)
    _refuse_duplicates(formula, names)
    numeric = {name: column.values for name, column in columns.items() if isinstance(column, Quantity)}
    refuse_extreme(formula.text, numeric | {formula.outcome.name: y} | dict(zip(names, X.T, strict=True)))
    X, names, dropped = _full_rank(X, names)
    random, merged = random_terms(formula, table, factors, keys)
    offset = np.sum([computed(each, table) for each in formula.offsets], axis=0) if formula.offsets else None
    return Design(
        study=dataset.study,
        model=name,
        formula=formula.text,
        outcome=formula.outcome.name,
        y=y,
        X=X,
        names=names,
        random=random,
        rows=table_rows,
        row_flow=flow,
        analysis_hash=_hash(formula.outcome.name, y, trials, table_rows),
        family=model.family,
        link=model.link or LINKS[model.family],
        reml=model.reml and model.family == "gaussian",
        offset=offset,
        trials=trials,
        dropped=dropped,
        notes=(*notes, *_column_notes(dataset, columns), *merged, *_outcome_notes(y, dropped)),
    )


def _model_columns(formula: Formula) -> tuple[str, ...]:
    """Variables that enter arithmetic or matrices; grouping columns do not unless they also stand there."""
    terms = [*formula.fixed, *(term for part in formula.random for term in part.terms)]
    expressions = [*formula.outcome.parts, *formula.offsets, *(factor for term in terms for factor in term)]
    return tuple(dict.fromkeys(name for expression in expressions for name in names_in(expression)))


def _analysis_set(
    dataset: Dataset, formula: Formula
) -> tuple[pl.DataFrame, IntArray, RowFlow, dict[str, Factor], dict[str, Keys], list[str]]:
    """The complete rows of a model, with their keys, and where the others went."""
    derivations = needed_derivations(formula.variables, dataset.derivations)
    parents = [column for part in formula.random for column in factor_keys(part.path, dataset.within)]
    columns = needed_columns(formula.variables, parents, derivations)
    extra = [key for each in derivations if each.group for key in factor_keys([each.group], dataset.within)]
    columns = tuple(dict.fromkeys((*columns, *extra)))
    frame = read_source(dataset, formula, columns)
    factors, keys = read_factors(frame, formula, dataset.within)
    blame, reasons = complete_rows(frame, columns)
    flow = row_flow(blame, reasons, *source_groups(factors, keys))
    refuse_if_empty(flow, formula)
    notes = [_restart_note(factor) for factor in factors.values() if factor.restarts]
    if flow.n_used < flow.n_source:
        used = blame < 0
        frame = frame.filter(pl.Series(used))
        keys = {column: Keys(key.codes[used], key.labels) for column, key in keys.items()}
        if derivations:
            frame, changed = _derived_again(frame, derivations, dataset.within)
            notes += changed
    return frame, frame[ROW].to_numpy(), flow, factors, keys, notes


def _derived_again(
    frame: pl.DataFrame, derivations: Sequence[Derivation], within: Mapping[str, str | None]
) -> tuple[pl.DataFrame, list[str]]:
    """Group means, deviations and scales of the analysis set itself."""
    from nestwise.data.derive import derive

    again = derive(frame.drop(each.as_ for each in derivations), derivations, within)
    notes = []
    for name in dict.fromkeys(each.as_ for each in derivations):
        after = again[name].cast(pl.Float64).fill_nan(None)
        if after.null_count():
            raise Refusal(
                Problem(
                    f"{name} is not defined in the rows of this model",
                    f"column {name}",
                    "its source does not vary there; leave it out",
                )
            )
        before = frame[name].cast(pl.Float64)
        size = float(np.abs(before.to_numpy()).max(initial=0.0))
        if float((after - before).abs().max() or 0.0) > 1e-12 * size:  # type: ignore[arg-type]
            notes.append(
                f"{name} was computed again on the rows of this model, and differs from that of all rows."
            )
    return again, notes


def _restart_note(factor: Factor) -> str:
    *parents, child = factor.keys
    return (
        f"Ids of {child} restart inside {parents[-1]}: groups are told apart by {' and '.join(factor.keys)}."
    )


def _outcome(formula: Formula, table: AnalysisRows, model: Model) -> tuple[FloatArray, FloatArray | None]:
    outcome = formula.outcome
    if outcome.kind == "cbind":
        if model.family != "binomial":
            raise Refusal(
                Problem(
                    f"{outcome.name} counts successes and failures and the family is {model.family}",
                    formula_place(formula.text),
                    "set family: binomial",
                )
            )
        successes, failures = (computed(part, table) for part in outcome.parts)
        return successes.copy(), successes + failures
    column = table.columns[outcome.name] if outcome.kind == "column" else None
    if isinstance(column, Levels):
        if model.family == "ordinal" or (model.family == "binomial" and len(column.labels) == 2):
            return column.codes.astype(np.float64), None
        raise Refusal(
            Problem(
                f"the outcome {outcome.name} is categorical and the family is {model.family}",
                formula_place(formula.text),
                "choose another outcome or family, or declare the outcome continuous if it holds numbers",
            )
        )
    return computed(outcome.parts[0], table).copy(), None


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


def _full_rank(X: FloatArray, names: tuple[str, ...]) -> tuple[FloatArray, tuple[str, ...], tuple[str, ...]]:
    kept = independent_columns(X)
    if len(kept) == X.shape[1]:
        return X, names, ()
    dropped = tuple(name for place, name in enumerate(names) if place not in kept)
    return np.ascontiguousarray(X[:, kept]), tuple(names[place] for place in kept), dropped


def _hash(outcome: str, y: FloatArray, trials: FloatArray | None, rows: IntArray) -> str:
    """Equal for the same outcome on the same rows, in whatever order they come."""
    order = np.argsort(rows, kind="stable")
    digest = sha256(outcome.encode() + b"\x00")
    digest.update(rows[order].astype("<i8").tobytes())
    for values in (y, trials):
        if values is not None:
            digest.update(values[order].astype("<f8").tobytes())
    return digest.hexdigest()


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


def _outcome_notes(y: FloatArray, dropped: Sequence[str]) -> list[str]:
    notes = []
    if dropped:
        notes.append(
            f"Left out of the fixed part as linear combinations of other columns: {', '.join(dropped)}."
        )
    if np.ptp(y) == 0.0:
        notes.append("The outcome is the same in every row.")
    return notes
