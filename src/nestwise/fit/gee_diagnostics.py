"""Whether a working correlation is possible, which model is better, and which clusters decide.

- Bounds: two binary outcomes cannot have just any correlation (Prentice 1988): with
  ``o = sqrt(mu / (1 - mu))`` it lies between
  ``-min(o_j o_k, 1 / (o_j o_k))`` and ``min(o_j / o_k, o_k / o_j)``.
- QIC = -2 Q / phi + 2 tr(Omega cov), Omega the information of independence at the estimates and cov the LZ
  covariance; QICu counts p in place of the trace, CIC is the trace (Pan 2001; Hin & Wang 2009). geepack
  leaves phi out of Q, and takes Omega from a fit with independence.
- Leaving a cluster out, by one step: ``beta - beta_(j) = (S - P_j)^-1 s_j`` (Preisser & Qaqish 1996).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.fit.cluster_layout import ClusterLayout
from nestwise.fit.gee_search import GeeState
from nestwise.fit.gee_solution import GeeData
from nestwise.fit.gee_variance import FEW_CLUSTERS, GeeCovariance, GeeScores
from nestwise.fit.influence import Groups, Influence, measures
from nestwise.fit.working_correlation import MARGIN, Working
from nestwise.names import plural
from nestwise.results import Check

MOST_PAIRS = 50_000_000
"""Pairs of rows beyond which their bounds are not looked at one by one."""
SLACK, LEAST = 1e-8, 1e-12


@dataclass(frozen=True)
class Criteria:
    """Criteria to compare models by; smaller is better.

    Attributes
    ----------
    qic : float
        For predictors and working correlations.
    qicu : float
        For predictors.
    cic : float
        For working correlations.
    """

    qic: float
    qicu: float
    cic: float


@dataclass(frozen=True)
class Range:
    """Whether a working correlation is possible.

    Attributes
    ----------
    margin : float
        Least share of the variance it leaves in any direction; not positive if it is not definite.
    outside : float or None
        Share of the clusters whose outcomes cannot be so correlated; `None` where that is not asked.
    """

    margin: float
    outside: float | None


def criteria(quasi: float, independent: FloatArray, state: GeeState, scores: GeeScores) -> Criteria:
    """QIC, QICu and CIC of a solved fit.

    Parameters
    ----------
    quasi : float
        Quasi-likelihood with phi = 1.
    independent : ndarray (p, n)
        Columns whitened as if rows were independent.
    state, scores
        The solution.
    """
    quasi, p = quasi / state.phi, state.gamma.size
    # coordinates with S = I: gamma = half' x, and Omega there is half^-1' (independent independent') half^-1
    cov = scores.to_gamma @ scores.s.T @ scores.s @ scores.to_gamma.T
    trace = float(np.trace(independent @ independent.T @ cov)) / state.phi
    return Criteria(-2 * quasi + 2 * trace, -2 * quasi + 2 * p, trace)


def outside_bounds(working: Working, state: GeeState) -> float | None:
    """Share of the clusters with a correlation that binary outcomes of their means cannot have.

    `None` without a correlation, and where there are too many pairs to look at.
    """
    sizes = working.layout.clusters.sizes
    if not working.names:
        return None
    mu = state.mu.clip(LEAST, 1 - LEAST)
    odds = np.sqrt(mu / (1 - mu))
    if working.structure == "exchangeable" and state.alpha[0] >= 0:
        starts = working.layout.clusters.starts
        upper = np.minimum.reduceat(odds, starts) / np.maximum.reduceat(odds, starts)
        return float((state.alpha[0] > upper + SLACK)[sizes > 1].sum() / sizes.size)
    if int((sizes**2).sum()) > MOST_PAIRS:
        return None
    wrong = 0
    for _, rows in working.layout.clusters.stacks():
        o = odds[rows]
        ratio, product = o[:, :, None] / o[:, None, :], o[:, :, None] * o[:, None, :]
        R = working.matrices(state.alpha, rows)
        high = np.minimum(ratio, 1 / ratio) + SLACK < R
        low = -np.minimum(product, 1 / product) - SLACK > R
        wrong += int((high | low).any(axis=(1, 2)).sum())
    return wrong / sizes.size


def range_of_correlations(data: GeeData, working: Working, state: GeeState) -> Range:
    """Definiteness of the correlations as they were estimated, and range of those of binary outcomes."""
    margin = working.margin(state.raw_alpha) if working.names else 1.0
    return Range(margin, outside_bounds(working, state) if _binary(data) else None)


def gee_checks(
    layout: ClusterLayout, found: Range, state: GeeState, covariance: GeeCovariance
) -> tuple[Check, ...]:
    """Number of clusters, definiteness and range of the working correlation."""
    J, group = layout.J, plural(layout.factor.group)
    few = J < FEW_CLUSTERS
    clusters = Check(
        "clusters",
        float(J),
        float(FEW_CLUSTERS),
        not few,
        f"{J} {group} are few: read {covariance.kind} standard errors with the t tests shown, not z."
        if few
        else f"{J:,} {group} are enough for robust standard errors.",
    )
    return (clusters, *_correlation_checks(found, state))


def _correlation_checks(found: Range, state: GeeState) -> tuple[Check, ...]:
    made = []
    if state.alpha.size:
        advice = (
            "The estimated correlations fit no covariance and were pulled towards independence: choose "
            "exchangeable or independence."
            if state.pulled
            else "The working correlation is positive definite in every cluster."
        )
        made.append(Check("working_correlation_definite", found.margin, MARGIN, not state.pulled, advice))
    share = found.outside
    if share is not None:
        advice = (
            "In some clusters outcomes with these probabilities cannot be so correlated: compare with "
            "independence, or model odds ratios."
            if share
            else "Outcomes with these probabilities can be so correlated."
        )
        made.append(Check("working_correlation_range", share, 0.0, share == 0, advice))
    return tuple(made)


def _binary(data: GeeData) -> bool:
    return data.family == "binomial" and bool(((data.y == 0) | (data.y == 1)).all())


def cluster_influence(layout: ClusterLayout, scores: GeeScores) -> Influence | None:
    """What leaving each cluster out would do, by one step; `None` without `GeeScores.P`.

    Distances are in the model-based covariance ``phi M``.
    """
    if scores.P is None:
        return None
    P = scores.P / scores.phi
    groups = Groups(layout.factor.group, layout.labels, layout.clusters.codes)
    return measures(groups, P, scores.s / scores.phi, P, scores.back.T)
