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
from nestwise.fit.gee_variance import FEW_CLUSTERS, GeeCovariance, GeeScores, gee_covariance
from nestwise.missing.weighted_rows import WeightedRows
from nestwise.missing.weighted_solution import WeightedSolution


def stacked_covariance(
    rows: WeightedRows, solution: WeightedSolution, kind: MarginalVariance
) -> GeeCovariance:
    """Covariance of the coefficients that knows the weights were estimated.

    Parameters
    ----------
    rows : WeightedRows
    solution : WeightedSolution
    kind : str
        LZ, KC, MD, FG or MBN; the corrections are made to the scores that know the weights.
    """
    scores = solution.scores(with_information=kind in {"KC", "MD", "FG"})
    adjusted = stacked_scores(rows, solution, scores)
    (J, p), P = scores.s.shape, scores.P
    if P is not None and adjusted.shape[0] > J:
        P = np.concatenate([P, np.zeros((adjusted.shape[0] - J, p, p))])
    found = gee_covariance(replace(scores, s=adjusted, P=P), kind)
    few = kind != "LZ" or J < FEW_CLUSTERS
    return replace(found, df=float(J - p) if few and p < J else None)


def stacked_scores(rows: WeightedRows, solution: WeightedSolution, scores: GeeScores) -> FloatArray:
    """Scores of the clusters (J, p) with what the drop-out model adds; clusters without rows come last."""
    layout, made, D = solution.layout, rows.weights, solution.D
    half = np.linalg.inv(np.linalg.cholesky(D @ D.T))
    by_row = (half @ D) * solution.r  # rows that are whitened together share one weight, so this may be split
    A = by_row @ made.slope[rows.who, rows.when][layout.order]
    present = rows.cluster[rows.who][layout.order][layout.clusters.starts]
    total = np.zeros((int(rows.cluster.max()) + 1, made.influence.shape[1]))
    np.add.at(total, rows.cluster, made.influence)
    absent = np.setdiff1d(np.arange(total.shape[0]), present)
    return np.concatenate([scores.s + total[present] @ A.T, total[absent] @ A.T])
