"""Complete pooling, the engine `pooled`: least squares without groups, and an honest standard error."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.design.record import Design
from nestwise.fit.inference import information, least_squares_log_likelihood, t_rows
from nestwise.fit.pooled_glm import fit_pooled_glm
from nestwise.fit.predictions import prediction_rows
from nestwise.fit.refusals import gaussian_problems, refuse, refuse_exact
from nestwise.fit.sandwich import cluster_robust
from nestwise.results import Estimate, Fit, Status
from nestwise.vocabulary import FEW_GROUPS


def fit_pooled(design: Design, level: float = 0.95) -> Fit:
    """Least squares with the groups ignored; a generalised linear model where the outcome is not Gaussian.

    The main table holds cluster-robust standard errors (CR2, Bell & McCaffrey 2002) with Satterthwaite
    degrees of freedom; the conventional ones, which take the rows for independent, and CR1 are in
    ``record["standard_errors"]``. Groups are those of the factor with the fewest groups. Without random
    terms, or with a single group, the conventional ones are all there is.

    Parameters
    ----------
    design : Design
        Gaussian, or what `pooled_glm` takes; any random terms.
    level : float
        Coverage of the intervals.

    Raises
    ------
    Refusal
        See `fit.refusals`.
    """
    if design.family != "gaussian":
        return fit_pooled_glm(design, level)
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
