"""What each step took, by the size of the data: the table by which `workflow/plan.py` tells costs.

`python benchmarks/costs.py DATA=RESULTS...` reads `RESULTS/benchmarks/*.tsv` of finished studies, where
DATA is the file of the study, and writes `src/nestwise/costs/measured.tsv`. Studies below 0.1 MB count as
one: their jobs take what starting takes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median

from machine import ROOT

from nestwise.costs.plan import MEASURED, Measured, read_benchmark, step_name
from nestwise.costs.size import megabytes

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
    """Steps of one study and what they took."""
    size = max(megabytes(data), SMALL)
    files = sorted((results / "benchmarks").glob("*.tsv"))
    return [(step_of(file), cost) for file in files if (cost := read_benchmark(str(file), size))]


def main() -> None:
    """Write one row a step and size: the median of the seconds, the largest memory."""
    pairs = [argument.split("=") for argument in sys.argv[1:]]
    found: dict[tuple[str, float], list[Measured]] = {}
    for data, results in pairs:
        for step, cost in measured(Path(data), Path(results)):
            found.setdefault((step, cost.size), []).append(cost)
    lines = ["step\tdata_mb\tseconds\tmemory_mb"]
    for (step, size), costs in sorted(found.items()):
        seconds, memory = median(cost.seconds for cost in costs), max(cost.memory for cost in costs)
        lines.append(f"{step}\t{size:.3g}\t{seconds:.3g}\t{memory:.0f}")
    MEASURED.write_text("\n".join(lines) + "\n")
    print(f"{len(lines) - 1} rows in {MEASURED.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
