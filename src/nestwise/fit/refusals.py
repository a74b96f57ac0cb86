"""What a linear mixed model cannot be asked, said before any work is done: a sentence and a way out each."""

from __future__ import annotations

import numpy as np

from nestwise.design.record import Design
from nestwise.errors import Problem, Refusal
from nestwise.fit.sweep import Swept

PERFECT = 1e-12
"""Share of the outcome's variance below which the residual variance counts as zero."""


def refuse_unfit(design: Design, *, engine: str) -> None:
    """Raise if the design is not one a Gaussian engine can answer; every reason at once.

    Raises
    ------
    Refusal
        Family other than Gaussian, constant outcome, no more rows than fixed effects.
    """
    problems = gaussian_problems(design, engine=engine)
    if problems:
        raise Refusal(problems)


def gaussian_problems(design: Design, *, engine: str) -> list[Problem]:
    """Reasons why a Gaussian engine cannot answer, empty if there are none."""
    problems = []
    if design.family != "gaussian" or design.link != "identity":
        problems.append(
            Problem(
                f"`{engine}` fits a Gaussian outcome with identity link, and this model is "
                f"{design.family} with link {design.link}",
                design.formula,
                "choose an engine for that family, such as glmm or pymc",
            )
        )
    y = design.y if design.offset is None else design.y - design.offset
    if y.size and np.ptp(y) == 0:
        problems.append(
            Problem(
                f"{design.outcome} is the same in every row",
                design.formula,
                "check the column and how missing values are coded",
            )
        )
    if design.n <= design.X.shape[1]:
        problems.append(
            Problem(
                f"{design.n} rows cannot determine {design.X.shape[1]} fixed effects and a residual variance",
                design.formula,
                "use fewer predictors, or more rows",
            )
        )
    return problems


def refuse_unfit_mixed(design: Design, *, engine: str) -> None:
    """Raise if the design is not one a linear mixed model with one grouping factor can answer.

    Raises
    ------
    Refusal
        The reasons of `refuse_unfit`; no random term; several grouping factors; one group; a coefficient
        that varies twice; at least as many random effects as rows.
    """
    problems = gaussian_problems(design, engine=engine)
    where = design.formula
    factors = list(dict.fromkeys(term.group for term in design.random))
    if not factors:
        way_out = "add a term such as (1 | group), or use the engine `pooled`"
        raise Refusal([*problems, Problem("the model has no random effects", where, way_out)])
    if len(factors) > 1:
        what = f"`{engine}` takes one grouping factor so far, and the model has {' and '.join(factors)}"
        way_out = "keep the random effects of one factor and enter the others as fixed effects"
        raise Refusal([*problems, Problem(what, where, way_out)])
    names = [name for term in design.random for name in term.names]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        what = f"{' and '.join(twice)} varies by {factors[0]} in more than one term"
        problems.append(Problem(what, where, "write it in one pair of brackets only"))
    J = design.random[0].n_groups
    if J < 2:
        what = f"{factors[0]} has one group, so nothing can be said of the variation between groups"
        way_out = "leave the random effects out, or use a grouping factor with more groups"
        problems.append(Problem(what, where, way_out))
    elif design.n <= J * len(names):
        what = (
            f"{design.n} rows hold {J * len(names)} random effects ({len(names)} for each of {J} groups), "
            "so they cannot be told from the residuals"
        )
        way_out = f"let fewer coefficients vary by {factors[0]}, or take a factor whose groups hold more rows"
        problems.append(Problem(what, where, way_out))
    if problems:
        raise Refusal(problems)


def refuse_perfect(design: Design, swept: Swept, scale: float) -> None:
    """Raise if groups and predictors reproduce the outcome: the residual variance would be zero.

    Raises
    ------
    Refusal
    """
    if swept.rss <= PERFECT * design.n * scale**2:
        group = design.random[0].group
        what = f"inside each {group} the model reproduces {design.outcome} exactly: no residual variance"
        way_out = f"let fewer coefficients vary, or check whether {design.outcome} was copied within groups"
        raise Refusal(Problem(what, design.formula, way_out))
