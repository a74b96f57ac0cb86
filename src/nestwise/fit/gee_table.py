"""The tidy rows of a marginal model: coefficients, ratios, tests, dispersion, correlations, criteria."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from nestwise.design.record import Design
from nestwise.fit.gee_diagnostics import Criteria
from nestwise.fit.gee_search import GeeState
from nestwise.fit.gee_solution import GeeData
from nestwise.fit.gee_variance import GeeCovariance
from nestwise.fit.inference import t_rows
from nestwise.fit.marginal_model import MarginalModel
from nestwise.results import Estimate, Test
from nestwise.vocabulary import INTERCEPT

RATIOS: Mapping[tuple[str, str], str] = {
    ("binomial", "logit"): "odds_ratio",
    ("binomial", "cloglog"): "hazard_ratio",
    ("binomial", "log"): "risk_ratio",
    ("poisson", "log"): "rate_ratio",
    ("negative_binomial", "log"): "rate_ratio",
    ("gamma", "log"): "mean_ratio",
    ("gaussian", "log"): "mean_ratio",
}
"""What the exponential of a coefficient is, by family and link."""


def fixed_rows(
    design: Design, data: GeeData, state: GeeState, covariance: GeeCovariance, level: float
) -> tuple[Estimate, ...]:
    """Population-averaged coefficients on the scale of the link, which is the outcome's for the identity.

    Where one cluster alone informs a coefficient, or all scores of it are zero, there is no standard error.
    """
    beta, error = data.T @ state.gamma, np.sqrt(np.diag(covariance.covariance))
    judged = ~covariance.blind & (error > 0)
    names = [name for name, told in zip(design.names, judged, strict=True) if told]
    found = t_rows(names, beta[judged], error[judged], covariance.df, level, target="marginal")
    rows = {row.term: row for row in found}
    scale = "response" if design.link == "identity" else "link"
    return tuple(
        replace(rows.get(name, Estimate("fixed", name, float(value), target="marginal")), scale=scale)
        for name, value in zip(design.names, beta, strict=True)
    )


def ratio_rows(design: Design, fixed: tuple[Estimate, ...]) -> tuple[Estimate, ...]:
    """Rows `derived` of the exponentials, with the interval's ends and the test of the coefficient."""
    scale = RATIOS.get((design.family, design.link))
    if scale is None:
        return ()
    of = dict(zip(design.names, design.term_of, strict=False))  # a threshold stands for the intercept
    made = []
    for row in fixed:
        if (
            of.get(row.term, row.term) == INTERCEPT
            or row.lower is None
            or row.upper is None
            or row.estimate is None
        ):
            continue
        if max(abs(row.lower), abs(row.upper)) > 700:
            continue
        made.append(
            replace(
                row,
                component="derived",
                term=f"{scale}:{row.term}",
                estimate=float(np.exp(row.estimate)),
                std_error=None,
                lower=float(np.exp(row.lower)),
                upper=float(np.exp(row.upper)),
                scale=scale,
            )
        )
    return tuple(made)


def working_rows(model: MarginalModel) -> tuple[Estimate, ...]:
    """Rows `residual`: the dispersion phi, the size of a negative binomial, the working correlation."""
    state, made = model.state, []
    if model.indicators == 1:
        made.append(Estimate("residual", "phi", state.phi, target="marginal", scale="dispersion"))
    if model.data.family == "negative_binomial" and np.isfinite(state.size):
        made.append(Estimate("residual", "size", state.size, target="marginal", scale="dispersion"))
    scale = "odds_ratio" if model.structure == "global_odds_ratio" else "correlation"
    made += [
        Estimate("residual", name, float(value), model.group, target="marginal", scale=scale)
        for name, value in zip(model.names, model.parameters, strict=True)
    ]
    return tuple(made)


def criteria_rows(found: Criteria) -> tuple[Estimate, ...]:
    """Rows `derived` of QIC, QICu and CIC."""
    values = {"qic": found.qic, "qicu": found.qicu, "cic": found.cic}
    return tuple(Estimate("derived", name, value, target="marginal") for name, value in values.items())


def wald_tests(design: Design, data: GeeData, state: GeeState, covariance: GeeCovariance) -> tuple[Test, ...]:
    """A joint Wald test of all columns of each term but the intercept; F where the t tests have df."""
    from scipy.special import chdtrc, fdtrc

    names, beta = np.array(design.term_of, dtype=object), data.T @ state.gamma
    made = []
    for term in dict.fromkeys(design.term_of):
        at = np.flatnonzero(names == term)
        if term == INTERCEPT or covariance.blind[at].any():
            continue
        V, q = covariance.covariance[np.ix_(at, at)], at.size
        if np.linalg.matrix_rank(V, hermitian=True) < q:
            continue
        statistic = float(beta[at] @ np.linalg.solve(V, beta[at])) / q
        df = covariance.df
        p_value = chdtrc(q, statistic * q) if df is None else fdtrc(q, df, statistic)
        words = f"chi2({q}) / {q}" if df is None else "F, clusters less coefficients"
        made.append(
            Test("fixed", term, statistic, float(p_value), df_num=float(q), df_den=df, reference=words)
        )
    return tuple(made)
