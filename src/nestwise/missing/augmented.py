"""Doubly robust estimating equations: right if the drop-out model or the model of the outcomes is.

Weights use only the rows that were seen. The augmented equations add what regressions say of the outcomes
that were not. With p_is the probability of staying, pi_it = prod_(s <= t) p_is, and m_ts(H_is) the expected
outcome at t given all that was known at s, each subject has at each scheduled visit the pseudo-outcome

    yhat_it = R_it y_it / pi_it - sum_(s <= t) (R_is - p_is R_i,s-1) / pi_is  m_t,s-1(H_i,s-1),

and the model is fitted to these as if nobody had left, with an independence working correlation. The
regressions are fitted backwards among those still there: y_t on the history at t - 1, its prediction on
the history at t - 2, and so on. Sources: Robins, Rotnitzky & Zhao (1995), JASA 90; Bang & Robins (2005),
Biometrics 61.

All of these are estimating equations of one parameter vector, and the sandwich is that of all together, its
bread by central differences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from nestwise.arrays import BoolArray, FloatArray, IntArray
from nestwise.design.rank import independent_columns
from nestwise.errors import Problem, Refusal
from nestwise.missing.hazard import Hazard, Steps
from nestwise.missing.weights import WHERE

MOST_STEPS = 50
TOLERANCE = 1e-11
MOST_CONDITION = 1e13
STEP = 1e-5
"""Of the central differences, on columns of about unit size."""


@dataclass(frozen=True)
class AugmentedRows:
    """Everything the augmented equations need.

    Attributes
    ----------
    X : ndarray (N, T, p)
        Columns of the outcome's model at every scheduled visit.
    y : ndarray (N, T)
        Outcome, 0 where it was not seen.
    seen : ndarray (N, T) of bool
        Monotone.
    family : str
        gaussian (identity) or binomial (logit).
    history : ndarray (N, h)
        What was known of each subject from the start, an intercept first.
    steps : Steps
    hazard : Hazard
    cluster : ndarray (N,)
    """

    X: FloatArray
    y: FloatArray
    seen: BoolArray
    family: str
    history: FloatArray
    steps: Steps
    hazard: Hazard
    cluster: IntArray


@dataclass(frozen=True)
class AugmentedFit:
    """Solution of the augmented equations.

    Attributes
    ----------
    beta : ndarray (p,)
    covariance : ndarray (p, p)
        That of all equations together.
    J : int
        Clusters.
    pseudo : ndarray (N, T)
        Pseudo-outcomes.
    """

    beta: FloatArray
    covariance: FloatArray
    J: int
    pseudo: FloatArray


def _mean(family: str, eta: FloatArray) -> FloatArray:
    from scipy.special import expit

    return eta if family == "gaussian" else np.asarray(expit(np.clip(eta, -30, 30)))


def _regression(family: str, Z: FloatArray, target: FloatArray) -> FloatArray:
    """Coefficients of a linear or (quasi-)logistic regression; targets may be shares."""
    gamma: FloatArray = np.zeros(Z.shape[1])

    def loss(eta: FloatArray) -> float:
        if family == "gaussian":
            return float(((target - eta) ** 2).sum())
        return float((np.logaddexp(0, eta) - target * eta).sum())

    for _ in range(MOST_STEPS):
        eta = Z @ gamma
        mu = _mean(family, eta)
        weight = np.ones_like(mu) if family == "gaussian" else np.maximum(mu * (1 - mu), 1e-10)
        S = Z.T @ (Z * weight[:, None])
        if np.linalg.cond(S) > MOST_CONDITION:
            break
        step = np.linalg.solve(S, Z.T @ (target - mu))
        size = float(np.abs(Z @ step).max())
        if size < TOLERANCE * max(1.0, float(np.abs(eta).max())):
            return gamma + step
        while loss(eta + Z @ step) > loss(eta) + TOLERANCE * abs(loss(eta)) and np.abs(step).max() > 1e-12:
            step = step / 2
        gamma = gamma + step
    what = "the regressions of later outcomes on earlier ones have no solution among those who stayed"
    raise Refusal(Problem(what, WHERE, "leave the augmentation out, or name fewer predictors"))


def _histories(rows: AugmentedRows) -> dict[int, FloatArray]:
    """What was known after each visit (N, k); -1 is before the first one.

    All earlier outcomes of a normal one. Of a binary one the last: longer histories of rare events separate.
    """
    found = {-1: rows.history}
    known = np.where(rows.seen, rows.y, 0.0)
    for s in range(rows.seen.shape[1] - 1):
        first = s if rows.family == "binomial" else 0
        found[s] = np.column_stack([rows.history, known[:, first : s + 1]])
    return found


def _pairs(rows: AugmentedRows) -> list[tuple[int, int]]:
    """Visit t and last visit s that its regression knows, in the order in which they are fitted."""
    first = -1 if not rows.seen[:, 0].all() else 0
    return [(t, s) for t in range(first + 1, rows.seen.shape[1]) for s in range(t - 1, first - 1, -1)]


def solve_augmented(rows: AugmentedRows) -> AugmentedFit:
    """Solve the equations one after the other, and judge all of them together.

    Parameters
    ----------
    rows : AugmentedRows

    Raises
    ------
    Refusal
        If a regression or the model itself has no solution.
    """
    histories, pairs = _histories(rows), _pairs(rows)
    gammas: dict[tuple[int, int], FloatArray] = {}
    predicted: dict[tuple[int, int], FloatArray] = {}
    for t, s in pairs:
        target = rows.y[:, t] if s == t - 1 else predicted[t, s + 1]
        own = rows.seen[:, s + 1]
        gammas[t, s] = _regression(rows.family, histories[s][own], target[own])
        predicted[t, s] = _mean(rows.family, histories[s] @ gammas[t, s])
    pseudo = _pseudo(rows, rows.hazard.alpha, predicted)
    beta = _regression(rows.family, rows.X.reshape(-1, rows.X.shape[2]), pseudo.ravel())
    theta = np.concatenate([beta, rows.hazard.alpha, *(gammas[pair] for pair in pairs)])
    covariance, J = _sandwich(rows, histories, pairs, theta)
    return AugmentedFit(beta, covariance, J, pseudo)


def _pseudo(
    rows: AugmentedRows, alpha: FloatArray, predicted: dict[tuple[int, int], FloatArray]
) -> FloatArray:
    """Pseudo-outcomes (N, T)."""
    N, T = rows.seen.shape
    p = np.ones((N, T))
    p[rows.steps.subject, rows.steps.visit] = _mean("binomial", rows.hazard.Z @ alpha)
    pi = np.cumprod(p, axis=1)
    before = np.column_stack([np.ones(N, dtype=bool), rows.seen[:, :-1]])
    gap = (rows.seen - p * before) / pi
    found = np.where(rows.seen, rows.y / pi, 0.0)
    for (t, s), mean in predicted.items():
        found[:, t] -= gap[:, s + 1] * mean
    return found


def _functions(
    rows: AugmentedRows,
    histories: dict[int, FloatArray],
    pairs: Sequence[tuple[int, int]],
    theta: FloatArray,
) -> FloatArray:
    """All estimating functions of each subject (N, D)."""
    N, p, a = rows.seen.shape[0], rows.X.shape[2], rows.hazard.alpha.size
    beta, alpha, rest = theta[:p], theta[p : p + a], theta[p + a :]
    parts: list[FloatArray] = []
    predicted: dict[tuple[int, int], FloatArray] = {}
    for t, s in pairs:
        Z = histories[s]
        gamma, rest = rest[: Z.shape[1]], rest[Z.shape[1] :]
        target = rows.y[:, t] if s == t - 1 else predicted[t, s + 1]
        predicted[t, s] = _mean(rows.family, Z @ gamma)
        parts.append(Z * np.where(rows.seen[:, s + 1], target - predicted[t, s], 0.0)[:, None])
    scores = np.zeros((N, a))
    stay = _mean("binomial", rows.hazard.Z @ alpha)
    np.add.at(scores, rows.steps.subject, rows.hazard.Z * (rows.hazard.stays - stay)[:, None])
    residual = _pseudo(rows, alpha, predicted) - _mean(rows.family, rows.X @ beta)
    return np.concatenate([np.einsum("ntp,nt->np", rows.X, residual), scores, *parts], axis=1)


def _sandwich(
    rows: AugmentedRows,
    histories: dict[int, FloatArray],
    pairs: Sequence[tuple[int, int]],
    theta: FloatArray,
) -> tuple[FloatArray, int]:
    """Covariance (p, p) of beta from all equations, summed by cluster, and the number of clusters."""
    D, p = theta.size, rows.X.shape[2]
    jacobian = np.empty((D, D))
    for k in range(D):
        step = np.zeros(D)
        step[k] = STEP
        ahead, behind = (_functions(rows, histories, pairs, theta + sign * step) for sign in (1, -1))
        jacobian[:, k] = (ahead.sum(axis=0) - behind.sum(axis=0)) / (2 * STEP)
    by_subject = _functions(rows, histories, pairs, theta)
    J = int(rows.cluster.max()) + 1
    sums = np.zeros((J, D))
    np.add.at(sums, rows.cluster, by_subject)
    influence = np.linalg.solve(jacobian, sums.T)[:p]
    found: FloatArray = influence @ influence.T
    return found, J


def scaled(rows: AugmentedRows) -> tuple[AugmentedRows, FloatArray]:
    """The same rows with columns of unit size, and the factors (p,) of the coefficients."""
    size = np.sqrt((rows.X**2).mean(axis=(0, 1)))
    hazard = rows.hazard
    width = np.sqrt((hazard.Z**2).mean(axis=0))
    history = rows.history / np.maximum(np.sqrt((rows.history**2).mean(axis=0)), 1e-300)
    made = replace(
        rows,
        X=rows.X / size,
        history=history,
        hazard=replace(hazard, Z=hazard.Z / width, alpha=hazard.alpha * width),
    )
    return made, 1 / size


def constant_columns(frame: pl.DataFrame, N: int) -> FloatArray:
    """An intercept, numbers and indicators of levels (N, h), a row a subject; what follows is left out."""
    columns = [np.ones(N)]
    for series in frame.iter_columns():
        if series.dtype.is_numeric() or series.dtype == pl.Boolean:
            columns.append(series.cast(pl.Float64).to_numpy().astype(np.float64))
            continue
        labels = series.cast(pl.String)
        columns += [
            (labels == label).to_numpy().astype(float) for label in labels.drop_nulls().unique().sort()[1:]
        ]
    Z = np.column_stack(columns)
    return Z[:, list(independent_columns(Z))]
