"""Where a study's data lie: a bundled set, or a file inside the folders the study may read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from nestwise.config.study import Group
from nestwise.data.bundled import DATASETS, bundled_datasets
from nestwise.errors import DataError, Problem
from nestwise.names import did_you_mean

EXTENSIONS: tuple[str, ...] = (
    ".csv", ".tsv", ".tab", ".txt", ".parquet", ".arrow", ".feather", ".ipc",
    ".xlsx", ".sav", ".dta", ".sas7bdat",
)  # fmt: skip
"""Kinds of files that can be read; `.tab` and `.txt` hold tab-separated text."""

RELATION_EXTENSIONS: tuple[str, ...] = (".csv", ".tsv", ".tab", ".txt")
"""Kinds of files that a table of known correlation may be."""

PREFIX = "dataset:"


def locate(source: str, study_path: Path, roots: Sequence[Path] = ()) -> Path:
    """Find the file a study file names as its source.

    Parameters
    ----------
    source : str
        ``dataset:NAME`` for a bundled set, or a path relative to the folder of the study file.
    study_path : Path
        The study file.
    roots : sequence of Path
        Folders that may be read beside the study file's own.

    Returns
    -------
    Path
        A regular, readable, non-empty file, symbolic links followed.

    Raises
    ------
    DataError
        If there is no such file, or it lies outside the folders the study may read: a study file
        from elsewhere cannot be used to read the rest of the disk.
    """
    if source.startswith(PREFIX):
        return _bundled(source.removeprefix(PREFIX).strip(), str(study_path))
    if "://" in source:
        raise DataError(
            Problem(
                f"the source {source!r} is an address on a network, and only files are read",
                str(study_path),
                "download the file and name it relative to the study file",
            )
        )
    path = _inside(source, study_path, roots)
    _check_file(path, source, study_path)
    return path


def _bundled(name: str, where: str) -> Path:
    names = [dataset.name for dataset in bundled_datasets()]
    if name not in names:
        hint = did_you_mean(name, names) or "choose one of them"
        raise DataError(
            Problem(
                f"there is no bundled data set {name!r}; bundled are {', '.join(names)}",
                where,
                f"{hint}, or name a file",
            )
        )
    return DATASETS / next(dataset.file for dataset in bundled_datasets() if dataset.name == name)


def _inside(source: str, study_path: Path, roots: Sequence[Path]) -> Path:
    where = str(study_path)
    try:
        folder = study_path.resolve().parent
        path = (folder / source).resolve()
        allowed = [folder, *(Path(root).resolve() for root in roots)]
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(
            Problem(f"the source {source!r} is not a usable path", where, "name a file of the project")
        ) from error
    if not any(path.is_relative_to(root) for root in allowed):
        raise DataError(
            Problem(
                f"the source {source!r} lies outside the folders this study may read",
                where,
                f"move the file under {folder}, or list its folder under data_roots in config.yaml",
            )
        )
    return path


def _check_file(path: Path, source: str, study_path: Path) -> None:
    where = str(study_path)
    try:
        problem = _file_problem(path, source, where)
    except OSError as error:
        reason = error.strerror or "unknown reason"
        problem = Problem(f"the source {source!r} cannot be opened ({reason})", where, "check its name")
    if problem:
        raise DataError(problem)


def _file_problem(path: Path, source: str, where: str) -> Problem | None:
    if path.is_dir():
        return Problem(f"the source {source!r} is a folder", where, "name one file in it")
    if not path.exists():
        return _missing(path, source, where)
    if not path.is_file():
        return Problem(f"the source {source!r} is not a regular file", where, "name a data file")
    suffix = path.suffix.lower()
    if suffix not in EXTENSIONS:
        kind = f"files ending in {suffix!r} are" if suffix else "a file without an extension is"
        return Problem(
            f"the source {source!r} cannot be read: {kind} not known",
            where,
            f"save it as one of {', '.join(EXTENSIONS)}",
        )
    if path.stat().st_size == 0:
        return Problem(f"the source {source!r} is an empty file", where, "write the data into it again")
    with path.open("rb") as stream:
        stream.read(1)
    return None


def _missing(path: Path, source: str, where: str) -> Problem:
    folder = path.parent
    siblings = [entry.name for entry in folder.iterdir() if entry.is_file()] if folder.is_dir() else []
    if any(sign in source for sign in "*?[{"):
        hint = "patterns are not expanded: name one file"
    else:
        hint = did_you_mean(path.name, siblings) or f"sources are sought from {Path(where).resolve().parent}"
    return Problem(f"the source {source!r} does not exist", where, hint)


def locate_relations(groups: Mapping[str, Group], study_path: Path, roots: Sequence[Path] = ()) -> list[Path]:
    """Find the tables of known correlation that grouping factors name.

    Parameters
    ----------
    groups : mapping of str to Group
        Section of the study file.
    study_path : Path
        The study file.
    roots : sequence of Path
        As for `locate`.

    Returns
    -------
    list of Path
        In the order of the section.

    Raises
    ------
    DataError
        With the problems of all of them.
    """
    found: list[Path] = []
    problems: list[Problem] = []
    for name, group in groups.items():
        if group.relation is None:
            continue
        try:
            path = locate(group.relation, study_path, roots)
            if group.relation.startswith(PREFIX) or path.suffix.lower() not in RELATION_EXTENSIONS:
                what = f"the relation {group.relation!r} of {name} is not a table of text"
                raise DataError(Problem(what, str(study_path), "save it as csv or tsv"))
            found.append(path)
        except DataError as error:
            problems += error.problems
    if problems:
        raise DataError(problems)
    return found


def locate_all(sources: Mapping[str, tuple[str, Path]], roots: Sequence[Path] = ()) -> dict[str, Path]:
    """Find the data of several studies.

    Parameters
    ----------
    sources : mapping of str to (str, Path)
        `data.source` and the study file of each study.
    roots : sequence of Path
        As for `locate`.

    Raises
    ------
    DataError
        With the problems of all of them.
    """
    found: dict[str, Path] = {}
    problems: list[Problem] = []
    for name, (source, study_path) in sources.items():
        try:
            found[name] = locate(source, study_path, roots)
        except DataError as error:
            problems += error.problems
    if problems:
        raise DataError(problems)
    return found
