"""Within is not between: both effects of a covariate, and their difference, the contextual effect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import sqrt
from statistics import NormalDist
from typing import Any

from nestwise.compare.reading import Answer, Reading, noun
from nestwise.config.study import Study
from nestwise.numbers import fixed, interval, p_value, with_error

Covariance = Mapping[str, Mapping[str, float]]
"""Covariance of the fixed effects, by term and term."""

CONTEXTUAL = "contextual_effect:"
"""Start of the derived terms that an engine names its own tests by."""


@dataclass(frozen=True)
class Parts:
    """The two terms of a model that hold a covariate: rows' own part and group means.

    `centred`: the rows' part is the deviation from the group mean, not the covariate itself.
    """

    covariate: str
    group: str
    inner: str
    mean: str
    centred: bool


@dataclass(frozen=True)
class Contextual:
    """Within, between and contextual effect of one covariate in one model."""

    model: str
    engine: str
    covariate: str
    group: str
    within: float
    within_se: float | None
    between: float
    between_se: float | None
    contextual: float
    contextual_se: float | None
    p: float | None
    statistic: float | None = None
    """t or z of the contextual effect."""
    df: float | None = None
    """Degrees of freedom of the fit's method; None where the test is by the normal distribution."""
    lower: float | None = None
    upper: float | None = None


def parts_in(study: Study, terms: set[str]) -> list[Parts]:
    """The covariates that a model holds in both parts."""
    found = []
    for mean in (part for part in study.derive if part.kind == "between" and part.as_ in terms):
        deviation = next(
            (
                part.as_
                for part in study.derive
                if (part.kind, part.source, part.group) == ("within", mean.source, mean.group)
                and part.as_ in terms
            ),
            None,
        )
        inner = deviation or (mean.source if mean.source in terms else None)
        if inner is not None:
            found.append(Parts(mean.source, mean.group or "", inner, mean.as_, deviation is not None))
    return found


def contextual(found: Answer, covariance: Covariance | None) -> list[Contextual]:
    """Compare within and between effects of covariates that are in the model in both parts (rule 11).

    Parameters
    ----------
    found : Answer
        Of a model with fixed effects for the parts made by `derive`.
    covariance : mapping or None
        Covariance of the fixed effects.

    Returns
    -------
    list of Contextual
        Contextual effect = between - within. Where the covariate itself stands beside its group mean, the
        coefficient of the mean is the contextual effect and its sum with the other the between effect.
        Tested as the engine does (`derived` rows `contextual_effect:x`), otherwise by the normal
        distribution; no SE and no p without `covariance`, where they need it.
    """
    return [
        one
        for parts in parts_in(found.study, set(found.fixed_terms()))
        if (one := _contextual(found, parts, covariance)) is not None
    ]


def _contextual(found: Answer, parts: Parts, covariance: Covariance | None) -> Contextual | None:
    inner, mean = found.row("fixed", parts.inner), found.row("fixed", parts.mean)
    if inner is None or mean is None or inner["estimate"] is None or mean["estimate"] is None:
        return None
    within, second = float(inner["estimate"]), float(mean["estimate"])
    within_se, second_se = inner["std_error"], mean["std_error"]
    shared = (covariance or {}).get(parts.inner, {}).get(parts.mean)
    both: float | None = None
    if shared is not None and within_se and second_se:
        sign = -2 if parts.centred else 2
        both = sqrt(max(within_se**2 + second_se**2 + sign * shared, 0.0))
    between, effect = (second, second - within) if parts.centred else (within + second, second)
    between_se, effect_se = (second_se, both) if parts.centred else (both, second_se)
    made = Contextual(
        model=found.model,
        engine=found.engine,
        covariate=parts.covariate,
        group=parts.group,
        within=within,
        within_se=within_se,
        between=between,
        between_se=between_se,
        contextual=effect,
        contextual_se=effect_se,
        p=2 * NormalDist().cdf(-abs(effect / effect_se)) if effect_se else None,
        statistic=effect / effect_se if effect_se else None,
    )
    tested = found.row("derived", f"{CONTEXTUAL}{parts.covariate}", parts.group)
    return made if tested is None else _tested(made, tested)


def _tested(made: Contextual, row: Mapping[str, Any]) -> Contextual:
    """The same with the engine's own test, whose degrees of freedom are those of its method."""
    if row["estimate"] is None or row["std_error"] is None:
        return made
    return replace(
        made,
        contextual=float(row["estimate"]),
        contextual_se=float(row["std_error"]),
        p=row["p_value"],
        statistic=row["statistic"],
        df=row["df"],
        lower=row["lower"],
        upper=row["upper"],
    )


def read_contextual(study: Study, part: Contextual) -> Reading:
    """Say what one unit more means inside a group and between groups."""
    group = noun(study, part.group)
    within, _ = with_error(part.within, part.within_se)
    between, _ = with_error(part.between, part.between_se)
    effect, error = with_error(part.contextual, part.contextual_se)
    sentence = (
        f"One unit more {part.covariate} goes with {within} inside a {group}, and with {between} when the "
        f"mean "
        f"of the {group} is one unit higher: the contextual effect is {effect}"
    )
    if part.contextual_se:
        level = study.compare.level
        ends = interval(*_limits(part, level), part.contextual_se)
        df = f", {fixed(part.df, 1)} df" if part.df is not None else ""
        sentence += f" (SE {error}, {level:.0%} interval {ends}{df}, p\u00a0{equals(part.p)})"
    return Reading("context", part.model, f"{sentence}.")


def _limits(part: Contextual, level: float) -> tuple[float, float]:
    if part.lower is not None and part.upper is not None:
        return part.lower, part.upper
    reach = NormalDist().inv_cdf(0.5 + level / 2) * (part.contextual_se or 0.0)
    return part.contextual - reach, part.contextual + reach


def equals(p: float | None) -> str:
    """A p-value after the letter p: `= 0.02` or `< 0.001`."""
    text = p_value(p)
    return text if text.startswith("<") else f"=\u00a0{text}"
