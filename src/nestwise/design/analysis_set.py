"""The rows a model is fitted to, with the columns it reads and the groups they belong to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from nestwise.arrays import IntArray
from nestwise.config.study import Derivation
from nestwise.data.dataset import ROW, Dataset
from nestwise.design.grouping import Factor, Keys, factor_keys
from nestwise.design.membership import membership_gaps
from nestwise.design.record import RowFlow
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
from nestwise.errors import Problem, Refusal
from nestwise.formula.record import Formula


@dataclass(frozen=True)
class AnalysisSet:
    """The complete rows of a model.

    Attributes
    ----------
    frame : polars.DataFrame
        Its columns on these rows.
    rows : ndarray (n,)
        Row numbers in the source.
    flow : RowFlow
        Where the other rows went.
    factors : mapping of str to Factor
        The grouping factors by name as written, the subject of the residuals included.
    keys : mapping of str to Keys
        Their columns on these rows.
    notes : tuple of str
        What a reader should know.
    """

    frame: pl.DataFrame
    rows: IntArray
    flow: RowFlow
    factors: Mapping[str, Factor]
    keys: Mapping[str, Keys]
    notes: tuple[str, ...]


def analysis_set(
    dataset: Dataset, formula: Formula, extra: Mapping[str, str], subject: str | None = None
) -> AnalysisSet:
    """Read the columns of a model and keep the rows that have them all.

    Parameters
    ----------
    dataset : Dataset
        Prepared data.
    formula : Formula
        The model.
    extra : mapping of str to str
        Columns that other keys of the model name (weights, visits, ...), each with its key.
    subject : str or None
        Grouping factor inside which residuals are correlated.

    Raises
    ------
    FormulaError
        If a column does not exist.
    Refusal
        If no row is complete, or a derived variable is not defined in the rows that are.
    """
    variables = (*formula.variables, *extra)
    derivations = needed_derivations(variables, dataset.derivations)
    paths = {part.group: part.path for part in formula.random if part.path}
    if subject is not None:
        paths.setdefault(subject, (subject,))
    parents = [column for path in paths.values() for column in factor_keys(path, dataset.within)]
    columns = needed_columns(variables, parents, derivations)
    above = [key for each in derivations if each.group for key in factor_keys([each.group], dataset.within)]
    columns = tuple(dict.fromkeys((*columns, *above)))
    frame = read_source(dataset, formula, columns, extra)
    factors, keys = read_factors(frame, paths, dataset.within)
    needed = [name for name in columns if name not in formula.optional or name in extra]
    blame, reasons = complete_rows(frame, needed, membership_gaps(frame, formula))
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
    return AnalysisSet(frame, frame[ROW].to_numpy(), flow, factors, keys, tuple(notes))


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
