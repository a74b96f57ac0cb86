"""What the optimum of a generalised linear mixed model says, in the units of its formula."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.design.record import Design
from nestwise.fit.glm import Rows, aux_of
from nestwise.fit.optimise import SINGULAR_TOLERANCE
from nestwise.fit.points import Optimum
from nestwise.fit.solution import FactorEffects
from nestwise.likelihood.crossed_rows import CrossedRows
from nestwise.likelihood.factorisation import solve
from nestwise.likelihood.families import DISPERSION
from nestwise.likelihood.laplace import CrossedModes, group_covariances
from nestwise.likelihood.modes import Modes

FLAT = 1e-9
"""Share of the largest curvature below which a direction counts as not curved at all."""


@dataclass(frozen=True)
class GlmmSolution:
    """Estimates on the scale of the link, in the units of the formula.

    Attributes
    ----------
    names : tuple of str, length p
        Fixed effects; an ordinal model has none for the intercept.
    beta, cov_beta : ndarray (p,), (p, p)
        Fixed effects and their covariance, from the observed information of all parameters.
    Sigma : ndarray (q, q)
        Covariance of the random effects.
    aux_names : tuple of str, length a
        Thresholds, `low|medium`, or the dispersion, `size` or `shape`.
    aux, cov_aux : ndarray (a,), (a, a)
        Thresholds, or the logarithm of the dispersion, and their covariance.
    covariance_names, covariance : tuple of str and ndarray
        Joint covariance of the fixed effects, the elements of Sigma (`var:g:x`, `cov:g:x:z`) and `aux`.
    log_likelihood : float
        With all constants.
    n_parameters : int
        All of them.
    effects : tuple of FactorEffects
        Of each grouping factor: conditional modes, the inverse curvature there, and how the modes follow the
        fixed effects.
    singular : bool
        Whether Sigma has lost rank, judged on standardised columns.
    """

    names: tuple[str, ...]
    beta: FloatArray
    cov_beta: FloatArray
    Sigma: FloatArray
    aux_names: tuple[str, ...]
    aux: FloatArray
    cov_aux: FloatArray
    covariance_names: tuple[str, ...]
    covariance: FloatArray
    log_likelihood: float
    n_parameters: int
    effects: tuple[FactorEffects, ...]
    singular: bool

    @property
    def sd(self) -> FloatArray:
        """Standard deviations of the random effects (q,)."""
        return np.asarray(np.sqrt(np.diag(self.Sigma)))


def solution_of(design: Design, rows: Rows, optimum: Optimum) -> GlmmSolution:
    """Translate an optimum.

    Parameters
    ----------
    design : Design
        The model.
    rows : GroupedRows or CrossedRows
        Its data.
    optimum : Optimum
        Where the search ended.
    """
    deviance = optimum.deviance
    found = deviance.at(optimum.at)
    beta, L, raw = deviance.parts(optimum.at)
    p, a = beta.size, raw.size
    root = rows.T_Z @ L
    jacobian, names = _jacobian(design, rows, L, raw)
    covariance = jacobian @ (2 * inverse_information(optimum.minimum.hessian)) @ jacobian.T
    aux, _ = aux_of(rows.given, raw)
    return GlmmSolution(
        names=rows.names,
        beta=rows.T_X @ beta,
        cov_beta=covariance[:p, :p],
        Sigma=root @ root.T,
        aux_names=names[len(names) - a :],
        aux=aux,
        cov_aux=covariance[covariance.shape[0] - a :, covariance.shape[0] - a :],
        covariance_names=names,
        covariance=covariance,
        log_likelihood=-optimum.minimum.value / 2,
        n_parameters=optimum.at.size,
        effects=_effects(design, rows, found.modes, L),
        singular=bool(np.linalg.svd(L, compute_uv=False)[-1] < SINGULAR_TOLERANCE),
    )


def inverse_information(hessian: FloatArray) -> FloatArray:
    """Inverse of a Hessian; directions without curvature, as correlations of an SD of zero, are left out."""
    values, vectors = np.linalg.eigh(hessian)
    held = values > FLAT * max(float(values[-1]), FLAT)
    return np.asarray((vectors[:, held] / values[held]) @ vectors[:, held].T)


def _jacobian(
    design: Design, rows: Rows, L: FloatArray, raw: FloatArray
) -> tuple[FloatArray, tuple[str, ...]]:
    """Derivatives of (beta, Sigma, aux) in the formula's units by the parameters of the search."""
    p, k, a, q = rows.X.shape[0], rows.pattern.k, raw.size, L.shape[0]
    varying = design.varying
    group = [term.group for term in design.random for _ in term.names]
    free = rows.pattern.matrix(np.ones(k)) @ rows.pattern.matrix(np.ones(k)).T > 0
    places = [(i, j) for j in range(q) for i in range(j, q) if free[i, j]]
    jacobian = np.zeros((p + len(places) + a, p + k + a))
    jacobian[:p, :p] = rows.T_X
    for column, (i, j) in enumerate(zip(rows.pattern.rows, rows.pattern.cols, strict=True)):
        change = np.outer(rows.T_Z[:, i], (rows.T_Z @ L)[:, j])
        change = change + change.T
        jacobian[p : p + len(places), p + column] = [change[place] for place in places]
    jacobian[p + len(places) :, p + k :] = aux_of(rows.given, raw)[1]
    spread = (
        f"var:{group[i]}:{varying[i]}" if i == j else f"cov:{group[i]}:{varying[j]}:{varying[i]}"
        for i, j in places
    )
    return jacobian, (*rows.names, *spread, *_aux_names(design, a))


def _aux_names(design: Design, a: int) -> tuple[str, ...]:
    if design.family == "ordinal":
        return threshold_names(design, a)
    return (DISPERSION[design.family],) if a else ()


def threshold_names(design: Design, a: int) -> tuple[str, ...]:
    """What the a thresholds of an ordinal outcome are called: `low|high`, as in R's ordinal."""
    labels = design.categories or tuple(str(c) for c in range(a + 1))
    return tuple(f"{low}|{high}" for low, high in pairwise(labels))


def _effects(
    design: Design, rows: Rows, modes: Modes | CrossedModes, L: FloatArray
) -> tuple[FactorEffects, ...]:
    """Modes, their covariances and their derivatives by beta, of every group of the design."""
    if isinstance(rows, CrossedRows):
        assert isinstance(modes, CrossedModes)
        return _crossed_effects(design, rows, modes, L)
    assert isinstance(modes, Modes)
    root, factor = rows.T_Z @ L, design.factors[0]
    half = np.einsum("rs,stj->jrt", root, modes.C)
    cov = half @ half.swapaxes(1, 2)
    slope = rows.by_group(rows.Z[:, None, :] * (rows.X * modes.at.d2))
    # db/dbeta = L H^-1 L'Z' diag(d2) X, with L L' and Z in working columns and back
    on_beta = np.einsum("jrs,st,tpj->jrp", cov, np.linalg.inv(rows.T_Z).T, slope, optimize=True)
    b, at = (root @ modes.u).T, rows.which
    on_beta = on_beta @ _inverse_or_empty(rows.T_X)
    return (FactorEffects(factor.group, factor.columns, b[at], cov[at], on_beta[at]),)


def _crossed_effects(
    design: Design, rows: CrossedRows, modes: CrossedModes, L: FloatArray
) -> tuple[FactorEffects, ...]:
    roots = rows.blocks(L)
    slope = rows.apply([root.T for root in roots], rows.Z.T @ (rows.X * modes.at.d2).T)
    follow = solve(rows.elimination, modes.root, slope) @ _inverse_or_empty(rows.T_X)
    found = []
    for f, (factor, inverse) in enumerate(zip(design.factors, group_covariances(rows, modes), strict=True)):
        root = rows.T_Z[np.ix_(factor.columns, factor.columns)] @ roots[f]
        b = (root @ rows.by_factor(modes.u, f))[:, :, 0]
        cov = root @ inverse @ root.T
        on_beta = root @ rows.by_factor(follow, f)
        found.append(FactorEffects(factor.group, factor.columns, b, cov, on_beta))
    return tuple(found)


def _inverse_or_empty(T: FloatArray) -> FloatArray:
    return np.linalg.inv(T) if T.size else T
