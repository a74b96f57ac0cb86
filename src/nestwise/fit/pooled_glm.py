"""Complete pooling of binary outcomes, successes of trials and counts: a GLM, honest standard errors."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.design.record import Design
from nestwise.errors import Problem
from nestwise.fit.glm import PooledGlm, fit_glm
from nestwise.fit.glmm_refusals import outcome_problems
from nestwise.fit.inference import information, t_rows
from nestwise.fit.predictions import prediction_rows
from nestwise.fit.refusals import lmm_only_problems, refuse
from nestwise.fit.separation import separation_problems
from nestwise.likelihood.families import LINKS_OF, density, mean
from nestwise.likelihood.grouped_rows import GroupedRows, grouped_rows
from nestwise.names import several
from nestwise.results import Fit, Status
from nestwise.vocabulary import FEW_GROUPS, INTERCEPT

FAMILIES = ("binomial", "poisson")
"""Families without a dispersion, for which the coefficients are all there is to estimate."""


def fit_pooled_glm(design: Design, level: float = 0.95) -> Fit:
    """Maximum likelihood with the groups ignored, and cluster-robust standard errors.

    The sandwich of Liang & Zeger (1986) with ``J / (J - 1)`` and t with J - 1 degrees of freedom (CR1), J the
    groups of the factor with the fewest; the standard errors that take the rows for independent are in
    ``record["standard_errors"]``. The coefficients are population averages.

    Parameters
    ----------
    design : Design
        Binomial or Poisson; any random terms, of which the groups alone are used.
    level : float
        Coverage of the intervals.

    Raises
    ------
    Refusal
        Other families; values the family does not have; no groups; separation.
    """
    began = perf_counter()
    refuse(_problems(design))
    term = min(design.random, key=lambda term: term.n_groups)
    intercepts = replace(term, names=(INTERCEPT,), Z=np.ones((design.n, 1)))
    rows = grouped_rows(replace(design, random=(intercepts,)))
    glm = fit_glm(rows)
    refuse(separation_problems(design, glm))
    std_error = np.sqrt(np.diag(rows.T_X @ _sandwich(rows, glm, term.n_groups) @ rows.T_X.T))
    conventional = np.sqrt(np.diag(rows.T_X @ glm.covariance @ rows.T_X.T))
    beta = rows.T_X @ glm.beta
    estimates = t_rows(rows.names, beta, std_error, float(term.n_groups - 1), level, target="marginal")
    few = (
        f"The factor {term.group} has {term.n_groups} groups, fewer than {FEW_GROUPS}: cluster-robust "
        "standard errors are too small.",
    )
    expected = _expected(design, beta)
    return Fit(
        **design.identity,
        engine="pooled",
        method="GLM, CR1",
        status=Status.OK if glm.converged else Status.NOT_CONVERGED,
        reason=None if glm.converged else "Fisher's scoring found no maximum; use fewer predictors.",
        converged=glm.converged,
        **information(glm.log_likelihood, beta.size, design.n),
        warnings=few if term.n_groups < FEW_GROUPS else (),
        estimates=tuple(replace(row, scale="link") for row in estimates),
        predictions=prediction_rows(design, expected, expected),
        record={
            "standard_errors": {
                "terms": list(rows.names),
                "group": term.group,
                "conventional": conventional.tolist(),
                "CR1": std_error.tolist(),
            }
        },
        seconds=perf_counter() - began,
    )


def _problems(design: Design) -> list[Problem]:
    where = design.formula
    if design.family not in FAMILIES:
        what = f"`pooled` does not fit the family {design.family}"
        return [Problem(what, where, "use the engine `glmm`, or `gee` for population averages")]
    problems = lmm_only_problems(design, engine="pooled")
    links = LINKS_OF[design.family]
    if design.link not in links:
        what = f"the family {design.family} has no link {design.link} here"
        problems.append(Problem(what, where, f"use {several(links)}"))
    if not design.random or min(term.n_groups for term in design.random) < 2:
        what = "without two groups at least there is no standard error that allows for them"
        problems.append(Problem(what, where, "add a term such as (1 | group)"))
    return problems + outcome_problems(design)


def _sandwich(rows: GroupedRows, glm: PooledGlm, J: int) -> FloatArray:
    """Covariance (p, p) of the working coefficients from the scores of the groups."""
    d1 = density(rows.given, glm.eta, np.empty(0)).d1
    scores = rows.by_group(rows.X * d1)
    meat = (scores * rows.repeats) @ scores.T * (J / (J - 1))
    return np.asarray(glm.covariance @ meat @ glm.covariance)


def _expected(design: Design, beta: FloatArray) -> FloatArray:
    eta = design.X @ beta
    mu = mean(design.link, eta if design.offset is None else eta + design.offset)
    return mu if design.trials is None else mu * design.trials
