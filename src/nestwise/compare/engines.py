"""Likelihood beside Bayes on one parametrisation, with every difference judged and explained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import polars as pl

from nestwise.compare.verdict import Quantity, judge
from nestwise.errors import Problem, Refusal
from nestwise.results import conform
from nestwise.vocabulary import Schema

COMPARISON: Schema = {
    "study": pl.String,
    "model": pl.String,
    "strategy": pl.String,
    "target": pl.String,
    "scale": pl.String,
    "component": pl.String,
    "group": pl.String,
    "term": pl.String,
    "likelihood_engine": pl.String,
    "likelihood_method": pl.String,
    "likelihood": pl.Float64,
    "likelihood_se": pl.Float64,
    "referee": pl.Float64,
    "referee_se": pl.Float64,
    "posterior": pl.Float64,
    "posterior_sd": pl.Float64,
    "posterior_lower": pl.Float64,
    "posterior_upper": pl.Float64,
    "mcse": pl.Float64,
    "difference": pl.Float64,
    "in_sd": pl.Float64,
    "in_mcse": pl.Float64,
    "flagged": pl.Boolean,
    "verdict": pl.String,
    "reason": pl.String,
}
"""One row a quantity of a model: `likelihood` by lmm or glmm, `referee` by statsmodels, `posterior` the
median. `difference` is posterior minus likelihood, `flagged` when it is more than three Monte Carlo
errors; `verdict` is agrees | small | differs | one_sided | refused."""

KEY = ("component", "group", "term", "target", "scale")
LIKELIHOOD_ENGINES = ("lmm", "glmm")
COMPONENTS = ("fixed", "sd", "cor", "residual")
"""What follows from these (ICC, design effect) would only say the same difference again."""


def comparable(left: Mapping[str, Any], right: Mapping[str, Any]) -> None:
    """Check that two fits answer one question about one set of rows.

    Parameters
    ----------
    left, right : mapping
        Rows of `fits.parquet`.

    Raises
    ------
    Refusal
        If they saw different rows, treat missing data differently, or one has no answer.
    """
    names = [f"{fit['model']} by {fit['engine']}" for fit in (left, right)]
    problems = [
        Problem(
            f"{name} has no estimates, it was {fit['status'].replace('_', ' ')}",
            f"Comparison of {names[0]} with {names[1]}",
            "mend that fit first",
        )
        for name, fit in zip(names, (left, right), strict=True)
        if fit["status"] in ("failed", "refused")
    ]
    if not problems and left["analysis_hash"] != right["analysis_hash"]:
        problems.append(
            Problem(
                f"they were fitted to different rows ({left['n_obs']} and {right['n_obs']})",
                f"Comparison of {names[0]} with {names[1]}",
                "fit both to the same analysis rows",
            )
        )
    if not problems and left["strategy"] != right["strategy"]:
        problems.append(
            Problem(
                f"missing data were treated in two ways ({left['strategy']} and {right['strategy']})",
                f"Comparison of {names[0]} with {names[1]}",
                "compare fits of one strategy",
            )
        )
    if problems:
        raise Refusal(problems)


def same_quantity(left: Mapping[str, Any], right: Mapping[str, Any]) -> None:
    """Check that two rows of `estimates.parquet` have one target and one scale.

    Raises
    ------
    Refusal
        If one is conditional and the other marginal, or their scales differ.
    """
    problems = [
        Problem(
            f"the {what} of `{left['term']}` is {left[what]} for {left['engine']} and {right[what]} for "
            f"{right['engine']}",
            "Comparison of estimates",
            f"bring both to one {what} first",
        )
        for what in ("target", "scale")
        if left[what] != right[what]
    ]
    if problems:
        raise Refusal(problems)


def monte_carlo_errors(record: Mapping[str, Any]) -> dict[tuple[str, str | None, str], float]:
    """Monte Carlo error of each posterior median, from the record of a Bayesian fit."""
    errors = {}
    for parameter in record.get("parameters") or ():
        error = parameter.get("mcse_median")
        error = parameter.get("mcse_mean") if error is None else error
        if error is not None:
            errors[(parameter["component"], parameter.get("group"), parameter["term"])] = float(error)
    return errors


def _rows_of(
    estimates: pl.DataFrame, model: str, engine: str | None
) -> dict[tuple[Any, ...], dict[str, Any]]:
    if engine is None:
        return {}
    rows = estimates.filter((pl.col("model") == model) & (pl.col("engine") == engine)).to_dicts()
    return {tuple(row[name] for name in KEY): row for row in rows if row["component"] in COMPONENTS}


def _number(row: Mapping[str, Any] | None, name: str) -> float | None:
    return None if row is None or row[name] is None else float(row[name])


def _one_model(
    estimates: pl.DataFrame,
    fits: Mapping[str, dict[str, Any]],
    record: Mapping[str, Any],
    model: str,
) -> list[dict[str, Any]]:
    engine = next((name for name in LIKELIHOOD_ENGINES if name in fits), None)
    if engine is None or "pymc" not in fits:
        return []
    left, right = fits[engine], fits["pymc"]
    shared = {
        "study": left["study"],
        "model": model,
        "strategy": left["strategy"],
        "likelihood_engine": engine,
        "likelihood_method": left["method"],
    }
    try:
        comparable(left, right)
    except Refusal as refusal:
        return [shared | {"verdict": "refused", "reason": str(refusal)}]
    with_referee = "mixedlm" in fits and fits["mixedlm"]["analysis_hash"] == left["analysis_hash"]
    ours = _rows_of(estimates, model, engine)
    theirs = _rows_of(estimates, model, "mixedlm" if with_referee else None)
    posterior = _rows_of(estimates, model, "pymc")
    errors = monte_carlo_errors(record)
    rows = []
    for key in [*ours, *(key for key in posterior if key not in ours)]:
        named = dict(zip(KEY, key, strict=True))
        a, referee, b = ours.get(key), theirs.get(key), posterior.get(key)
        quantity = Quantity(
            named["component"],
            named["group"],
            named["term"],
            _number(a, "estimate"),
            _number(referee, "estimate"),
            _number(b, "estimate"),
            _number(b, "std_error"),
            _number(b, "lower"),
            _number(b, "upper"),
            errors.get((named["component"], named["group"], named["term"])),
            int(left["n_groups"] or 0),
            bool(left["singular"]),
        )
        rows.append(shared | named | _columns(quantity, a, referee) | asdict(judge(quantity)))
    return rows


def _columns(
    quantity: Quantity, ours: Mapping[str, Any] | None, referee: Mapping[str, Any] | None
) -> dict[str, Any]:
    return {
        "likelihood": quantity.likelihood,
        "likelihood_se": _number(ours, "std_error"),
        "referee": quantity.referee,
        "referee_se": _number(referee, "std_error"),
        "posterior": quantity.posterior,
        "posterior_sd": quantity.posterior_sd,
        "posterior_lower": quantity.lower,
        "posterior_upper": quantity.upper,
        "mcse": quantity.mcse,
    }


def compare_engines(
    estimates: pl.DataFrame,
    fits: pl.DataFrame,
    records: Mapping[tuple[str, str], Mapping[str, Any]],
    models: Sequence[str] | None = None,
) -> pl.DataFrame:
    """Set likelihood and posterior of every model side by side.

    Parameters
    ----------
    estimates, fits : polars.DataFrame
        In the schemas ESTIMATES and FITS.
    records : mapping of (model, engine) to mapping
        The JSON records of the fits; Monte Carlo errors are taken from `parameters` of the pymc ones.
    models : sequence of str, optional
        Which models, in which order; all of `fits` otherwise.

    Returns
    -------
    polars.DataFrame
        In the schema COMPARISON. Quantities are matched on component, group, term, target and scale;
        a pair of fits that must not be compared is one row with verdict `refused` and the reason.
    """
    names: Iterable[str] = models if models is not None else fits["model"].unique(maintain_order=True)
    rows: list[dict[str, Any]] = []
    for model in names:
        chosen = fits.filter(pl.col("model") == model)
        by_engine = {row["engine"]: row for row in chosen.to_dicts()}
        rows += _one_model(estimates, by_engine, records.get((model, "pymc"), {}), model)
    return conform(pl.DataFrame(rows, schema=dict(COMPARISON)), COMPARISON)
