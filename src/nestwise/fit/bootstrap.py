"""Parametric bootstrap: what estimates look like in outcomes drawn from the fit.

Each set is drawn with new random effects and refitted. Percentile intervals are the quantiles of the
refitted estimates; basic ones reflect them at the estimate (Davison & Hinkley 1997, sections 5.2-5.3). Sets
are keyed on their number, so parts drawn apart (`replicate(..., first, last)`) fold into the same whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from nestwise.arrays import BoolArray, FloatArray
from nestwise.design.record import Design
from nestwise.fit.levels import level_rows
from nestwise.fit.optimise import SINGULAR_TOLERANCE, optimise
from nestwise.fit.partition import kish_size, mean_square_z, partition, partition_rows
from nestwise.fit.replicates import draw, sampler
from nestwise.fit.simulation import simulated_sets
from nestwise.likelihood.crossed import CrossedProducts
from nestwise.likelihood.crossproducts import CrossProducts
from nestwise.likelihood.gaussian import criterion
from nestwise.likelihood.moments import work
from nestwise.likelihood.products import Products
from nestwise.results import Estimate

if TYPE_CHECKING:
    from nestwise.fit.refit import Refits
    from nestwise.fit.state import LmmState

NUMBERS_AT_ONCE = 2_000_000
"""Simulated numbers held in memory together."""
FEWEST = 20
"""Refits below which no interval is given."""

LONGEST = 3600.0
"""Seconds that a bootstrap may be expected to take."""
EVALUATIONS = 25
"""Evaluations of the likelihood that a refit takes, roughly."""
PER_SECOND = 5e8
"""Multiplications of the factorisation in a second, the gradient's share counted in."""

Key = tuple[str, str | None, str]
"""Component, grouping factor and term, as in the table of estimates."""


@dataclass(frozen=True)
class Draws:
    """Estimates from S simulated outcomes, on the outcome's scale and for the formula's columns.

    Attributes
    ----------
    beta : ndarray (S, p)
    Sigma : ndarray (S, q, q)
        Covariance of the random effects.
    sigma : ndarray (S,)
    converged : ndarray (S,) of bool
        Whether the refit satisfied the criteria of convergence.
    seconds : float
        What drawing and refitting took.
    """

    beta: FloatArray
    Sigma: FloatArray
    sigma: FloatArray
    converged: BoolArray
    seconds: float


@dataclass(frozen=True)
class Quantile:
    """The bootstrap distribution of one quantity.

    Attributes
    ----------
    component, group, term : str
        As in the table of estimates.
    estimate : float or None
        Of the data.
    lower, upper : float or None
        Percentile interval.
    basic_lower, basic_upper : float or None
        Basic interval.
    bias : float or None
        Mean of the refits minus the estimate.
    se : float or None
        Standard deviation of the refits.
    refits : int
        Refits in which the quantity is defined (a correlation is not beside an SD of zero).
    """

    component: str
    group: str | None
    term: str
    estimate: float | None
    lower: float | None
    upper: float | None
    basic_lower: float | None
    basic_upper: float | None
    bias: float | None
    se: float | None
    refits: int


@dataclass(frozen=True)
class Bootstrap:
    """A parametric bootstrap of a fit.

    Attributes
    ----------
    quantities : tuple of Quantile
        Fixed effects, standard deviations, correlations, sigma, derived quantities.
    n : int
        Sets drawn.
    failures : int
        Refits that did not converge; they are left out.
    level : float
        Coverage of the intervals.
    seed : int
        Root of the streams.
    seconds : float
        What it took.
    """

    quantities: tuple[Quantile, ...]
    n: int
    failures: int
    level: float
    seed: int
    seconds: float

    @property
    def record(self) -> dict[str, Any]:
        """JSON-able, for the record of a fit."""
        rows = [asdict(row) for row in self.quantities]
        return {
            "refits": self.n - self.failures,
            "failures": self.failures,
            "level": self.level,
            "seed": self.seed,
            "seconds": self.seconds,
            "quantities": rows,
        }


def too_long(design: Design, state: LmmState, n: int) -> str | None:
    """A sentence where n refits would take more than an hour; they are not drawn then."""
    each = EVALUATIONS * work(state.products) / PER_SECOND
    if isinstance(state.products, CrossedProducts):
        each += 1e-7 * design.n  # outcomes are drawn row by row
    if n * each <= LONGEST:
        return None
    could = int(LONGEST / each)
    instead = f"{could:,} take an hour" if could >= FEWEST else "no useful number of them is quick enough"
    return (
        f"No bootstrap was drawn: {n:,} refits of {design.n:,} rows in {_groups_of(design)} would take "
        f"about {n * each / 3600:,.0f} hours; {instead}."
    )


def _groups_of(design: Design) -> str:
    return " x ".join(f"{factor.n_groups:,}" for factor in design.factors) + " groups"


def bootstrap(design: Design, state: LmmState, n: int, seed: int, level: float = 0.95) -> Bootstrap:
    """Draw n outcomes from a fit, refit each, and summarise.

    Parameters
    ----------
    design : Design
        The model.
    state : LmmState
        Its fit.
    n : int
        Sets.
    seed : int
        Root of the streams; set k depends on (seed, k) only.
    level : float
        Coverage of the intervals.
    """
    return summarise(design, state, replicate(design, state, seed, 0, n), seed, level)


def replicate(design: Design, state: LmmState, seed: int, first: int, last: int) -> Draws:
    """Refits of the sets first, ..., last - 1.

    With one grouping factor the cross-products of an outcome are drawn (`replicates`), with several the
    outcome itself (`simulation.simulate`).
    """
    from nestwise.fit.refit import refit  # with numba, which a fit without a bootstrap does not need
    from nestwise.fit.refit_crossed import refit_crossed

    began = perf_counter()
    products, reml = state.products, design.reml
    theta, hessian = state.optimum.theta, state.optimum.hessian
    if isinstance(products, CrossedProducts):
        outcomes = simulated_sets(design, state.solution, range(first, last), seed)
        refits = refit_crossed(design, products, outcomes, theta=theta, hessian=hessian)
        return replace(_in_units(products, refits), seconds=perf_counter() - began)
    at = criterion(products, products.pattern.matrix(theta), reml=reml)
    of = sampler(products, at.reduced.beta, at.sigma * at.reduced.Lambda, at.sigma)
    size = max(1, NUMBERS_AT_ONCE // (2 * products.J * products.q + products.p))
    parts = []
    for start in range(first, last, size):
        B_y, G_y = draw(of, np.arange(start, min(start + size, last)), seed)
        refits = refit(products, B_y, G_y, reml=reml, theta=theta, hessian=hessian)
        parts.append(_in_units(products, full_search(products, B_y, G_y, refits, reml=reml)))
    return replace(fold(parts), seconds=perf_counter() - began)


def full_search(
    products: CrossProducts, B_y: FloatArray, G_y: FloatArray, refits: Refits, *, reml: bool
) -> Refits:
    """The same refits, those that did not converge given to the search of the engine."""
    for s in np.flatnonzero(~refits.converged).tolist():
        B, G = products.B.copy(), products.G.copy()
        B[:, :, -1], G[-1], G[:, -1] = B_y[s], G_y[s], G_y[s]
        filled = replace(products, B=B, G=G, inside=None)
        try:
            found = optimise(filled, reml=reml)
        except np.linalg.LinAlgError:
            continue
        at = criterion(filled, products.pattern.matrix(found.theta), reml=reml)
        refits.theta[s], refits.beta[s], refits.sigma[s] = found.theta, at.reduced.beta, at.sigma
        refits.deviance[s], refits.converged[s] = at.value, found.converged
    return refits


def _in_units(products: Products, refits: Refits) -> Draws:
    """From the working parametrisation to the outcome's scale and the formula's columns."""
    pattern = products.pattern
    Lambda = np.zeros((refits.theta.shape[0], pattern.q, pattern.q))
    Lambda[:, pattern.rows, pattern.cols] = refits.theta
    sigma = products.scale * refits.sigma
    root = sigma[:, None, None] * (products.T_Z @ Lambda)
    return Draws(
        beta=products.beta_0 + products.scale * refits.beta @ products.T_X.T,
        Sigma=root @ np.swapaxes(root, 1, 2),
        sigma=sigma,
        converged=refits.converged,
        seconds=0.0,
    )


def fold(parts: Sequence[Draws]) -> Draws:
    """Draws that were made in parts (at least one), in the order given."""
    names = ("beta", "Sigma", "sigma", "converged")
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return Draws(**joined, seconds=sum(part.seconds for part in parts))


def summarise(design: Design, state: LmmState, draws: Draws, seed: int, level: float = 0.95) -> Bootstrap:
    """Intervals, bias and standard errors from the refits that converged.

    Parameters
    ----------
    design, state
        The model and its fit.
    draws : Draws
        All parts folded.
    seed : int
        Root of the streams they were drawn from, kept for the record.
    level : float
        Coverage of the intervals.
    """
    solution, kept = state.solution, draws.converged
    ours = _quantities(design, solution.beta[None], solution.Sigma[None], np.array([solution.sigma]))
    theirs = _quantities(design, draws.beta[kept], draws.Sigma[kept], draws.sigma[kept])
    none = np.empty(0)
    rows = tuple(_summary(key, float(value[0]), theirs.get(key, none), level) for key, value in ours.items())
    return Bootstrap(rows, kept.size, int((~kept).sum()), level, seed, draws.seconds)


def _quantities(
    design: Design, beta: FloatArray, Sigma: FloatArray, sigma: FloatArray
) -> dict[Key, FloatArray]:
    """Every reported quantity of each draw; NaN inside this file where one is not defined."""
    found: dict[Key, FloatArray] = {("fixed", None, name): beta[:, i] for i, name in enumerate(design.names)}
    sd = np.sqrt(np.clip(np.diagonal(Sigma, axis1=1, axis2=2), 0, None))
    reach = np.sqrt(np.concatenate([(term.Z**2).mean(axis=0) for term in design.random]))
    sd = np.where(sd * reach < SINGULAR_TOLERANCE * sigma[:, None], 0.0, sd)  # only rounding is left of it
    start = 0
    for term in design.random:
        for i, name in enumerate(term.names):
            found["sd", term.group, name] = sd[:, start + i]
            for k in range(i) if term.correlated else ():
                both = sd[:, start + k] * sd[:, start + i]
                ratio = np.full(both.size, np.nan)
                np.divide(Sigma[:, start + k, start + i], both, out=ratio, where=both > 0)
                found["cor", term.group, f"{term.names[k]}:{name}"] = np.clip(ratio, -1, 1)
        start += len(term.names)
    found["residual", None, "sigma"] = sigma
    return found | _derived(design, Sigma, sigma)


def _derived(design: Design, Sigma: FloatArray, sigma: FloatArray) -> dict[Key, FloatArray]:
    """Shares of the variance, by the functions that give them for the fit itself."""
    if len(design.factors) > 1:
        return _of_rows([level_rows(design, Sigma[s], float(sigma[s])) for s in range(sigma.size)])
    names, ZZ, size, group = design.varying, mean_square_z(design), kish_size(design), design.factors[0].group
    parts = [partition(Sigma[s], float(sigma[s]), names, ZZ, size) for s in range(sigma.size)]
    return _of_rows([partition_rows(group, part) for part in parts])


def _of_rows(tables: list[tuple[Estimate, ...]]) -> dict[Key, FloatArray]:
    """Columns of draws of rows of the table of estimates; without what is infinite where tau is 0."""
    keys = [(row.component, row.group, row.term) for row in tables[0]] if tables else []
    values = np.array([[row.estimate for row in rows] for rows in tables], dtype=float)
    return {key: values[:, i] for i, key in enumerate(keys) if key[2] != "break_even_n"}


def _summary(key: Key, estimate: float, values: FloatArray, level: float) -> Quantile:
    defined = values[~np.isnan(values)]
    known = None if np.isnan(estimate) else estimate
    if defined.size < FEWEST or known is None:
        return Quantile(*key, known, None, None, None, None, None, None, defined.size)
    lower, upper = (float(end) for end in np.quantile(defined, [(1 - level) / 2, (1 + level) / 2]))
    low, high = _range(key)
    basic = (max(2 * known - upper, low), min(2 * known - lower, high))
    bias, se = float(defined.mean()) - known, float(defined.std(ddof=1))
    return Quantile(*key, known, lower, upper, *basic, bias, se, defined.size)


def _range(key: Key) -> tuple[float, float]:
    """Where a quantity can lie: the basic interval is cut there."""
    component, _, term = key
    if component == "fixed":
        return -np.inf, np.inf
    if component == "cor":
        return -1.0, 1.0
    return 0.0, 1.0 if term in ("icc", "variance_share", "residual_share") else np.inf
