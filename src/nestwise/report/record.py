"""Everything a report says, in one frozen record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from nestwise.config.study import Study
from nestwise.design.mathml import Shape
from nestwise.missing.record import Description
from nestwise.numbers import count
from nestwise.results import empty
from nestwise.vocabulary import INFLUENCE, MEANS, RECONCILIATION, SENSITIVITY, TESTS


@dataclass(frozen=True)
class Picture:
    """A figure as it stands in the page.

    Attributes
    ----------
    model : str
        Model it belongs to; "" for the study as a whole.
    name : str
        What it shows: `pooling_by_size`, `trace` ...
    title, caption, alt : str
        Plain text, from whoever drew it.
    source : str
        SVG text, safe and recoloured; "" where the figure is too large for a page.
    data : str
        File of the numbers behind it, relative to the results folder.
    file : str
        File of the figure, relative to the results folder.
    reason : str
        Why it could not be drawn; "" for one that was.
    """

    model: str
    name: str
    title: str
    caption: str
    alt: str
    source: str
    data: str = ""
    file: str = ""
    reason: str = ""


@dataclass(frozen=True)
class ReportRecord:
    """A finished study, ready to be written up.

    Attributes
    ----------
    name : str
        Name of the study.
    study : Study
        The study file.
    folder : str
        Results folder as the reader may look it up.
    validation : mapping
        `data/validation.json`.
    failures : polars.DataFrame
        First rows of the row-level failure list.
    n_failures : int
        All rows of that list.
    designs : mapping of str to mapping
        `design.json` of each model that could be designed.
    shapes : mapping of str to Shape
        What the equations of each model need.
    estimates, fits, groups, checks, comparison, tests, means, influence, reconciliation : polars.DataFrame
        The stacked tables of the strategy `observed`, models in the order of the study file.
    sensitivity : polars.DataFrame
        Every estimand under every strategy for missing data.
    missing : Description or None
        What is missing of the outcome of the main model.
    records : mapping of (model, engine) to mapping
        The JSON record of each fit.
    imputed : mapping of (model, engine) to mapping
        `imputation`, `pooling` and `tests` of each fit to imputed data.
    covariances : mapping of (model, engine) to mapping
        Covariance of the fixed effects by term and term, where the fit left it.
    pictures : tuple of Picture
        In the order they are shown.
    provenance : mapping
        `versions`, `hashes`, `seed`, `command` ...
    """

    name: str
    study: Study
    folder: str
    validation: Mapping[str, Any]
    failures: pl.DataFrame
    n_failures: int
    designs: Mapping[str, Mapping[str, Any]]
    shapes: Mapping[str, Shape]
    estimates: pl.DataFrame
    fits: pl.DataFrame
    groups: pl.DataFrame
    checks: pl.DataFrame
    comparison: pl.DataFrame
    records: Mapping[tuple[str, str], Mapping[str, Any]]
    covariances: Mapping[tuple[str, str], Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    pictures: tuple[Picture, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    tests: pl.DataFrame = field(default_factory=lambda: empty(TESTS))
    means: pl.DataFrame = field(default_factory=lambda: empty(MEANS))
    influence: pl.DataFrame = field(default_factory=lambda: empty(INFLUENCE))
    reconciliation: pl.DataFrame = field(default_factory=lambda: empty(RECONCILIATION))
    sensitivity: pl.DataFrame = field(default_factory=lambda: empty(SENSITIVITY))
    missing: Description | None = None
    imputed: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)

    @property
    def models(self) -> tuple[str, ...]:
        """Models in the order of the study file."""
        return tuple(self.study.models)

    @property
    def main_model(self) -> str:
        """The model the report dwells on."""
        return self.study.report.main_model or self.models[-1]

    def of_model(self, frame: pl.DataFrame, model: str) -> pl.DataFrame:
        """The rows of a table that belong to a model."""
        return frame.filter(pl.col("model") == model)

    def n_factors(self, model: str) -> int:
        """How many grouping factors a model has."""
        shape = self.shapes.get(model)
        return len({term.group for term in shape.random}) if shape is not None else 0

    def group_counts(self, model: str, number: int | None) -> str:
        """Number of groups of each factor of a model, as `148, 19`; `number` where only one is known."""
        shape = self.shapes.get(model)
        sizes = {term.group: term.n_groups for term in shape.random} if shape is not None else {}
        return ", ".join(map(count, sizes.values())) if len(sizes) > 1 and number else count(number)

    def pictures_of(self, *names: str, model: str | None = None) -> tuple[Picture, ...]:
        """The figures with one of these names, in their order; `name_x` is one of `name` too."""
        return tuple(
            picture
            for name in names
            for picture in self.pictures
            if (picture.name == name or picture.name.startswith(f"{name}_"))
            and not picture.reason
            and (model is None or picture.model == model)
        )
