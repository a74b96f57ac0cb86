"""What leaving a group out would do to the fixed effects, without fitting again.

The covariance V of the rows stays as estimated; with ``S = X'V^-1 X`` and, for a group j whose rows are
independent of all others, ``C_j = X_j'V_j^-1 X_j`` and ``s_j = X_j'V_j^-1 (y_j - X_j beta)``,

    beta - beta_(j) = (S - C_j)^-1 s_j,    cov(beta_(j)) = (S - C_j)^-1.

Where other groups share in the covariance of its rows (an inner group of a nested model, a crossed factor),
``C_j = U'P^-1 U`` and ``s_j = U'P^-1 u`` with U and u the group's rows of ``V^-1 X`` and of
``V^-1 (y - X beta)``, and P its block of ``V^-1``: deleting rows is the same as giving each an indicator. See
`influence_crossed`.

Sources: Christensen, Pearson & Johnson (1992), Technometrics 34; Demidenko & Stukel (2005), Statistics in
Medicine 24; measures as in HLMdiag (Loy & Hofmann 2014, Journal of Statistical Software 56(5)).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from nestwise.arrays import FloatArray, IntArray
from nestwise.design.record import Design
from nestwise.fit.clusters import MarginalCovariance, independent_clusters
from nestwise.fit.solution import LmmSolution
from nestwise.results import conform, empty
from nestwise.vocabulary import INFLUENCE

LEAST = 1e-8
"""Without the group, the fixed effects are not determined if a direction keeps less information than this."""
LIGHT = 0.5
"""Groups that hold less than this much information, summed over directions, leave all effects determined."""
AT_ONCE = 4000
"""Groups whose small matrices stay in the processor's cache: three times as quick as all at once."""


@dataclass(frozen=True)
class Groups:
    """Groups that are left out in turn.

    Attributes
    ----------
    group : str
        Name of the factor.
    labels : tuple of str, length J
    codes : ndarray (n,)
        Group of each row.
    """

    group: str
    labels: tuple[str, ...]
    codes: IntArray


@dataclass(frozen=True)
class Influence:
    """Leave-one-group-out measures of one grouping factor; NaN where the rest does not determine beta.

    Attributes
    ----------
    group : str
        Factor.
    labels : tuple of str, length J
    n : ndarray (J,)
        Rows of each group.
    cook : ndarray (J,)
        ``d'cov(beta)^-1 d / p`` with d = beta - beta_(j).
    mdffits : ndarray (J,)
        ``d'cov(beta_(j))^-1 d / p``.
    covratio : ndarray (J,)
        ``|cov(beta_(j))| / |cov(beta)|``.
    covtrace : ndarray (J,)
        ``|tr(cov(beta)^-1 cov(beta_(j))) - p|``.
    leverage : ndarray (J,)
        Mean of the group's diagonal elements of ``X (X'V^-1 X)^-1 X'V^-1``; times n they add up to p.
    dfbeta : ndarray (J, p)
        beta - beta_(j), the outcome's scale and the formula's columns.
    """

    group: str
    labels: tuple[str, ...]
    n: IntArray
    cook: FloatArray
    mdffits: FloatArray
    covratio: FloatArray
    covtrace: FloatArray
    leverage: FloatArray
    dfbeta: FloatArray


def influence_frame(found: list[Influence]) -> pl.DataFrame:
    """One row a group of each factor, in the schema `INFLUENCE`; the columns that name the fit are null."""
    names = ("n", "cook", "mdffits", "covratio", "covtrace", "leverage")
    parts = []
    for one in found:
        columns: dict[str, Any] = {"group": one.group, "label": one.labels}
        parts.append(pl.DataFrame(columns | {name: getattr(one, name) for name in names}))
    return conform(pl.concat(parts), INFLUENCE) if parts else empty(INFLUENCE)


def influence(design: Design, solution: LmmSolution) -> list[Influence]:
    """Leave-one-group-out measures of a model with one grouping factor and independent residuals.

    Closed forms from each group's cross-products: no loop over groups.

    Parameters
    ----------
    design : Design
        Weights and known sampling errors are minded; no memberships, relation or residual covariance.
    solution : LmmSolution
        Its fit.
    """
    factor = design.factors[0]
    root_weight = _root_weights(design, solution.sigma)
    Q, T = _orthogonal(design.X)
    residual = design.y_less_offset - design.X @ solution.beta
    columns = [*(Q.T * root_weight), residual * root_weight]
    Z = [column * root_weight for column in factor.Z.T]
    p, q, J = Q.shape[1], len(Z), factor.n_groups
    sums = _group_sums(factor.codes, J)
    ZW = np.array([[sums(z * w) for w in columns] for z in Z]).transpose(2, 0, 1).reshape(J, q, p + 1)
    ZZ = np.array([[sums(a * b) for b in Z] for a in Z]).transpose(2, 0, 1)
    XX = np.empty((J, p, p + 1))
    for a in range(p):
        for b in range(a, p + 1):
            XX[:, a, b] = sums(columns[a] * columns[b])
            if b < p:
                XX[:, b, a] = XX[:, a, b]
    # V_j^-1 = R^-1 - R^-1 Z L (I + L'Z'R^-1 Z L)^-1 L'Z'R^-1 with Sigma = L L'
    L = solution.Lambda * solution.sigma
    M = np.eye(q) + L.T @ ZZ @ L
    LW = L.T @ ZW
    C = XX - np.swapaxes(LW[:, :, :p], 1, 2) @ np.linalg.solve(M, LW)
    groups = Groups(factor.group, factor.labels, factor.codes)
    return [measures(groups, C[:, :, :p], C[:, :, p], C[:, :, :p], T)]


def influence_by_clusters(
    design: Design, covariance: MarginalCovariance, beta: FloatArray
) -> list[Influence]:
    """Leave-one-cluster-out measures of any Gaussian model: subjects of a trial, or what holds them together.

    Parameters
    ----------
    design : Design
        With a residual covariance or random effects.
    covariance : MarginalCovariance
        Of its rows.
    beta : ndarray (p,)
        Fixed effects.
    """
    groups = _independent_groups(design)
    Q, T = _orthogonal(design.X)
    W = np.column_stack([Q, design.y_less_offset - design.X @ beta])
    p = Q.shape[1]
    C = np.empty((len(groups.labels), p, p + 1))
    for stack in covariance.stacks():
        white = np.linalg.solve(np.linalg.cholesky(stack.V), W[stack.rows])
        C[groups.codes[stack.rows[:, 0]]] = np.swapaxes(white[:, :, :p], 1, 2) @ white
    return [measures(groups, C[:, :, :p], C[:, :, p], C[:, :, :p], T)]


def _independent_groups(design: Design) -> Groups:
    """The grouping factor whose groups are the independent clusters: the subjects, or one above them."""
    clusters = independent_clusters(design)
    J = int(clusters.max()) + 1
    for factor in design.factors:
        if factor.terms[0].membership is None and np.unique(factor.codes).size == J:
            return Groups(factor.group, factor.labels, factor.codes)
    residual = design.residual
    assert residual is not None
    labels = residual.subject_labels or tuple(map(str, range(J)))
    return Groups(residual.subject, labels, residual.subjects)


def measures(groups: Groups, C: FloatArray, s: FloatArray, share: FloatArray, T: FloatArray) -> Influence:
    """Measures from what each group takes away, in columns Q = X T.

    Parameters
    ----------
    groups : Groups
        J of them.
    C : ndarray (J, p, p)
        ``C_j`` of the module.
    s : ndarray (J, p)
        ``s_j``.
    share : ndarray (J, p, p)
        ``X_j'(V^-1 X)_j``; they add up to S.
    T : ndarray (p, p)
        From effects of Q to those of X.
    """
    p = C.shape[1]
    counts = np.bincount(groups.codes, minlength=len(groups.labels))
    S = share.sum(axis=0)
    half = np.linalg.inv(np.linalg.cholesky(S))  # S^-1 = half' half
    # In columns with S = I: cov(beta) = I and cov(beta_(j)) = (I - C)^-1. Groups last, as in `grouped`.
    J = C.shape[0]
    scaled = (half @ np.moveaxis(C, 0, -1).reshape(p, p * J)).reshape(p, p, J)
    scaled = (half @ np.swapaxes(scaled, 0, 1).reshape(p, p * J)).reshape(p, p, J)
    along = half @ s.T
    d, trace, det = np.empty((p, J)), np.empty(J), np.empty(J)
    light = np.trace(scaled) < LIGHT
    lighter = np.flatnonzero(light)
    for start in range(0, lighter.size, AT_ONCE):
        some = lighter[start : start + AT_ONCE]
        d[:, some], trace[some], det[some] = _of_light_groups(scaled[:, :, some], along[:, some])
    d[:, ~light], trace[~light], det[~light] = _of_any_groups(scaled[:, :, ~light], along[:, ~light])
    d[:, counts == 0] = trace[counts == 0] = det[counts == 0] = np.nan
    return Influence(
        group=groups.group,
        labels=groups.labels,
        n=counts,
        cook=(d**2).sum(axis=0) / p,
        mdffits=(d * along).sum(axis=0) / p,
        covratio=1 / det,
        covtrace=np.abs(trace - p),
        leverage=share.reshape(J, p * p) @ (half.T @ half).ravel() / np.maximum(counts, 1),
        dfbeta=(T @ half.T @ d).T,
    )


Taken = tuple[FloatArray, FloatArray, FloatArray]


def _of_light_groups(C: FloatArray, along: FloatArray) -> Taken:
    """(I - C)^-1 along (p, J), its trace and det(I - C) (J,), of groups that take little: all at once.

    C (p, p, J) has eigenvalues from 0 to `LIGHT`, so the Cholesky factor of I - C loses no digits.
    """
    p = C.shape[0]
    left = np.eye(p)[:, :, None] - C
    inverse = np.zeros_like(C)  # of the Cholesky factor, row by row
    det = np.ones(C.shape[2])
    for k in range(p):
        pivot = left[k, k].copy()
        det *= pivot
        column = left[k + 1 :, k] / pivot
        left[k + 1 :, k + 1 :] -= column[:, None] * left[None, k, k + 1 :]
        inverse[k, k] = 1.0
        inverse[k + 1 :, : k + 1] -= column[:, None] * inverse[None, k, : k + 1]
        inverse[k, : k + 1] /= np.sqrt(pivot)
    white = (inverse * along).sum(axis=1)
    return (inverse * white[:, None]).sum(axis=0), (inverse**2).sum(axis=(0, 1)), det


def _of_any_groups(C: FloatArray, along: FloatArray) -> Taken:
    """The same of groups that may hold all there is on some effect: NaN where they do."""
    values, vectors = np.linalg.eigh(np.moveaxis(C, -1, 0))
    left: FloatArray = 1 - values
    left = np.where((left > LEAST).all(axis=1)[:, None], left, np.nan)
    d = np.einsum("jab,jb->aj", vectors, np.einsum("jba,bj->ja", vectors, along) / left)
    return d, (1 / left).sum(axis=1), left.prod(axis=1)


def _orthogonal(X: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Q (n, p) with Q'Q = n I, and T (p, p) with Q = X T."""
    R = np.linalg.qr(X, mode="r")
    T = np.linalg.inv(R) * np.sqrt(X.shape[0])
    return X @ T, T


def _root_weights(design: Design, sigma: float) -> FloatArray:
    """One over the residual standard deviation of each row (n,)."""
    if design.sampling_error is not None:
        return 1 / design.sampling_error
    weights = np.ones(design.n) if design.weights is None else design.weights
    return np.sqrt(weights) / sigma


def _group_sums(codes: IntArray, J: int) -> Any:
    """A function that sums a column (n,) by group (J,)."""
    return lambda column: np.bincount(codes, weights=column, minlength=J)
