"""How the report calls things: the same word for the same thing on the whole page."""

from __future__ import annotations

import re

from nestwise.compare.context import CONTEXTUAL
from nestwise.compare.reading import noun
from nestwise.config.study import Study
from nestwise.names import plural
from nestwise.report.blocks import Cell
from nestwise.report.covariance import kind_and_place
from nestwise.vocabulary import INTERCEPT

ENGINES = {
    "pooled": "Complete pooling",
    "unpooled": "No pooling",
    "lmm": "Likelihood (lmm)",
    "glmm": "Likelihood (glmm)",
    "mixedlm": "statsmodels MixedLM",
    "pymc": "Bayes (PyMC)",
    "gee": "GEE",
}
STATUSES = {
    "ok": ("ok", "good"),
    "singular": ("singular", "attention"),
    "not_converged": ("not converged", "bad"),
    "failed": ("failed", "bad"),
    "refused": ("refused", "attention"),
}
DERIVED = {
    "icc": "intraclass correlation (ICC)",
    "icc_observed": "intraclass correlation (ICC) of the outcome as observed",
    "variance_share": "share of the variance between groups",
    "residual_share": "share of the variance within groups",
    "variance_ratio": "variance ratio τ²/σ²",
    "break_even_n": "rows at which own data outweigh the rest (σ²/τ²)",
    "design_effect": "design effect",
    "r2_marginal": "R², fixed effects alone",
    "r2_conditional": "R², with random effects",
    "caic": "conditional AIC",
    "effective_df": "effective number of parameters",
}
DISPERSIONS = {
    "size": "size of the negative binomial (k)",
    "shape": "shape of the gamma distribution (ν)",
    "phi": "dispersion (φ)",
}
"""Parameters of the spread of outcomes that are not Gaussian."""
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")
_CHI2 = re.compile(r"chi2\((\d+)\)")
_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
VERDICTS = {
    "agrees": ("agrees", "good"),
    "small": ("real but small", "quiet"),
    "differs": ("differs", "attention"),
    "one_sided": ("no counterpart", "quiet"),
    "refused": ("not compared", "attention"),
}


def engine_name(engine: str) -> str:
    """How the report calls an engine."""
    return ENGINES.get(engine, engine)


def unit_of(study: Study, variable: str) -> str:
    """`, in log pCi/L`, for a caption; "" without a unit."""
    declared = study.variables.get(variable)
    return f", in {declared.unit}" if declared is not None and declared.unit else ""


def status_cell(status: str) -> Cell:
    """A fit's status as a cell."""
    text, tone = STATUSES.get(status, (status, "attention"))
    return Cell(text, tone)


def null_distribution(reference: str | None) -> str:
    """The reference of a test as a page sets it: `½χ²₀ + ½χ²₁` for `0.5 chi2(0) + 0.5 chi2(1)`."""
    halves = (reference or "").replace("0.5 chi2(", "½chi2(")
    return _CHI2.sub(lambda found: f"χ²{found[1].translate(_SUBSCRIPTS)}", halves)


def _working_name(study: Study, place: str) -> str:
    """A parameter of a working correlation: of two visits, of visits so far apart, inside a group."""
    name = "working correlation (α)"
    if not place:
        return name
    if "," in place:
        return f"{name}, {study.time.column if study.time else 'visits'} {' and '.join(place.split(','))}"
    if _NUMBER.fullmatch(place):
        return f"{name}, {place} apart"
    return f"{name}, same {noun(study, place)}"


def residual_name(study: Study, term: str) -> str:
    """What a parameter of the residuals is called: `residual SD, month 2`."""
    if term in DISPERSIONS:
        return DISPERSIONS[term]
    if term.partition(":")[0] == "alpha":
        return _working_name(study, term.partition(":")[2])
    kind, place = kind_and_place(term)
    stratum, lag, steps = place.rpartition("lag ")
    if kind == "cor" and lag:
        apart = f"{steps} visit{'s' if steps != '1' else ''} apart"
        return ", ".join(part for part in ("residual correlation", stratum.rstrip(":"), apart) if part)
    parts = place.split(",") if kind == "cor" else [place]
    numeric = all(_NUMBER.fullmatch(part) for part in parts)
    where = " and ".join(parts) if place else ""
    if place and numeric and study.time is not None:
        where = f"{study.time.column} {where}"
    name = {
        "sigma": "residual SD" if place else "residual SD (σ)",
        "cor": "residual correlation",
        "rho": "residual correlation (ρ)",
        "power": "power of the residual SD (δ)",
        "exponential": "rate of the residual SD (δ)",
    }.get(kind, f"residual {kind}")
    return f"{name}, {where}" if where else name


def _derived(study: Study, group: str | None, term: str) -> Cell:
    ratio, colon, of = term.partition(":")
    if colon and ratio.endswith("_ratio"):
        return Cell(f"{ratio.replace('_', ' ')} of {of}")
    if term.startswith(CONTEXTUAL):
        own = f"between {plural(noun(study, group))}" if group else ""
        return Cell(f"contextual effect of {term.removeprefix(CONTEXTUAL)}", "", own)
    return Cell(DERIVED.get(term, term.replace("_", " ")), "", noun(study, group) if group else "")


def quantity(study: Study, component: str, group: str | None, term: str) -> Cell:
    """The name of a quantity, and below it whose it is."""
    own = f"between {plural(noun(study, group))}" if group else ""
    if component == "sd":
        return Cell("SD of the intercept" if term == INTERCEPT else f"SD of the slope of {term}", "", own)
    if component == "cor":
        pair = [INTERCEPT, term.removeprefix(f"{INTERCEPT}:")] if term.startswith(f"{INTERCEPT}:") else [term]
        return Cell(f"correlation of {' and '.join(pair).replace(INTERCEPT, 'intercept')}", "", own)
    if component == "residual":
        return Cell(residual_name(study, term), "", "within groups" if term == "sigma" else "")
    if component == "derived":
        return _derived(study, group, term)
    return Cell(term)
