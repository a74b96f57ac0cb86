"""YAML read as plain data: bounded in size, no tags, no expansion bombs, no key twice.

The core schema of YAML 1.2 is used for booleans, so that the levels ``no`` and ``yes`` stay words.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from nestwise.errors import Problem, StudyError

MAX_BYTES = 1_000_000
MAX_NODES = 50_000
MAX_DEPTH = 40

_BOOLEAN = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
_BOOL_TAG, _DATE_TAG = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp"
_CORE_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str", "seq", "map")}


class _CoreLoader(yaml.SafeLoader):
    """SafeLoader whose plain scalars follow YAML 1.2: only true/false are booleans, dates stay text."""


_CoreLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in (_BOOL_TAG, _DATE_TAG)]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_CoreLoader.add_implicit_resolver(_BOOL_TAG, _BOOLEAN, list("tTfF"))


def read_yaml(path: Path) -> dict[str, Any]:
    """Read one YAML mapping.

    Parameters
    ----------
    path : Path
        File of at most 1 MB.

    Returns
    -------
    dict
        Mappings, lists, strings, numbers, booleans and None only.

    Raises
    ------
    StudyError
        With every problem found: the file, the line, and the way out.
    """
    return _construct(_compose(_text(path), path), path)


def _fail(path: Path, what: str, way_out: str = "", mark: Any = None) -> StudyError:
    where = f"{path}, line {mark.line + 1}" if mark is not None else str(path)
    return StudyError(Problem(what, where, way_out))


def _text(path: Path) -> str:
    if not path.exists():
        raise _fail(
            path, "there is no such file", "check the path, which is taken from the working directory"
        )
    if not path.is_file():
        raise _fail(path, "this is not a file", "name a YAML file")
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise _fail(
                path,
                f"the file has {size:,} bytes and a YAML file here may have {MAX_BYTES:,}",
                "keep data out of it",
            )
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _fail(path, f"byte {error.start + 1:,} is not UTF-8", "save the file as UTF-8") from None
    except OSError as error:
        raise _fail(path, f"the file cannot be read ({error.strerror})", "check its permissions") from None


def _compose(text: str, path: Path) -> yaml.Node:
    try:
        _bounded(text, path)
        node = yaml.compose(text, Loader=_CoreLoader)
    except yaml.MarkedYAMLError as error:
        what = " ".join(filter(None, (error.context, error.problem)))
        raise _fail(path, f"this is not YAML: {what}", "mend the line", error.problem_mark) from None
    except yaml.reader.ReaderError as error:
        raise _fail(path, f"character {error.position + 1:,} is not allowed in YAML", "remove it") from None
    except yaml.YAMLError:
        raise _fail(path, "this is not YAML", "start from a file of config/studies") from None
    if not isinstance(node, yaml.MappingNode):
        raise _fail(path, "the file does not hold `key: value` lines", "start from a file of config/studies")
    return node


def _bounded(text: str, path: Path) -> None:
    """Refuse aliases, depth and size from the event stream, before anything is built."""
    depth = nodes = 0
    for event in yaml.parse(text, Loader=_CoreLoader):
        nodes += isinstance(event, yaml.NodeEvent)
        if isinstance(event, yaml.AliasEvent):
            raise _fail(
                path,
                f"`*{event.anchor}` repeats another part",
                "write the part out in full",
                event.start_mark,
            )
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH or nodes > MAX_NODES:
            limit = f"{MAX_DEPTH} levels deep" if depth > MAX_DEPTH else f"of {MAX_NODES:,} entries"
            raise _fail(path, f"a file may not be more than {limit}", "keep data out of it", event.start_mark)


def _construct(root: yaml.Node, path: Path) -> dict[str, Any]:
    problems: list[Problem] = []
    loader = _CoreLoader("")

    def problem(node: yaml.Node, what: str, way_out: str) -> None:
        problems.append(Problem(what, f"{path}, line {node.start_mark.line + 1}", way_out))

    def build(node: yaml.Node) -> Any:
        if node.tag not in _CORE_TAGS:
            problem(
                node,
                f"the tag {node.tag.replace('tag:yaml.org,2002:', '!!')} is not allowed",
                "write plain values",
            )
            return None
        if isinstance(node, yaml.SequenceNode):
            return [build(item) for item in node.value]
        if isinstance(node, yaml.MappingNode):
            return mapping(node)
        try:
            value = loader.construct_object(node)
        except (ValueError, yaml.YAMLError):
            problem(node, f"`{node.value[:40]}` is not a number", "put it in quotes if it is text")
            return None
        if isinstance(value, float) and not math.isfinite(value):
            problem(node, f"`{node.value}` is not a finite number", "put it in quotes if it is text")
            return None
        return value

    def mapping(node: yaml.MappingNode) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = build(key_node)
            if not isinstance(key, Hashable) or key is None:
                problem(key_node, "a key is not a word", "write `key: value`")
                continue
            name = key_node.value if isinstance(key_node, yaml.ScalarNode) else str(key)
            if name in result:
                problem(key_node, f"the key `{name}` stands twice", "keep one of them")
            result[name] = build(value_node)
        return result

    content = mapping(root) if isinstance(root, yaml.MappingNode) else {}
    if problems:
        raise StudyError(problems)
    return content
