"""Generalised linear mixed models by adaptive quadrature: the engine `glmm`."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from nestwise.design.record import Design
from nestwise.errors import Problem, Refusal
from nestwise.fit.chi_bar import mixture_p_value
from nestwise.fit.dispersion import dispersion_checks
from nestwise.fit.fixed_effects import FixedInference
from nestwise.fit.generalised import GlmmSolution, solution_of
from nestwise.fit.glm import PooledGlm, Rows, fit_glm
from nestwise.fit.glmm_profile import covariance_intervals
from nestwise.fit.glmm_refusals import glmm_problems
from nestwise.fit.glmm_table import (
    all_beta,
    covariance_rows,
    fixed_rows,
    group_table,
    linear_predictors,
    predictions,
    term_tests,
)
from nestwise.fit.inference import information
from nestwise.fit.latent import latent_rows
from nestwise.fit.means import means_frame
from nestwise.fit.observed import observed_rows
from nestwise.fit.points import POINTS, Optimum, optimise_glmm
from nestwise.fit.refusals import refuse
from nestwise.fit.separation import separation_problems
from nestwise.fit.variance_tests import without
from nestwise.likelihood.crossed_rows import CrossedRows, crossed_rows
from nestwise.likelihood.grouped_rows import grouped_rows
from nestwise.likelihood.modes import ModesNotFound
from nestwise.results import Check, Fit, Status, Test, empty
from nestwise.vocabulary import FEW_GROUPS, GROUPS, INTERCEPT, PREDICTIONS

POISSON_SIZE = 1e4
"""A negative binomial of this size is a Poisson distribution."""
MANY_ROWS = 20_000
"""Beyond this many rows models without one of the variances are not fitted to test it."""


@dataclass(frozen=True)
class GlmmState:
    """A design with everything the maximisation of its likelihood gave.

    Attributes
    ----------
    rows : GroupedRows or CrossedRows
        The data as the likelihood reads them.
    glm : PooledGlm
        The model without groups.
    optimum : Optimum
        Where the search ended.
    solution : GlmmSolution
        Estimates.
    """

    rows: Rows
    glm: PooledGlm
    optimum: Optimum
    solution: GlmmSolution


def solve_glmm(design: Design) -> GlmmState:
    """Maximise the likelihood of a design.

    Raises
    ------
    Refusal
        See `glmm_refusals` and `separation`.
    """
    refuse(glmm_problems(design))
    rows = rows_of(design)
    glm = fit_glm(rows)
    refuse(separation_problems(design, glm))
    try:
        optimum = optimise_glmm(rows, glm)
    except ModesNotFound as error:
        what = f"the likelihood cannot be calculated where it is highest: {error}"
        way_out = f"look for predictors or groups that reproduce {design.outcome} exactly"
        raise Refusal(Problem(what, design.formula, way_out)) from error
    return GlmmState(rows, glm, optimum, solution_of(design, rows, optimum))


def rows_of(design: Design) -> Rows:
    """The data as the likelihood reads them: by group with one factor, all together with several."""
    return grouped_rows(design) if len(design.factors) == 1 else crossed_rows(design)


def fit_glmm(design: Design, level: float = 0.95, *, brief: bool = False) -> Fit:
    """Fit a generalised linear mixed model.

    Parameters
    ----------
    design : Design
        Binomial, Poisson, negative binomial, gamma or ordinal; with one grouping factor by quadrature, with
        several, nested or crossed, by Laplace's approximation.
    level : float
        Coverage of the intervals.
    brief : bool
        Leave out what pooling does not use: profiles (Wald intervals instead), tests of what varies, groups.

    Returns
    -------
    Fit
        Fixed effects on the scale of the link with Wald z tests from the observed information; standard
        deviations with profile intervals; ICC, latent and as observed, and R2; conditional modes; checks;
        ``record["points"]``, the table of quadrature points. Status `ok`, `singular`, or `not_converged`
        where the search or the quadrature did not settle.

    Raises
    ------
    Refusal
        See `glmm_refusals` and `separation`.
    """
    began = perf_counter()
    state = solve_glmm(design)
    rows, optimum, solution = state.rows, state.optimum, state.solution
    status, reason = _verdict(design, state)
    intervals, note = covariance_intervals(design, rows, optimum, solution, level, brief=brief)
    fixed, eta = linear_predictors(design, solution)
    alone = intervals.get(("sd", design.random[0].group, INTERCEPT)) if len(design.varying) == 1 else None
    warnings = (*([reason] if reason else []), *([note] if note else []), *_warnings(design, optimum))
    return Fit(
        **design.identity,
        engine="glmm",
        method=method_name(optimum.points),
        status=status,
        reason=reason,
        converged=optimum.minimum.converged and (optimum.stable or isinstance(rows, CrossedRows)),
        singular=solution.singular,
        **information(solution.log_likelihood, solution.n_parameters, design.n),
        warnings=warnings,
        estimates=(
            *fixed_rows(design, solution, level),
            *covariance_rows(design, solution, intervals, level),
            *latent_rows(design, solution, fixed, alone, level),
            *observed_rows(design, solution, fixed),
        ),
        checks=(_quadrature_check(optimum), *dispersion_checks(design, solution, fixed, eta)),
        groups=empty(GROUPS) if brief else group_table(design, rows, state.glm, solution, level),
        predictions=empty(PREDICTIONS) if brief else predictions(design, solution, fixed, eta),
        tests=_tests(design, state, brief=brief),
        means=means_frame(design.means, _inference(design, solution), level),
        record=_record(state),
        seconds=perf_counter() - began,
    )


def _tests(design: Design, state: GlmmState, *, brief: bool) -> tuple[Test, ...]:
    fixed = term_tests(design.term_of, design.names, state.solution)
    return fixed if brief else (*fixed, *_variance_tests(design, state))


def _inference(design: Design, solution: GlmmSolution) -> FixedInference:
    """Tests of fixed effects against the normal distribution, on the scale of the link."""
    beta, covariance = all_beta(design, solution)
    return FixedInference(
        "normal", beta, covariance, covariance, np.zeros((0, *covariance.shape)), np.zeros((0, 0))
    )


def method_name(points: int) -> str:
    """`Laplace`, or `AGQ(9)` with the points in each dimension."""
    return "Laplace" if points == 1 else f"AGQ({points})"


def _record(state: GlmmState) -> dict[str, Any]:
    solution, optimum = state.solution, state.optimum
    return {
        "optimisation": optimum.record,
        "points": list(optimum.table),
        "tests_of_fixed_effects": "Wald z, observed information",
        "covariance": {
            "names": list(solution.covariance_names),
            "values": solution.covariance.tolist(),
        },
        "Sigma": solution.Sigma.tolist(),
        "auxiliary": dict(zip(solution.aux_names, solution.aux.tolist(), strict=True)),
        "pooled_log_likelihood": state.glm.log_likelihood,
    }


def _verdict(design: Design, state: GlmmState) -> tuple[Status, str | None]:
    optimum, solution = state.optimum, state.solution
    group = " and ".join(factor.group for factor in design.factors)
    if not optimum.minimum.converged:
        return Status.NOT_CONVERGED, (
            f"The search for the optimum ended without satisfying the criteria (gradient "
            f"{optimum.record['gradient_norm']:.2g}); let fewer coefficients vary by {group}, or use the "
            "engine pymc."
        )
    if not optimum.stable and not isinstance(state.rows, CrossedRows):
        return Status.NOT_CONVERGED, (
            f"With {optimum.points} quadrature points in each dimension the estimates still change with "
            f"their number, so that none is to be trusted; let fewer coefficients vary by {group}, or "
            "use the engine pymc."
        )
    if solution.singular and len(design.varying) > 1:
        return Status.SINGULAR, (
            f"The covariance of the effects that vary by {group} has lost rank: a standard deviation is "
            "estimated as 0 or a correlation as 1 or -1; drop the correlation (||), then a varying slope, or "
            "use the engine pymc."
        )
    if solution.singular:
        return Status.SINGULAR, (
            f"The standard deviation by {group} is estimated as 0: the groups differ no more than chance "
            "would have it; leave the random effect out, or use the engine pymc for its plausible range."
        )
    if design.family == "negative_binomial" and solution.aux[0] > np.log(POISSON_SIZE):
        return Status.SINGULAR, (
            "The counts vary no more than Poisson's, and the size of the negative binomial has no finite "
            "estimate; use family poisson."
        )
    return Status.OK, None


def _warnings(design: Design, optimum: Optimum) -> tuple[str, ...]:
    found = []
    for factor in design.factors:
        J, group = factor.n_groups, factor.group
        if J >= FEW_GROUPS:
            continue
        found.append(
            f"The factor {group} has {J} groups, fewer than {FEW_GROUPS}: maximum likelihood underestimates "
            "their standard deviation, and z tests reject too often."
        )
    if design.means:
        found.append("Marginal means are on the scale of the link and hold for a typical group.")
    if optimum.points == 1:
        found.append(
            "Laplace's approximation was not held against more quadrature points, which takes one grouping "
            "factor: with few rows a group and a binary outcome it can be far off."
        )
    return tuple(found)


def _quadrature_check(optimum: Optimum) -> Check:
    if len(optimum.table) == 1:
        advice = (
            "Laplace's approximation is all there is with several grouping factors: its error is unknown."
        )
        return Check("quadrature_points", float(optimum.points), None, ok=False, advice=advice)
    first, last = optimum.table[0], optimum.table[-1]
    moved = abs(last["log_likelihood"] - first["log_likelihood"])
    words = f"From {first['points']} to {last['points']} points the log-likelihood moved by {moved:.3g}"
    advice = (
        f"{words}; with {optimum.points} the estimates are stable."
        if optimum.stable
        else f"{words}, and the estimates have not settled: let fewer coefficients vary, or use pymc."
    )
    return Check("quadrature_points", float(optimum.points), None, optimum.stable, advice)


def _variance_tests(design: Design, state: GlmmState) -> tuple[Test, ...]:
    """Likelihood-ratio tests of what varies, on the boundary (rule 6); no intercepts beside slopes."""
    if not state.optimum.minimum.converged:
        return ()
    tests = []
    for place, term in enumerate(design.random):
        for column, name in enumerate(term.names):
            together = len(term.names) if term.correlated else 1
            if together > 1 and name == INTERCEPT:
                continue
            if len(design.varying) == 1:
                smaller = state.glm.log_likelihood
            elif design.n > MANY_ROWS:
                continue
            else:
                smaller = _smaller(without(design, place, column), state)
            statistic = max(2 * (state.solution.log_likelihood - smaller), 0.0)
            p_value = mixture_p_value(statistic, together - 1)
            reference = f"0.5 chi2({together - 1}) + 0.5 chi2({together})"
            tests.append(Test("variance", name, statistic, p_value, term.group, reference=reference))
    return tuple(tests)


def _smaller(design: Design, state: GlmmState) -> float:
    """Log-likelihood of a model with one coefficient less that varies, points as stable as its own."""
    try:
        rows = rows_of(design)
    except Refusal:
        return state.solution.log_likelihood
    points = (1,) if isinstance(state.rows, CrossedRows) else POINTS
    return -optimise_glmm(rows, state.glm, points).minimum.value / 2
