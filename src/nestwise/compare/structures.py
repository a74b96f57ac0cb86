"""Which residual covariance holds which: a covariance that is another one with parameters fixed.

Compound symmetry is Toeplitz with equal bands, AR(1) between evenly spaced visits Toeplitz with powers of
one number, AR(1) on any times ante-dependence, and every one of them an unstructured covariance. A random
intercept of the subject is compound symmetry with a correlation that is not negative.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

HOLDS: Mapping[str, frozenset[str]] = {
    "unstructured": frozenset({"independent", "compound_symmetry", "ar1", "toeplitz", "antedependence"}),
    "toeplitz": frozenset({"independent", "compound_symmetry"}),
    "antedependence": frozenset({"independent", "ar1"}),
    "ar1": frozenset({"independent"}),
    "compound_symmetry": frozenset({"independent"}),
    "independent": frozenset(),
}
ABSORBING = frozenset({"unstructured", "toeplitz", "compound_symmetry"})
"""Covariances that hold a random intercept of the subject."""


@dataclass(frozen=True)
class Structure:
    """A residual covariance without its numbers.

    Attributes
    ----------
    kind : str
        As the study file names it; `independent` for plain residuals.
    heterogeneous : bool
        Whether each visit has a variance of its own.
    by, subject, time : str
        Columns of the strata, the subjects and the visits; empty where there are none.
    function : tuple of str or None
        Kind and column of a variance function.
    even : bool
        Whether the visits are evenly spaced.
    """

    kind: str = "independent"
    heterogeneous: bool = False
    by: str = ""
    subject: str = ""
    time: str = ""
    function: tuple[str, str] | None = None
    even: bool = False


def structure_of(design: Mapping[str, Any]) -> Structure | None:
    """The residual covariance of a model; `None` where rows are weighted or their errors known.

    Parameters
    ----------
    design : mapping
        `design.json` of the model.
    """
    if design.get("weights") or design.get("sampling_error"):
        return None
    residual = design.get("residual")
    if residual is None:
        return Structure()
    function = residual.get("variance")
    return Structure(
        residual["structure"],
        bool(residual["heterogeneous"]),
        str(residual.get("by") or ""),
        str(residual.get("subject") or ""),
        str(residual.get("time") or ""),
        None if function is None else (str(function["kind"]), str(function["name"])),
        _even([str(visit) for visit in residual.get("visits") or ()]),
    )


def _even(visits: list[str]) -> bool:
    """Names of visits count as one apart each."""
    try:
        times = [float(visit) for visit in visits]
    except ValueError:
        return True
    steps = [after - before for before, after in pairwise(times)]
    return all(abs(step - steps[0]) <= 1e-9 * abs(steps[0]) for step in steps)


def holds(large: Structure, small: Structure) -> bool:
    """Whether the small covariance is the large one with some of its parameters fixed.

    Parameters
    ----------
    large, small : Structure
        Of two models; equal ones hold each other.
    """
    free = large.heterogeneous or large.kind == "unstructured"
    plain = small.kind == "independent" and not (small.heterogeneous or small.function)
    visits = small.kind not in {"independent", "compound_symmetry"} or small.heterogeneous
    return (
        _kind(large, small)
        and (free or not small.heterogeneous)
        and small.function == large.function
        and small.by in {"", large.by}
        and (plain or small.subject == large.subject)
        and (not visits or small.time == large.time)
    )


def _kind(large: Structure, small: Structure) -> bool:
    even = large.kind == "toeplitz" and small.kind == "ar1" and large.even
    return small.kind == large.kind or small.kind in HOLDS[large.kind] or even


def holds_intercept(large: Structure, group: str) -> bool:
    """Whether a covariance holds a random intercept of a factor beside independent residuals.

    Parameters
    ----------
    large : Structure
        Of a model without that intercept.
    group : str
        The factor.
    """
    return large.kind in ABSORBING and large.subject == group and large.function is None


def on_the_boundary(large: Structure, small: Structure) -> bool:
    """Whether the small covariance lies at an edge of the large one: a correlation that is not negative at 0.

    Parameters
    ----------
    large, small : Structure
        The first holds the second.
    """
    return large.kind == "ar1" and small.kind == "independent" and not large.even
