"""Estimating equations: the working correlation, criteria, every covariance, clusters that decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from nestwise.names import counted, plural
from nestwise.numbers import NOTHING, count, decimals_for, fixed, say
from nestwise.report.blocks import Block, Cell, Fold, Section, Table, cells, main_first
from nestwise.report.estimation import COVARIANCES, WORKING, answered
from nestwise.report.record import ReportRecord
from nestwise.report.targets import Row, group_noun
from nestwise.report.words import residual_name

CRITERIA: Mapping[str, str] = {
    "qic": "QIC: predictors and working correlations",
    "qicu": "QICu: predictors",
    "cic": "CIC: working correlations",
}
MOST_PAIRS = 60
NEGLIGIBLE = 1e-10


def marginal_section(record: ReportRecord) -> Section | None:
    """What estimating equations estimate beside the coefficients."""
    fits = answered(record, "gee")
    parts = {str(fit["model"]): _one_model(record, fit) for fit in fits}
    if not any(parts.values()):
        return None
    return Section(
        "marginal", "Inside the estimating equations", _lead(record, fits), main_first(record, parts)
    )


def _lead(record: ReportRecord, fits: Sequence[Row]) -> str:
    fit = next((fit for fit in fits if fit["model"] == record.main_model), fits[-1])
    own = _saved(record, str(fit["model"]))
    working, one = own.get("working_correlation") or {}, group_noun(record, str(fit["model"]), "gee")
    structure = str(working.get("structure", ""))
    words = WORKING.get(structure, structure).format(one=one)
    values = list((working.get("parameters") or {}).values())
    told = ""
    if len(values) == 1:
        told = f", estimated as {fixed(values[0], 2)}"
    elif values:
        told = f", estimated from {fixed(min(values), 2)} to {fixed(max(values), 2)}"
    return (
        f"The working correlation of `{fit['model']}` has {words}{told}. It decides how rows are weighed; "
        f"the robust standard errors hold where it is wrong, as long as there are enough {plural(one)}."
    )


def _saved(record: ReportRecord, model: str) -> Mapping[str, Any]:
    return record.records.get((model, "gee")) or {}


def _one_model(record: ReportRecord, fit: Row) -> list[Block]:
    model = str(fit["model"])
    own = _saved(record, model)
    blocks: list[Block] = [_parameters(record, model, own)]
    errors = (own.get("variance") or {}).get("standard_errors") or {}
    if errors and own.get("terms"):
        blocks.append(_errors(model, own, errors))
    if own.get("dfbeta") and own.get("terms"):
        blocks.append(
            Fold("What leaving out one of these would do to each coefficient", (_dfbeta(record, model, own),))
        )
    return blocks


def _parameters(record: ReportRecord, model: str, own: Mapping[str, Any]) -> Table:
    """Dispersion, correlations with the pairs they rest on, and the criteria."""
    rows = record.of_model(record.estimates, model).filter(pl.col("engine") == "gee").to_dicts()
    working = own.get("working_correlation") or {}
    pairs = working.get("pairs") or {}
    body = []
    correlations = 0
    for row in rows:
        if row["component"] != "residual" or row["estimate"] is None:
            continue
        correlations += row["term"] != "phi"
        if correlations > MOST_PAIRS:
            continue
        many = pairs.get(row["term"])
        rest = f"{count(int(many))} pairs of rows" if many is not None else f"{count(row['n_obs'])} rows"
        body.append(cells(residual_name(record.study, row["term"]), fixed(row["estimate"], 3), rest))
    criteria = {row["term"]: row["estimate"] for row in rows if row["component"] == "derived"}
    for term, name in CRITERIA.items():
        if criteria.get(term) is not None:
            body.append(cells(name, say(criteria[term], 5), ""))
    clusters = own.get("clusters") or {}
    one = group_noun(record, model, "gee")
    note = "Smaller QIC, QICu and CIC are better; they mean something between fits to the same rows only."
    if clusters:
        note = (
            f"{counted(int(clusters['n']), one)} with {count(clusters['smallest'])} to "
            f"{count(clusters['largest'])} rows each. {note}"
        )
    if correlations > MOST_PAIRS:
        note += f" The first {MOST_PAIRS} of {count(correlations)} correlations."
    return Table(
        caption=f"Dispersion, working correlation and criteria of `{model}`",
        head=("Quantity", "Estimate", "Rests on"),
        rows=tuple(body),
        align="lrr",
        note=note,
    )


def _errors(model: str, own: Mapping[str, Any], errors: Mapping[str, Sequence[float]]) -> Table:
    """The standard error of each coefficient by every covariance, the one that is used marked."""
    used = str(own["variance"]["kind"])
    kinds = [kind for kind in COVARIANCES if kind in errors]
    rows = []
    for place, term in enumerate(own["terms"]):
        decimals = decimals_for(errors[used][place], 3) if errors[used][place] else 3
        rows.append(cells(str(term), *(_error(errors[kind][place], decimals) for kind in kinds)))
    largest = (
        max(
            (
                errors["LZ"][place] / errors["model"][place]
                for place in range(len(rows))
                if errors["model"][place]
            ),
            default=None,
        )
        if {"LZ", "model"} <= set(errors)
        else None
    )
    note = f"{used}, {COVARIANCES[used]}, is used everywhere else."
    if largest is not None:
        note += (
            f" Robust errors of LZ are up to {say(largest, 2)} times those of the model; far from 1, the "
            "working correlation or the variance is not the true one."
        )
    return Table(
        caption=f"Standard errors of `{model}` by every covariance",
        head=("Term", *(f"{kind} (used)" if kind == used else kind for kind in kinds)),
        rows=tuple(rows),
        align="l" + "r" * len(kinds),
        note=note,
    )


def _error(value: float | None, decimals: int) -> str:
    return NOTHING if not value else fixed(value, decimals)


def _dfbeta(record: ReportRecord, model: str, own: Mapping[str, Any]) -> Table:
    one = group_noun(record, model, "gee")
    used = str(own["variance"]["kind"])
    errors = ((own["variance"].get("standard_errors") or {}).get(used)) or [None] * len(own["terms"])
    rows = []
    for each in own["dfbeta"]:
        moved = [_moved(value, error) for value, error in zip(each["dfbeta"], errors, strict=True)]
        rows.append(cells(Cell(str(each["label"])), *moved))
    return Table(
        caption=f"Change of each coefficient of `{model}` without one {one}, in its standard errors",
        head=(one, *map(str, own["terms"])),
        rows=tuple(rows),
        align="l" + "r" * len(own["terms"]),
        note="By one step from the solution: the coefficient with all groups less the one without.",
    )


def _moved(value: float, error: float | None) -> str:
    if not error:
        return NOTHING
    share = value / error
    return "0" if abs(share) < NEGLIGIBLE else fixed(share, 2)
