"""Limits of a profile interval: root finding along one quantity, the others at their best for each value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nestwise.arrays import FloatArray

Value = Callable[[FloatArray], tuple[float, FloatArray]]
TOO_FAR = 1e30
ROOT_TOLERANCE = 1e-5
"""Relative error of the square root of the deviance's rise at a limit."""


@dataclass(frozen=True)
class Interval:
    """Limits of a quantity, `None` where a limit was not found, and why.

    Attributes
    ----------
    lower, upper : float or None
        Limits.
    failure : str or None
        What went wrong, in a few words.
    """

    lower: float | None
    upper: float | None
    failure: str | None = None


@dataclass(frozen=True)
class Quantity:
    """A quantity psi, to be held fixed, and the nuisance parameters phi (f,) beside it.

    Attributes
    ----------
    at : float
        psi at the optimum.
    start : ndarray (f,)
        phi at the optimum.
    value : callable
        ``value(psi)(phi)`` is the deviance and its gradient by phi.
    low, high : float
        Where psi ends.
    """

    at: float
    start: FloatArray
    value: Callable[[float], Value]
    low: float
    high: float


def limits(quantity: Quantity, optimum: float, rise: float) -> Interval:
    """Where the profiled deviance has risen by `rise` on either side.

    Parameters
    ----------
    quantity : Quantity
        What is held fixed.
    optimum : float
        Deviance at the optimum.
    rise : float
        Quantile of chi-squared with one degree of freedom.

    Returns
    -------
    Interval
        A limit may be the end of the quantity's range.
    """
    try:
        search = Search(quantity, optimum)
        lower = search.limit(-1, rise)
        upper = search.limit(+1, rise)
    except (np.linalg.LinAlgError, ProfileError) as error:
        return Interval(None, None, str(error))
    return Interval(float(lower), float(upper))


class ProfileError(Exception):
    """A point or limit of a profile that was not found, in a few words."""


class Search:
    """Root finding along one quantity, each minimisation started from the last."""

    def __init__(self, quantity: Quantity, optimum: float, slope: float = 1e-5) -> None:
        self.quantity, self.optimum, self.slope = quantity, optimum, slope
        self._curvature()

    def _curvature(self) -> None:
        """Nuisance Hessian's inverse root, how phi follows psi, and where the deviance rises by 1."""
        quantity, f = self.quantity, self.quantity.start.size
        step = 1e-4 * max(abs(quantity.at), 0.1)
        inside = quantity.at - step > quantity.low
        ahead = quantity.value(quantity.at + step)(quantity.start)[1]
        behind = quantity.value(quantity.at - step if inside else quantity.at)(quantity.start)[1]
        cross = (ahead - behind) / (2 * step if inside else step)
        hessian = np.empty((f, f))
        value = quantity.value(quantity.at)
        for i in range(f):
            nudge = np.zeros(f)
            nudge[i] = 1e-5 * max(abs(quantity.start[i]), 0.1)
            hessian[i] = (value(quantity.start + nudge)[1] - value(quantity.start - nudge)[1]) / (
                2 * nudge[i]
            )
        values, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
        kept = np.maximum(np.abs(values), 1e-8 * max(1.0, float(np.abs(values).max())))
        self.tangent = -(vectors / kept) @ (vectors.T @ cross)
        self.known = [(quantity.at, quantity.start)]
        self.whiten = vectors / np.sqrt(kept)
        trial = max(abs(quantity.at), 0.1) * 0.1
        trial = -trial if quantity.at + trial >= quantity.high else trial
        self.width = abs(trial) / np.sqrt(max(self.rise(quantity.at + trial), 1e-6))

    def rise(self, psi: float) -> float:
        """How far the deviance lies above the optimum with the quantity held at psi."""
        from scipy import optimize

        minimize: Any = optimize.minimize
        above = self._guarded(psi)
        start = min(self._starts(psi), key=lambda phi: above(phi)[0])

        def whitened(u: FloatArray) -> tuple[float, FloatArray]:
            height, gradient = above(start + self.whiten @ u)
            return height, self.whiten.T @ gradient

        options = {"ftol": 1e-13, "gtol": self.slope, "maxiter": 200}
        result = minimize(whitened, np.zeros(start.size), jac=True, method="L-BFGS-B", options=options)
        if not result.fun < TOO_FAR:
            raise ProfileError("the deviance could not be evaluated")
        if result.fun < -1e-3:
            raise ProfileError("a better optimum lies elsewhere")
        self.known.append((psi, start + self.whiten @ result.x))
        return max(float(result.fun), 0.0)

    def _guarded(self, psi: float) -> Value:
        """Rise of the deviance and its gradient by phi; a huge rise where it cannot be evaluated."""
        value = self.quantity.value(psi)

        def above(phi: FloatArray) -> tuple[float, FloatArray]:
            try:
                with np.errstate(all="ignore"):
                    deviance, gradient = value(phi)
            except (np.linalg.LinAlgError, ZeroDivisionError):
                deviance = np.inf
            if not np.isfinite(deviance):  # a step too far: let the line search turn back
                return TOO_FAR, np.zeros(phi.size)
            return deviance - self.optimum, gradient

        return above

    def _starts(self, psi: float) -> list[FloatArray]:
        """From the optimum and the nearest point on the way: points beyond may lie in another valley."""
        at = self.quantity.at
        passed = [known for known in self.known if 0 <= (known[0] - at) * np.sign(psi - at) <= abs(psi - at)]
        nearest = min(passed or self.known[:1], key=lambda known: abs(known[0] - psi))
        return [phi + self.tangent * (psi - there) for there, phi in (self.known[0], nearest)]

    def limit(self, side: int, rise: float) -> float:
        """Where the deviance has risen by `rise`, or where the quantity ends."""
        from scipy import optimize

        quantity, target = self.quantity, float(np.sqrt(rise))
        end = quantity.low if side < 0 else quantity.high

        def above(psi: float) -> float:
            gap = float(np.sqrt(self.rise(psi))) - target
            return 0.0 if abs(gap) < ROOT_TOLERANCE * target else gap

        inner, step = quantity.at, self.width * target
        for _ in range(40):
            if inner == end:
                return end
            outer = inner + side * step
            outer = end if side * outer >= side * end else outer
            gap = above(outer)
            if gap == 0:
                return outer
            if gap > 0:
                brentq: Any = optimize.brentq
                return float(brentq(above, inner, outer, xtol=1e-7 * step, rtol=1e-10))
            # on to where the square root would reach the target along a line, at most three times as far
            far = abs(outer - quantity.at)
            step = min(3 * far, 1.05 * far * (target / max(gap + target, 1e-6) - 1) + 1e-3 * far)
            inner = outer
        raise ProfileError("the limit was not found")
