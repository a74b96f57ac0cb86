"""Conditional effects by their posterior, and the same averaged over the groups draw by draw.

Every draw of the fixed effects and of Sigma is one conditional model, which `marginalised` averages over its
random effects: the population-averaged coefficients, means, differences and ratios so have a posterior of
their own, with no delta method in between. Rows are those of `reconciliation`, medians with posterior SDs and
equal-tailed intervals, beside the same estimating equations. A verdict on what is left is not given: no error
of that difference follows from draws alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from nestwise.arrays import FloatArray, IntArray
from nestwise.compare.attenuation import factor, rule_of_thumb
from nestwise.compare.effects import Effects, fit_identity, named, refuse_irreconcilable
from nestwise.compare.marginalised import averaged, link_of
from nestwise.compare.reconciliation import MEANS_OF, Row, three_answers, wald
from nestwise.compare.settings import Grid, Point
from nestwise.compare.standardised import (
    NOTHING,
    Mean,
    Quantified,
    difference,
    interval_of_mean,
    ratio,
    standard_mean,
)
from nestwise.design.record import Design
from nestwise.design.standard import StandardRows, designs_at
from nestwise.errors import Problem, Refusal
from nestwise.vocabulary import INTERCEPT

ENGINE = "pymc"
MOST_DRAWS = 1_000
FEWEST_DRAWS = 200
WORK = 1_000_000
"""Rows times draws that are integrated, unless the fewest draws take more."""
CLOSED = ("identity", "log", "probit")
"""Links whose averages are closed forms: every draw is averaged, up to thirty times that work."""


@dataclass(frozen=True)
class PosteriorEffects:
    """Draws of the parameters of one conditional model.

    Attributes
    ----------
    effects : Effects
        Medians, with the posterior covariance of the coefficients.
    beta : ndarray (S, p)
        Fixed effects.
    Sigma : ndarray (S, q, q)
        Covariance of the random effects.
    """

    effects: Effects
    beta: FloatArray
    Sigma: FloatArray

    def thinned(self, n: int) -> PosteriorEffects:
        """As many evenly spaced draws as are worth the work with n rows."""
        S, closed = len(self.beta), self.effects.link in CLOSED
        most, work = (S, 30 * WORK) if closed else (min(S, MOST_DRAWS), WORK)
        wanted = min(most, max(FEWEST_DRAWS, work // max(n, 1)))
        at = np.unique(np.linspace(0, S - 1, wanted).astype(int))
        return PosteriorEffects(self.effects, self.beta[at], self.Sigma[at])


def posterior_effects(fit: Mapping[str, Any], draws: pl.DataFrame, design: Design) -> PosteriorEffects:
    """The conditional answer as draws.

    Parameters
    ----------
    fit : mapping
        Row of `fits.parquet`.
    draws : DataFrame
        Its `draws.parquet`.
    design : Design
        The model; not ordinal.

    Raises
    ------
    Refusal
        If the chains did not converge: no interval of theirs is to be trusted.
    """
    if fit["status"] != "ok" or draws.is_empty():
        problem = f"{named(fit)} left no draws that can be trusted"
        raise Refusal(Problem(problem, "reconciliation", "see its checks, and mend that fit first"))
    beta = draws.select([f"fixed|{name}" for name in design.names]).to_numpy()
    effects = Effects(
        **fit_identity(fit, design),
        names=design.names,
        beta=np.median(beta, axis=0),
        covariance=np.atleast_2d(np.cov(beta, rowvar=False)),
        df=None,
        Sigma=np.empty((0, 0)),
    )
    return PosteriorEffects(effects, beta, _covariances(draws, design))


def _covariances(draws: pl.DataFrame, design: Design) -> FloatArray:
    """Covariance matrices (S, q, q) of the random effects."""
    q, start = len(design.varying), 0
    Sigma = np.zeros((draws.height, q, q))
    for term in design.random:
        sd = [draws[f"sd|{term.group}|{name}"].to_numpy() for name in term.names]
        for i, one in enumerate(sd):
            Sigma[:, start + i, start + i] = one**2
            for k in range(i) if term.correlated else ():
                r = draws[f"cor|{term.group}|{term.names[k]}:{term.names[i]}"].to_numpy()
                Sigma[:, start + i, start + k] = Sigma[:, start + k, start + i] = r * one * sd[k]
        start += len(term.names)
    return Sigma


def reconcile_posterior(
    drawn: PosteriorEffects, marginal: Effects, rows: StandardRows, grid: Grid, level: float
) -> list[Row]:
    """Rows of kind coefficient, mean, difference and ratio.

    Parameters
    ----------
    drawn : PosteriorEffects
        The conditional answer.
    marginal : Effects
        By estimating equations.
    rows, grid, level
        As of `reconciliation.reconcile`.

    Raises
    ------
    Refusal
        See `effects.refuse_irreconcilable` and `design.standard.designs_at`.
    """
    shared = refuse_irreconcilable(drawn.effects, marginal)
    some = drawn.thinned(rows.design.n)
    coefficients = _coefficients(drawn, some, marginal, rows.design, level)
    found = [row for row in coefficients if row["term"] in shared]
    return [*found, *_standardised(some, marginal, rows, grid, level)]


def summarised(draws: FloatArray, level: float) -> Quantified:
    """Median, SD and equal-tailed interval of draws (S,)."""
    tail = (1 - level) / 2
    lower, median, upper = (float(each) for each in np.quantile(draws, [tail, 0.5, 1 - tail]))
    return Quantified(median, float(draws.std(ddof=1)), lower, upper)


def _variances(Z: FloatArray, Sigma: FloatArray) -> FloatArray:
    """Variance (n,) of the random part of the linear predictor at one draw."""
    found: FloatArray = np.einsum("iq,qr,ir->i", Z, Sigma, Z, optimize=True)
    return np.maximum(found, 0.0)


def _coefficients(
    drawn: PosteriorEffects, some: PosteriorEffects, marginal: Effects, design: Design, level: float
) -> Iterator[Row]:
    link, names = design.link, drawn.effects.names
    offset = np.zeros(design.n) if design.offset is None else design.offset
    first, place = _distinct(design, offset)
    X, Z, known = design.X[first], design.Z[first], offset[first]
    count = np.bincount(place)
    pseudo = np.linalg.pinv(X * np.sqrt(count)[:, None]) * np.sqrt(count)
    found, spread = np.empty_like(some.beta), np.empty(len(some.beta))
    for s, (beta, Sigma) in enumerate(zip(some.beta, some.Sigma, strict=True)):
        variance = _variances(Z, Sigma)
        mu = averaged(link, X @ beta + known, variance).mu
        found[s], spread[s] = pseudo @ (link_of(link, mu)[0] - known), count @ variance / design.n
    rule = rule_of_thumb(link, float(np.median(spread)))
    for i, name in enumerate(names):
        if name not in marginal.names:
            continue
        j = marginal.names.index(name)
        one, middle = summarised(drawn.beta[:, i], level), summarised(found[:, i], level)
        other = wald(marginal.beta[j], marginal.std_error[j], marginal.df, level)
        # Under a logarithm the intercept is shifted, not shrunk: a ratio would say nothing.
        moved = name == INTERCEPT and link == "log"
        shrunk = factor(float(np.median(found[:, i])), float(np.median(some.beta[:, i])), one.std_error)
        yield {
            "kind": "coefficient", "term": name, "scale": "response" if link == "identity" else "link",
            **three_answers(one, middle, other), "level": level,
            "attenuation": None if moved else shrunk, "attenuation_rule": None if moved else rule,
            "left": float(marginal.beta[j] - np.median(found[:, i])),
        }  # fmt: skip


def _distinct(design: Design, offset: FloatArray) -> tuple[IntArray, IntArray]:
    """First row of each content, and the content of each row: equal rows are integrated once."""
    content = np.column_stack([design.X, design.Z, offset])
    _, first, place = np.unique(content, axis=0, return_index=True, return_inverse=True)
    return first, place.ravel()


@dataclass(frozen=True)
class _Means:
    """Means of one setting: draws (S,) of a typical group and averaged, and the marginal model's."""

    typical: FloatArray
    integrated: FloatArray
    marginal: Mean


def _standardised(
    some: PosteriorEffects, marginal: Effects, rows: StandardRows, grid: Grid, level: float
) -> Iterator[Row]:
    link, of = rows.design.link, MEANS_OF.get(rows.design.family, "mean")
    named_means: dict[tuple[float | None, str | None], _Means] = {}
    designs = designs_at(rows, [point.setting for point in grid.settings])
    for point, design in zip(grid.settings, designs, strict=True):
        means = _means(design, some, marginal, grid.weights)
        named_means[point.x, point.by] = means
        three = (
            summarised(means.typical, level),
            summarised(means.integrated, level),
            interval_of_mean(link, means.marginal, marginal, level),
        )
        yield _row("mean", of, point, three, level)
    for kind in ("difference", "ratio"):
        for point in grid.settings:
            base = named_means.get((point.x, grid.reference))
            if point.by is None or point.by == grid.reference or base is None:
                continue
            three = _contrast(kind, named_means[point.x, point.by], base, marginal, level)
            sign = "-" if kind == "difference" else "/"
            term = f"{point.by} {sign} {grid.reference}"
            yield _row(kind, f"{of}_{kind}", point, three, level) | {"term": term}


def _means(design: Design, some: PosteriorEffects, marginal: Effects, weights: FloatArray) -> _Means:
    # per unit of exposure under a logarithm, as `standard_mean`
    offset = np.zeros(design.n) if design.offset is None or design.link == "log" else design.offset
    first, place = _distinct(design, offset)
    weight = np.bincount(place, weights=weights)
    X, Z, known = design.X[first], design.Z[first], offset[first]
    typical, integrated = np.empty(len(some.beta)), np.empty(len(some.beta))
    for s, (beta, Sigma) in enumerate(zip(some.beta, some.Sigma, strict=True)):
        eta = X @ beta + known
        typical[s] = weight @ averaged(design.link, eta, np.zeros(first.size)).mu
        integrated[s] = weight @ averaged(design.link, eta, _variances(Z, Sigma)).mu
    return _Means(typical, integrated, standard_mean(design, marginal, weights, over_groups=False))


def _contrast(
    kind: str, one: _Means, base: _Means, marginal: Effects, level: float
) -> tuple[Quantified, Quantified, Quantified]:
    pairs = ((one.typical, base.typical), (one.integrated, base.integrated))
    if kind == "difference":
        first, second = (summarised(a - b, level) for a, b in pairs)
        return first, second, difference(one.marginal, base.marginal, marginal, level)
    first, second = (
        summarised(a / b, level) if (a > 0).all() and (b > 0).all() else NOTHING for a, b in pairs
    )
    return first, second, ratio(one.marginal, base.marginal, marginal, level)


def _row(
    kind: str, scale: str, at: Point, three: tuple[Quantified, Quantified, Quantified], level: float
) -> Row:
    middle, other = three[1].estimate, three[2].estimate
    left = None if middle is None or other is None else other - middle
    place = {"kind": kind, "scale": scale, "x": at.x, "by": at.by, "left": left, "level": level}
    return place | three_answers(*three)
