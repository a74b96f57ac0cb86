"""Fisher's scoring of estimating equations, whatever the outcome.

A step is ordinary least squares of whitened residuals on whitened columns; dispersion and working correlation
follow from the new coefficients. Steps that swing are shortened, steps out of the range of the means halved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.errors import Problem, Refusal

MOST_STEPS = 200
TOLERANCE = 1e-9
"""Largest step, in model-based standard errors, and change of alpha at which the search stops."""
ROUGHLY = 1e-3
"""The same of a search that gives another its start."""
HALVINGS = 40
RUNAWAY = 1e6
"""A step of so many standard errors leads nowhere."""
SHORT = 0.25
"""Largest share of a step in a second attempt."""
LEAST_SHARE, SWINGS = 0.05, 0.3
"""Smallest share of a step that is taken; part of the last step, taken back, at which the share is halved."""


@dataclass(frozen=True)
class GeeState:
    """Where the search stands; arrays of rows in the order of the clusters.

    Attributes
    ----------
    gamma : ndarray (p,)
        Coefficients of working columns.
    eta, mu : ndarray (n,)
        Linear predictor and mean (of one trial).
    r : ndarray (n,)
        Pearson residuals ``sqrt(w / v(mu)) (y - mu)``.
    D : ndarray (p, n)
        ``sqrt(w / v(mu)) d mu / d gamma``.
    phi : float
        Dispersion.
    alpha : ndarray (k,)
        Working correlation, pulled in where it would not be positive definite.
    pulled : bool
        Whether it was.
    raw_alpha : ndarray (k,)
        Its moments.
    size : float
        Of a negative binomial, infinite for Poisson's variance and every other family.
    margin : float
        Of an ordinal outcome: least share of the variance that its association, as estimated, leaves.
    steps : int
    converged : bool
    """

    gamma: FloatArray
    eta: FloatArray
    mu: FloatArray
    r: FloatArray
    D: FloatArray
    phi: float
    alpha: FloatArray
    pulled: bool
    raw_alpha: FloatArray
    size: float = np.inf
    margin: float = 1.0
    steps: int = 0
    converged: bool = False


@dataclass(frozen=True)
class Equations:
    """What the search asks of a model.

    Attributes
    ----------
    moved : callable
        State that follows from coefficients (p,); `None` where a mean leaves the range of the family.
    whitened : callable
        Of a state, columns (p, n) and residuals (n,), independent if the working correlation is right.
    formula : str
        The place a refusal names.
    """

    moved: Callable[[FloatArray], GeeState | None]
    whitened: Callable[[GeeState], tuple[FloatArray, FloatArray]]
    formula: str


def solve(equations: Equations, start: FloatArray, tolerance: float = TOLERANCE) -> GeeState:
    """Solve estimating equations, with shorter steps where the first attempt fails.

    Parameters
    ----------
    equations : Equations
        The model.
    start : ndarray (p,)
        Coefficients whose means the family can have.
    tolerance : float
        Where to stop.

    Returns
    -------
    GeeState
        With `converged` false, what came nearest.

    Raises
    ------
    Refusal
        If the columns lose their rank under the working weights.
    """
    found = search(equations, start, tolerance)
    return found if found.converged else search(equations, start, tolerance, SHORT)


def search(
    equations: Equations, start: FloatArray, tolerance: float = TOLERANCE, longest: float = 1.0
) -> GeeState:
    """Scoring with steps of at most a share `longest` of their length; see `solve`."""
    first = equations.moved(start)
    assert first is not None
    state = nearest = first
    before, share, least = np.zeros_like(start), longest, np.inf
    for step in range(1, MOST_STEPS + 1):
        direction, size = _direction(equations, state)
        if size < least:
            least, nearest = size, state
        # coefficients and correlations that answer one another may swing: shorter steps come to rest
        back = float(direction @ before) < -SWINGS * float(before @ before)
        share, before = (max(share / 2, LEAST_SHARE) if back else min(1.2 * share, longest)), direction
        found = _possible_step(equations, state.gamma, share * direction)
        if found is None:
            return replace(nearest, steps=step)
        change = float(np.abs(found.alpha - state.alpha).max(initial=0.0))
        state = found
        if size < tolerance and change < tolerance:
            return replace(state, steps=step, converged=True)
        if size > RUNAWAY:
            break
    return replace(nearest, steps=step)


def _direction(equations: Equations, state: GeeState) -> tuple[FloatArray, float]:
    """The step, and its largest size in model-based standard errors."""
    D, r = equations.whitened(state)
    S = D @ D.T
    try:
        L = np.linalg.cholesky(S)
    except np.linalg.LinAlgError:
        raise indistinct(equations.formula) from None
    white = np.linalg.solve(L, D @ r)
    size = float(np.linalg.norm(white)) / np.sqrt(state.phi) if state.phi > 0 else 0.0
    return np.linalg.solve(L.T, white), size


def indistinct(formula: str) -> Refusal:
    """What to raise where the columns lose their rank under the working weights."""
    what = "the fixed effects cannot be told apart where the outcome varies"
    return Refusal(Problem(what, formula, "leave predictors out, or merge rare levels"))


def _possible_step(equations: Equations, gamma: FloatArray, direction: FloatArray) -> GeeState | None:
    """The step, halved until every mean is one the family can have; `None` if none is."""
    step = direction
    for _ in range(HALVINGS):
        found = equations.moved(gamma + step)
        if found is not None:
            return found
        step = step / 2
    return None
