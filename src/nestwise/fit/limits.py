"""Limits of a profile interval: root finding along one quantity, the others at their best for each value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nestwise.design.record import FloatArray

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
    search = _Search(quantity, optimum)
    try:
        lower = search.limit(-1, rise)
        upper = search.limit(+1, rise)
    except (np.linalg.LinAlgError, _ProfileError) as error:
        return Interval(None, None, str(error))
    return Interval(float(lower), float(upper))


class _ProfileError(Exception):
    pass


class _Search:
    """Root finding along one quantity, each minimisation started from the last."""

    def __init__(self, quantity: Quantity, optimum: float) -> None:
        self.quantity, self.optimum = quantity, optimum
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
        nearest, phi = min(self.known, key=lambda known: abs(known[0] - psi))
        start = phi + self.tangent * (psi - nearest)
        value = self.quantity.value(psi)

        def whitened(u: FloatArray) -> tuple[float, FloatArray]:
            try:
                deviance, gradient = value(start + self.whiten @ u)
            except np.linalg.LinAlgError:  # a step too far: let the line search turn back
                return TOO_FAR, np.zeros(u.size)
            return deviance - self.optimum, self.whiten.T @ gradient

        options = {"ftol": 1e-13, "gtol": 1e-5, "maxiter": 200}
        result = minimize(whitened, np.zeros(start.size), jac=True, method="L-BFGS-B", options=options)
        if not result.fun < TOO_FAR:
            raise _ProfileError("the deviance could not be evaluated")
        if result.fun < -1e-3:
            raise _ProfileError("a better optimum lies elsewhere")
        self.known.append((psi, start + self.whiten @ result.x))
        return max(float(result.fun), 0.0)

    def limit(self, side: int, rise: float) -> float:
        """Where the deviance has risen by `rise`, or where the quantity ends."""
        quantity, target = self.quantity, float(np.sqrt(rise))
        end = quantity.low if side < 0 else quantity.high
        if quantity.at == end:
            return end
        inner, at_inner = quantity.at, 0.0
        outer = quantity.at + side * self.width * target
        at_outer: float | None = None
        for _ in range(40):
            psi = outer if side * outer < side * end else end
            height = float(np.sqrt(self.rise(psi)))
            if abs(height - target) < ROOT_TOLERANCE * target:
                return psi
            if height < target:
                if psi == end:
                    return end
                slope = (height - at_inner) / (psi - inner) if height > at_inner else 0.0
                inner, at_inner = psi, height
            else:
                slope = (height - at_inner) / (psi - inner)
                outer_bound, at_outer = psi, height
            if at_outer is None:
                reach = abs(inner - quantity.at) * 3 + self.width * target
                step = (target - at_inner) / abs(slope) if slope else reach
                outer = inner + side * min(step * 1.02, reach)
            else:
                share = (target - at_inner) / (at_outer - at_inner)
                outer = inner + (outer_bound - inner) * float(np.clip(share, 0.02, 0.98))
        raise _ProfileError("the limit was not found in 40 steps")
