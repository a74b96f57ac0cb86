"""Gaps drawn for one model of a study: as many imputations as were asked for, or as the answers need."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from nestwise.config.missing import Missing
from nestwise.config.study import Model
from nestwise.config.treatments import POOLED_ENGINES
from nestwise.data.dataset import Dataset
from nestwise.errors import NestwiseError
from nestwise.imputation.draws import Draws, joined, save_draws
from nestwise.imputation.variables import Wishes
from nestwise.impute.analyse import analyse
from nestwise.impute.draw import Chains, draw, draw_jointly
from nestwise.impute.impute import imputations
from nestwise.impute.pool import pool
from nestwise.missing.visits import all_visits
from nestwise.strategies.borrowed import borrowing, drawn_at_random

log = logging.getLogger(__name__)

PILOT = 20
"""Imputations that are always made, and from which the number needed is read."""
MOST = 200
"""Imputations at most where their number is left to the data."""


def draw_gaps(dataset: Dataset, name: str, section: Mapping[str, Any]) -> Draws:
    """Draw the gaps of a model: the visits of a trial at once, by chained equations, or from one joint model.

    With ``imputations: auto`` twenty are drawn and analysed by the first engine that can, and the fraction
    of missing information says how many are needed for standard errors that other draws would change by
    less than 5 % (von Hippel 2020); so many are drawn, 200 at most. Imputation k is the same however many
    there are.

    Parameters
    ----------
    dataset : Dataset
        Prepared data; absent visits are imputed too.
    name : str
        Name of the model.
    section : mapping
        From `config.sections.draw_section`.

    Returns
    -------
    Draws

    Raises
    ------
    Refusal
        Where the model's variables cannot be imputed.
    """
    model = Model.model_validate(section["model"])
    missing = Missing.model_validate(section["missing"])
    planned = all_visits(dataset, missing.visit)
    seed = int(section["seed"])
    wishes = Wishes(missing.auxiliary, dict(missing.methods), dict(section.get("levels", {})))
    drawn = _drawer(planned, name, model, missing, seed=seed, wishes=wishes)
    if missing.imputations != "auto":
        return drawn(range(1, missing.imputations + 1))
    pilot = drawn(range(1, PILOT + 1))
    needed = min(_needed(planned, name, model, pilot, seed), MOST)
    if needed <= PILOT or not pilot.fillings:
        return pilot
    if missing.imputation == "joint":  # its chain goes on, and gives the pilot again
        return drawn(range(1, needed + 1))
    return joined([pilot, drawn(range(PILOT + 1, needed + 1))])


def _drawer(
    planned: Dataset, name: str, model: Model, missing: Missing, *, seed: int, wishes: Wishes
) -> Callable[[range], Draws]:
    """What draws imputations by number: visits of a trial at once, one joint model, or variable by variable.

    A model whose visits have a covariance of their own is imputed with it: chained equations would know of
    the visits of one subject by a common level alone.
    """
    if missing.imputation == "joint":
        return lambda numbers: draw_jointly(planned, name, model, numbers.stop - 1, seed, wishes)
    if model.residual is not None and not (missing.methods or missing.auxiliary):
        try:
            found = borrowing(planned, model, missing, "mar")
        except NestwiseError as reason:
            log.info("%s is imputed variable by variable: %s", name, reason)
        else:
            return lambda numbers: drawn_at_random(found, name, numbers, seed)
    chains = Chains(iterations=missing.iterations, wishes=wishes)
    return lambda numbers: draw(planned, name, model, numbers, seed, chains)


def save_gaps(dataset: Dataset, name: str, section: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Draw the gaps of a model and write them; where they cannot be drawn, the reason instead.

    Parameters
    ----------
    dataset, name, section
        See `draw_gaps`.
    path : path-like
        An npz file. Whoever reads it finds no imputation but the reason under `failed`: the fits that would
        take it are then refused with it, and the rest of the study goes on.
    """
    try:
        draws = draw_gaps(dataset, name, section)
    except NestwiseError as error:
        nothing = np.zeros((0, 0, 0, 0))
        reason = " ".join(str(problem) for problem in error.problems)
        draws = Draws(dataset.study, name, (), (), (), (), nothing, (), ((0, reason),))
    save_draws(draws, path)


def _needed(dataset: Dataset, name: str, model: Model, pilot: Draws, seed: int) -> int:
    """Imputations that the fixed effects need; none beyond the pilot where no analysis answers."""
    for engine in POOLED_ENGINES:
        fits = analyse(imputations(dataset, pilot), name, model, engine, seed=seed)
        try:
            terms = pool(fits).record["pooling"]["terms"]
        except NestwiseError:
            continue
        return max(
            (int(row["imputations_needed"]) for row in terms if row["component"] == "fixed"), default=0
        )
    return 0
