"""The main result of a longitudinal trial: the difference between the arms at the last visit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from nestwise.compare.context import equals
from nestwise.names import several
from nestwise.numbers import fixed, interval, with_error
from nestwise.report.record import ReportRecord

MOST_PAIRS = 3
MOST_VISITS = 6
DF_METHODS = ("Kenward-Roger, linear", "Kenward-Roger", "between-within", "normal")


def df_method(method: str) -> str:
    """The degrees of freedom that the method of a fit names; Satterthwaite's where it names none.

    Parameters
    ----------
    method : str
        As in the table of fits: `REML (Kenward-Roger)`.
    """
    return next((name for name in DF_METHODS if f"({name})" in method), "Satterthwaite")


def minus(pair: str) -> str:
    """A difference with a minus sign: `active − placebo`."""
    return pair.replace(" - ", " − ")


def visit_contrasts(record: ReportRecord, model: str) -> pl.DataFrame:
    """Differences between arms of a model at each visit, in the order of the visits; empty without any.

    Parameters
    ----------
    record : ReportRecord
        The study.
    model : str
        One of its models.

    Returns
    -------
    polars.DataFrame
        Rows of one engine and one grid in the `MEANS` schema: the first grid that the time leads.
    """
    residual = record.designs.get(model, {}).get("residual") or {}
    times = {str(residual.get("time") or "")} | ({record.study.time.column} if record.study.time else set())
    rows = record.means.filter(
        (pl.col("model") == model)
        & (pl.col("kind") == "contrast")
        & (pl.col("x").fill_null("") != "")
        & pl.col("estimate").is_not_null()
    )
    rows = rows.filter(pl.col("grid").str.split(", ").list.first().is_in(sorted(times - {""})))
    if rows.is_empty() or rows["x"].n_unique() < 2:
        return rows.clear()
    first = rows.row(0, named=True)
    return rows.filter((pl.col("grid") == first["grid"]) & (pl.col("engine") == first["engine"]))


def read_trial(record: ReportRecord, model: str) -> tuple[str, ...]:
    """Say how far the arms lie apart at the last visit, and at the visits before it.

    Parameters
    ----------
    record : ReportRecord
        The study.
    model : str
        One of its models.

    Returns
    -------
    tuple of str
        Two sentences; none for a model without differences at several visits.
    """
    rows = visit_contrasts(record, model)
    if rows.is_empty():
        return ()
    time = str(rows["grid"][0]).split(", ", maxsplit=1)[0]
    visits = rows["x"].unique(maintain_order=True).to_list()
    last = rows.filter(pl.col("x") == visits[-1]).to_dicts()
    method = record.fits.filter((pl.col("model") == model) & (pl.col("engine") == rows["engine"][0]))[
        "method"
    ]
    words = df_method(str(method[0] or "") if method.len() else "")
    outcome = record.shapes[model].outcome if model in record.shapes else "the outcome"
    declared = record.study.variables.get(outcome)
    name = (declared.label if declared is not None else None) or outcome
    unit = f" {declared.unit}" if declared is not None and declared.unit else ""
    shown = [_difference(row, unit, words) for row in last[:MOST_PAIRS]]
    more = f" and {len(last) - MOST_PAIRS} more pairs" if len(last) > MOST_PAIRS else ""
    main = (
        f"At the last visit ({time} {visits[-1]}) the means of {name} differ by {several(shown)}{more}, in "
        f"`{model}`."
    )
    return main, *_earlier(rows, visits[:-1], time)


def _difference(row: Mapping[str, Any], unit: str, words: str) -> str:
    value, error = with_error(row["estimate"], row["std_error"])
    level = f"{row['level']:.0%} " if row["level"] is not None else ""
    df = f"{fixed(row['df'], 1)} df by {words}" if row["df"] is not None else "normal distribution"
    p = f", p\u00a0{equals(row['p_value'])}" if row["p_value"] is not None else ""
    return (
        f"{value}{unit} ({minus(row['by'])}; {level}interval "
        f"{interval(row['lower'], row['upper'], row['std_error'])}, SE {error}, {df}{p})"
    )


def _earlier(rows: pl.DataFrame, visits: list[str], time: str) -> tuple[str, ...]:
    """The first pair of arms at the earlier visits; the table holds the others."""
    pair = rows["by"][0]
    own = rows.filter((pl.col("by") == pair) & pl.col("x").is_in(visits)).to_dicts()
    if not own:
        return ()
    said = [
        f"{with_error(row['estimate'], row['std_error'])[0]} ({time} {row['x']}: "
        f"{interval(row['lower'], row['upper'], row['std_error'])})"
        for row in own
    ]
    away = sum(row["lower"] > 0 or row["upper"] < 0 for row in own if row["lower"] is not None)
    verdict = "no interval excludes zero" if not away else f"{away} of {len(own)} intervals exclude zero"
    which = f" of {minus(pair)}" if rows["by"].n_unique() > 1 else ""
    return (f"Before that, the difference{which} is {several(said, MOST_VISITS)}; {verdict}.",)
