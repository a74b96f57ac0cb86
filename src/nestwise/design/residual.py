"""The covariance of the residuals as arrays: subjects, visits, strata, and what cannot be estimated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from nestwise.arrays import FloatArray, IntArray
from nestwise.config.study import Model, Residual
from nestwise.data.dataset import Dataset
from nestwise.design.analysis_set import AnalysisSet
from nestwise.design.columns import level_codes
from nestwise.design.covariance import ResidualDesign, VarianceFunction
from nestwise.design.grouping import group_codes
from nestwise.design.identification import refuse_unidentified
from nestwise.design.occasions import visit_codes
from nestwise.design.record import RandomTerm
from nestwise.errors import Problem, Refusal
from nestwise.formula.record import Formula

VISITED = ("unstructured", "ar1", "toeplitz", "antedependence")
"""Structures that know visits apart."""


def is_structured(residual: Residual | None) -> bool:
    """Whether a model asks for more than independent residuals with one variance."""
    return residual is not None and (
        residual.structure != "independent"
        or residual.heterogeneous
        or residual.by is not None
        or residual.variance is not None
    )


def residual_subject(residual: Residual | None, formula: Formula, dataset: Dataset) -> str | None:
    """The grouping factor inside which residuals are correlated.

    Parameters
    ----------
    residual : Residual or None
        Section of the model.
    formula : Formula
        Its formula.
    dataset : Dataset
        For the declared groups.

    Returns
    -------
    str or None
        `subject` of the section, else the declared factor in which no other is nested; `None` without a
        residual structure.

    Raises
    ------
    Refusal
        If several declared factors are lowest and the formula does not choose between them.
    """
    if residual is None or not is_structured(residual):
        return None
    if residual.subject is not None:
        return residual.subject
    parents = set(dataset.within.values())
    lowest = [name for name in dataset.within if name not in parents]
    named = [name for name in lowest if any(name in part.path for part in formula.random)]
    for candidates in (lowest, named):
        if len(candidates) == 1:
            return candidates[0]
    what = (
        f"residuals are correlated inside one factor, and {' and '.join(lowest) or 'none'} could be meant"
        if lowest
        else "residuals are correlated inside a group, and no group is declared"
    )
    raise Refusal(Problem(what, "the key residual", "name it: residual: {subject: ...}"))


def residual_columns(residual: Residual | None, dataset: Dataset) -> dict[str, str]:
    """Columns that the section names, each with its key; the study's time where visits are needed.

    Raises
    ------
    Refusal
        If visits are needed and no time is known.
    """
    if residual is None or not is_structured(residual):
        return {}
    time = _time_column(residual, dataset)
    columns = {} if time is None else {time: "residual.time"}
    if residual.by is not None:
        columns[residual.by] = "residual.by"
    if residual.variance is not None:
        kind, name = _variance(residual)
        columns[name] = f"residual.variance.{kind}"
    return columns


def _time_column(residual: Residual, dataset: Dataset) -> str | None:
    if residual.time is not None:
        return residual.time
    if residual.structure not in VISITED and not residual.heterogeneous:
        return None
    if dataset.time is None:
        asks = residual.structure if residual.structure in VISITED else "a variance for each visit"
        what = f"{asks} needs visits, and neither residual.time nor the study's time names their column"
        raise Refusal(Problem(what, "the key residual.time", "name the column of the visits"))
    return dataset.time


def _variance(residual: Residual) -> tuple[str, str]:
    assert residual.variance is not None
    given = residual.variance.model_dump(exclude_none=True)
    return next(iter(given.items()))


def residual_design(  # noqa: PLR0917 (a fixed signature, called by position)
    model: Model,
    dataset: Dataset,
    rows: AnalysisSet,
    subject: str | None,
    fixed: int,
    random: Sequence[RandomTerm] = (),
) -> ResidualDesign | None:
    """The covariance of the residuals of the analysis rows.

    Parameters
    ----------
    model, dataset, rows
        With the model's `residual` section; with the study's time; the rows of the analysis.
    subject : str or None
        From `residual_subject`.
    fixed, random
        Number of fixed effects, which the data also carry; random terms, which this must not hold already.

    Returns
    -------
    ResidualDesign or None
        `None` for independent residuals with one variance.

    Raises
    ------
    Refusal
        If a visit is repeated inside a subject, strata vary inside one, a covariate of the variance is out
        of range, or the data hold nothing on a parameter (see `design.identification`).
    """
    residual = model.residual
    if residual is None or subject is None:
        return None
    factor = rows.factors[subject]
    subjects, names = group_codes(factor, rows.keys)
    time = _time_column(residual, dataset) or ""
    visits, visit_labels, times = _visits(rows.frame, time)
    if time:
        _refuse_repeated(subjects, names, visits, visit_labels, factor.name, time)
    strata, stratum_labels = _strata(rows.frame, residual.by)
    _refuse_varying(strata, stratum_labels, subjects, names, factor.name, residual.by or "")
    made = ResidualDesign(
        structure=residual.structure,
        heterogeneous=residual.heterogeneous or residual.structure == "unstructured",
        subject=factor.name,
        subjects=subjects,
        time=time,
        visits=visits,
        visit_labels=visit_labels,
        times=times,
        by=residual.by or "",
        strata=strata,
        stratum_labels=stratum_labels,
        variance=_variance_function(residual, rows),
        subject_labels=tuple(names),
    )
    refuse_unidentified(made, fixed)
    _refuse_absorbed(made, random)
    return made


def _visits(frame: pl.DataFrame, time: str) -> tuple[IntArray, tuple[str, ...], FloatArray]:
    """Codes and labels of the visits in order of time, and their times."""
    if not time:
        return np.zeros(frame.height, dtype=np.int64), ("",), np.zeros(1)
    return visit_codes(frame[time], time, "the key residual.time")


def _refuse_repeated(  # noqa: PLR0917 (codes with their labels)
    subjects: IntArray,
    names: tuple[str, ...],
    visits: IntArray,
    labels: tuple[str, ...],
    factor: str,
    time: str,
) -> None:
    cells, counts = np.unique(subjects * len(labels) + visits, return_counts=True)
    if not (counts > 1).any():
        return
    first = int(cells[counts > 1][0])
    who, when = names[first // len(labels)], labels[first % len(labels)]
    more = int((counts > 1).sum()) - 1
    others = f", and {more} more such pairs" if more > 1 else ", and one more such pair" if more else ""
    what = f"{factor} {who} has {int(counts.max())} rows at {time} {when}{others}"
    if counts[counts > 1][0] != counts.max():
        what = f"{factor} {who} has several rows at {time} {when}{others}"
    way_out = (
        f"keep one row a {factor} and visit, or name the factor that tells them apart as residual.subject"
    )
    raise Refusal(Problem(what, "the key residual", way_out))


def _strata(frame: pl.DataFrame, by: str | None) -> tuple[IntArray, tuple[str, ...]]:
    if by is None:
        return np.zeros(frame.height, dtype=np.int64), ("",)
    return level_codes(frame[by])


def _refuse_varying(  # noqa: PLR0917 (codes with their labels)
    strata: IntArray,
    labels: tuple[str, ...],
    subjects: IntArray,
    names: tuple[str, ...],
    factor: str,
    by: str,
) -> None:
    own = np.zeros(len(names), dtype=np.int64)
    own[subjects] = strata
    wrong = np.flatnonzero(own[subjects] != strata)
    if wrong.size:
        row = wrong[0]
        who = subjects[row]
        what = f"{by} varies inside {factor} {names[who]}: {labels[strata[row]]} and {labels[own[who]]}"
        raise Refusal(
            Problem(what, "the key residual.by", f"choose strata that are constant within {factor}")
        )


def _variance_function(residual: Residual, rows: AnalysisSet) -> VarianceFunction | None:
    if residual.variance is None:
        return None
    kind, name = _variance(residual)
    where = f"the key residual.variance.{kind}"
    series = rows.frame[name]
    if kind == "strata":
        codes, labels = level_codes(series)
        counts = np.bincount(codes, minlength=len(labels))
        if len(labels) > 1 and counts.min() > 1:
            return VarianceFunction(kind, name, codes.astype(np.float64), labels)
        if len(labels) == 1:
            what, way_out = f"{name} has the one level {labels[0]}", "leave the variance function out"
        else:
            what = f"{name} {labels[int(counts.argmin())]} has one row, which says nothing of its variance"
            way_out = "merge small strata"
        raise Refusal(Problem(what, where, way_out))
    if not (series.dtype.is_numeric() or series.dtype == pl.Boolean):
        what = f"{name} holds no numbers and cannot be the covariate of a variance"
        raise Refusal(Problem(what, where, "name a numeric column, or use strata"))
    values = series.cast(pl.Float64).to_numpy().copy()
    return VarianceFunction(kind, name, _in_range(values, name, kind, rows.rows))


def _in_range(values: FloatArray, name: str, kind: str, rows: IntArray) -> FloatArray:
    where = f"the key residual.variance.{kind}"
    wrong = ~np.isfinite(values) if kind == "exponential" else ~(np.isfinite(values) & (values > 0))
    if wrong.any():
        some = ", ".join(str(row) for row in rows[wrong][:5]) + (", ..." if wrong.sum() > 5 else "")
        state = "infinite" if kind == "exponential" else "infinite, zero or negative"
        what = f"{name} is {state} in {int(wrong.sum())} row{'s' if wrong.sum() > 1 else ''} ({some})"
        way_out = "correct it" if kind == "exponential" else "add a constant to it, or use exponential"
        raise Refusal(Problem(what, where, way_out))
    if np.ptp(values) == 0:
        what = f"{name} is the same in every row, so no variance can follow it"
        raise Refusal(Problem(what, where, "leave the variance function out"))
    return values


def _refuse_absorbed(design: ResidualDesign, random: Sequence[RandomTerm]) -> None:
    """Refuse random effects of the subject that the residual covariance already holds.

    An unstructured covariance holds every effect of the subject; compound symmetry and Toeplitz hold a
    random intercept: the two cannot be told apart.
    """
    if design.structure not in ("unstructured", "compound_symmetry", "toeplitz"):
        return
    for term in random:
        flat = bool(np.any(np.ptp(term.Z, axis=0) == 0))
        if not flat and design.structure != "unstructured":
            continue
        if term.membership is None and _same_groups(term.codes, design.subjects):
            structure = design.structure.replace("_", " ")
            what = (
                f"a residual covariance that is {structure} inside {design.subject} already holds what "
                f"varies by {term.group}: the two cannot be told apart"
            )
            way_out = f"leave the term of {term.group} out, or choose the structure ar1 or independent"
            raise Refusal(Problem(what, "the key residual.structure", way_out))


def _same_groups(codes: IntArray, subjects: IntArray) -> bool:
    pairs = len(np.unique(codes * (int(subjects.max()) + 1) + subjects))
    return pairs == len(np.unique(codes)) == len(np.unique(subjects))
