"""The studies of the gallery by the workflow, in a folder of their own; prints a section of Markdown.

Cold: no compiled code of nestwise, Numba, PyTensor or Matplotlib. Warm: the same again without results.
No-op: the same again with nothing to do.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from machine import ROOT, one_thread, seconds, table, timed

CORES = "2"
LIMIT = 1800.0
PARTS = ("workflow", "envs", "config", "src")


def workspace(folder: Path) -> Path:
    """A copy of what the workflow needs."""
    place = folder / "gallery"
    place.mkdir()
    shutil.copy(ROOT / "Snakefile", place)
    for part in PARTS:
        shutil.copytree(ROOT / part, place / part, ignore=shutil.ignore_patterns("__pycache__"))
    return place


def run(name: str, place: Path, environment: dict[str, str]) -> list[str]:
    """One run of the workflow as a row of the table."""
    print(f"gallery, {name}", file=sys.stderr)
    asked = [sys.executable, "-m", "snakemake", "--cores", CORES, "--keep-going", "--rerun-incomplete"]
    done = timed(asked, env=environment, limit=LIMIT, cwd=place)
    if done is None or done.code != 0:
        print("stopped" if done is None else done.output, file=sys.stderr)
        return [name, "stopped" if done is None else "failed", "", ""]
    steps = re.findall(r"(\d+) of \d+ steps", done.output)
    return [name, seconds(done.wall), seconds(done.cpu), max(steps, key=int, default="0")]


def main() -> None:
    """Cold, warm and idle runs, one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        place = workspace(Path(folder))
        caches = Path(folder) / "caches"
        caches.mkdir()
        environment = one_thread() | {
            "NESTWISE_CACHE": str(caches / "nestwise"),
            "XDG_CACHE_HOME": str(caches),
            "PYTHONPATH": str(place / "src"),
        }
        environment.pop("MPLCONFIGDIR", None)
        rows = [run("cold caches", place, environment)]
        shutil.rmtree(place / "results", ignore_errors=True)
        rows += [run("warm caches, no results", place, environment)]
        rows += [run("nothing to do", place, environment)]
    head = ("Run", "Seconds", "CPU seconds", "Jobs")
    cores = f"{CORES} of {os.cpu_count()} cores"
    print("\n".join([f"## The gallery by the workflow, {cores}", "", table(head, rows, "lrrr")]))


if __name__ == "__main__":
    main()
