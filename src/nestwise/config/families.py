"""Which links a family of outcomes can have at all, and what coefficients on them are called."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

LINKS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "gaussian": ("identity", "log", "inverse"),
        "binomial": ("logit", "probit", "cloglog", "log", "identity"),
        "poisson": ("log", "identity"),
        "negative_binomial": ("log", "identity"),
        "ordinal": ("logit", "probit", "cloglog"),
        "gamma": ("log", "inverse", "identity"),
    }
)
"""Links by family."""

RATIOS: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        ("binomial", "logit"): "odds ratio",
        ("binomial", "cloglog"): "hazard ratio",
        ("binomial", "log"): "risk ratio",
        ("poisson", "log"): "rate ratio",
        ("negative_binomial", "log"): "rate ratio",
        ("ordinal", "logit"): "odds ratio",
        ("ordinal", "cloglog"): "hazard ratio",
        ("gamma", "log"): "ratio of means",
        ("gaussian", "log"): "ratio of means",
    }
)
"""What the exponential of a coefficient is, by family and link; absent where it is nothing."""
SCALES: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        ("binomial", "logit"): "log odds",
        ("binomial", "log"): "log risk",
        ("poisson", "log"): "log rate",
        ("negative_binomial", "log"): "log rate",
        ("ordinal", "logit"): "log odds of a higher category",
        ("gamma", "log"): "log mean",
        ("gaussian", "log"): "log mean",
    }
)
"""What a linear predictor is, by family and link."""


def ratio_name(family: str, link: str) -> str | None:
    """What the exponential of a coefficient is called, or `None` where it is no ratio of anything.

    Parameters
    ----------
    family, link : str
        As a study file has them.
    """
    return RATIOS.get((family, link))


def scale_name(family: str, link: str) -> str:
    """What the scale of the linear predictor is called: `log odds`, `probit scale`.

    Parameters
    ----------
    family, link : str
        As a study file has them.
    """
    return SCALES.get((family, link), "outcome" if link == "identity" else f"{link} scale")
