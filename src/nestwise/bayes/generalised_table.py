"""Draws of a generalised model as tables: estimates, latent shares, groups, expected rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from nestwise.arrays import FloatArray
from nestwise.bayes.effects import spaced
from nestwise.bayes.estimates import parameter_rows
from nestwise.bayes.generalised_model import auxiliary
from nestwise.bayes.units import Draws
from nestwise.design.record import Design, Factor
from nestwise.errors import Refusal
from nestwise.fit.glm import fit_glm
from nestwise.fit.latent import row_variance
from nestwise.fit.pooling import fixed_lines, group_rows
from nestwise.fit.predictions import fixed_part, prediction_rows
from nestwise.fit.separation import separation_problems
from nestwise.fit.simulation import random_part
from nestwise.likelihood.families import mean
from nestwise.likelihood.grouped_rows import grouped_rows
from nestwise.likelihood.ordinal import category_probabilities
from nestwise.results import Estimate
from nestwise.vocabulary import INTERCEPT

VALUES = 4_000_000
"""Expected outcomes (draws x rows) at most."""
BLOCK = 2_000_000
"""Coefficients (draws x groups x terms) at once."""
SCALES = {"fixed": "link", "sd": "link", "cor": "correlation", "residual": "dispersion"}


def estimates(parameters: Sequence[Mapping[str, Any]], level: float) -> list[Estimate]:
    """Posterior medians, SDs and intervals of the parameters, on the scale of the link."""
    return [replace(row, scale=SCALES[row.component]) for row in parameter_rows(parameters, level)]


def latent_rows(design: Design, home: Draws, level: float) -> list[Estimate]:
    """Posterior of the ICC (where the intercept varies) and variance share of each factor, scale `latent`.

    Parameters
    ----------
    design : Design
        The model.
    home : Draws
        (S, ...), units of the formula.
    level : float
        Coverage.
    """
    root = home.sd[:, :, None] * home.correlation
    Sigma = root @ np.swapaxes(root, 1, 2)
    between = [_mean_variance(factor, Sigma) for factor in design.factors]
    at_zero = [_intercept_variance(factor, Sigma) for factor in design.factors]
    offset = 0.0 if design.offset is None else float(design.offset.mean())
    typical = home.beta @ design.X.mean(axis=0) + offset + sum(between) / 2
    aux = np.log(home.sigma)
    residual = np.array(
        [row_variance(design.family, design.link, *at) for at in zip(typical, aux, strict=True)]
    )
    whole = sum((each for each in at_zero if each is not None), residual)
    found = []
    for factor, share, tau2 in zip(design.factors, between, at_zero, strict=True):
        values = {} if tau2 is None else {"icc": tau2 / whole}
        values["variance_share"] = share / (sum(between) + residual)
        found += [_summary(term, drawn, factor.group, level) for term, drawn in values.items()]
    return found


def _mean_variance(factor: Factor, Sigma: FloatArray) -> FloatArray:
    """Variance (S,) of the linear predictor between the groups of a factor, averaged over rows."""
    ZZ = factor.Z.T @ factor.Z / factor.Z.shape[0]
    at = list(factor.columns)
    return np.asarray(np.einsum("srt,tr->s", Sigma[:, at][:, :, at], ZZ))


def _intercept_variance(factor: Factor, Sigma: FloatArray) -> FloatArray | None:
    if INTERCEPT not in factor.names:
        return None
    at = factor.columns[factor.names.index(INTERCEPT)]
    return Sigma[:, at, at]


def _summary(term: str, drawn: FloatArray, group: str, level: float) -> Estimate:
    tail = (1 - level) / 2
    lower, median, upper = (float(value) for value in np.quantile(drawn, [tail, 0.5, 1 - tail]))
    row = Estimate("derived", term, median, group, scale="latent", level=level)
    return replace(row, std_error=float(drawn.std(ddof=1)), lower=lower, upper=upper)


def worst_effects(design: Design, b: Sequence[FloatArray]) -> list[dict[str, Any]]:
    """The random effects that mixed worst: highest R-hat and lowest effective sizes of each coefficient.

    Parameters
    ----------
    design : Design
        The model.
    b : sequence of ndarray (chains, draws, J, q)
        Random effects of each grouping factor.
    """
    from arviz_stats.base import array_stats

    rows = []
    each = [
        (factor.group, name, effects[..., at])
        for factor, effects in zip(design.factors, b, strict=True)
        for at, name in enumerate(factor.names)
    ]
    for group, name, values in each:
        drawn = np.ascontiguousarray(np.moveaxis(values, 2, 0))  # groups, chains, draws
        axes: dict[str, Any] = {"chain_axis": 1, "draw_axis": 2}
        rows.append(
            {
                "component": "effect",
                "group": group,
                "term": f"varying {name}",
                "rhat": float(np.max(array_stats.rhat(drawn, **axes))),
                "ess_bulk": float(np.min(array_stats.ess(drawn, method="bulk", **axes))),
                "ess_tail": float(np.min(array_stats.ess(drawn, method="tail", prob=(0.05, 0.95), **axes))),
            }
        )
    return rows


def group_table(design: Design, home: Draws, b: Sequence[FloatArray], level: float) -> pl.DataFrame:
    """Complete and partial pooling of every group's coefficients, scale of the link.

    The pooling factor is 1 less the share of the variance between groups that the data leave open.

    Parameters
    ----------
    design : Design
        The model.
    home : Draws
        (S, ...), units of the formula.
    b : sequence of ndarray (S, J, q)
        Random effects of each grouping factor.
    level : float
        Coverage.
    """
    parts = [
        _factor_table(
            replace(design, random=factor.terms), home.beta, home.sd[:, list(factor.columns)], effects, level
        )
        for factor, effects in zip(design.factors, b, strict=True)
    ]
    return pl.concat(parts)


def _factor_table(
    design: Design, beta: FloatArray, sd: FloatArray, b: FloatArray, level: float
) -> pl.DataFrame:
    """Rows of the groups of the one factor that `design` has left."""
    lines = fixed_lines(design)
    S, J, q = b.shape
    tail = (1 - level) / 2
    names = ("partial_pooling", "partial_pooling_se", "lower", "upper", "random_effect", "random_effect_se")
    found = {name: np.empty((J, q)) for name in names}
    step = max(1, BLOCK // (S * q))
    for start in range(0, J, step):
        at = slice(start, start + step)
        own = b[:, at] + np.einsum("jqp,sp->sjq", lines[at], beta, optimize=True)
        quantiles = np.quantile(own, [tail, 0.5, 1 - tail], axis=0)
        found["lower"][at], found["partial_pooling"][at], found["upper"][at] = quantiles
        found["partial_pooling_se"][at] = own.std(axis=0, ddof=1)
        found["random_effect"][at] = np.median(b[:, at], axis=0)
        found["random_effect_se"][at] = b[:, at].std(axis=0, ddof=1)
    complete, complete_se = _complete_pooling(design, lines)
    open_share = found["random_effect_se"] ** 2 / (sd**2).mean(axis=0)
    columns = {"complete_pooling": complete, "complete_pooling_se": complete_se} | found
    return group_rows(design, columns | {"pooling_factor": np.clip(1 - open_share, 0.0, 1.0)})


def _complete_pooling(design: Design, lines: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Coefficients (J, q) of the model without groups and their SE; NaN where it has no finite estimates."""
    nothing = np.full(lines.shape[:2], np.nan)
    try:
        rows = grouped_rows(design)
    except Refusal:
        return nothing, nothing
    glm = fit_glm(rows)
    if not glm.converged or separation_problems(design, glm):
        return nothing, nothing
    at = [design.names.index(name) for name in rows.names]
    own, spread = lines[:, :, at], rows.T_X @ glm.covariance @ rows.T_X.T
    complete = own @ (rows.T_X @ glm.beta)
    error = np.sqrt(np.einsum("jrp,ps,jrs->jr", own, spread, own, optimize=True))
    absent = ~own.any(axis=(0, 2))
    complete[:, absent] = error[:, absent] = np.nan
    return complete, error


def expected(design: Design, eta: FloatArray, aux: FloatArray) -> FloatArray:
    """Expected outcome (n,) given the linear predictor: mean place of the category, expected successes, mean.

    Parameters
    ----------
    design : Design
        The model.
    eta : ndarray (n,)
        Linear predictor.
    aux : ndarray (a,)
        Thresholds, if the outcome is ordinal.
    """
    if design.family == "ordinal":
        P = category_probabilities(design.link, eta, aux)
        return np.asarray(P @ np.arange(P.shape[1]))
    mu = mean(design.link, eta)
    return mu * design.trials if design.trials is not None and design.family == "binomial" else mu


def expected_rows(design: Design, home: Draws, b: Sequence[FloatArray]) -> pl.DataFrame:
    """Posterior mean of what each row is expected to be: in a typical group, and in its own.

    Parameters
    ----------
    design, home, b
        As in `group_table`; as many evenly spaced draws are averaged as `VALUES` allows.
    """
    chosen = spaced(home.sigma.size, max(100, VALUES // design.n))
    fixed, fitted = np.zeros(design.n), np.zeros(design.n)
    for s in chosen:
        eta, aux = fixed_part(design, home.beta[s]), auxiliary(home, s, dispersion=False)
        fixed += expected(design, eta, aux) / len(chosen)
        own = eta + random_part(design, [effects[s] for effects in b])
        fitted += expected(design, own, aux) / len(chosen)
    return prediction_rows(design, fixed, fitted)
