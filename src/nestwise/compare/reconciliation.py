"""Conditional and marginal effects of one model, reconciled: what each is, and what is left between them.

In the order of the table: a row for every coefficient; standardised means over time and arm with their
differences and ratios; the likely reasons of what is left, tested.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.compare import reasons
from nestwise.compare.attenuation import factor, rule_of_thumb
from nestwise.compare.dropout import dropout_model
from nestwise.compare.effects import Effects, refuse_irreconcilable
from nestwise.compare.integrated import Integrated, integrated
from nestwise.compare.settings import Grid
from nestwise.compare.standardised import (
    NOTHING,
    Mean,
    Quantified,
    StandardMeans,
    difference,
    interval_of_mean,
    quantile,
    ratio,
    standard_means,
)
from nestwise.config.study import Model
from nestwise.design.cumulative import above_threshold, cumulative_design, threshold_names
from nestwise.design.record import Design
from nestwise.design.standard import StandardRows, designs_at
from nestwise.vocabulary import INTERCEPT, THRESHOLD

Row = dict[str, Any]

AGREES, DIFFERS = "agrees", "differs"
APART = 2.0
"""Standard errors beyond which a difference is more than chance."""
MEANS_OF: Mapping[str, str] = {
    "binomial": "risk",
    "ordinal": "probability",
    "poisson": "rate",
    "negative_binomial": "rate",
}
"""What a standardised mean is called, by family; `mean` for the others."""


@dataclass(frozen=True)
class Pair:
    """Two answers to one model, and what the intervals need.

    Attributes
    ----------
    design, model : Design, Model
        What both were fitted to.
    conditional, marginal : Effects
        The answers.
    record : mapping
        JSON record of the conditional fit.
    marginal_record : mapping
        That of the marginal fit, with its criterion `cic`.
    checks : mapping of str to mapping
        Its rows of `checks.parquet`, by name.
    level : float
        Coverage of the intervals.
    noun : str
        What a cluster is called.
    """

    design: Design
    model: Model
    conditional: Effects
    marginal: Effects
    record: Mapping[str, Any]
    marginal_record: Mapping[str, Any]
    checks: Mapping[str, Mapping[str, Any]]
    level: float = 0.95
    noun: str = "group"

    @property
    def gaussian(self) -> bool:
        """Whether the two targets are one: with the identity link averaging changes nothing."""
        return self.design.link == "identity"


def reconcile(pair: Pair, rows: StandardRows, grid: Grid) -> list[Row]:
    """Reconcile two answers.

    Parameters
    ----------
    pair : Pair
        The answers.
    rows : StandardRows
        The rows, ready to be given other values.
    grid : Grid
        Times and arms at which means are standardised.

    Returns
    -------
    list of dict
        Rows of `RECONCILIATION` without the columns that name the study.

    Raises
    ------
    Refusal
        See `effects.refuse_irreconcilable` and `design.standard.designs_at`.
    """
    shared = refuse_irreconcilable(pair.conditional, pair.marginal)
    ordinal = pair.design.family == "ordinal"
    found = integrated(cumulative_design(pair.design) if ordinal else pair.design, pair.conditional)
    errors = _errors_of_differences(pair, found)
    coefficients = list(_coefficients(pair, found, shared, errors))
    apart = [row["term"] for row in coefficients if row["verdict"] == DIFFERS]
    standardised = _standardised(pair, rows, grid)
    return [*coefficients, *standardised, *_reasons(pair, found, apart, errors, grid.times)]


def _errors_of_differences(pair: Pair, found: Integrated) -> FloatArray:
    """Standard errors of marginal less integrated; those of the marginal coefficients where unknown."""
    points = int(dict(pair.record.get("optimisation") or {}).get("points") or 1)
    from nestwise.compare.disagreement import influences  # compiled code: slow to import

    known = influences(pair.design, pair.model, pair.conditional, found, points)
    if known is not None:
        return known.std_error
    place = {name: k for k, name in enumerate(pair.marginal.names)}
    own = pair.marginal.std_error
    return np.array([own[place[name]] if name in place else np.inf for name in found.names])


def _coefficients(pair: Pair, found: Integrated, shared: Sequence[str], errors: FloatArray) -> Iterator[Row]:
    conditional, marginal = pair.conditional, pair.marginal
    rule = rule_of_thumb(pair.design.link, found.variance)
    for name in shared:
        i, j = conditional.names.index(name), marginal.names.index(name)
        one = wald(conditional.beta[i], conditional.std_error[i], conditional.df, pair.level)
        middle = wald(found.beta[i], found.std_error[i], conditional.df, pair.level)
        other = wald(marginal.beta[j], marginal.std_error[j], marginal.df, pair.level)
        left = float(marginal.beta[j] - found.beta[i])
        in_se = left / float(errors[i]) if errors[i] > 0 else None
        # Under a logarithm the intercept is shifted, not shrunk: a ratio would say nothing.
        moved = name == INTERCEPT and pair.design.link == "log"
        yield {
            "kind": "coefficient", "term": name, "scale": _scale(pair, name),
            **three_answers(one, middle, other), "level": pair.level,
            "attenuation": None if moved else _attenuation(conditional, found, i),
            "attenuation_rule": None if moved else rule,
            "left": left, "left_se": float(errors[i]), "left_in_se": in_se,
            "verdict": AGREES if in_se is None or abs(in_se) <= APART else DIFFERS,
        }  # fmt: skip


def _scale(pair: Pair, name: str) -> str:
    if pair.gaussian:
        return "response"
    return "link" if name in pair.design.names else THRESHOLD


def _attenuation(conditional: Effects, found: Integrated, i: int) -> float | None:
    return factor(found.beta[i], conditional.beta[i], conditional.std_error[i])


def wald(value: float, error: float, df: float | None, level: float) -> Quantified:
    """An estimate with its Wald interval."""
    half = quantile(df, level) * float(error)
    return Quantified(float(value), float(error), float(value) - half, float(value) + half)


def three_answers(conditional: Quantified, middle: Quantified, marginal: Quantified) -> Row:
    """The columns `conditional`, `integrated` and `marginal` of a row."""
    named = {"conditional": conditional, "integrated": middle, "marginal": marginal}
    return {
        f"{name}{part}": value
        for name, each in named.items()
        for part, value in (
            ("", each.estimate), ("_se", each.std_error), ("_lower", each.lower), ("_upper", each.upper)
        )
    }  # fmt: skip


def _standardised(pair: Pair, rows: StandardRows, grid: Grid) -> Iterator[Row]:
    """Means of every setting, then differences and ratios of the arms at every time.

    Of an ordinal outcome, the probabilities of lying above each threshold, one after the other.
    """
    if not grid.settings:
        return
    designs = tuple(designs_at(rows, [point.setting for point in grid.settings]))
    if pair.design.family != "ordinal":
        yield from _of_one_mean(pair, designs, grid, "")
        return
    for c, name in enumerate(threshold_names(pair.design)):
        above = tuple(above_threshold(design, c) for design in designs)
        yield from _of_one_mean(pair, above, grid, f"> {name.split('|')[0]}")


def _of_one_mean(pair: Pair, designs: Sequence[Design], grid: Grid, event: str) -> Iterator[Row]:
    """Means and contrasts of one event, which is named where there are several."""
    means = standard_means(designs, pair.conditional, pair.marginal, grid.weights)
    of = MEANS_OF.get(pair.design.family, "mean")
    named = {(point.x, point.by): each for point, each in zip(grid.settings, means, strict=True)}
    for (x, by), each in named.items():
        three = [
            interval_of_mean(pair.design.link, mean, effects, pair.level)
            for mean, effects in _with_effects(each, pair)
        ]
        row = _row("mean", of, (x, by), three, pair.level)
        yield row | {"term": f"{by} {event}" if by is not None else event} if event else row
    for contrast, sign in (("difference", "-"), ("ratio", "/")):
        for (x, by), each in named.items():
            base = named.get((x, grid.reference))
            if by is None or by == grid.reference or base is None:
                continue
            row = _row(
                contrast, f"{of}_{contrast}", (x, by), _contrast(contrast, each, base, pair), pair.level
            )
            yield row | {"term": f"{by} {sign} {grid.reference} {event}".rstrip()}


def _with_effects(means: StandardMeans, pair: Pair) -> tuple[tuple[Mean, Effects], ...]:
    return (
        (means.typical, pair.conditional),
        (means.integrated, pair.conditional),
        (means.marginal, pair.marginal),
    )


def _contrast(kind: str, one: StandardMeans, base: StandardMeans, pair: Pair) -> list[Quantified]:
    compute = difference if kind == "difference" else ratio
    both = zip(_with_effects(one, pair), _with_effects(base, pair), strict=True)
    return [compute(mean, other, effects, pair.level) for (mean, effects), (other, _) in both]


def _row(
    kind: str, scale: str, at: tuple[float | None, str | None], three: list[Quantified], level: float
) -> Row:
    middle, marginal = three[1], three[2]
    known = middle is not NOTHING and marginal is not NOTHING
    left = marginal.estimate - middle.estimate if known else None  # type: ignore[operator]
    return {
        "kind": kind,
        "scale": scale,
        "x": at[0],
        "by": at[1],
        "left": left,
        "level": level,
    } | three_answers(*three)


def _reasons(
    pair: Pair, found: Integrated, apart: Sequence[str], errors: FloatArray, times: FloatArray | None
) -> Iterator[Row]:
    """Every reason tested; where the answers differ and none is likely, what else there may be."""
    if pair.gaussian:
        sentence = (
            "The link is the identity: averaging over the groups changes no coefficient, so that the mixed "
            "model and the estimating equations answer one question, and differ only by how they weigh rows."
        )
        yield _reason(reasons.Reason("link", "identity", sentence))
    tested = [
        reasons.missingness(dropout_model(pair.design, times, pair.noun)),
        reasons.cluster_size(pair.design, pair.noun, pair.level),
        reasons.correlation(pair.design, pair.model, pair.marginal, pair.level, pair.marginal_record),
        reasons.quadrature(pair.record, pair.conditional),
        reasons.dispersion(pair.checks.get("overdispersion")),
        None if pair.gaussian else reasons.summary(found, errors),
    ]
    given = [each for each in tested if each is not None]
    yield from map(_reason, given)
    if apart and not any(each.verdict == reasons.LIKELY for each in given):
        yield _reason(reasons.unexplained(apart))


def _reason(each: reasons.Reason) -> Row:
    return {
        "kind": "reason", "term": each.name, "statistic": each.statistic, "p_value": each.p_value,
        "verdict": each.verdict, "reason": each.sentence,
    }  # fmt: skip
