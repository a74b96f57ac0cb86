"""Linear mixed models by REML or ML: the engine `lmm`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import polars as pl

from nestwise.arrays import FloatArray
from nestwise.design.record import Design
from nestwise.fit.fixed_effects import fixed_effect_inference
from nestwise.fit.inference import information, t_rows
from nestwise.fit.levels import level_rows, level_table
from nestwise.fit.limits import Interval
from nestwise.fit.optimise import SINGULAR_TOLERANCE, Optimum, optimise
from nestwise.fit.partition import kish_size, mean_square_z, partition, partition_rows
from nestwise.fit.pooling import fixed_lines, partial_pooling, pooling_table
from nestwise.fit.predictions import fixed_part, prediction_rows
from nestwise.fit.profile import profile_intervals
from nestwise.fit.refusals import lmm_problems, mixed_problems, refuse, refuse_perfect, refuse_saturated
from nestwise.fit.simulation import random_part
from nestwise.fit.solution import LmmSolution, solve
from nestwise.fit.sweep import Swept, sweep
from nestwise.likelihood.compression import compress, groups_last
from nestwise.likelihood.crossed import collapse_crossed
from nestwise.likelihood.crossproducts import CrossProducts, collapse
from nestwise.likelihood.gaussian import Products, constant, criterion
from nestwise.likelihood.moments import work
from nestwise.likelihood.working import Pattern
from nestwise.results import Estimate, Fit, Status
from nestwise.vocabulary import INTERCEPT

ZERO_SD = SINGULAR_TOLERANCE
"""A random effect whose typical contribution is below this share of sigma has an SD of zero."""

COSTLY = 1e8
"""Beyond this many multiplications an evaluation, intervals that need hundreds of them are left out."""

Intervals = dict[tuple[str, ...], Interval]


@dataclass(frozen=True)
class LmmState:
    """A design with everything the maximisation of its likelihood gave, for the engines that start from it.

    Attributes
    ----------
    products, compressed : CrossProducts or CrossedProducts
        One entry a group; fewer entries with the same likelihood (the same, with several factors).
    swept : Swept or None
        No pooling; `None` with several factors.
    optimum : Optimum
        Where the search ended.
    solution : LmmSolution
        Estimates.
    """

    products: Products
    compressed: Products
    swept: Swept | None
    optimum: Optimum
    solution: LmmSolution


def solve_lmm(design: Design, *, engine: str = "lmm") -> LmmState:
    """Maximise the (restricted) likelihood of a design.

    Parameters
    ----------
    design : Design
        Gaussian; any number of grouping factors and terms on them.
    engine : str
        Named in refusals.

    Raises
    ------
    Refusal
        See `fit.refusals`.
    """
    several = len(design.factors) > 1 or any(term.membership is not None for term in design.random)
    if several or design.sampling_error is not None:
        refuse(lmm_problems(design, engine=engine))
        crossed = collapse_crossed(design)
        optimum = optimise(crossed, reml=design.reml)
        return LmmState(crossed, crossed, None, optimum, solve(crossed, optimum.theta, reml=design.reml))
    refuse(mixed_problems(design, engine=engine))
    products = collapse(design)
    swept = sweep(products)
    refuse_perfect(design, swept, products.scale)
    refuse_saturated(design, swept)
    compressed = groups_last(compress(products))
    optimum = optimise(compressed, reml=design.reml)
    return LmmState(products, compressed, swept, optimum, solve(products, optimum.theta, reml=design.reml))


def fit_lmm(design: Design, level: float = 0.95) -> Fit:
    """Fit a linear mixed model.

    Parameters
    ----------
    design : Design
        `design.reml` chooses the criterion.
    level : float
        Coverage of the intervals.

    Returns
    -------
    Fit
        Fixed effects with Satterthwaite t tests; standard deviations, correlations and sigma on the outcome's
        scale with profile intervals; derived quantities; status `ok`, `singular` or `not_converged`.

    Raises
    ------
    Refusal
        See `fit.refusals`.
    """
    began = perf_counter()
    state = solve_lmm(design)
    solution, optimum = state.solution, state.optimum
    status, reason, warnings = _verdict(design, state)
    intervals: Intervals = {}
    if optimum.converged and work(state.compressed) > COSTLY:
        warnings += (
            "Profile intervals of the standard deviations were not computed: with so many crossed groups "
            "they take minutes.",
        )
    elif optimum.converged:
        intervals = profile_intervals(design, state.compressed, optimum.theta, reml=design.reml, level=level)
        warnings += _interval_warnings(intervals)
    inference = fixed_effect_inference(design, state, "satterthwaite")
    df = inference.t(np.eye(solution.beta.size))
    fixed = t_rows(design.names, solution.beta, inference.std_error, df, level)
    return Fit(
        **design.identity,
        engine="lmm",
        method="REML" if design.reml else "ML",
        status=status,
        reason=reason,
        converged=optimum.converged,
        singular=optimum.singular,
        **information(solution.log_likelihood, solution.n_parameters, design.n),
        warnings=warnings,
        estimates=(
            *fixed,
            *covariance_rows(design, solution, intervals, level),
            *derived_rows(design, solution, intervals, level),
        ),
        groups=group_table(design, state, solution, level),
        predictions=predict_rows(design, solution),
        record={
            "optimisation": optimum.record,
            "theta": solution.theta.tolist(),
            "fixed_covariance": {"names": list(design.names), "values": solution.cov_beta.tolist()},
        },
        seconds=perf_counter() - began,
    )


def covariance_rows(
    design: Design, solution: LmmSolution, intervals: Intervals, level: float
) -> tuple[Estimate, ...]:
    """Rows `sd`, `cor` and `residual`: standard deviations and correlations on the outcome's scale.

    Parameters
    ----------
    design : Design
        The model.
    solution : LmmSolution
        Its estimates.
    intervals : mapping
        As `profile_intervals` gives them; rows without one have null limits.
    level : float
        Their coverage.
    """
    sds: list[Estimate] = []
    cors: list[Estimate] = []
    sd = reported_sd(design, solution)
    start = 0
    for term in design.random:
        for i, name in enumerate(term.names):
            limits = _limits(intervals.get(("sd", term.group, name)), level)
            sds.append(Estimate("sd", name, float(sd[start + i]), term.group, **limits))
            for k in range(i) if term.correlated else ():
                a, b = start + k, start + i
                r = solution.Sigma[a, b] / (sd[a] * sd[b]) if sd[a] * sd[b] > 0 else None
                value = None if r is None else float(np.clip(r, -1, 1))
                limits = _limits(intervals.get(("cor", term.group, term.names[k], name)), level)
                pair = f"{term.names[k]}:{name}"
                cors.append(Estimate("cor", pair, value, term.group, scale="correlation", **limits))
        start += len(term.names)
    limits = _limits(intervals.get(("sigma",)), level)
    return (*sds, *cors, Estimate("residual", "sigma", solution.sigma, **limits))


def _limits(interval: Interval | None, level: float) -> dict[str, Any]:
    """The interval's columns of a row; all null without one."""
    if interval is None or interval.failure is not None:
        return {}
    return {"lower": interval.lower, "upper": interval.upper, "level": level}


def _interval_warnings(intervals: Intervals) -> tuple[str, ...]:
    return tuple(
        f"There is no profile interval of {' '.join(key)}: {interval.failure}."
        for key, interval in intervals.items()
        if interval.failure is not None
    )


def reported_sd(design: Design, solution: LmmSolution) -> FloatArray:
    """Standard deviations (q,), exactly zero where only rounding is left of one."""
    reach = np.sqrt(np.concatenate([(term.Z**2).mean(axis=0) for term in design.random]))
    return np.where(solution.sd * reach < ZERO_SD * solution.sigma, 0.0, solution.sd)


def derived_rows(
    design: Design, solution: LmmSolution, intervals: Intervals, level: float
) -> tuple[Estimate, ...]:
    """Rows `derived`: ICC, shares of variance, design effect, variance ratio, break-even size."""
    names = design.varying
    if len(design.factors) > 1 or design.random[0].membership is not None:
        return level_rows(design, solution.Sigma, solution.sigma)
    size = kish_size(design)
    Sigma = np.where(np.outer(sd := reported_sd(design, solution), sd) > 0, solution.Sigma, 0.0)
    parts = partition(Sigma, solution.sigma, names, mean_square_z(design), size)
    ratio = intervals.get(("ratio",)) if names == (INTERCEPT,) else None
    limits = (None, None) if ratio is None else (ratio.lower, ratio.upper)
    return partition_rows(design.random[0].group, parts, limits, level, size)


def notes_on_derived(design: Design) -> list[str]:
    """What a reader must know of the derived rows."""
    names = design.varying
    notes = [
        "The design_effect is 1 + (m - 1) icc with m the average group size as a row sees it, "
        f"sum n_j^2 / n = {kish_size(design):.4g}.",
    ]
    if len(names) > 1 and INTERCEPT in names:
        others = ", ".join(name for name in names if name != INTERCEPT)
        notes.append(
            f"The icc, design_effect, variance_ratio and break_even_n hold where {others} are 0; "
            "variance_share is averaged over the rows."
        )
    return notes


def group_table(design: Design, state: LmmState, solution: LmmSolution, level: float) -> pl.DataFrame:
    """No, complete and partial pooling of every group; with several factors, what each level adds."""
    if state.swept is None or not isinstance(state.products, CrossProducts):
        return level_table(design, state.products, solution, level)
    lines = fixed_lines(design)
    coefficients = partial_pooling(
        lines,
        beta=solution.beta,
        cov_beta=solution.cov_beta,
        b=solution.effects[0].b,
        b_cov=solution.effects[0].b_cov,
        b_on_beta=solution.effects[0].b_on_beta,
        level=level,
    )
    return pooling_table(
        design,
        state.products,
        state.swept,
        coefficients,
        Sigma=solution.Sigma,
        sigma=solution.sigma,
        lines=lines,
    )


def predict_rows(design: Design, solution: LmmSolution) -> pl.DataFrame:
    """One row an analysis row, in the schema `PREDICTIONS`."""
    fixed = fixed_part(design, solution.beta)
    b = [effects.b for effects in solution.effects]
    return prediction_rows(design, fixed, fixed + random_part(design, b))


def reevaluate(design: Design, record: Mapping[str, Any]) -> float:
    """The criterion at the optimum that a saved fit recorded, on a design made again.

    Parameters
    ----------
    design : Design
        Of the same model and data.
    record : mapping
        `Fit.record` as loaded.

    Returns
    -------
    float
        To be compared with ``record["optimisation"]["objective"]``.
    """
    several = len(design.factors) > 1 or any(term.membership is not None for term in design.random)
    products: Products = (
        collapse_crossed(design)
        if several or design.sampling_error is not None
        else groups_last(compress(collapse(design)))
    )
    theta = np.asarray(record["optimisation"]["theta"], dtype=float)
    at = criterion(products, products.pattern.matrix(theta), reml=design.reml)
    return at.value + constant(products, reml=design.reml)


def _singular_groups(design: Design, optimum: Optimum, pattern: Pattern) -> tuple[str, ...]:
    """Grouping factors whose covariance has lost rank."""
    Lambda = pattern.matrix(optimum.theta)
    return tuple(
        factor.group
        for factor in design.factors
        if np.linalg.svd(Lambda[np.ix_(factor.columns, factor.columns)], compute_uv=False)[-1]
        < SINGULAR_TOLERANCE
    )


def _verdict(design: Design, state: LmmState) -> tuple[Status, str | None, tuple[str, ...]]:
    """Status, reason and warnings of an optimum."""
    optimum = state.optimum
    if not optimum.converged:
        group = design.random[0].group
        messages = "; ".join(dict.fromkeys(run["message"] for run in optimum.record["runs"]))
        reason = (
            f"The search for the optimum ended without satisfying the criteria (gradient "
            f"{optimum.record['gradient_norm']:.2g}; {messages}); let fewer coefficients vary by {group}."
        )
        return Status.NOT_CONVERGED, reason, (reason,)
    if not optimum.singular:
        return Status.OK, None, ()
    found = _singular_groups(design, optimum, state.products.pattern)
    group = " and by ".join(found)
    if any(len(factor.names) > 1 for factor in design.factors if factor.group in found):
        reason = (
            f"The covariance of the effects that vary by {group} has lost rank: a standard deviation is "
            "estimated as 0 or a correlation as 1 or -1; drop the correlation (||), then a varying slope, or "
            "use the engine pymc."
        )
    else:
        reason = (
            f"The standard deviation by {group} is estimated as 0: the groups differ no more "
            "than chance would have it; leave the random effect out, or use the engine pymc for its "
            "plausible range."
        )
    return Status.SINGULAR, reason, (reason,)
