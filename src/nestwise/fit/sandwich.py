"""Cluster-robust covariance of the fixed effects: CR0 to CR3, with degrees of freedom of their t tests.

The model's covariance V of the rows makes the estimator; the sandwich around the residuals of independent
clusters judges it without trusting V. With W = V^-1, M = (X'W X)^-1 and H_j = X_j M X_j'W_j of cluster j,

    cov = M [sum_j X_j'W_j A_j e_j e_j'A_j'W_j X_j] M,

- CR0: A_j = I; CR1: A_j = I sqrt(J / (J - 1));
- CR2: A_j = D_j'(D_j (V_j - X_j M X_j') D_j')^(-1/2) D_j with D_j'D_j = V_j: unbiased where V is right;
- CR3: A_j = (I - H_j)^-1, close to leaving one cluster out.

Degrees of freedom match the two first moments of the variance estimator where V is right. Sources: Bell &
McCaffrey (2002), Survey Methodology 28; Pustejovsky & Tipton (2018), Journal of Business & Economic
Statistics 36(4); as in clubSandwich.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nestwise.arrays import BoolArray, FloatArray, IntArray
from nestwise.config.study import Sandwich
from nestwise.design.record import Design
from nestwise.errors import Problem, Refusal
from nestwise.fit.clusters import ClusterStack, MarginalCovariance
from nestwise.results import Estimate
from nestwise.vocabulary import FEW_GROUPS

LOST = 1e-8
"""Share of a direction's variance that a cluster must leave to the others for its residuals to count."""


@dataclass(frozen=True)
class RobustCovariance:
    """A cluster-robust covariance.

    Attributes
    ----------
    kind : str
        `CR0`, `CR1`, `CR2` or `CR3`.
    n_clusters : int
        J.
    covariance : ndarray (p, p)
        Of the fixed effects.
    df : ndarray (p,)
        Degrees of freedom of each coefficient's t statistic.
    blind : ndarray (p,) of bool
        Coefficients that one cluster alone informs in part, so that no residuals judge them.
    """

    kind: Sandwich
    n_clusters: int
    covariance: FloatArray
    df: FloatArray
    blind: BoolArray


def robust_covariance(
    design: Design, beta: FloatArray, marginal: MarginalCovariance, kind: Sandwich
) -> RobustCovariance:
    """Cluster-robust covariance of generalised least squares with the model's V.

    Parameters
    ----------
    design : Design
        The model.
    beta : ndarray (p,)
        Its fixed effects.
    marginal : MarginalCovariance
        V; its independent clusters are those of the sandwich.
    kind : str
        Which.

    Raises
    ------
    Refusal
        If all rows hang together, as with crossed factors.
    """
    Q, R = np.linalg.qr(design.X)
    residual = design.y_less_offset - design.X @ beta
    W_QQ = sum(_weighted(stack, Q) for stack in marginal.stacks())
    root = np.linalg.inv(np.linalg.cholesky(W_QQ)).T  # (Q root)'W (Q root) = I
    columns, back = Q @ root, (np.linalg.inv(R) @ root).T
    parts = [_adjusted(stack, columns, residual, kind) for stack in marginal.stacks()]
    scores, P, cross, middle = (np.concatenate(part) for part in zip(*parts, strict=True))
    J = scores.shape[0]
    if J < 2:
        problem = Problem(
            "all rows hang together through the grouping factors, so there are no independent clusters for a "
            f"robust standard error ({kind})",
            design.formula,
            "leave `robust` out, or keep the random effects of one factor",
        )
        raise Refusal(problem)
    factor = J / (J - 1) if kind == "CR1" else 1.0
    df = sandwich_df(np.einsum("ak,jab,bk->jk", back, middle, back), np.einsum("jab,bk->jak", cross, back))
    return RobustCovariance(
        kind=kind,
        n_clusters=J,
        covariance=factor * back.T @ scores.T @ scores @ back,
        df=df,
        blind=np.zeros(back.shape[1], dtype=bool) if kind in {"CR0", "CR1"} else alone(P, back),
    )


def _weighted(stack: ClusterStack, X: FloatArray) -> FloatArray:
    columns = X[stack.rows]
    found: FloatArray = np.einsum("cma,cmb->ab", columns, np.linalg.solve(stack.V, columns))
    return found


def _adjusted(
    stack: ClusterStack, X: FloatArray, residual: FloatArray, kind: Sandwich
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Scores (c, p), X'W X, X'g and g'V g (c, p, p) of each cluster, g = A'W X, for columns with M = I."""
    V, columns, e = stack.V, X[stack.rows], residual[stack.rows]
    WX = np.linalg.solve(V, columns)
    P = np.swapaxes(columns, 1, 2) @ WX
    if kind == "CR2":
        D = np.swapaxes(np.linalg.cholesky(V), 1, 2)
        B = D @ (V - columns @ np.swapaxes(columns, 1, 2)) @ np.swapaxes(D, 1, 2)
        values, vectors = np.linalg.eigh(B)
        floor = LOST * values[:, -1:]
        power = np.where(values > floor, 1 / np.sqrt(np.maximum(values, floor)), 0.0)
        g = np.swapaxes(D, 1, 2) @ ((vectors * power[:, None, :]) @ (np.swapaxes(vectors, 1, 2) @ (D @ WX)))
    elif kind == "CR3":
        # A'W X = (I - W X X')^-1 W X = W X (I - P)^-1: p x p in place of m x m.
        g = WX @ np.linalg.pinv(np.eye(P.shape[1]) - P, rcond=LOST, hermitian=True)
    else:
        g = WX
    gT = np.swapaxes(g, 1, 2)
    return np.einsum("cmp,cm->cp", g, e), P, np.swapaxes(columns, 1, 2) @ g, gT @ V @ g


def sandwich_df(d: FloatArray, h: FloatArray) -> FloatArray:
    """Degrees of freedom (K,) of variance estimators that are quadratic forms with matrix ``diag(d) - h'h``.

    Twice the squared mean over the variance of the form: ``tr^2 / tr of its square``.

    Parameters
    ----------
    d : ndarray (J, K)
        Variance that cluster j contributes to form k before the fixed effects are estimated.
    h : ndarray (J, p, K)
        What of it the orthonormal fixed effects take along.
    """
    hh = np.einsum("jak,jak->jk", h, h)
    cross = np.einsum("jak,jbk->kab", h, h)
    trace = (d - hh).sum(axis=0)
    squares = (d**2 - 2 * d * hh).sum(axis=0) + (cross**2).sum(axis=(1, 2))
    df: FloatArray = trace**2 / squares
    return df


def alone(P: FloatArray, back: FloatArray) -> BoolArray:
    """Which coefficients (p,) lie in part along a direction that one cluster alone informs.

    Such a cluster's residuals are zero there whatever the truth, and nothing is left to judge it by.

    Parameters
    ----------
    P : ndarray (J, p, p)
        Cluster's cross-products of columns that are orthonormal over all clusters.
    back : ndarray (p, p)
        Column k makes coefficient k from those of the orthonormal columns.
    """
    values, vectors = np.linalg.eigh(np.eye(P.shape[1]) - P)
    along = np.abs(np.einsum("jab,ak->jbk", vectors, back)) > 1e-6 * np.linalg.norm(back, axis=0)
    found: BoolArray = (along & (values <= LOST)[:, :, None]).any(axis=(0, 1))
    return found


def cluster_robust(
    Q: FloatArray, back: FloatArray, residual: FloatArray, codes: IntArray, J: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Cluster-robust standard errors of least squares: CR2, its degrees of freedom, and CR1.

    With P_j = Q_j'Q_j and scores s_j = Q_j'r_j of orthonormal columns, the CR2 adjustment
    ``(I - H_j)^(-1/2)`` of the residuals becomes ``(I - P_j)^(-1/2) s_j``: p x p instead of n_j x n_j.

    Parameters
    ----------
    Q : ndarray (n, p)
        Orthonormal columns.
    back : ndarray (p, p)
        Column k makes coefficient k from the coefficients of Q.
    residual : ndarray (n,)
        Of least squares.
    codes : ndarray (n,)
        Group of each row.
    J : int
        Number of groups.

    Returns
    -------
    cr2, df, cr1 : ndarray (p,)
        Outcome's units per unit of the column; NaN in cr2 where one group alone informs a coefficient. CR1
        has the factor of Stata, J / (J - 1) (n - 1) / (n - p).
    """
    n, p = Q.shape
    scores = np.column_stack([np.bincount(codes, Q[:, a] * residual, J) for a in range(p)])
    P = np.empty((J, p, p))
    for a in range(p):
        for b in range(a + 1):
            P[:, a, b] = P[:, b, a] = np.bincount(codes, Q[:, a] * Q[:, b], J)
    values, vectors = np.linalg.eigh(np.eye(p) - P)
    kept = values > LOST
    power = np.where(kept, 1 / np.sqrt(np.where(kept, values, 1.0)), 0.0)
    adjust = (vectors * power[:, None, :]) @ np.swapaxes(vectors, 1, 2)
    adjusted = np.einsum("jab,jb->ja", adjust, scores) @ back
    cr2 = np.sqrt((adjusted**2).sum(axis=0))
    cr1 = np.sqrt(((scores @ back) ** 2).sum(axis=0) * J / (J - 1) * (n - 1) / (n - p))
    direction = adjust @ back  # (J, p, p): column k for coefficient k
    h = P @ direction
    df = sandwich_df(np.einsum("jak,jak->jk", direction, h), h)
    return np.where(alone(P, back), np.nan, cr2), df, cr1


def robust_rows(
    names: Sequence[str], beta: FloatArray, robust: RobustCovariance, level: float
) -> tuple[Estimate, ...]:
    """Rows `robust`: fixed effects with cluster-robust standard errors, t tests and intervals.

    Where one cluster alone informs a coefficient there is no standard error, nor what follows from it.

    Parameters
    ----------
    names : sequence of str, length p
        Terms.
    beta : ndarray (p,)
        Estimates.
    robust : RobustCovariance
        Their covariance and degrees of freedom.
    level : float
        Coverage of the intervals.
    """
    from nestwise.fit.inference import t_rows

    judged = np.flatnonzero(~robust.blind & (np.diag(robust.covariance) > 0))
    std_error = np.sqrt(np.diag(robust.covariance))[judged]
    rows = t_rows(
        [names[int(k)] for k in judged], beta[judged], std_error, robust.df[judged], level, component="robust"
    )
    told = {row.term: row for row in rows}
    return tuple(
        told.get(name, Estimate("robust", name, float(value)))
        for name, value in zip(names, beta, strict=True)
    )


def robust_warnings(names: Sequence[str], robust: RobustCovariance) -> tuple[str, ...]:
    """What the reader must know of robust errors: few clusters, coefficients that cannot be judged."""
    found = []
    if robust.n_clusters < FEW_GROUPS:
        found.append(
            f"There are {robust.n_clusters} independent clusters, fewer than {FEW_GROUPS}: cluster-robust "
            "standard errors are uncertain, and the degrees of freedom of the t tests say by how much."
        )
    blind = [name for name, lost in zip(names, robust.blind, strict=True) if lost]
    if blind:
        found.append(
            f"One cluster alone informs {', '.join(blind)}, so there is no cluster-robust standard error."
        )
    return tuple(found)
