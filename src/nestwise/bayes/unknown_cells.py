"""Missing cells of covariates as unknowns, and how the columns of a design depend on them.

Whatever the formula, its columns are asked for rather than taken apart: the design is built with the gaps
filled by a few values, and if its columns are polynomials of degree two in what is missing (variables,
their squares and products) these values give the coefficients; one more tells whether they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import polars as pl

from nestwise.arrays import BoolArray, FloatArray, IntArray
from nestwise.data.dataset import ROW, Dataset
from nestwise.design.record import Design
from nestwise.errors import Problem, Refusal
from nestwise.imputation.record import Incomplete

EXACT = 1e-8
"""Error of a polynomial, relative to the largest value of its column, that is rounding."""
WAY_OUT = "use the strategy `mi`"
NEW = ".new"


@dataclass(frozen=True)
class Unknown:
    """An incomplete covariate on some rows.

    Attributes
    ----------
    name : str
        Its column.
    binary : bool
        Whether it is 0/1 and summed out; else its missing values are parameters.
    level : str or None
        The grouping factor it is constant in; `None`: it varies from row to row.
    center, scale : float
        Mean and SD of its observed values; 0 and 1 of a binary one.
    values : ndarray (n,)
        In these units, NaN where missing.
    place : ndarray (n,)
        Which unknown stands in each row; -1 where it is observed.
    """

    name: str
    binary: bool
    level: str | None
    center: float
    scale: float
    values: FloatArray
    place: IntArray

    @property
    def size(self) -> int:
        """Number of unknown values: cells, or groups."""
        return int(self.place.max(initial=-1)) + 1


@dataclass(frozen=True)
class Monomial:
    """A product of unknowns with its coefficients in the columns of a design.

    Attributes
    ----------
    factors : tuple of int
        Which unknowns are multiplied; a square names one twice.
    rows : ndarray (r,)
        Rows of the design in which it occurs.
    X : ndarray (r, p)
    Z : ndarray (r, q)
    """

    factors: tuple[int, ...]
    rows: IntArray
    X: FloatArray
    Z: FloatArray


def unknown_of(incomplete: Incomplete, name: str, keep: IntArray) -> Unknown:
    """An incomplete variable on the rows `keep`, in standard units.

    Raises
    ------
    Refusal
        If it is a count, ordinal or nominal, or has fewer than two different observed values.
    """
    variable = incomplete.variable(name)
    where = f"column {name}"
    if variable.kind not in ("continuous", "binary"):
        what = f"{name} has gaps and is {variable.kind}, which `bayes` does not draw inside the posterior"
        way_out = f"{WAY_OUT}, or declare {name} continuous if it can be treated so"
        raise Refusal(Problem(what, where, way_out))
    values = variable.values[keep]
    seen = ~np.isnan(values)
    if np.unique(values[seen]).size < 2:
        what = f"{name} has fewer than two different observed values, so nothing can be learned of its gaps"
        raise Refusal(Problem(what, where, "leave it out of the model"))
    units = np.arange(keep.size)
    if variable.level is not None:
        units = next(each.codes for each in incomplete.factors if each.name == variable.level)[keep]
    place = np.full(keep.size, -1, dtype=np.int64)
    place[~seen] = np.unique(units[~seen], return_inverse=True)[1]
    binary = variable.kind == "binary"
    center, scale = (0.0, 1.0) if binary else (float(values[seen].mean()), float(values[seen].std()))
    return Unknown(name, binary, variable.level, center, scale, (values - center) / scale, place)


def filled(dataset: Dataset, incomplete: Incomplete, values: Mapping[str, float]) -> Dataset:
    """The data set with every gap of some variables filled by one value each; NaN leaves it a gap."""
    frame, names = dataset.frame, dataset.frame.collect_schema().names()
    assert incomplete.rows is not None, "the record was made from a data set"
    dtype = dataset.frame.collect_schema()[ROW]
    for name, value in values.items():
        known = incomplete.variable(name).values
        column = pl.Series(NEW, np.where(np.isnan(known), value, known))
        new = pl.LazyFrame({ROW: pl.Series(incomplete.rows).cast(dtype), NEW: column})
        joined = frame.drop(name).join(new, on=ROW, how="left", maintain_order="left")
        frame = joined.rename({NEW: name})
    return replace(dataset, frame=frame.select(names))


def with_known_groups(dataset: Dataset, incomplete: Incomplete) -> Dataset:
    """The data set where gaps of numeric variables of groups hold what other rows of the group say."""
    names = [each.name for each in incomplete.variables if each.level is not None and not each.categories]
    frame = dataset.frame.select(names).with_columns(pl.selectors.float().fill_nan(None)).collect()
    lacking = [name for name in names if frame[name].null_count()]
    return filled(dataset, incomplete, dict.fromkeys(lacking, np.nan))


def polynomial(
    unknowns: Sequence[Unknown], design_at: Callable[[FloatArray], Design], own: IntArray
) -> tuple[Design, tuple[Monomial, ...]]:
    """The design with every unknown at 0, and what the unknowns add to it.

    Parameters
    ----------
    unknowns : sequence of Unknown, length K
        The incomplete covariates.
    design_at : callable
        The design where all gaps of unknown k hold the k-th value, in the units of `Unknown`.
    own : ndarray (n,)
        Place of each row of the design among the rows of the unknowns.

    Raises
    ------
    Refusal
        If a column is no polynomial of degree two in what is missing in its own row.
    """
    base = design_at(np.zeros(len(unknowns)))

    def change(t: FloatArray) -> FloatArray:
        try:
            found = design_at(t)
        except Refusal as refusal:
            what = f"{refusal.problems[0].what} at some values of what is missing"
            raise Refusal(Problem(what, base.formula, WAY_OUT)) from refusal
        if found.names != base.names:
            what = "the columns of the model are combinations of one another for some values of its gaps"
            raise Refusal(Problem(what, base.formula, "leave one of the columns out"))
        _refuse_other_offset(found, base)
        return np.hstack([found.X - base.X, found.Z - base.Z])

    parts = _parts(unknowns, change)
    size = np.abs(np.hstack([base.X, base.Z])).max(axis=0)
    size = size + np.sum([np.abs(part).max(axis=0) for part in parts.values()], axis=0)
    trial = np.array([1.0 if each.binary else 0.3 + 0.45 * k for k, each in enumerate(unknowns)])
    expected = np.sum([trial[list(factors)].prod() * part for factors, part in parts.items()], axis=0)
    wrong = (np.abs(change(trial) - expected) > EXACT * size).any(axis=0)
    p = base.X.shape[1]
    found: list[Monomial] = []
    for factors, part in parts.items():
        present = np.abs(part) > EXACT * size
        observed = np.any([unknowns[k].place[own] < 0 for k in factors], axis=0)
        wrong |= (observed[:, None] & present).any(axis=0)
        rows = np.flatnonzero(present.any(axis=1))
        if rows.size:
            kept = np.where(present, part, 0.0)[rows]
            found.append(Monomial(factors, rows, kept[:, :p], kept[:, p:]))
    if wrong.any():
        raise Refusal(_not_polynomial(base, unknowns, wrong))
    return base, tuple(found)


def _parts(
    unknowns: Sequence[Unknown], change: Callable[[FloatArray], FloatArray]
) -> dict[tuple[int, ...], FloatArray]:
    """Coefficients (n, p + q) of every unknown, square and product; a binary one is its own square."""
    unit = np.eye(len(unknowns))
    parts: dict[tuple[int, ...], FloatArray] = {}
    sides = []
    for k, each in enumerate(unknowns):
        up = change(unit[k])
        sides.append(up)
        if each.binary:
            parts[k,] = up
            continue
        down = change(-unit[k])
        parts[k,], parts[k, k] = (up - down) / 2, (up + down) / 2
    for k, m in combinations(range(len(unknowns)), 2):
        parts[k, m] = change(unit[k] + unit[m]) - sides[k] - sides[m]
    return parts


def _refuse_other_offset(found: Design, base: Design) -> None:
    if base.offset is not None and not np.array_equal(found.offset, base.offset):  # type: ignore[arg-type]
        what = "the offset of the model has gaps, which `bayes` does not draw inside the posterior"
        raise Refusal(Problem(what, base.formula, WAY_OUT))


def _not_polynomial(design: Design, unknowns: Sequence[Unknown], wrong: BoolArray) -> Problem:
    names = [*design.names, *design.varying]
    first = names[int(np.flatnonzero(wrong)[0])]
    gaps = " and ".join(each.name for each in unknowns)
    what = (
        f"{first} is no variable, square or product of two of {gaps} in the same row, "
        "and `bayes` computes only these inside the posterior"
    )
    return Problem(what, design.formula, f"{WAY_OUT}, or make a column of it before the analysis")
