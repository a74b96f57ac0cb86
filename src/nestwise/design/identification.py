"""Parameters of a residual covariance on which the data hold nothing."""

from __future__ import annotations

import numpy as np

from nestwise.arrays import BoolArray, IntArray
from nestwise.design.covariance import ResidualDesign
from nestwise.errors import Problem, Refusal

_WAYS_OUT = "merge visits, or choose compound_symmetry or ar1"
MOST_VISITS = 200
"""Visits of a structure with parameters of their own for each: more are a mistake in the time column."""


def refuse_unidentified(design: ResidualDesign, fixed: int) -> None:
    """Refuse a residual covariance with parameters that no row speaks of.

    Parameters
    ----------
    design : ResidualDesign
        Covariance of the residuals.
    fixed : int
        Number of fixed effects.

    Raises
    ------
    Refusal
        Naming the visits that are never observed together, seen too rarely, or too many.
    """
    named = design.structure in ("unstructured", "toeplitz", "antedependence")
    visits = len(design.visit_labels)
    if (named or design.heterogeneous) and visits > MOST_VISITS:
        what = f"{design.time} has {visits:,} different values, each a visit of its own"
        raise _refusal(what, "round it to planned visits, or choose ar1 with one variance")
    if named and visits == 1:
        raise _refusal(f"{design.time} has the one value {design.visit_labels[0]}", _WAYS_OUT)
    parameters = n_parameters(design)
    if parameters + fixed >= len(design.subjects):
        what = (
            f"{parameters} parameters of the residual covariance and {fixed} fixed effects cannot be "
            f"estimated from {len(design.subjects)} rows"
        )
        raise _refusal(what, "choose a structure with fewer parameters")
    for stratum, label in enumerate(design.stratum_labels):
        inside = design.strata == stratum
        prefix = f"in {design.by} {label}, " if design.by else ""
        _refuse_lonely(design, inside, prefix)
        _refuse_apart(design, inside, prefix)
        if design.heterogeneous:
            _refuse_rare(design, inside, prefix)


def n_parameters(design: ResidualDesign) -> int:
    """Number of parameters of the residual covariance, variances included, over all strata."""
    T = len(design.visit_labels)
    correlations = {
        "independent": 0,
        "unstructured": T * (T - 1) // 2,
        "compound_symmetry": 1,
        "ar1": 1,
        "toeplitz": T - 1,
        "antedependence": T - 1,
    }[design.structure]
    variances = T if design.heterogeneous else 1
    function = design.variance
    extra = 0 if function is None else max(len(function.labels) - 1, 1)
    return (correlations + variances + extra) * len(design.stratum_labels)


def _refuse_lonely(design: ResidualDesign, inside: BoolArray, prefix: str) -> None:
    """A correlation needs subjects with at least two rows."""
    if design.structure == "independent":
        return
    if np.bincount(design.subjects[inside]).max(initial=0) < 2:
        what = f"{prefix}every {design.subject} has one row, so residuals cannot be correlated inside it"
        raise _refusal(what, "leave `residual` out, or name another subject")


def _refuse_apart(design: ResidualDesign, inside: BoolArray, prefix: str) -> None:
    """Pairs of visits, neighbours or lags whose correlation nobody shows."""
    if design.structure not in ("unstructured", "antedependence", "toeplitz"):
        return
    together = _together(design.subjects[inside], design.visits[inside], len(design.visit_labels))
    visits, labels = len(design.visit_labels), design.visit_labels
    if design.structure == "toeplitz":
        absent = [lag for lag in range(1, visits) if not np.diagonal(together, lag).any()]
        if absent:
            lags = ", ".join(str(lag) for lag in absent[:5])
            noun = "visits" if len(absent) > 1 or absent[0] > 1 else "visit"
            what = f"{prefix}no {design.subject} was seen at two visits that are {lags} {noun} apart"
            raise _refusal(what, _WAYS_OUT)
        return
    pairs = [(i, j) for i in range(visits) for j in range(i + 1, visits) if not together[i, j]]
    if design.structure == "antedependence":
        pairs = [(i, j) for i, j in pairs if j == i + 1]
    if pairs:
        named = ", ".join(f"{labels[i]} and {labels[j]}" for i, j in pairs[:5])
        more = f" and {len(pairs) - 5} more pairs" if len(pairs) > 5 else ""
        what = f"{prefix}visits are never observed together in one {design.subject}: {named}{more}"
        raise _refusal(what, _WAYS_OUT)


def _together(subjects: IntArray, visits: IntArray, n_visits: int) -> BoolArray:
    """Which visits share a subject, (T, T)."""
    shape = (int(subjects.max(initial=0)) + 1, n_visits)
    from scipy import sparse

    seen = sparse.csr_array((np.ones(len(subjects)), (subjects, visits)), shape=shape)
    return np.asarray((seen.T @ seen).toarray() > 0)


def _refuse_rare(design: ResidualDesign, inside: BoolArray, prefix: str) -> None:
    counts = np.bincount(design.visits[inside], minlength=len(design.visit_labels))
    if counts.min() < 2:
        place = int(counts.argmin())
        seen = "no row" if counts[place] == 0 else "one row"
        what = f"{prefix}{design.time} {design.visit_labels[place]} has {seen}, too few for its variance"
        raise _refusal(what, "leave the visit out, or set heterogeneous: false")


def _refusal(what: str, way_out: str) -> Refusal:
    return Refusal(Problem(what, "the key residual.structure", way_out))
