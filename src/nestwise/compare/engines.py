"""Likelihood beside Bayes on one parametrisation, with every difference judged and explained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from nestwise.errors import Problem, Refusal
from nestwise.results import Schema, conform

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
FEW_GROUPS = 40
MONTE_CARLO_ERRORS = 3.0
SMALL_IN_SD = 0.25
"""A difference below a quarter of a posterior SD changes no reading of the estimate."""
SKEWED = 1.15
"""Ratio of the upper to the lower half of the interval above which a posterior is called skewed."""
CLOSE_TO_ZERO = 1e-3


@dataclass(frozen=True)
class Quantity:
    """One quantity as the three engines give it."""

    component: str
    group: str | None
    term: str
    likelihood: float | None
    referee: float | None
    posterior: float | None
    posterior_sd: float | None
    lower: float | None
    upper: float | None
    mcse: float | None
    n_groups: int
    singular: bool


@dataclass(frozen=True)
class Verdict:
    """How far apart the two schools are, and why."""

    difference: float | None
    in_sd: float | None
    in_mcse: float | None
    flagged: bool | None
    verdict: str
    reason: str


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
            f"comparison of {names[0]} with {names[1]}",
            "mend that fit first",
        )
        for name, fit in zip(names, (left, right), strict=True)
        if fit["status"] in ("failed", "refused")
    ]
    if not problems and left["analysis_hash"] != right["analysis_hash"]:
        problems.append(
            Problem(
                f"they were fitted to different rows ({left['n_obs']} and {right['n_obs']})",
                f"comparison of {names[0]} with {names[1]}",
                "fit both to the same analysis rows",
            )
        )
    if not problems and left["strategy"] != right["strategy"]:
        problems.append(
            Problem(
                f"missing data were treated in two ways ({left['strategy']} and {right['strategy']})",
                f"comparison of {names[0]} with {names[1]}",
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
            "comparison of estimates",
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


def _explain_spread(quantity: Quantity, difference: float) -> str:
    groups = f"{quantity.n_groups} {'group' if quantity.n_groups == 1 else 'groups'}"
    if quantity.singular and abs(quantity.likelihood or 0.0) < CLOSE_TO_ZERO:
        return (
            "The likelihood puts this SD on its boundary, zero; a posterior has no mass at exactly zero, "
            "and its median shows how large an SD the data still allow."
        )
    if difference > 0 and _skew(quantity) > SKEWED:
        return (
            f"The posterior of an SD estimated from {groups} is skewed to the right, so that its median lies "
            "above the most likely value."
        )
    if difference < 0:
        return (
            "The prior holds large SDs in check and the likelihood does not, which shows where "
            f"{groups} say little."
        )
    return "The posterior averages over the other parameters instead of fixing them at their best values."


def _skew(quantity: Quantity) -> float:
    low, middle, high = quantity.lower, quantity.posterior, quantity.upper
    if low is None or middle is None or high is None or middle <= low:
        return 1.0
    return (high - middle) / (middle - low)


def explain(quantity: Quantity, difference: float) -> str:
    """Say in plain words why a posterior median and a likelihood estimate differ.

    Parameters
    ----------
    quantity : Quantity
        Both answers.
    difference : float
        Posterior minus likelihood, on the scale of the quantity.
    """
    if quantity.component == "sd":
        return _explain_spread(quantity, difference)
    if quantity.component == "cor":
        if abs(quantity.posterior or 0.0) < abs(quantity.likelihood or 0.0):
            return (
                "The prior on correlations favours moderate values and pulls this one toward zero; with "
                f"{quantity.n_groups} groups the data leave it room to."
            )
        return "The correlation is uncertain and its posterior not symmetric around the most likely value."
    if quantity.component == "fixed":
        return (
            "The posterior averages over the variances' uncertainty, where the likelihood takes their best "
            "values as known; the prior adds a little."
        )
    return "The posterior averages over all parameters where the likelihood fixes them at their best values."


def judge(quantity: Quantity) -> Verdict:
    """Hold the posterior median against the likelihood estimate.

    A difference within three Monte Carlo errors could be chance of the sampling and `agrees`; beyond it
    is real: `small` below a quarter of a posterior SD, `differs` above.
    """
    a, b, sd = quantity.likelihood, quantity.posterior, quantity.posterior_sd
    if a is None or b is None:
        missing = "likelihood" if a is None else "posterior"
        return Verdict(None, None, None, None, "one_sided", f"There is no {missing} value to compare with.")
    difference = b - a
    in_sd = difference / sd if sd else None
    if not quantity.mcse:
        far = in_sd is None or abs(in_sd) > SMALL_IN_SD
        reason = "No Monte Carlo error is recorded for it" + (
            f". {explain(quantity, difference)}"
            if far
            else "; the difference is small beside the posterior SD."
        )
        return Verdict(difference, in_sd, None, None, "differs" if far else "small", reason)
    in_mcse = difference / quantity.mcse
    if abs(in_mcse) <= MONTE_CARLO_ERRORS:
        return Verdict(difference, in_sd, in_mcse, False, "agrees", "Within Monte Carlo error.")
    verdict = "small" if in_sd is not None and abs(in_sd) <= SMALL_IN_SD else "differs"
    return Verdict(difference, in_sd, in_mcse, True, verdict, explain(quantity, difference))


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
