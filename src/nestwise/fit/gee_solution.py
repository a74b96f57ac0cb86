"""Generalised estimating equations of one outcome a row, with moments between the steps.

With ``D = d mu / d beta``, ``A = diag(v(mu) / w)`` and the working correlation R of each cluster,

    sum_j u_j D_j' V_j^-1 (y_j - mu_j) = 0,    V_j = phi A_j^(1/2) R_j(alpha) A_j^(1/2).

Columns ``A^(-1/2) D`` and residuals ``r = A^(-1/2) (y - mu)`` are whitened inside their cluster. After each
step phi is the mean of r^2 and alpha is matched to ``r / sqrt(phi)``; the size k of a negative binomial,
``v = mu + mu^2 / k``, maximises its likelihood with the rows taken for independent, so that independence
gives the maximum-likelihood estimates of that family. Prior weights w say how exact a row is and enter its
variance; weights u that repair a selection (inverse probabilities) count rows, and their means divide by
sums of u. Sources: Liang & Zeger (1986), Biometrika 73; Robins, Rotnitzky & Zhao (1995), JASA 90.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.design.record import Design
from nestwise.errors import Problem, Refusal
from nestwise.fit import marginal_families as families
from nestwise.fit.cluster_layout import ClusterLayout
from nestwise.fit.gee_search import ROUGHLY, TOLERANCE, Equations, GeeState, search, solve
from nestwise.fit.working_correlation import Working


@dataclass(frozen=True)
class GeeData:
    """Rows in the order of their clusters, in columns that are orthonormal up to sqrt(n).

    Attributes
    ----------
    family, link : str
    y : ndarray (n,)
        Outcome; proportions of a binomial.
    X : ndarray (p, n)
        Columns, ``X = (design.X T)'``.
    T : ndarray (p, p)
        beta = T gamma, gamma the coefficients of X.
    offset : ndarray (n,)
    weight : ndarray (n,)
        Prior weights times trials, times weights of selection.
    n : float
        Rows, or the sum of the weights of selection: what means of squared residuals divide by.
    selection : ndarray (n,)
        Weights of selection; ones without.
    """

    family: str
    link: str
    y: FloatArray
    X: FloatArray
    T: FloatArray
    offset: FloatArray
    weight: FloatArray
    n: float
    selection: FloatArray


def gee_data(design: Design, layout: ClusterLayout) -> GeeData:
    """The rows of a design in the order of its clusters."""
    order = layout.order
    y, trials = design.y[order], np.ones(design.n)
    if design.family == "binomial" and design.trials is not None:
        trials = design.trials[order]
        y = y / trials
    X = design.X[order]
    T = np.linalg.inv(np.linalg.qr(X, mode="r")) * np.sqrt(design.n)
    offset = np.zeros(design.n) if design.offset is None else design.offset[order]
    weights = np.ones(design.n) if design.weights is None else design.weights[order]
    selection = layout.selection
    return GeeData(
        design.family, design.link, y, np.ascontiguousarray((X @ T).T), T, offset,
        weights * trials * selection, float(selection.sum()), selection,
    )  # fmt: skip


def solve_gee(design: Design, data: GeeData, working: Working) -> GeeState:
    """Solve the estimating equations.

    Parameters
    ----------
    design : Design
        For the place a refusal names.
    data, working
        Rows and working correlation.

    Returns
    -------
    GeeState
        With `converged` false where it stopped.

    Raises
    ------
    Refusal
        If the columns lose their rank under the working weights.
    """
    independent = replace(
        working, structure="independence", names=(), pairs=working.pairs[:0], totals=working.totals[:0]
    )
    start = _start(design, data)
    tolerance = ROUGHLY if working.names else TOLERANCE
    first = search(_equations(design, data, independent), start, tolerance)
    return solve(_equations(design, data, working), first.gamma) if working.names else first


def _equations(design: Design, data: GeeData, working: Working) -> Equations:
    def moved(gamma: FloatArray) -> GeeState | None:
        return _moved(data, working, gamma)

    def white(state: GeeState) -> tuple[FloatArray, FloatArray]:
        return whitened(working, state)

    return Equations(moved, white, design.formula)


def _start(design: Design, data: GeeData) -> FloatArray:
    """Coefficients (p,) to start from, whose means are all in the range of the family.

    Weighted least squares of the linear predictors of shrunken outcomes; where these leave the range, a
    constant mean.

    Raises
    ------
    Refusal
        If the predictors cannot say a constant mean inside the range either.
    """
    trials = data.weight if data.family == "binomial" else np.ones_like(data.y)
    mu = families.first_mean(data.family, data.link, data.y * trials, trials)
    constant = np.full_like(mu, float(np.average(data.y, weights=data.weight)))
    if data.family == "binomial":
        constant = constant.clip(1e-3, 1 - 1e-3)
    for mean in (mu, constant):
        if (mean <= 0).any() and data.link != "identity":
            continue
        eta = families.link_of_mean(data.link, mean)
        _, slope = families.mean_and_slope(data.link, eta)
        root = np.sqrt(data.weight / families.variance(data.family, mean)) * np.abs(slope)
        gamma: FloatArray = np.linalg.lstsq((data.X * root).T, root * (eta - data.offset), rcond=None)[0]
        if families.possible(data.family, data.link, gamma @ data.X + data.offset).all():
            return gamma
    what = f"with the link {data.link} no {data.family} means were found to start from"
    usual = families.LINKS_OF[data.family][0]
    raise Refusal(Problem(what, design.formula, f"use the link {usual}"))


def _moved(data: GeeData, working: Working, gamma: FloatArray) -> GeeState | None:
    """Everything that follows from the coefficients; `None` where the family has no such means."""
    eta = gamma @ data.X + data.offset
    if not families.possible(data.family, data.link, eta).all():
        return None
    mu, slope = families.mean_and_slope(data.link, eta)
    size = families.size_of(data.y, mu, data.weight) if data.family == "negative_binomial" else np.inf
    root = np.sqrt(data.weight / families.variance(data.family, mu, size))
    r = root * (data.y - mu)
    phi = float((r**2).sum()) / data.n
    raw = working.moments(r / np.sqrt(phi)) if phi > 0 else np.zeros(len(working.names))
    alpha, pulled = working.inside(raw)
    return GeeState(gamma, eta, mu, r, data.X * (root * slope), phi, alpha, pulled, raw, size)


def whitened(working: Working, state: GeeState) -> tuple[FloatArray, FloatArray]:
    """Columns (p, n) and residuals (n,) that are independent if the working correlation is right."""
    return working.whiten(state.alpha, state.D), working.whiten(state.alpha, state.r)
