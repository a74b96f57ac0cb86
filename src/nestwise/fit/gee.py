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

from nestwise.arrays import FloatArray
from nestwise.config.study import MarginalVariance, WorkingCorrelation
from nestwise.design.record import Design
from nestwise.fit.gee_diagnostics import cluster_influence, criteria, gee_checks
from nestwise.fit.gee_refusals import gee_problems
from nestwise.fit.gee_search import indistinct
from nestwise.fit.gee_table import criteria_rows, fixed_rows, ratio_rows, wald_tests, working_rows
from nestwise.fit.gee_variance import (
    FEW_CLUSTERS,
    GeeCovariance,
    GeeScores,
    all_standard_errors,
    chosen_kind,
    gee_covariance,
    satterthwaite_df,
    scores_of,
)
from nestwise.fit.influence import Influence, influence_frame
from nestwise.fit.marginal_model import MarginalModel, model_of_one_mean
from nestwise.fit.ordinal_gee import ordinal_model
from nestwise.fit.predictions import prediction_rows
from nestwise.fit.refusals import refuse
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
    *,
    selection: FloatArray | None = None,
) -> Fit:
    """Fit a population-averaged model.

    Parameters
    ----------
    design : Design
        Of any family; its random terms name the clusters. AR(1), unstructured and m-dependent correlations
        need `occasions`, the nested one two nested factors; ordinal outcomes take independence, exchangeable
        and a global odds ratio.
    correlation, lags : str, int
        Working correlation; visits apart that are correlated under m_dependent.
    variance : str or None
        LZ, KC, MD, FG, MBN or model; by default KC with t tests on J - p degrees of freedom below 50
        clusters, else LZ with z tests.
    level : float
        Coverage of the intervals.
    selection : ndarray (n,), optional
        Weights that repair a selection, as inverse probabilities of being seen, taken for known. They count
        rows, where `Design.weights` divide their variance. Except with independence they may not differ
        inside a cluster.

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
    refuse(gee_problems(design, correlation, variance, selection))
    model = _model(design, correlation, lags, selection)
    kind = chosen_kind(variance, model.J)
    scores = _scores(model, kind)
    covariance = gee_covariance(scores, kind)
    left_out = cluster_influence(model.layout, scores) if _small(model) else None
    return Fit(
        **design.identity | {"n_groups": model.J},
        engine="gee",
        method=f"{correlation}, {'model-based' if kind == 'model' else kind}",
        **_verdict(design, model, covariance, weighted=selection is not None),
        n_parameters=_n_parameters(model),
        estimates=_rows(model, scores, covariance, level),
        checks=gee_checks(model.layout, model.range, model.state, covariance),
        tests=wald_tests(model.named, model.data, model.state, covariance),
        influence=influence_frame([left_out] if left_out is not None else []),
        predictions=prediction_rows(design, model.fitted, model.fitted),
        record=_record(design, model, scores, covariance, left_out),
        seconds=perf_counter() - began,
    )


def _model(
    design: Design, correlation: WorkingCorrelation, lags: int, selection: FloatArray | None
) -> MarginalModel:
    if design.family == "ordinal":
        return ordinal_model(design, correlation, selection)
    return model_of_one_mean(design, correlation, lags, selection)


def _small(model: MarginalModel) -> bool:
    return model.J * model.state.gamma.size**2 <= MOST_ELEMENTS


def _scores(model: MarginalModel, kind: MarginalVariance) -> GeeScores:
    try:
        return scores_of(
            (model.D, model.r), model.data.T, model.layout.clusters, model.state.phi,
            indicators=model.indicators, with_information=_small(model) or kind in {"KC", "MD", "FG"},
        )  # fmt: skip
    except np.linalg.LinAlgError:
        raise indistinct(model.named.formula) from None


def _n_parameters(model: MarginalModel) -> int:
    """Coefficients, working correlations, a dispersion unless the outcome is ordinal, a size."""
    others = int(model.indicators == 1) + int(model.data.family == "negative_binomial")
    return model.state.gamma.size + len(model.names) + others


def _rows(
    model: MarginalModel, scores: GeeScores, covariance: GeeCovariance, level: float
) -> tuple[Estimate, ...]:
    fixed = fixed_rows(model.named, model.data, model.state, covariance, level)
    found = criteria(model.quasi, model.independent, model.state, scores)
    return (*fixed, *working_rows(model), *ratio_rows(model.named, fixed), *criteria_rows(found))


def _verdict(
    design: Design, model: MarginalModel, covariance: GeeCovariance, *, weighted: bool
) -> dict[str, Any]:
    """Status, its reason and the warnings of a `Fit`."""
    warnings = _warnings(design, model, covariance, weighted=weighted)
    if not model.state.converged:
        way_out = "use fewer predictors or the usual link"
        if model.structure != "independence":
            way_out = f"choose `correlation: independence`, or {way_out}"
        reason = f"The estimating equations were not solved, and what is shown came nearest: {way_out}."
        said = {"reason": reason, "converged": False, "warnings": (reason, *warnings)}
        return {"status": Status.NOT_CONVERGED} | said
    if design.family == "negative_binomial" and np.isinf(model.state.size):
        reason = (
            "The counts vary no more than Poisson's, and the size of the negative binomial has no finite "
            "estimate; use family poisson."
        )
        said = {"reason": reason, "converged": True, "warnings": (reason, *warnings)}
        return {"status": Status.SINGULAR} | said
    return {"status": Status.OK, "converged": True, "warnings": warnings}


def _warnings(
    design: Design, model: MarginalModel, covariance: GeeCovariance, *, weighted: bool
) -> tuple[str, ...]:
    layout, kind, state = model.layout, covariance.kind, model.state
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
    blind = [name for name, lost in zip(model.named.names, covariance.blind, strict=True) if lost]
    if blind:
        found.append(f"One {group} alone informs {several(blind)}, so there is no robust standard error.")
    if state.pulled:
        found.append(
            "The estimated working correlation is not positive definite and was pulled towards independence: "
            "choose a simpler one."
        )
    excluded = design.row_flow.n_used < design.row_flow.n_source
    if weighted:
        found.append(
            "Rows are weighted for how likely they were to be seen, and the weights are taken for known: the "
            "answer stands and falls with the model that made them."
        )
    elif excluded or np.ptp(layout.clusters.sizes) > 0:
        what = "rows were left out" if excluded else f"{plural(group)} differ in their number of rows"
        found.append(
            f"Unweighted estimating equations need data missing completely at random, and {what}: if being "
            "missing depends on observed outcomes, use a likelihood model (`glmm`, `lmm`) or weights."
        )
    return tuple(found)


def _record(
    design: Design,
    model: MarginalModel,
    scores: GeeScores,
    covariance: GeeCovariance,
    left_out: Influence | None,
) -> dict[str, Any]:
    layout, state = model.layout, model.state
    told = scores if layout.J <= MANY_CLUSTERS else replace(scores, P=None)
    df = satterthwaite_df(told, covariance.kind)
    varying = [name for name in design.varying if name not in {"(Intercept)"}]
    notes = [f"{several(varying)} stand in brackets that only name the clusters here."] if varying else []
    return {
        "terms": list(model.named.names),
        "covariance": covariance.covariance.tolist(),
        "clusters": {
            "group": model.group,
            "n": layout.J,
            "smallest": int(layout.clusters.sizes.min()) // model.indicators,
            "largest": int(layout.clusters.sizes.max()) // model.indicators,
        },
        "working_correlation": {
            "structure": model.structure,
            "parameters": dict(zip(model.names, model.parameters.tolist(), strict=True)),
            "moments": dict(zip(model.names, model.moments.tolist(), strict=True)),
            "pairs": dict(zip(model.names, model.pairs.tolist(), strict=True)),
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
