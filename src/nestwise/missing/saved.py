"""The description of missing values as files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from nestwise.config.missing import Missing
from nestwise.config.study import Model
from nestwise.data.dataset import Dataset
from nestwise.formula.record import parse
from nestwise.formula.syntax import names_in
from nestwise.missing.plan import Plan, plan_of
from nestwise.missing.record import Description
from nestwise.storage import read_json, whole_folder, write_json

TABLES = ("variables", "patterns", "dropout", "cohorts", "leaving", "map", "anova")


def describe_saved(
    dataset: Dataset,
    outcome: str,
    folder: str | os.PathLike[str],
    plan: Plan = Plan(),  # noqa: B008 - frozen
    *,
    covariates: Sequence[str] = (),
    level: float = 0.95,
) -> Description:
    """Describe the missing values of an outcome and write the answer, all or nothing.

    Parameters
    ----------
    dataset, outcome, plan, covariates, level
        See `describe_missing`.
    folder : path-like
        Gets `TABLES` as Parquet files and `description.json` with the record and the sentences.

    Returns
    -------
    Description
        What was written.
    """
    from nestwise.missing.description import describe_missing  # compiled code: slow to import

    found = describe_missing(dataset, outcome, plan, covariates, level)
    with whole_folder(folder) as partial:
        for name in TABLES:
            found.tables[name].write_parquet(partial / f"{name}.parquet")
        content = found.record | {"outcome": found.outcome, "sentences": list(found.sentences)}
        write_json(partial / "description.json", content)
    return found


def describe_study(
    dataset: Dataset, section: Mapping[str, Any], folder: str | os.PathLike[str]
) -> Description:
    """Describe what is missing of the outcome of a study's main model, and write the answer.

    Parameters
    ----------
    dataset : Dataset
        Prepared data.
    section : mapping
        From `config.sections.missing_section`.
    folder : path-like
        See `describe_saved`.
    """
    model, missing = Model.model_validate(section["model"]), Missing.model_validate(section["missing"])
    return describe_model_saved(dataset, model, folder, plan_of(missing), level=section["level"])


def describe_model_saved(
    dataset: Dataset,
    model: Model,
    folder: str | os.PathLike[str],
    plan: Plan = Plan(),  # noqa: B008 - frozen
    *,
    level: float = 0.95,
) -> Description:
    """Describe the missing values of the outcome of a model, its covariates as predictors of leaving.

    Parameters
    ----------
    dataset, folder, plan, level
        See `describe_saved`.
    model : Model
        Its outcome (the first column of a transformed one) and the variables of its fixed part, times and
        grouping factors left out.
    """
    formula = parse(model.formula)
    outcome = formula.outcome.columns
    terms = {name for term in formula.fixed for factor in term for name in names_in(factor)}
    apart = {*outcome, *dataset.within, dataset.time, plan.visit, plan.arm}
    covariates = [name for name in formula.variables if name in terms - apart]
    return describe_saved(dataset, outcome[0], folder, plan, covariates=covariates, level=level)


def load_description(folder: str | os.PathLike[str]) -> Description:
    """Read what `describe_saved` wrote."""
    content = read_json(Path(folder) / "description.json")
    tables = {name: pl.read_parquet(Path(folder) / f"{name}.parquet") for name in TABLES}
    sentences = tuple(content.pop("sentences"))
    return replace(Description(content["outcome"], tables), record=content, sentences=sentences)


def saved_description(folder: str | os.PathLike[str]) -> Description | None:
    """What `describe_saved` wrote, if it did."""
    return load_description(folder) if Path(folder).is_dir() else None
