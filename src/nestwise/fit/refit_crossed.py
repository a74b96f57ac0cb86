"""Refits of one model with several grouping factors, from a start that is nearly right.

As `refit`, with the blocked Cholesky factorisation in the compiled kernel's place: what depends on the design
is made once, and only the outcome's columns of the cross-products change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.design.record import Design, Factor
from nestwise.fit.descent import NEARLY_SINGULAR
from nestwise.fit.optimise import optimise
from nestwise.fit.refit import Refits, starts
from nestwise.likelihood.crossed import CrossedProducts, with_outcomes
from nestwise.likelihood.gaussian import criterion, deviance
from nestwise.likelihood.products import Products
from nestwise.likelihood.relation import wide_root
from nestwise.likelihood.working import working_rows

TOO_FAR = 1e30
"""Stands for the deviance where it cannot be evaluated."""
SLOPE = 1e-3
"""Converged: slopes below this in coordinates of unit curvature; 1e-6 of deviance are left at most."""


def outcome_products(
    design: Design, products: Products
) -> Callable[[FloatArray], tuple[FloatArray, FloatArray]]:
    """A function from an outcome (n,) to its columns of B and G (p + 1,), working parametrisation.

    That of B has one entry a column of Z (Q,), factor by factor, group by group.
    """
    rows = working_rows(design)
    X = rows.W[:, :-1]
    fixed = design.X @ products.beta_0
    known = fixed if design.offset is None else fixed + design.offset
    precision = design.weights if design.sampling_error is None else design.sampling_error**-2.0
    root = np.ones(design.n) if precision is None else np.sqrt(precision)
    relations = products.relations if isinstance(products, CrossedProducts) else ()
    wide: list[Any] = [
        None if each is None else wide_root(each, len(factor.columns))
        for factor, each in zip(design.factors, relations or (None,) * len(design.factors), strict=True)
    ]

    def of(outcome: FloatArray) -> tuple[FloatArray, FloatArray]:
        y = root * (outcome - known) / products.scale
        B = [
            sums if root is None else root.T @ sums
            for root, sums in zip(
                wide, (_group_sums(each, rows.Z, y) for each in design.factors), strict=True
            )
        ]
        return np.concatenate(B), np.append(X.T @ y, y @ y)

    return of


def _group_sums(factor: Factor, Z: tuple[FloatArray, ...], y: FloatArray) -> FloatArray:
    """Z'y of one factor, group by group (J q,)."""
    membership = factor.terms[0].membership
    codes = factor.codes[:, None] if membership is None else membership.codes
    shares = np.ones(codes.shape) if membership is None else membership.weights
    sums = np.zeros((factor.n_groups, len(factor.columns)))
    for a, column in enumerate(factor.columns):
        for code, share in zip(codes.T, shares.T, strict=True):
            sums[:, a] += np.bincount(code, weights=Z[column] * share * y, minlength=factor.n_groups)
    return sums.ravel()


def refit_crossed(
    design: Design,
    products: CrossedProducts,
    outcomes: Iterable[FloatArray],
    *,
    theta: FloatArray,
    hessian: FloatArray,
) -> Refits:
    """Maximise the likelihood of many outcomes on one design.

    Parameters
    ----------
    design, products
        The model and its cross-products; their outcome is not read.
    outcomes : iterable of ndarray (n,)
        On the scale of the outcome.
    theta : ndarray (k,)
        Where to start: the optimum of the outcome they were simulated from.
    hessian : ndarray (k, k)
        Of the profiled deviance there.
    """
    values, vectors = np.linalg.eigh(hessian)
    kept = np.maximum(np.abs(values), 1e-3 * max(float(np.abs(values).max()), 1e-3))
    whiten = vectors / np.sqrt(kept)
    to_products = outcome_products(design, products)
    parts = [_one(with_outcomes(products, *to_products(y)), design.reml, theta, whiten) for y in outcomes]
    columns = list(zip(*parts, strict=True)) or [()] * 6
    shapes = ((-1, products.pattern.k), (-1, products.p))
    return Refits(
        np.array(columns[0], dtype=float).reshape(shapes[0]),
        np.array(columns[1], dtype=float).reshape(shapes[1]),
        np.array(columns[2], dtype=float),
        np.array(columns[3], dtype=float),
        np.array(columns[4], dtype=bool),
        np.array(columns[5], dtype=np.int64),
    )


def _one(
    products: CrossedProducts, reml: bool, theta: FloatArray, whiten: FloatArray
) -> tuple[FloatArray, FloatArray, float, float, bool, int]:
    """Theta, beta, sigma, deviance, whether it converged, evaluations."""
    from scipy import optimize

    minimize: Any = optimize.minimize
    best, evaluations = None, 0
    options = {"ftol": 1e-13, "gtol": SLOPE / 10, "maxfun": 300}
    for start in starts(products.pattern, theta):

        def safe(u: FloatArray, start: FloatArray = start) -> tuple[float, FloatArray]:
            try:
                with np.errstate(all="ignore"):
                    value, gradient = deviance(products, start + whiten @ u, reml=reml)
            except np.linalg.LinAlgError:
                value, gradient = np.inf, u
            return (value, whiten.T @ gradient) if np.isfinite(value) else (TOO_FAR, np.zeros_like(u))

        found = minimize(safe, np.zeros(theta.size), jac=True, method="L-BFGS-B", options=options)
        evaluations += int(found.nfev)
        if best is None or found.fun < best[1] - 1e-7:
            fine = bool(found.fun < TOO_FAR and np.abs(found.jac).max(initial=0.0) < SLOPE)
            best = (start + whiten @ found.x, float(found.fun), fine)
        diagonal = np.abs(best[0][products.pattern.diagonal])
        if best[2] and diagonal.min() > NEARLY_SINGULAR:
            break
    assert best is not None
    if not best[2]:  # given to the search of the engine
        try:
            engine = optimise(products, reml=reml)
        except np.linalg.LinAlgError:
            engine = None
        if engine is not None and engine.value < best[1] + 1e-7:
            best = (engine.theta, engine.value, engine.converged)
    at = criterion(products, products.pattern.matrix(best[0]), reml=reml)
    return best[0], at.reduced.beta, at.sigma, best[1], best[2], evaluations
