"""The data sets that come with nestwise, each with its origin and licence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nestwise.storage import read_json

DATASETS = Path(__file__).parent / "datasets"
"""Folder of the bundled files and of their index, `datasets.json`."""


@dataclass(frozen=True)
class BundledDataset:
    """One bundled data set.

    Attributes
    ----------
    name, title : str
        Name in a study file (`dataset:NAME`), and a title for people.
    file : str
        File inside `DATASETS`.
    origin, reference, licence : str
        The study it comes from and the copy that was taken, where it is printed, on what terms.
    rows : int
        Number of rows.
    sha256 : str
        Hash of the file.
    columns : mapping of str to str
        Meaning (and unit) of every column, in the file's order.
    """

    name: str
    title: str
    file: str
    origin: str
    reference: str
    licence: str
    rows: int
    sha256: str
    columns: Mapping[str, str]


def bundled_datasets() -> tuple[BundledDataset, ...]:
    """List the bundled data sets, in alphabetical order of their names."""
    index = read_json(DATASETS / "datasets.json")
    return tuple(BundledDataset(name=name, **index[name]) for name in sorted(index))
