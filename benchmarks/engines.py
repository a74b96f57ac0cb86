"""One model by nestwise, twice, in this process: `engines.py whole|lean CASE FILE LIMIT`; prints JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

from cases import CASES, Case

from nestwise.config.study import Data, Group, Model, Study
from nestwise.data.dataset import Dataset


def dataset_of(
    name: str, file: Path, model: Model, groups: Sequence[str], *, categorical: Sequence[str] = (),
    in_memory: bool = True,
) -> Dataset:  # fmt: skip
    """The file as prepared data; with `in_memory`, its rows in memory as lmer has them in a data frame."""
    from nestwise.data.contract import validate
    from nestwise.data.prepare import prepare
    from nestwise.data.read import read

    data = Data(source=str(file))
    variables = {column: {"type": "categorical"} for column in categorical}
    study = Study(
        title=name, data=data, groups={group: Group() for group in groups}, variables=variables,
        models={name: model},
    )  # fmt: skip
    typed = read(file, data, study.variables, study.groups, None)
    dataset = prepare(typed, validate(typed, study, source=file.name), name, study.groups, None, ())
    return replace(dataset, frame=dataset.frame.collect().lazy()) if in_memory else dataset


def whole(case: Case, model: Model, dataset: Dataset) -> tuple[float, str]:
    """Everything a person gets: `fit_model` from the data set to the `Fit`."""
    from nestwise.engines import fit_model

    done = fit_model(dataset, case.name, model, "lmm")
    if done.log_likelihood is None:
        raise SystemExit(done.reason)
    return done.log_likelihood, str(done.status)


def lean(case: Case, model: Model, dataset: Dataset) -> tuple[float, str]:
    """Estimates, standard errors, Satterthwaite's df and BLUPs, and no more."""
    import numpy as np

    from nestwise.design.build import build_design
    from nestwise.fit.fixed_effects import fixed_effect_inference
    from nestwise.fit.state import solve_lmm

    design = build_design(dataset, case.name, model)
    state = solve_lmm(design)
    fixed_effect_inference(design, state, "satterthwaite").t(np.eye(state.solution.beta.size))
    return state.solution.log_likelihood, "ok"


def main() -> None:
    """Fit twice, unless the first fit takes longer than the limit."""
    how, name, file, limit = sys.argv[1:]
    case = next(case for case in CASES if case.name == name)
    model = Model(formula=case.formula, engines=("lmm",), **case.settings)
    dataset = dataset_of(name, Path(file), model, case.groups, categorical=case.categorical)
    fit: Callable[[Case, Model, Dataset], tuple[float, str]] = {"whole": whole, "lean": lean}[how]
    began = perf_counter()
    log_likelihood, status = fit(case, model, dataset)
    result: dict[str, Any] = {"first": perf_counter() - began, "second": None}
    if result["first"] < float(limit):
        began = perf_counter()
        fit(case, model, dataset)
        result["second"] = perf_counter() - began
    print("\n" + json.dumps(result | {"log_likelihood": log_likelihood, "status": status}))


if __name__ == "__main__":
    main()
