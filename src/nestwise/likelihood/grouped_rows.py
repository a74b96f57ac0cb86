"""Rows of a generalised model as its likelihood reads them: by group, standardised, repetitions counted once.

Columns are in the working parametrisation of `working`: ``X_w = X T_X`` and ``Z_w = Z T_Z`` with
cross-products n I, so that one search serves covariates of any units. Arrays have rows last, (p, n) and (q,
n).

Rows of a group that share covariates and offset are one row: their successes and trials, or their counts, are
added up (binomial, Poisson), or equal rows are counted (other families). Groups with equal rows are one group
that counts several times. Both leave the likelihood as it is, constants included.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from nestwise.arrays import FloatArray, IntArray
from nestwise.design.record import Design
from nestwise.likelihood.families import Responses, responses
from nestwise.likelihood.segments import group_sums
from nestwise.likelihood.working import Pattern, lambda_pattern, orthonormal, varying_columns
from nestwise.vocabulary import INTERCEPT

ADDED_UP = ("binomial", "poisson")
"""Families whose rows with the same eta are one row with the sum of their outcomes."""
SAMPLED = 500
"""Rows by which a column is judged first."""


@dataclass(frozen=True)
class GroupedRows:
    """Data of a generalised linear mixed model with one grouping factor.

    Attributes
    ----------
    given : Responses
        Outcomes (n,), sorted by group.
    X, Z : ndarray (p, n), (q, n)
        Working columns.
    offset : ndarray (n,)
        Known part of eta.
    starts, codes : ndarray (J,), (n,)
        First row of each distinct group, and the group of each row.
    repeats : ndarray (J,)
        How many groups each distinct one stands for.
    which : ndarray
        Distinct group of each group of the design.
    pattern : Pattern
        Free elements of L, the Cholesky factor of the random effects' covariance.
    T_X, T_Z : ndarray
        The way back: ``beta = T_X beta_w``, ``b = T_Z b_w``.
    names : tuple of str, length p
        Fixed effects; an ordinal model has thresholds in place of the intercept.
    """

    given: Responses
    X: FloatArray
    Z: FloatArray
    offset: FloatArray
    starts: IntArray
    codes: IntArray
    repeats: FloatArray
    which: IntArray
    pattern: Pattern
    T_X: FloatArray
    T_Z: FloatArray
    names: tuple[str, ...]

    @property
    def n(self) -> int:
        """Rows, repetitions counted once."""
        return int(self.codes.shape[0])

    @property
    def J(self) -> int:  # noqa: N802
        """Distinct groups."""
        return int(self.starts.shape[0])

    @cached_property
    def largest(self) -> int:
        """Rows of the largest group."""
        return int(np.diff(self.bounds).max(initial=1))

    @cached_property
    def bounds(self) -> IntArray:
        """First row of each distinct group, and n (J + 1,)."""
        return np.append(self.starts, self.n)

    @cached_property
    def by_size(self) -> IntArray:
        """The distinct groups, those of few rows first (J,)."""
        return np.argsort(np.diff(self.bounds), kind="stable").astype(np.int64)

    @cached_property
    def counts(self) -> FloatArray:
        """How many rows each one stands for (n,), beside successes and counts that were added up."""
        return self.repeats[self.codes]

    def work(self, points: int) -> float:
        """Densities of an evaluation."""
        return float(self.n * points**self.pattern.q)

    def by_group(self, values: FloatArray) -> FloatArray:
        """Sums over each group's rows: (..., n) to (..., J)."""
        return group_sums(values, self.starts)


def grouped_rows(design: Design) -> GroupedRows:
    """Put a design into the form its likelihood is evaluated in.

    Parameters
    ----------
    design : Design
        Not Gaussian; one grouping factor.

    Raises
    ------
    Refusal
        If a varying coefficient is zero or follows from the others of its term.
    """
    keep = [i for i, name in enumerate(design.names) if design.family != "ordinal" or name != INTERCEPT]
    X = design.X[:, keep]
    which = _by_size(design.random[0].codes, design.random[0].n_groups)
    codes = which[design.random[0].codes]
    order = np.argsort(codes, kind="stable")
    codes = codes[order]
    offset = np.zeros(design.n) if design.offset is None else design.offset
    T_Z, columns = varying_columns(design)
    Q, R_inverse = orthonormal(X) if keep else (X, np.zeros((0, 0)))
    root = np.sqrt(design.n)
    rows = GroupedRows(
        given=_picked(responses(design.family, design.link, design.y, design.trials), order),
        X=np.ascontiguousarray((Q * root).T[:, order]),
        Z=np.ascontiguousarray(np.stack(columns)[:, order]),
        offset=offset[order],
        starts=np.flatnonzero(np.diff(codes, prepend=-1)).astype(np.int64),
        codes=codes,
        repeats=np.ones(design.random[0].n_groups),
        which=which,
        pattern=lambda_pattern(design.random),
        T_X=R_inverse * root,
        T_Z=T_Z,
        names=tuple(design.names[i] for i in keep),
    )
    plain = np.vstack([X.T[:, order], design.Z.T[:, order], offset[order]])
    if _one_column_tells_all_rows_apart(plain):
        return rows
    return _without_equal_groups(*_without_equal_rows(rows, plain))


def _by_size(codes: IntArray, J: int) -> IntArray:
    """A number for each group, small groups first: loops over groups of one size are foreseen and quick."""
    number = np.empty(J, dtype=np.int64)
    number[np.argsort(np.bincount(codes, minlength=J), kind="stable")] = np.arange(J)
    return number


def _picked(given: Responses, places: IntArray) -> Responses:
    frequency = None if given.frequency is None else given.frequency[places]
    y, trials, constant = given.y[places], given.trials[places], given.constant[places]
    return replace(given, y=y, trials=trials, constant=constant, frequency=frequency)


def _digest(columns: FloatArray) -> np.ndarray:
    """64 bits (n,) for each column of (c, n); equal columns have equal ones, and hardly any others."""
    bits = np.ascontiguousarray(columns + 0.0).view(np.uint64)
    digest = np.full(columns.shape[1], 0x9E3779B97F4A7C15, dtype=np.uint64)
    for row in bits:
        digest = (digest ^ row) * np.uint64(0xFF51AFD7ED558CCD)
        digest ^= digest >> np.uint64(32)
    return digest


def _one_column_tells_all_rows_apart(columns: FloatArray) -> bool:
    """Whether one of (c, n) has n different values: then no rows are equal, and no groups.

    The first rows rule out most columns that have fewer.
    """
    return any(_distinct(column[:SAMPLED]) and _distinct(column) for column in columns)


def _distinct(values: FloatArray) -> bool:
    ordered = np.sort(values)
    return bool((ordered[1:] != ordered[:-1]).all())


def _without_equal_rows(rows: GroupedRows, plain: FloatArray) -> tuple[GroupedRows, FloatArray]:
    """Rows of a group with the same eta made one; those left are in an order their content decides."""
    given = rows.given
    added = given.family in ADDED_UP
    columns = plain if added else np.vstack([plain, given.y])
    order = np.lexsort((_digest(columns), rows.codes))
    codes, columns = rows.codes[order], columns[:, order]
    first = np.ones(rows.n, dtype=bool)
    first[1:] = (codes[1:] != codes[:-1]) | (columns[:, 1:] != columns[:, :-1]).any(axis=0)
    at = np.flatnonzero(first)
    given = _picked(given, order)
    if at.size < rows.n and added:
        y, trials, constant = (np.add.reduceat(part, at) for part in (given.y, given.trials, given.constant))
        given = replace(given, y=y, trials=trials, constant=constant)
    elif at.size < rows.n:
        given = replace(_picked(given, at), frequency=np.diff(np.append(at, rows.n)).astype(float))
    codes, places = codes[at], order[at]
    compressed = replace(
        rows,
        given=given,
        X=np.ascontiguousarray(rows.X[:, places]),
        Z=np.ascontiguousarray(rows.Z[:, places]),
        offset=rows.offset[places],
        codes=codes,
        starts=np.flatnonzero(np.diff(codes, prepend=-1)).astype(np.int64),
    )
    counted = given.trials if given.frequency is None else given.frequency
    return compressed, np.vstack([plain[:, places], given.y, counted, given.constant])


def _without_equal_groups(rows: GroupedRows, content: FloatArray) -> GroupedRows:
    """Groups with equal rows made one."""
    sizes = np.diff(np.append(rows.starts, rows.n))
    place = (np.arange(rows.n) - np.repeat(rows.starts, sizes)).astype(float)
    of_rows = _digest(np.vstack([content, place]))
    digest = np.add.reduceat(of_rows, rows.starts)
    _, first, which, repeats = np.unique(digest, return_index=True, return_inverse=True, return_counts=True)
    if first.size > 0.9 * rows.J or not _equal(rows, content, sizes, first[which]):
        return rows
    kept = np.zeros(rows.J, dtype=bool)
    kept[first] = True
    inside = kept[rows.codes]
    number = np.cumsum(kept) - 1  # distinct groups in the order in which they are first seen
    codes = number[rows.codes[inside]].astype(np.int64)
    counts = np.empty(first.size)
    counts[number[first]] = repeats
    return replace(
        rows,
        given=_picked(rows.given, np.flatnonzero(inside)),
        X=np.ascontiguousarray(rows.X[:, inside]),
        Z=np.ascontiguousarray(rows.Z[:, inside]),
        offset=rows.offset[inside],
        codes=codes,
        starts=np.flatnonzero(np.diff(codes, prepend=-1)).astype(np.int64),
        repeats=counts,
        which=number[first[which]][rows.which].astype(np.int64),
    )


def _equal(rows: GroupedRows, content: FloatArray, sizes: IntArray, twin: IntArray) -> bool:
    """Whether each group indeed has the rows of the group it is taken for."""
    if not np.array_equal(sizes, sizes[twin]):
        return False
    place = np.arange(rows.n) - np.repeat(rows.starts, sizes)
    other = np.repeat(rows.starts[twin], sizes) + place
    return bool((content == content[:, other]).all())
