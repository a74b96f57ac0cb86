"""What each step took, by the size of the data: the table by which `workflow/plan.py` tells costs.

`python benchmarks/costs.py DATA=RESULTS...` reads the logs of finished studies, where DATA is the file of the
study, and puts what they tell into `src/nestwise/costs/measured.tsv`, in the place of what was measured there
at the same size. Studies below 0.1 MB count as one: their jobs take what starting takes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from statistics import median

from machine import ROOT

from nestwise.costs.plan import MEASURED, Measured, log_of, read_measured, step_name
from nestwise.costs.size import megabytes
from nestwise.progress import read_cost

SMALL = 0.1
"""MB of data below which jobs take what starting takes."""


def step_of(benchmark: Path) -> str:
    """The step of a benchmark file: RULE, MODEL.design, MODEL.KIND.draws or MODEL.ENGINE[.STRATEGY]."""
    match benchmark.stem.split("."):
        case [rule]:
            return rule
        case [_, "design"]:
            return "design"
        case [_, _, "draws"]:
            return "draw"
        case [_, engine, *strategy]:
            return step_name("fit", engine, *strategy)
    raise ValueError(benchmark)


def measured(data: Path, results: Path) -> list[tuple[str, Measured]]:
    """Steps of one study and what they took: seconds of CPU, which other work hardly changes."""
    size = max(megabytes(data), SMALL)
    files = sorted((results / "benchmarks").glob("*.tsv"))
    told = [(step_of(file), read_cost(log_of(file))) for file in files]
    return [(step, Measured(size, *cost)) for step, cost in told if cost]


def add(found: Iterable[tuple[str, Measured]]) -> None:
    """Put measurements into the table: one row a step and size, the median of seconds, the largest memory."""
    by_size: dict[tuple[str, float], list[Measured]] = {}
    for step, cost in found:
        by_size.setdefault((step, float(f"{cost.size:.3g}")), []).append(cost)
    rows = {(step, cost.size): cost for step, known in read_measured().items() for cost in known}
    for (step, size), costs in by_size.items():
        seconds, memory = median(cost.seconds for cost in costs), max(cost.memory for cost in costs)
        rows[step, size] = Measured(size, seconds, memory)
    lines = [
        f"{step}\t{size:.3g}\t{cost.seconds:.3g}\t{cost.memory:.0f}"
        for (step, size), cost in sorted(rows.items())
    ]
    MEASURED.write_text("\n".join(["step\tdata_mb\tseconds\tmemory_mb", *lines]) + "\n")
    print(f"{len(lines)} rows in {MEASURED.relative_to(ROOT)}")


if __name__ == "__main__":
    pairs = [argument.split("=") for argument in sys.argv[1:]]
    add(cost for data, results in pairs for cost in measured(Path(data), Path(results)))
