"""From typed and validated data to the Dataset every design is made from."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from nestwise.config.study import Derivation, Group, Time
from nestwise.data.dataset import Dataset, VariableInfo
from nestwise.data.derive import derive as add_derived
from nestwise.data.nesting_checks import declared_within
from nestwise.data.relation import Relation, relations_from_json, relations_to_json
from nestwise.data.typed import (
    KEY,
    TypedData,
    read_metadata,
    variables_from_json,
    variables_to_json,
)
from nestwise.data.validation import Validation
from nestwise.errors import DataError, Problem
from nestwise.storage import whole_file


def prepare(  # noqa: PLR0917 (a fixed signature, called by position)
    typed: TypedData,
    validation: Validation,
    study_name: str,
    groups: Mapping[str, Group],
    time: Time | None = None,
    derive: Sequence[Derivation] = (),
    *,
    relations: Mapping[str, Relation] | None = None,
) -> Dataset:
    """Make the Dataset of a study, derived variables included, still lazily.

    Ids that start again inside a declared parent stay as they are: `Dataset.within` tells, and
    whoever needs the groups of a nested factor keys them on the parents' ids and its own
    (`nestwise.data.derive.group_keys`).

    Raises
    ------
    DataError
        If the validation found errors: all of them, each a sentence.
    """
    problems = [
        check.problem or Problem(check.sentence.rstrip("."), validation.source) for check in validation.errors
    ]
    if problems:
        raise DataError(problems)
    within = declared_within(groups, list(typed.variables))
    variables = dict(typed.variables) | {
        derivation.as_: VariableInfo(
            derivation.as_,
            "continuous",
            True,
            unit=_derived_unit(derivation, typed.variables),
        )
        for derivation in derive
    }
    return Dataset(
        study=study_name,
        frame=add_derived(typed.frame, derive, within),
        variables=variables,
        within=within,
        time=time.column if time else None,
        derivations=tuple(derive),
        relations=relations or {},
    )


def _derived_unit(derivation: Derivation, variables: Mapping[str, VariableInfo]) -> str | None:
    if derivation.kind == "scale":
        return "SD"
    source = variables.get(derivation.source)
    return source.unit if source else None


def save_dataset(dataset: Dataset, path: str | os.PathLike[str]) -> None:
    """Write a Dataset as Parquet, streaming; its metadata travel in the file's key-value metadata."""
    content = {
        "study": dataset.study,
        "variables": variables_to_json(dataset.variables, dataset.frame.collect_schema()),
        "within": dict(dataset.within),
        "time": dataset.time,
        "derivations": [
            derivation.model_dump(by_alias=True, exclude_none=True) for derivation in dataset.derivations
        ],
        "relations": relations_to_json(dataset.relations),
    }
    with whole_file(path) as partial:
        dataset.frame.sink_parquet(partial, metadata={KEY: json.dumps(content)})


def load_dataset(path: str | os.PathLike[str]) -> Dataset:
    """Read what `save_dataset` wrote; the rows stay on disk.

    Raises
    ------
    DataError
        If the file is none of these.
    """
    content = read_metadata(path)
    frame = pl.scan_parquet(Path(path), glob=False)
    return Dataset(
        study=content["study"],
        frame=frame,
        variables=variables_from_json(content["variables"], frame.collect_schema()),
        within=content["within"],
        time=content["time"],
        derivations=tuple(Derivation.model_validate(entry) for entry in content["derivations"]),
        relations=relations_from_json(content.get("relations", {})),
    )
