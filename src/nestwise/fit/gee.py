"""Population-averaged models, the engine `gee`: generalised estimating equations.

The mean of each row follows the fixed part of the formula. Its brackets only name the clusters: the groups of
the factor that holds all others are taken for independent, and what varies inside the brackets is not
modelled. A working correlation makes the estimates efficient, a robust covariance judges them without
trusting it.
"""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np

from nestwise.config.study import MarginalVariance, WorkingCorrelation
from nestwise.design.record import Design
from nestwise.errors import Refusal
from nestwise.fit.cluster_layout import ClusterLayout, cluster_layout
from nestwise.fit.gee_diagnostics import cluster_influence, criteria, gee_checks
from nestwise.fit.gee_refusals import gee_problems, refuse_exact_fit, refuse_separation, refuse_undetermined
from nestwise.fit.gee_solution import GeeData, GeeState, gee_data, solve_gee
from nestwise.fit.gee_table import criteria_rows, fixed_rows, ratio_rows, wald_tests, working_rows
from nestwise.fit.gee_variance import (
    FEW_CLUSTERS,
    GeeCovariance,
    GeeScores,
    all_standard_errors,
    chosen_kind,
    gee_covariance,
    gee_scores,
    satterthwaite_df,
)
from nestwise.fit.influence import Influence, influence_frame
from nestwise.fit.predictions import prediction_rows
from nestwise.fit.refusals import refuse
from nestwise.fit.working_correlation import Working, working_correlation
from nestwise.names import plural, several
from nestwise.results import Estimate, Fit, Status

MOST_ELEMENTS = 30_000_000
"""Numbers in the information of all clusters up to which clusters are left out unasked."""
MOST_LISTED = 10
MANY_CLUSTERS = 5000
"""Beyond this many clusters all covariances agree, and one is computed."""


def fit_gee(
    design: Design,
    correlation: WorkingCorrelation = "exchangeable",
    lags: int = 1,
    variance: MarginalVariance | None = None,
    level: float = 0.95,
) -> Fit:
    """Fit a population-averaged model.

    Parameters
    ----------
    design : Design
        Gaussian, binomial, Poisson or gamma; its random terms name the clusters. AR(1), unstructured and
        m-dependent correlations need `occasions`, the nested one two nested factors.
    correlation : str
        Working correlation.
    lags : int
        Visits apart that are correlated under m_dependent.
    variance : str or None
        LZ, KC, MD, FG, MBN or model; by default KC with t tests on J - p degrees of freedom below 50
        clusters, else LZ with z tests.
    level : float
        Coverage of the intervals.

    Returns
    -------
    Fit
        Without likelihood, AIC and BIC: there is none. QIC, QICu and CIC are rows.

    Raises
    ------
    Refusal
        See `fit.gee_refusals`.
    """
    began = perf_counter()
    refuse(gee_problems(design, correlation, variance))
    layout = cluster_layout(design, correlation)
    working = working_correlation(correlation, layout, lags)
    data, state = _solved(design, working)
    kind = chosen_kind(variance, layout.J)
    J, p = layout.J, state.gamma.size
    small = J * p * p <= MOST_ELEMENTS
    scores = gee_scores(data, working, state, with_information=small or kind in {"KC", "MD", "FG"})
    covariance = gee_covariance(scores, kind)
    left_out = cluster_influence(working, scores) if small else None
    fitted = _in_place(layout, state.mu if design.trials is None else state.mu * design.trials[layout.order])
    return Fit(
        **design.identity | {"n_groups": J},
        engine="gee",
        method=f"{correlation}, {'model-based' if kind == 'model' else kind}",
        **_verdict(design, working, state, covariance),
        n_parameters=p + len(working.names) + 1,
        estimates=_rows(design, data, working, state, scores=scores, covariance=covariance, level=level),
        checks=gee_checks(data, working, state, covariance),
        tests=wald_tests(design, data, state, covariance),
        influence=influence_frame([left_out] if left_out is not None else []),
        predictions=prediction_rows(design, fitted, fitted),
        record=_record(design, working, state, scores=scores, covariance=covariance, left_out=left_out),
        seconds=perf_counter() - began,
    )


def _solved(design: Design, working: Working) -> tuple[GeeData, GeeState]:
    """The solution of the estimating equations, unless there is none worth showing."""
    refuse_undetermined(working)
    data = gee_data(design, working.layout)
    try:
        state = solve_gee(design, data, working)
    except Refusal:
        refuse_separation(design, None)  # says more of the reason, if it is that
        raise
    refuse_exact_fit(design, state)
    refuse_separation(design, state)
    return data, state


def _in_place(layout: ClusterLayout, values: Any) -> Any:
    """Values (n,) of the rows in the design's order."""
    found = np.empty_like(values)
    found[layout.order] = values
    return found


def _rows(
    design: Design,
    data: GeeData,
    working: Working,
    state: GeeState,
    *,
    scores: GeeScores,
    covariance: GeeCovariance,
    level: float,
) -> tuple[Estimate, ...]:
    fixed = fixed_rows(design, data, state, covariance, level)
    found = criteria_rows(criteria(data, state, scores))
    return (*fixed, *working_rows(working, state), *ratio_rows(design, fixed), *found)


def _verdict(design: Design, working: Working, state: GeeState, covariance: GeeCovariance) -> dict[str, Any]:
    """Status, its reason and the warnings of a `Fit`."""
    warnings = _warnings(design, working, state, covariance)
    if state.converged:
        return {"status": Status.OK, "converged": True, "warnings": warnings}
    way_out = "use fewer predictors or the usual link"
    if working.structure != "independence":
        way_out = f"choose `correlation: independence`, or {way_out}"
    reason = f"The estimating equations were not solved, and what is shown came nearest: {way_out}."
    said = {"reason": reason, "converged": False, "warnings": (reason, *warnings)}
    return {"status": Status.NOT_CONVERGED} | said


def _warnings(
    design: Design, working: Working, state: GeeState, covariance: GeeCovariance
) -> tuple[str, ...]:
    layout, kind = working.layout, covariance.kind
    group, found = layout.factor.group, []
    if layout.J < FEW_CLUSTERS:
        who = f"There are {layout.J} {plural(group)}, fewer than {FEW_CLUSTERS}"
        if kind in {"LZ", "model"}:
            found.append(f"{who}: {kind} standard errors are too small; use `variance: KC`.")
        else:
            found.append(
                f"{who}: {kind} standard errors and t tests on {covariance.df or 0:.0f} degrees of freedom "
                "take the place of LZ and z, which reject too often."
            )
    if kind == "model":
        found.append("Model-based standard errors are right only where the working correlation is.")
    blind = [name for name, lost in zip(design.names, covariance.blind, strict=True) if lost]
    if blind:
        found.append(f"One {group} alone informs {several(blind)}, so there is no robust standard error.")
    if state.pulled:
        found.append(
            "The estimated working correlation is not positive definite and was pulled towards independence: "
            "choose a simpler one."
        )
    excluded = design.row_flow.n_used < design.row_flow.n_source
    if excluded or np.ptp(layout.clusters.sizes) > 0:
        what = "rows were left out" if excluded else f"{plural(group)} differ in their number of rows"
        found.append(
            f"Unweighted estimating equations need data missing completely at random, and {what}: if being "
            "missing depends on observed outcomes, use a likelihood model (`glmm`, `lmm`) or weights."
        )
    return tuple(found)


def _record(
    design: Design,
    working: Working,
    state: GeeState,
    *,
    scores: GeeScores,
    covariance: GeeCovariance,
    left_out: Influence | None,
) -> dict[str, Any]:
    layout = working.layout
    told = scores if layout.J <= MANY_CLUSTERS else replace(scores, P=None)
    df = satterthwaite_df(told, covariance.kind)
    varying = [name for name in design.varying if name not in {"(Intercept)"}]
    notes = [f"{several(varying)} stand in brackets that only name the clusters here."] if varying else []
    return {
        "terms": list(design.names),
        "covariance": covariance.covariance.tolist(),
        "clusters": {
            "group": layout.factor.group,
            "n": layout.J,
            "smallest": int(layout.clusters.sizes.min()),
            "largest": int(layout.clusters.sizes.max()),
        },
        "working_correlation": {
            "structure": working.structure,
            "parameters": dict(zip(working.names, state.alpha.tolist(), strict=True)),
            "moments": dict(zip(working.names, state.raw_alpha.tolist(), strict=True)),
            "pairs": dict(zip(working.names, working.pairs.tolist(), strict=True)),
            "denominators": "number of pairs; phi: number of rows",
        },
        "variance": {
            "kind": covariance.kind,
            "df": covariance.df,
            "satterthwaite_df": None if df is None else df.tolist(),
            "standard_errors": {name: each.tolist() for name, each in all_standard_errors(told).items()},
        },
        "convergence": {"steps": state.steps, "converged": state.converged},
        "dfbeta": _largest(left_out),
        "notes": notes,
    }


def _largest(left_out: Influence | None) -> list[dict[str, Any]]:
    """What the clusters with the largest Cook distances do to the coefficients."""
    if left_out is None:
        return []
    known = np.flatnonzero(np.isfinite(left_out.cook))
    first = known[np.argsort(-left_out.cook[known], kind="stable")][:MOST_LISTED]
    return [{"label": left_out.labels[j], "dfbeta": left_out.dfbeta[j].tolist()} for j in first.tolist()]
