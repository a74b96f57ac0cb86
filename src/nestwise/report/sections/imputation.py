"""How the gaps of a model were imputed: by variable, how many times, and tests of the pooled answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nestwise.names import plural
from nestwise.numbers import NOTHING, count, fixed, p_value, percent, say
from nestwise.report.blocks import Block, Cell, Heading, Note, Table, Text, cells, figures
from nestwise.report.record import ReportRecord

Row = Mapping[str, Any]

METHODS: Mapping[str, str] = {
    "normal": "normal mixed model",
    "heterogeneous": "normal mixed model, a residual variance a group",
    "matching": "predictive mean matching",
    "binary": "latent normal, two categories",
    "ordinal": "latent normal, ordered categories",
    "nominal": "latent normal, categories",
    "count": "latent normal, counts",
    "substantive": "together with the analysis model",
    "joint": "joint model of all variables",
    "known": "taken from another row of the group",
}
"""What each method of imputation is called in a table."""
MOST_ROWS = 40


def imputation_blocks(record: ReportRecord, model: str) -> list[Block]:
    """Tables and figures of the imputations of one model; empty where none were made.

    Parameters
    ----------
    record : ReportRecord
        The study.
    model : str
        One of its models.
    """
    fits = {engine: told for (name, engine), told in record.imputed.items() if name == model}
    pictures = figures(record.pictures_of("imputation_traces", "imputed_values", model=model))
    if not fits:
        return list(pictures)
    told = next(iter(fits.values()))["imputation"]
    blocks: list[Block] = [Heading("How the gaps were imputed"), Text(_number(told, fits))]
    if told["variables"]:
        blocks.append(_variables(told["variables"]))
    apart = [row["variable"] for row in told["variables"] if row["mixed"] is False]
    if apart:
        named = ", ".join(f"`{name}`" for name in apart)
        blocks.append(
            Note(f"The chains disagree about {named}: do not trust these imputations.", "attention")
        )
    blocks += pictures
    return blocks + [_tests(rows, engine) for engine, each in fits.items() if (rows := _d1(each))]


def _number(told: Row, fits: Mapping[str, Row]) -> str:
    """How many imputations there are, how much is missing, and how far other draws would move the answer."""
    m = told["imputations"]
    said = [f"{count(m)} {plural('imputation')} were drawn" + _lost(told["failed"], m) + "."]
    for engine, fit in fits.items():
        rows = [row for row in fit.get("pooling", {}).get("terms", []) if row["component"] == "fixed"]
        if not rows:
            continue
        shares = [row["fmi"] for row in rows]
        worst = max(rows, key=lambda row: row["monte_carlo_error"])
        error, term = say(worst["monte_carlo_error"]), worst["term"]
        said.append(
            f"By `{engine}`, the missing data account for {percent(min(shares))} to {percent(max(shares))} "
            "of the uncertainty of the coefficients (FMI). Other draws would move them by a Monte Carlo "
            f"error of at most {error} (`{term}`)."
        )
        needed = max(row["imputations_needed"] for row in rows)
        said.append(
            f"That is enough: {count(needed)} would do for standard errors that other draws change by less "
            "than 5%."
            if needed <= m
            else f"Standard errors need {count(needed)} imputations to be steady to 5%: raise "
            "`missing.imputations`."
        )
    return " ".join(said)


def _lost(failed: Sequence[Row], m: int) -> str:
    if not failed:
        return ""
    return f"; {count(len(failed))} of {count(m + len(failed))} could not be: {failed[0]['reason']}"


def _variables(rows: Sequence[Row]) -> Table:
    left = len(rows) - MOST_ROWS
    return Table(
        "How each incomplete variable was imputed",
        ("Variable", "Method", "Varies by", "Rows without it", "Values drawn", "R-hat of means", "of SDs"),
        tuple(
            cells(
                f"`{row['variable']}`",
                METHODS.get(row["method"], row["method"]),
                row["level"] or "row",
                count(row["gaps"]),
                count(row["drawn"]),
                _r_hat(row, "r_hat_mean"),
                _r_hat(row, "r_hat_sd"),
            )
            for row in rows[:MOST_ROWS]
        ),
        "lllrrrr",
        "R-hat compares chains with each other; near 1 they agree, above 1.1 they have not settled."
        + (f" {count(left)} more variables stand in the record of the fit." if left > 0 else ""),
    )


def _r_hat(row: Row, name: str) -> Cell:
    value = row[name]
    if value is None:
        return Cell(NOTHING, "quiet")
    return Cell(fixed(value, 2), "attention" if row["mixed"] is False and value > 1.1 else "")


def _d1(fit: Row) -> list[Row]:
    return [row for row in fit.get("tests", []) if "D1" in (row["reference"] or "")]


def _tests(rows: Sequence[Row], engine: str) -> Table:
    return Table(
        f"All columns of a term at once, over the imputations, by `{engine}`",
        ("Term", "F", "Numerator df", "Denominator df", "p"),
        tuple(
            cells(
                f"`{row['term']}`",
                say(row["statistic"]),
                say(row["df_num"]),
                say(row["df_den"]) if row["df_den"] is not None else NOTHING,
                p_value(row["p_value"]),
            )
            for row in rows[:MOST_ROWS]
        ),
        "lrrrr",
        "D1 of Li, Raghunathan and Rubin.",
    )
