"""At which level each variable is missing, and which method can treat it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from nestwise.data.dataset import ROW, Dataset
from nestwise.data.derive import group_keys
from nestwise.missing_vocabulary import MISSING_VARIABLES
from nestwise.names import counted, plural
from nestwise.results import conform

ROWS = "row"
"""Level of a variable that varies inside every group."""
_MODELS: Mapping[str, str] = {
    "continuous": "a linear mixed model or predictive mean matching",
    "count": "a Poisson mixed model or predictive mean matching",
    "binary": "a logistic mixed model",
    "categorical": "a multinomial mixed model",
    "ordinal": "an ordered mixed model",
}


def missing_variables(dataset: Dataset, outcome: str | None = None) -> pl.DataFrame:
    """Count the missing values of each variable, and say at which level they are missing.

    Parameters
    ----------
    dataset : Dataset
        Prepared data.
    outcome : str or None
        The outcome, which likelihood models treat without imputation.

    Returns
    -------
    DataFrame
        In the schema MISSING_VARIABLES, a row a variable. `level` is the outermost grouping factor inside
        whose groups the variable does not vary, else `row`; `n` counts rows or groups of that level,
        `missing` those of them without any value, `contradictions` the groups of the next level in which
        part of the rows has it.
    """
    frame = dataset.frame.collect().with_columns(pl.selectors.float().fill_nan(None))
    made = {derivation.as_ for derivation in dataset.derivations}
    names = [
        name
        for name in dataset.variables
        if name not in dataset.within and name not in made and name != ROW and name in frame.columns
    ]
    rows = [_row(dataset, frame, name, outcome) for name in names]
    return conform(pl.DataFrame(rows, schema=dict(MISSING_VARIABLES)), MISSING_VARIABLES)


def _outermost_first(dataset: Dataset) -> list[str]:
    return sorted(dataset.within, key=lambda factor: len(group_keys(factor, dataset.within)))


def level_of(dataset: Dataset, frame: pl.DataFrame, name: str) -> str:
    """The outermost factor inside whose groups a variable does not vary; `row` if it varies in all."""
    for factor in _outermost_first(dataset):
        keys = list(group_keys(factor, dataset.within))
        if name in keys:
            continue
        kinds = frame.group_by(keys).agg(
            pl.col(name).drop_nulls().n_unique().alias(".kinds"), pl.len().alias(".n")
        )
        several = bool((kinds[".n"] > 1).any())
        if several and not bool((kinds[".kinds"] > 1).any()):
            return factor
    return ROWS


def _row(dataset: Dataset, frame: pl.DataFrame, name: str, outcome: str | None) -> dict[str, Any]:
    level, kind = level_of(dataset, frame, name), dataset.variables[name].type
    missing_rows = frame[name].null_count()
    if level == ROWS:
        n, missing, partly = frame.height, missing_rows, 0
    else:
        groups = frame.group_by(group_keys(level, dataset.within)).agg(
            pl.col(name).is_null().all().alias("all"), pl.col(name).is_null().any().alias("any")
        )
        n, missing = groups.height, int(groups["all"].sum())
        partly = int((groups["any"] & ~groups["all"]).sum())
    return {
        "study": dataset.study,
        "variable": name,
        "type": kind,
        "level": level,
        "n": n,
        "missing": missing,
        "share": missing / n if n else None,
        "rows": frame.height,
        "missing_rows": missing_rows,
        "partly": partly,
        "method": _method(name, kind, level, counts=(n, missing, partly), outcome=outcome),
    }


def _method(name: str, kind: str, level: str, *, counts: Sequence[int], outcome: str | None) -> str:
    """The sentence that says what can be done."""
    n, missing, partly = counts
    simple = {
        f"{name} has no value at all: leave it out.": missing == n,
        f"{name} is complete.": not missing and not partly,
        f"{name} is a date, which no method here imputes: derive a number from it, or leave it out.": kind
        == "date",
    }
    for sentence, holds in simple.items():
        if holds:
            return sentence
    said = ""
    if partly:
        who = counted(partly, level)
        said = (
            f"{who} {'has' if partly == 1 else 'have'} it in part of the rows, from which it can be filled. "
        )
    if not missing:
        return said.strip()
    model = _MODELS.get(kind, _MODELS["continuous"])
    if level != ROWS:
        plain = model.replace("mixed ", "").replace("linear model", "linear regression")
        return f"{said}Imputed once a {level} by {plain} among the {plural(level)} (mi)."
    if name == outcome:
        return (
            f"Likelihood models use all observed rows as they are (observed); estimating equations need wgee "
            f"or mi, by {model} with the group's effects."
        )
    return f"{said}Imputed row by row by {model} with the group's effects (mi)."
