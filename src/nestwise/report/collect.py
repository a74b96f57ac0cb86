"""From the files of a finished study to one record."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from nestwise.compare.context import CONTEXTUAL
from nestwise.compare.engines import COMPARISON, compare_engines
from nestwise.config.study import Study
from nestwise.design.mathml import FixedShape, RandomShape, Shape, shape_from_record
from nestwise.missing.saved import saved_description
from nestwise.report.record import Picture, ReportRecord
from nestwise.report.svg import UnsafeSvgError, safe_svg
from nestwise.results import empty
from nestwise.storage import read_json
from nestwise.vocabulary import (
    CHECKS,
    ESTIMATES,
    FITS,
    GROUPS,
    INFLUENCE,
    MEANS,
    RECONCILIATION,
    SENSITIVITY,
    TESTS,
    Schema,
)

OBSERVED = "observed"
MOST_FAILURES = 50
LARGEST_FIGURE = 700_000
"""Characters of SVG a single figure may take."""
LARGEST_FIGURES = 3_500_000
"""Characters all figures of a page may take together."""

SECOND_TABLES: Mapping[str, Schema] = {
    "tests": TESTS,
    "means": MEANS,
    "influence": INFLUENCE,
    "reconciliation": RECONCILIATION,
    "sensitivity": SENSITIVITY,
}
"""What a study may have besides estimates: tests, means, groups left out, marginal effects, strategies."""


def collect(
    folder: str | os.PathLike[str],
    study: Study,
    name: str,
    provenance: Mapping[str, Any] | None = None,
    *,
    shown_folder: str | None = None,
) -> ReportRecord:
    """Read all that a study left and put it into one record.

    Parameters
    ----------
    folder : path-like
        `results/<study>`.
    study : Study
        The study file.
    name : str
        Name of the study.
    provenance : mapping, optional
        `versions` and `hashes` (name to text), `seed`, `command`, `platform`, `date`: what is given is shown.
    shown_folder : str, optional
        How the page calls the folder; `results/<name>` otherwise, whatever the machine's path to it.

    Returns
    -------
    ReportRecord
        Files that are absent leave their part empty: a study without any fit has a report all the same.
    """
    place, order = Path(folder), list(study.models)
    estimates = _estimated(_table(place / "estimates.parquet", ESTIMATES, order), study)
    fits = _table(place / "fits.parquet", FITS, order)
    records = _records(place, fits)
    designs = {model: found for model in order if (found := _json(place / "models" / model / "design.json"))}
    failures, n_failures = _failures(place / "data" / "failures.parquet")
    validation = _worded(_json(place / "data" / "validation.json"), study)
    return ReportRecord(
        name=name,
        study=study,
        folder=shown_folder or f"results/{name}",
        validation=validation,
        failures=failures,
        n_failures=max(n_failures, int(validation.get("n_failures") or 0)),
        designs=designs,
        shapes={model: _shape(design) for model, design in designs.items() if not design.get("refused")},
        estimates=estimates,
        fits=fits,
        groups=_table(place / "groups.parquet", GROUPS, order),
        checks=_table(place / "checks.parquet", CHECKS, order),
        comparison=_table(place / "comparison.parquet", COMPARISON, order)
        if (place / "comparison.parquet").is_file()
        else compare_engines(estimates, fits, records, order),
        records=records,
        imputed=_imputed(place, study),
        covariances=_covariances(place, fits, records),
        pictures=_pictures(place / "figures", order, study.report.main_model or order[-1]),
        provenance=dict(provenance or {}),
        missing=saved_description(place / "missing"),
        **{name: _table(place / f"{name}.parquet", schema, order) for name, schema in SECOND_TABLES.items()},
    )


def _estimated(estimates: pl.DataFrame, study: Study) -> pl.DataFrame:
    """The estimates without what stands in for a residual variance where each row's error is known.

    Such fits carry a residual SD of 1 in units of the known errors, and shares that follow from it: numbers
    of the parametrisation, which say nothing of the data.
    """
    known = [name for name, model in study.models.items() if model.sampling_error is not None]
    derived = (pl.col("component") == "derived") & ~pl.col("term").str.starts_with(CONTEXTUAL)
    assumed = pl.col("model").is_in(known) & ((pl.col("component") == "residual") | derived)
    return estimates.filter(~assumed) if known else estimates


def _worded(validation: dict[str, Any], study: Study) -> dict[str, Any]:
    """The validation with the units and labels of the study file, which the data do not hold."""
    for table, declared in (("variables", study.variables), ("groups", study.groups)):
        for entry in validation.get(table, ()):
            known = declared.get(entry["name"])
            entry |= {key: given for key in ("unit", "label") if (given := getattr(known, key, None))}
    if study.time is not None and validation.get("time"):
        validation["time"]["unit"] = study.time.unit
    return validation


def _json(path: Path) -> dict[str, Any]:
    return dict(read_json(path)) if path.is_file() else {}


def _table(path: Path, schema: Schema, order: Sequence[str]) -> pl.DataFrame:
    """A stacked table, models in the order of the study file; other strategies are left to `sensitivity`."""
    if not path.is_file():
        return empty(schema)
    frame = pl.read_parquet(path, glob=False)
    if "strategy" in schema and path.stem != "sensitivity":
        frame = frame.filter(pl.col("strategy").fill_null(OBSERVED) == OBSERVED)
    places = {model: place for place, model in enumerate(order)}
    last = len(places)
    return frame.sort(
        pl.col("model").replace_strict(places, default=last, return_dtype=pl.Int64), maintain_order=True
    )


def _failures(path: Path) -> tuple[pl.DataFrame, int]:
    if not path.is_file():
        return pl.DataFrame(), 0
    rows = pl.scan_parquet(path, glob=False)
    return rows.head(MOST_FAILURES).collect(), int(rows.select(pl.len()).collect().item())


def _records(place: Path, fits: pl.DataFrame) -> dict[tuple[str, str], Mapping[str, Any]]:
    pairs = fits.select("model", "engine").rows()
    return {pair: _json(place / "fits" / f"{pair[0]}.{pair[1]}" / "record.json") for pair in pairs}


def _imputed(place: Path, study: Study) -> dict[tuple[str, str], Mapping[str, Any]]:
    """What stands beside the fits to imputed data: `imputation`, `pooling`, and `tests` of terms by D1."""
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for model, engine in ((name, engine) for name in study.models for engine in study.models[name].engines):
        folder = place / "strategies" / f"{model}.{engine}.mi"
        record = _json(folder / "record.json")
        if record.get("imputation"):
            path = folder / "tests.parquet"
            tests = pl.read_parquet(path, glob=False).to_dicts() if path.is_file() else []
            found[model, engine] = record | {"tests": tests}
    return found


def _shape(design: Mapping[str, Any]) -> Shape:
    """The saved shape, or one from the names: then all that is not the mean of a slope is in level 1."""
    if design.get("shape"):
        return shape_from_record(design["shape"])
    random = tuple(
        RandomShape(term["group"], tuple(term["names"]), bool(term["correlated"]), int(term["n_groups"]))
        for term in design["random"]
    )
    varying = random[0].names if len(random) == 1 else ()
    fixed = tuple(
        FixedShape(name, varying.index(name), "") if name in varying else FixedShape(name)
        for name in design["names"]
    )
    return Shape(
        design["outcome"],
        int(design["n"]),
        fixed,
        random,
        design.get("family", "gaussian"),
        design.get("link", "identity"),
        offset=bool(design.get("offset")),
    )


def _covariances(
    place: Path, fits: pl.DataFrame, records: Mapping[tuple[str, str], Mapping[str, Any]]
) -> dict[tuple[str, str], dict[str, dict[str, float]]]:
    """Covariance of the fixed effects: from the record of a fit, from the draws of a Bayesian one."""
    found = {}
    for pair in fits.select("model", "engine").rows():
        saved = records.get(pair, {}).get("fixed_covariance")
        draws = place / "fits" / f"{pair[0]}.{pair[1]}" / "draws.parquet"
        if isinstance(saved, Mapping):
            found[pair] = _named(list(saved["names"]), saved["values"])
        elif pair[1] == "pymc" and draws.is_file():
            frame = pl.scan_parquet(draws, glob=False)
            names = [name for name in frame.collect_schema().names() if name.startswith("fixed|")]
            if names:
                values = frame.select(names).collect().to_numpy()
                table = np.atleast_2d(np.cov(values, rowvar=False)).tolist()
                found[pair] = _named([name.removeprefix("fixed|") for name in names], table)
    return found


def _named(names: Sequence[str], values: Sequence[Sequence[float]]) -> dict[str, dict[str, float]]:
    return {a: dict(zip(names, line, strict=True)) for a, line in zip(names, values, strict=True)}


def _pictures(folder: Path, order: Sequence[str], main: str) -> tuple[Picture, ...]:
    """The figures of the index, as long as the page stays light: those of the main model come first."""
    index = folder / "figures.json"
    if not index.is_file():
        return ()
    places = {"": -1} | {model: place for place, model in enumerate(order)}
    entries = sorted(read_json(index), key=lambda entry: places.get(entry["model"], len(places)))
    pictures: dict[int, Picture] = {}
    room = LARGEST_FIGURES
    for number, entry in sorted(enumerate(entries), key=lambda pair: pair[1]["model"] not in ("", main)):
        pictures[number] = _picture(folder, entry, f"f{number}", room)
        room -= len(pictures[number].source)
    return tuple(pictures[number] for number in range(len(entries)))


def _picture(folder: Path, entry: Mapping[str, Any], key: str, room: int) -> Picture:
    from nestwise.figures.colours import VARIABLES

    name, model = str(entry["name"]), str(entry["model"])
    title, alt = str(entry["title"]), str(entry["alt"] or entry["caption"] or entry["title"])
    file, data = Path(entry["file"] or "").name, Path(entry["data"] or "").name
    source, reason = "", str(entry.get("reason") or "")
    path = folder / file
    if file and path.is_file() and path.stat().st_size <= LARGEST_FIGURE:
        try:
            source = safe_svg(path.read_text(encoding="utf-8"), key, alt, VARIABLES)
        except UnsafeSvgError as error:
            reason = f"The file cannot be shown: {error}."
    kept = source if len(source) <= room else ""
    return Picture(model, name, title, str(entry["caption"]), alt, kept, data, file, reason)
