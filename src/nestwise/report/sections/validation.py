"""What was checked in the data, and which rows every model used."""

from __future__ import annotations

from typing import Any

from nestwise.compare.reading import noun
from nestwise.names import plural, several
from nestwise.numbers import NOTHING, count
from nestwise.report.blocks import Block, Bullets, Cell, Fold, Heading, Section, Table, cells
from nestwise.report.record import ReportRecord


def validation_section(record: ReportRecord) -> Section:
    """Report every check of the data, and the rows that failed one."""
    checks = list(record.validation.get("checks") or ())
    failed = [check for check in checks if not check.get("passed")]
    passed = [check for check in checks if check.get("passed")]
    blocks: list[Block] = []
    if failed:
        blocks.append(_checks("Checks that found something", failed))
    if passed:
        blocks.append(
            Fold(f"All {count(len(passed))} checks that passed", (_checks("Checks that passed", passed),))
        )
    if record.n_failures:
        blocks.append(_failures(record))
    notes = tuple(str(note) for note in record.validation.get("notes") or ())
    if notes:
        blocks += [Heading("What was inferred in reading"), Bullets(notes)]
    return Section("validation", "What was checked", _validation_lead(checks, failed), tuple(blocks))


def _validation_lead(checks: list[Any], failed: list[Any]) -> str:
    if not checks:
        return "There is no record of the data's validation."
    if not failed:
        return f"The data passed all {count(len(checks))} checks of types, values, times and structure."
    levels = [str(check.get("level")) for check in failed]
    parts = [
        f"{count(levels.count(level))} {word}{'' if levels.count(level) == 1 else 's'}"
        for level, word in (("error", "error"), ("warning", "warning"), ("info", "remark"))
        if level in levels
    ]
    return (
        f"{count(len(checks) - len(failed))} of {count(len(checks))} checks of types, values, times and "
        f"structure "
        f"passed; the others gave {several(parts)}."
    )


def _checks(caption: str, checks: list[Any]) -> Table:
    tones = {"error": ("error", "bad"), "warning": ("attention", "attention"), "info": ("note", "quiet")}
    rows = []
    for check in checks:
        verdict = (
            Cell("passed", "good")
            if check.get("passed")
            else Cell(*tones.get(str(check.get("level")), ("", "")))
        )
        columns = [str(column) for column in check.get("columns") or ()]
        rows.append(
            cells(
                Cell(
                    str(check.get("name", "")).replace("_", " ").replace(".", ": "), "", several(columns, 5)
                ),
                verdict,
                str(check.get("sentence") or ""),
            )
        )
    return Table(caption, ("Check", "Verdict", "In plain words"), tuple(rows), "lll")


def _failures(record: ReportRecord) -> Table:
    rows = [
        cells(
            count(row.get("row")),
            str(row.get("column") or ""),
            NOTHING if row.get("value") is None else str(row["value"])[:80],
            str(row.get("message") or row.get("check") or ""),
        )
        for row in record.failures.to_dicts()
    ]
    shown = len(rows)
    note = f"All rows are in {record.folder}/data/failures.parquet."
    if record.n_failures > shown:
        note = f"The first {count(shown)} of {count(record.n_failures)}. {note}"
    return Table(
        "Rows that failed a check",
        ("Row", "Column", "Value", "Why"),
        tuple(rows),
        "rlll",
        f"Row 1 is the first below the header. {note}",
    )


def _of(record: ReportRecord, model: str, groups: int) -> str:
    """Of how many groups, and of which kind where a model has several."""
    if record.n_factors(model) < 2:
        return f"of {count(groups)}"
    return f"of {count(groups)} {plural(noun(record.study, record.shapes[model].random[0].group))}"


def rows_section(record: ReportRecord) -> Section | None:
    """Account for the rows: which every model used, and why others were left out."""
    rows, lost = [], 0
    for model, design in record.designs.items():
        flow = design.get("row_flow")
        if not flow:
            continue
        lost = max(lost, flow["n_source"] - flow["n_used"])
        reasons = [
            f"{_number(reason['rows'], 'row')}: {reason['reason']}"
            + (f" ({_number(reason['groups'], 'group')} lost)" if reason.get("groups") else "")
            for reason in flow.get("excluded") or ()
        ]
        rows.append(
            cells(
                model,
                Cell(count(flow["n_used"]), "", f"of {count(flow['n_source'])}"),
                Cell(count(flow["groups_used"]), "", _of(record, model, flow["groups_source"])),
                "; ".join(reasons) or "none left out",
            )
        )
    if not rows:
        return None
    sets = {design["analysis_hash"] for design in record.designs.values() if design.get("analysis_hash")}
    same = (
        "all models used the same rows"
        if len(sets) == 1 or not lost  # the hashes tell outcomes apart as well
        else f"the models used {count(len(sets))} different sets of rows"
    )
    lead = (
        f"No row was left out of any model; {same}."
        if not lost
        else f"Up to {count(lost)} rows were left out of a model, for the reasons given; {same}."
    )
    table = Table(
        "Which rows and groups every model used",
        ("Model", "Rows used", "Groups used", "Left out, and why"),
        tuple(rows),
        "lrrl",
    )
    return Section("rows", "Where the rows went", lead, (table,))


def _number(many: int, noun: str) -> str:
    return f"{count(many)} {noun}" if many == 1 else f"{count(many)} {noun}s"
