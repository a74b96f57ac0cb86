"""Linear mixed models by REML or ML: the engine `lmm`."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter

import numpy as np

from nestwise.config.study import DegreesOfFreedom, Sandwich
from nestwise.design.record import Design
from nestwise.fit.brief import brief_lmm, robust_part
from nestwise.fit.clusters import independent_clusters
from nestwise.fit.conditional_aic import conditional_aic, conditional_rows
from nestwise.fit.fixed_effects import FixedInference, fixed_effect_inference, method_name
from nestwise.fit.inference import contextual_rows, information, t_rows
from nestwise.fit.influence import influence, influence_frame
from nestwise.fit.influence_crossed import influence_by_equations
from nestwise.fit.ladder import ladder
from nestwise.fit.means import means_frame
from nestwise.fit.mmrm import fit_mmrm
from nestwise.fit.profile import profile_intervals
from nestwise.fit.profile_curves import profile_curves
from nestwise.fit.quantities import (
    Intervals,
    covariance_rows,
    derived_rows,
    group_table,
    interval_warnings,
    predict_rows,
)
from nestwise.fit.r2 import r2_rows
from nestwise.fit.state import LmmState, solve_lmm, verdict
from nestwise.fit.tests import term_tests
from nestwise.fit.variance_tests import variance_tests
from nestwise.likelihood.crossproducts import CrossProducts
from nestwise.likelihood.moments import work
from nestwise.names import several
from nestwise.results import Estimate, Fit, Status, empty
from nestwise.vocabulary import PROFILES

COSTLY = 1e8
"""Beyond this many multiplications an evaluation, intervals that need hundreds of them are left out."""
MANY_ROWS = 20_000
"""Beyond this many rows, tests of variances and the conditional AIC are left out."""
LARGE_CLUSTER = 1_000
"""Rows that hang together, beyond which leaving each group out in turn takes longer than the fit."""


def fit_lmm(
    design: Design,
    level: float = 0.95,
    *,
    df: DegreesOfFreedom = "satterthwaite",
    robust: Sandwich | None = None,
    bootstrap: int = 0,
    seed: int = 0,
    brief: bool = False,
) -> Fit:
    """Fit a linear mixed model.

    Parameters
    ----------
    design : Design
        `design.reml` chooses the criterion.
    level : float
        Coverage of the intervals.
    df : str
        Degrees of freedom of the t and F tests; named in `method` unless they are Satterthwaite's.
    robust : str, optional
        Cluster-robust standard errors in rows of their own.
    bootstrap : int
        Refits of the parametric bootstrap.
    seed : int
        Root seed of the bootstrap and of simulated null distributions.
    brief : bool
        Leave out what pooling over imputations does not use; see `fit.brief`.

    Returns
    -------
    Fit
        Fixed effects with t tests; standard deviations, correlations and sigma on the outcome's scale with
        profile intervals; derived quantities; F tests, marginal means, influence, profiles; status `ok`,
        `singular` or `not_converged`.

    Raises
    ------
    Refusal
        See `fit.refusals`.
    """
    began = perf_counter()
    if design.residual is not None:
        return fit_mmrm(design, level, df=df, robust=robust, brief=brief)
    state = solve_lmm(design)
    if brief:
        return replace(brief_lmm(design, state, df, robust, level), seconds=perf_counter() - began)
    fit = _with_clusters(_fit(design, state, df, level), design, state, robust, level)
    fit = _with_simpler_models(fit, design, state, seed)
    if fit.status is Status.SINGULAR:
        fit = replace(fit, record={**fit.record, "ladder": ladder(design, state)})
    if bootstrap:
        fit = _bootstrapped(fit, design, state, (bootstrap, seed), level)
    return replace(fit, seconds=perf_counter() - began)


def _bootstrapped(fit: Fit, design: Design, state: LmmState, asked: tuple[int, int], level: float) -> Fit:
    """The fit with the record of so many refits under a seed, or why there is none."""
    from nestwise.fit import bootstrap as simulated  # compiled code: slow to import

    refits, seed = asked
    too_long = simulated.too_long(design, state, refits)
    if too_long is not None:
        return replace(fit, warnings=(*fit.warnings, too_long))
    found = simulated.bootstrap(design, state, refits, seed, level).record
    return replace(fit, record={**fit.record, "bootstrap": found})


def _fit(design: Design, state: LmmState, df: DegreesOfFreedom, level: float) -> Fit:
    """What follows from the optimum itself."""
    solution, optimum = state.solution, state.optimum
    status, reason, warnings = verdict(design, state)
    intervals, notes = _intervals(design, state, level)
    inference = fixed_effect_inference(design, state, df)
    return Fit(
        **design.identity,
        engine="lmm",
        method=method_name(design, df),
        status=status,
        reason=reason,
        converged=optimum.converged,
        singular=optimum.singular,
        **information(solution.log_likelihood, solution.n_parameters, design.n),
        warnings=(*warnings, *notes),
        estimates=(
            *_fixed_rows(design, state, inference, level),
            *covariance_rows(design, solution, intervals, level),
            *derived_rows(design, solution, intervals, level),
            *contextual_rows(design.contextual, inference, level),
            *r2_rows(design, solution),
        ),
        groups=group_table(design, state, solution, level),
        predictions=predict_rows(design, solution),
        tests=term_tests(design.term_of, inference),
        means=means_frame(design.means, inference, level),
        profiles=profile_curves(
            design, state.compressed, optimum.theta, intervals, reml=design.reml, level=level
        )
        if intervals
        else empty(PROFILES),
        record={
            "optimisation": optimum.record,
            "theta": solution.theta.tolist(),
            "fixed_covariance": {"names": list(design.names), "values": solution.cov_beta.tolist()},
        },
    )


def _intervals(design: Design, state: LmmState, level: float) -> tuple[Intervals, tuple[str, ...]]:
    """Profile intervals of the covariance parameters, and what to say of those that are missing."""
    if not state.optimum.converged:
        return {}, ()
    if work(state.compressed) > COSTLY:
        return {}, (
            "Profile intervals of the standard deviations were not computed: with so many crossed groups "
            "they take minutes.",
        )
    theta = state.optimum.theta
    found = profile_intervals(design, state.compressed, theta, reml=design.reml, level=level)
    return found, interval_warnings(found)


def _fixed_rows(
    design: Design, state: LmmState, inference: FixedInference, level: float
) -> tuple[Estimate, ...]:
    beta = state.solution.beta
    return t_rows(design.names, beta, inference.std_error, inference.df(np.eye(beta.size)), level)


def _with_simpler_models(fit: Fit, design: Design, state: LmmState, seed: int) -> Fit:
    """Tests of what varies, and the conditional AIC, where neither takes longer than the fit."""
    if design.n > MANY_ROWS or work(state.compressed) > COSTLY or not state.optimum.converged:
        return fit
    fit = replace(fit, tests=(*fit.tests, *variance_tests(design, state, seed)))
    if int(np.bincount(independent_clusters(design)).max()) > LARGE_CLUSTER:
        return fit
    return replace(fit, estimates=(*fit.estimates, *conditional_rows(conditional_aic(design, state))))


def _not_left(groups: list[str]) -> tuple[str, ...]:
    """What to say of factors whose groups were not left out in turn."""
    if not groups:
        return ()
    return (
        f"What leaving out single groups of {several(groups)} would do was not computed: they touch so "
        "many other groups that it takes minutes.",
    )


def _with_clusters(fit: Fit, design: Design, state: LmmState, robust: Sandwich | None, level: float) -> Fit:
    """Influence of the groups, and cluster-robust errors where the clusters are small enough for them."""
    solution = state.solution
    if isinstance(state.products, CrossProducts):
        fit = replace(fit, influence=influence_frame(influence(design, solution)))
    else:
        found, left_out = influence_by_equations(design, state)
        fit = replace(fit, influence=influence_frame(found), warnings=(*fit.warnings, *_not_left(left_out)))
    rows, notes = robust_part(design, solution, robust, level)
    return replace(fit, estimates=(*fit.estimates, *rows), warnings=(*fit.warnings, *notes))
