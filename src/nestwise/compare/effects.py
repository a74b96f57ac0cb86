"""The two answers that are to be reconciled, each with the covariance its intervals need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.compare.marginalised import LINKS
from nestwise.design.cumulative import threshold_names
from nestwise.design.record import Design
from nestwise.errors import Problem, Refusal

CONDITIONAL_ENGINES = ("glmm", "lmm", "mixedlm")
"""Engines of conditional effects, the preferred first."""


@dataclass(frozen=True)
class Effects:
    """Coefficients of one fit on the scale of the link.

    Attributes
    ----------
    model, engine, method, status : str
        Which fit.
    link, analysis_hash : str
        Link, and hash of the rows and the outcome it saw.
    n_obs : int
        Number of those rows.
    names : tuple of str, length p
        Coefficients; thresholds of an ordinal outcome before them, in place of the intercept.
    beta : ndarray (p,)
        Estimates.
    covariance : ndarray (k, k)
        Of beta and, in a conditional model, of the elements `places` of Sigma behind it.
    df : float or None
        Of t intervals; `None` for normal ones.
    Sigma : ndarray (q, q)
        Covariance of the random effects; (0, 0) in a marginal model, and where the link makes it idle.
    places : tuple of (int, int)
        Row and column of each element of Sigma that was estimated.
    """

    model: str
    engine: str
    method: str
    status: str
    link: str
    analysis_hash: str
    n_obs: int
    names: tuple[str, ...]
    beta: FloatArray
    covariance: FloatArray
    df: float | None
    Sigma: FloatArray
    places: tuple[tuple[int, int], ...] = ()

    @property
    def std_error(self) -> FloatArray:
        """Standard errors (p,) of the coefficients."""
        return np.asarray(np.sqrt(np.diag(self.covariance)[: self.beta.size]))

    def variance(self, Z: FloatArray) -> FloatArray:
        """Variance (n,) of the random part of the linear predictor of rows with columns Z (n, q)."""
        if not self.Sigma.size:
            return np.zeros(len(Z))
        found: FloatArray = np.einsum("iq,qr,ir->i", Z, self.Sigma, Z, optimize=True)
        return np.maximum(found, 0.0)

    def by_elements(self, Z: FloatArray) -> FloatArray:
        """Derivatives (n, len(places)) of that variance by the elements of Sigma."""
        columns = [Z[:, i] * Z[:, j] * (1.0 if i == j else 2.0) for i, j in self.places]
        return np.column_stack(columns) if columns else np.empty((len(Z), 0))


def conditional_effects(
    fit: Mapping[str, Any], record: Mapping[str, Any], estimates: Mapping[str, float], design: Design
) -> Effects:
    """The conditional answer, from what a fit left.

    Parameters
    ----------
    fit : mapping
        Row of `fits.parquet`.
    record : mapping
        JSON record of the fit.
    estimates : mapping of str to float
        Fixed effects.
    design : Design
        The model.

    Raises
    ------
    Refusal
        If the fit left no covariance.
    """
    if fit["engine"] == "glmm":
        table = record["covariance"]
        fixed = [name for name in design.names if name in set(table["names"])]
        cuts = threshold_names(design) if design.family == "ordinal" else ()
        places = _places(design)
        k = len(fixed) + len(places)
        at = [*(table["names"].index(cut) for cut in cuts), *range(k)]  # thresholds stand last there
        names = [*cuts, *fixed]
        covariance = np.array(table["values"], dtype=float)[np.ix_(at, at)]
        return Effects(
            **fit_identity(fit, design), names=tuple(names), beta=_values(estimates, names),
            covariance=covariance, df=None, Sigma=np.array(record["Sigma"], dtype=float), places=places,
        )  # fmt: skip
    table = record.get("fixed_covariance")
    if not isinstance(table, Mapping):
        problem = f"{named(fit)} left no covariance of its fixed effects"
        raise Refusal(Problem(problem, "reconciliation", "fit the model by lmm as well"))
    names = list(table["names"])
    return Effects(
        **fit_identity(fit, design), names=tuple(names), beta=_values(estimates, names),
        covariance=np.array(table["values"], dtype=float), df=None, Sigma=np.empty((0, 0)),
    )  # fmt: skip


def marginal_effects(
    fit: Mapping[str, Any], record: Mapping[str, Any], estimates: Mapping[str, float], design: Design
) -> Effects:
    """The answer of estimating equations, from what a fit left; parameters as `conditional_effects`."""
    names = list(record["terms"])
    return Effects(
        **fit_identity(fit, design), names=tuple(names), beta=_values(estimates, names),
        covariance=np.array(record["covariance"], dtype=float), df=record["variance"]["df"],
        Sigma=np.empty((0, 0)),
    )  # fmt: skip


def fit_identity(fit: Mapping[str, Any], design: Design) -> dict[str, Any]:
    """The fields of `Effects` that say which fit it is."""
    same = {key: fit[key] for key in ("model", "engine", "method", "status", "analysis_hash", "n_obs")}
    return same | {"link": design.link}


def _values(estimates: Mapping[str, float], names: list[str]) -> FloatArray:
    return np.array([estimates[name] for name in names], dtype=float)


def _places(design: Design) -> tuple[tuple[int, int], ...]:
    """Elements of Sigma that are estimated, column after column of its lower triangle."""
    q = len(design.varying)
    free = np.eye(q, dtype=bool)
    start = 0
    for term in design.random:
        stop = start + len(term.names)
        free[start:stop, start:stop] |= term.correlated
        start = stop
    return tuple((i, j) for j in range(q) for i in range(j, q) if free[i, j])


def named(fit: Mapping[str, Any]) -> str:
    """A fit as a sentence names it."""
    return f"{fit['model']} by {fit['engine']}"


def refuse_irreconcilable(conditional: Effects, marginal: Effects) -> tuple[str, ...]:
    """Check that two answers are about the same rows and scale, and give the terms they share.

    Raises
    ------
    Refusal
        If they saw other rows, have other links, or no term in common: no number would say anything.
    """
    names = [f"{each.model} by {each.engine}" for each in (conditional, marginal)]
    where = f"Reconciliation of {names[0]} with {names[1]}"
    problems = []
    if conditional.analysis_hash != marginal.analysis_hash:
        rows = f"{conditional.n_obs:,} and {marginal.n_obs:,}"
        what = f"they were fitted to different rows or outcomes ({rows} rows)"
        problems.append(Problem(what, where, "fit both to the same analysis rows"))
    if conditional.link != marginal.link:
        what = f"their links differ ({conditional.link} and {marginal.link}), and so do their coefficients"
        problems.append(Problem(what, where, "fit both with one link"))
    shared = tuple(name for name in conditional.names if name in marginal.names)
    if not shared:
        problems.append(Problem("they have no term in common", where, "give both the same fixed part"))
    if conditional.link not in LINKS:
        what = f"means with the link {conditional.link} cannot be averaged over random effects"
        problems.append(Problem(what, where, f"use one of {', '.join(LINKS)}"))
    if problems:
        raise Refusal(problems)
    return shared
