"""The search for the optimum of the profiled deviance, and its proof.

The deviance depends on Lambda only through ``Lambda Lambda'``, so it is an even, smooth function of each
column: no bounds are needed, and a variance of zero is an interior point with zero gradient. Bounds are
what makes other programs stop on a false boundary; here such a point is a saddle, recognised by its
negative curvature and left. An optimum counts as converged only with a vanishing gradient *and* no negative
curvature.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.likelihood.gaussian import constant, criterion, deviance
from nestwise.likelihood.moments import second_moments, work
from nestwise.likelihood.products import Products

Objective = Callable[[FloatArray], tuple[float, FloatArray]]

DECREMENT_TOLERANCE = 1e-7
"""Converged: a Newton step promises to lower the deviance by less than this."""
CURVATURE_TOLERANCE = 1e-5
"""Converged: no eigenvalue of the Hessian below minus this share of the largest (at least of 1)."""
SINGULAR_TOLERANCE = 1e-4
"""Singular: a singular value of a term's Lambda, in standardised columns, below this (lme4's tolerance)."""
MANY = 200_000
"""With more than this many cross-products the first start is followed alone unless it fails."""
HEAVY = 1e7
"""From this many multiplications an evaluation, the search begins with fewer trials."""


@dataclass(frozen=True)
class Optimum:
    """Where the search ended, working parametrisation.

    Attributes
    ----------
    theta : ndarray (k,)
        Free elements of Lambda, diagonal not negative.
    value : float
        Profiled deviance of the working data.
    gradient : ndarray (k,)
        Its gradient.
    hessian : ndarray (k, k)
        By central differences of the exact gradient.
    converged : bool
        Both criteria hold.
    singular : bool
        Whether the random effects covariance has lost rank, judged on theta.
    record : dict
        Every run: start, end, objective, evaluations, optimiser, return code, gradient; and the verdict.
    """

    theta: FloatArray
    value: float
    gradient: FloatArray
    hessian: FloatArray
    converged: bool
    singular: bool
    record: dict[str, Any] = field(default_factory=dict)


def optimise(products: Products, *, reml: bool) -> Optimum:
    """Minimise the profiled deviance over theta.

    The ladder: L-BFGS-B from several starts, Newton steps on the best end, a push along negative curvature if
    that end is a saddle, Nelder-Mead and again L-BFGS-B if it still does not satisfy the criteria.

    Parameters
    ----------
    products : CrossProducts
        The data, `compress`ed if possible.
    reml : bool
        Criterion.

    Returns
    -------
    Optimum
    """
    offset = constant(products, reml=reml)
    runs: list[dict[str, Any]] = []

    seen: dict[bytes, tuple[float, FloatArray]] = {}  # the same points are asked for again at the end

    def objective(theta: FloatArray) -> tuple[float, FloatArray]:
        key = theta.tobytes()
        if key not in seen:
            seen[key] = deviance(products, theta, reml=reml)
        return seen[key]

    starts = _starts(products, objective, reml=reml)
    if products.B.size > MANY or work(products) > HEAVY:
        starts = starts[:1]
    ends = [_lbfgs(objective, start, name, offset, runs) for name, start in starts]
    theta = min(ends, key=lambda end: objective(end)[0])
    theta = _polish(objective, theta, offset, runs)
    if not _verdict(objective, theta)["converged"]:
        theta = _nelder_mead(objective, theta, offset, runs)
        theta = _polish(objective, _lbfgs(objective, theta, "Nelder-Mead", offset, runs), offset, runs)
    theta = _snap(objective, products, theta)
    verdict = _verdict(objective, theta)
    value, gradient = objective(theta)
    hessian = finite_hessian(objective, theta)
    singular = bool(_smallest(products, theta) < SINGULAR_TOLERANCE)
    record = {
        "parametrisation": "theta: free elements of Lambda for standardised columns",
        "criterion": "REML" if reml else "ML",
        "runs": runs,
        "evaluations": sum(run["evaluations"] for run in runs),
        "theta": theta.tolist(),
        "objective": value + offset,
        "singular": singular,
        **verdict,
    }
    return Optimum(theta, value, gradient, hessian, verdict["converged"], singular, record)


def finite_hessian(objective: Objective, at: FloatArray) -> FloatArray:
    """Hessian (k, k) by central differences of the gradient."""
    k = at.shape[0]
    hessian = np.empty((k, k))
    for i in range(k):
        step = 1e-5 * max(abs(at[i]), 0.1)
        ahead, behind = at.copy(), at.copy()
        ahead[i] += step
        behind[i] -= step
        hessian[i] = (objective(ahead)[1] - objective(behind)[1]) / (2 * step)
    return (hessian + hessian.T) / 2


def _starts(products: Products, objective: Objective, *, reml: bool) -> list[tuple[str, FloatArray]]:
    """Named starts: moments (EM steps from the best multiple of the identity), that multiple, I."""
    identity = products.pattern.elements(np.eye(products.q))
    heavy = work(products) > HEAVY
    multiples = [identity * size for size in ((0.3,) if heavy else (0.03, 0.1, 0.3, 1.0, 3.0))]
    best = min(multiples, key=lambda theta: objective(theta)[0])
    Lambda = products.pattern.matrix(best)
    for _ in range(3 if heavy else 8):
        Lambda = _em_step(products, Lambda, reml=reml)
    starts = [("moments", products.pattern.elements(Lambda)), ("multiple of the identity", best)]
    return starts if heavy or best is multiples[3] else [*starts, ("identity", identity)]


def _em_step(products: Products, Lambda: FloatArray, *, reml: bool) -> FloatArray:
    """One EM step for Lambda: the second moments of the random effects given the data, their factor taken.

    Laird & Ware (1982), equations 4.1-4.5; blocks outside the pattern are set to zero.
    """
    at = criterion(products, Lambda, reml=reml)
    Sigma = Lambda @ second_moments(products, at.reduced, at.sigma, reml=reml) @ Lambda.T
    pattern = products.pattern
    allowed = pattern.matrix(np.ones(pattern.k))
    Sigma = np.where((allowed + allowed.T) > 0, Sigma, 0.0)
    return lower_factor(Sigma)


def lower_factor(Sigma: FloatArray) -> FloatArray:
    """Lower triangular L (q, q) with ``L L' = Sigma`` and a diagonal that is not negative.

    Sigma may have lost rank, where a Cholesky factorisation fails.
    """
    values, vectors = np.linalg.eigh(Sigma)
    root = vectors * np.sqrt(np.clip(values, 0, None))
    return triangular(root)


def triangular(root: FloatArray) -> FloatArray:
    """Lower triangular L (q, q), diagonal not negative, with ``L L' = root root'``."""
    R = np.linalg.qr(root.T, mode="r")
    signs = np.where(np.diag(R) < 0, -1.0, 1.0)
    return (R * signs[:, None]).T


def _lbfgs(
    objective: Objective, start: FloatArray, origin: str, offset: float, runs: list[dict[str, Any]]
) -> FloatArray:
    from scipy import optimize as scipy_optimize

    minimize: Any = (
        scipy_optimize.minimize
    )  # its stubs have an overload for every method and none for this use

    # A step may overshoot to where a matrix is singular in rounding: a huge value makes it turn back.
    def safe(theta: FloatArray) -> tuple[float, FloatArray]:
        try:
            with np.errstate(all="ignore"):
                value, gradient = objective(theta)
        except np.linalg.LinAlgError:
            value = np.inf
        return (value, gradient) if np.isfinite(value) else (1e30, np.zeros_like(theta))

    options = {"maxiter": 500, "maxfun": 1000, "ftol": 1e-15, "gtol": 1e-8}
    result = minimize(safe, start, jac=True, method="L-BFGS-B", options=options)
    message = str(result.message)
    _note(runs, "L-BFGS-B", origin, start, result.x, result.fun + offset, result.nfev, result.jac)
    runs[-1] |= {"return_code": int(result.status), "message": message}
    return np.asarray(result.x)


def _nelder_mead(
    objective: Objective, start: FloatArray, offset: float, runs: list[dict[str, Any]]
) -> FloatArray:
    from scipy import optimize as scipy_optimize

    minimize: Any = scipy_optimize.minimize

    options = {"maxfev": 400 * start.shape[0], "xatol": 1e-8, "fatol": 1e-10, "adaptive": True}
    result = minimize(lambda theta: objective(theta)[0], start, method="Nelder-Mead", options=options)
    gradient = objective(result.x)[1]
    _note(runs, "Nelder-Mead", "best so far", start, result.x, result.fun + offset, result.nfev, gradient)
    runs[-1] |= {"return_code": int(result.status), "message": str(result.message)}
    return np.asarray(result.x)


def _polish(objective: Objective, theta: FloatArray, offset: float, runs: list[dict[str, Any]]) -> FloatArray:
    """Newton steps; at a saddle, pushes along the most negative curvature, and down again from there."""
    start, evaluations = theta, 0
    for _ in range(12):
        value, gradient = objective(theta)
        values, vectors = np.linalg.eigh(finite_hessian(objective, theta))
        evaluations += 1 + 2 * theta.shape[0]
        if values[0] < -CURVATURE_TOLERANCE * max(1.0, values[-1]):
            pushed = [theta + sign * size * vectors[:, 0] for size in (0.03, 0.1, 0.3) for sign in (-1, 1)]
            theta = _lbfgs(
                objective, min(pushed, key=lambda end: objective(end)[0]), "negative curvature", offset, runs
            )
            continue
        along = vectors.T @ gradient
        floor = np.maximum(np.abs(values), 1e-8 * max(1.0, values[-1]))
        if along**2 @ (1 / floor) < DECREMENT_TOLERANCE * 1e-3:
            break
        step = -vectors @ (along / floor)
        for _ in range(8):
            evaluations += 1
            if objective(theta + step)[0] <= value:
                theta = theta + step
                break
            step = step / 4
        else:
            break
    value, gradient = objective(theta)
    _note(runs, "Newton", "best end", start, theta, value + offset, evaluations, gradient)
    runs[-1] |= {"return_code": 0, "message": "steps with the finite-difference Hessian"}
    return theta


def _note(  # noqa: PLR0917
    runs: list[dict[str, Any]],
    optimiser: str,
    origin: str,
    start: FloatArray,
    end: FloatArray,
    value: float,
    evaluations: int,
    gradient: FloatArray,
) -> None:
    runs.append(
        {
            "optimiser": optimiser,
            "from": origin,
            "start": start.tolist(),
            "end": np.asarray(end).tolist(),
            "objective": float(value),
            "evaluations": int(evaluations),
            "gradient_norm": float(np.abs(gradient).max()),
        }
    )


def _verdict(objective: Objective, theta: FloatArray) -> dict[str, Any]:
    gradient = objective(theta)[1]
    values, vectors = np.linalg.eigh(finite_hessian(objective, theta))
    floor = np.maximum(values, 1e-6 * max(1.0, values[-1]))
    decrement = float((vectors.T @ gradient) ** 2 @ (1 / floor))
    curved = bool(values[0] >= -CURVATURE_TOLERANCE * max(1.0, values[-1]))
    return {
        "converged": decrement < DECREMENT_TOLERANCE and curved,
        "gradient_norm": float(np.abs(gradient).max()),
        "newton_decrement": decrement,
        "hessian_eigenvalues": values.tolist(),
    }


def _smallest(products: Products, theta: FloatArray) -> float:
    """Smallest singular value of Lambda."""
    return float(np.linalg.svd(products.pattern.matrix(theta), compute_uv=False)[-1])


def _snap(objective: Objective, products: Products, theta: FloatArray) -> FloatArray:
    """Diagonal made non-negative, and elements that are zero up to the search's precision made zero."""
    Lambda = products.pattern.matrix(theta)
    Lambda = Lambda * np.where(np.diag(Lambda) < 0, -1.0, 1.0)
    theta = products.pattern.elements(Lambda)
    small = np.abs(theta) < SINGULAR_TOLERANCE
    if small.any():
        snapped = np.where(small, 0.0, theta)
        if objective(snapped)[0] <= objective(theta)[0] + DECREMENT_TOLERANCE:
            return snapped
    return theta
