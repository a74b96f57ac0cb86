"""The tidy rows of a generalised linear mixed model: estimates, groups, tests, expected rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from nestwise.arrays import FloatArray
from nestwise.design.record import Design
from nestwise.fit.generalised import GlmmSolution
from nestwise.fit.glm import PooledGlm, Rows
from nestwise.fit.inference import t_rows
from nestwise.fit.limits import Interval
from nestwise.fit.pooling import fixed_lines, group_rows, partial_pooling
from nestwise.fit.predictions import prediction_rows
from nestwise.fit.simulation import random_part
from nestwise.fit.solution import FactorEffects
from nestwise.likelihood.families import mean
from nestwise.likelihood.ordinal import category_probabilities
from nestwise.results import Estimate, Test
from nestwise.vocabulary import INTERCEPT

LINK = "link"
Key = tuple[str, ...]


def fixed_rows(design: Design, solution: GlmmSolution, level: float) -> tuple[Estimate, ...]:
    """Fixed effects, thresholds of an ordinal outcome before them, with Wald z tests on the link's scale."""
    names, beta, covariance = solution.names, solution.beta, solution.cov_beta
    rows = t_rows(names, beta, np.sqrt(np.diag(covariance)), None, level)
    if design.family == "ordinal":
        error = np.sqrt(np.diag(solution.cov_aux))
        rows = (*t_rows(solution.aux_names, solution.aux, error, None, level), *rows)
    return tuple(replace(row, scale=LINK) for row in rows)


def covariance_rows(
    design: Design, solution: GlmmSolution, intervals: Mapping[Key, Interval], level: float
) -> tuple[Estimate, ...]:
    """Rows `sd`, `cor` and, with a dispersion, `residual`: size or shape, interval on the log scale."""
    sds: list[Estimate] = []
    cors: list[Estimate] = []
    start = 0
    for term in design.random:
        sd = solution.sd[start : start + len(term.names)]
        for i, name in enumerate(term.names):
            limits = _limits(intervals.get(("sd", term.group, name)), level)
            sds.append(Estimate("sd", name, float(sd[i]), term.group, scale=LINK, **limits))
            for k in range(i) if term.correlated else ():
                product = float(sd[i] * sd[k])
                r = solution.Sigma[start + i, start + k] / product if product > 0 else None
                value = None if r is None else float(np.clip(r, -1, 1))
                limits = _limits(intervals.get(("cor", term.group, term.names[k], name)), level)
                pair = f"{term.names[k]}:{name}"
                cors.append(Estimate("cor", pair, value, term.group, scale="correlation", **limits))
        start += len(term.names)
    return (*sds, *cors, *_dispersion_rows(design, solution, level))


def _dispersion_rows(design: Design, solution: GlmmSolution, level: float) -> tuple[Estimate, ...]:
    if design.family == "ordinal" or not solution.aux.size:
        return ()
    from scipy.special import ndtri

    value, error = float(np.exp(solution.aux[0])), float(np.sqrt(solution.cov_aux[0, 0]))
    half = float(ndtri((1 + level) / 2)) * error
    row = Estimate("residual", solution.aux_names[0], value, scale="dispersion")
    if not 0 < error < 20:
        return (row,)
    ends = {"lower": value * np.exp(-half), "upper": value * np.exp(half), "level": level}
    return (replace(row, std_error=value * error, **ends),)


def _limits(interval: Interval | None, level: float) -> dict[str, Any]:
    if interval is None or interval.failure is not None:
        return {}
    return {"lower": interval.lower, "upper": interval.upper, "level": level}


def all_beta(design: Design, solution: GlmmSolution) -> tuple[FloatArray, FloatArray]:
    """Coefficients (p,) and covariance for every column of X; 0 for the intercept of an ordinal model."""
    at = [design.names.index(name) for name in solution.names]
    beta, covariance = np.zeros(len(design.names)), np.zeros((len(design.names),) * 2)
    beta[at], covariance[np.ix_(at, at)] = solution.beta, solution.cov_beta
    return beta, covariance


def group_table(
    design: Design, rows: Rows, glm: PooledGlm, solution: GlmmSolution, level: float
) -> pl.DataFrame:
    """Complete and partial pooling of every group, conditional modes with their standard errors."""
    parts = [
        _factor_table(replace(design, random=factor.terms), (rows.T_X, glm), (solution, effects), level)
        for factor, effects in zip(design.factors, solution.effects, strict=True)
    ]
    return pl.concat(parts)


def _factor_table(
    design: Design,
    pooled: tuple[FloatArray, PooledGlm],
    mixed: tuple[GlmmSolution, FactorEffects],
    level: float,
) -> pl.DataFrame:
    """Rows of the groups of the one factor that `design` has left."""
    (T_X, glm), (solution, effects) = pooled, mixed
    beta, covariance = all_beta(design, solution)
    at = [design.names.index(name) for name in solution.names]
    on_beta = np.zeros((*effects.b.shape, beta.size))
    on_beta[:, :, at] = effects.b_on_beta
    lines = fixed_lines(design)
    found = partial_pooling(
        lines, beta=beta, cov_beta=covariance, b=effects.b, b_cov=effects.b_cov, b_on_beta=on_beta,
        level=level,
    )  # fmt: skip
    own = lines[:, :, at]
    complete, spread = own @ (T_X @ glm.beta), T_X @ glm.covariance @ T_X.T
    complete_se = np.sqrt(np.einsum("jrp,ps,jrs->jr", own, spread, own, optimize=True))
    absent = ~own.any(axis=(0, 2))
    complete[:, absent] = complete_se[:, absent] = np.nan
    variance = np.diag(solution.Sigma)[list(effects.columns)]
    conditional = np.diagonal(effects.b_cov, axis1=1, axis2=2)
    factors = np.where(variance > 0, 1 - conditional / np.where(variance > 0, variance, 1.0), 0.0)
    columns = {
        "complete_pooling": complete,
        "complete_pooling_se": complete_se,
        "partial_pooling": found.partial,
        "partial_pooling_se": found.partial_se,
        "lower": found.lower,
        "upper": found.upper,
        "random_effect": found.random_effect,
        "random_effect_se": found.random_effect_se,
        "pooling_factor": np.clip(factors, 0.0, 1.0),
    }
    return group_rows(design, columns)


def linear_predictors(design: Design, solution: GlmmSolution) -> tuple[FloatArray, FloatArray]:
    """Of the fixed effects and offset alone, and with the modes of the random effects (n,)."""
    fixed = design.X @ all_beta(design, solution)[0]
    fixed = fixed if design.offset is None else fixed + design.offset
    return fixed, fixed + random_part(design, [effects.b for effects in solution.effects])


def predictions(design: Design, solution: GlmmSolution, fixed: FloatArray, eta: FloatArray) -> pl.DataFrame:
    """Expected outcome of each row on the outcome's scale: of a typical group, and of the row's own.

    Of an ordinal outcome it is the mean place of the category, lowest 0; of a binomial the expected
    successes.
    """

    def expected(eta: FloatArray) -> FloatArray:
        if design.family == "ordinal":
            P = category_probabilities(design.link, eta, solution.aux)
            return np.asarray(P @ np.arange(P.shape[1]))
        mu = mean(design.link, eta)
        return mu if design.family != "binomial" or design.trials is None else mu * design.trials

    return prediction_rows(design, expected(fixed), expected(eta))


def term_tests(term_of: Sequence[str], names: Sequence[str], solution: GlmmSolution) -> tuple[Test, ...]:
    """Wald tests of all columns of each term of the formula at once, every other term kept."""
    from scipy.special import chdtrc

    of = dict(zip(names, term_of, strict=True)) if term_of else {}
    tests = []
    for term in dict.fromkeys(of.values()):
        at = [i for i, name in enumerate(solution.names) if of[name] == term]
        if term == INTERCEPT or not at:
            continue
        beta = solution.beta[at]
        statistic = float(beta @ np.linalg.solve(solution.cov_beta[np.ix_(at, at)], beta))
        k = len(at)
        reference = f"chi2({k}), Wald"
        p_value = float(chdtrc(k, statistic))
        tests.append(Test("fixed", term, statistic, p_value, df_num=float(k), reference=reference))
    return tuple(tests)
