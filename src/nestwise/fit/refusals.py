"""What a linear mixed model cannot be asked, said before any work is done: a sentence and a way out each."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.design.record import Design, Factor
from nestwise.errors import Problem, Refusal
from nestwise.fit.sweep import Swept
from nestwise.likelihood.crossed import CrossedProducts
from nestwise.likelihood.products import Products
from nestwise.names import several
from nestwise.vocabulary import INTERCEPT

PERFECT = 1e-12
"""Share of the outcome's variance below which the residual variance counts as zero."""
ASYMMETRY = 1e-8
"""Difference across the diagonal of a relation, as a share of its largest entry, that counts as rounding."""
MOST_RELATED = 4_000
"""Random effects of related groups: each evaluation factors a dense matrix of that size."""
ABSORBED = 1e-9
"""Share of a coefficient's columns that X leaves, below which it holds them all."""
ROUNDING = 64 * float(np.finfo(float).eps)
"""Share of the outcome's size that arithmetic alone leaves behind."""


def refuse(problems: list[Problem]) -> None:
    """Raise if there are problems; all of them at once.

    Raises
    ------
    Refusal
    """
    if problems:
        raise Refusal(problems)


def gaussian_problems(design: Design, *, engine: str) -> list[Problem]:
    """Reasons why a Gaussian engine cannot answer, empty if there are none."""
    problems = [] if engine == "lmm" else lmm_only_problems(design, engine=engine)
    if design.family != "gaussian" or design.link != "identity":
        problems.append(
            Problem(
                f"`{engine}` fits a Gaussian outcome with identity link, and this model is "
                f"{design.family} with link {design.link}",
                design.formula,
                "use the engine `glmm`, `gee` or `pymc`; a Gaussian outcome has the identity link",
            )
        )
    y = design.y_less_offset
    if y.size and np.ptp(y) == 0:
        problems.append(
            Problem(
                f"the outcome {design.outcome} is the same in every row",
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


def lmm_only_problems(design: Design, *, engine: str) -> list[Problem]:
    """What only `lmm` takes into account, and an engine that would overlook it must not fit."""
    wanted = {
        "weights": design.weights is not None,
        "known standard errors": design.sampling_error is not None,
        "a residual covariance": design.residual is not None,
        "multiple memberships": any(term.membership is not None for term in design.random),
        "known relations between groups": any(term.relation is not None for term in design.random),
    }
    return [
        Problem(f"`{engine}` does not take {what} into account", design.formula, "use the engine `lmm`")
        for what, present in wanted.items()
        if present
    ]


def lmm_problems(design: Design, *, engine: str) -> list[Problem]:
    """Reasons why a linear mixed model with any number of grouping factors cannot be fitted.

    The reasons of `gaussian_problems`; no random term; a factor with one group; at least as many random
    effects of a factor as rows; a coefficient that varies twice by the same groups; relations that are none.
    """
    problems = gaussian_problems(design, engine=engine)
    where = design.formula
    if not design.random:
        way_out = "add a term such as (1 | group), or use the engine `pooled`"
        return [*problems, Problem("the model has no random effects", where, way_out)]
    for factor in design.factors:
        problems += _factor_problems(design, factor)
        problems += relation_problems(factor)
    for i, first in enumerate(design.factors):
        for second in design.factors[i + 1 :]:
            both = set(first.names) & set(second.names)
            if both and same_groups(first, second):
                what = f"{first.group} and {second.group} are the same groups, and {min(both)} varies by both"
                problems.append(Problem(what, where, "keep one of the two terms"))
    return problems


def _factor_problems(design: Design, factor: Factor) -> list[Problem]:
    problems, where, group = [], design.formula, factor.group
    twice = sorted({name for name in factor.names if factor.names.count(name) > 1})
    if twice:
        what = f"the coefficient of {' and '.join(twice)} varies by {group} in more than one term"
        problems.append(Problem(what, where, "write it in one pair of brackets only"))
    J, q = factor.n_groups, len(factor.names)
    if J < 2:
        what = f"the factor {group} has one group, so nothing can be said of the variation between groups"
        way_out = "leave the random effects out, or use a grouping factor with more groups"
        problems.append(Problem(what, where, way_out))
    elif design.n <= J * q and design.sampling_error is None and not _related(factor):
        what = (
            f"{design.n} rows hold {J * q} random effects ({q} for each of {J} groups), "
            "so they cannot be told from the residuals"
        )
        way_out = f"let fewer coefficients vary by {group}, or take a factor whose groups hold more rows"
        problems.append(Problem(what, where, way_out))
    return problems


def _related(factor: Factor) -> bool:
    """Whether groups tell of one another, so that one row a group may be enough."""
    relation = factor.terms[0].relation
    return relation is not None and bool(np.any(relation - np.diag(np.diag(relation))))


def relation_problems(factor: Factor) -> list[Problem]:
    """Reasons why the known correlation of a factor's groups is none, or too large."""
    relation, J, group = factor.terms[0].relation, factor.n_groups, factor.group
    if relation is None:
        return []
    where, what = f"the relation of {group}", None
    way_out = "give it one row and one column a group, symmetric, with no negative eigenvalue"
    if relation.shape != (J, J):
        what = f"it has the shape {relation.shape}, and {group} has {J} groups"
    elif not np.isfinite(relation).all():
        what = "it has entries that are no finite numbers"
    else:
        size = float(np.abs(relation).max())
        if np.abs(relation - relation.T).max() > ASYMMETRY * size:
            what = "it is not symmetric"
        elif J * len(factor.names) > MOST_RELATED:
            what = (
                f"{J:,} related groups have {J * len(factor.names):,} random effects, and dense matrices of "
                f"more than {MOST_RELATED:,} take too long"
            )
            way_out = "let fewer coefficients vary, or group by families instead of single members"
        elif float(np.linalg.eigvalsh(relation)[0]) < -J * float(np.finfo(float).eps) * size or not size:
            what = "it is not positive semi-definite, so it is no correlation"
    return [] if what is None else [Problem(what, where, way_out)]


def same_groups(first: Factor, second: Factor) -> bool:
    """Whether two factors sort the rows into the same groups, whatever these are called."""
    if first.n_groups != second.n_groups or first.terms[0].membership or second.terms[0].membership:
        return False
    return int(np.unique(first.codes * second.n_groups + second.codes).size) == first.n_groups


def one_factor_problems(design: Design, *, engine: str) -> list[Problem]:
    """Reasons why a model with exactly one grouping factor of at least two groups is not at hand.

    The reasons of `gaussian_problems`; no random term; several grouping factors; one group; a coefficient
    that varies twice.
    """
    problems = gaussian_problems(design, engine=engine)
    where = design.formula
    factors = list(dict.fromkeys(term.group for term in design.random))
    if not factors:
        way_out = "add a term such as (1 | group), or use the engine `pooled`"
        return [*problems, Problem("the model has no random effects", where, way_out)]
    if len(factors) > 1:
        what = f"`{engine}` takes one grouping factor so far, and the model has {' and '.join(factors)}"
        way_out = "keep the random effects of one factor and enter the others as fixed effects"
        return [*problems, Problem(what, where, way_out)]
    names = design.varying
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        what = f"the coefficient of {' and '.join(twice)} varies by {factors[0]} in more than one term"
        problems.append(Problem(what, where, "write it in one pair of brackets only"))
    if design.random[0].n_groups < 2:
        what = (
            f"the factor {factors[0]} has one group, so nothing can be said of the variation between groups"
        )
        way_out = "leave the random effects out, or use a grouping factor with more groups"
        problems.append(Problem(what, where, way_out))
    return problems


def mixed_problems(design: Design, *, engine: str) -> list[Problem]:
    """Reasons why a linear mixed model with one grouping factor cannot be fitted.

    The reasons of `one_factor_problems`; at least as many random effects as rows.
    """
    problems = one_factor_problems(design, engine=engine)
    if not problems:
        J, q = design.random[0].n_groups, len(design.varying)
        if design.n <= J * q:
            group = design.random[0].group
            what = (
                f"{design.n} rows hold {J * q} random effects ({q} for each of {J} groups), "
                "so they cannot be told from the residuals"
            )
            way_out = f"let fewer coefficients vary by {group}, or take a factor whose groups hold more rows"
            problems.append(Problem(what, design.formula, way_out))
    return problems


def refuse_exact(design: Design, variance: float) -> None:
    """Raise if the fixed effects reproduce the outcome: nothing is left to explain.

    Raises
    ------
    Refusal
    """
    y = design.y_less_offset
    if variance <= ROUNDING**2 * float((y**2).mean()) or variance <= PERFECT * float(y.var()):
        what = f"the fixed effects reproduce {design.outcome} exactly, so there is nothing left to explain"
        way_out = f"look for a predictor that is {design.outcome} under another name"
        raise Refusal(Problem(what, design.formula, way_out))


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


def refuse_perfect_crossed(design: Design, products: CrossedProducts) -> None:
    """As `refuse_perfect`, for several grouping factors.

    Where there are as many effects as rows they reproduce any outcome, and say nothing of this one.

    Raises
    ------
    Refusal
    """
    effects = sum(factor.n_groups * len(factor.names) for factor in design.factors)
    if design.sampling_error is not None or design.n <= effects + design.X.shape[1]:
        return
    if products.left <= PERFECT * design.n:
        groups = several([factor.group for factor in design.factors])
        what = f"with effects of all groups of {groups} the model reproduces {design.outcome} exactly: "
        way_out = f"let fewer coefficients vary, or check whether {design.outcome} was copied within groups"
        raise Refusal(Problem(f"{what}no residual variance", design.formula, way_out))


def refuse_absorbed(design: Design, products: Products) -> None:
    """Raise if the fixed effects hold a coefficient of every group: nothing is left to vary.

    Then the columns of Z for it lie in the span of X, and the restricted likelihood is flat in its variance.

    Raises
    ------
    Refusal
    """
    problems = []
    for factor, of_Z, of_X in _shares(design, products):
        for name, whole, held in zip(factor.names, of_Z, of_X, strict=True):
            if whole - held <= ABSORBED * whole:
                problems.append(_absorbed(design, factor.group, name))
    refuse(problems)


def _absorbed(design: Design, group: str, name: str) -> Problem:
    by = "" if name == INTERCEPT else f" by the coefficient of {name}"
    what = f"the fixed effects already tell every {group} apart{by}, so nothing is left to vary by {group}"
    way_out = f"take {group}, or what is constant within it, out of the fixed part, or leave the bars out"
    return Problem(what, design.formula, way_out)


def _shares(design: Design, products: Products) -> Iterator[tuple[Factor, FloatArray, FloatArray]]:
    """Of each factor: squared norms (q,) of its columns of Z, coefficient by coefficient, and within X."""
    p = products.p
    for f, factor in enumerate(design.factors):
        q = len(factor.names)
        if isinstance(products, CrossedProducts):
            of_Z = products.A.diagonal()[products.spans[f]].reshape(-1, q).sum(axis=0)
            X = products.by_group(products.B, f)[:, :, :p]
        else:
            of_Z, X = np.einsum("jaa->a", products.A), products.B[:, :, :p]
        yield factor, of_Z, (X**2).sum(axis=(0, 2)) / design.n  # X'X = n I


def refuse_saturated(design: Design, swept: Swept) -> None:
    """Raise if the fixed effects already hold every group's own coefficients: nothing is left to vary.

    The likelihood is then flat in the random effects' covariance, and any number would be as good.

    Raises
    ------
    Refusal
    """
    if design.n - swept.df <= design.X.shape[1]:
        raise Refusal(_absorbed(design, design.random[0].group, INTERCEPT))
