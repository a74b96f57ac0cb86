"""One model by one engine, twice, in this process: `engines.py lmm|mixedlm CASE FILE LIMIT`; prints JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from cases import CASES, Case


def by_lmm(case: Case, file: Path) -> Callable[[], float]:
    """From the file to a function that designs and fits: estimates, intervals, group effects and all."""
    from nestwise.config.study import Data, Group, Model, Study
    from nestwise.data.contract import validate
    from nestwise.data.prepare import prepare
    from nestwise.data.read import read
    from nestwise.engines import fit_model

    model = Model(formula=case.formula, engines=("lmm",))
    groups = {case.group: Group()}
    data = Data(source=str(file))
    study = Study(title=case.name, data=data, groups=groups, models={case.name: model})
    typed = read(file, data, {}, groups, None)
    dataset = prepare(typed, validate(typed, study, source=file.name), case.name, groups, None, ())

    def fit() -> float:
        done = fit_model(dataset, case.name, model, "lmm")
        if done.log_likelihood is None:
            raise SystemExit(done.reason)
        return done.log_likelihood

    return fit


def by_mixedlm(case: Case, file: Path) -> Callable[[], float]:
    """statsmodels MixedLM by itself, from its own start."""
    import pandas as pd
    import statsmodels.api as sm

    data = pd.read_csv(file)
    varying = None if case.random == "1" else f"~{case.random}"

    def fit() -> float:
        model = sm.MixedLM.from_formula(case.fixed, data, groups=case.group, re_formula=varying)
        return float(model.fit(reml=True).llf)

    return fit


def main() -> None:
    """Fit twice, unless the first fit takes longer than the limit."""
    engine, name, file, limit = sys.argv[1:]
    case = next(case for case in CASES if case.name == name)
    fit = {"lmm": by_lmm, "mixedlm": by_mixedlm}[engine](case, Path(file))
    began = perf_counter()
    log_likelihood = fit()
    result: dict[str, Any] = {"first": perf_counter() - began, "second": None}
    if result["first"] < float(limit):
        began = perf_counter()
        fit()
        result["second"] = perf_counter() - began
    print("\n" + json.dumps(result | {"log_likelihood": log_likelihood}))


if __name__ == "__main__":
    main()
