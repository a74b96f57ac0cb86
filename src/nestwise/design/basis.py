"""Bases of several columns for one variable: polynomials, splines, contrasts, as R makes them."""

from __future__ import annotations

import numpy as np

from nestwise.design.record import FloatArray
from nestwise.errors import Problem, Refusal


def polynomial(x: FloatArray, degree: int, *, raw: bool, label: str) -> FloatArray:
    """Orthogonal polynomials of a variable, or its powers.

    Parameters
    ----------
    x : ndarray (n,)
        Values.
    degree : int
        Number of columns.
    raw : bool
        Powers instead of orthogonal polynomials.
    label : str
        The term, for messages.

    Returns
    -------
    ndarray (n, degree)
        Columns of length one, as R's `poly`.

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
    return np.asarray(poly(x, degree=degree, raw=raw, _state={}), dtype=np.float64)


def b_spline(x: FloatArray, df: int | None, degree: int, label: str) -> FloatArray:
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

    Returns
    -------
    ndarray (n, df)

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
    return _spline_columns(x, knots, degree)[:, 1:]


def natural_spline(x: FloatArray, df: int, label: str) -> FloatArray:
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

    Returns
    -------
    ndarray (n, df)

    Raises
    ------
    Refusal
        If the values are too few for the knots.
    """
    knots = _inner_knots(x, df - 1, label)
    ends = np.array([x.min(), x.max()])
    bends = _spline_columns(ends, knots, 3, ends=ends, derivative=2)[:, 1:]
    q, _ = np.linalg.qr(bends.T, mode="complete")
    return _spline_columns(x, knots, 3)[:, 1:] @ q[:, 2:]


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
    x: FloatArray,
    knots: FloatArray,
    degree: int,
    ends: FloatArray | None = None,
    derivative: int = 0,
) -> FloatArray:
    from scipy.interpolate import BSpline

    low, high = (x.min(), x.max()) if ends is None else ends
    sequence = np.concatenate([[low] * (degree + 1), knots, [high] * (degree + 1)])
    size = len(sequence) - degree - 1
    if derivative == 0:
        return np.asarray(BSpline.design_matrix(x, sequence, degree).toarray())
    return np.asarray(BSpline(sequence, np.eye(size), degree).derivative(derivative)(x))


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
