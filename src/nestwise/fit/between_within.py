"""Between-within degrees of freedom: counted from the levels at which groups and columns differ.

The levels are nested: the outermost groups, ..., the innermost, the rows. A column belongs to the outermost
level whose groups leave nothing of it to vary inside them. With m_i groups at level i (m_0 = 1 with an
intercept, else 0; the last m the number of rows) and p_i columns that belong to it (the intercept to none),
level i has ``m_i - m_(i-1) - p_i`` degrees of freedom. Columns have those of their level, the intercept those
of the outermost one, and a contrast the fewest of the columns it uses.

With one factor this is DDFM=BETWITHIN of SAS: between and within subjects. With several it is the rule of
Pinheiro & Bates (2000), section 2.4.2, except for the intercept, which `nlme` tests on the innermost level.
It knows nothing of varying slopes: a slope that varies between subjects is tested within them, with too many
degrees of freedom.
"""

from __future__ import annotations

import numpy as np

from nestwise.arrays import BoolArray, FloatArray, IntArray
from nestwise.design.record import Design
from nestwise.errors import Problem, Refusal


def between_within(design: Design) -> FloatArray:
    """Between-within degrees of freedom (p,) of the fixed effects.

    Levels are the grouping factors of the random terms and the subject of the residual covariance.

    Parameters
    ----------
    design : Design
        Its factors must be nested in one another.

    Raises
    ------
    Refusal
        For crossed factors and several memberships; where a level has no degree of freedom left.
    """
    if any(term.membership is not None for term in design.random):
        raise Refusal(_not_nested(design, "groups of several memberships hold no separate rows"))
    levels = _levels(design)
    level = np.full(design.X.shape[1], len(levels))
    for place in reversed(range(len(levels))):
        level[_constant_within(design.X, levels[place])] = place
    intercept = _intercept(design.X)
    sizes = [int(codes.max()) + 1 for codes in levels] + [design.n]
    taken = np.bincount(level[~intercept], minlength=len(sizes))
    df = np.diff([int(intercept.any()), *sizes]) - taken
    level[intercept] = 0
    if (df[np.unique(level)] < 1).any():
        problem = Problem(
            "between-within degrees of freedom run out: there are as many columns that differ between groups "
            "as there are groups",
            design.formula,
            "use `df: satterthwaite`, or fewer predictors of the groups",
        )
        raise Refusal(problem)
    of_columns: FloatArray = df[level].astype(float)
    return of_columns


def _levels(design: Design) -> list[IntArray]:
    """Codes (n,) of each level, outermost first."""
    found = [factor.codes for factor in design.factors]
    if design.residual is not None:
        found.append(design.residual.subjects)
    found = [np.unique(codes, return_inverse=True)[1] for codes in found]
    found.sort(key=lambda codes: int(codes.max()))
    levels: list[IntArray] = []
    for codes in found:
        if levels and not _nested(codes, levels[-1]):
            raise Refusal(_not_nested(design, "its grouping factors are crossed"))
        if codes.max() + 1 < design.n and not (levels and codes.max() == levels[-1].max()):
            levels.append(codes)
    return levels


def _not_nested(design: Design, why: str) -> Problem:
    what = f"between-within degrees of freedom are counted for nested groups, and {why}"
    return Problem(what, design.formula, "use `df: satterthwaite` or `df: kenward_roger`")


def _nested(inner: IntArray, outer: IntArray) -> bool:
    """Whether each inner group lies in one outer group."""
    return bool(np.unique(np.column_stack([inner, outer]), axis=0).shape[0] == int(inner.max()) + 1)


def _constant_within(X: FloatArray, codes: IntArray) -> BoolArray:
    """Which columns (p,) have one value in each group."""
    first = np.unique(codes, return_index=True)[1]
    apart: FloatArray = np.abs(X - X[first][codes]).max(axis=0)
    return apart <= 1e-10 * np.abs(X).max(axis=0)


def _intercept(X: FloatArray) -> BoolArray:
    """Which columns (p,) have one value only."""
    return np.ptp(X, axis=0) <= 1e-12 * np.abs(X).max(axis=0)
