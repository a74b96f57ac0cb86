"""What a generalised linear mixed model cannot be asked, said before any work is done."""

from __future__ import annotations

import numpy as np

from nestwise.arrays import BoolArray, IntArray
from nestwise.design.membership import row_list
from nestwise.design.record import Design
from nestwise.errors import Problem
from nestwise.fit.refusals import lmm_only_problems, same_groups
from nestwise.likelihood.families import LINKS_OF
from nestwise.names import several

BOUNDED = ("binomial", "ordinal")
"""Families whose groups can show one value only without telling how far they lie apart."""


def glmm_problems(design: Design) -> list[Problem]:
    """Reasons why the model cannot be fitted, empty if there are none.

    Gaussian outcomes; links of other families; what only `lmm` takes into account; values that the family
    does not have; one group; several grouping factors; a coefficient that varies twice; an outcome that
    does not vary at all, or inside no group; single trials that no group repeats.
    """
    where = design.formula
    if design.family == "gaussian":
        what = "`glmm` is for outcomes that are not Gaussian"
        return [Problem(what, where, "use the engine `lmm`, or set the family")]
    problems = lmm_only_problems(design, engine="glmm")
    links = LINKS_OF[design.family]
    if design.link not in links:
        what = f"the family {design.family} has no link {design.link} here"
        problems.append(Problem(what, where, f"use {several(links)}"))
    if not design.random:
        what = "the model has no random effects"
        return [*problems, Problem(what, where, "add a term such as (1 | group)")]
    problems += group_problems(design)
    found = outcome_problems(design)
    return problems + (found or _constant_problems(design))


def outcome_problems(design: Design) -> list[Problem]:
    """Values that the family does not have, with their rows."""
    y, trials = design.y, design.trials
    whole = y == np.round(y)
    name = design.outcome
    wrong: list[tuple[BoolArray, str, str]] = []
    if design.family == "binomial" and trials is not None:
        counts = "count successes and trials, or give cbind(successes, failures)"
        wrong = [
            (~whole | (trials != np.round(trials)), f"{name} is not made of whole numbers", counts),
            (y < 0, f"{name} has fewer than 0 successes", counts),
            (y > trials, f"{name} has fewer trials than successes", "correct the rows"),
            (trials == 0, f"{name} has no trials", "leave the rows out, or declare them missing"),
        ]
    elif design.family == "binomial":
        ways = "code it 0 and 1, or give cbind(successes, failures)"
        wrong = [((y != 0) & (y != 1), f"{name} is neither 0 nor 1", ways)]
    elif design.family in ("poisson", "negative_binomial"):
        ways = f"{name} must count something; for positive measurements take the family gamma"
        wrong = [(~whole | (y < 0), f"{name} is not a count (0, 1, 2, ...)", ways)]
    elif design.family == "gamma":
        wrong = [(y <= 0, f"{name} is not positive", "the family gamma takes positive values only")]
    return [
        Problem(f"{what} in {row_list(design.rows[places])}", design.formula, way_out)
        for places, what, way_out in wrong
        if places.any()
    ]


def group_problems(design: Design) -> list[Problem]:
    """Reasons that lie in the grouping factors: one group, equal groups, a coefficient that varies twice."""
    problems, where = [], design.formula
    for i, first in enumerate(design.factors):
        for second in design.factors[i + 1 :]:
            both = set(first.names) & set(second.names)
            if both and same_groups(first, second):
                what = f"{first.group} and {second.group} are the same groups, and {min(both)} varies by both"
                problems.append(Problem(what, where, "keep one of the two terms"))
    for factor in design.factors:
        twice = sorted({name for name in factor.names if factor.names.count(name) > 1})
        if twice:
            what = f"the coefficient of {several(twice)} varies by {factor.group} in more than one term"
            problems.append(Problem(what, where, "write it in one pair of brackets only"))
        if factor.n_groups < 2:
            what = (
                f"the factor {factor.group} has one group, so nothing can be said of the variation "
                "between groups"
            )
            way_out = "leave the random effects out, or use a grouping factor with more groups"
            problems.append(Problem(what, where, way_out))
    return problems


def _constant_problems(design: Design) -> list[Problem]:
    """An outcome that does not vary at all, or never inside a group."""
    where, name = design.formula, design.outcome
    empty = design.family in ("poisson", "negative_binomial") and not design.y.any()
    if empty or (design.family in BOUNDED and constant(design, np.zeros(design.n, dtype=np.int64), 1).all()):
        what = f"the outcome {name} is {'0' if empty else 'the same'} in every row"
        return [Problem(what, where, "check the column and how missing values are coded")]
    if design.family not in BOUNDED:
        return []
    problems = []
    trials = np.ones_like(design.y) if design.trials is None else design.trials
    for factor in design.factors:
        if factor.n_groups < 2:
            continue
        rows = np.bincount(factor.codes, weights=trials, minlength=factor.n_groups)
        if (rows <= 1).all():
            what = f"each {factor.group} has a single trial, so its own effect cannot be told from chance"
            way_out = "leave the random effect out, or use a factor whose groups hold more rows"
            problems.append(Problem(what, where, way_out))
        elif constant(design, factor.codes, factor.n_groups).all():
            what = f"{name} is the same in all rows of each {factor.group}: no finite variance is best"
            way_out = (
                f"analyse one row for each {factor.group}, or use the engine pymc, whose priors keep the "
                "variance finite"
            )
            problems.append(Problem(what, where, way_out))
    return problems


def constant(design: Design, codes: IntArray, J: int) -> BoolArray:
    """Which groups (J,) show one value only: no success, no failure, or one category."""
    trials = np.ones_like(design.y) if design.trials is None else design.trials
    value = design.y / trials if design.family == "binomial" else design.y
    low, high = np.full(J, np.inf), np.full(J, -np.inf)
    np.minimum.at(low, codes, value)
    np.maximum.at(high, codes, value)
    return np.asarray((low == high) & ((design.family != "binomial") | (low == 0) | (low == 1)))
