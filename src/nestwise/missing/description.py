"""Everything that is said of the missing values of one outcome before anything is done about them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from nestwise.arrays import FloatArray
from nestwise.data.dataset import ROW, Dataset
from nestwise.errors import NestwiseError
from nestwise.missing.anova import RepeatedAnova, repeated_anova
from nestwise.missing.dropout import cohort_means, dropout_table
from nestwise.missing.leaving import LeavingModel, leaving_model
from nestwise.missing.levels import missing_variables
from nestwise.missing.little import LittleTest, little_test
from nestwise.missing.missing_map import variable_map, visit_map
from nestwise.missing.patterns import KINDS, attendance, variable_patterns, visit_patterns
from nestwise.missing.plan import Arms, Plan
from nestwise.missing.reading import leaving_sentences, little_sentence, pattern_sentence, rows_sentence
from nestwise.missing.record import Description
from nestwise.missing.schedule import Schedule, schedule
from nestwise.missing_vocabulary import (
    COHORT_MEANS,
    DROPOUT,
    DROPOUT_MODEL,
    MISSINGNESS_MAP,
    REPEATED_ANOVA,
)
from nestwise.results import empty

UNKNOWN = "unknown"
"""Arm of those whose arm is missing."""


def describe_missing(
    dataset: Dataset,
    outcome: str,
    plan: Plan = Plan(),  # noqa: B008 - frozen
    covariates: Sequence[str] = (),
    level: float = 0.95,
) -> Description:
    """Describe the missing values of a study.

    Parameters
    ----------
    dataset : Dataset
        Prepared data.
    outcome : str
        Numeric column.
    plan : Plan
        Visit and arm.
    covariates : sequence of str
        Columns that may predict leaving and stand beside the visits in Little's test; those that are not
        constant inside a subject go into the former only.
    level : float
        Coverage of the intervals.

    Returns
    -------
    Description
        Nothing is raised for what does not apply: `record` says why, a sentence each.
    """
    frame = dataset.frame.collect().with_columns(pl.selectors.float().fill_nan(None))
    names = [name for name in dataset.variables if name in frame.columns and name != ROW]
    tables = {
        "variables": missing_variables(dataset, outcome),
        "patterns": variable_patterns(dataset.study, frame, names),
        "dropout": empty(DROPOUT),
        "cohorts": empty(COHORT_MEANS),
        "leaving": empty(DROPOUT_MODEL),
        "map": empty(MISSINGNESS_MAP),
        "anova": empty(REPEATED_ANOVA),
    }
    sentences = [rows_sentence(frame, names)]
    try:
        planned = schedule(dataset, visit=plan.visit)
        arms = arms_of(planned, plan.arm)
    except NestwiseError as error:
        if frame.height:
            tables["map"] = variable_map(dataset.study, frame, names)
        record: dict[str, Any] = {"outcome": outcome, "schedule": None, "why": {"schedule": str(error)}}
        return Description(outcome, tables, record, tuple(sentences))
    kind = dataset.variables[outcome].type
    return _of_visits(
        planned, outcome, plan, covariates, level=level, kind=kind, arms=arms, tables=tables, said=sentences
    )


def arms_of(planned: Schedule, column: str | None) -> Arms | None:
    """Arm of each subject, in the order of the levels; those without one are `unknown`, last.

    Raises
    ------
    Refusal
        If the arm changes inside a subject.
    """
    if column is None:
        return None
    series = planned.constant(column)
    dtype = planned.frame.schema[column]
    known = dtype.categories.to_list() if isinstance(dtype, pl.Enum) else series.drop_nulls().unique().sort()
    told = series.cast(pl.String).fill_null(UNKNOWN)
    present = set(told.to_list())
    labels = tuple(label for label in [*map(str, known), UNKNOWN] if label in present)
    place = {label: code for code, label in enumerate(labels)}
    codes = told.replace_strict(place, return_dtype=pl.Int64).to_numpy()
    return Arms(column, labels, codes)


def _of_visits(
    planned: Schedule,
    outcome: str,
    plan: Plan,
    covariates: Sequence[str],
    *,
    level: float,
    kind: str,
    arms: Arms | None,
    tables: dict[str, pl.DataFrame],
    said: list[str],
) -> Description:
    y, found = planned.values(outcome), attendance(planned.observed([outcome]))
    study = planned.study
    tables["patterns"] = pl.concat([visit_patterns(study, outcome, found, arms), tables["patterns"]])
    tables["dropout"] = dropout_table(planned, outcome, found, arms, level)
    tables["cohorts"] = cohort_means(planned, outcome, y, found, arms)
    tables["map"] = visit_map(planned, outcome, found, arms)
    covariates = [name for name in covariates if name not in planned.by_visit]
    predictors = [*([plan.arm] if plan.arm else []), *covariates]
    leaving = leaving_model(planned, outcome, y, found, list(dict.fromkeys(predictors)), level=level)
    if isinstance(leaving, LeavingModel):
        tables["leaving"] = leaving.table
    little: LittleTest | str = f"{outcome} is {kind}, and Little's test is of numbers."
    if kind not in {"categorical", "date"}:
        little = _little(planned, outcome, y, covariates)
    anova: RepeatedAnova | str = f"{outcome} is {kind}, and an analysis of variance is of numbers."
    if kind in {"continuous", "count"}:
        anova = _anova(planned, outcome, y, arms)
    if isinstance(anova, RepeatedAnova):
        tables["anova"] = anova.table
    record = {
        "outcome": outcome,
        "schedule": _schedule_record(planned),
        "patterns": {kind: found.count(kind) for kind in KINDS},
        "monotone": found.monotone,
        **_answers(leaving, little, anova),
    }
    said += [planned.note, pattern_sentence(planned, found)]
    said += [*leaving_sentences(leaving), little_sentence(little, kind)]
    return Description(outcome, tables, record, tuple(each for each in said if each))


def _answers(
    leaving: LeavingModel | str, little: LittleTest | str, anova: RepeatedAnova | str
) -> dict[str, Any]:
    """What was tested, and under `why` the sentences that say what could not be."""
    answers = {"leaving": leaving, "little": little, "anova": anova}
    return {
        "leaving": None if isinstance(leaving, str) else _leaving_record(leaving),
        "little": None if isinstance(little, str) else _little_record(little),
        "anova": None if isinstance(anova, str) else _anova_record(anova),
        "why": {name: told for name, told in answers.items() if isinstance(told, str)},
    }


def _little(planned: Schedule, outcome: str, y: FloatArray, covariates: Sequence[str]) -> LittleTest | str:
    """Little's test of the outcome by visit and the covariates that are constant in a subject."""
    columns, names = [y], [f"{outcome} at {label}" for label in planned.labels]
    for name in dict.fromkeys(covariates):
        try:
            series = planned.constant(name)
        except NestwiseError:
            continue
        numeric = series.dtype.is_numeric()
        if not numeric and series.drop_nulls().n_unique() != 2:
            continue  # a normal distribution has a place for numbers and for two levels
        coded = series if numeric else series.cast(pl.String).rank("dense")
        columns.append(coded.cast(pl.Float64).fill_null(float("nan")).to_numpy()[:, None])
        names.append(name)
    try:
        return little_test(np.hstack(columns), names)
    except NestwiseError as error:
        return str(error)


def _anova(planned: Schedule, outcome: str, y: FloatArray, arms: Arms | None) -> RepeatedAnova | str:
    try:
        names = (outcome, planned.visit, planned.subject)
        return repeated_anova(y, names, arms, planned.study)
    except NestwiseError as error:
        return str(error)


def _schedule_record(planned: Schedule) -> dict[str, Any]:
    return {
        "subject": planned.subject,
        "n": planned.N,
        "visit": planned.visit,
        "labels": list(planned.labels),
        "times": planned.times.tolist(),
        "note": planned.note,
    }


def _leaving_record(found: LeavingModel) -> dict[str, Any]:
    return {"steps": found.steps, "left": found.left, "notes": list(found.notes)}


def _little_record(found: LittleTest) -> dict[str, Any]:
    return {
        "statistic": found.statistic,
        "df": found.df,
        "p_value": found.p_value,
        "patterns": found.patterns,
        "n": found.n,
        "variables": list(found.variables),
    }


def _anova_record(found: RepeatedAnova) -> dict[str, Any]:
    judged = found.sphericity
    return {
        "n": found.n,
        "left_out": found.left_out,
        "reason": found.reason,
        "mauchly": judged.W,
        "mauchly_p": judged.p_value,
        "greenhouse_geisser": judged.greenhouse_geisser,
        "huynh_feldt": judged.huynh_feldt,
    }
