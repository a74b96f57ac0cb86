"""The question, the data, what was checked, and which rows every model used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nestwise.compare.reading import noun
from nestwise.names import plural, several
from nestwise.numbers import NOTHING, count, decimals_for, fixed, percent, say
from nestwise.report.blocks import (
    Block,
    Cell,
    Facts,
    Section,
    Table,
    Text,
    cells,
    figures,
)
from nestwise.report.record import ReportRecord

DATA_FIGURES = ("proportions", "spaghetti", "outcome_by_group", "missingness", "raw")
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
    return count(int(value)) if float(value).is_integer() else say(value, 4)


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
