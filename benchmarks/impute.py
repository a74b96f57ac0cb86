"""20 imputations of a two-level set beside mice: 2,000 rows, 100 groups, 3 variables with gaps, 10 sweeps.

`impute.py` prints a section of Markdown; `impute.py nestwise FILE` runs it in this process and prints JSON.
mice's 2l.pan starts its own Gibbs sampler anew at every visit of a variable; the package goes on from where
the last visit left it, and its models hold the means of groups as well.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
from machine import one_thread, seconds, table, timed

HERE = Path(__file__).parent
LIMIT = 300.0
"""Seconds after which a process is stopped."""
GROUPS, SIZE = 100, 20


def write_data(file: Path) -> None:
    """Three correlated variables with a fifth of their values missing."""
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(GROUPS), SIZE)
    factor = np.linalg.cholesky(np.array([[1.0, 0.4, 0.3], [0.4, 1.0, 0.2], [0.3, 0.2, 1.0]]))
    values = rng.normal(size=(g.size, 3)) @ factor.T + (0.6 * rng.normal(size=(GROUPS, 3)))[g]
    values[rng.random(values.shape) < 0.2] = np.nan
    lines = [
        f"{group}," + ",".join("" if np.isnan(each) else f"{each:.6f}" for each in row)
        for group, row in zip(g, values, strict=True)
    ]
    file.write_text("\n".join(["g,y,x,z", *lines]) + "\n")


def nestwise(file: Path) -> dict[str, Any]:
    """The first and the second of two calls, from the data in memory to the draws: wall and CPU seconds."""
    import polars as pl

    from nestwise.config.study import Model
    from nestwise.data.dataset import Dataset, VariableInfo
    from nestwise.impute.draw import Chains, draw

    frame = pl.read_csv(file).with_row_index(".row", offset=1).with_columns(pl.col("g").cast(pl.String))
    variables = {name: VariableInfo(name, "continuous", True) for name in "yxz"}
    dataset = Dataset("s", frame.lazy(), variables, {"g": None})
    model = Model(formula="y ~ x + z + (1 | g)")
    spent = {}
    for call in ("first", "second"):
        began, worked = perf_counter(), process_time()
        draw(dataset, "m", model, 20, 1, Chains(iterations=10))
        spent |= {call: perf_counter() - began, f"{call} CPU": process_time() - worked}
    return spent


def measured(command: list[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """The last line of a process as JSON; empty if it failed, took too long or is not there."""
    try:
        done = timed(command, env=environment, limit=LIMIT)
    except FileNotFoundError:
        return {}
    if done is None or done.code != 0:
        print("stopped" if done is None else done.output, file=sys.stderr)
        return {}
    found: dict[str, Any] = json.loads(done.output.strip().splitlines()[-1])
    return found


def main() -> None:
    """The table: nestwise in a process without compiled code, in one with it, and mice."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "data.csv"
        write_data(file)
        environment = one_thread(Path(folder) / "caches")
        own = [sys.executable, __file__, "nestwise", str(file)]
        ever, later = measured(own, environment), measured(own, environment)
        peer = measured(["Rscript", str(HERE / "impute.R"), str(file)], environment)
    rows = []
    for label, found, call in (
        ("nestwise, ever (compiles)", ever, "first"),
        ("nestwise, first call", later, "first"),
        ("nestwise, second call", later, "second"),
        ("mice, 2l.pan", peer, "first"),
    ):
        if not found:
            rows.append([label, "skipped", "", ""])
            continue
        ratio = found[f"{call} CPU"] / later["second CPU"]
        rows.append([label, seconds(found[call]), seconds(found[f"{call} CPU"]), f"{ratio:.1f}"])
    print("## Multiple imputation: 20 imputations of 2,000 rows in 100 groups, 3 variables, 10 iterations\n")
    print(table(("Program", "Seconds", "CPU seconds", "Times nestwise"), rows, "lrrr"))


if __name__ == "__main__":
    if sys.argv[1:]:
        print("\n" + json.dumps(nestwise(Path(sys.argv[2]))))
    else:
        main()
