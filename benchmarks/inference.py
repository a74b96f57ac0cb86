"""What comes after the fit: bootstrap refits a minute beside bootMer, Kenward-Roger beside pbkrtest.

`inference.py` prints a section of Markdown; `inference.py bootstrap|kr CASE FILE` runs nestwise in a process
of its own and prints JSON.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from cases import CASES, Case, data_of
from machine import one_thread, seconds, table, timed

HERE = Path(__file__).parent
LIMIT = 300.0
"""Seconds after which a process is stopped."""
REFITS = {"nestwise": 2000, "peer": 100}
"""Refits that are timed; the quicker engine needs more of them to be measured at all."""
CHOSEN = ("sleepstudy", "radon", "exam")


def nestwise(task: str, case: Case, file: Path) -> dict[str, Any]:
    """Seconds of one task, by the second call of the same function, so that nothing is compiled in it."""
    import numpy as np
    from engines import dataset_of

    from nestwise.config.study import Model
    from nestwise.design.build import build_design
    from nestwise.fit.bootstrap import bootstrap
    from nestwise.fit.fixed_effects import fixed_effect_inference
    from nestwise.fit.state import solve_lmm

    model = Model(formula=case.formula, engines=("lmm",))
    design = build_design(dataset_of(case.name, file, model, case.groups), case.name, model)
    state = solve_lmm(design)
    spent, df = 0.0, None
    for _ in range(2):
        began = perf_counter()
        if task == "bootstrap":
            bootstrap(design, state, REFITS["nestwise"], seed=1)
        else:
            found = fixed_effect_inference(design, state, "kenward_roger")
            df = float(found.t(np.eye(design.X.shape[1]))[1])
        spent = perf_counter() - began
    return {"seconds": spent, "df": df}


def measured(command: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """The last line of a process as JSON; empty if it failed or took too long."""
    done = timed(command, env=environment, limit=LIMIT)
    if done is None or done.code != 0:
        print("stopped" if done is None else done.output, file=sys.stderr)
        return {}
    found: dict[str, Any] = json.loads(done.output.strip().splitlines()[-1])
    return found


def row_of(task: str, case: Case, file: Path, environment: Mapping[str, str]) -> list[str]:
    """One row: ours, the peer's, the ratio."""
    print(f"{task} of {case.name}", file=sys.stderr)
    ours = measured([sys.executable, __file__, task, case.name, str(file)], environment)
    asked = [task, str(file), case.formula, ",".join(case.groups), str(REFITS["peer"])]
    peer = measured(["Rscript", str(HERE / "inference.R"), *asked], environment)
    if not ours or not peer:
        told = "failed" if not ours else f"over {LIMIT:.0f} s, or no R"
        return [case.name, "" if not ours else seconds(ours["seconds"]), told, "", ""]
    if task == "bootstrap":
        rates = (60 * REFITS["nestwise"] / ours["seconds"], 60 * REFITS["peer"] / peer["seconds"])
        return [case.name, f"{rates[0]:,.0f}", f"{rates[1]:,.0f}", f"{rates[0] / rates[1]:,.0f}", ""]
    ratio = f"{peer['seconds'] / ours['seconds']:,.0f}"
    dfs = f"{ours['df']:.3f}, {peer['df']:.3f}"
    return [case.name, seconds(ours["seconds"]), seconds(peer["seconds"]), ratio, dfs]


def main() -> None:
    """Both tables."""
    cases = [case for case in CASES if case.name in CHOSEN]
    tables: dict[str, list[list[str]]] = {"bootstrap": [], "kr": []}
    with tempfile.TemporaryDirectory() as folder:
        environment = one_thread(Path(folder) / "caches")
        for task, rows in tables.items():
            for case in cases:
                file = Path(folder) / f"{case.name}.csv"
                data_of(case).write_csv(file)
                rows.append(row_of(task, case, file, environment))
    head = ("Model", "nestwise, refits a minute", "lme4 `bootMer`, refits a minute", "Ratio", "")
    print("## Parametric bootstrap\n\nOne thread; the models are those above.\n")
    print(table([*head[:4]], [row[:4] for row in tables["bootstrap"]], "lrrr"))
    print("\n## Kenward-Roger: adjusted covariance and degrees of freedom of all fixed effects\n")
    head = (
        "Model",
        "nestwise, seconds",
        "lmerTest with pbkrtest, seconds",
        "Ratio",
        "df of the second effect",
    )
    print(table(head, tables["kr"], "lrrrr"))


if __name__ == "__main__":
    if sys.argv[1:]:
        task, name, file = sys.argv[1:]
        case = next(case for case in CASES if case.name == name)
        print("\n" + json.dumps(nestwise(task, case, Path(file))))
    else:
        main()
