"""What stands beside a fit to imputed data: how each variable was drawn, and whether the chains agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isfinite
from typing import Any

from nestwise.imputation.draws import KNOWN, Draws
from nestwise.imputation.traces import LIMIT, verdict
from nestwise.names import several
from nestwise.results import Check, Fit

CHECK = "imputation_chains"
"""Name of the check of the chains of an imputation."""
FEWEST_SWEEPS = 8
"""Sweeps below which R-hat says nothing."""


def with_imputation(fit: Fit, draws: Draws) -> Fit:
    """The pooled fit with the record of its imputations, and a check of their chains.

    Parameters
    ----------
    fit : Fit
        From `impute.pool`.
    draws : Draws
        What the data were completed with.
    """
    told = imputation_record(draws)
    checks = chain_checks(told) if draws.trace_variables else ()
    return replace(fit, record=dict(fit.record) | {"imputation": told}, checks=(*fit.checks, *checks))


def imputation_record(draws: Draws) -> dict[str, Any]:
    """How the gaps were drawn, as plain values.

    Parameters
    ----------
    draws : Draws
        All imputations.

    Returns
    -------
    dict
        `imputations`, `chains`, `iterations` (sweeps, or looks at the joint model), `failed` (number and
        reason), and `variables`: of each its `kind`, `method`, `level` (null: rows), `gaps` (missing rows),
        `drawn` (values drawn, one a group for variables of groups) and R-hat of the chain means and standard
        deviations, `r_hat_mean` and `r_hat_sd`: null where there are too few chains or sweeps, or chains
        that stand still apart.
    """
    chains, sweeps = draws.traces.shape[:2]
    known = chains > 1 and sweeps >= FEWEST_SWEEPS and bool(draws.trace_variables)
    table, unmixed = verdict(draws.traces, draws.trace_variables, draws.traced) if known else ({}, ())
    variables = [
        {
            "variable": each.variable,
            "kind": each.kind,
            "method": each.method,
            "level": each.level,
            "gaps": int(each.rows.size),
            "drawn": 0 if each.method == KNOWN else int(each.values.shape[1]),
            "r_hat_mean": _finite(table, each.variable, "mean"),
            "r_hat_sd": _finite(table, each.variable, "sd"),
            "mixed": each.variable not in unmixed if each.variable in table else None,
        }
        for each in draws.fillings
    ]
    return {
        "imputations": draws.m,
        "chains": chains,
        "iterations": sweeps,
        "failed": [{"imputation": k, "reason": why} for k, why in draws.failed],
        "variables": variables,
    }


def _finite(table: Mapping[str, Mapping[str, float]], name: str, what: str) -> float | None:
    value = table.get(name, {}).get(what)
    return value if value is not None and isfinite(value) else None


def chain_checks(told: Mapping[str, Any]) -> tuple[Check, ...]:
    """A verdict on the chains of an imputation, from its record: one row, with advice where they disagree.

    Parameters
    ----------
    told : mapping
        From `imputation_record`, with variables that were drawn.
    """
    judged = [each for each in told["variables"] if each["mixed"] is not None]
    if not judged:
        advice = (
            "Whether the chains of the imputation agree cannot be seen: it takes two chains of "
            f"{FEWEST_SWEEPS} sweeps. Raise missing.imputations or missing.iterations."
        )
        return (Check(CHECK, None, LIMIT, ok=False, advice=advice),)
    values = [each[name] for each in judged for name in ("r_hat_mean", "r_hat_sd")]
    worst = None if None in values else max(values)
    apart = [f"`{each['variable']}`" for each in judged if not each["mixed"]]
    if apart:
        joint = any(each["method"] == "joint" for each in judged)
        first = "set missing.imputation to chained" if joint else "raise missing.iterations"
        way_out = f"Look at the traces, leave out auxiliary variables that repeat each other, or {first}."
        advice = f"The chains disagree about the imputed values of {several(apart)}. {way_out}"
        return (Check(CHECK, worst, LIMIT, ok=False, advice=advice),)
    return (Check(CHECK, worst, LIMIT, ok=True, advice="The chains of the imputation agree."),)
