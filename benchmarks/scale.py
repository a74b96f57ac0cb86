"""How time and memory grow with the data and shrink with workers; prints a section of Markdown.

`scale.py ROWS...` simulates that many rows in a hundredth as many groups, and takes each size by the workflow
from a csv file through reading, validation and preparation to `lmm` and `pymc`, with one worker and with two.
Then a parametric bootstrap of 2,000 refits of the largest size is spread over the workers in four batches
(`bootstrap.smk`). Seconds and peaks are those that Snakemake measures of each job.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from machine import ROOT, one_thread, seconds, table, timed

ROWS = (10_000, 100_000, 1_000_000)
ROWS_A_GROUP = 100
SEED = 20260103
WORKERS = (1, 2)
REFITS, BATCH = 2000, 500
LIMIT = 3600.0
FORMULA = "y ~ x + z + (x | g)"
STEPS = ("read", "validate", "prepare", "growth.lmm", "growth.pymc")
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

    pieces = numbers(batch)
    design = build_design(load_dataset(file), "growth", Model(formula=FORMULA, engines=("lmm",)))
    state = solve_lmm(design)
    draws = refits(design, state, SEED, pieces.start - 1, pieces.stop - 1)  # sets are counted from 0
    told = {"beta": draws.beta.tolist(), "sigma": draws.sigma.tolist(), "seconds": draws.seconds}
    target.write_text(json.dumps(told | {"converged": int(draws.converged.sum())}))


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


def study(place: Path, workers: int) -> tuple[float, dict[str, tuple[float, float]]]:
    """Seconds of the whole run; seconds and peak (MB) of each step."""
    from nestwise.costs.plan import read_benchmark

    shutil.rmtree(place / "results", ignore_errors=True)
    (place / "rows.yaml").write_text(STUDY)
    (place / "config.yaml").write_text("studies: [rows.yaml]\nseed: 1\n")
    files = ["--snakefile", str(ROOT / "Snakefile"), "--configfile", str(place / "config.yaml")]
    targets = [f"results/rows/fits/growth.{engine}" for engine in ("lmm", "pymc")]
    wall, found = snakemake(place, workers, *files, "--", *targets), {}
    for step in STEPS:
        cost = read_benchmark(str(place / f"results/rows/benchmarks/{step}.tsv"), 1.0)
        found[step] = (cost.seconds, cost.memory) if cost else (math.nan, math.nan)
    return wall, found


def slope(sizes: Sequence[float], values: Sequence[float]) -> str:
    """Slope of the least-squares line on log-log axes: 1 grows with the data, 0 does not."""
    pairs = [(math.log(s), math.log(v)) for s, v in zip(sizes, values, strict=True) if v > 0]
    if len(pairs) < 2:
        return ""
    x, y = (sum(column) / len(pairs) for column in zip(*pairs, strict=True))
    top = sum((a - x) * (b - y) for a, b in pairs)
    return f"{top / sum((a - x) ** 2 for a, _ in pairs):.2f}"


def growth(
    sizes: Sequence[int], runs: Mapping[tuple[int, int], tuple[float, dict[str, tuple[float, float]]]]
) -> str:
    """Steps by size, with the slopes; the whole run by workers."""
    head = ("Step", *(f"{rows:,} rows" for rows in sizes), "Slope")
    lines = []
    for step in STEPS:
        for at, unit in enumerate(("seconds", "peak, MB")):
            values = [runs[rows, WORKERS[0]][1][step][at] for rows in sizes]
            shown = [seconds(value) if at == 0 else f"{value:,.0f}" for value in values]
            lines.append([f"{step}, {unit}", *shown, slope(sizes, values)])
    for workers in WORKERS:
        values = [runs[rows, workers][0] for rows in sizes]
        name = f"the whole run, {workers} worker{'s' if workers > 1 else ''}, seconds"
        lines.append([name, *map(seconds, values), slope(sizes, values)])
    return table(head, lines, "l" + "r" * (len(sizes) + 1))


def bootstrap(place: Path, workers: int) -> tuple[float, dict]:
    """Seconds of 2,000 refits in batches, and what they gave."""
    for old in ("batches", "bootstrap.json"):
        path = place / old
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    settings = [f"data={place}/results/rows/data/analysis.parquet", f"script={__file__}"]
    settings += [f"refits={REFITS}", f"batch={BATCH}"]
    file = ["--snakefile", str(Path(__file__).with_name("bootstrap.smk"))]
    wall = snakemake(place, workers, *file, "--config", *settings)
    return wall, json.loads((place / "bootstrap.json").read_text())


def main(sizes: Sequence[int]) -> None:
    """Both tables."""
    runs, refits = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for rows in sizes:
            place = Path(folder) / str(rows)
            place.mkdir()
            simulate(place / "rows.csv", rows)
            if rows == sizes[0]:
                study(place, WORKERS[0])  # what is compiled once and kept is not measured
            for workers in WORKERS:
                print(f"{rows:,} rows, {workers} workers", file=sys.stderr)
                runs[rows, workers] = study(place, workers)
            if rows == sizes[-1]:
                refits = {workers: bootstrap(place, workers) for workers in WORKERS}
            (place / "rows.csv").unlink()
    print("\n".join([f"## From a csv file to two fits, by size: `{FORMULA}`", "", growth(sizes, runs), ""]))
    same = len({json.dumps([told["mean"], told["sd"]]) for _, told in refits.values()}) == 1
    lines = [
        [str(workers), seconds(wall), seconds(told["seconds"]), str(told["converged"])]
        for workers, (wall, told) in refits.items()
    ]
    head = ("Workers", "Seconds, fits of each batch included", "Seconds of refitting", "Converged")
    title = f"## {REFITS:,} refits of {sizes[-1]:,} rows, in batches of {BATCH}"
    told = "The numbers are the same, whatever the workers." if same else "THE NUMBERS DIFFER."
    print("\n".join([title, "", table(head, lines, "rrrr"), "", told]))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["replicate", file, batch, target]:
            replicate(Path(file), batch, Path(target))
        case ["fold", target, *parts]:
            fold(Path(target), [Path(part) for part in parts])
        case sizes:
            main([int(rows) for rows in sizes] or ROWS)
