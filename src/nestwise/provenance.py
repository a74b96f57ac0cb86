"""What a result was made with: fingerprints of the code, versions of the tools."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Mapping
from functools import cache
from hashlib import file_digest, sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parent
IMPORT = re.compile(r"^[ \t]*from[ \t]+(nestwise[\w.]*)[ \t]+import[ \t]+(\([^)]*\)|[^\n#]+)", re.MULTILINE)
"""A module and the names imported from it."""
NAME = re.compile(r"\w+")
TOOLS = (
    "nestwise", "python", "polars", "numpy", "scipy", "statsmodels", "formulaic", "pymc", "pytensor",
    "nutpie", "arviz", "arviz-stats", "numba", "pandera", "matplotlib", "snakemake",
)  # fmt: skip


def fingerprint(*modules: str) -> str:
    """Hash of the files of some modules and of every nestwise module they import.

    Snakemake re-runs a rule when its parameters change; with this among them, an edit in `src/`
    re-runs the steps that reach the edited file and no others.

    Parameters
    ----------
    *modules : str
        Dotted names, e.g. ``nestwise.fit.lmm``; a package stands for all files below it.

    Returns
    -------
    str
        16 hexadecimal digits.

    Raises
    ------
    ModuleNotFoundError
        If a module does not exist.
    """
    reached: set[Path] = set()
    waiting: list[Path] = []
    for module in modules:
        files = _files(module)
        if not files:
            raise ModuleNotFoundError(f"there is no module {module}")
        waiting += files
    seen: set[str] = set()
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached.add(path)
            fresh = [module for module in _imports(path) if module not in seen]
            seen.update(fresh)
            waiting += [file for module in fresh for file in _files(module, whole=False)]
    digest = sha256()
    for path in sorted(reached):
        digest.update(str(path.relative_to(SOURCE)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _files(module: str, *, whole: bool = True) -> list[Path]:
    place = SOURCE.joinpath(*module.split(".")[1:])
    if place.is_dir():
        everything = sorted(
            path for path in place.rglob("*") if path.is_file() and "__pycache__" not in path.parts
        )
        return everything if whole else [place / "__init__.py"]
    return [file] if (file := place.with_suffix(".py")).is_file() else []


@cache
def _imports(path: Path) -> tuple[str, ...]:
    """Names of the nestwise modules that a file imports, at its top or inside functions.

    Read by pattern: every job of a workflow asks for all files anew, and parsing them took most of its start.
    """
    if path.suffix != ".py":
        return ()
    names: set[str] = set()
    for module, imported in IMPORT.findall(path.read_text(encoding="utf-8")):
        names |= {module} | {f"{module}.{name}" for name in NAME.findall(imported)}
    return tuple(sorted(names - {"nestwise"}))


def versions() -> dict[str, str]:
    """Version of every tool a result can depend on; tools that are not installed are left out."""
    found = {"python": platform.python_version()}
    for tool in TOOLS:
        try:
            found.setdefault(tool, version(tool))
        except PackageNotFoundError:
            continue
    return found


def account(
    described: Mapping[str, Any], seed: int, source: str | os.PathLike[str], code: str
) -> dict[str, Any]:
    """What a report needs to say so that its numbers can be made again.

    Parameters
    ----------
    described : mapping
        The study file as checked.
    seed : int
        Root seed.
    source : path-like
        File of the data.
    code : str
        Fingerprint of the code that wrote the report.

    Returns
    -------
    dict
        `versions`, `hashes` (SHA-256 of the data file and of the study's description), `seed`, `platform`.
    """
    with Path(source).open("rb") as stream:
        data = file_digest(stream, "sha256").hexdigest()
    text = json.dumps(described, sort_keys=True, ensure_ascii=False)
    return {
        "versions": versions(),
        "hashes": {
            f"data ({Path(source).name})": data,
            "study file, as checked": sha256(text.encode()).hexdigest(),
            "code of the report": code,
        },
        "seed": seed,
        "platform": f"{platform.system()} {platform.machine()}",
    }
