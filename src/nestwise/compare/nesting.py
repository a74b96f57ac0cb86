"""Likelihood-ratio tests between models of one study of which one holds the other.

Which models are nested is read off the names of what they estimate, fixed effects, standard deviations,
correlations, and off their residual covariances (`structures`). A variance that the smaller model lacks lies
on its boundary there, zero, and the reference is ``0.5 chi2(c) + 0.5 chi2(c + 1)``, c covariances that go
with it (rule 6). With several such variances, or fixed effects beside them, chi2 with as many degrees of
freedom as there are parameters more is an upper bound of the p value, and said to be one.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from nestwise.compare.structures import Structure, holds, holds_intercept, on_the_boundary
from nestwise.fit.chi_bar import mixture_p_value
from nestwise.numbers import p_value as p_value_text
from nestwise.numbers import say
from nestwise.vocabulary import INTERCEPT

ROUNDING = 1e-4
"""A larger model may fall short by this in deviance: two searches end at slightly different points."""

Key = tuple[str, str]


@dataclass(frozen=True)
class ModelParts:
    """What a model estimates, by names.

    Attributes
    ----------
    fixed : frozenset of str
        Fixed effects.
    sds, cors : frozenset of (group, term)
        Standard deviations and correlations of varying coefficients.
    residual : frozenset of str
        Parameters of the residual covariance.
    caic : float or None
        Conditional AIC.
    structure : Structure or None
        Residual covariance, where it is known from the design.
    """

    fixed: frozenset[str]
    sds: frozenset[Key]
    cors: frozenset[Key]
    residual: frozenset[str]
    caic: float | None
    structure: Structure | None = None


@dataclass(frozen=True)
class Nesting:
    """A likelihood-ratio test between two models.

    Attributes
    ----------
    small, large : str
        The models; the small one is the large one with parameters at zero.
    statistic : float
        Twice the difference of the log-likelihoods.
    df : int
        How many parameters more the large one has.
    p_value : float
    reference : str
        Distribution of the statistic under the small model.
    sentence : str
        All of it in words.
    """

    small: str
    large: str
    statistic: float
    df: int
    p_value: float
    reference: str
    sentence: str


def model_parts(estimates: pl.DataFrame, structure: Structure | None = None) -> ModelParts:
    """Read what a model estimates off its own rows of the table of estimates."""

    def keys(component: str) -> frozenset[Key]:
        own = estimates.filter(pl.col("component") == component)
        return frozenset((group or "", term) for group, term in own.select("group", "term").iter_rows())

    caic = estimates.filter((pl.col("component") == "derived") & (pl.col("term") == "caic"))["estimate"]
    return ModelParts(
        fixed=frozenset(term for _, term in keys("fixed")),
        sds=keys("sd"),
        cors=keys("cor"),
        residual=frozenset(f"{group} {term}" for group, term in keys("residual")),
        caic=caic.item() if caic.len() == 1 else None,
        structure=structure,
    )


def likelihood_ratio(
    fits: Sequence[dict[str, Any]], parts: Sequence[ModelParts], kinds: Sequence[Hashable]
) -> tuple[Nesting, ...]:
    """Test each model against the largest ones it holds, in the order of the study.

    Parameters
    ----------
    fits : sequence of dict
        Rows of the table of fits whose likelihoods may be compared with another one's.
    parts : sequence of ModelParts
        What they estimate.
    kinds : sequence
        What must be equal for two of them to be held against each other: rows, criterion, and the fixed
        part under REML.

    Returns
    -------
    tuple of Nesting
        None for fits that did not converge, and none where the larger model's optimum is below the smaller's.
    """
    usable = [
        place
        for place, fit in enumerate(fits)
        if fit["status"] in {"ok", "singular"} and fit["log_likelihood"] is not None
    ]
    below = {
        large: [
            small
            for small in usable
            if kinds[small] == kinds[large] and _holds(parts[large], parts[small], fits[large], fits[small])
        ]
        for large in usable
    }
    found = []
    for large, smaller in below.items():
        between = {other for small in smaller for other in below[small]}
        for small in smaller:
            if small not in between:
                found.append(_test(fits[small], fits[large], parts[small], parts[large]))
    return tuple(test for test in found if test is not None)


def _holds(large: ModelParts, small: ModelParts, fit: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether the small model is the large one with some parameters at zero."""
    if (fit["n_parameters"] or 0) <= (other["n_parameters"] or 0) or not small.fixed <= large.fixed:
        return False
    if small.residual == large.residual and small.structure == large.structure:
        return small.sds <= large.sds and small.cors <= large.cors
    return _holds_covariance(large, small)


def _holds_covariance(large: ModelParts, small: ModelParts) -> bool:
    """Whether the residual covariance of the large model holds the small one's, or its random intercept."""
    if large.structure is None or small.structure is None:
        return False
    if small.sds == large.sds and small.cors == large.cors:
        return holds(large.structure, small.structure)
    intercepts = [group for group, term in small.sds if term == INTERCEPT]
    alone = len(small.sds) == len(intercepts) == 1 and not large.sds
    return alone and small.structure == Structure() and holds_intercept(large.structure, intercepts[0])


def _test(fit: dict[str, Any], other: dict[str, Any], small: ModelParts, large: ModelParts) -> Nesting | None:
    rise = 2 * (other["log_likelihood"] - fit["log_likelihood"])
    if rise < -ROUNDING:
        return None
    statistic = max(0.0, rise)
    df = other["n_parameters"] - fit["n_parameters"]
    variances, fixed = len(large.sds - small.sds), len(large.fixed - small.fixed)
    p_value, reference, bound = _reference(statistic, df, variances, fixed)
    if large.structure and small.structure and on_the_boundary(large.structure, small.structure):
        reference, bound = f"{reference}, an upper bound because the correlation cannot be negative", True
    said = p_value_text(p_value)
    said = said if "<" in said else f"at most {said}" if bound else f"= {said}"
    sentence = (
        f"{other['model']} against {fit['model']}: likelihood-ratio statistic {say(statistic, 3)}, "
        f"p {said} ({reference})."
    )
    return Nesting(fit["model"], other["model"], statistic, df, p_value, reference, sentence)


def _reference(statistic: float, df: int, variances: int, fixed: int) -> tuple[float, str, bool]:
    """P value, reference distribution, and whether the p value is an upper bound."""
    from scipy.special import chdtrc

    if variances == 1 and fixed == 0:
        reference = f"0.5 chi2({df - 1}) + 0.5 chi2({df}), the variance being zero on its boundary"
        return mixture_p_value(statistic, df - 1), reference, False
    p_value = float(chdtrc(df, statistic))
    if variances:
        return p_value, f"chi2({df}), an upper bound because variances are zero on their boundary", True
    return p_value, f"chi2({df})", False
