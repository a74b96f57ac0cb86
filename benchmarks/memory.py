"""Ten million rows from a parquet file to a fit, with the memory it took; prints a section of Markdown.

`memory.py` runs itself as `memory.py write FILE` and `memory.py fit FILE`, each in a process of its own. The
peak is `ru_maxrss`: the most the process ever held, the reading and Python itself included (the process that
starts it is small, as a new process inherits the peak of the old).
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from pathlib import Path
from time import perf_counter

ROWS, GROUPS, SEED = 10_000_000, 100_000, 20260103
FORMULA = "y ~ x + z + (x | g)"


def write(file: Path, rows: int, groups: int) -> None:
    """Unbalanced groups in the order of their ids, a covariate inside and one between them."""
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(SEED)
    g = np.sort(rng.integers(0, groups, rows))
    x, z = rng.normal(size=rows), rng.normal(size=groups)
    b = rng.multivariate_normal([0, 0], [[0.8, 0.2], [0.2, 0.3]], groups)
    y = 1 + 0.5 * x + 0.3 * z[g] + b[g, 0] + b[g, 1] * x + rng.normal(size=rows)
    pl.DataFrame({"y": y, "x": x, "z": z[g], "g": g}).write_parquet(file)


def fit(file: Path) -> None:
    """Read, fit, and print the time and the peak as JSON."""
    from engines import dataset_of

    from nestwise.config.study import Model
    from nestwise.engines import fit_model

    began = perf_counter()
    model = Model(formula=FORMULA, engines=("lmm",))
    dataset = dataset_of("rows", file, model, ("g",), in_memory=False)
    read = perf_counter() - began
    done = fit_model(dataset, "rows", model, "lmm")
    if done.log_likelihood is None:
        raise SystemExit(done.reason)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    told = {"read": read, "first": done.seconds, "log_likelihood": done.log_likelihood, "peak": peak}
    print("\n" + json.dumps(told))


def main() -> None:
    """Write the file, fit it in a process of its own, and print the table."""
    from machine import one_thread, seconds, table, timed

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.parquet"
        caches = one_thread(Path(folder) / "caches")
        timed([sys.executable, __file__, "write", str(file)], env=caches, limit=600)
        done = timed([sys.executable, __file__, "fit", str(file)], env=caches, limit=600)
    if done is None or done.code != 0:
        print("stopped" if done is None else done.output, file=sys.stderr)
        row = ["nestwise `lmm`", "failed", "", "", "", ""]
    else:
        found = json.loads(done.output.strip().splitlines()[-1])
        times = [seconds(found["read"]), seconds(found["first"]), seconds(done.wall)]
        row = ["nestwise `lmm`", *times, f"{found['peak'] / 1e9:.1f}", f"{found['log_likelihood']:.4f}"]
    head = ("Engine", "Preparing", "File to fit", "Whole process", "Peak memory, GB", "Log-likelihood")
    title = f"## {ROWS:,} rows, {GROUPS:,} groups: `{FORMULA}`"
    print("\n".join([title, "", table(head, [row], "lrrrrr")]))


if __name__ == "__main__":
    if sys.argv[1:2] == ["write"]:
        write(Path(sys.argv[2]), ROWS, GROUPS)
    elif sys.argv[1:2] == ["fit"]:
        fit(Path(sys.argv[2]))
    else:
        main()
