"""Likelihood-ratio tests by simulation: how large the statistic gets if the smaller model holds.

For random effects, whose variance stands on the boundary under the null hypothesis, and for several grouping
factors, where no exact distribution is known. Outcomes are drawn from the smaller model and both models are
refitted to each; the p value is ``(1 + #{T_k >= T}) / (1 + sets)``. Under REML both models have the same
fixed part. Sources: Davison & Hinkley (1997), section 4.2; Halekoh & Højsgaard (2014), Journal of Statistical
Software 59(9); Stram & Lee (1994), Biometrics 50, on the boundary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from nestwise.arrays import BoolArray, FloatArray
from nestwise.design.record import Design
from nestwise.errors import Problem, Refusal
from nestwise.fit.simulation import simulated_sets, stream
from nestwise.fit.state import LmmState
from nestwise.likelihood.crossed import CrossedProducts
from nestwise.likelihood.gaussian import constant

ROUNDING = 1e-5
"""Statistics that differ by less are equal: two searches end that near to each other."""


@dataclass(frozen=True)
class BootstrapTest:
    """A likelihood-ratio test by simulation.

    Attributes
    ----------
    statistic : float
        Of the data: the smaller model's deviance minus the larger one's, not below 0.
    p_value : float
    null : ndarray (S,)
        Statistics of the simulated sets whose refits converged.
    failures : int
        Sets left out because a refit did not converge.
    """

    statistic: float
    p_value: float
    null: FloatArray
    failures: int


def bootstrap_test(  # noqa: PLR0917
    small: Design, small_state: LmmState | None, large: Design, large_state: LmmState, n: int, seed: int
) -> BootstrapTest:
    """Test the smaller of two nested models.

    Parameters
    ----------
    small, large : Design
        The same rows and outcome; `small` without any random effects if `small_state` is `None`.
    small_state, large_state
        Their fits.
    n : int
        Sets.
    seed : int
        Root of the streams; set k depends on (seed, k) only.

    Raises
    ------
    Refusal
        See `null_statistics`.
    """
    null, converged = null_statistics(small, small_state, large, large_state, seed, 0, n)
    return fold_test(observed_statistic(small, small_state, large_state), [(null, converged)])


def observed_statistic(small: Design, small_state: LmmState | None, large_state: LmmState) -> float:
    """Likelihood-ratio statistic of the data themselves."""
    if small_state is not None:
        below = small_state.solution.deviance
    else:
        below = float(_least_squares(small, iter([small.y]))[0])
    return max(below - large_state.solution.deviance, 0.0)


def null_statistics(  # noqa: PLR0917
    small: Design,
    small_state: LmmState | None,
    large: Design,
    large_state: LmmState,
    seed: int,
    first: int,
    last: int,
) -> tuple[FloatArray, BoolArray]:
    """Statistics of the sets first, ..., last - 1, and whether both refits converged.

    Raises
    ------
    Refusal
        If the models have other rows, criteria or, under REML, other fixed parts.
    """
    _comparable(small, large)
    sets = range(first, last)
    below, fine = _deviances(small, small_state, _outcomes(small, small_state, sets, seed))
    above, fine_too = _deviances(large, large_state, _outcomes(small, small_state, sets, seed))
    return np.maximum(below - above, 0.0), fine & fine_too


def fold_test(statistic: float, parts: Sequence[tuple[FloatArray, BoolArray]]) -> BootstrapTest:
    """The test from parts that were simulated apart."""
    null = np.concatenate([values for values, _ in parts])
    converged = np.concatenate([fine for _, fine in parts])
    kept = null[converged]
    p_value = (1 + int((kept >= statistic - ROUNDING).sum())) / (1 + kept.size)
    return BootstrapTest(statistic, p_value, kept, int((~converged).sum()))


def _comparable(small: Design, large: Design) -> None:
    same_fixed = small.X.shape == large.X.shape and np.array_equal(small.X, large.X)
    what = None
    if not (np.array_equal(small.rows, large.rows) and np.array_equal(small.y, large.y)):
        what, way_out = "the two models have other rows or outcomes", "fit both to the same rows"
    elif small.reml != large.reml:
        what, way_out = "one model is fitted by REML and the other by ML", "fit both by the same criterion"
    elif small.reml and not same_fixed:
        what, way_out = "REML cannot compare models with other fixed parts", "set `reml: false` for both"
    if what is not None:
        raise Refusal(Problem(what, f"{small.formula} beside {large.formula}", way_out))


def _outcomes(small: Design, state: LmmState | None, sets: range, seed: int) -> Iterator[FloatArray]:
    """Sets drawn from the smaller model."""
    if state is not None:
        yield from simulated_sets(small, state.solution, sets, seed)
        return
    y = small.y_less_offset
    weights = np.ones(small.n) if small.weights is None else small.weights
    root = np.sqrt(weights)
    beta = np.linalg.lstsq(root[:, None] * small.X, root * y, rcond=None)[0]
    m = small.n - small.X.shape[1] if small.reml else small.n
    sigma = np.sqrt(weights @ (y - small.X @ beta) ** 2 / m)
    offset = 0.0 if small.offset is None else small.offset
    for k in sets:
        yield small.X @ beta + offset + sigma / root * stream(seed, k).standard_normal(small.n)


def _deviances(
    design: Design, state: LmmState | None, outcomes: Iterator[FloatArray]
) -> tuple[FloatArray, BoolArray]:
    """Deviance of each outcome at its maximum, with all constants, and whether the search converged."""
    from nestwise.fit.refit import refit  # compiled code: slow to import
    from nestwise.fit.refit_crossed import outcome_products, refit_crossed

    if state is None:
        values = _least_squares(design, outcomes)
        return values, np.isfinite(values)
    products, theta, hessian = state.products, state.optimum.theta, state.optimum.hessian
    if isinstance(products, CrossedProducts):
        refits = refit_crossed(design, products, outcomes, theta=theta, hessian=hessian)
    else:
        of = outcome_products(design, products)
        parts = [of(y) for y in outcomes]
        B_y = np.array([B for B, _ in parts]).reshape(-1, products.J, products.q)
        G_y = np.array([G for _, G in parts])
        refits = refit(products, B_y, G_y, reml=design.reml, theta=theta, hessian=hessian)
    return refits.deviance + constant(products, reml=design.reml), refits.converged


def _least_squares(design: Design, outcomes: Iterator[FloatArray]) -> FloatArray:
    """Deviance of least squares on each outcome, restricted under REML."""
    weights = np.ones(design.n) if design.weights is None else design.weights
    root = np.sqrt(weights)
    Q, R = np.linalg.qr(root[:, None] * design.X)
    m = design.n - R.shape[0] if design.reml else design.n
    fixed = -float(np.log(weights).sum())
    if design.reml:
        fixed += 2 * float(np.log(np.abs(np.diag(R))).sum())
    values = []
    for outcome in outcomes:
        y = root * (outcome if design.offset is None else outcome - design.offset)
        rss = float(np.sum((y - Q @ (Q.T @ y)) ** 2))
        values.append(m * (1 + np.log(2 * np.pi * rss / m)) + fixed)
    return np.array(values)
