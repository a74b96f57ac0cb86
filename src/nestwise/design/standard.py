"""The rows of a model as they would be if a variable had another value: what standardisation averages over.

Robins (1986), the g-formula: everybody is given the same treatment at the same time, and keeps the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.config.study import Model
from nestwise.data.dataset import Dataset
from nestwise.design.analysis_set import AnalysisSet, analysis_set
from nestwise.design.build import formula_columns, named_columns, offset_of
from nestwise.design.columns import AnalysisRows, Column, Levels, Quantity
from nestwise.design.matrix import model_matrix
from nestwise.design.random_terms import random_terms
from nestwise.design.record import Design
from nestwise.design.residual import residual_subject
from nestwise.errors import Problem, Refusal
from nestwise.formula.record import Formula, parse
from nestwise.formula.syntax import names_in

Setting = Mapping[str, float | str]
"""Variable -> the value, or the level, that every row is given."""


@dataclass(frozen=True)
class StandardRows:
    """The rows of a design before they became matrices.

    Attributes
    ----------
    design : Design
        The design.
    formula : Formula
        Its formula.
    table : AnalysisRows
        Its variables.
    used : AnalysisSet
        Its groups.
    relations : Dataset
        The prepared data, for known correlations between groups.
    """

    design: Design
    formula: Formula
    table: AnalysisRows
    used: AnalysisSet
    relations: Dataset

    @property
    def predictors(self) -> tuple[str, ...]:
        """Variables of the fixed part."""
        return tuple(
            dict.fromkeys(name for term in self.formula.fixed for each in term for name in names_in(each))
        )


def standard_rows(dataset: Dataset, model: Model, design: Design) -> StandardRows:
    """Read the variables of a model again.

    Parameters
    ----------
    dataset : Dataset
        Prepared data.
    model : Model
        The model as the study file has it.
    design : Design
        What it was made into.
    """
    formula = parse(model.formula)
    subject = residual_subject(model.residual, formula, dataset)
    used = analysis_set(dataset, formula, named_columns(model, dataset), subject)
    return StandardRows(design, formula, formula_columns(formula, used, dataset), used, dataset)


def levels_of(rows: StandardRows, name: str) -> tuple[str, ...]:
    """Levels of a categorical variable, the reference first; the distinct numbers of any other as text."""
    column = rows.table.columns[name]
    if isinstance(column, Levels):
        return column.labels
    return tuple(f"{value:g}" for value in np.unique(column.values))


def numbers_of(rows: StandardRows, name: str) -> FloatArray | None:
    """Values (n,) of a numeric variable; `None` for a categorical one."""
    column = rows.table.columns[name]
    return column.values if isinstance(column, Quantity) else None


def designs_at(rows: StandardRows, settings: Sequence[Setting]) -> Iterator[Design]:
    """The design with the same values given to all rows, once a setting; nothing is learned anew.

    Parameters
    ----------
    rows : StandardRows
        From `standard_rows`.
    settings : sequence of mapping
        Variable -> value or level.

    Yields
    ------
    Design
        With other `X`, `random` and `offset`.

    Raises
    ------
    Refusal
        If a variable does not stand in the formula, or a level does not occur.
    """
    place = {name: k for k, name in enumerate(model_matrix(rows.formula.fixed, rows.table).names)}
    kept = [place[name] for name in rows.design.names]
    for setting in settings:
        columns = dict(rows.table.columns)
        for name, value in setting.items():
            columns[name] = _constant(name, columns.get(name), value, rows.table.n)
        table = AnalysisRows(rows.table.text, rows.table.rows, columns, learned=rows.table)
        X = np.ascontiguousarray(model_matrix(rows.formula.fixed, table).X[:, kept])
        random, _ = random_terms(rows.formula, table, rows.used, rows.relations.relations)
        yield replace(rows.design, X=X, random=random, offset=offset_of(rows.formula, table))


def _constant(name: str, column: Column | None, value: float | str, n: int) -> Column:
    if column is None:
        problem = f"{name} is not a variable of the model and cannot be given a value"
        raise Refusal(Problem(problem, "standardisation", "choose a variable of the formula"))
    if isinstance(column, Quantity):
        return Quantity(np.full(n, float(value)))
    if str(value) not in column.labels:
        problem = f"{name} has no level {value}"
        raise Refusal(Problem(problem, "standardisation", f"choose one of {', '.join(column.labels)}"))
    return Levels(np.full(n, column.labels.index(str(value))), column.labels, column.ordered)
