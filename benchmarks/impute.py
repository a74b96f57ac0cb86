"""20 imputations of a two-level set (2,000 rows, 100 groups, 3 incomplete variables), 10 iterations, beside mice.

`impute.py` prints a section of Markdown; `impute.py nestwise FILE` runs it in this process and prints JSON.
mice's 2l.pan starts its own Gibbs sampler anew at every visit of a variable; the package goes on from where the
last visit left it, and its models hold the means of groups as well.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from time import perf_counter
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
    """The first and the second of two calls, from the data in memory to the draws."""
    import polars as pl

    from nestwise.config.study import Model
    from nestwise.data.dataset import Dataset, VariableInfo
    from nestwise.impute.draw import Chains, draw

    frame = pl.read_csv(file).with_row_index(".row", offset=1).with_columns(pl.col("g").cast(pl.String))
    variables = {name: VariableInfo(name, "continuous", True) for name in "yxz"}
    dataset = Dataset("s", frame.lazy(), variables, {"g": None})
    model = Model(formula="y ~ x + z + (1 | g)")
    spent = []
    for _ in range(2):
        began = perf_counter()
        draw(dataset, "m", model, 20, 1, Chains(iterations=10))
        spent.append(perf_counter() - began)
    return {"first": spent[0], "second": spent[1]}


def main() -> None:
    """Both programs, one after the other, on the same file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "data.csv"
        write_data(file)
        own = timed([sys.executable, __file__, "nestwise", str(file)], LIMIT, one_thread())
        peer = timed(["Rscript", str(HERE / "impute.R"), str(file)], LIMIT, one_thread())
    print("## Multiple imputation\n")
    print("20 imputations of 2,000 rows in 100 groups, 3 incomplete variables, 10 iterations; seconds.\n")
    print(own)
    print(peer)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        print(json.dumps(globals()[sys.argv[1]](Path(sys.argv[2]))))
    else:
        main()
