"""Little's test that values are missing completely at random.

The rows fall into patterns j of observed variables. If nothing about the values says which are missing, the
mean of each pattern estimates the same normal mean, so that

    d2 = sum_j n_j (ybar_j - mu_j)' Sigma_jj^-1 (ybar_j - mu_j)

is chi-square with sum_j p_j - p degrees of freedom, where mu and Sigma maximise the likelihood of all
observed values (by EM), and mu_j, Sigma_jj are their parts for the variables of the pattern. Source: Little
(1988), JASA 83, equation 5. As in the packages that offer the test, Sigma is the maximum likelihood estimate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nestwise.arrays import BoolArray, FloatArray
from nestwise.errors import Problem, Refusal
from nestwise.names import counted, several

MOST_STEPS = 10_000
TOLERANCE = 1e-10
"""Change of means and covariances, in standard deviations, at which EM stops."""
MOST_VARIABLES = 60
SINGULAR = 1e-10
WHERE = "Little's test"


@dataclass(frozen=True)
class LittleTest:
    """The test.

    Attributes
    ----------
    statistic : float
        d2.
    df : int
    p_value : float
    patterns, n : int
        Patterns with some value, and rows in them.
    variables : tuple of str
    mean : ndarray (p,)
    covariance : ndarray (p, p)
        Maximum likelihood estimates.
    steps : int
        Of the EM algorithm.
    """

    statistic: float
    df: int
    p_value: float
    patterns: int
    n: int
    variables: tuple[str, ...]
    mean: FloatArray
    covariance: FloatArray
    steps: int


def little_test(values: FloatArray, names: Sequence[str]) -> LittleTest:
    """Test whether values are missing completely at random.

    Parameters
    ----------
    values : ndarray (n, p)
        A row a subject; NaN where missing. The outcome has a column for each visit.
    names : sequence of str, length p

    Returns
    -------
    LittleTest

    Raises
    ------
    Refusal
        If nothing is missing, all rows miss the same variables, a variable has no value or does not vary, a
        variable follows from others, or there are fewer rows than the covariance needs.
    """
    _refuse_undefined(values, names)
    values = values[np.isfinite(values).any(axis=1)]
    centre, size = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    Y = (values - centre) / size
    patterns = _patterns(Y)
    mean, covariance, steps = _em(Y, patterns, names)
    d2 = 0.0
    for seen, rows in patterns:
        gap = Y[np.ix_(rows, seen)].mean(axis=0) - mean[seen]
        d2 += rows.size * float(gap @ np.linalg.solve(covariance[np.ix_(seen, seen)], gap))
    from scipy.special import chdtrc

    df = sum(int(seen.sum()) for seen, _ in patterns) - len(names)
    return LittleTest(
        d2, df, float(chdtrc(df, d2)), len(patterns), values.shape[0], tuple(names), centre + size * mean,
        covariance * np.outer(size, size), steps,
    )  # fmt: skip


def _refuse_undefined(values: FloatArray, names: Sequence[str]) -> None:
    p = values.shape[1]
    known = np.isfinite(values)
    problems = []
    if p < 2 or p > MOST_VARIABLES:
        what = f"the test takes 2 to {MOST_VARIABLES} variables or visits, and there are {p}"
        raise Refusal(Problem(what, WHERE, "name the columns that matter"))
    if np.isinf(values).any():
        raise Refusal(Problem("some value is infinite", WHERE, "correct it, or declare it missing"))
    if known.all():
        raise Refusal(Problem("no value is missing", WHERE, "nothing is to be done"))
    empty = [name for name, any_known in zip(names, known.any(axis=0), strict=True) if not any_known]
    if empty:
        problems.append(Problem(f"{several(empty)} has no value at all", WHERE, "leave it out"))
    else:
        constant = [name for name, column in zip(names, values.T, strict=True) if np.nanstd(column) == 0]
        if constant:
            problems.append(Problem(f"{several(constant)} does not vary", WHERE, "leave it out"))
    rows = int(known.any(axis=1).sum())
    if np.unique(known[known.any(axis=1)], axis=0).shape[0] < 2:
        what = "all rows miss the same variables, so that there are no patterns to compare"
        problems.append(Problem(what, WHERE, "nothing can be tested"))
    if rows <= p + 1:
        what = f"{counted(rows, 'row')} cannot determine a covariance of {p} variables"
        problems.append(Problem(what, WHERE, "test fewer variables or visits"))
    together = known.astype(float).T @ known.astype(float)
    apart = [(names[i], names[j]) for i, j in zip(*np.nonzero(np.triu(together < 2, 1)), strict=True)]
    if apart and not empty:
        what = f"{several(list(apart[0]))} are hardly ever observed together"
        problems.append(Problem(what, WHERE, "leave one of them out"))
    if problems:
        raise Refusal(problems)


def _patterns(Y: FloatArray) -> list[tuple[BoolArray, np.ndarray[tuple[int], np.dtype[np.int64]]]]:
    """Observed variables of each pattern, and its rows."""
    kinds, which = np.unique(np.isfinite(Y), axis=0, return_inverse=True)
    which = which.ravel()
    return [(seen, np.flatnonzero(which == j).astype(np.int64)) for j, seen in enumerate(kinds)]


def _em(
    Y: FloatArray,
    patterns: list[tuple[BoolArray, np.ndarray[tuple[int], np.dtype[np.int64]]]],
    names: Sequence[str],
) -> tuple[FloatArray, FloatArray, int]:
    """Mean and covariance of the normal distribution that maximise the likelihood of the observed values.

    Only the sums and cross-products of each pattern are needed. Source: Dempster, Laird & Rubin (1977).
    """
    n, p = Y.shape
    collapsed = []
    for seen, rows in patterns:
        own = Y[np.ix_(rows, seen)]
        collapsed.append((seen, rows.size, own.sum(axis=0), own.T @ own))
    mean, covariance = np.zeros(p), np.eye(p)
    for step in range(1, MOST_STEPS + 1):
        total, products = np.zeros(p), np.zeros((p, p))
        for seen, count, sums, squares in collapsed:
            inside = covariance[np.ix_(seen, seen)]
            B = np.linalg.solve(inside, covariance[seen]).T  # (p, k): regression on what is seen
            shift = mean - B @ mean[seen]
            linear = B @ sums
            total += count * shift + linear
            cross = np.outer(shift, linear)
            products += count * np.outer(shift, shift) + cross + cross.T + B @ squares @ B.T
            products += count * (covariance - B @ covariance[seen])
        new_mean = total / n
        new = products / n - np.outer(new_mean, new_mean)
        new = (new + new.T) / 2
        values = np.linalg.eigvalsh(new)
        if values[0] <= SINGULAR * values[-1]:
            what = f"some of {several(list(names))} follows from the others, so the covariance is singular"
            raise Refusal(Problem(what, WHERE, "leave one of them out"))
        change = max(float(np.abs(new_mean - mean).max()), float(np.abs(new - covariance).max()))
        mean, covariance = new_mean, new
        if change < TOLERANCE:
            return mean, covariance, step
    what = f"the EM algorithm did not come to rest in {MOST_STEPS:,} steps"
    raise Refusal(Problem(what, WHERE, "test fewer variables or visits"))
