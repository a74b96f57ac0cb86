"""Estimating equations with weights of selection solved: the one file here that knows the engine's inside."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.config.study import MarginalVariance, WorkingCorrelation
from nestwise.design.record import Design
from nestwise.errors import Refusal
from nestwise.fit.cluster_layout import ClusterLayout, cluster_layout
from nestwise.fit.gee_refusals import gee_problems, refuse_exact_fit, refuse_separation, refuse_undetermined
from nestwise.fit.gee_solution import GeeData, GeeState, gee_data, solve_gee, whitened
from nestwise.fit.gee_table import working_rows
from nestwise.fit.gee_variance import GeeScores, gee_scores
from nestwise.fit.refusals import refuse
from nestwise.fit.working_correlation import Working, working_correlation
from nestwise.results import Estimate


@dataclass(frozen=True)
class WeightedSolution:
    """Solved weighted equations; rows in the order of the clusters, `layout.order`.

    Attributes
    ----------
    layout : ClusterLayout
    data : GeeData
    working : Working
    state : GeeState
    D, r : ndarray (p, n), (n,)
        Whitened columns and residuals, the roots of the weights in them: the score of a row is ``D r``.
    fitted : ndarray (n,)
        Expected outcomes in the order of the design.
    """

    layout: ClusterLayout
    data: GeeData
    working: Working
    state: GeeState
    D: FloatArray
    r: FloatArray
    fitted: FloatArray

    @property
    def n_parameters(self) -> int:
        """Coefficients, working correlations and a dispersion."""
        return self.state.gamma.size + len(self.working.names) + 1

    @property
    def nuisance_rows(self) -> tuple[Estimate, ...]:
        """Dispersion and working correlations."""
        return working_rows(self.working, self.state)

    def scores(self, *, with_information: bool) -> GeeScores:
        """Scores and information of the clusters."""
        return gee_scores(self.data, self.working, self.state, with_information=with_information)


def solve_weighted(
    design: Design,
    weights: FloatArray,
    correlation: WorkingCorrelation,
    lags: int,
    variance: MarginalVariance | None,
) -> WeightedSolution:
    """Solve ``sum_j D_j' V_j^-1 W_j (y_j - mu_j) = 0``.

    A weight in the variance of its row says the same: with independence row by row, and with any working
    correlation where the rows of a cluster share one weight.

    Parameters
    ----------
    design : Design
        With prior weights of its own, if the study has any.
    weights : ndarray (n,)
        Weights of selection.
    correlation, lags, variance
        As of `fit_gee`.

    Raises
    ------
    Refusal
        See `fit.gee_refusals`.
    """
    prior = 1.0 if design.weights is None else design.weights
    weighted = replace(design, weights=weights * prior)
    refuse(gee_problems(weighted, correlation, variance))
    layout = cluster_layout(weighted, correlation)
    working = working_correlation(correlation, layout, lags)
    refuse_undetermined(working)
    data = gee_data(weighted, layout)
    try:
        state = solve_gee(weighted, data, working)
    except Refusal:
        refuse_separation(weighted, None)  # says more of the reason, if it is that
        raise
    refuse_exact_fit(weighted, state)
    refuse_separation(weighted, state)
    fitted = np.empty_like(state.mu)
    fitted[layout.order] = state.mu if design.trials is None else state.mu * design.trials[layout.order]
    return WeightedSolution(layout, data, working, state, *whitened(working, state), fitted)
