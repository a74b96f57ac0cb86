"""One model, one engine, one strategy for missing data: whatever happens, the answer is a `Fit`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from nestwise.config.missing import REFERENCE_BASED, Missing
from nestwise.config.study import Model
from nestwise.data.dataset import Dataset
from nestwise.engines import answered, fit_model, unanswered
from nestwise.results import Fit

Path = str | os.PathLike[str]


def treat(
    dataset: Dataset,
    name: str,
    engine: str,
    section: Mapping[str, Any],
    *,
    draws: Path | None = None,
    cores: int = 1,
) -> Fit:
    """Fit one model by one engine under one strategy for missing data.

    Parameters
    ----------
    dataset : Dataset
        Prepared data.
    name, engine : str
        Model and engine.
    section : mapping
        From `config.sections.treat_section`.
    draws : path-like, optional
        Imputations, for the strategies that take them.
    cores : int
        Chains sampled at once.

    Returns
    -------
    Fit
        With status `refused` and the reason where the strategy cannot be carried out, and `failed` where
        something broke. Nothing is raised.
    """
    model, strategy = Model.model_validate(section["model"]), str(section["strategy"])
    unfitted = replace(unanswered(dataset, name, model, engine), strategy=strategy)

    def answer(told: Callable[[Fit], None]) -> Fit:
        del told  # nothing is known before the answer
        return _TREATMENTS[strategy](dataset, name, model, engine, section, draws, cores)

    fit = answered(unfitted, answer, dataset.variables)
    shifted = {} if section["delta"] is None else {"delta": section["delta"]}
    return replace(fit, strategy=strategy, record=dict(fit.record) | shifted)
