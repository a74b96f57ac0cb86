"""What the figures of a study are drawn from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from nestwise.config.families import scale_name
from nestwise.config.study import Study
from nestwise.data.dataset import Dataset, worded
from nestwise.diagnose.rows import analysis_rows
from nestwise.figures.drawing import FloatArray, Wording
from nestwise.imputation.draws import Draws, load_draws
from nestwise.missing.record import Description
from nestwise.missing.saved import saved_description
from nestwise.results import TABLES, empty
from nestwise.storage import read_json
from nestwise.vocabulary import INFLUENCE, INTERCEPT, MEANS, PROFILES, RECONCILIATION, SENSITIVITY

MIXED = ("lmm", "glmm", "pymc", "mixedlm")
"""Engines whose partial pooling is drawn, the preferred first."""


@dataclass(frozen=True)
class FigureInputs:
    """A fitted study.

    Attributes
    ----------
    config : Study
        The study file.
    dataset : Dataset
        The prepared data.
    estimates, fits, groups, checks, means, influence, profiles : DataFrame
        The stacked tables of all fits.
    reconciliation : DataFrame
        Conditional beside marginal effects.
    sensitivity : DataFrame
        Every estimand under every strategy for missing data.
    description : Description or None
        What is missing of the outcome of the main model.
    fits_folder : Path
        Holds `<model>.<engine>/` with predictions, draws and record of each fit.
    designs : mapping of str to mapping
        `design.json` of each model that could be designed.
    seed : int
        Root seed, for the simulated ranks.
    """

    config: Study
    dataset: Dataset
    estimates: pl.DataFrame
    fits: pl.DataFrame
    groups: pl.DataFrame
    checks: pl.DataFrame
    fits_folder: Path
    designs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    seed: int = 0
    means: pl.DataFrame = field(default_factory=lambda: empty(MEANS))
    influence: pl.DataFrame = field(default_factory=lambda: empty(INFLUENCE))
    profiles: pl.DataFrame = field(default_factory=lambda: empty(PROFILES))
    reconciliation: pl.DataFrame = field(default_factory=lambda: empty(RECONCILIATION))
    sensitivity: pl.DataFrame = field(default_factory=lambda: empty(SENSITIVITY))
    description: Description | None = None

    @property
    def main_model(self) -> str:
        """The model the figures dwell on."""
        return self.config.report.main_model or list(self.config.models)[-1]

    @property
    def level(self) -> float:
        """Coverage of the intervals."""
        return self.config.compare.level

    def outcome_of(self, model: str) -> tuple[str, str]:
        """Family and link of a model; Gaussian where nothing is known."""
        design = self.designs.get(model, {})
        family = str(design.get("family") or "gaussian")
        return family, str(design.get("link") or "identity")

    def generalised(self, model: str) -> bool:
        """Whether the coefficients of a model are not on the scale of its outcome."""
        return self.outcome_of(model) != ("gaussian", "identity")

    def wording(self, outcome: str, model: str | None = None) -> Wording:
        """How the study calls things, coefficients of a model with a link on the scale of the link."""
        variables = dict(self.dataset.variables)
        time = self.config.time
        if time is not None and time.unit and time.column in variables:
            known = variables[time.column]
            if known.unit is None:
                variables[time.column] = replace(known, unit=time.unit)
        labels = {name: group.label for name, group in self.config.groups.items() if group.label}
        scale = scale_name(*self.outcome_of(model)) if model and self.generalised(model) else None
        return Wording(outcome, variables, labels, self.dataset.time, scale)

    def draws_of(self, model: str) -> Draws | None:
        """The imputations of a model; None where none were made."""
        path = self.fits_folder.parent / "imputations" / f"{model}.mi.npz"
        return load_draws(path) if path.is_file() else None

    def table(self, model: str, engine: str, name: str) -> pl.DataFrame:
        """`predictions` or `draws` of a fit; empty where there are none."""
        path = self.fits_folder / f"{model}.{engine}" / f"{name}.parquet"
        return pl.read_parquet(path) if path.is_file() else pl.DataFrame()

    def record(self, model: str, engine: str) -> dict[str, Any]:
        """The JSON record of a fit; empty where there is none."""
        path = self.fits_folder / f"{model}.{engine}" / "record.json"
        return dict(read_json(path)) if path.is_file() else {}


def gather_inputs(
    folder: str | os.PathLike[str], config: Study, dataset: Dataset, seed: int = 0
) -> FigureInputs:
    """Read what a fitted study has left in its results folder.

    Parameters
    ----------
    folder : path-like
        `results/<study>`.
    config : Study
        The study file.
    dataset : Dataset
        The prepared data.
    seed : int
        Root seed.
    """
    root = Path(folder)
    tables = {
        name: pl.read_parquet(path) if (path := root / f"{name}.parquet").is_file() else empty(schema)
        for name, schema in [
            *TABLES.items(),
            ("reconciliation", RECONCILIATION),
            ("sensitivity", SENSITIVITY),
        ]
    }
    sensitivity = tables.pop("sensitivity")
    # Other strategies have their own figures; every other figure shows all observed rows.
    tables = {
        name: table.filter(pl.col("strategy") == "observed") if "strategy" in table.columns else table
        for name, table in tables.items()
    }
    designs = {
        name: read_json(path)
        for name in config.models
        if (path := root / "models" / name / "design.json").is_file()
    }
    return FigureInputs(
        config=config,
        dataset=replace(dataset, variables=worded(dataset.variables, config.variables)),
        estimates=tables["estimates"],
        fits=tables["fits"],
        groups=tables["groups"],
        checks=tables["checks"],
        means=tables["means"],
        influence=tables["influence"],
        profiles=tables["profiles"],
        reconciliation=tables["reconciliation"],
        sensitivity=sensitivity,
        description=saved_description(root / "missing"),
        fits_folder=root / "fits",
        designs=designs,
        seed=seed,
    )


@dataclass(frozen=True)
class ModelTables:
    """What the figures of one model share.

    Attributes
    ----------
    model, engine : str
        The model and the engine whose partial pooling is drawn ("" where no mixed model was fitted).
    outcome, group : str
        Outcome and the grouping factor drawn ("" without one).
    terms : tuple of str
        Coefficients that vary by the group.
    names : tuple of str
        Fixed effects.
    estimates : DataFrame
        Of all engines.
    groups, predictions : DataFrame
        Of `engine`.
    rows : DataFrame
        See `diagnose.rows.analysis_rows`.
    only : bool
        Whether the model has no other grouping factor.
    """

    model: str
    engine: str
    outcome: str
    group: str
    terms: tuple[str, ...]
    names: tuple[str, ...]
    estimates: pl.DataFrame
    groups: pl.DataFrame
    predictions: pl.DataFrame
    rows: pl.DataFrame
    only: bool = True

    def of(self, engine: str) -> pl.DataFrame:
        """Estimates of one engine."""
        return self.estimates.filter((pl.col("engine") == engine) & pl.col("estimate").is_not_null())

    def estimate(self, component: str, term: str, group: str | None = None) -> float | None:
        """One estimate of `engine`."""
        found = self.of(self.engine).filter((pl.col("component") == component) & (pl.col("term") == term))
        if group is not None:
            found = found.filter(pl.col("group") == group)
        return float(found["estimate"][0]) if found.height else None

    @property
    def variance_ratio(self) -> float | None:
        """sigma^2 / tau^2 of the intercept."""
        tau, sigma = self.estimate("sd", INTERCEPT, self.group), self.estimate("residual", "sigma")
        return (sigma / tau) ** 2 if tau and sigma else None

    @property
    def covariance(self) -> FloatArray | None:
        """Covariance of the first two random effects, (2, 2)."""
        if len(self.terms) < 2:
            return None
        first, second = self.terms[:2]
        sds = [self.estimate("sd", term, self.group) for term in (first, second)]
        if sds[0] is None or sds[1] is None:
            return None
        correlation = self.estimate("cor", f"{first}:{second}", self.group) or 0.0
        shared = correlation * sds[0] * sds[1]
        return np.array([[sds[0] ** 2, shared], [shared, sds[1] ** 2]])


def model_factors(inputs: FigureInputs, model: str) -> tuple[str, ...]:
    """Grouping factors of a model, in the order of its formula.

    Parameters
    ----------
    inputs : FigureInputs
        The study.
    model : str
        One of its models.
    """
    random = inputs.designs.get(model, {}).get("random") or []
    found = [str(term["group"]) for term in random]
    return tuple(dict.fromkeys(found or inputs.groups.filter(pl.col("model") == model)["group"]))


def model_tables(inputs: FigureInputs, model: str, group: str | None = None) -> ModelTables:
    """Collect what the figures of a model share.

    Parameters
    ----------
    inputs : FigureInputs
        The study.
    model : str
        One of its models.
    group : str, optional
        One of its grouping factors; default the first.
    """
    estimates = inputs.estimates.filter(pl.col("model") == model)
    groups = inputs.groups.filter(pl.col("model") == model)
    # A model with a residual covariance alone leaves estimates and predictions, and no groups.
    fitted = groups["engine"].to_list() or estimates["engine"].to_list()
    engine = next((name for name in MIXED if name in fitted), "")
    own = groups.filter(pl.col("engine") == engine)
    design = inputs.designs.get(model, {})
    found = model_factors(inputs, model)
    group = group if group is not None else (found[0] if found else "")
    own = own.filter(pl.col("group") == group) if own.height else own
    fixed = estimates.filter((pl.col("component") == "fixed") & (pl.col("engine") == engine))
    predictions = inputs.table(model, engine, "predictions") if engine else pl.DataFrame()
    return ModelTables(
        model=model,
        engine=engine,
        outcome=str(design.get("outcome") or _outcome(inputs.config.models[model].formula)),
        group=group,
        terms=tuple(own["term"].unique(maintain_order=True).to_list()),
        names=tuple(design.get("names") or fixed["term"].to_list()),
        estimates=estimates,
        groups=own,
        predictions=predictions,
        rows=analysis_rows(inputs.dataset, predictions, group, own["label"].to_list()),
        only=len(found) < 2,
    )


def _outcome(formula: str) -> str:
    return formula.partition("~")[0].strip().strip("`")


def study_rows(inputs: FigureInputs, columns: Mapping[str, str]) -> pl.DataFrame:
    """Columns of the whole data set under new names; those it lacks are left out.

    Parameters
    ----------
    inputs : FigureInputs
        The study.
    columns : mapping of str to str
        New name -> column.
    """
    schema = inputs.dataset.frame.collect_schema()
    kept = {new: old for new, old in columns.items() if old in schema}
    return inputs.dataset.frame.select(
        (pl.col(old).cast(pl.String) if new == "label" else pl.col(old)).alias(new)
        for new, old in kept.items()
    ).collect()
