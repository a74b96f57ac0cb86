"""Reference grids of marginal means, as R's emmeans lays them out.

Lenth, emmeans: Estimated Marginal Means (R package), "basics": factors that are left out are averaged with
equal weights, covariates stand at their mean over the analysis rows; a numeric variable of two values, or
one written as `factor(x)`, counts as a factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np

from nestwise.arrays import BoolArray, FloatArray
from nestwise.config.study import Model
from nestwise.design.columns import AnalysisRows, Column, Levels, Quantity
from nestwise.design.covariance import ResidualDesign
from nestwise.design.grid import MeansGrid
from nestwise.design.matrix import model_matrix
from nestwise.errors import Problem, Refusal
from nestwise.formula.functions import FUNCTIONS
from nestwise.formula.record import Formula
from nestwise.formula.syntax import Call, names_in, number_text
from nestwise.formula.tokens import shortened

MOST_VALUES = 12
"""Distinct values of a numeric variable that may span a grid."""
MOST_POINTS = 100_000
"""Points of a reference grid before averaging."""
ESTIMABLE = 1e-8
"""Part of a grid row, beside its size, that may lie outside the rows of X: rounding."""


@dataclass(frozen=True)
class FittedColumns:
    """The fixed part before and after its dependent columns were dropped.

    Attributes
    ----------
    X : ndarray (n, p_all)
        All columns.
    kept : sequence of int, length p
        Those of the design.
    """

    X: FloatArray
    kept: Sequence[int]


@dataclass(frozen=True)
class _Axis:
    """The values a predictor takes in the reference grid."""

    labels: tuple[str, ...]
    values: FloatArray
    levels: Levels | None = None


def means_grids(
    model: Model,
    formula: Formula,
    table: AnalysisRows,
    columns: FittedColumns,
    residual: ResidualDesign | None,
) -> tuple[MeansGrid, ...]:
    """The grids that a model asks for.

    Parameters
    ----------
    model : Model
        `means` lists them; without any, a model with a residual structure whose fixed part has a factor
        interacting with the visits gets (visits, factor).
    formula : Formula
        Its formula.
    table : AnalysisRows
        The analysis rows.
    columns : FittedColumns
        The fixed part on them.
    residual : ResidualDesign or None
        Covariance of the residuals, for the column of the visits.

    Returns
    -------
    tuple of MeansGrid

    Raises
    ------
    Refusal
        If a variable is not a predictor, has too many values to span a grid, or the grid is too large.
    """
    time = "" if residual is None or residual.structure == "independent" else residual.time
    asked = model.means or _default(formula, table, time)
    if not asked:
        return ()
    predictors = tuple(
        dict.fromkeys(name for term in formula.fixed for each in term for name in names_in(each))
    )
    _refuse_unknown(asked, predictors)
    coerced = _coerced(formula)
    outside = _outside(columns)
    return tuple(_grid(by, predictors, coerced, formula, table, columns.kept, outside) for by in asked)


def _default(formula: Formula, table: AnalysisRows, time: str) -> tuple[tuple[str, ...], ...]:
    """(visits, factor) for the first factor that interacts with the visits."""
    coerced = _coerced(formula)

    def categorical(name: str) -> bool:
        return name in coerced or isinstance(table.columns[name], Levels) or _few(table.columns[name])

    for term in formula.fixed if time else ():
        names = [name for each in term for name in names_in(each)]
        others = [name for name in names if name != time and categorical(name)]
        if time in names and (time in coerced or isinstance(table.columns[time], Levels)) and others:
            return ((time, others[0]),)
    return ()


def _few(column: Column) -> bool:
    return isinstance(column, Quantity) and len(np.unique(column.values)) <= 2


def _coerced(formula: Formula) -> set[str]:
    """Numeric variables that stand as `factor(x)` somewhere in the fixed part."""
    calls = [each for term in formula.fixed for each in term if isinstance(each, Call)]
    return {name for call in calls if FUNCTIONS[call.function].kind == "factor" for name in names_in(call)}


def _refuse_unknown(asked: Sequence[tuple[str, ...]], predictors: Sequence[str]) -> None:
    listed = ", ".join(predictors) or "none"
    problems = [
        Problem(
            f"{shortened(name, 80)} is not among the predictors of the fixed part",
            "the key means",
            f"use predictors ({listed}), or add it to the formula",
        )
        for name in dict.fromkeys(name for by in asked for name in by)
        if name not in predictors
    ]
    if problems:
        raise Refusal(problems)


def _axis(name: str, column: Column, *, spans: bool, factor: bool) -> _Axis:
    if isinstance(column, Levels):
        return _Axis(column.labels, np.arange(float(len(column.labels))), column)
    distinct = np.unique(column.values)
    if factor or len(distinct) <= 2 or spans:
        if len(distinct) > MOST_VALUES and spans and not factor:
            what = f"{name} has {len(distinct):,} different values and cannot span a grid of means"
            way_out = f"use a variable of at most {MOST_VALUES} values, or leave it at its mean"
            raise Refusal(Problem(what, "the key means", way_out))
        return _Axis(tuple(number_text(float(value)) for value in distinct), distinct)
    return _Axis(("",), np.array([column.values.mean()]))


def _grid(  # noqa: PLR0917 (what `means_grids` found once for all grids)
    by: tuple[str, ...],
    predictors: Sequence[str],
    coerced: set[str],
    formula: Formula,
    table: AnalysisRows,
    kept: Sequence[int],
    outside: FloatArray | None,
) -> MeansGrid:
    order = (*by, *(name for name in predictors if name not in by))
    axes = {
        name: _axis(name, table.columns[name], spans=name in by, factor=name in coerced) for name in order
    }
    points = prod(len(axis.values) for axis in axes.values())
    if points > MOST_POINTS:
        what = f"the reference grid of {' and '.join(by)} would hold {points:,} points"
        raise Refusal(
            Problem(what, "the key means", "use fewer factors in the fixed part, or declare them continuous")
        )
    cells = prod(len(axes[name].values) for name in by)
    places = np.indices([len(axis.values) for axis in axes.values()]).reshape(len(axes), points)
    columns: dict[str, Column] = {}
    for place, (name, axis) in zip(places, axes.items(), strict=True):
        if axis.levels is not None:
            columns[name] = Levels(place, axis.labels, axis.levels.ordered)
        else:
            columns[name] = Quantity(axis.values[place])
    grid = AnalysisRows(formula.text, np.arange(1, points + 1), columns, learned=table)
    X = model_matrix(formula.fixed, grid).X
    X = X.reshape(cells, points // cells, X.shape[1]).mean(axis=1)
    levels = tuple(product(*(axes[name].labels for name in by)))
    return MeansGrid(by, levels, np.ascontiguousarray(X[:, list(kept)]), _estimable(X, outside))


def _outside(columns: FittedColumns) -> FloatArray | None:
    """Directions of the coefficients that X says nothing of, (p_all, dropped); `None` without any.

    With dropped columns D = X_kept C, all (beta_kept, beta_dropped) = (-C t, t) give the same fit.
    """
    dropped = [place for place in range(columns.X.shape[1]) if place not in set(columns.kept)]
    if not dropped:
        return None
    kept = list(columns.kept)
    C = np.linalg.lstsq(columns.X[:, kept], columns.X[:, dropped], rcond=None)[0]
    directions = np.zeros((columns.X.shape[1], len(dropped)))
    directions[kept] = -C
    directions[dropped, range(len(dropped))] = 1.0
    return directions


def _estimable(X: FloatArray, outside: FloatArray | None) -> BoolArray:
    """Whether each row is orthogonal to every direction that the data do not determine."""
    if outside is None:
        return np.ones(len(X), dtype=bool)
    size = np.abs(X) @ np.abs(outside)
    return np.asarray(np.all(np.abs(X @ outside) <= ESTIMABLE * np.maximum(size, 1e-300), axis=1))
