"""One incomplete variable made ready: its units, groups, predictors, and observed values by group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestwise.arrays import FloatArray, IntArray
from nestwise.design.rank import independent_columns
from nestwise.errors import Problem, Refusal
from nestwise.imputation.columns import CompletedData, Source, level_rank, predictors, varying
from nestwise.imputation.record import Incomplete, Variable


@dataclass(frozen=True)
class Units:
    """The units a variable is measured on: rows, or the groups of a factor.

    Attributes
    ----------
    row_of : ndarray (U,)
        A row of each unit.
    unit_of : ndarray (n,)
        Unit of each row.
    inner : ndarray (U,)
        Group of each unit in the factor next above; zeros where there is none.
    outer : ndarray (J,)
        Group of each inner group in the factor above that; -1 where there is none.
    n_outer : int
        Groups of the outer factor, 0 where there is none.
    grouped : bool
        Whether there is a factor above.
    """

    row_of: IntArray
    unit_of: IntArray
    inner: IntArray
    outer: IntArray
    n_outer: int
    grouped: bool


@dataclass(frozen=True)
class Part:
    """Observed units of one regression: `index` (r,) sorted by inner group, `start` (J + 1,), `response`."""

    index: IntArray
    start: IntArray
    response: FloatArray


@dataclass(frozen=True)
class Target:
    """An incomplete variable with all that its draws share.

    Attributes
    ----------
    variable : Variable
        It.
    method : str
        How its gaps are drawn.
    units : Units
        What it is measured on.
    parts : tuple of Part
        One regression, or K - 1 of a nominal variable.
    missing : ndarray (r,)
        Units without a value.
    predictors, slopes : tuple of Source
        Fixed effects beside the intercept, and what varies by inner group beside it.
    kept : ndarray (p - 1,)
        Columns of the predictors that are not linear combinations of those before them.
    center, scale : ndarray (p - 1,)
        What they are standardised with.
    """

    variable: Variable
    method: str
    units: Units
    parts: tuple[Part, ...]
    missing: IntArray
    predictors: tuple[Source, ...]
    slopes: tuple[Source, ...]
    kept: IntArray
    center: FloatArray
    scale: FloatArray

    def matrices(self, data: CompletedData) -> tuple[FloatArray, FloatArray]:
        """X (U, p) and Z (U, q) from the completed data."""
        rows = self.units.row_of
        raw = _stacked(data, self.predictors, rows.size)
        X = np.ones((rows.size, self.kept.size + 1))
        X[:, 1:] = (raw[np.ix_(rows, self.kept)] - self.center) / self.scale
        Z = np.ones((rows.size, 0))
        if self.units.grouped:
            slopes = [data.columns(source)[rows] for source in self.slopes]
            Z = np.ascontiguousarray(np.column_stack([np.ones(rows.size), *slopes]))
        return X, Z


def _stacked(data: CompletedData, sources: tuple[Source, ...], n: int) -> FloatArray:
    return np.column_stack([data.columns(source) for source in sources]) if sources else np.ones((n, 0))


def units_of(incomplete: Incomplete, variable: Variable) -> Units:
    """The units of a variable and the groups they are in."""
    rank = level_rank(incomplete, variable)
    n = incomplete.n
    if rank < 0:
        row_of, unit_of = np.arange(n), np.arange(n)
    else:
        unit_of = incomplete.factors[rank].codes
        row_of = np.unique(unit_of, return_index=True)[1]
    above = [factor.codes[row_of] for factor in incomplete.factors[rank + 1 :]]
    if not above:
        return Units(row_of, unit_of, np.zeros(row_of.size, np.int64), np.full(1, -1), 0, grouped=False)
    inner = above[0]
    outer = np.full(int(inner.max()) + 1, -1, dtype=np.int64)
    if len(above) > 1:
        outer[inner] = above[1]
    return Units(row_of, unit_of, inner, outer, int(outer.max()) + 1, grouped=True)


def make_target(
    incomplete: Incomplete,
    variable: Variable,
    method: str,
    data: CompletedData,
    sources: tuple[Source, ...] | None = None,
) -> Target:
    """Lay out one variable.

    Parameters
    ----------
    incomplete : Incomplete
        The record.
    variable : Variable
        With gaps.
    method : str
        How they are drawn.
    data : CompletedData
        Filled at random, to see which predictors say something new.
    sources : tuple of Source, optional
        Predictors other than those of chained equations.

    Raises
    ------
    Refusal
        If there are too few values for the predictors, or the predictors settle the values exactly.
    """
    units = units_of(incomplete, variable)
    values = variable.values[units.row_of]
    observed, missing = np.flatnonzero(~np.isnan(values)), np.flatnonzero(np.isnan(values))
    sources = predictors(incomplete, variable) if sources is None else sources
    raw = _stacked(data, sources, incomplete.n)[units.row_of]
    # a column is kept if it is not settled by those before it, in the rows that inform the model
    kept = np.array(independent_columns(np.column_stack([np.ones(observed.size), raw[observed]])), np.int64)
    kept = kept[kept > 0] - 1
    center, scale = raw[:, kept].mean(axis=0), raw[:, kept].std(axis=0)
    if observed.size < kept.size + 4:
        raise Refusal(_too_few(variable, observed.size, kept.size + 1))
    index = observed[np.argsort(units.inner[observed], kind="stable")]
    parts = parts_of(variable, method, units, index, values)
    target = Target(
        variable,
        method,
        units,
        parts,
        missing,
        sources,
        varying(incomplete, variable),
        kept,
        center,
        np.where(scale > 0, scale, 1.0),
    )
    _refuse_settled(target, data)
    return target


def parts_of(
    variable: Variable, method: str, units: Units, index: IntArray, values: FloatArray
) -> tuple[Part, ...]:
    """The regressions of a variable of some units, sorted by inner group, whose `values` are given."""

    def part(index: IntArray, response: FloatArray) -> Part:
        start = np.searchsorted(units.inner[index], np.arange(units.outer.size + 1))
        return Part(index, start.astype(np.int64), response)

    if method == "nominal":
        chosen = [index[values[index] >= k] for k in range(len(variable.categories) - 1)]
        # successive: category k against all later ones, coded 1 for "later"
        return tuple(part(each, (values[each] > k).astype(np.float64)) for k, each in enumerate(chosen))
    return (part(index, values[index]),)


def _too_few(variable: Variable, observed: int, columns: int) -> Problem:
    place = "rows" if variable.level is None else f"groups of {variable.level}"
    return Problem(
        f"{variable.name} has a value in {observed} {place} only, and {columns} coefficients predict it",
        f"imputation model of {variable.name}",
        "leave out auxiliary variables, or leave this variable out of the model",
    )


def _refuse_settled(target: Target, data: CompletedData) -> None:
    """A variable that the others settle without error has no distribution to draw from."""
    if target.variable.kind in ("ordinal", "nominal", "binary"):
        return
    part = target.parts[0]
    X = target.matrices(data)[0][part.index]
    y = (part.response - data.scales[target.variable.name][0]) / data.scales[target.variable.name][1]
    left = y - X @ np.linalg.lstsq(X, y)[0]
    if float(left @ left) < 1e-10 * y.size:
        raise Refusal(
            Problem(
                f"{target.variable.name} can be computed from the other variables without error",
                f"imputation model of {target.variable.name}",
                "derive it from them instead, or leave one of them out",
            )
        )
