"""The same question under every strategy for missing data: one table, and whether the conclusion moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from nestwise.config.missing import TREATMENTS
from nestwise.names import several
from nestwise.results import conform
from nestwise.vocabulary import INTERCEPT, SENSITIVITY

Row = dict[str, Any]

ASSUMES: Mapping[str, str] = {
    "observed": "missing at random: leaving depends on what was observed, not on what was lost",
    "complete_case": "missing completely at random: those who stayed are like those who left",
    "locf": "nobody changes after the last visit, which is rarely true",
    "mi": "missing at random, given the variables of the imputation model",
    "wgee": "missing at random, and the model of staying is right",
    "bayes": "missing at random, with priors",
    "delta": "those who left do worse, or better, by a stated shift than missing at random says",
    "j2r": "who leaves the active arm is from then on like the reference arm",
    "cir": "who leaves keeps the gain so far and then changes as the reference arm does",
    "cr": "who leaves was all along like the reference arm",
    "lmcf": "who leaves stays at the mean of the last visit",
}
"""What each strategy takes for granted, in words that finish `This assumes ...`."""
LABELS: Mapping[str, str] = {
    "observed": "all observed rows",
    "complete_case": "complete cases",
    "locf": "last value carried forward",
    "mi": "multiple imputation",
    "wgee": "weighted GEE",
    "bayes": "imputed inside the posterior",
    "delta": "imputed and shifted",
    "j2r": "jump to reference",
    "cir": "copy increments in reference",
    "cr": "copy reference",
    "lmcf": "last mean carried forward",
}
"""What each strategy is called on an axis and in a table."""
LOG_ODDS = "log_odds"
"""As `delta_scale`: shifted were the log-odds of higher categories, not numbers in the outcome's unit."""
UNWEIGHTED = "missing completely at random: unweighted estimating equations need no less"
"""What `observed` assumes where the engine is `gee`."""
USUALLY_WRONG = ("complete_case", "locf")
"""Comparators: shown because they are common, not because they are right."""

_KINDS = {"fixed": "coefficient", "sd": "sd"}
_SHARED = ("estimate", "std_error", "df", "p_value", "lower", "upper", "level")


def sensitivity(
    estimates: pl.DataFrame,
    means: pl.DataFrame,
    fits: pl.DataFrame,
    records: Mapping[tuple[str, ...], Mapping[str, Any]],
) -> pl.DataFrame:
    """Set every estimand of every model and engine under all strategies side by side.

    Parameters
    ----------
    estimates, means, fits : DataFrame
        The stacked tables of a study, all strategies.
    records : mapping of (model, engine, strategy, method) to mapping
        JSON records of the fits: `delta` is the shift of a fit and `delta_scale` its scale, `pooling` what
        Rubin's rules say of its rows.

    Returns
    -------
    DataFrame
        In the schema SENSITIVITY; empty where `observed` is the only strategy. A strategy that could not be
        carried out is one row with its reason and no estimate.
    """
    treated = fits.filter(pl.col("strategy") != "observed")
    if treated.is_empty():
        return conform(pl.DataFrame(schema=dict(SENSITIVITY)), SENSITIVITY)
    rows: list[Row] = []
    for model in fits["model"].unique(maintain_order=True):
        engines = treated.filter(pl.col("model") == model)["engine"].unique(maintain_order=True)
        for engine in engines:
            own = fits.filter((pl.col("model") == model) & (pl.col("engine") == engine))
            found = [row for fit in _in_order(own) for row in _rows_of(fit, estimates, means, records)]
            rows += _judged(found)
    return conform(pl.DataFrame(rows, schema=dict(SENSITIVITY)), SENSITIVITY)


def _in_order(fits: pl.DataFrame) -> list[Row]:
    places = {name: place for place, name in enumerate(("observed", *TREATMENTS))}
    return sorted(fits.to_dicts(), key=lambda fit: places[fit["strategy"]])


def _rows_of(
    fit: Mapping[str, Any],
    estimates: pl.DataFrame,
    means: pl.DataFrame,
    records: Mapping[tuple[str, ...], Mapping[str, Any]],
) -> list[Row]:
    """Every estimand of one fit; one row without an estimate where it has none."""
    key = ("model", "engine", "strategy", "method")
    record = records.get((fit["model"], fit["engine"], fit["strategy"], fit["method"]), {})
    fmi = _missing_information(record)
    shared = {name: fit[name] for name in ("study", *key, "n_obs", "n_groups", "status")} | {
        "delta": record.get("delta"),
        "delta_scale": record.get("delta_scale"),
        "assumes": assumption(fit["strategy"], fit["engine"]),
        "reason": fit["reason"],
    }
    mine = pl.all_horizontal(pl.col(name).eq_missing(pl.lit(fit[name])) for name in key)
    rows = [
        shared
        | {name: row[name] for name in (*_SHARED, "target", "group", "term", "scale")}
        | {"kind": _kind(row), "fmi": fmi.get((row["component"], row["group"], row["term"]))}
        for row in estimates.filter(mine).to_dicts()
        if _kind(row) is not None and row["estimate"] is not None
    ]
    rows += [
        shared
        | {name: row[name] for name in (*_SHARED, "term")}
        | {"kind": "contrast", "group": row["grid"], "target": "conditional", "scale": "response"}
        | {"fmi": fmi.get(("contrast", row["grid"], row["term"]))}
        for row in means.filter(mine & (pl.col("kind") == "contrast")).to_dicts()
        if row["estimate"] is not None
    ]
    return rows or [shared]


def _missing_information(record: Mapping[str, Any]) -> dict[tuple[str, str | None, str], float]:
    """Fraction of missing information by component, group and term."""
    terms = (record.get("pooling") or {}).get("terms") or []
    return {(term["component"], term["group"], term["term"]): term["fmi"] for term in terms}


def _kind(row: Mapping[str, Any]) -> str | None:
    if row["component"] == "derived":
        return "icc" if row["term"] == "icc" else None
    return _KINDS.get(row["component"])


def assumption(strategy: str, engine: str) -> str:
    """What a strategy assumes when it goes with an engine."""
    return UNWEIGHTED if (strategy, engine) == ("observed", "gee") else ASSUMES[strategy]


def label(row: Mapping[str, Any]) -> str:
    """What one row of SENSITIVITY is called: its strategy, and by how much was shifted."""
    text = LABELS[row["strategy"]]
    if row["delta"] is None:
        return text
    amount = f"{row['delta']:g}".replace("-", "−")
    return f"{text} by {amount}" + (" in log-odds" if row["delta_scale"] == LOG_ODDS else "")


def _judged(rows: Sequence[Row]) -> list[Row]:
    """The rows of one model and engine with a verdict, each against `observed`."""
    key = ("kind", "group", "term")
    reference = {
        tuple(row.get(name) for name in key): row
        for row in rows
        if row["strategy"] == "observed" and row.get("estimate") is not None
    }
    return [
        row | {"verdict": _verdict(row, reference.get(tuple(row.get(name) for name in key)))} for row in rows
    ]


def _verdict(row: Mapping[str, Any], reference: Mapping[str, Any] | None) -> str:
    if row["strategy"] == "observed":
        return "reference"
    if reference is None or row.get("estimate") is None or row["kind"] in ("sd", "icc"):
        return "not_compared"
    return "holds" if _side(row) == _side(reference) else "moves"


def _side(row: Mapping[str, Any]) -> int | None:
    """The side of zero that the interval keeps to; 0 where it holds zero, None without one."""
    if row["lower"] is None or row["upper"] is None:
        return None
    return int(row["lower"] > 0) - int(row["upper"] < 0)


def telling(table: pl.DataFrame, arm: str | None) -> tuple[str, str | None, str] | None:
    """The estimand a reader asks for first: (kind, group, term).

    The last contrast of a grid that holds the arm (the difference at the last visit); else the last
    coefficient that names the arm; else the last coefficient.

    Parameters
    ----------
    table : DataFrame
        SENSITIVITY of one model.
    arm : str or None
        Column of the arm.
    """
    contrasts = table.filter(pl.col("kind") == "contrast")
    if arm is not None:
        contrasts = contrasts.filter(pl.col("group").str.contains(arm, literal=True))
    coefficients = table.filter((pl.col("kind") == "coefficient") & (pl.col("term") != INTERCEPT))
    if arm is not None:
        named = coefficients.filter(pl.col("term").str.contains(arm, literal=True))
        coefficients = coefficients if named.is_empty() else named
    for rows in (contrasts, coefficients):
        if rows.height:
            row = rows.row(-1, named=True)
            return str(row["kind"]), row["group"], str(row["term"])
    return None


def estimand(table: pl.DataFrame, key: tuple[str, str | None, str]) -> pl.DataFrame:
    """The rows of a SENSITIVITY table that answer for one (kind, group, term)."""
    kind, group, term = key
    return table.filter(
        (pl.col("kind") == kind)
        & pl.col("group").eq_missing(pl.lit(group, dtype=pl.String))
        & (pl.col("term") == term)
    )


def conclusion(rows: pl.DataFrame) -> str:
    """One sentence: whether the conclusion moves, and where.

    Parameters
    ----------
    rows : DataFrame
        SENSITIVITY of one model, engine and estimand.
    """
    judged = rows.filter(pl.col("verdict").is_in(["holds", "moves"]))
    if judged.is_empty():
        return "There is no second answer to compare with."
    moved = judged.filter(pl.col("verdict") == "moves")
    right = moved.filter(~pl.col("strategy").is_in(USUALLY_WRONG))
    names = several([f"`{name}`" for name in moved["strategy"].unique(maintain_order=True)])
    if moved.is_empty():
        return f"The conclusion is the same under all {judged['strategy'].n_unique() + 1} strategies."
    if right.is_empty():
        return f"The conclusion moves only under {names}, which are shown as comparators and usually wrong."
    return f"The conclusion depends on what is assumed of the missing data: it moves under {names}."
