"""Which fixed effects describe the groups: the line toward which each group is shrunk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nestwise.arrays import FloatArray
from nestwise.design.record import Design, RandomTerm

TOLERANCE = 1e-9
"""Largest relative difference between a column and its reconstruction."""
FIRST, CLEARLY = 1000, 1e-3
"""A difference this much larger in the first rows settles the question without the others."""


@dataclass(frozen=True)
class GroupLevelPart:
    """The fixed effects that make the mean of one random coefficient.

    Attributes
    ----------
    coefficient : str
        Name of the random coefficient, one of `RandomTerm.names`.
    columns : tuple of int
        Indices of the columns of X that belong to it.
    values : ndarray (J, len(columns))
        Group-level values u: the mean of the coefficient in group j is ``values[j] @ beta[columns]``.
    """

    coefficient: str
    columns: tuple[int, ...]
    values: FloatArray


def group_level_parts(design: Design, term: RandomTerm) -> tuple[GroupLevelPart, ...]:
    """Which fixed columns belong to which random coefficient of a term.

    A column of X belongs to random coefficient r if it equals Z_r times something constant within
    every group (in the mean model gamma0 + gamma1 u_j of the coefficient: 1 or u_j). A column that
    is the same combination of the columns of Z in every group, as the intercept is of the
    indicators of `(0 + f | g)`, belongs to all of them.

    Parameters
    ----------
    design : Design
        The model.
    term : RandomTerm
        One of its random terms.

    Returns
    -------
    tuple of GroupLevelPart
        One for each random coefficient, in order; `columns` is empty where no fixed effect belongs
        to it. Columns of X in none of them are covariates within groups.

    Notes
    -----
    Where Z_r is zero in a whole group (no house with a basement-free floor, say), the column does not
    show u_j; it is then taken from a fixed column that does, and else is the mean over other groups.
    """
    q, p = term.Z.shape[1], design.X.shape[1]
    squares = [np.bincount(term.codes, term.Z[:, r] ** 2, term.n_groups) for r in range(q)]
    found: list[dict[int, FloatArray]] = [{} for _ in range(q)]
    for c in range(p):
        # a column named like a random coefficient belongs to it even if it fits another as well
        for r in _preferred(term.names, design.names[c]):
            values = _ratio(design.X[:, c], term, r, squares[r])
            if values is not None:
                found[r][c] = values
                break
    _share(design, term, found)
    _complete(found, squares)
    return tuple(
        GroupLevelPart(
            name,
            tuple(sorted(columns)),
            np.column_stack([columns[c] for c in sorted(columns)])
            if columns
            else np.empty((term.n_groups, 0)),
        )
        for name, columns in zip(term.names, found, strict=True)
    )


def _preferred(names: tuple[str, ...], name: str) -> list[int]:
    return sorted(range(len(names)), key=lambda r: names[r] != name)


def _ratio(column: FloatArray, term: RandomTerm, r: int, squares: FloatArray) -> FloatArray | None:
    """u_j if the column is Z_r times u_j, NaN-free: 0 where Z_r is zero in the whole group."""
    z = term.Z[:, r]
    size = np.abs(column).max(initial=0.0)
    if size == 0.0 or _clearly_varies(column, z, term, size):
        return None
    products = np.bincount(term.codes, z * column, term.n_groups)
    values = np.divide(products, squares, out=np.zeros_like(products), where=squares > 0)
    if np.abs(column - z * values[term.codes]).max() > TOLERANCE * size:
        return None
    return values


def _clearly_varies(column: FloatArray, z: FloatArray, term: RandomTerm, size: float) -> bool:
    """Whether some first rows already show that the column is nothing like Z_r times a group's constant."""
    first = slice(0, FIRST)
    distinct, codes = np.unique(term.codes[first], return_inverse=True)
    squares = np.bincount(codes, z[first] ** 2, distinct.size)
    products = np.bincount(codes, z[first] * column[first], distinct.size)
    values = np.divide(products, squares, out=np.zeros_like(products), where=squares > 0)
    return bool(np.abs(column[first] - z[first] * values[codes]).max(initial=0.0) > CLEARLY * size)


def _share(design: Design, term: RandomTerm, found: list[dict[int, FloatArray]]) -> None:
    """Columns that are one combination of several columns of Z, the same in all groups."""
    rest = [c for c in range(design.X.shape[1]) if not any(c in columns for columns in found)]
    if term.Z.shape[1] < 2 or not rest:
        return
    gram, cross = term.Z.T @ term.Z, term.Z.T @ design.X[:, rest]
    weights = np.linalg.lstsq(gram, cross, rcond=None)[0]
    for place, c in enumerate(rest):
        column = design.X[:, c]
        gap = np.abs(column - term.Z @ weights[:, place]).max()
        if gap <= TOLERANCE * np.abs(column).max(initial=0.0):
            for r, weight in enumerate(weights[:, place]):
                if abs(weight) > TOLERANCE:
                    found[r][c] = np.full(term.n_groups, weight)


def _complete(found: list[dict[int, FloatArray]], squares: list[FloatArray]) -> None:
    """Fill in u_j for groups where Z_r is zero throughout."""
    for r, columns in enumerate(found):
        hidden = squares[r] == 0
        if not hidden.any():
            continue
        for c, values in columns.items():
            known = ~hidden
            columns[c] = np.where(hidden, _elsewhere(values, known, found), values)


def _elsewhere(
    values: FloatArray, known: NDArray[np.bool_], found: list[dict[int, FloatArray]]
) -> FloatArray:
    """Values of another column that agree wherever both are known, else the mean of the known ones."""
    size = np.abs(values[known]).max(initial=0.0)
    for columns in found:
        for other in columns.values():
            if other is not values and np.abs(other - values)[known].max() <= 1e-6 * size:
                return other
    return np.full_like(values, values[known].mean())
