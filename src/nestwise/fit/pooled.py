"""Complete pooling, the engine `pooled`: least squares without groups, and an honest standard error."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np

from nestwise.arrays import FloatArray, IntArray
from nestwise.design.record import Design
from nestwise.fit.inference import information, least_squares_log_likelihood, t_rows
from nestwise.fit.predictions import prediction_rows
from nestwise.fit.refusals import gaussian_problems, refuse, refuse_exact
from nestwise.results import Estimate, Fit, Status
from nestwise.vocabulary import FEW_GROUPS


def fit_pooled(design: Design, level: float = 0.95) -> Fit:
    """Least squares with the groups ignored.

    The main table holds cluster-robust standard errors (CR2, Bell & McCaffrey 2002) with Satterthwaite
    degrees of freedom; the conventional ones, which take the rows for independent, and CR1 are in
    ``record["standard_errors"]``. Groups are those of the factor with the fewest groups. Without random
    terms, or with a single group, the conventional ones are all there is.

    Parameters
    ----------
    design : Design
        Gaussian; any random terms.
    level : float
        Coverage of the intervals.

    Raises
    ------
    Refusal
        See `fit.refusals`.
    """
    began = perf_counter()
    refuse(gaussian_problems(design, engine="pooled"))
    n, p = design.X.shape
    y = design.y_less_offset
    Q, R = np.linalg.qr(design.X)
    beta = np.linalg.solve(R, Q.T @ y)
    residual = y - design.X @ beta
    beta = beta + np.linalg.solve(R, Q.T @ residual)  # one step of refinement
    residual = y - design.X @ beta
    rss = float(residual @ residual)
    refuse_exact(design, rss / n)
    back = np.linalg.inv(R).T  # row k: coefficient k as a combination of the columns of Q
    conventional = np.sqrt(rss / (n - p) * (back**2).sum(axis=0))
    method, std_error, df, robust, warnings = _errors(design, Q, back, residual, conventional)
    log_likelihood = least_squares_log_likelihood(rss, n)
    fitted = design.y - residual
    return Fit(
        **design.identity,
        engine="pooled",
        method=method,
        status=Status.OK,
        converged=True,
        **information(log_likelihood, p + 1, n),
        warnings=warnings,
        estimates=(
            *t_rows(design.names, beta, std_error, df, level, target="marginal"),
            Estimate("residual", "sigma", float(np.sqrt(rss / (n - p))), target="marginal"),
        ),
        predictions=prediction_rows(design, fitted, fitted),
        record={"standard_errors": robust, "residual_df": n - p},
        seconds=perf_counter() - began,
    )


def cluster_robust(
    Q: FloatArray, back: FloatArray, residual: FloatArray, codes: IntArray, J: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Cluster-robust standard errors: CR2, its Satterthwaite degrees of freedom, and CR1.

    With P_j = Q_j'Q_j and scores s_j = Q_j'r_j of orthonormal columns, the CR2 adjustment
    ``(I - H_jj)^(-1/2)`` of the residuals becomes ``(I - P_j)^(-1/2) s_j``: p x p instead of n_j x n_j.
    Degrees of freedom under independent rows, Bell & McCaffrey (2002); Pustejovsky & Tipton (2018), Journal
    of Business & Economic Statistics 36(4).

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
        Outcome's units per unit of the column; NaN in cr2 where one group alone informs a coefficient.
    """
    n, p = Q.shape
    scores = np.column_stack([np.bincount(codes, Q[:, a] * residual, J) for a in range(p)])
    P = np.empty((J, p, p))
    for a in range(p):
        for b in range(a + 1):
            P[:, a, b] = P[:, b, a] = np.bincount(codes, Q[:, a] * Q[:, b], J)
    values, vectors = np.linalg.eigh(np.eye(p) - P)
    kept = values > 1e-8
    # A direction that one group alone informs leaves no residuals there to judge it by: NaN for all it moves.
    alone = np.einsum("jab,ak->jbk", vectors, back)
    blind = ((np.abs(alone) > 1e-6 * np.linalg.norm(back, axis=0)) & ~kept[:, :, None]).any(axis=(0, 1))
    power = np.where(kept, 1 / np.sqrt(np.where(kept, values, 1.0)), 0.0)
    adjust = (vectors * power[:, None, :]) @ np.swapaxes(vectors, 1, 2)
    adjusted = np.einsum("jab,jb->ja", adjust, scores) @ back
    cr2 = np.sqrt((adjusted**2).sum(axis=0))
    cr1 = np.sqrt(((scores @ back) ** 2).sum(axis=0) * J / (J - 1) * (n - 1) / (n - p))
    # The estimator is a quadratic form with matrix G'G = diag(d) - h'h; df = tr^2 / tr of its square.
    direction = adjust @ back  # (J, p, p): column k for coefficient k
    h = P @ direction
    d = np.einsum("jak,jak->jk", direction, h)
    hh = np.einsum("jak,jak->jk", h, h)
    cross = np.einsum("jak,jbk->kab", h, h)
    trace = (d - hh).sum(axis=0)
    trace_square = (d**2 - 2 * d * hh).sum(axis=0) + (cross**2).sum(axis=(1, 2))
    return np.where(blind, np.nan, cr2), trace**2 / trace_square, cr1


def _errors(
    design: Design, Q: FloatArray, back: FloatArray, residual: FloatArray, conventional: FloatArray
) -> tuple[str, FloatArray, FloatArray | float, dict[str, Any], tuple[str, ...]]:
    """Method, standard errors and degrees of freedom of the main table; the record; warnings."""
    n, p = Q.shape
    record: dict[str, Any] = {"terms": list(design.names), "conventional": conventional.tolist()}
    term = min(design.random, key=lambda term: term.n_groups, default=None)
    if term is None or term.n_groups < 2:
        return "OLS", conventional, float(n - p), record, ()
    cr2, df, cr1 = cluster_robust(Q, back, residual, term.codes, term.n_groups)
    if not np.all((cr2 > 0) & (df > 0) & np.isfinite(df)):
        warning = (
            f"The {term.n_groups} groups of {term.group} are too few for cluster-robust standard errors of "
            f"{p} fixed effects: the conventional ones are shown, which take the rows for independent."
        )
        return "OLS", conventional, float(n - p), record, (warning,)
    record |= {"group": term.group, "CR1": cr1.tolist(), "CR2": cr2.tolist(), "CR2_df": df.tolist()}
    warnings: tuple[str, ...] = ()
    if term.n_groups < FEW_GROUPS:
        warnings = (
            f"The factor {term.group} has {term.n_groups} groups, fewer than {FEW_GROUPS}: cluster-robust "
            "standard errors are uncertain, and the degrees of freedom of the t tests say by how much.",
        )
    return "OLS, CR2", cr2, df, record, warnings
