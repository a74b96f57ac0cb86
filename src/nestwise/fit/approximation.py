"""The deviance of a generalised linear mixed model as its search sees it, and steps towards its minimum.

All parameters are one vector: working fixed effects, the free elements of the Cholesky factor L, and the
auxiliary parameters of the family as `glm.aux_of` reads them. The deviance is even in each column of L, so
that a variance of zero is an interior point and no bounds are needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.fit.glm import Rows, aux_of
from nestwise.likelihood.crossed_rows import CrossedRows
from nestwise.likelihood.laplace import CrossedApproximation, laplace
from nestwise.likelihood.quadrature import Approximation, approximate

Found = Approximation | CrossedApproximation
"""What an evaluation gives: the value, its gradient and the modes."""

MOST_STEPS = 200
LONGEST_STEP = 1.5
"""Most a parameter moves at once: standardised columns make 1.5 far on the scale of a link."""
STEEP = 1e-4
"""Share of the decrease a step promises that it must keep (Armijo)."""


@dataclass
class Deviance:
    """Minus twice the log-likelihood at a number of points, started each time from the last modes.

    Attributes
    ----------
    rows : GroupedRows or CrossedRows
        The data.
    points : int
        Nodes in each dimension; 1 with several factors.
    evaluations : int
        How often it was evaluated.
    last_modes : ndarray (q, J) or None
        Modes where it was evaluated last.
    highest : tuple or None
        Where the likelihood was highest so far, and what it gave there.
    """

    rows: Rows
    points: int
    evaluations: int = 0
    last_modes: FloatArray | None = field(default=None, repr=False)
    highest: tuple[bytes, Found] | None = field(default=None, repr=False)

    def parts(self, x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Fixed effects (p,), L (q, q) and raw auxiliary parameters (a,) of x."""
        p, pattern = self.rows.X.shape[0], self.rows.pattern
        return x[:p], pattern.matrix(x[p : p + pattern.k]), x[p + pattern.k :]

    def evaluate(self, beta: FloatArray, L: FloatArray, raw: FloatArray, *, scores: bool = False) -> Found:
        """The approximation at any square L (q, q); `scores` are of one factor only."""
        aux = aux_of(self.rows.given, raw)[0]
        self.evaluations += 1
        found: Found
        with np.errstate(over="ignore", invalid="ignore"):
            if isinstance(self.rows, CrossedRows):
                found = laplace(self.rows, beta, L, aux, self.last_modes)
            else:
                found = approximate(self.rows, beta, L, aux, self.points, self.last_modes, scores=scores)
        self.last_modes = found.modes.u
        return found

    def at(self, x: FloatArray, *, scores: bool = False) -> Found:
        """The approximation at x (k,); the highest so far is kept, to which the proof of a search returns."""
        key = x.tobytes()
        if self.highest is not None and self.highest[0] == key and not scores:
            return self.highest[1]
        found = self.evaluate(*self.parts(x), scores=scores)
        if self.highest is None or found.value > self.highest[1].value:
            self.highest = key, found
        return found

    def gradient(self, x: FloatArray, found: Found) -> FloatArray:
        """Derivatives of the log-likelihood by x."""
        jacobian = aux_of(self.rows.given, self.parts(x)[2])[1]
        of_L = self.rows.pattern.elements(found.L)
        return np.concatenate([found.beta, of_L, jacobian.T @ found.aux])

    def __call__(self, x: FloatArray) -> tuple[float, FloatArray]:
        """Value and gradient."""
        found = self.at(x)
        return -2 * found.value, -2 * self.gradient(x, found)

    def information(self, x: FloatArray) -> FloatArray:
        """Outer products of the groups' gradients, about half the Hessian; 0 with several factors."""
        if isinstance(self.rows, CrossedRows):
            return np.zeros((x.size, x.size))
        raw = self.parts(x)[2]
        found = self.at(x, scores=True)
        assert isinstance(found, Approximation)
        p, pattern = self.rows.X.shape[0], self.rows.pattern
        q2 = pattern.q**2
        of_L = found.scores[p : p + q2].reshape(pattern.q, pattern.q, -1)[pattern.rows, pattern.cols]
        jacobian = aux_of(self.rows.given, raw)[1]
        scores = np.concatenate([found.scores[:p], of_L, jacobian.T @ found.scores[p + q2 :]])
        return np.asarray((scores * self.rows.repeats) @ scores.T)


@dataclass(frozen=True)
class Descended:
    """Where a quasi-Newton search ended.

    Attributes
    ----------
    at : ndarray (k,)
        Parameters.
    value : float
        Deviance.
    gradient : ndarray (k,)
        Its gradient.
    inverse : ndarray (k, k)
        Approximate inverse Hessian.
    """

    at: FloatArray
    value: float
    gradient: FloatArray
    inverse: FloatArray

    @property
    def decrement(self) -> float:
        """What a Newton step promises, about."""
        return float(self.gradient @ self.inverse @ self.gradient)


def descend(objective: Deviance, here: Descended, tolerance: float) -> Descended:
    """BFGS steps until they promise less than `tolerance`.

    Parameters
    ----------
    objective : Deviance
        What is minimised.
    here : Descended
        Start, with its value and gradient and a first approximation of the inverse Hessian, positive
        definite.
    tolerance : float
        Decrement at which to stop.
    """
    for _ in range(MOST_STEPS):
        promised = here.decrement
        if promised < tolerance:
            break
        step = -here.inverse @ here.gradient
        far = float(np.abs(step).max())
        if far > LONGEST_STEP:
            step, promised = step * (LONGEST_STEP / far), promised * (LONGEST_STEP / far)
        ahead = _shortened(objective, here, step, promised)
        if ahead is None:
            break
        here = ahead
    return here


def _shortened(objective: Deviance, here: Descended, step: FloatArray, promised: float) -> Descended | None:
    """A step, shortened until the deviance falls, with the inverse Hessian brought up to date."""
    for _ in range(30):
        try:
            value, gradient = objective(here.at + step)
        except np.linalg.LinAlgError:
            value, gradient = np.inf, here.gradient
        if np.isfinite(value) and value <= here.value - STEEP * promised + 1e-12 * abs(here.value):
            change = gradient - here.gradient
            return Descended(here.at + step, value, gradient, updated(here.inverse, step, change))
        step, promised = step / 3, promised / 3
    return None


def updated(inverse: FloatArray, step: FloatArray, change: FloatArray) -> FloatArray:
    """The BFGS update of an inverse Hessian; unchanged where the curvature along the step is not positive."""
    along = float(step @ change)
    if along <= 1e-10 * float(np.linalg.norm(step) * np.linalg.norm(change)):
        return inverse
    left = np.eye(step.size) - np.outer(step, change) / along
    return np.asarray(left @ inverse @ left.T + np.outer(step, step) / along)
