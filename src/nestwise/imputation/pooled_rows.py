"""One row of a table from those of m analyses: Rubin's rules on the scale that suits it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.imputation.pooled_scales import Scale, back, inside, on_scale, pooling_scale, slope
from nestwise.imputation.rubin import imputations_needed, rubin
from nestwise.results import Estimate

Z = 1e10
"""So many degrees of freedom that t is z to the last digit."""


def _numbers(rows: Sequence[Any], *names: str) -> FloatArray:
    """Fields of rows as an array (m,) or (m, fields), NaN for what is not there."""
    table = [[getattr(row, name) for name in names] for row in rows]
    values = np.array([[np.nan if value is None else value for value in line] for line in table], dtype=float)
    return values[:, 0] if len(names) == 1 else values


def pooled_row(rows: Sequence[Estimate], level: float) -> tuple[Estimate, dict[str, Any] | None]:
    """One row from those of m analyses, and what pooling says of it.

    Parameters
    ----------
    rows : sequence of Estimate, length m
        The same quantity in each completed data set, with standard errors or intervals.
    level : float
        Coverage of the pooled interval.

    Returns
    -------
    row : Estimate
        With an interval where every analysis has a standard error, and a test where 0 (or a ratio of 1) is
        a hypothesis. A quantity at the end of its scale in some imputation is a point without an interval:
        the root mean square of standard deviations, else the mean.
    told : dict or None
        Scale of the pooling, variances within and between, riv, lambda, fmi, relative efficiency, Monte
        Carlo error (on the pooling scale) and the imputations needed.
    """
    bare = Estimate(
        rows[0].component, rows[0].term, None, rows[0].group, target=rows[0].target, scale=rows[0].scale
    )
    from scipy.special import stdtrit

    values = _numbers(rows, "estimate")
    if not np.isfinite(values).all():
        return bare, None
    scale = pooling_scale(bare.component, bare.term, bare.scale)
    if not inside(scale, values):  # at the end of the scale in some imputation: a point, no interval
        squared = bare.component in ("sd", "residual")
        return replace(bare, estimate=float(np.sqrt((values**2).mean()) if squared else values.mean())), None
    df = np.array([np.inf if row.df is None else row.df for row in rows])
    half_widths = stdtrit(np.minimum(df, Z), (1 + (rows[0].level or level)) / 2)
    limits = _numbers(rows, "lower", "upper")
    at = on_scale(scale, values, _numbers(rows, "std_error"), limits, half_widths)
    centre = float(back(scale, at.values.mean(keepdims=True))[0])
    if at.variances is None:
        return replace(bare, estimate=centre), None
    return _inferred(bare, scale, (at.values, at.variances, df), level)


def _inferred(
    bare: Estimate, scale: Scale, numbers: tuple[FloatArray, FloatArray, FloatArray], level: float
) -> tuple[Estimate, dict[str, Any]]:
    """A row with Rubin's inference, and what pooling says of it."""
    from scipy.special import stdtr, stdtrit

    values, variances, df = numbers
    found = rubin(values[:, None], variances[:, None], df[:, None])
    centre, error, nu = (float(each[0]) for each in (found.estimate, found.std_error, found.df))
    finite = nu if np.isfinite(nu) else Z
    half = float(stdtrit(finite, (1 + level) / 2)) * error
    reported, lower, upper = back(scale, np.array([centre, centre - half, centre + half])).tolist()
    row = replace(
        bare,
        estimate=reported,
        std_error=error / float(slope(scale, np.array([reported]))[0]),
        df=nu if np.isfinite(nu) else None,
        lower=lower,
        upper=upper,
        level=level,
    )
    if bare.component in ("fixed", "robust") or scale == "identity" or bare.scale.endswith("_ratio"):
        t = centre / error
        row = replace(row, statistic=t, p_value=float(2 * stdtr(finite, -abs(t))))
    fmi = float(found.fmi[0])
    told = {
        "pooled_on": scale,
        "within": float(found.within[0]),
        "between": float(found.between[0]),
        "riv": float(found.riv[0]),
        "lambda": float(found.share[0]),
        "fmi": fmi,
        "relative_efficiency": float(found.efficiency[0]),
        "monte_carlo_error": float(found.monte_carlo_error[0]),
        "imputations_needed": imputations_needed(fmi, found.m),
    }
    return row, told
