"""The verdict on a run of the sampler: it fails closed.

R-hat, effective sample sizes and Monte Carlo standard errors follow Vehtari, Gelman, Simpson, Carpenter &
Buerkner (2021), as ArviZ computes them; E-BFMI follows Betancourt (2016).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.results import Check

RHAT = 1.01
ESS = 400.0
BFMI = 0.3


def summarise(draws: FloatArray, level: float) -> dict[str, float]:
    """Summary of one quantity with its Monte Carlo error.

    Parameters
    ----------
    draws : ndarray (chains, draws)
        Draws of the quantity.
    level : float
        Coverage of the equal-tailed interval.

    Returns
    -------
    dict
        mean, median, sd, lower, upper, mcse_mean, mcse_median, mcse_sd, rhat, ess_bulk, ess_tail.
    """
    from arviz_stats.base import array_stats

    tail = (1 - level) / 2
    lower, median, upper = np.quantile(draws, [tail, 0.5, 1 - tail])
    values = {
        "mean": draws.mean(),
        "median": median,
        "sd": draws.std(ddof=1),
        "lower": lower,
        "upper": upper,
        "mcse_mean": array_stats.mcse(draws, method="mean"),
        "mcse_median": array_stats.mcse(draws, method="median"),
        "mcse_sd": array_stats.mcse(draws, method="sd"),
        "rhat": array_stats.rhat(draws),
        "ess_bulk": array_stats.ess(draws, method="bulk"),
        "ess_tail": array_stats.ess(draws, method="tail", prob=(0.05, 0.95)),
    }
    return {name: float(value) for name, value in values.items()}


def judge(
    parameters: Sequence[Mapping[str, Any]], diverging: FloatArray, energy: FloatArray
) -> tuple[Check, ...]:
    """Hold a run against the limits.

    Parameters
    ----------
    parameters : sequence of mapping
        `summarise` of every parameter, with its `component`, `group` and `term`.
    diverging, energy : ndarray (chains, draws)
        Of the sampler.

    Returns
    -------
    tuple of Check
        rhat, ess_bulk, ess_tail, divergences, e_bfmi: the worst value of each against its limit.
    """
    from arviz_stats.base import array_stats

    with np.errstate(all="ignore"):
        bfmi = np.asarray(array_stats.bfmi(energy))
    lowest = float(bfmi.min()) if np.isfinite(bfmi).all() else None
    divergent = int(diverging.sum())
    worst = {
        "rhat": _worst(parameters, "rhat", highest=True),
        "ess_bulk": _worst(parameters, "ess_bulk", highest=False),
        "ess_tail": _worst(parameters, "ess_tail", highest=False),
    }
    rows = [
        _check(
            "rhat", *worst["rhat"], RHAT, "the chains agree",
            "the chains have not met: do not use the numbers",
        ),
        _check(
            "ess_bulk", *worst["ess_bulk"], ESS, "there are enough draws for medians",
            "too few independent draws for medians: ask for more draws",
        ),
        _check(
            "ess_tail", *worst["ess_tail"], ESS, "there are enough draws for intervals",
            "too few independent draws for intervals: ask for more draws",
        ),
    ]  # fmt: skip
    advice = (
        "No transition diverged: the sampler went everywhere it wanted to."
        if divergent == 0
        else f"{divergent} transitions diverged, so a part of the posterior may be missing: "
        "simplify the random part or give narrower priors."
    )
    rows.append(Check("divergences", float(divergent), 0.0, divergent == 0, advice))
    moved = lowest is not None and lowest > BFMI
    advice = (
        "The chains change energy freely."
        if moved
        else "The chains change energy too slowly to explore the tails: simplify the random part "
        "or give narrower priors."
    )
    rows.append(Check("e_bfmi", lowest, BFMI, moved, advice))
    return tuple(rows)


def _worst(parameters: Sequence[Mapping[str, Any]], name: str, *, highest: bool) -> tuple[float | None, str]:
    """Worst value and whose it is; `None` if it cannot be computed for some parameter."""
    for row in parameters:
        if not np.isfinite(row[name]):
            return None, label(row)
    found = (max if highest else min)(parameters, key=lambda row: row[name])
    return float(found[name]), label(found)


def label(row: Mapping[str, Any]) -> str:
    """How a sentence calls a parameter."""
    named = row["term"] if row["group"] is None else f"{row['term']} by {row['group']}"
    return {"sd": f"SD of {named}", "cor": f"correlation {named}"}.get(row["component"], str(named))


def _check(  # noqa: PLR0917
    name: str, value: float | None, whose: str, limit: float, good: str, bad: str
) -> Check:
    if value is None:
        return Check(name, None, limit, False, f"It cannot be computed for {whose}: its draws do not move.")
    ok = value < limit if name == "rhat" else value > limit
    said = f"{value:.3f}" if name == "rhat" else f"{value:.0f}"
    sentence = good if ok else bad
    return Check(name, value, limit, ok, f"{sentence[0].upper()}{sentence[1:]} (worst: {said}, {whose}).")
