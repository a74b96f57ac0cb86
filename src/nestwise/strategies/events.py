"""Intercurrent events as the study file names them: who had which, and what becomes of outcomes after it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from nestwise.arrays import BoolArray, IntArray
from nestwise.config.missing import Events
from nestwise.data.dataset import ROW, Dataset
from nestwise.errors import Problem, Refusal
from nestwise.imputation.intercurrent import handle_events, last_seen
from nestwise.imputation.reference import Plan
from nestwise.imputation.repeated import RepeatedData
from nestwise.missing.schedule import Schedule
from nestwise.names import counted, did_you_mean, several

LEFT = "left without an event"
"""Stands for the event of those who were not seen any more, and of whom no event is told."""
WHERE = "the key missing.events"


@dataclass(frozen=True)
class Handled:
    """Outcomes and plan after the events were dealt with.

    Attributes
    ----------
    data : RepeatedData
        What is set aside is missing.
    plan : Plan
        What is assumed of each subject.
    record : dict
        `column`, `failure`, `left` (subjects who left without an event), `later` (subjects with events after
        the one that counts), and `kinds`: of each its `subjects`, `strategy`, whether it is `listed`, and
        the outcomes `set_aside`.
    warnings : tuple of str
    """

    data: RepeatedData
    plan: Plan
    record: dict[str, Any]
    warnings: tuple[str, ...]


def handled_events(
    dataset: Dataset, table: Schedule, data: RepeatedData, events: Events, strategy: str
) -> Handled:
    """Deal with the events of a study under one reference-based strategy.

    Of several events of a subject the first counts that is not `treatment_policy`; if all are, the first.
    An event that is not listed, and leaving without one, take the strategy of the row.

    Parameters
    ----------
    dataset : Dataset
        The study as it was read: rows of absent visits tell of no event.
    table : Schedule
        Its subjects by visits.
    data : RepeatedData
        Outcomes as observed.
    events : Events
        From the study file.
    strategy : str
        j2r, cir, cr or lmcf; the reference arm is the first.

    Raises
    ------
    Refusal
        If the column is none, or holds numbers.
    """
    told = _labels(dataset, table, events.column)
    kind, before, several_events = _deciding(told, events)
    gone = last_seen(data.Y)
    left = (kind == "") & (gone < table.T)
    kind, before = np.where(left, LEFT, kind), np.where(left, gone, before)
    ways: dict[str, str] = dict.fromkeys([*np.unique(told[told != ""]).tolist(), LEFT], strategy)
    ways |= events.strategies
    made, plan = handle_events(data, before, kind.tolist(), ways, reference=0, failure=events.failure)
    aside = (~np.isnan(data.Y) & np.isnan(made.Y)).sum(axis=1)
    found = [
        {
            "kind": name,
            "subjects": int((kind == name).sum()),
            "strategy": ways[name],
            "listed": name in events.strategies,
            "set_aside": int(aside[kind == name].sum()),
        }
        for name in ways
        if name != LEFT
    ]
    record = {
        "column": events.column,
        "subject": table.subject,
        "failure": events.failure,
        "left": int(left.sum()),
        "strategy": strategy,
        "later": several_events,
        "kinds": found,
    }
    return Handled(made, plan, record, _warnings(record, {each for each in np.unique(told).tolist() if each}))


def _labels(dataset: Dataset, table: Schedule, column: str) -> np.ndarray[Any, Any]:
    """What is told of each subject and visit (N, T), empty where nothing is."""
    if column not in table.frame.columns:
        hint = did_you_mean(column, table.frame.columns)
        raise Refusal(Problem(f"there is no column {column}", WHERE, hint or "name another"))
    series, info = table.frame[column], dataset.variables.get(column)
    if info is not None and info.type == "binary":  # 0 says that nothing happened
        names = info.levels if len(info.levels) == 2 else ("0", "1")
        series = pl.Series([names[1] if value else None for value in series.to_list()], dtype=pl.String)
    elif series.dtype.is_numeric() and series.null_count() < series.len():
        what = f"{column} holds numbers, and events are told by their names"
        way_out = f"declare {column} categorical (what happened) or binary (whether it did) under variables"
        raise Refusal(Problem(what, WHERE, way_out))
    # what is constant inside a subject was written into the rows of absent visits too
    known = table.frame[ROW].is_in(dataset.frame.select(ROW).collect()[ROW].implode())
    text = pl.DataFrame({"text": series.cast(pl.String).str.strip_chars(), "known": known})
    labels = text.select(pl.when("known").then("text").fill_null("")).to_series().to_numpy().astype(str)
    return np.where(table.places >= 0, labels[table.places], "")


def _deciding(told: np.ndarray[Any, Any], events: Events) -> tuple[np.ndarray[Any, Any], IntArray, int]:
    """The event (N,) that counts, visits (N,) before it, and how many subjects have another one too."""
    T = told.shape[1]
    policy = [name for name, way in events.strategies.items() if way == "treatment_policy"]
    happened: BoolArray = told != ""
    counts = happened & ~np.isin(told, policy)
    chosen = np.where(counts.any(axis=1)[:, None], counts, happened)
    at = np.argmax(chosen, axis=1)
    none = ~chosen.any(axis=1)
    kind = np.where(none, "", told[np.arange(at.size), at])
    other = (happened & (told != kind[:, None])).any(axis=1)
    return kind, np.where(none, T, at).astype(np.int64), int(other.sum())


def _warnings(record: dict[str, Any], present: Collection[str]) -> tuple[str, ...]:
    said = []
    subjects = str(record["subject"])
    unlisted = [f"`{each['kind']}`" for each in record["kinds"] if not each["listed"]]
    if unlisted:
        said.append(
            f"{several(unlisted)} in {record['column']} is not listed under missing.events.strategies and "
            f"takes the strategy {record['strategy']}."
        )
    for each in record["kinds"]:
        if each["kind"] not in present:
            hint = did_you_mean(each["kind"], sorted(present))
            said.append(
                f"No {subjects} has the event `{each['kind']}` in {record['column']}"
                + (f"; {hint}." if hint else ".")
            )
    if record["later"]:
        who = f"{counted(record['later'], subjects)} {'has' if record['later'] == 1 else 'have'}"
        said.append(f"{who} several events: the first that is not dealt with as treatment_policy counts.")
    return tuple(said)
