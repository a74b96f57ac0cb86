"""The question, the data, what was checked, and which rows every model used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nestwise.compare.numbers import NOTHING, count, decimals_for, fixed, percent, plain, plural, several
from nestwise.compare.reading import noun
from nestwise.report.blocks import (
    Block,
    Bullets,
    Cell,
    Facts,
    Fold,
    Heading,
    Section,
    Table,
    Text,
    cells,
    figures,
)
from nestwise.report.record import ReportRecord

DATA_FIGURES = ("spaghetti", "outcome_by_group", "missingness", "raw")
MOST_VARIABLES = 100
MOST_LEVELS = 6
BUNDLED = "dataset:"


def data_section(record: ReportRecord) -> Section:
    """State the question and describe the data."""
    validation, study = record.validation, record.study
    blocks: list[Block] = []
    blocks.append(Facts(tuple(_origin(record))))
    if study.report.notes:
        blocks.append(Text(study.report.notes))
    groups = validation.get("groups") or ()
    if groups:
        blocks.append(_groups(groups))
    variables = validation.get("variables") or ()
    if variables:
        blocks.append(_variables(variables))
    missing = validation.get("missingness") or ()
    if missing:
        blocks.append(_missingness(record, missing))
    blocks += figures(record.pictures_of(*DATA_FIGURES))
    return Section("data", "Question and data", _lead(record), tuple(blocks))


def _lead(record: ReportRecord) -> str:
    validation = record.validation
    sizes = [
        f"{count(group['n_groups'])} {plural(group.get('label') or noun(record.study, str(group['name'])))}"
        for group in validation.get("groups") or ()
        if group.get("n_groups") is not None
    ]
    text = f"The data hold {count(validation.get('n_rows'))} rows" + (
        f" in {several(sizes)}" if sizes else ""
    )
    time = validation.get("time") or {}
    if time.get("n_times"):
        unit = f" ({time['unit']})" if time.get("unit") else ""
        first, last = _plain(time.get("first")), _plain(time.get("last"))
        text += f", over {count(time['n_times'])} times from {first} to {last}{unit}"
    missing = [variable for variable in validation.get("variables") or () if variable.get("missing")]
    if missing:
        names = several([str(variable["name"]) for variable in missing], 4)
        return f"{text}. Values are missing in {names}."
    return f"{text}. No value is missing."


def _plain(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return NOTHING if value is None else str(value)
    return count(int(value)) if float(value).is_integer() else plain(value, 4)


def _other(label: Any, name: Any) -> str:
    """A label that says more than the name does."""
    return str(label) if label and str(label) != str(name) else ""


def _origin(record: ReportRecord) -> list[tuple[str, str]]:
    source = record.study.data.source
    if not source.startswith(BUNDLED):
        return [("Source", source)]
    from nestwise.data.bundled import bundled_datasets

    name = source.removeprefix(BUNDLED)
    for bundled in bundled_datasets():
        if bundled.name == name:
            return [
                ("Data set", f"{bundled.title} (`{source}`, comes with nestwise)"),
                ("Origin", bundled.origin),
                ("Published in", bundled.reference),
                ("Licence", bundled.licence),
            ]
    return [("Source", source)]


def _groups(groups: Any) -> Table:
    rows = [
        cells(
            Cell(str(group["name"]), "", _other(group.get("label"), group["name"])),
            count(group.get("n_groups")),
            f"{_plain(group.get('min'))} / {_plain(group.get('median'))} / {_plain(group.get('max'))}",
            count(group.get("singletons")),
            _structure(group),
        )
        for group in groups
    ]
    return Table(
        caption="Groups",
        head=(
            "Grouping factor",
            "Groups",
            "Rows a group: least / median / most",
            "With one row",
            "Structure",
        ),
        rows=tuple(rows),
        align="lrrrl",
    )


def _structure(group: Mapping[str, Any]) -> str:
    parts = []
    for key, words in (
        ("nested_in", "nested in"),
        ("crossed_with", "crossed with"),
        ("restarts_in", "ids restart in each"),
    ):
        value = group.get(key)
        names = [value] if isinstance(value, str) else list(value or ())
        if names:
            parts.append(f"{words} {several([str(name) for name in names])}")
    return "; ".join(parts) or NOTHING


def _variables(variables: Any) -> Table:
    rows = []
    for variable in variables[:MOST_VARIABLES]:
        unit = f" ({variable['unit']})" if variable.get("unit") else ""
        told = "declared" if variable.get("declared") else "inferred"
        missing = variable.get("missing") or 0
        share = percent(variable.get("missing_share")) if missing else ""
        rows.append(
            cells(
                Cell(f"{variable['name']}{unit}", "", _other(variable.get("label"), variable["name"])),
                Cell(str(variable.get("type") or NOTHING), "", told),
                Cell(_values(variable), "", _spread(variable)),
                Cell(count(missing), "attention" if missing else "", share),
            )
        )
    hidden = len(variables) - len(rows)
    return Table(
        caption="Variables",
        head=("Variable", "Type", "Values", "Missing"),
        rows=tuple(rows),
        align="lllr",
        note=f"{count(hidden)} more are in the data." if hidden > 0 else "",
    )


def _values(variable: Mapping[str, Any]) -> str:
    levels = variable.get("levels")
    if isinstance(levels, Mapping) and levels:
        shown = [f"{label} ({count(times)})" for label, times in list(levels.items())[:MOST_LEVELS]]
        total = variable.get("n_levels") or len(levels)
        more = f" and {count(total - len(shown))} more" if total > len(shown) else ""
        return ", ".join(shown) + more
    if variable.get("min") is not None:
        return f"{_plain(variable['min'])} to {_plain(variable.get('max'))}"
    if variable.get("n_levels"):
        return f"{count(variable['n_levels'])} different"
    return NOTHING


def _spread(variable: Mapping[str, Any]) -> str:
    parts = []
    mean, sd = variable.get("mean"), variable.get("sd")
    if mean is not None and sd:
        decimals = decimals_for(sd, 3)
        parts.append(f"mean {fixed(mean, decimals)}, SD {fixed(sd, decimals)}")
    elif mean is not None:
        parts.append(f"mean {_plain(mean)}")
    varies = variable.get("varies_at")
    if isinstance(varies, str) and varies not in ("row", str(variable.get("name"))):
        parts.append(f"constant within {varies}")
    return ", ".join(parts)


def _missingness(record: ReportRecord, missing: Any) -> Table:
    rows = [
        cells(
            str(entry["variable"]),
            noun(record.study, str(entry["group"])),
            count(entry.get("groups_complete")),
            count(entry.get("groups_partly")),
            count(entry.get("groups_wholly")),
        )
        for entry in missing[:MOST_VARIABLES]
    ]
    return Table(
        caption="Missing values by group",
        head=("Variable", "Grouping factor", "Groups complete", "Partly missing", "Wholly missing"),
        rows=tuple(rows),
        align="llrrr",
    )


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


def rows_section(record: ReportRecord) -> Section | None:
    """Account for the rows: which every model used, and why others were left out."""
    rows, lost = [], 0
    for model, design in record.designs.items():
        flow = design.get("row_flow")
        if not flow:
            continue
        lost = max(lost, flow["n_source"] - flow["n_used"])
        reasons = [
            f"{count(reason['rows'])} rows: {reason['reason']}"
            + (f" ({count(reason['groups'])} groups lost)" if reason.get("groups") else "")
            for reason in flow.get("excluded") or ()
        ]
        rows.append(
            cells(
                model,
                Cell(count(flow["n_used"]), "", f"of {count(flow['n_source'])}"),
                Cell(count(flow["groups_used"]), "", f"of {count(flow['groups_source'])}"),
                "; ".join(reasons) or "none left out",
            )
        )
    if not rows:
        return None
    sets = {design["analysis_hash"] for design in record.designs.values() if design.get("analysis_hash")}
    same = (
        "all models used the same rows"
        if len(sets) == 1
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
