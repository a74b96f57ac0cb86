"""A solved marginal model as its tables read it, whatever the outcome: of one mean a row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestwise.arrays import FloatArray, IntArray
from nestwise.config.study import WorkingCorrelation
from nestwise.design.record import Design
from nestwise.errors import Refusal
from nestwise.fit import marginal_families as families
from nestwise.fit.cluster_layout import ClusterLayout, cluster_layout
from nestwise.fit.gee_diagnostics import Range, range_of_correlations
from nestwise.fit.gee_refusals import refuse_exact_fit, refuse_separation, refuse_undetermined
from nestwise.fit.gee_search import GeeState
from nestwise.fit.gee_solution import GeeData, gee_data, solve_gee, whitened
from nestwise.fit.working_correlation import working_correlation


@dataclass(frozen=True)
class MarginalModel:
    """Solved estimating equations.

    Attributes
    ----------
    named : Design
        Its names are those of the coefficients; of an ordinal outcome, the indicators.
    layout : ClusterLayout
        Clusters of the rows of `named`.
    data : GeeData
        Those rows.
    state : GeeState
        The solution.
    structure : str
        Working correlation.
    names : tuple of str, length k
        Its parameters.
    pairs : ndarray (k,)
        Pairs of rows each is estimated from.
    parameters, moments : ndarray (k,)
        Their values as tables show them, and before they were pulled in.
    D, r : ndarray (p, n), (n,)
        Whitened columns and residuals.
    independent : ndarray (p, n)
        The columns whitened as if rows were independent.
    quasi : float
        Quasi-likelihood of independent rows with phi = 1.
    fitted : ndarray
        Expected outcome of each row, in the order of the design.
    range : Range
        Whether the working correlation is possible.
    indicators : int
        Rows of `named` for one row of the design.
    """

    named: Design
    layout: ClusterLayout
    data: GeeData
    state: GeeState
    structure: str
    names: tuple[str, ...]
    pairs: IntArray
    parameters: FloatArray
    moments: FloatArray
    D: FloatArray
    r: FloatArray
    independent: FloatArray
    quasi: float
    fitted: FloatArray
    range: Range
    indicators: int = 1

    @property
    def J(self) -> int:  # noqa: N802
        """Number of clusters."""
        return self.layout.J

    @property
    def group(self) -> str:
        """What the clusters are called."""
        return self.layout.factor.group


def model_of_one_mean(
    design: Design, correlation: WorkingCorrelation, lags: int, selection: FloatArray | None
) -> MarginalModel:
    """Solve the equations of an outcome with one mean a row.

    Parameters
    ----------
    design : Design
        Without the problems of `gee_problems`.
    correlation, lags
        As of `fit_gee`.
    selection : ndarray (n,) or None
        Weights that repair a selection.

    Raises
    ------
    Refusal
        If there is no solution worth showing.
    """
    layout = cluster_layout(design, correlation, selection)
    working = working_correlation(correlation, layout, lags)
    refuse_undetermined(working)
    data = gee_data(design, layout)
    try:
        state = solve_gee(design, data, working)
    except Refusal:
        refuse_separation(design, None)  # says more of the reason, if it is that
        raise
    refuse_exact_fit(design, state)
    refuse_separation(design, state)
    D, r = whitened(working, state)
    quasi = families.quasi_likelihood(data.family, data.y, state.mu, state.size)
    fitted = np.empty_like(state.mu)
    fitted[layout.order] = state.mu
    return MarginalModel(
        design, layout, data, state, working.structure, working.names, working.pairs,
        state.alpha, state.raw_alpha, D, r, state.D, float((data.weight * quasi).sum()),
        fitted if design.trials is None else fitted * design.trials,
        range_of_correlations(data, working, state),
    )  # fmt: skip
