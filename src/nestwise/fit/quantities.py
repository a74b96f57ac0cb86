"""The tidy rows of a linear mixed model at its optimum, whichever engine found it."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from nestwise.arrays import FloatArray
from nestwise.design.record import Design
from nestwise.fit.levels import level_rows, level_table
from nestwise.fit.limits import Interval
from nestwise.fit.optimise import SINGULAR_TOLERANCE
from nestwise.fit.partition import kish_size, mean_square_z, partition, partition_rows
from nestwise.fit.pooling import fixed_lines, partial_pooling, pooling_table
from nestwise.fit.predictions import fixed_part, prediction_rows
from nestwise.fit.simulation import random_part
from nestwise.fit.solution import LmmSolution
from nestwise.fit.state import LmmState, several_levels
from nestwise.likelihood.crossproducts import CrossProducts
from nestwise.results import Estimate
from nestwise.vocabulary import INTERCEPT

ZERO_SD = SINGULAR_TOLERANCE
"""A random effect whose typical contribution is below this share of sigma has an SD of zero."""

Intervals = dict[tuple[str, ...], Interval]


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
    if design.sampling_error is not None:  # the residual variances are known: there is no sigma to estimate
        return (*sds, *cors)
    limits = _limits(intervals.get(("sigma",)), level)
    return (*sds, *cors, Estimate("residual", "sigma", solution.sigma, **limits))


def _limits(interval: Interval | None, level: float) -> dict[str, Any]:
    """The interval's columns of a row; all null without one."""
    if interval is None or interval.failure is not None:
        return {}
    return {"lower": interval.lower, "upper": interval.upper, "level": level}


def interval_warnings(intervals: Intervals) -> tuple[str, ...]:
    """A sentence for each interval that was not found."""
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
    if several_levels(design):
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
