"""A model with everything the maximisation of its likelihood gave, for the engines that start from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nestwise.design.record import Design
from nestwise.fit.optimise import SINGULAR_TOLERANCE, Optimum, optimise
from nestwise.fit.refusals import (
    lmm_problems,
    mixed_problems,
    refuse,
    refuse_absorbed,
    refuse_perfect,
    refuse_perfect_crossed,
    refuse_saturated,
)
from nestwise.fit.solution import LmmSolution, solve
from nestwise.fit.sweep import Swept, sweep
from nestwise.likelihood.compression import compress, groups_last
from nestwise.likelihood.crossed import collapse_crossed
from nestwise.likelihood.crossproducts import collapse
from nestwise.likelihood.gaussian import constant, criterion
from nestwise.likelihood.products import Products
from nestwise.likelihood.working import Pattern
from nestwise.results import Status


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
    if several_levels(design):
        refuse(lmm_problems(design, engine=engine))
        crossed = collapse_crossed(design)
        refuse_absorbed(design, crossed)
        refuse_perfect_crossed(design, crossed)
        optimum = optimise(crossed, reml=design.reml)
        return LmmState(crossed, crossed, None, optimum, solve(crossed, optimum.theta, reml=design.reml))
    refuse(mixed_problems(design, engine=engine))
    products = collapse(design)
    swept = sweep(products)
    refuse_perfect(design, swept, products.scale)
    refuse_saturated(design, swept)
    refuse_absorbed(design, products)
    compressed = groups_last(compress(products))
    optimum = optimise(compressed, reml=design.reml)
    return LmmState(products, compressed, swept, optimum, solve(products, optimum.theta, reml=design.reml))


def several_levels(design: Design) -> bool:
    """Whether the design goes the way of several factors: those, memberships, relations, known errors."""
    linked = any(term.membership is not None or term.relation is not None for term in design.random)
    return len(design.factors) > 1 or linked or design.sampling_error is not None


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
    products: Products = (
        collapse_crossed(design) if several_levels(design) else groups_last(compress(collapse(design)))
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


def verdict(design: Design, state: LmmState) -> tuple[Status, str | None, tuple[str, ...]]:
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
