"""How much the posterior owes to the priors and how much to the data, by power scaling.

The prior density, or the likelihood, is raised to a power next to 1 and the draws are reweighted accordingly
by Pareto-smoothed importance sampling; how fast the distribution of a parameter then moves (cumulative
Jensen-Shannon distance per doubling of the power) is its sensitivity. Random effects are integrated out, so
that only the priors of `priors.prior_table` are scaled and what groups have in common counts as the model.
Source: Kallioinen, Paananen, Buerkner & Vehtari (2024), Statistics and Computing 34, 57; computed by ArviZ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.bayes.check import label
from nestwise.bayes.model import Structure
from nestwise.bayes.priors import PriorRow
from nestwise.bayes.units import Draws
from nestwise.results import Check

LIMIT = 0.05
POWERS = (0.99, 1.01)
CONFLICT = "prior-data conflict"
STRONG = "strong prior / weak likelihood"
NONE = "none"


def log_prior(structure: Structure, priors: Sequence[PriorRow], draws: Draws) -> FloatArray:
    """Log density of the priors at each draw, up to a constant.

    Parameters
    ----------
    structure : Structure
        Which parameters there are.
    priors : sequence of PriorRow
        In the units of `draws`, in the order of `priors.prior_table`.
    draws : Draws
        (S, ...).

    Returns
    -------
    ndarray (S,)
        With respect to fixed effects, SDs and correlation matrices themselves, not to what is sampled.
    """
    fixed, sds, cors, residual = (
        [row for row in priors if row.component == name] for name in ("fixed", "sd", "cor", "residual")
    )
    total = np.zeros(draws.sigma.shape[0])
    for at, row in enumerate(fixed):
        total += _log_density(row, draws.beta[:, at])
    for at, row in enumerate(sds):
        total += _log_density(row, draws.sd[:, at])
    for row in residual:
        total += _log_density(row, draws.sigma)
    for row in (row for row in priors if row.component == "threshold"):
        assert draws.thresholds is not None
        total += _log_density(row, draws.thresholds).sum(axis=1)
    blocks = [start for start in dict.fromkeys(structure.starts) if structure.starts.count(start) > 1]
    diagonal = np.diagonal(draws.correlation, axis1=1, axis2=2)
    for row, start in zip(cors, blocks, strict=True):
        block = diagonal[:, start : start + structure.starts.count(start)]
        total += 2 * ((row.eta or 1.0) - 1) * np.log(block).sum(axis=1)
    return total


def _log_density(row: PriorRow, values: FloatArray) -> FloatArray:
    z = (values - (row.location or 0.0)) / (row.scale or 1.0)
    if row.distribution.endswith("student_t"):
        df = row.df or 1.0
        return -(df + 1) / 2 * np.log1p(z**2 / df)
    return -z if row.distribution == "exponential" else -(z**2) / 2


def power_sensitivity(
    columns: Mapping[str, FloatArray], prior: FloatArray, likelihood: FloatArray
) -> dict[str, tuple[float | None, float | None]]:
    """Sensitivity of every quantity to the powers of prior and likelihood.

    Parameters
    ----------
    columns : mapping of str to ndarray (S,)
        Draws of the quantities.
    prior, likelihood : ndarray (S,)
        Their log densities at the same draws, up to constants.

    Returns
    -------
    dict of str to (float, float)
        To prior and to likelihood, per doubling of the power; `None` for draws that do not move.
    """
    scaled = [_weights(prior), _weights(likelihood)]
    return {
        name: (_sensitivity(values, *scaled[0]), _sensitivity(values, *scaled[1]))
        for name, values in columns.items()
    }


def _weights(density: FloatArray) -> tuple[FloatArray, FloatArray]:
    from arviz_stats.base import array_stats

    if np.ptp(density) == 0:  # a flat prior to any power is itself
        same = np.full(density.size, 1 / density.size)
        return same, same
    logs = [
        np.asarray(array_stats.power_scale_lw(density[None], alpha=power, axis=(0, 1)))[0] for power in POWERS
    ]
    lower, upper = (np.exp(log - log.max()) for log in logs)
    return lower / lower.sum(), upper / upper.sum()


def _sensitivity(values: FloatArray, lower: FloatArray, upper: FloatArray) -> float | None:
    from arviz_stats.base import array_stats

    if np.ptp(values) == 0:
        return None
    found = float(array_stats.power_scale_sense(values[None], lower[None], upper[None], *POWERS))
    return found if np.isfinite(found) else None


def sensitivity_records(
    parameters: Sequence[Mapping[str, Any]],
    columns: Mapping[str, FloatArray],
    prior: FloatArray,
    likelihood: FloatArray,
) -> list[dict[str, Any]]:
    """The sensitivity of every reported parameter, JSON-able.

    Parameters
    ----------
    parameters : sequence of mapping
        `component`, `group` and `term` of each of `columns`, in their order.
    columns, prior, likelihood
        See `power_sensitivity`.

    Returns
    -------
    list of dict
        component, group, term, prior, likelihood, diagnosis.
    """
    values = power_sensitivity(columns, prior, likelihood)
    return [
        {name: row[name] for name in ("component", "group", "term")}
        | {"prior": of_prior, "likelihood": of_data, "diagnosis": diagnosis(of_prior, of_data)}
        for row, (of_prior, of_data) in zip(parameters, values.values(), strict=True)
    ]


def diagnosis(prior: float | None, likelihood: float | None) -> str:
    """`none`, or which of the two findings of Kallioinen et al. (2024, table 1) applies."""
    if prior is None or likelihood is None or prior < LIMIT:
        return NONE
    return CONFLICT if likelihood >= LIMIT else STRONG


def sensitivity_checks(records: Sequence[Mapping[str, Any]]) -> tuple[Check, ...]:
    """A check for each parameter that is sensitive to the priors; one that passed if none is.

    Parameters
    ----------
    records : sequence of mapping
        See `sensitivity_records`.

    Returns
    -------
    tuple of Check
        All called `prior_sensitivity`. They say how to read a result, not that sampling failed.
    """
    flagged = [row for row in records if row["diagnosis"] != NONE]
    if flagged:
        return tuple(
            Check("prior_sensitivity", row["prior"], LIMIT, ok=False, advice=_advice(row)) for row in flagged
        )
    known = [row for row in records if row["prior"] is not None]
    if not known:
        return ()
    worst = max(known, key=lambda row: row["prior"])
    advice = (
        f"The data decide: a somewhat weaker or stronger prior would leave every parameter where it is "
        f"(most sensitive: {label(worst)})."
    )
    return (Check("prior_sensitivity", worst["prior"], LIMIT, ok=True, advice=advice),)


def _advice(row: Mapping[str, Any]) -> str:
    if row["diagnosis"] == STRONG:
        return (
            f"Strong prior or weak likelihood: the data say little about the {_named(row)} and what is "
            "reported is mostly the prior; say so, and show the result under another prior that is "
            "defensible."
        )
    return (
        f"Prior-data conflict: prior and data pull the {_named(row)} different ways, so that the result "
        "depends on how strong the prior is; if the prior was not chosen on purpose, widen it, and otherwise "
        "report both results."
    )


def _named(row: Mapping[str, Any]) -> str:
    return f"fixed effect {row['term']}" if row["component"] == "fixed" else label(row)
