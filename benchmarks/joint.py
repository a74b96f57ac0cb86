"""The joint imputation model beside pan, and 100 analyses pooled; prints a section of Markdown."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from dataclasses import replace
from importlib import resources
from pathlib import Path
from time import perf_counter

import numpy as np
import polars as pl
from engines import dataset_of

from nestwise.config.study import Model
from nestwise.imputation.joint import JointData, JointPrior, impute_joint
from nestwise.impute.analyse import analyse
from nestwise.impute.pool import pool

HERE = Path(__file__).parent
M, BURN, BETWEEN = 20, 1000, 100
REPEATS = 5


def incomplete() -> pl.DataFrame:
    """2,000 rows in 100 groups, three variables with a fifth of their values missing."""
    rng = np.random.default_rng(20261101)
    J, n = 100, 20
    g = np.repeat(np.arange(J), n)
    x = rng.normal(size=J * n)
    b = rng.normal(size=(J, 3)) * 0.7
    Y = 1 + np.outer(x, [0.5, -0.3, 0.2]) + b[g] + rng.normal(size=(J * n, 3)) @ np.tri(3)
    Y[rng.random(Y.shape) < 0.2] = np.nan
    columns = {"g": g + 1, "x": x} | {f"y{v + 1}": Y[:, v] for v in range(3)}
    return pl.DataFrame(columns).fill_nan(None)


def ours(frame: pl.DataFrame) -> tuple[float, np.ndarray]:
    """The quickest of some runs after a first one, and the mean residual covariance."""
    Y = frame.select("y1", "y2", "y3").fill_null(np.nan).to_numpy()
    X = np.column_stack([np.ones(len(Y)), frame["x"].to_numpy()])
    none = np.zeros((100, 0))
    names = ("y1", "y2", "y3")
    codes = frame["g"].to_numpy() - 1
    data = JointData(Y, ("continuous",) * 3, X, X[:, :1], codes, none, none, names)
    prior = JointPrior(3.0, np.eye(3), 3.0, np.eye(3))
    times = []
    for _ in range(REPEATS + 1):
        began = perf_counter()
        draws = impute_joint(data, M, 1, burn=BURN, between=BETWEEN, prior=prior)
        times.append(perf_counter() - began)
    return min(times[1:]), draws.Sigma[BURN // 2 : BURN].mean(axis=0)


def theirs(file: Path) -> tuple[float, np.ndarray] | None:
    """The quickest of as many processes of R."""
    command = ["Rscript", str(HERE / "pan.R"), str(file), str(M), str(BURN), str(BETWEEN)]
    if shutil.which("Rscript") is None:
        return None
    found = []
    for _ in range(REPEATS):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return None
        found.append(json.loads(done.stdout.strip().splitlines()[-1]))
    return min(each["time"] for each in found), np.array(found[0]["Sigma"]).reshape(3, 3)


def pooling() -> tuple[float, float]:
    """Seconds of 100 analyses of radon with 30% of the outcomes drawn, and of pooling them."""
    model = Model(formula="log.radon ~ basement + uranium + (basement | county)", engines=("lmm",))
    file = resources.files("nestwise.data") / "datasets" / "radon.csv"
    with resources.as_file(file) as path:
        dataset = dataset_of("radon", path, model, ["county"])
    frame, rng, sets = dataset.frame.collect(), np.random.default_rng(20261102), []
    for _ in range(101):
        y = frame["log.radon"].to_numpy().copy()
        gone = rng.random(y.size) < 0.3
        y[gone] += 0.75 * rng.normal(size=gone.sum())
        sets.append(replace(dataset, frame=frame.with_columns(pl.Series("log.radon", y)).lazy()))
    analyse(sets[:1], "radon", model, "lmm")
    began = perf_counter()
    fits = analyse(sets[1:], "radon", model, "lmm")
    between = perf_counter()
    pool(fits)
    return between - began, perf_counter() - between


def main() -> None:
    frame = incomplete()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "incomplete.csv"
        frame.write_csv(file, null_value="NA")
        peer = theirs(file)
    time, Sigma = ours(frame)
    print("## Joint imputation model\n")
    print(
        f"{M} imputations of 2,000 rows in 100 groups, three incomplete variables; {BURN} iterations before"
    )
    print(f"the first and {BETWEEN} from one to the next. The quickest of {REPEATS} runs, on one thread.\n")
    print("| | Seconds | Ratio | Residual variances |\n|---|---|---|---|")
    print(f"| `joint` | {time:.2f} | | {', '.join(f'{each:.2f}' for each in np.diag(Sigma))} |")
    if peer is None:
        print("| pan | skipped: not installed | | |")
    else:
        seconds, of_pan = peer
        variances = ", ".join(f"{each:.2f}" for each in np.diag(of_pan))
        print(f"| pan | {seconds:.2f} | {seconds / time:.2f} | {variances} |")
    analysed, pooled = pooling()
    print("\n100 imputations of radon (919 rows, 85 counties, intercepts and slopes vary), `lmm`:")
    print(f"analysed in {analysed:.2f} s, pooled in {pooled:.3f} s.")


if __name__ == "__main__":
    main()
