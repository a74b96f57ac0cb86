"""The scale on which a quantity is pooled: one on which its estimates are about normal.

Standard deviations, variance ratios and odds ratios are pooled as logarithms, design effects as those of what
is above 1, shares and intraclass
correlations as logits, correlations by Fisher's z; means and coefficients as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from nestwise.arrays import FloatArray

Scale = Literal["identity", "log", "log_above_1", "logit", "fisher"]

SCALES: dict[str, Scale] = {
    "correlation": "fisher",
    "proportion": "logit",
    "latent": "logit",
    "ratio": "log",
    "dispersion": "log",
    "rows": "log",
}
"""By the column `scale` of a row; odds ratios and their like, and standard deviations, are told otherwise."""


def pooling_scale(component: str, term: str, scale: str) -> Scale:
    """Scale on which rows of this component, term and reported scale are pooled."""
    if term == "design_effect":
        return "log_above_1"
    deviation = component == "sd" or (component == "residual" and scale in ("response", "link"))
    return "log" if deviation or scale.endswith("_ratio") else SCALES.get(scale, "identity")


def inside(scale: Scale, values: FloatArray) -> bool:
    """Whether all values can be put on a scale: not at its ends."""
    low, high = {
        "identity": (-np.inf, np.inf),
        "log": (0, np.inf),
        "log_above_1": (1, np.inf),
        "logit": (0, 1),
        "fisher": (-1, 1),
    }[scale]
    return bool(np.isfinite(values).all() and (values > low).all() and (values < high).all())


def forward(scale: Scale, values: FloatArray) -> FloatArray:
    """Values on the pooling scale."""
    from scipy.special import logit

    if scale == "log":
        return np.log(values)
    if scale == "log_above_1":
        return np.log(values - 1)
    if scale == "logit":
        return np.asarray(logit(values))
    return np.arctanh(values) if scale == "fisher" else values


def back(scale: Scale, values: FloatArray) -> FloatArray:
    """From the pooling scale to the reported one."""
    from scipy.special import expit

    if scale == "log":
        return np.exp(values)
    if scale == "log_above_1":
        return 1 + np.exp(values)
    if scale == "logit":
        return np.asarray(expit(values))
    return np.tanh(values) if scale == "fisher" else values


def slope(scale: Scale, values: FloatArray) -> FloatArray:
    """Derivative of the pooling scale by the reported value, at reported values."""
    if scale == "log":
        return 1 / values
    if scale == "log_above_1":
        return 1 / (values - 1)
    if scale == "logit":
        return 1 / (values * (1 - values))
    return 1 / (1 - values**2) if scale == "fisher" else np.ones_like(values)


@dataclass(frozen=True)
class OnScale:
    """m estimates of one quantity, ready for Rubin's rules.

    Attributes
    ----------
    values : ndarray (m,)
        On the pooling scale.
    variances : ndarray (m,) or None
        Squared standard errors there; `None` where some analysis has none.
    """

    values: FloatArray
    variances: FloatArray | None


def on_scale(
    scale: Scale, estimates: FloatArray, errors: FloatArray, limits: FloatArray, quantile: FloatArray
) -> OnScale:
    """Estimates and their variances on the pooling scale.

    Parameters
    ----------
    scale : str
        Of `Scale`.
    estimates, errors : ndarray (m,)
        As reported; NaN where an analysis has no standard error.
    limits : ndarray (m, 2)
        Intervals, which stand in for missing standard errors; NaN without.
    quantile : ndarray (m,)
        Half the width of such an interval in standard errors.
    """
    values = forward(scale, estimates)
    if np.isfinite(errors).all() and (errors > 0).all():
        return OnScale(values, (errors * slope(scale, estimates)) ** 2)
    if not inside(scale, limits.ravel()):
        return OnScale(values, None)
    ends = forward(scale, limits)
    half = (ends[:, 1] - ends[:, 0]) / 2 / quantile
    return OnScale(values, half**2 if (half > 0).all() else None)
