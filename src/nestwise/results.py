"""The tidy vocabulary: what every engine answers, whatever its school."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import polars as pl

from nestwise.storage import read_json, whole_folder, write_json
from nestwise.vocabulary import (
    CHECKS,
    ESTIMATES,
    FITS,
    GROUPS,
    INFLUENCE,
    MEANS,
    PREDICTIONS,
    PROFILES,
    TESTS,
    Schema,
)


class Status(StrEnum):
    """What became of a fit."""

    OK = "ok"
    SINGULAR = "singular"
    NOT_CONVERGED = "not_converged"
    FAILED = "failed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Estimate:
    """One quantity with its uncertainty; `None` where a notion does not apply."""

    component: str
    """fixed | sd | cor | residual | derived | robust (a fixed term with a cluster-robust error)"""
    term: str
    estimate: float | None
    group: str | None = None
    std_error: float | None = None
    df: float | None = None
    statistic: float | None = None
    p_value: float | None = None
    lower: float | None = None
    upper: float | None = None
    level: float | None = None
    """Coverage of (lower, upper), e.g. 0.95; `None` without an interval."""
    target: str = "conditional"
    scale: str = "response"


@dataclass(frozen=True, slots=True)
class Test:
    """A joint or one-sided test that is no single estimate's t test."""

    __test__ = False  # not for pytest to collect

    test: str
    """fixed (all columns of a term) | variance (of one varying coefficient) | contextual | model (against a
    smaller one, `term`)"""
    term: str
    statistic: float | None
    p_value: float | None
    group: str | None = None
    df_num: float | None = None
    df_den: float | None = None
    reference: str = ""
    """The null distribution in words: `F, Satterthwaite`, `0.5 chi2(0) + 0.5 chi2(1)`, ..."""


@dataclass(frozen=True, slots=True)
class Check:
    """A verdict on a fit: a number, the limit it is held against, and what to do about it."""

    check: str
    value: float | None
    limit: float | None
    ok: bool
    advice: str
    """One sentence in plain words, whether the check passed or not."""


def empty(schema: Schema) -> pl.DataFrame:
    """A frame of the given schema without rows."""
    return pl.DataFrame(schema=dict(schema))


def conform(frame: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """Put a frame into a schema of the vocabulary.

    Missing columns become null, NaN becomes null (NaN is never an answer).

    Raises
    ------
    ValueError
        If the frame has a column that the schema does not know.
    """
    unknown = [name for name in frame.columns if name not in schema]
    if unknown:
        raise ValueError(f"columns outside the vocabulary: {unknown}")
    return frame.select(_column(frame, name, dtype) for name, dtype in schema.items())


def _column(frame: pl.DataFrame, name: str, dtype: type[pl.DataType]) -> pl.Expr:
    column = (pl.col(name) if name in frame.columns else pl.lit(None)).cast(dtype)
    return (column.fill_nan(None) if dtype == pl.Float64 else column).alias(name)


@dataclass(frozen=True)
class Fit:
    """One model fitted by one engine: everything downstream reads, nothing it edits.

    A fit that was refused or failed is a `Fit` too, with `status` and `reason` and no estimates.
    """

    study: str
    model: str
    engine: str
    method: str
    status: Status
    formula: str
    analysis_hash: str
    """Hash of the analysis rows; fits with different hashes are not compared."""
    n_obs: int
    n_groups: int
    """Number of groups of the (innermost) grouping factor."""
    strategy: str = "observed"
    reason: str | None = None
    converged: bool | None = None
    singular: bool | None = None
    log_likelihood: float | None = None
    """With all its constants; the restricted one when `method` is REML."""
    aic: float | None = None
    bic: float | None = None
    n_parameters: int | None = None
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    estimates: tuple[Estimate, ...] = ()
    checks: tuple[Check, ...] = ()
    groups: pl.DataFrame = field(default_factory=lambda: empty(GROUPS))
    """One row a group and term; the identity columns may be left out, they are filled in."""
    predictions: pl.DataFrame = field(default_factory=lambda: empty(PREDICTIONS))
    """One row an analysis row: `row` is the row number in the source, `fixed` uses X beta only."""
    tests: tuple[Test, ...] = ()
    means: pl.DataFrame = field(default_factory=lambda: empty(MEANS))
    """Marginal means (`kind` mean) and their differences (`kind` contrast); `x` is the level of the grid's
    first variable, `by` those of the others joined by `, `, `term` the point or the difference in words."""
    influence: pl.DataFrame = field(default_factory=lambda: empty(INFLUENCE))
    """One row a group: what leaving it out would do to the fixed effects."""
    profiles: pl.DataFrame = field(default_factory=lambda: empty(PROFILES))
    """Signed root of the rise of the deviance (`zeta`) along each covariance parameter."""
    draws: pl.DataFrame | None = None
    """Posterior draws: `chain`, `draw`, then one column a parameter (see `bayes.sample`)."""
    record: Mapping[str, Any] = field(default_factory=dict)
    """What a reader may want to check later, JSON-able: the optimisation, the sampler, the versions."""

    @property
    def identity(self) -> dict[str, str]:
        """The columns that name this fit in every table."""
        return {
            "study": self.study,
            "model": self.model,
            "engine": self.engine,
            "method": self.method,
            "strategy": self.strategy,
        }


def estimates_frame(fit: Fit) -> pl.DataFrame:
    """The rows of `estimates.parquet` that belong to a fit."""
    shared = fit.identity | {"n_obs": fit.n_obs, "n_groups": fit.n_groups, "status": fit.status.value}
    rows = [shared | asdict(estimate) for estimate in fit.estimates]
    return conform(pl.DataFrame(rows, schema=dict(ESTIMATES)), ESTIMATES)


def fits_frame(fit: Fit) -> pl.DataFrame:
    """The row of `fits.parquet` that belongs to a fit."""
    row = {name: getattr(fit, name) for name in FITS if name not in ("warnings", "status")}
    row |= {"warnings": " ".join(fit.warnings) or None, "status": fit.status.value}
    return conform(pl.DataFrame([row], schema=dict(FITS)), FITS)


def groups_frame(fit: Fit) -> pl.DataFrame:
    """The rows of `groups.parquet` that belong to a fit."""
    return _named(fit.groups, fit, GROUPS)


def checks_frame(fit: Fit) -> pl.DataFrame:
    """The rows of `checks.parquet` that belong to a fit."""
    shared = {name: fit.identity[name] for name in ("study", "model", "engine")}
    rows = [shared | asdict(check) for check in fit.checks]
    return conform(pl.DataFrame(rows, schema=dict(CHECKS)), CHECKS)


def tests_frame(fit: Fit) -> pl.DataFrame:
    """The rows of `tests.parquet` that belong to a fit."""
    rows = [fit.identity | asdict(test) for test in fit.tests]
    return conform(pl.DataFrame(rows, schema=dict(TESTS)), TESTS)


def _named(frame: pl.DataFrame, fit: Fit, schema: Schema) -> pl.DataFrame:
    """A table of a fit with the columns that name it."""
    return conform(
        frame.with_columns(pl.lit(value).alias(name) for name, value in fit.identity.items()), schema
    )


def save_fit(fit: Fit, folder: str | os.PathLike[str]) -> None:
    """Write a fit as a folder of Parquet files and one JSON record, all or nothing."""
    with whole_folder(folder) as partial:
        estimates_frame(fit).write_parquet(partial / "estimates.parquet")
        fits_frame(fit).write_parquet(partial / "fits.parquet")
        groups_frame(fit).write_parquet(partial / "groups.parquet")
        checks_frame(fit).write_parquet(partial / "checks.parquet")
        tests_frame(fit).write_parquet(partial / "tests.parquet")
        _named(fit.means, fit, MEANS).write_parquet(partial / "means.parquet")
        _named(fit.influence, fit, INFLUENCE).write_parquet(partial / "influence.parquet")
        _named(fit.profiles, fit, PROFILES).write_parquet(partial / "profiles.parquet")
        conform(fit.predictions, PREDICTIONS).write_parquet(partial / "predictions.parquet")
        (fit.draws if fit.draws is not None else pl.DataFrame()).write_parquet(partial / "draws.parquet")
        write_json(partial / "record.json", dict(fit.record))


TABLES: Mapping[str, Schema] = {
    "estimates": ESTIMATES,
    "fits": FITS,
    "groups": GROUPS,
    "checks": CHECKS,
    "tests": TESTS,
    "means": MEANS,
    "influence": INFLUENCE,
    "profiles": PROFILES,
}


def gather(folders: Sequence[str | os.PathLike[str]], table: str) -> pl.DataFrame:
    """Stack one table (a key of `TABLES`) of many saved fits."""
    schema = TABLES[table]
    parts = [pl.read_parquet(Path(folder) / f"{table}.parquet") for folder in folders]
    return pl.concat([empty(schema), *parts])


def load_record(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """The JSON record of a saved fit."""
    return dict(read_json(Path(folder) / "record.json"))
