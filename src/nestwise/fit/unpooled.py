"""No pooling: least squares with every group on its own. The engine `unpooled`."""

from __future__ import annotations

from time import perf_counter

import numpy as np
import polars as pl

from nestwise.design.record import Design
from nestwise.errors import Problem, Refusal
from nestwise.fit.inference import information, least_squares_log_likelihood, t_rows
from nestwise.fit.pooling import group_rows, no_pooling
from nestwise.fit.predictions import prediction_rows, with_random_part
from nestwise.fit.refusals import one_factor_problems, refuse, refuse_perfect
from nestwise.fit.sweep import Swept, sweep
from nestwise.likelihood.crossproducts import collapse
from nestwise.results import Estimate, Fit, Status


def fit_unpooled(design: Design, level: float = 0.95) -> Fit:
    """Fit coefficients of its own to each group, and common ones to what does not vary by group.

    With varying intercepts these are group indicators; with varying slopes, regressions per group joined by
    the common coefficients and one residual variance. Fixed effects that are constant within groups, or are
    the mean of a varying coefficient, are absorbed by the groups' own coefficients and have no row.

    Parameters
    ----------
    design : Design
        Gaussian, one grouping factor.
    level : float
        Coverage of the t intervals.

    Raises
    ------
    Refusal
        See `fit.refusals`; also if the groups' coefficients use up all rows.
    """
    began = perf_counter()
    refuse(one_factor_problems(design, engine="unpooled"))
    products = collapse(design)
    swept = sweep(products)
    sigma2 = swept.sigma2
    if sigma2 is None:
        what = f"{design.n} rows cannot determine coefficients of their own for {products.J} groups"
        way_out = f"let fewer coefficients vary by {design.random[0].group}, or use the engine `lmm`"
        raise Refusal(Problem(what, design.formula, way_out))
    refuse_perfect(design, swept, products.scale)
    names = [design.names[i] for i in swept.common]
    std_error = np.sqrt(sigma2 * np.diag(swept.gamma_cov))
    log_likelihood = least_squares_log_likelihood(swept.rss, design.n)
    return Fit(
        **design.identity,
        engine="unpooled",
        method="OLS, group indicators" if products.q == 1 else "OLS per group",
        status=Status.OK,
        converged=True,
        **information(log_likelihood, design.n - swept.df + 1, design.n),
        warnings=_warnings(design, swept),
        estimates=(
            *t_rows(names, swept.gamma, std_error, float(swept.df), level),
            Estimate("residual", "sigma", float(np.sqrt(sigma2))),
        ),
        groups=_groups(design, swept, level),
        predictions=_predictions(design, swept),
        record={
            "absorbed": [name for i, name in enumerate(design.names) if i not in swept.common],
            "residual_df": swept.df,
        },
        seconds=perf_counter() - began,
    )


def _warnings(design: Design, swept: Swept) -> tuple[str, ...]:
    found = []
    for r, name in enumerate(design.varying):
        missing = int((~swept.estimable[:, r]).sum())
        if missing:
            found.append(
                f"{missing} of {swept.estimable.shape[0]} groups of {design.random[0].group} cannot "
                f"determine {name} alone, and have no no-pooling estimate of it."
            )
    return tuple(found)


def _groups(design: Design, swept: Swept, level: float) -> pl.DataFrame:
    from scipy.special import stdtrit

    estimate, std_error = no_pooling(swept)
    half = stdtrit(swept.df, (1 + level) / 2) * std_error
    return group_rows(
        design,
        {
            "no_pooling": estimate,
            "no_pooling_se": std_error,
            "lower": estimate - half,
            "upper": estimate + half,
        },
    )


def _predictions(design: Design, swept: Swept) -> pl.DataFrame:
    """One row an analysis row; `fixed` is the common part alone."""
    fixed = design.X[:, swept.common] @ swept.gamma
    if design.offset is not None:
        fixed = fixed + design.offset
    return prediction_rows(design, fixed, with_random_part(design, fixed, swept.own))
