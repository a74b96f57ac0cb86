"""The rows of a model with the weights that make up for those who dropped out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from nestwise.arrays import BoolArray, IntArray
from nestwise.config.study import Model
from nestwise.data.dataset import ROW, Dataset
from nestwise.design.build import build_design
from nestwise.design.grouping import factor_keys
from nestwise.design.record import Design
from nestwise.errors import Problem, Refusal
from nestwise.fit.cluster_layout import cluster_factor
from nestwise.formula.record import Formula, parse
from nestwise.missing.patterns import attendance
from nestwise.missing.plan import Plan
from nestwise.missing.schedule import Schedule, schedule
from nestwise.missing.weights import WHERE, Weights, WeightSettings, observation_weights
from nestwise.names import counted, several


@dataclass(frozen=True)
class WeightedRows:
    """A model with the weights of its rows.

    Attributes
    ----------
    design : Design
        Its prior weights are those of the study.
    planned : Schedule
    weights : Weights
    seen : ndarray (N, T) of bool
        Rows of the design.
    who, when : ndarray (n,)
        Subject and visit of each row of the design.
    cluster : ndarray (N,)
        Independent cluster of each subject, numbered alike in `of_rows`.
    notes : tuple of str
    """

    design: Design
    planned: Schedule
    weights: Weights
    seen: BoolArray
    who: IntArray
    when: IntArray
    cluster: IntArray
    notes: tuple[str, ...]


def weighted_rows(
    dataset: Dataset, name: str, model: Model, plan: Plan, settings: WeightSettings
) -> WeightedRows:
    """Build the design of a model and weigh its rows.

    Raises
    ------
    Refusal
        On intermittent patterns, and where drop-out cannot be modelled.
    """
    formula = parse(model.formula)
    design = build_design(dataset, name, model)
    planned = schedule(dataset, visit=plan.visit)
    seen = _seen(planned, design)
    found, notes = attendance(seen), []
    if not found.monotone:
        seen, said = _without_gaps(planned, seen, found.count("intermittent"), settings)
        notes.append(said)
    kept = planned.frame[ROW].to_numpy()[planned.places[seen]]
    if kept.size < design.n:
        frame = dataset.frame.filter(pl.col(ROW).is_in(pl.Series(kept).implode()))
        design = build_design(replace(dataset, frame=frame), name, model)
    who, when = cells(planned, design)
    y = np.full(seen.shape, np.nan)
    y[who, when] = design.y if design.trials is None else design.y / design.trials
    last = attendance(seen).last
    arm = plan.arm if plan.arm in formula.variables else None
    predictors = predictors_of(formula, planned, plan, settings)
    weights = observation_weights(planned, last, y, predictors, settings=settings, arm=arm)
    return WeightedRows(
        design,
        planned,
        weights,
        seen,
        who,
        when,
        _clusters(planned, formula, design, dataset),
        tuple(notes),
    )


def predictors_of(
    formula: Formula, planned: Schedule, plan: Plan, settings: WeightSettings
) -> tuple[str, ...]:
    """Covariates of the drop-out model: those asked for, or the arm and those of the outcome's model."""
    if settings.predictors is not None:
        unknown = [name for name in settings.predictors if name not in planned.frame.columns]
        if unknown:
            what = f"there is no column {several(unknown)} to predict drop-out"
            raise Refusal(Problem(what, WHERE, "name columns of the data"))
        return settings.predictors
    groups = {column for part in formula.random for column in part.path}
    not_covariates: set[str | None] = {
        planned.time,
        *planned.keys,
        *formula.outcome.columns,
        *groups,
        *planned.by_visit,
    }
    named = [plan.arm, *formula.variables] if plan.arm else list(formula.variables)
    return tuple(dict.fromkeys(name for name in named if name not in not_covariates))


def _seen(planned: Schedule, design: Design) -> BoolArray:
    rows = planned.frame[ROW].to_numpy()
    return (planned.places >= 0) & np.isin(rows, design.rows)[planned.places]


def _without_gaps(
    planned: Schedule, seen: BoolArray, n: int, settings: WeightSettings
) -> tuple[BoolArray, str]:
    """Rows up to the first gap, if the settings allow to cut there."""
    who = counted(n, planned.subject)
    if settings.gaps != "cut":
        what = f"{who} missed a visit and came back, and weights by drop-out need monotone patterns"
        way_out = "impute those gaps first, set `gaps: cut` to leave out what follows a gap, or choose `mi`"
        raise Refusal(Problem(what, WHERE, way_out))
    kept: BoolArray = np.logical_and.accumulate(seen, axis=1)
    lost = int(seen.sum() - kept.sum())
    return kept, (
        f"{who} missed a visit and came back: {counted(lost, 'row')} after a first gap left out, as if they "
        "had dropped out there."
    )


def cells(planned: Schedule, design: Design) -> tuple[IntArray, IntArray]:
    """Subject and visit of each row of a design."""
    rows = planned.frame[ROW].to_numpy()
    who, when = np.nonzero(planned.places >= 0)
    subject, visit = np.empty(rows.size, np.int64), np.empty(rows.size, np.int64)
    subject[planned.places[who, when]], visit[planned.places[who, when]] = who, when
    order = np.argsort(rows)
    at = order[np.searchsorted(rows[order], design.rows)]
    return subject[at], visit[at]


def _clusters(planned: Schedule, formula: Formula, design: Design, dataset: Dataset) -> IntArray:
    """Independent cluster (N,) of each subject, those without rows in the model included."""
    outer = cluster_factor(design)
    paths = {part.group: part.path for part in formula.random}
    if outer is None or outer.group not in paths:
        return np.arange(planned.N)
    keys = factor_keys(paths[outer.group], dataset.within)
    first = planned.places.max(axis=1)
    frame = planned.frame.select(keys)[first]
    order = frame.unique(maintain_order=True).with_row_index(".code")
    return (
        frame.join(order, on=list(keys), how="left", maintain_order="left")[".code"]
        .to_numpy()
        .astype(np.int64)
    )
