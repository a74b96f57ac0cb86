"""The sandwich of weighted estimating equations, which knows that the weights were estimated.

With s_j(beta, alpha) the score of a cluster, u_j that of the drop-out models, I their information and A the
derivative of sum_j s_j with respect to alpha, the estimates behave as those with the scores

    s_j + A I^-1 u_j,

the upper block of the stacked estimating equations of (beta, alpha) (Robins, Rotnitzky & Zhao 1995; Preisser,
Lohman & Rathouz 2002). The corrections of `fit.gee_variance` for few clusters are made to these scores.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.config.study import MarginalVariance
from nestwise.fit.gee_solution import GeeData, GeeState, whitened
from nestwise.fit.gee_variance import FEW_CLUSTERS, GeeCovariance, GeeScores, gee_covariance, gee_scores
from nestwise.fit.working_correlation import Working
from nestwise.missing.weighted_rows import WeightedRows


def stacked_covariance(
    rows: WeightedRows, data: GeeData, working: Working, state: GeeState, *, kind: MarginalVariance
) -> GeeCovariance:
    """Covariance of the coefficients that knows the weights were estimated."""
    scores = gee_scores(data, working, state, with_information=kind in {"KC", "MD", "FG"})
    adjusted = stacked_scores(rows, scores, working, state)
    J, p = scores.s.shape
    P = scores.P
    if P is not None and adjusted.shape[0] > J:
        P = np.concatenate([P, np.zeros((adjusted.shape[0] - J, p, p))])
    found = gee_covariance(replace(scores, s=adjusted, P=P), kind)
    few = kind != "LZ" or J < FEW_CLUSTERS
    return replace(found, df=float(J - p) if few and p < J else None)


def stacked_scores(rows: WeightedRows, scores: GeeScores, working: Working, state: GeeState) -> FloatArray:
    """Scores of the clusters (J, p) with what the drop-out model adds; those without rows come last."""
    layout, made = working.layout, rows.weights
    D, r = whitened(working, state)
    half = np.linalg.inv(np.linalg.cholesky(D @ D.T))
    by_row = (half @ D) * r  # (p, n): whitened rows of a subject share one weight, so that this is its score
    slope = made.slope[rows.who, rows.when][layout.order]
    A = by_row @ slope
    cluster_of_row = rows.cluster[rows.who][layout.order]
    present = cluster_of_row[layout.clusters.starts]
    total = np.zeros((int(rows.cluster.max()) + 1, made.influence.shape[1]))
    np.add.at(total, rows.cluster, made.influence)
    absent = np.setdiff1d(np.arange(total.shape[0]), present)
    own = scores.s + total[present] @ A.T
    return np.concatenate([own, total[absent] @ A.T])
