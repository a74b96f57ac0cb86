"""Separation: predictors that tell the outcome apart so well that no finite estimate is best.

If some combination d of the coefficients makes every row at least as likely the further one goes along it,
the likelihood has no maximum, whatever the random effects are: complete separation if it does so for every
row, quasi-complete if only for some. Whether there is such a d is a linear program (Konis 2007, Albert &
Anderson 1984).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.design.record import Design
from nestwise.errors import Problem
from nestwise.fit.glm import PooledGlm
from nestwise.names import several
from nestwise.vocabulary import INTERCEPT

FAR = 8.0
"""A linear predictor beyond this makes one look for separation: probabilities are hardly so small without."""
TOLERANCE = 1e-7
MOST_NUMBERS = 1_000_000
"""With larger tables it is not asked which predictors are responsible: that takes a linear program each."""


def separation_problems(design: Design, glm: PooledGlm) -> list[Problem]:
    """Say which fixed effects have no finite estimate; empty if all have.

    Parameters
    ----------
    design : Design
        Binomial, ordinal or counts.
    glm : PooledGlm
        Its fit without groups: separation shows as predictors that run away.
    """
    if design.family == "gamma":
        return []
    # counts are separated where they are zero: only predictors that run to minus infinity tell of it
    far = -glm.eta if design.family in ("poisson", "negative_binomial") else np.abs(glm.eta)
    if glm.converged and float(far.max(initial=0)) < FAR:
        return []
    found = separated(design)
    if found is None:
        return []
    names, complete = found
    listed = several(names)
    how = "completely separates" if complete else "separates in part of the rows"
    what = f"{listed} {how} the values of {design.outcome}, so the likelihood has no maximum"
    way_out = (
        f"leave {listed} out, merge levels with few rows, or use the engine pymc, whose priors keep "
        "estimates finite"
    )
    return [Problem(what, design.formula, way_out)]


def separated(design: Design) -> tuple[tuple[str, ...], bool] | None:
    """Names of the fixed effects that run to infinity, and whether every row follows.

    Returns
    -------
    tuple or None
        `None` without separation.
    """
    gains, fixed, size, names = _conditions(design)
    gains = np.unique(np.round(gains / size, 12), axis=0)
    fixed = np.unique(np.round(fixed / size, 12), axis=0)
    along = _highest(gains.sum(axis=0), gains, fixed)
    if float((gains @ along).max(initial=0)) <= TOLERANCE:
        return None
    moved = _responsible(gains, fixed, along, names)
    if fixed.size:
        return moved, False
    # complete: every row gains; the least gain, one more unknown, can be made positive
    with_least = np.column_stack([gains, -np.ones(gains.shape[0])])
    least = _highest(np.eye(with_least.shape[1])[-1], with_least, np.empty((0, with_least.shape[1])))[-1]
    return moved, bool(least > TOLERANCE)


def _responsible(
    gains: FloatArray, fixed: FloatArray, along: FloatArray, names: tuple[str, ...]
) -> tuple[str, ...]:
    """Names without which nothing is separated; all that move, where each of several would do alone."""
    moved = [k for k, step in enumerate(along) if abs(step) > TOLERANCE and names[k] != INTERCEPT]
    alone = []
    for k in moved if gains.size <= MOST_NUMBERS else ():
        rest = np.delete(gains, k, axis=1), np.delete(fixed, k, axis=1)
        if (
            not rest[0].shape[1]
            or float((rest[0] @ _highest(rest[0].sum(axis=0), *rest)).max(initial=0)) <= TOLERANCE
        ):
            alone.append(names[k])
    return tuple(alone or (names[k] for k in moved)) or (INTERCEPT,)


def _highest(objective: FloatArray, gains: FloatArray, fixed: FloatArray) -> FloatArray:
    """The d within -1 .. 1 of the highest objective with ``gains d >= 0`` and ``fixed d = 0``."""
    from scipy.optimize import linprog
    from scipy.sparse import csr_matrix

    solve: Any = linprog  # its stubs know no sparse matrices
    found = solve(
        -objective,
        A_ub=-csr_matrix(gains),
        b_ub=np.zeros(gains.shape[0]),
        A_eq=csr_matrix(fixed) if fixed.size else None,
        b_eq=np.zeros(fixed.shape[0]) if fixed.size else None,
        bounds=(-1, 1),
        method="highs",
    )
    return np.zeros(objective.size) if found.x is None else np.asarray(found.x)


def _conditions(design: Design) -> tuple[FloatArray, FloatArray, FloatArray, tuple[str, ...]]:
    """Rows whose product with d must not be negative, those where it must be 0; size and names of columns."""
    X, y = design.X, design.y
    size = np.maximum(np.abs(X).max(axis=0), 1e-300)
    if design.family == "ordinal":
        kept = [i for i, name in enumerate(design.names) if name != INTERCEPT]
        X, C = X[:, kept], int(y.max()) + 1
        edges = np.eye(C - 1)
        below, above = y < C - 1, y > 0
        upper = np.hstack([-X[below], edges[y[below].astype(int)]])
        lower = np.hstack([X[above], -edges[y[above].astype(int) - 1]])
        size = np.concatenate([size[kept], np.ones(C - 1)])
        names = (*(design.names[i] for i in kept), *(f"threshold {c + 1}" for c in range(C - 1)))
        return np.vstack([upper, lower]), np.empty((0, size.size)), size, names
    if design.family == "binomial":
        m = np.ones_like(y) if design.trials is None else design.trials
        sign = np.where(y == m, 1.0, -1.0)
        mixed = (y > 0) & (y < m)
        return sign[~mixed, None] * X[~mixed], X[mixed], size, design.names
    return -X[y == 0], X[y > 0], size, design.names
