"""Grids of the fixed part at which marginal means are asked for."""

from __future__ import annotations

from dataclasses import dataclass

from nestwise.arrays import BoolArray, FloatArray


@dataclass(frozen=True)
class MeansGrid:
    """Where marginal means are asked for: each row of `X` averages the fixed part over what `by` leaves out.

    Factors that are not named are averaged with equal weights, numeric covariates stand at their mean.

    Attributes
    ----------
    by : tuple of str
        Variables that span the grid, e.g. (`visit`, `treatment`); the first is the axis of a figure.
    levels : tuple of tuple of str, length G
        Their values at each point, in the order of `by`.
    X : ndarray (G, p)
        Fixed part at each point, columns of the design.
    estimable : ndarray (G,) of bool
        Whether the data determine the mean (a cell of an interaction may be empty).
    """

    by: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]
    X: FloatArray
    estimable: BoolArray
