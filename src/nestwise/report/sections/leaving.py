"""What was made of those who left: the weights of those who stayed, and the events that befell subjects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nestwise.compare.strategies import LABELS
from nestwise.names import counted, plural
from nestwise.numbers import NOTHING, count, fixed, say
from nestwise.report.blocks import Block, Heading, Table, Text, cells
from nestwise.report.record import ReportRecord

Row = Mapping[str, Any]

WAYS: Mapping[str, str] = {
    "treatment_policy": "outcomes after it count like any other",
    "hypothetical": "outcomes after it set aside, and imputed as if it had not happened",
}
"""What the strategies that borrow nothing do with outcomes after an event."""
MOST_EVENTS = 40


def leaving_blocks(record: ReportRecord, model: str) -> list[Block]:
    """Weights and events of one model; empty where no strategy has them.

    Parameters
    ----------
    record : ReportRecord
        The study.
    model : str
        One of its models.
    """
    own = {strategy: told for (name, _, strategy), told in record.treated.items() if name == model}
    blocks: list[Block] = []
    weights = next((told["weights"] for told in own.values() if told.get("weights")), None)
    if weights is not None:
        blocks += _weights(weights)
    events = {strategy: told["events"] for strategy, told in own.items() if told.get("events")}
    return blocks + (_events(events) if events else [])


def _weights(told: Row) -> list[Block]:
    imputed = told.get("imputations")
    said = [told["note"]] if told.get("note") else []
    rows = told.get("by_visit") or []
    if not rows:
        return [Heading("How those who stayed were weighted"), Text(" ".join(said))] if said else []
    kind = "stabilised weight" if told["stabilised"] else "weight"
    said.append(f"Each {'row' if told['level'] == 'visit' else 'subject'} has a {kind} of its own.")
    if told["largest"] is not None:
        said.append(f"Weights were cut at {told['largest']:g} times the mean of their visit.")
    note = "Worth: rows without weights that would be as precise."
    if imputed:
        note += (
            f" Means over {count(imputed)} imputations; the smallest, largest and most cut of all of them."
        )
    table = Table(
        "Weights by visit",
        ("Visit", "Rows", "Mean", "SD", "Smallest", "Largest", "Worth", "Cut"),
        tuple(
            cells(
                f"{row['visit']}",
                count(row["n"]),
                fixed(row["mean"], 2),
                NOTHING if row["sd"] is None else fixed(row["sd"], 2),
                fixed(row["smallest"], 2),
                fixed(row["largest"], 2),
                count(round(row["effective"])),
                count(row["truncated"]),
            )
            for row in rows
        ),
        "lrrrrrrr",
        note,
    )
    return [Heading("How those who stayed were weighted"), Text(" ".join(said)), table]


def _events(told: Mapping[str, Row]) -> list[Block]:
    """One table, as the strategies differ in what they do with events that are not listed only."""
    first = next(iter(told.values()))
    subjects = plural(str(first["subject"]))
    lines = [
        cells(
            f"`{row['kind']}`",
            count(row["subjects"]),
            _way(row["strategy"], first["failure"]) if row["listed"] else _row_strategy(told),
            count(row["set_aside"]),
        )
        for row in first["kinds"][:MOST_EVENTS]
    ]
    lines.append(cells("left without an event", count(first["left"]), _row_strategy(told), NOTHING))
    said = (
        f"The column `{first['column']}` tells what happened to {subjects}. Under the strategies that borrow "
        "from the reference arm each event is dealt with in its own way."
    )
    if first["later"]:
        several = counted(first["later"], str(first["subject"]))
        said += f" {several} had several events: the first that is not `treatment_policy` counts."
    head = ("Event", subjects[:1].upper() + subjects[1:], "What was done", "Outcomes set aside")
    table = Table("Intercurrent events", head, tuple(lines), "lrlr")
    return [Heading("What happened, and what was made of it"), Text(said), table]


def _way(strategy: str, failure: float | None) -> str:
    if strategy == "composite":
        return f"outcomes after it count as {say(failure)}"
    if strategy in WAYS:
        return WAYS[strategy]
    return f"outcomes after it set aside, and imputed: {LABELS[strategy]}"


def _row_strategy(told: Mapping[str, Row]) -> str:
    return "imputed as each strategy says: " + ", ".join(LABELS[strategy] for strategy in told)
