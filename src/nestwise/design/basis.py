"""Bases of several columns for one variable: polynomials, splines, contrasts, as R makes them."""

from __future__ import annotations

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.errors import Problem, Refusal


def polynomial(
    x: FloatArray, degree: int, *, raw: bool, label: str, at: FloatArray | None = None
) -> FloatArray:
    """Orthogonal polynomials of a variable, or its powers.

    Parameters
    ----------
    x : ndarray (n,)
        Values that make the basis.
    degree : int
        Number of columns.
    raw : bool
        Powers instead of orthogonal polynomials.
    label : str
        The term, for messages.
    at : ndarray (m,) or None
        Where the basis is evaluated; `None`: at x.

    Returns
    -------
    ndarray (m, degree)
        Columns of length one over x, as R's `poly`.

    Raises
    ------
    Refusal
        If there are not more distinct values than the degree.
    """
    from formulaic.transforms.poly import poly

    distinct = len(np.unique(x))
    if not raw and distinct <= degree:
        raise Refusal(
            Problem(
                f"{label} asks for degree {degree} and there are only {distinct} distinct values",
                "formula",
                f"use a degree of at most {max(distinct - 1, 0)}, or factor()",
            )
        )
    state: dict[str, object] = {}
    columns = poly(x, degree=degree, raw=raw, _state=state)
    if at is not None:
        columns = poly(at, degree=degree, raw=raw, _state=state)
    return np.asarray(columns, dtype=np.float64)


def b_spline(
    x: FloatArray, df: int | None, degree: int, label: str, at: FloatArray | None = None
) -> FloatArray:
    """B-spline basis without intercept, knots at quantiles, as R's `bs`.

    Parameters
    ----------
    x : ndarray (n,)
        Values.
    df : int or None
        Number of columns; `None` is a single polynomial piece.
    degree : int
        Of the pieces.
    label : str
        The term, for messages.
    at : ndarray (m,) or None
        Where the basis is evaluated, inside the range of x; `None`: at x.

    Returns
    -------
    ndarray (m, df)

    Raises
    ------
    Refusal
        If df is smaller than the degree, or the values are too few for the knots.
    """
    if df is not None and df < degree:
        raise Refusal(
            Problem(
                f"{label} has fewer columns than its degree {degree}", "formula", f"use df = {degree} or more"
            )
        )
    knots = _inner_knots(x, (df or degree) - degree, label)
    return _spline_columns(x, knots, degree, at)


def natural_spline(x: FloatArray, df: int, label: str, at: FloatArray | None = None) -> FloatArray:
    """Natural cubic spline basis without intercept, as R's `ns`.

    The cubic B-spline basis is projected on the directions with zero second derivative at both
    ends (Hastie 1992, as in R's package splines).

    Parameters
    ----------
    x : ndarray (n,)
        Values.
    df : int
        Number of columns.
    label : str
        The term, for messages.
    at : ndarray (m,) or None
        Where the basis is evaluated, inside the range of x; `None`: at x.

    Returns
    -------
    ndarray (m, df)

    Raises
    ------
    Refusal
        If the values are too few for the knots.
    """
    knots = _inner_knots(x, df - 1, label)
    q, _ = np.linalg.qr(_bends(x, knots).T, mode="complete")
    return _spline_columns(x, knots, 3, at) @ q[:, 2:]


def _inner_knots(x: FloatArray, count: int, label: str) -> FloatArray:
    knots = np.quantile(x, np.arange(1, count + 1) / (count + 1))
    distinct = np.unique(np.concatenate([[x.min()], knots, [x.max()]]))
    if len(distinct) < count + 2:
        raise Refusal(
            Problem(
                f"{label} needs {count} inner knots and the values repeat too often for them",
                "formula",
                "use a smaller df, or poly()",
            )
        )
    return knots


def _spline_columns(
    x: FloatArray, knots: FloatArray, degree: int, at: FloatArray | None = None
) -> FloatArray:
    """B-splines over the range of x, without the first, which the intercept stands for."""
    from formulaic.transforms.basis_spline import basis_spline

    ends = {"lower_bound": float(x.min()), "upper_bound": float(x.max())}
    columns = basis_spline(x if at is None else at, knots=list(knots), degree=degree, **ends, _state={})
    return np.column_stack([np.asarray(column, dtype=np.float64) for column in columns.values()])


def _bends(x: FloatArray, knots: FloatArray) -> FloatArray:
    """Second derivatives of the same cubic B-splines at both ends of the range of x, (2, columns)."""
    from scipy.interpolate import BSpline

    ends = np.array([x.min(), x.max()])
    sequence = np.concatenate([np.repeat(ends[0], 4), knots, np.repeat(ends[1], 4)])
    splines = BSpline(sequence, np.eye(len(knots) + 4), 3)
    return np.asarray(splines.derivative(2)(ends))[:, 1:]


def polynomial_contrasts(levels: int) -> tuple[FloatArray, tuple[str, ...]]:
    """Contrasts of an ordered factor, as R's `contr.poly`.

    Parameters
    ----------
    levels : int
        Number of levels, at least 2.

    Returns
    -------
    contrasts : ndarray (levels, levels - 1)
        One row a level.
    suffixes : tuple of str
        ``.L``, ``.Q``, ``.C``, ``^4``, ...
    """
    values = polynomial(np.arange(1.0, levels + 1), levels - 1, raw=False, label="an ordinal variable")
    suffixes = (".L", ".Q", ".C", *(f"^{power}" for power in range(4, levels)))
    return values, suffixes[: levels - 1]
