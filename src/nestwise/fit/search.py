"""The search for the minimum of any smooth deviance without bounds, and its proof.

The ladder: L-BFGS from each start, Newton steps on the best end, a push along negative curvature if that
end is a saddle, Nelder-Mead and L-BFGS again if it still does not satisfy the criteria. An end counts as
converged only with a vanishing gradient *and* no negative curvature.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nestwise.arrays import FloatArray

Objective = Callable[[FloatArray], tuple[float, FloatArray]]

DECREMENT_TOLERANCE = 1e-7
"""Converged: a Newton step promises to lower the deviance by less than this."""
CURVATURE_TOLERANCE = 1e-5
"""Converged: no eigenvalue of the Hessian below minus this share of the largest (at least of 1)."""
GRADIENT_TOLERANCE = 1e-8
"""L-BFGS stops at a gradient below this; Newton steps do the rest."""
TOO_FAR = 1e30
"""Stands for the deviance where it cannot be evaluated."""
FEW = 12
"""Nelder-Mead is tried with at most this many parameters."""


@dataclass(frozen=True)
class Minimum:
    """Where the search ended.

    Attributes
    ----------
    at : ndarray (k,)
        Parameters.
    value : float
        Deviance there.
    gradient, hessian : ndarray (k,) and (k, k)
        Its derivatives; the second by central differences of the exact first.
    converged : bool
        Both criteria hold.
    record : dict
        Every run: start, end, objective, evaluations, optimiser, gradient; and the verdict.
    """

    at: FloatArray
    value: float
    gradient: FloatArray
    hessian: FloatArray
    converged: bool
    record: dict[str, Any] = field(default_factory=dict)


class Evaluations:
    """The objective, evaluated once a point and counted, huge where it cannot be evaluated.

    Parameters
    ----------
    objective : callable
        Value and gradient at x (k,).
    metric : callable, optional
        Square roots (k,) of the curvature to expect along each parameter near x (k,): a search by L-BFGS that
        starts there goes in their units.
    """

    def __init__(
        self, objective: Objective, metric: Callable[[FloatArray], FloatArray] | None = None
    ) -> None:
        self.objective, self.metric = objective, metric
        self.seen: dict[bytes, tuple[float, FloatArray]] = {}

    @property
    def evaluations(self) -> int:
        """Points evaluated so far."""
        return len(self.seen)

    def __call__(self, x: FloatArray) -> tuple[float, FloatArray]:
        """Value and gradient (k,) at x (k,)."""
        key = x.tobytes()
        if key not in self.seen:
            self.seen[key] = self._evaluated(x)
        return self.seen[key]

    def _evaluated(self, x: FloatArray) -> tuple[float, FloatArray]:
        try:
            with np.errstate(all="ignore"):
                value, gradient = self.objective(x)
        except np.linalg.LinAlgError:
            return TOO_FAR, np.zeros_like(x)
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            return TOO_FAR, np.zeros_like(x)
        return value, gradient


def minimise(
    objective: Objective,
    starts: Sequence[tuple[str, FloatArray]],
    *,
    offset: float = 0.0,
) -> Minimum:
    """Minimise a smooth function with an exact gradient.

    Parameters
    ----------
    objective : callable or Evaluations
        Value and gradient at x (k,).
    starts : sequence of (str, ndarray)
        Named starts, all followed; the lowest end is judged.
    offset : float
        Added to the objective in the record.
    """
    counted = objective if isinstance(objective, Evaluations) else Evaluations(objective)
    runs: list[dict[str, Any]] = []
    ends = [_lbfgs(counted, start, name, offset, runs) for name, start in starts]
    best = _newton(counted, min(ends, key=lambda end: counted(end)[0]), offset, runs)
    if not best.converged:
        at = _lbfgs(counted, best.at, "best so far", offset, runs)
        if at.shape[0] <= FEW:
            at = _lbfgs(counted, _nelder_mead(counted, at, offset, runs), "Nelder-Mead", offset, runs)
        last = _newton(counted, at, offset, runs)
        best = min((best, last), key=lambda end: (not end.converged, end.value))
    record = {
        "runs": runs,
        "evaluations": counted.evaluations,
        "theta": best.at.tolist(),
        "objective": best.value + offset,
        "converged": best.converged,
        **best.record,
    }
    return Minimum(best.at, best.value, best.gradient, best.hessian, best.converged, record)


def prove(objective: Objective, start: FloatArray, *, offset: float = 0.0) -> Minimum:
    """Newton steps from a point next to the minimum, and the verdict on their end.

    Parameters
    ----------
    objective, offset
        As `minimise` takes them.
    start : ndarray (k,)
        Where another search ended.
    """
    counted = objective if isinstance(objective, Evaluations) else Evaluations(objective)
    runs: list[dict[str, Any]] = []
    end = _newton(counted, start, offset, runs)
    record = {"runs": runs, "evaluations": counted.evaluations, "objective": end.value + offset}
    record |= {"theta": end.at.tolist(), "converged": end.converged, **end.record}
    return Minimum(end.at, end.value, end.gradient, end.hessian, end.converged, record)


def difference_hessian(objective: Objective, at: FloatArray) -> FloatArray:
    """Hessian (k, k) by central differences of the gradient."""
    k = at.shape[0]
    hessian = np.empty((k, k))
    for i in range(k):
        nudge = np.zeros(k)
        nudge[i] = 1e-5 * max(abs(at[i]), 0.1)
        hessian[i] = (objective(at + nudge)[1] - objective(at - nudge)[1]) / (2 * nudge[i])
    return (hessian + hessian.T) / 2


def judged(objective: Evaluations, at: FloatArray) -> tuple[Minimum, FloatArray, FloatArray]:
    """The verdict on a point, with the eigenvalues (k,) and eigenvectors (k, k) of its Hessian."""
    value, gradient = objective(at)
    hessian = difference_hessian(objective, at)
    values, vectors = np.linalg.eigh(hessian)
    largest = max(1.0, float(values[-1]))
    decrement = float((vectors.T @ gradient) ** 2 @ (1 / np.maximum(values, 1e-6 * largest)))
    curved = bool(values[0] >= -CURVATURE_TOLERANCE * largest)
    record = {
        "gradient_norm": float(np.abs(gradient).max(initial=0)),
        "newton_decrement": decrement,
        "hessian_eigenvalues": values.tolist(),
    }
    converged = value < TOO_FAR and decrement < DECREMENT_TOLERANCE and curved
    return Minimum(at, value, gradient, hessian, converged, record), values, vectors


def _newton(objective: Evaluations, start: FloatArray, offset: float, runs: list[dict[str, Any]]) -> Minimum:
    """Newton steps until the decrement is negligible; at a saddle down along the most negative curvature."""
    at, before = start, objective.evaluations
    for _ in range(12):
        here, values, vectors = judged(objective, at)
        largest = max(1.0, float(values[-1]))
        if values[0] < -CURVATURE_TOLERANCE * largest:
            pushed = [at + size * vectors[:, 0] for size in (-0.3, -0.1, -0.03, 0.03, 0.1, 0.3)]
            lowest = min(pushed, key=lambda end: objective(end)[0])
            at = _lbfgs(objective, lowest, "negative curvature", offset, runs)
            continue
        if here.record["newton_decrement"] < DECREMENT_TOLERANCE * 1e-3:
            break
        step = -vectors @ ((vectors.T @ here.gradient) / np.maximum(values, 1e-8 * largest))
        ahead = _shortened(objective, at, step, here.value)
        if ahead is None:
            break
        at = ahead
    else:
        here = judged(objective, at)[0]
    _note(runs, "Newton", "best end", start, here.at, here.value + offset, here.gradient)
    runs[-1] |= {
        "evaluations": objective.evaluations - before,
        "return_code": 0,
        "message": "Hessian by differences of the exact gradient",
    }
    return here


def _shortened(objective: Evaluations, at: FloatArray, step: FloatArray, value: float) -> FloatArray | None:
    """Where a step or a part of it leads down; none if no part does."""
    size = float(np.abs(step).max())
    far = 2.0 * max(1.0, float(np.abs(at).max()))  # parameters are logarithms, ratios and the like
    step = step / max(size / far, 1.0)
    for _ in range(10):
        if objective(at + step)[0] <= value:
            return at + step
        step = step / 3
    return None


def _lbfgs(
    objective: Evaluations, start: FloatArray, origin: str, offset: float, runs: list[dict[str, Any]]
) -> FloatArray:
    from scipy import optimize

    minimize: Any = optimize.minimize  # its stubs have an overload for every method and none for this use
    units = np.ones_like(start) if objective.metric is None else objective.metric(start)

    def scaled(z: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = objective(z / units)
        return value, gradient / units

    before = objective.evaluations
    options = {"maxiter": 500, "maxfun": 1000, "ftol": 1e-15, "gtol": GRADIENT_TOLERANCE}
    result = minimize(scaled, start * units, jac=True, method="L-BFGS-B", options=options)
    end = result.x / units
    _note(runs, "L-BFGS-B", origin, start, end, result.fun + offset, objective(end)[1])
    runs[-1] |= {
        "evaluations": objective.evaluations - before,
        "return_code": int(result.status),
        "message": str(result.message),
    }
    return np.asarray(end)


def _nelder_mead(
    objective: Evaluations, start: FloatArray, offset: float, runs: list[dict[str, Any]]
) -> FloatArray:
    from scipy import optimize

    minimize: Any = optimize.minimize
    options = {"maxfev": 400 * start.shape[0], "xatol": 1e-8, "fatol": 1e-10, "adaptive": True}
    before = objective.evaluations
    result = minimize(lambda x: objective(x)[0], start, method="Nelder-Mead", options=options)
    _note(
        runs,
        "Nelder-Mead",
        "best so far",
        start,
        result.x,
        result.fun + offset,
        objective(result.x)[1],
    )
    runs[-1] |= {
        "evaluations": objective.evaluations - before,
        "return_code": int(result.status),
        "message": str(result.message),
    }
    return np.asarray(result.x)


def _note(  # noqa: PLR0917
    runs: list[dict[str, Any]],
    optimiser: str,
    origin: str,
    start: FloatArray,
    end: FloatArray,
    value: float,
    gradient: FloatArray,
) -> None:
    runs.append(
        {
            "optimiser": optimiser,
            "from": origin,
            "start": start.tolist(),
            "end": np.asarray(end).tolist(),
            "objective": float(value),
            "gradient_norm": float(np.abs(gradient).max(initial=0)),
        }
    )
