"""Generalised estimating equations, solved by Fisher scoring with moments in between.

With ``D = d mu / d beta``, ``A = diag(v(mu) / w)`` and the working correlation R of each cluster,

    sum_j D_j' V_j^-1 (y_j - mu_j) = 0,    V_j = phi A_j^(1/2) R_j(alpha) A_j^(1/2).

Columns ``A^(-1/2) D`` and residuals ``r = A^(-1/2) (y - mu)`` are whitened inside their cluster; a step is
then ordinary least squares. After each step phi is the mean of r^2 and alpha is matched to ``r / sqrt(phi)``.
Source: Liang & Zeger (1986), Biometrika 73.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.design.record import Design
from nestwise.errors import Problem, Refusal
from nestwise.fit import marginal_families as families
from nestwise.fit.cluster_layout import ClusterLayout
from nestwise.fit.working_correlation import Working

MOST_STEPS = 200
TOLERANCE = 1e-9
"""Largest step, in model-based standard errors, and change of alpha at which the search stops."""
HALVINGS = 40
RUNAWAY = 1e6
"""A step of so many standard errors leads nowhere."""
SHORT = 0.25
"""Largest share of a step in a second attempt."""
LEAST_SHARE, SWINGS = 0.05, 0.3
"""Smallest share of a step that is taken; part of the last step, taken back, at which the share is halved."""


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
        Prior weights times trials.
    """

    family: str
    link: str
    y: FloatArray
    X: FloatArray
    T: FloatArray
    offset: FloatArray
    weight: FloatArray


@dataclass(frozen=True)
class GeeState:
    """Where the search stands; arrays of rows in the order of the clusters.

    Attributes
    ----------
    gamma : ndarray (p,)
        Coefficients of `GeeData.X`.
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
    steps: int = 0
    converged: bool = False


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
    columns = np.ascontiguousarray((X @ T).T)
    return GeeData(design.family, design.link, y, columns, T, offset, weights * trials)


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
    independent = replace(working, structure="independence", names=(), pairs=working.pairs[:0])
    start = _start(design, data)
    first = _search(design, data, independent, start, tolerance=1e-3 if working.names else TOLERANCE)
    if not working.names:
        return first
    found = _search(design, data, working, first.gamma)
    return found if found.converged else _search(design, data, working, first.gamma, longest=SHORT)


def _search(
    design: Design,
    data: GeeData,
    working: Working,
    start: FloatArray,
    *,
    tolerance: float = TOLERANCE,
    longest: float = 1.0,
) -> GeeState:
    """Scoring with steps of at most a share of their length; where it fails, what came nearest."""
    state = nearest = _moved(data, working, start)
    before, share, least = np.zeros_like(start), longest, np.inf
    for step in range(1, MOST_STEPS + 1):
        direction, size = _direction(design, working, state)
        if size < least:
            least, nearest = size, state
        # coefficients and correlations that answer one another may swing: shorter steps come to rest
        back = float(direction @ before) < -SWINGS * float(before @ before)
        share, before = (max(share / 2, LEAST_SHARE) if back else min(1.2 * share, longest)), direction
        found = _possible_step(data, working, state.gamma, share * direction)
        if found is None:
            return replace(nearest, steps=step)
        change = float(np.abs(found.alpha - state.alpha).max(initial=0.0))
        state = found
        if size < tolerance and change < tolerance:
            return replace(state, steps=step, converged=True)
        if size > RUNAWAY:
            break
    return replace(nearest, steps=step)


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


def _moved(data: GeeData, working: Working, gamma: FloatArray) -> GeeState:
    """Everything that follows from the coefficients."""
    eta = gamma @ data.X + data.offset
    mu, slope = families.mean_and_slope(data.link, eta)
    root = np.sqrt(data.weight / families.variance(data.family, mu))
    r = root * (data.y - mu)
    phi = float((r**2).mean())
    raw = working.moments(r / np.sqrt(phi)) if phi > 0 else np.zeros(len(working.names))
    alpha, pulled = working.inside(raw)
    return GeeState(gamma, eta, mu, r, data.X * (root * slope), phi, alpha, pulled, raw)


def whitened(working: Working, state: GeeState) -> tuple[FloatArray, FloatArray]:
    """Columns (p, n) and residuals (n,) that are independent if the working correlation is right."""
    return working.whiten(state.alpha, state.D), working.whiten(state.alpha, state.r)


def _direction(design: Design, working: Working, state: GeeState) -> tuple[FloatArray, float]:
    """The step, and its largest size in model-based standard errors."""
    D, r = whitened(working, state)
    S = D @ D.T
    try:
        L = np.linalg.cholesky(S)
    except np.linalg.LinAlgError:
        what = "the fixed effects cannot be told apart where the outcome varies"
        raise Refusal(Problem(what, design.formula, "leave predictors out, or merge rare levels")) from None
    white = np.linalg.solve(L, D @ r)
    size = float(np.linalg.norm(white)) / np.sqrt(state.phi) if state.phi > 0 else 0.0
    return np.linalg.solve(L.T, white), size


def _possible_step(
    data: GeeData, working: Working, gamma: FloatArray, direction: FloatArray
) -> GeeState | None:
    """The step, halved until every mean is one the family can have; `None` if none is."""
    step, along, here = direction, direction @ data.X, gamma @ data.X + data.offset
    for _ in range(HALVINGS):
        eta = here + along
        if families.possible(data.family, data.link, eta).all():
            return _moved(data, working, gamma + step)
        step, along = step / 2, along / 2
    return None
