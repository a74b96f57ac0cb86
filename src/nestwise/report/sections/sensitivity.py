"""What the posterior owes to the priors: power-scaling sensitivity in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nestwise.names import several
from nestwise.numbers import fixed
from nestwise.report.blocks import Cell, Table, cells
from nestwise.report.record import ReportRecord
from nestwise.report.words import quantity

LIMIT = "0.05"
READINGS = {
    "none": ("the data decide", "good"),
    "prior-data conflict": ("prior and data pull different ways", "attention"),
    "strong prior / weak likelihood": ("the prior says more than the data", "attention"),
}


def sensitivity_tables(record: ReportRecord, model: str) -> tuple[Table, ...]:
    """The sensitivity of every parameter of a model, one table; none where it was not computed."""
    rows = _rows(record, model)
    if not rows:
        return ()
    table = Table(
        caption=f"Does the prior matter? Sensitivity of `{model}` to its priors and to its data",
        head=("Parameter", "To the priors", "To the data", "In plain words"),
        rows=tuple(_row(record, row) for row in rows),
        align="lrrl",
        note=(
            "How far the posterior would move if all priors, or the data, were made somewhat weaker or "
            f"stronger. Below {LIMIT} the effect is negligible. Prior above and data below: the result is "
            "mostly the prior. Both above: the result depends on how strong the prior is."
        ),
    )
    return (table,)


def sensitivity_sentence(record: ReportRecord) -> str:
    """What the table of the main model shows, for the lead of the section; "" where there is none."""
    rows = _rows(record, record.main_model)
    flagged = [row for row in rows if row["diagnosis"] != "none"]
    if not rows:
        return ""
    if not flagged:
        return (
            f" Making the priors of `{record.main_model}` somewhat weaker or stronger would change "
            "none of its results noticeably."
        )
    names = [quantity(record.study, row["component"], row["group"], row["term"]).text for row in flagged]
    return f" The choice of priors matters for {several(names, 4)} of `{record.main_model}`: see below."


def _rows(record: ReportRecord, model: str) -> list[Mapping[str, Any]]:
    return list(record.records.get((model, "pymc"), {}).get("sensitivity") or ())


def _row(record: ReportRecord, row: Mapping[str, Any]) -> tuple[Cell, ...]:
    text, tone = READINGS.get(row["diagnosis"], (str(row["diagnosis"]), "attention"))
    if row["prior"] is None or row["likelihood"] is None:
        text, tone = "cannot be computed: the draws do not move", "quiet"
    name = quantity(record.study, row["component"], row.get("group"), row["term"])
    return cells(name, fixed(row["prior"], 3), fixed(row["likelihood"], 3), Cell(text, tone))
