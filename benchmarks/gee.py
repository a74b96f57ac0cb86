"""Population-averaged logistic regression of 437,855 rows in 125,066 clusters beside geepack and statsmodels.

`gee.py` prints a section of Markdown; `gee.py nestwise|statsmodels FILE` runs one of them in this process and
prints JSON.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from cases import many_small_groups
from machine import one_thread, seconds, table, timed

HERE = Path(__file__).parent
LIMIT = 300.0
"""Seconds after which a process is stopped."""
FORMULA = "y ~ c1 + c2 + x"


def nestwise(file: Path) -> dict[str, Any]:
    """The second of two calls, from the data in memory to the `Fit`: influence and checks included."""
    from engines import dataset_of

    from nestwise.config.study import Model
    from nestwise.engines import fit_model

    model = Model(formula=f"{FORMULA} + (1 | g)", family="binomial", engines=("gee",))
    dataset = dataset_of("clusters", file, model, ("g",))
    for _ in range(2):
        began = perf_counter()
        fit = fit_model(dataset, "m", model, "gee")
        spent = perf_counter() - began
    rows = {(row.component, row.term): row for row in fit.estimates}
    x, alpha = rows["fixed", "x"], rows["residual", "alpha"].estimate
    return {"seconds": spent, "estimate": x.estimate, "std_error": x.std_error, "alpha": alpha}


def statsmodels(file: Path) -> dict[str, Any]:
    """One call, from the data frame to estimates with robust standard errors."""
    import polars as pl
    import statsmodels.api as sm
    import statsmodels.formula.api as smf

    frame = pl.read_csv(file).to_pandas()
    began = perf_counter()
    working = sm.cov_struct.Exchangeable()
    fit = smf.gee(FORMULA, "g", frame, family=sm.families.Binomial(), cov_struct=working).fit()
    spent = perf_counter() - began
    found = {"estimate": float(fit.params["x"]), "std_error": float(fit.bse["x"])}
    return {"seconds": spent, **found, "alpha": float(working.dep_params)}


ENGINES: Mapping[str, Callable[[Path], dict[str, Any]]] = {"nestwise": nestwise, "statsmodels": statsmodels}


def measured(name: str, file: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """The last line of a process as JSON; empty if it failed, took too long or is not there."""
    print(name, file=sys.stderr)
    command = [sys.executable, __file__, name, str(file)]
    if name not in ENGINES:
        command = ["Rscript", str(HERE / "gee.R"), str(file)]
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
    """The table."""
    import numpy as np
    import polars as pl

    frame = many_small_groups(437_855, 125_066, seed=20260107)
    noise = np.random.default_rng(20260108).logistic(size=frame.height)
    frame = frame.with_columns(y=pl.Series((frame["y"].to_numpy() - 1.5 + noise > 0).astype(int)))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "clusters.csv"
        frame.write_csv(file)
        environment = one_thread(Path(folder) / "caches")
        first = 0.0
        for name in ("nestwise", "geepack", "statsmodels"):
            found = measured(name, file, environment)
            if not found:
                rows.append([name, "skipped", "", "", ""])
                continue
            first = first or found["seconds"]
            numbers = f"{found['estimate']:.6f} ({found['std_error']:.6f})"
            ratio = f"{found['seconds'] / first:.1f}"
            rows.append([name, seconds(found["seconds"]), ratio, numbers, f"{found['alpha']:.5f}"])
    print("## Population averages: exchangeable logistic regression, 437,855 rows in 125,066 clusters\n")
    print("One thread; robust standard errors; nestwise's time includes influence and checks.\n")
    print(table(("Engine", "Seconds", "Times nestwise", "x (SE)", "Correlation"), rows, "lrrrr"))


if __name__ == "__main__":
    if sys.argv[1:]:
        engine, path = sys.argv[1:]
        print("\n" + json.dumps(ENGINES[engine](Path(path))))
    else:
        main()
