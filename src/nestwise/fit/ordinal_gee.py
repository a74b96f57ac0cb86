"""Population-averaged cumulative models of ordinal outcomes.

``P(y > c) = F(x'beta - tau_c)``, thresholds and signs as in the engine `glmm`. The equations are those of the
indicators of lying above each threshold, with the multinomial's covariance inside a row and a working
association between rows. That covariance leaves no dispersion to be estimated: phi is 1, and with
independence the model's covariance is the inverse of the expected information of maximum likelihood.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.design.cumulative import cumulative_design, threshold_names
from nestwise.design.record import Design
from nestwise.errors import Problem, Refusal
from nestwise.fit import marginal_families as families
from nestwise.fit.cluster_layout import cluster_layout
from nestwise.fit.gee_diagnostics import Range
from nestwise.fit.gee_refusals import refuse_lonely_rows, refuse_separation
from nestwise.fit.gee_search import ROUGHLY, TOLERANCE, Equations, GeeState, search, solve
from nestwise.fit.gee_solution import GeeData, gee_data
from nestwise.fit.marginal_model import MarginalModel
from nestwise.fit.ordinal_association import (
    Association,
    association,
    inside,
    moments,
    reported,
    row_roots,
    share_outside,
    whiten_rows,
)

LEAST = 1e-13
"""Smallest probability of a category and of lying beyond a threshold: nearer to 0 there is but noise."""


def ordinal_model(design: Design, correlation: str, selection: FloatArray | None) -> MarginalModel:
    """Solve the equations of an ordinal outcome.

    Parameters
    ----------
    design : Design
        Without the problems of `gee_problems`.
    correlation : str
        Of `ordinal_association.STRUCTURES`.
    selection : ndarray (n,) or None
        Weights that repair a selection.

    Raises
    ------
    Refusal
        If the outcome is separated, or the fixed part stands in the way of the thresholds.
    """
    named = cumulative_design(design)
    thresholds = threshold_names(design)
    K = len(thresholds)
    layout = cluster_layout(named, "independence", None if selection is None else np.repeat(selection, K))
    given = association(correlation, layout, thresholds)
    if given.names and given.total == 0:
        refuse_lonely_rows(given.layout.factor.group)
    if np.linalg.matrix_rank(named.X) < named.X.shape[1]:
        what = "the fixed effects make up a constant, and so do the thresholds of the categories"
        raise Refusal(Problem(what, design.formula, "write the formula with an intercept"))
    data = gee_data(named, layout)
    try:
        state = _solved(design, data, given)
    except Refusal:
        refuse_separation(design, None)  # says more of the reason, if it is that
        raise
    refuse_separation(design, state)
    return _model(named, data, given, state)


def _solved(design: Design, data: GeeData, given: Association) -> GeeState:
    """Independence first, then the working association from there."""
    below = np.log(_shares_above(data, given.cuts))
    tau = np.log1p(-np.exp(below)) - below
    if data.link == "probit":
        tau = -families.link_of_mean("probit", np.exp(below))
    theta = np.concatenate([tau, np.zeros(data.T.shape[0] - given.cuts)])
    alone = replace(given, structure="independence", names=(), pairs=given.pairs[:0])
    first = search(
        _equations(design, data, alone),
        np.linalg.solve(data.T, theta),
        ROUGHLY if given.names else TOLERANCE,
    )
    return solve(_equations(design, data, given), first.gamma) if given.names else first


def _shares_above(data: GeeData, cuts: int) -> FloatArray:
    """Share of the rows above each threshold (K,), none of them 0 or 1."""
    z, weight = data.y.reshape(-1, cuts), data.weight.reshape(-1, cuts)
    return np.asarray(((z * weight).sum(axis=0) / weight.sum(axis=0)).clip(1e-6, 1 - 1e-6))


def _equations(design: Design, data: GeeData, given: Association) -> Equations:
    last: list[FloatArray] = []  # the association found last, from which the search for the next one starts

    def moved(gamma: FloatArray) -> GeeState | None:
        found = _moved(data, given, gamma, last[-1] if last else None)
        if found is not None:
            last[:] = [found.raw_alpha]
        return found

    def white(state: GeeState) -> tuple[FloatArray, FloatArray]:
        return state.D, state.r

    return Equations(moved, white, design.formula)


def _moved(
    data: GeeData, given: Association, gamma: FloatArray, before: FloatArray | None
) -> GeeState | None:
    """Everything that follows from the coefficients; `None` where thresholds change their order."""
    eta = gamma @ data.X + data.offset
    mu, slope = families.mean_and_slope(data.link, eta)
    table = mu.reshape(-1, given.cuts)
    ends = np.diff(table, axis=1, prepend=1.0, append=0.0)
    if float(ends.max()) > -LEAST:
        return None
    D, r = _rows(data, given.cuts, mu, slope)
    raw = moments(given, data.y, mu, data.weight, before)
    alpha, white, margin = inside(given, raw, mu, np.vstack([D, r]))
    pulled = not np.array_equal(alpha, raw)
    return GeeState(gamma, eta, mu, white[-1], white[:-1], 1.0, alpha, pulled, raw, margin=margin)


def _rows(data: GeeData, cuts: int, mu: FloatArray, slope: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Columns (p, N) and residuals (N,), uncorrelated inside their row."""
    root, roots = np.sqrt(data.weight), row_roots(mu, cuts)
    return whiten_rows(roots, data.X * (root * slope)), whiten_rows(roots, root * (data.y - mu))


def _model(named: Design, data: GeeData, given: Association, state: GeeState) -> MarginalModel:
    layout, K = given.layout, given.cuts
    above = state.mu.reshape(-1, K)
    P = -np.diff(above, axis=1, prepend=1.0, append=0.0)
    place = data.y.reshape(-1, K).sum(axis=1).astype(np.int64)
    chosen = P[np.arange(len(P)), place]
    fitted = np.empty(len(P))
    fitted[layout.order[::K] // K] = above.sum(axis=1)
    _, slope = families.mean_and_slope(data.link, state.eta)
    share = share_outside(given, state.alpha, state.mu)
    return MarginalModel(
        named, layout, data, state, given.structure, given.names, given.pairs,
        reported(given, state.alpha), reported(given, state.raw_alpha), state.D, state.r,
        _rows(data, K, state.mu, slope)[0], float(np.log(chosen) @ data.weight[::K]), fitted,
        Range(state.margin, share), K,
    )  # fmt: skip
