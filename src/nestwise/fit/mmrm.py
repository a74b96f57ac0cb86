"""Linear models with a residual covariance inside the subject, alone (MMRM) or beside random effects."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np
import polars as pl

from nestwise.arrays import FloatArray
from nestwise.config.study import DegreesOfFreedom, Sandwich
from nestwise.design.covariance import ResidualDesign
from nestwise.design.record import Design
from nestwise.errors import Refusal
from nestwise.fit.fixed_effects import FixedInference, method_name
from nestwise.fit.inference import contextual_rows, information, t_rows
from nestwise.fit.influence import influence_by_clusters, influence_frame
from nestwise.fit.limits import Interval
from nestwise.fit.marginal_solution import (
    FLAT,
    MmrmState,
    mmrm_covariance,
    mmrm_inference,
    random_effects,
    residual_of,
    solve_mmrm,
)
from nestwise.fit.means import means_frame
from nestwise.fit.predictions import fixed_part, prediction_rows
from nestwise.fit.residual_refusals import WORDS, residual_warnings
from nestwise.fit.residual_table import profiled, quantities, residual_record, residual_rows
from nestwise.fit.sandwich import robust_covariance, robust_rows, robust_warnings
from nestwise.fit.tests import term_tests
from nestwise.likelihood.marginal import MarginalData, marginal
from nestwise.results import Estimate, Fit, Status, empty
from nestwise.vocabulary import GROUPS, INFLUENCE, PREDICTIONS

NO_CORRELATION = 1e-3
"""An AR(1) correlation below this, where it cannot be negative, is 0."""
MOST_PROFILED = 6
"""Intervals are profiles with at most this many covariance parameters."""
COSTLY = 200_000
"""... and at most this many numbers in the data; otherwise they follow from the curvature."""


def fit_mmrm(
    design: Design,
    level: float = 0.95,
    *,
    df: DegreesOfFreedom = "satterthwaite",
    robust: Sandwich | None = None,
    brief: bool = False,
) -> Fit:
    """Fit a linear model with a residual covariance inside the subject.

    Parameters
    ----------
    design : Design
        With `residual`; `design.reml` chooses the criterion. Random effects of the subject or of one factor
        above it may stand beside it.
    level, df, robust, brief
        As in `fit_lmm`; briefly, intervals of the covariance follow from the curvature.

    Returns
    -------
    Fit
        Fixed effects; rows `residual` (see `residual_table.quantities`); rows `sd` and `cor` of the random
        effects; ``record["residual"]`` with the estimated matrices.

    Raises
    ------
    Refusal
        See `fit.residual_refusals`.
    """
    began = perf_counter()
    state = solve_mmrm(design)
    status, reason, warnings = _verdict(design, state)
    inference = mmrm_inference(design, state, df)
    robust_part, robust_notes = _robust_rows(design, state, robust, level)
    covariance_rows, intervals = _covariance_rows(design, residual_of(design), state, level, brief=brief)
    n_groups = design.n_groups or int(residual_of(design).subjects.max()) + 1
    influence, influence_notes = (empty(INFLUENCE), ()) if brief else _influence(design, state)
    return Fit(
        **design.identity | {"n_groups": n_groups},
        engine="lmm",
        method=method_name(design, df),
        status=status,
        reason=reason,
        converged=state.minimum.converged,
        singular=state.singular,
        **information(-state.deviance / 2, state.beta.shape[0] + state.data.k, design.n),
        warnings=(*warnings, *residual_warnings(design), *robust_notes, *influence_notes),
        estimates=(*_fixed_rows(design, inference, level), *robust_part, *covariance_rows),
        groups=empty(GROUPS) if brief else _group_rows(design, state),
        predictions=empty(PREDICTIONS) if brief else _prediction_rows(design, state),
        tests=term_tests(design.term_of, inference),
        means=means_frame(design.means, inference, level),
        influence=influence,
        record=_record(design, state, inference, intervals),
        seconds=perf_counter() - began,
    )


def _record(design: Design, state: MmrmState, inference: FixedInference, intervals: str) -> dict[str, Any]:
    matrices = residual_record(residual_of(design), state.data.model, state.phi, 1.0)
    return {
        "optimisation": _optimisation(state, "REML" if design.reml else "ML"),
        "residual": matrices | {"intervals": intervals},
        "fixed_covariance": {"names": list(design.names), "values": inference.cov_beta.tolist()},
    }


def _optimisation(state: MmrmState, criterion: str) -> dict[str, Any]:
    return {
        "parametrisation": "log standard deviations, correlations mapped to the line, Lambda",
        "criterion": criterion,
        "singular": state.singular,
        **state.minimum.record,
    }


def _fixed_rows(design: Design, inference: FixedInference, level: float) -> tuple[Estimate, ...]:
    df = inference.df(np.eye(inference.beta.shape[0]))
    fixed = t_rows(design.names, inference.beta, inference.std_error, df, level)
    return (*fixed, *contextual_rows(design.contextual, inference, level))


def _robust_rows(
    design: Design, state: MmrmState, robust: Sandwich | None, level: float
) -> tuple[tuple[Estimate, ...], tuple[str, ...]]:
    """Rows `robust` and what a reader must know of them; nothing unless they are asked for."""
    if robust is None:
        return (), ()
    V = mmrm_covariance(design, state, what="A cluster-robust covariance")
    found = robust_covariance(design, state.beta, V, robust)
    return robust_rows(design.names, state.beta, found, level), robust_warnings(design.names, found)


def _influence(design: Design, state: MmrmState) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """What leaving out each independent cluster would do, or why that is not said."""
    try:
        V = mmrm_covariance(design, state, what="Leaving out groups in turn")
    except Refusal as refusal:
        return empty(INFLUENCE), tuple(f"{problem.what}." for problem in refusal.problems)
    return influence_frame(influence_by_clusters(design, V, state.beta)), ()


def _verdict(design: Design, state: MmrmState) -> tuple[Status, str | None, tuple[str, ...]]:
    """Status, reason and warnings of an optimum."""
    words = WORDS[residual_of(design).structure]
    if not state.minimum.converged:
        record = state.minimum.record
        reason = (
            f"The search for the optimum ended without satisfying the criteria (gradient "
            f"{record['gradient_norm']:.2g}); use a residual covariance with fewer parameters than {words}."
        )
        return Status.NOT_CONVERGED, reason, (reason,)
    if state.singular:
        reason = (
            f"A covariance has lost rank: under {words} a standard deviation is estimated as 0 or a "
            "correlation as 1 or at its lower limit; use a residual covariance with fewer parameters"
            + (" or fewer random effects." if design.random else ".")
        )
        return Status.SINGULAR, reason, (reason,)
    model = state.data.model
    if model.structure == "ar1" and not model.signed and model.rho(state.phi)[0].min() < NO_CORRELATION:
        warning = (
            "The correlation rho is estimated as 0: between such times it can be no less, and the residuals "
            "may as well be independent; it has no interval."
        )
        return Status.OK, None, (warning,)
    values = np.linalg.eigvalsh(state.minimum.hessian)
    if values[0] < FLAT * values[-1]:
        warning = (
            "The data hardly tell some covariance parameters apart: another combination of them has the same "
            "likelihood, and they have no intervals; the fixed effects are not affected."
        )
        return Status.OK, None, (warning,)
    return Status.OK, None, ()


def _covariance_rows(
    design: Design, residual: ResidualDesign, state: MmrmState, level: float, *, brief: bool
) -> tuple[tuple[Estimate, ...], str]:
    """Rows `sd`, `cor` and `residual`, and how their intervals were made."""
    data, minimum = state.data, state.minimum
    model, q = data.model, data.q
    found = quantities(residual, model)
    values, vectors = np.linalg.eigh(minimum.hessian)
    sure = minimum.converged and not state.singular and values[0] >= FLAT * values[-1]
    covariance = 2 * (vectors / values) @ vectors.T if sure else None
    profiles: dict[int, Interval] = {}
    if sure and not brief and data.k <= MOST_PROFILED and data.W.size <= COSTLY:
        alone = [model.k] if q == 1 else []
        places = [place for place in found.places if place >= 0] + alone
        profiles = profiled(
            lambda x: _objective(data, x, reml=design.reml),
            minimum.at,
            minimum.value,
            places,
            level,
            signless=frozenset(alone),
        )
    phi_covariance = None if covariance is None else covariance[: model.k, : model.k]
    phi = minimum.at[: model.k]
    rows = residual_rows(found, phi, phi_covariance, profiles, scale=data.working.scale, level=level)
    how = "none" if not sure else "profile" if profiles else "delta method on log and Fisher's z"
    return (*_random_rows(design, state, profiles.get(model.k), level), *rows), how


def _objective(data: MarginalData, parameters: FloatArray, *, reml: bool) -> tuple[float, FloatArray]:
    at = marginal(data, parameters, reml=reml)
    return at.value, at.gradient


def _random_rows(
    design: Design, state: MmrmState, interval: Interval | None, level: float
) -> tuple[Estimate, ...]:
    """Rows `sd` and `cor`; the one standard deviation of a random intercept has profile limits."""
    sds: list[Estimate] = []
    cors: list[Estimate] = []
    sd, start = np.sqrt(np.diag(state.Sigma)), 0
    for term in design.random:
        for i, name in enumerate(term.names):
            row = Estimate("sd", name, float(sd[start + i]), term.group)
            if interval is not None and interval.lower is not None and interval.upper is not None:
                unit = state.data.working.scale * float(state.data.working.T_Z[0, 0])
                row = replace(row, lower=unit * interval.lower, upper=unit * interval.upper, level=level)
            sds.append(row)
            for k in range(i) if term.correlated else ():
                a, b = start + k, start + i
                product = sd[a] * sd[b]
                r = float(np.clip(state.Sigma[a, b] / product, -1, 1)) if product > 0 else None
                pair = f"{term.names[k]}:{name}"
                cors.append(Estimate("cor", pair, r, term.group, scale="correlation"))
        start += len(term.names)
    return (*sds, *cors)


def _group_rows(design: Design, state: MmrmState) -> pl.DataFrame:
    """Predicted random effects of each group; without random terms no rows."""
    if not design.random:
        return empty(GROUPS)
    b, covariance = random_effects(state)
    factor = design.factors[0]
    J, q = b.shape
    return pl.DataFrame(
        {
            "group": [factor.group] * (J * q),
            "label": np.repeat(np.array(factor.labels, dtype=object), q).tolist(),
            "term": list(factor.names) * J,
            "n": np.repeat(np.bincount(factor.codes, minlength=J), q),
            "random_effect": b.ravel(),
            "random_effect_se": np.sqrt(np.maximum(np.diagonal(covariance, axis1=1, axis2=2), 0)).ravel(),
        }
    )


def _prediction_rows(design: Design, state: MmrmState) -> pl.DataFrame:
    fixed = fixed_part(design, state.beta)
    fitted = fixed
    if design.random:
        b, _ = random_effects(state)
        fitted = fixed + np.einsum("iq,iq->i", design.Z, b[design.random[0].codes])
    return prediction_rows(design, fixed, fitted)
