"""On what the benchmarks ran: versions and kind of machine, no names; and how a process is timed."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).parents[1]
TOOLS = ("nestwise", "numpy", "scipy", "polars", "numba", "statsmodels", "pymc", "nutpie", "snakemake")


@dataclass(frozen=True)
class Timed:
    """A finished process: seconds by the clock, seconds of CPU with its children, exit code, output."""

    wall: float
    cpu: float
    code: int
    output: str


def timed(
    command: Sequence[str], *, env: Mapping[str, str], limit: float, cwd: Path | None = None
) -> Timed | None:
    """Run a command; `None` if it was stopped after `limit` seconds."""
    began = perf_counter()
    with subprocess.Popen(
        command, cwd=cwd, env=dict(env), text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    ) as process:  # fmt: skip
        stopped = threading.Event()

        def stop() -> None:
            stopped.set()
            os.killpg(process.pid, 9)

        timer = threading.Timer(limit, stop)
        timer.start()
        output = process.stdout.read() if process.stdout else ""
        _, status, used = os.wait4(process.pid, 0)  # CPU of this child alone, and of its children
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = perf_counter() - began
    if stopped.is_set():
        return None
    return Timed(wall, used.ru_utime + used.ru_stime, process.returncode, output)


def one_thread(caches: Path | None = None) -> dict[str, str]:
    """The environment, with one thread a process as the workflow has it.

    With a folder, byte code and Numba's compiled code are kept there, whatever the shell says of byte code:
    empty at first, full from the second process on.
    """
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")
    environment = os.environ | dict.fromkeys(names, "1")
    if caches is not None:
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        environment |= {
            "PYTHONPYCACHEPREFIX": str(caches / "bytecode"),
            "NUMBA_CACHE_DIR": str(caches / "numba"),
        }
    return environment


def table(head: Sequence[str], rows: Sequence[Sequence[str]], align: str) -> str:
    """A Markdown table; `align` has a letter a column, l or r."""
    rule = ["---:" if letter == "r" else "---" for letter in align]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def seconds(value: float | None) -> str:
    """Seconds to two digits; a dash for what was not measured."""
    if value is None:
        return "–"
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}" if value >= 1 else f"{value:.3f}"


def times(quotient: float) -> str:
    """How many times as quick, to two digits or more, never in powers of ten."""
    return f"{quotient:.0f}" if quotient >= 10 else f"{quotient:.2g}"


def memory() -> str:
    """Memory of the machine in GB, where the system tells."""
    try:
        size = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    except OSError:
        return ""
    return f", {int(size[1]) / 2**20:.0f} GB of memory" if size else ""


def header(note: str) -> str:
    """What stands above the tables."""
    versions = [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in TOOLS)]
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`; `README.md` says what is measured.",
        "",
        f"- Date: {datetime.now(UTC):%Y-%m-%d}",
        f"- Machine: {platform.system()}, {platform.machine()}, {os.cpu_count()} cores{memory()}; "
        f"load average at the start {os.getloadavg()[0]:.1f}",
        f"- Versions: {', '.join(versions)}",
        *([f"- Note: {note}"] if note else []),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(header(" ".join(sys.argv[1:])))
