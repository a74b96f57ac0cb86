"""The columns of the tables that describe missing data."""

from __future__ import annotations

import polars as pl

from nestwise.vocabulary import Schema

MISSING_VARIABLES: Schema = {
    "study": pl.String,
    "variable": pl.String,
    "type": pl.String,
    "level": pl.String,
    "n": pl.Int64,
    "missing": pl.Int64,
    "share": pl.Float64,
    "rows": pl.Int64,
    "missing_rows": pl.Int64,
    "partly": pl.Int64,
    "method": pl.String,
}
"""Missing values by variable. `level`: `row`, or the grouping factor inside which the variable is constant;
`n` and `missing` count units of that level, `partly` groups that have it in part of their rows."""

MISSING_PATTERNS: Schema = {
    "study": pl.String,
    "by": pl.String,
    "over": pl.String,
    "arm": pl.String,
    "pattern": pl.String,
    "kind": pl.String,
    "n": pl.Int64,
    "share": pl.Float64,
}
"""Patterns `by` visits (of subjects; `over` is the outcome) or variables (of rows; `over` lists them).
A character each, 1 observed and 0 missing; `kind`: complete, monotone, intermittent, never, incomplete."""

DROPOUT: Schema = {
    "study": pl.String,
    "outcome": pl.String,
    "arm": pl.String,
    "visit": pl.String,
    "position": pl.Int64,
    "time": pl.Float64,
    "n": pl.Int64,
    "observed": pl.Int64,
    "at_risk": pl.Int64,
    "left": pl.Int64,
    "hazard": pl.Float64,
    "remaining": pl.Int64,
    "proportion": pl.Float64,
    "lower": pl.Float64,
    "upper": pl.Float64,
    "level": pl.Float64,
}
"""Drop-out, one row an arm (`all` first) and visit. `remaining` were seen at this visit or later, `left` were
seen last at the visit before (at the first one: never), of `at_risk`; the interval is Wilson's."""

COHORT_MEANS: Schema = {
    "study": pl.String,
    "outcome": pl.String,
    "arm": pl.String,
    "cohort": pl.String,
    "last": pl.Int64,
    "visit": pl.String,
    "position": pl.Int64,
    "time": pl.Float64,
    "n": pl.Int64,
    "mean": pl.Float64,
    "std_error": pl.Float64,
}
"""Observed means of the outcome by arm, visit and the visit at which a subject was seen last (`cohort`)."""

DROPOUT_MODEL: Schema = {
    "study": pl.String,
    "outcome": pl.String,
    "term": pl.String,
    "unit": pl.String,
    "estimate": pl.Float64,
    "std_error": pl.Float64,
    "statistic": pl.Float64,
    "p_value": pl.Float64,
    "odds_ratio": pl.Float64,
    "lower": pl.Float64,
    "upper": pl.Float64,
    "level": pl.Float64,
    "note": pl.String,
}
"""Discrete-time logistic hazard of leaving before a visit; odds ratio and interval are for one `unit`."""

MISSINGNESS_MAP: Schema = {
    "study": pl.String,
    "over": pl.String,
    "arm": pl.String,
    "band": pl.Int64,
    "column": pl.String,
    "position": pl.Int64,
    "n": pl.Int64,
    "missing": pl.Float64,
}
"""Share of missing values in bands of similar subjects (or of rows), `over` visits or variables."""

REPEATED_ANOVA: Schema = {
    "study": pl.String,
    "outcome": pl.String,
    "term": pl.String,
    "error": pl.String,
    "correction": pl.String,
    "sum_of_squares": pl.Float64,
    "error_sum_of_squares": pl.Float64,
    "epsilon": pl.Float64,
    "df_num": pl.Float64,
    "df_den": pl.Float64,
    "statistic": pl.Float64,
    "p_value": pl.Float64,
}
"""The classical analysis of variance of completers; `correction`: none, Greenhouse-Geisser, Huynh-Feldt."""

WEIGHTS: Schema = {
    "study": pl.String,
    "model": pl.String,
    "visit": pl.String,
    "position": pl.Int64,
    "n": pl.Int64,
    "mean": pl.Float64,
    "sd": pl.Float64,
    "smallest": pl.Float64,
    "largest": pl.Float64,
    "effective": pl.Float64,
    "truncated": pl.Int64,
}
"""Weights of the observed rows by visit, all visits last: `effective` is (sum w)^2 / sum w^2."""
