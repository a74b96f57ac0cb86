"""Which links a family of outcomes can have at all; an engine may take fewer of them."""

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
