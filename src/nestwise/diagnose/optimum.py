"""Whether the optimum that a fit recorded is found again from the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nestwise.config.study import Model
from nestwise.data.dataset import Dataset
from nestwise.design.build import build_design
from nestwise.design.residual import is_structured
from nestwise.errors import NestwiseError
from nestwise.fit.state import reevaluate
from nestwise.results import Check

REPRODUCED = 1e-6
"""Difference of the criterion, relative to its size (at least one), that rounding explains."""


def optimum_checks(dataset: Dataset, name: str, model: Model, record: Mapping[str, Any]) -> tuple[Check, ...]:
    """Compute the criterion again at the parameters a saved fit recorded.

    Parameters
    ----------
    dataset : Dataset
        The prepared data.
    name : str
        Name of the model.
    model : Model
        The model as the study file has it.
    record : mapping
        Of a fit by `lmm`: `optimisation` with `theta` and `objective`.

    Returns
    -------
    tuple of Check
        Empty where no optimum is recorded, where no design can be made any more, and for a residual
        covariance structure, whose parameters the record names otherwise.
    """
    optimisation = record.get("optimisation") or {}
    objective = optimisation.get("objective")
    if objective is None or optimisation.get("theta") is None:
        return ()
    try:
        design = build_design(dataset, name, model)
        if is_structured(model.residual):
            return ()
        again = reevaluate(design, record)
    except NestwiseError:
        return ()
    return (judge_optimum(float(objective), again),)


def judge_optimum(objective: float, again: float) -> Check:
    """Hold the criterion as recorded against the one computed again.

    Parameters
    ----------
    objective, again : float
        Minus twice the (restricted) log-likelihood.
    """
    difference = abs(again - objective) / max(1.0, abs(objective))
    ok = difference <= REPRODUCED
    advice = (
        "The criterion computed again from the data at the recorded parameters is the one recorded."
        if ok
        else f"At the recorded parameters the data give a criterion of {again:.8g}, and {objective:.8g} is "
        "recorded: the fit and the data do not belong together; run the study again."
    )
    return Check("optimum_reproduced", difference, REPRODUCED, ok=ok, advice=advice)
