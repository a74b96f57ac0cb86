"""The columns of every table a study leaves, and the words they share."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

Schema = Mapping[str, type[pl.DataType]]

FEW_GROUPS = 40
"""Below this many groups, variances between them and cluster-robust errors are uncertain: an alarm."""
INTERCEPT = "(Intercept)"
"""The intercept as every table names it, after lme4."""
THRESHOLD = "threshold"
"""Scale of the coefficients of a reconciliation that stand in place of an intercept."""

ESTIMATES: Schema = {
    "study": pl.String,
    "model": pl.String,
    "engine": pl.String,
    "method": pl.String,
    "strategy": pl.String,
    "target": pl.String,
    "component": pl.String,
    "group": pl.String,
    "term": pl.String,
    "estimate": pl.Float64,
    "std_error": pl.Float64,
    "df": pl.Float64,
    "statistic": pl.Float64,
    "p_value": pl.Float64,
    "lower": pl.Float64,
    "upper": pl.Float64,
    "level": pl.Float64,
    "scale": pl.String,
    "n_obs": pl.Int64,
    "n_groups": pl.Int64,
    "status": pl.String,
}

FITS: Schema = {
    "study": pl.String,
    "model": pl.String,
    "engine": pl.String,
    "method": pl.String,
    "strategy": pl.String,
    "status": pl.String,
    "reason": pl.String,
    "converged": pl.Boolean,
    "singular": pl.Boolean,
    "log_likelihood": pl.Float64,
    "aic": pl.Float64,
    "bic": pl.Float64,
    "n_parameters": pl.Int64,
    "n_obs": pl.Int64,
    "n_groups": pl.Int64,
    "seconds": pl.Float64,
    "warnings": pl.String,
    "formula": pl.String,
    "analysis_hash": pl.String,
}

GROUPS: Schema = {
    "study": pl.String,
    "model": pl.String,
    "engine": pl.String,
    "method": pl.String,
    "strategy": pl.String,
    "group": pl.String,
    "label": pl.String,
    "term": pl.String,
    "n": pl.Int64,
    "no_pooling": pl.Float64,
    "no_pooling_se": pl.Float64,
    "complete_pooling": pl.Float64,
    "complete_pooling_se": pl.Float64,
    "partial_pooling": pl.Float64,
    "partial_pooling_se": pl.Float64,
    "lower": pl.Float64,
    "upper": pl.Float64,
    "random_effect": pl.Float64,
    "random_effect_se": pl.Float64,
    "pooling_factor": pl.Float64,
}

CHECKS: Schema = {
    "study": pl.String,
    "model": pl.String,
    "engine": pl.String,
    "check": pl.String,
    "value": pl.Float64,
    "limit": pl.Float64,
    "ok": pl.Boolean,
    "advice": pl.String,
}

TESTS: Schema = {
    "study": pl.String,
    "model": pl.String,
    "engine": pl.String,
    "method": pl.String,
    "strategy": pl.String,
    "test": pl.String,
    "group": pl.String,
    "term": pl.String,
    "statistic": pl.Float64,
    "df_num": pl.Float64,
    "df_den": pl.Float64,
    "p_value": pl.Float64,
    "reference": pl.String,
}

MEANS: Schema = {
    "study": pl.String,
    "model": pl.String,
    "engine": pl.String,
    "method": pl.String,
    "strategy": pl.String,
    "grid": pl.String,
    "kind": pl.String,
    "x": pl.String,
    "by": pl.String,
    "term": pl.String,
    "estimate": pl.Float64,
    "std_error": pl.Float64,
    "df": pl.Float64,
    "statistic": pl.Float64,
    "p_value": pl.Float64,
    "lower": pl.Float64,
    "upper": pl.Float64,
    "level": pl.Float64,
}

INFLUENCE: Schema = {
    "study": pl.String,
    "model": pl.String,
    "engine": pl.String,
    "method": pl.String,
    "strategy": pl.String,
    "group": pl.String,
    "label": pl.String,
    "n": pl.Int64,
    "cook": pl.Float64,
    "mdffits": pl.Float64,
    "covratio": pl.Float64,
    "covtrace": pl.Float64,
    "leverage": pl.Float64,
}

PROFILES: Schema = {
    "study": pl.String,
    "model": pl.String,
    "engine": pl.String,
    "method": pl.String,
    "strategy": pl.String,
    "component": pl.String,
    "group": pl.String,
    "term": pl.String,
    "value": pl.Float64,
    "zeta": pl.Float64,
}

_EFFECT = ("conditional", "integrated", "marginal")
RECONCILIATION: Schema = {
    "study": pl.String,
    "model": pl.String,
    "strategy": pl.String,
    "kind": pl.String,
    "term": pl.String,
    "x": pl.Float64,
    "by": pl.String,
    "scale": pl.String,
    "conditional_engine": pl.String,
    "conditional_method": pl.String,
    "marginal_engine": pl.String,
    "marginal_method": pl.String,
    **{f"{effect}{part}": pl.Float64 for effect in _EFFECT for part in ("", "_se", "_lower", "_upper")},
    "level": pl.Float64,
    "attenuation": pl.Float64,
    "attenuation_rule": pl.Float64,
    "left": pl.Float64,
    "left_se": pl.Float64,
    "left_in_se": pl.Float64,
    "statistic": pl.Float64,
    "p_value": pl.Float64,
    "verdict": pl.String,
    "reason": pl.String,
}
"""Conditional and marginal effects side by side, one row a quantity.

`kind`: coefficient (`scale` link, or threshold), mean, difference, ratio (of standardised means, at time `x`
and level `by`; of an ordinal outcome, probabilities of lying above the value that ends `term`; `x` is null
where the rows keep their times), reason (why they may disagree, `term` its name), refused.
`conditional` is of a typical group, `integrated` the same averaged over the groups, `marginal` by estimating
equations; `left` is marginal less integrated."""

SENSITIVITY: Schema = {
    "study": pl.String,
    "model": pl.String,
    "engine": pl.String,
    "target": pl.String,
    "kind": pl.String,
    "group": pl.String,
    "term": pl.String,
    "scale": pl.String,
    "strategy": pl.String,
    "delta": pl.Float64,
    "method": pl.String,
    "estimate": pl.Float64,
    "std_error": pl.Float64,
    "df": pl.Float64,
    "p_value": pl.Float64,
    "lower": pl.Float64,
    "upper": pl.Float64,
    "level": pl.Float64,
    "fmi": pl.Float64,
    "n_obs": pl.Int64,
    "n_groups": pl.Int64,
    "status": pl.String,
    "assumes": pl.String,
    "verdict": pl.String,
    "reason": pl.String,
}
"""The same estimand under every strategy for missing data, one row an estimand and strategy.

`kind`: coefficient, contrast (a difference of marginal means), sd, icc. `verdict`: reference (the strategy
`observed`), holds, moves (other side of zero, or zero enters or leaves the interval), not_compared."""

PREDICTIONS: Schema = {
    "row": pl.Int64,
    "observed": pl.Float64,
    "fixed": pl.Float64,
    "fitted": pl.Float64,
    "residual": pl.Float64,
}
