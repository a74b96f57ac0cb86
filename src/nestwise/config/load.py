"""From files to checked records: every problem of every file at once."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from nestwise.config.missing import REFERENCE_BASED
from nestwise.config.run import Run
from nestwise.config.strict_yaml import read_yaml
from nestwise.config.study import Study
from nestwise.config.treatments import strategies_of
from nestwise.errors import NestwiseError, Problem, StudyError
from nestwise.formula.record import parse
from nestwise.names import nearest

_STEM = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")


@dataclass(frozen=True)
class StudyFile:
    """A study with its name (the stem of its file) and its place."""

    name: str
    path: Path
    study: Study


def load_study(path: str | os.PathLike[str]) -> StudyFile:
    """Read and check one study file.

    Parameters
    ----------
    path : path-like
        A YAML file.

    Raises
    ------
    StudyError
        With every problem found in the file, formulas included.
    """
    file = Path(path)
    if not _STEM.match(file.stem) or file.stem.endswith("."):
        raise StudyError(
            Problem(
                f"the name `{file.stem}` cannot name a folder of results",
                str(file),
                "use letters, digits, `_`, `-` and `.`",
            )
        )
    content = read_yaml(file)
    try:
        study = Study.model_validate(content)
    except ValidationError as error:
        raise StudyError([*_problems(error, Study, file), *_formula_problems(content, file)]) from None
    problems = [*_contradictions(study, file), *_formula_problems(content, file)]
    if problems:
        raise StudyError(problems)
    return StudyFile(file.stem, file, study)


def load_studies(paths: Sequence[str | os.PathLike[str]]) -> tuple[StudyFile, ...]:
    """Read and check many study files.

    Raises
    ------
    StudyError
        With every problem of every file.
    """
    loaded: list[StudyFile] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            loaded.append(load_study(path))
        except StudyError as error:
            problems += error.problems
    seen: dict[str, StudyFile] = {}
    for file in loaded:
        if file.name in seen:
            problems.append(
                Problem(
                    f"the study has the same name as {seen[file.name].path}",
                    str(file.path),
                    "rename one of the files",
                )
            )
        seen[file.name] = file
    if problems:
        raise StudyError(problems)
    return tuple(loaded)


def load_run(config: Mapping[str, Any], where: str = "configuration") -> Run:
    """Check the configuration of a run: which studies, where the results go, which seed.

    Raises
    ------
    StudyError
        With every problem found.
    """
    try:
        return Run.model_validate(dict(config))
    except ValidationError as error:
        raise StudyError(_problems(error, Run, Path(where))) from None


def _contradictions(study: Study, path: Path) -> list[Problem]:
    """Problems between sections, which the sections cannot see themselves."""
    problems = [
        Problem(
            f"`{group.within}` is not one of the groups",
            f"{path}, groups.{name}.within",
            f"declare it under groups, or take it out (groups are {', '.join(study.groups)})",
        )
        for name, group in study.groups.items()
        if group.within is not None and group.within not in study.groups
    ]
    problems += _cycles(study, path)
    for position, derivation in enumerate(study.derive):
        if derivation.group is not None and derivation.group not in study.groups:
            problems.append(
                Problem(
                    f"`{derivation.group}` is not one of the groups",
                    f"{path}, derive.{position}.group",
                    f"use one of {', '.join(study.groups)}",
                )
            )
    listed = {strategy for name in study.models for strategy in strategies_of(study, name)}
    if study.missing.events is not None and not listed & set(REFERENCE_BASED):
        problems.append(
            Problem(
                f"events are dealt with by the strategies {', '.join(REFERENCE_BASED)}, and none is listed",
                f"{path}, missing.events",
                "add one of them to strategies, or take events out",
            )
        )
    for key, named in (("report.main_model", study.report.main_model), *_compared(study)):
        if named is not None and named not in study.models:
            problems.append(
                Problem(
                    f"there is no model `{named}`", f"{path}, {key}", f"use one of {', '.join(study.models)}"
                )
            )
    return problems


def _formula_problems(content: Mapping[str, Any], path: Path) -> list[Problem]:
    """What is wrong with the formulas, looked for even where other keys are wrong."""
    models = content.get("models")
    problems: list[Problem] = []
    for name, model in models.items() if isinstance(models, Mapping) else ():
        formula = model.get("formula") if isinstance(model, Mapping) else None
        if not isinstance(formula, str) or not formula:
            continue
        try:
            parse(formula)
        except NestwiseError as error:
            problems += [_placed(problem, f"{path}, models.{name}.formula") for problem in error.problems]
    return problems


def _placed(problem: Problem, where: str) -> Problem:
    return Problem(problem.what, f"{where}, {problem.where}" if problem.where else where, problem.way_out)


def _compared(study: Study) -> list[tuple[str, str | None]]:
    return [("compare.models", name) for name in study.compare.models or ()]


def _cycles(study: Study, path: Path) -> list[Problem]:
    found: list[Problem] = []
    for start in study.groups:
        chain = [start]
        while (parent := study.groups[chain[-1]].within) in study.groups and parent not in chain:
            chain.append(parent)
        if parent == start:
            circle = " within ".join([*chain, start])
            found.append(
                Problem(
                    f"the groups are nested in a circle: {circle}",
                    f"{path}, groups.{start}",
                    "break the circle",
                )
            )
    return found[:1]


def _problems(error: ValidationError, model: type[BaseModel], path: Path) -> list[Problem]:
    return [_problem(dict(detail), model, path) for detail in error.errors(include_url=False)]


def _problem(detail: dict[str, Any], model: type[BaseModel], path: Path) -> Problem:
    location = [str(part) for part in detail["loc"] if part != "[key]"]
    where = f"{path}, {'.'.join(location)}" if location else str(path)
    kind, given = detail["type"], detail.get("input")
    shown = repr(given) if not isinstance(given, dict | list | tuple) else f"a {type(given).__name__}"
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    message = str(detail["msg"]).removeprefix("Value error, ")
    if kind == "extra_forbidden":
        known = _keys_at(model, detail["loc"][:-1])
        near = nearest(location[-1], known)
        hint = f"did you mean `{near}`?" if near else f"keys here are {', '.join(known)}"
        return Problem(f"the key `{location[-1]}` is unknown", where, hint)
    if kind == "missing":
        return Problem(
            f"the key `{location[-1]}` is missing", where, "add it; config/README.md says what it means"
        )
    if kind == "string_pattern_mismatch":
        return Problem(f"{shown} cannot be used as a name here", where, "use letters, digits, `_` and `-`")
    if kind == "literal_error":
        return Problem(f"{shown} is not known here", where, f"use one of {detail['ctx']['expected']}")
    if kind == "value_error":
        return Problem(message, where, "see config/README.md")
    return Problem(f"{message[0].lower()}{message[1:]}, and {shown} was given", where, "see config/README.md")


def _keys_at(model: type[BaseModel], location: Sequence[Any]) -> list[str]:
    """Keys known at a place of a model, by walking its annotations."""
    kinds: list[Any] = [model]
    for part in location:
        kinds = [inner for kind in kinds for inner in _inside(kind, part)]
    models = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return [field.alias or name for kind in models for name, field in kind.model_fields.items()]


def _inside(kind: Any, part: Any) -> list[Any]:
    """Types that the entry `part` of a model, mapping or sequence may have."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = kind.model_fields.get(str(part))
        return _members(field.annotation) if field is not None else []
    arguments = get_args(kind)
    return _members(arguments[1 if get_origin(kind) is dict else 0]) if arguments else []


def _members(annotation: Any) -> list[Any]:
    """Members of a union, and what `Annotated` annotates; otherwise the annotation itself."""
    if get_origin(annotation) in (Union, UnionType):
        return [member for argument in get_args(annotation) for member in _members(argument)]
    return _members(get_args(annotation)[0]) if get_origin(annotation) is Annotated else [annotation]
