"""Estimating equations with weights of selection solved: the one file here that knows the engine's inside."""

from __future__ import annotations

from dataclasses import dataclass

from nestwise.arrays import FloatArray
from nestwise.config.study import MarginalVariance, WorkingCorrelation
from nestwise.design.record import Design
from nestwise.fit.cluster_layout import ClusterLayout
from nestwise.fit.gee_refusals import gee_problems
from nestwise.fit.gee_search import GeeState
from nestwise.fit.gee_solution import GeeData
from nestwise.fit.gee_table import working_rows
from nestwise.fit.gee_variance import GeeScores, scores_of
from nestwise.fit.marginal_model import MarginalModel, model_of_one_mean
from nestwise.fit.refusals import refuse
from nestwise.results import Estimate


@dataclass(frozen=True)
class WeightedSolution:
    """Solved weighted equations; rows in the order of the clusters, `layout.order`.

    Attributes
    ----------
    model : MarginalModel
        The solution as the tables of the engine read it; `D` (p, n) and `r` (n,) are whitened columns and
        residuals with the roots of the weights in them: the score of a row is ``D r``.
    """

    model: MarginalModel

    @property
    def layout(self) -> ClusterLayout:
        """Clusters of the rows."""
        return self.model.layout

    @property
    def data(self) -> GeeData:
        """The rows."""
        return self.model.data

    @property
    def state(self) -> GeeState:
        """Where the equations hold."""
        return self.model.state

    @property
    def D(self) -> FloatArray:  # noqa: N802
        """Whitened columns (p, n)."""
        return self.model.D

    @property
    def r(self) -> FloatArray:
        """Whitened residuals (n,)."""
        return self.model.r

    @property
    def fitted(self) -> FloatArray:
        """Expected outcomes (n,) in the order of the design."""
        return self.model.fitted

    @property
    def n_parameters(self) -> int:
        """Coefficients, working correlations and a dispersion."""
        return self.state.gamma.size + len(self.model.names) + 1

    @property
    def nuisance_rows(self) -> tuple[Estimate, ...]:
        """Dispersion and working correlations."""
        return working_rows(self.model)

    def scores(self, *, with_information: bool) -> GeeScores:
        """Scores and information of the clusters."""
        return scores_of(
            (self.D, self.r), self.data.T, self.layout.clusters, self.state.phi,
            with_information=with_information,
        )  # fmt: skip


def solve_weighted(
    design: Design,
    weights: FloatArray,
    correlation: WorkingCorrelation,
    lags: int,
    variance: MarginalVariance | None,
) -> WeightedSolution:
    """Solve ``sum_j D_j' V_j^-1 W_j (y_j - mu_j) = 0``.

    Parameters
    ----------
    design : Design
        With prior weights of its own, if the study has any.
    weights : ndarray (n,)
        Weights of selection: of each row with independence, else the same for all rows of a cluster.
    correlation, lags, variance
        As of `fit_gee`.

    Raises
    ------
    Refusal
        See `fit.gee_refusals`.
    """
    refuse(gee_problems(design, correlation, variance, weights))
    return WeightedSolution(model_of_one_mean(design, correlation, lags, weights))
