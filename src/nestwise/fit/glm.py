"""The generalised linear model without groups: where a mixed one starts, and what it is tested against.

Fisher's scoring with the observed information, which for the canonical links is iteratively reweighted least
squares; a dispersion or thresholds are found by the search beside the coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.fit.search import Minimum, minimise
from nestwise.likelihood.crossed_rows import CrossedRows
from nestwise.likelihood.families import Responses, density
from nestwise.likelihood.grouped_rows import GroupedRows

Rows = GroupedRows | CrossedRows
"""Data of one grouping factor, or of several."""

DECREMENT = 1e-12
"""Newton's steps end once they promise to raise the log-likelihood by less than this."""
MOST_STEPS = 50


@dataclass(frozen=True)
class PooledGlm:
    """A generalised linear model, working parametrisation.

    Attributes
    ----------
    beta : ndarray (p,)
        Coefficients.
    raw : ndarray (a,)
        Auxiliary parameters as they are searched for, see `aux_of`.
    log_likelihood : float
        With all constants.
    covariance : ndarray (p, p)
        Inverse of the observed information of beta, the auxiliary parameters known.
    eta : ndarray (n,)
        Linear predictor of the compressed rows.
    converged : bool
        Whether the maximum was found; it has none where the outcome is separated.
    """

    beta: FloatArray
    raw: FloatArray
    log_likelihood: float
    covariance: FloatArray
    eta: FloatArray
    converged: bool


def aux_of(given: Responses, raw: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Auxiliary parameters (a,) from those searched for, and their Jacobian (a, a).

    Thresholds are searched for as the first and the logarithms of the gaps between them.
    """
    if given.family != "ordinal":
        return raw, np.eye(raw.size)
    gaps = np.exp(raw[1:])
    jacobian = np.tril(np.ones((raw.size, raw.size)))
    jacobian[:, 1:] *= gaps
    return raw[0] + np.concatenate([[0.0], np.cumsum(gaps)]), jacobian


def raw_of(given: Responses, aux: FloatArray) -> FloatArray:
    """The inverse of `aux_of`."""
    return aux if given.family != "ordinal" else np.append(aux[0], np.log(np.diff(aux)))


def fit_glm(rows: Rows) -> PooledGlm:
    """Fit the generalised linear model of the rows, groups ignored.

    Parameters
    ----------
    rows : GroupedRows
        The data.
    """
    given, weights = rows.given, rows.counts
    beta, raw = _start(rows, weights)
    beta, converged = _newton(rows, beta, aux_of(given, raw)[0], weights)
    if raw.size:
        found = _with_aux(rows, beta, raw, weights)
        beta, raw, converged = found.at[: beta.size], found.at[beta.size :], found.converged
    eta = beta @ rows.X + rows.offset
    at = density(given, eta, aux_of(given, raw)[0], 3)
    information = -(rows.X * (at.d2 * weights)) @ rows.X.T
    return PooledGlm(
        beta, raw, float(at.value @ weights), np.asarray(np.linalg.pinv(information)), eta, converged
    )


def _start(rows: Rows, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Least squares on the linked outcome, moved away from its limits; moments of the rest."""
    from scipy.special import logit, ndtri

    given = rows.given
    count = weights if given.frequency is None else weights * given.frequency
    if given.family == "ordinal":
        share = np.bincount(given.y.astype(np.int64), weights=count, minlength=given.categories)
        below = np.cumsum(share)[:-1] / share.sum()
        return np.zeros(rows.X.shape[0]), raw_of(given, np.asarray(logit(below)))
    if given.family == "binomial":
        p = (given.y + 0.5) / (given.trials + 1)
        linked = ndtri(p) if given.link == "probit" else logit(p)
        linked = np.log(-np.log1p(-p)) if given.link == "cloglog" else linked
    elif given.family == "gamma":
        linked = np.log(given.y)
    else:
        linked = np.log(given.y + 0.5) - np.log(given.trials)
    size = count * given.trials
    X, target = rows.X * size, linked - rows.offset
    beta = np.linalg.lstsq(X @ rows.X.T, X @ target, rcond=None)[0]
    return beta, np.zeros(given.n_aux)


def _newton(rows: Rows, beta: FloatArray, aux: FloatArray, weights: FloatArray) -> tuple[FloatArray, bool]:
    """Newton steps for beta, halved where the likelihood falls."""

    def at(beta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        found = density(rows.given, beta @ rows.X + rows.offset, aux, 3)
        slope = rows.X @ (found.d1 * weights)
        return float(found.value @ weights), slope, -(rows.X * (found.d2 * weights)) @ rows.X.T

    with np.errstate(all="ignore"):
        value, slope, information = at(beta)
        if not np.isfinite(value):
            beta = np.zeros_like(beta)
            value, slope, information = at(beta)
        for _ in range(MOST_STEPS):
            if not beta.size:
                return beta, True
            step = np.linalg.lstsq(information, slope, rcond=None)[0]
            decrement = float(slope @ step)
            if decrement < DECREMENT * max(1.0, abs(value)):
                return beta, True
            for _ in range(40):
                ahead = at(beta + step)
                if ahead[0] >= value - 1e-12 * abs(value):
                    break
                step = step / 2
            else:
                return beta, False
            beta = beta + step
            value, slope, information = ahead
    return beta, False


def _with_aux(rows: Rows, beta: FloatArray, raw: FloatArray, weights: FloatArray) -> Minimum:
    """Coefficients and auxiliary parameters together."""
    p = beta.size

    def deviance(x: FloatArray) -> tuple[float, FloatArray]:
        aux, jacobian = aux_of(rows.given, x[p:])
        found = density(rows.given, x[:p] @ rows.X + rows.offset, aux)
        by_aux = np.array([part @ weights for part in found.aux])
        gradient = np.concatenate([rows.X @ (found.d1 * weights), jacobian.T @ by_aux])
        return -2 * float(found.value @ weights), -2 * gradient

    scale = 1 / np.sqrt(max(1.0, float(weights.sum())))  # the search's steps are about one

    def scaled(x: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = deviance(x * scale)
        return value, gradient * scale

    found = minimise(scaled, [("least squares", np.concatenate([beta, raw]) / scale)])
    return Minimum(
        found.at * scale, found.value, found.gradient / scale, found.hessian, found.converged, found.record
    )
