"""How time and memory grow with the data and shrink with workers; prints a section of Markdown.

`scale.py ROWS...` simulates that many rows in a hundredth as many groups, and takes each size by the workflow
from a csv file through reading, validation and preparation to `lmm`, `pymc` and a report, with one worker and
with two. Then a parametric bootstrap of 2,000 refits is spread over the workers in four batches
(`bootstrap.smk`). Seconds of CPU and peaks of memory are what each step writes at the end of its log: other
work on the machine hardly changes them.

`scale.py measure FILE 1,2 ROWS...` adds what one worker and two take to FILE, and `scale.py tables FILE`
prints it: for sizes that are measured at different times. `scale.py costs FILE` adds it to the costs that
`make plan` knows.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from costs import add, measured
from machine import ROOT, one_thread, seconds, table, timed

from nestwise.costs.plan import Measured
from nestwise.costs.size import megabytes

ROWS = (10_000, 100_000, 1_000_000, 10_000_000)
FEWEST = 1000
ROWS_A_GROUP = 100
SEED = 20260103
WORKERS = (1, 2)
REFITS, BATCH = 2000, 500
LIMIT = 7200.0
FORMULA = "y ~ x + z + (x | g)"
STEPS = (
    "read", "validate", "prepare", "design", "fit.lmm", "fit.pymc", "tables", "missing", "diagnose",
    "compare", "sensitivity", "figures", "report",
)  # fmt: skip
STUDY = f"""\
title: Rows
data: {{source: rows.csv}}
groups: {{g: {{}}}}
models:
  growth: {{formula: "{FORMULA}", engines: [lmm, pymc]}}
"""


def simulate(file: Path, rows: int) -> None:
    """Unbalanced groups, a covariate inside and one between them."""
    import numpy as np
    import polars as pl

    groups = rows // ROWS_A_GROUP
    rng = np.random.default_rng(SEED)
    g = np.sort(rng.integers(0, groups, rows))
    x, z = rng.normal(size=rows), rng.normal(size=groups)
    b = rng.multivariate_normal([0, 0], [[0.8, 0.2], [0.2, 0.3]], groups)
    y = 1 + 0.5 * x + 0.3 * z[g] + b[g, 0] + b[g, 1] * x + rng.normal(size=rows)
    frame = pl.DataFrame({"y": y, "x": x, "z": z[g], "g": g})
    frame.write_csv(file, float_precision=6)


def replicate(file: Path, batch: str, target: Path) -> None:
    """The fit, then the refits of one batch, kept as JSON."""
    from nestwise.config.study import Model
    from nestwise.costs.batches import numbers
    from nestwise.data.prepare import load_dataset
    from nestwise.design.build import build_design
    from nestwise.fit.bootstrap import replicate as refits
    from nestwise.fit.state import solve_lmm
    from nestwise.progress import peak_memory

    pieces = numbers(batch)
    design = build_design(load_dataset(file), "growth", Model(formula=FORMULA, engines=("lmm",)))
    state = solve_lmm(design)
    draws = refits(design, state, SEED, pieces.start - 1, pieces.stop - 1)  # sets are counted from 0
    told = {"beta": draws.beta.tolist(), "sigma": draws.sigma.tolist(), "seconds": draws.seconds}
    told |= {"converged": int(draws.converged.sum()), "peak": peak_memory()}
    target.write_text(json.dumps(told))


def fold(target: Path, parts: Sequence[Path]) -> None:
    """All batches as one: refits that converged, mean and standard deviation of each fixed effect."""
    import numpy as np

    told = [json.loads(part.read_text()) for part in parts]
    beta = np.concatenate([part["beta"] for part in told])
    target.write_text(
        json.dumps(
            {
                "refits": len(beta),
                "converged": sum(part["converged"] for part in told),
                "mean": beta.mean(axis=0).tolist(),
                "sd": beta.std(axis=0, ddof=1).tolist(),
                "seconds": sum(part["seconds"] for part in told),
                "peak": max(part["peak"] for part in told),
            }
        )
    )


def snakemake(place: Path, workers: int, *arguments: str) -> float:
    """Seconds of a run of a workflow in a folder."""
    command = [sys.executable, "-m", "snakemake", "--directory", str(place), "--cores", str(workers)]
    done = timed([*command, *arguments], env=one_thread(), limit=LIMIT)
    if done is None or done.code != 0:
        raise SystemExit("stopped" if done is None else done.output)
    return done.wall


def study(place: Path, workers: int) -> dict[str, Any]:
    """Seconds from the csv file to the fits and to the report; CPU seconds and peak (MB) of each step."""
    shutil.rmtree(place / "results", ignore_errors=True)
    (place / "rows.yaml").write_text(STUDY)
    (place / "config.yaml").write_text("studies: [rows.yaml]\nseed: 1\n")
    files = ["--snakefile", str(ROOT / "Snakefile"), "--configfile", str(place / "config.yaml")]
    targets = [f"results/rows/fits/growth.{engine}" for engine in ("lmm", "pymc")]
    fits = snakemake(place, workers, *files, "--", *targets)
    rest = snakemake(place, workers, *files)
    results = place / "results" / "rows"
    costs = {step: [cost.seconds, cost.memory] for step, cost in measured(place / "rows.csv", results)}
    return {"fits": fits, "report": fits + rest, "steps": costs}


def slope(sizes: Sequence[int], values: Sequence[float | None]) -> str:
    """Slope of the least-squares line on log-log axes: 1 grows with the data, 0 does not."""
    pairs = [(math.log(s), math.log(v)) for s, v in zip(sizes, values, strict=True) if v]
    if len(pairs) < 2:
        return "–"
    x, y = (sum(column) / len(pairs) for column in zip(*pairs, strict=True))
    top = sum((a - x) * (b - y) for a, b in pairs)
    return f"{top / sum((a - x) ** 2 for a, _ in pairs):.2f}"


def growth(found: Sequence[Mapping[str, Any]]) -> str:
    """Steps by size with slopes, then whole runs and refits by workers, then peaks. A dash: not measured."""
    sizes = sorted({run["rows"] for run in found})
    runs = {(run["kind"], run["rows"], run["workers"]): run for run in found}
    runs |= {("steps", run["rows"], 0): run["steps"] for run in by_size(found)}

    def line(name: str, kind: str, workers: int, *keys: str | int) -> list[str]:
        values = []
        for rows in sizes:
            value: Any = runs.get((kind, rows, workers))
            for key in keys:
                value = None if value is None else value[key] if isinstance(key, int) else value.get(key)
            values.append(value)
        shown = map(peak if "peak" in keys or 1 in keys else seconds, values)
        return [name, *shown, slope(sizes, values), slope(sizes[-2:], values[-2:])]

    def lines(at: int) -> list[list[str]]:
        return [line(step, "steps", 0, step, at) for step in STEPS]

    times = []
    for workers in WORKERS:
        with_them = f", {workers} worker{'s' if workers > 1 else ''}"
        times.append(line(f"csv file to both fits{with_them}", "study", workers, "fits"))
        times.append(line(f"csv file to report{with_them}", "study", workers, "report"))
        times.append(line(f"{REFITS:,} refits{with_them}", "refits", workers, "wall"))
    peaks = [*lines(1), line(f"{BATCH} refits", "refits", WORKERS[-1], "peak")]
    columns = (*(f"{rows:,} rows" for rows in sizes), "Slope", "Slope at the end")
    parts = (("Seconds of CPU", lines(0)), ("Seconds by the clock", times), ("Peak of memory, MB", peaks))
    return "\n\n".join(table((head, *columns), body, "l" + "r" * len(columns)) for head, body in parts)


def by_size(found: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The study of each size with the fewest workers that was measured."""
    studies = [run for run in found if run["kind"] == "study"]
    least = {run["rows"]: run for run in sorted(studies, key=lambda run: -run["workers"])}
    return list(least.values())


def peak(value: float | None) -> str:
    """Megabytes; a dash for what was not measured."""
    return "–" if value is None else f"{value:,.0f}"


def bootstrap(place: Path, workers: int) -> dict[str, Any]:
    """Seconds of 2,000 refits in batches, and what they gave."""
    for old in ("batches", "bootstrap.json"):
        path = place / old
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    settings = [f"data={place}/results/rows/data/analysis.parquet", f"script={__file__}"]
    settings += [f"refits={REFITS}", f"batch={BATCH}"]
    file = ["--snakefile", str(Path(__file__).with_name("bootstrap.smk"))]
    wall = snakemake(place, workers, *file, "--config", *settings)
    return {"wall": wall} | json.loads((place / "bootstrap.json").read_text())


def measure(file: Path, sizes: Sequence[int], crews: Sequence[int] = WORKERS) -> None:
    """Add a line of JSON for each size, number of workers and kind of work, as soon as it is known."""
    with tempfile.TemporaryDirectory() as folder:
        simulate(Path(folder) / "rows.csv", FEWEST)
        study(Path(folder), 1)  # what is compiled once and kept is not measured
        for rows in sizes:
            place = Path(folder) / str(rows)
            place.mkdir()
            simulate(place / "rows.csv", rows)
            for workers in crews:
                for kind, work in (("study", study), ("refits", bootstrap)):
                    told = {"kind": kind, "rows": rows, "mb": megabytes(place / "rows.csv")}
                    told |= {"workers": workers, **work(place, workers), "load": os.getloadavg()[2]}
                    with file.open("a") as lines:
                        lines.write(json.dumps(told) + "\n")
            shutil.rmtree(place)


def tables(file: Path) -> None:
    """The section, and whether the refits are the same whatever the workers."""
    found = [json.loads(line) for line in file.read_text().splitlines()]
    refits = [run for run in found if run["kind"] == "refits"]
    draws: dict[int, set[str]] = {}
    for run in refits:
        draws.setdefault(run["rows"], set()).add(json.dumps([run["mean"], run["sd"]]))
    told = "are the same" if all(len(each) == 1 for each in draws.values()) else "DIFFER"
    converged, loads = min(run["converged"] for run in refits), [run["load"] for run in found]
    print(f"## From a csv file to a report, and {REFITS:,} refits, by size: `{FORMULA}`\n")
    print(growth(found))
    print(
        "\nSlopes are those of straight lines on log-log axes, through all sizes and through the last two: 1 "
        "grows with the data, 0 does not. What starting takes hides the growth of small data."
    )
    print(
        f"\nThe load of the machine, averaged over a quarter of an hour, was {min(loads):.1f} to "
        f"{max(loads):.1f}. The refits come in batches of {BATCH}, each with a fit of its own first; at "
        f"least {converged:,} of {REFITS:,} converged. Their numbers {told}, whatever the workers."
    )


def costs(file: Path) -> None:
    """Add the steps of the study of each size to the table by which plans are made."""
    found = [json.loads(line) for line in file.read_text().splitlines()]
    add([(step, Measured(run["mb"], *cost)) for run in by_size(found) for step, cost in run["steps"].items()])


def main(sizes: Sequence[int]) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scale.jsonl"
        measure(file, sizes)
        tables(file)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["replicate", file, batch, target]:
            replicate(Path(file), batch, Path(target))
        case ["fold", target, *parts]:
            fold(Path(target), [Path(part) for part in parts])
        case ["measure", file, workers, *sizes]:
            measure(Path(file), [int(rows) for rows in sizes], [int(crew) for crew in workers.split(",")])
        case ["tables", file]:
            tables(Path(file))
        case ["costs", file]:
            costs(Path(file))
        case sizes:
            main([int(rows) for rows in sizes] or ROWS)
