"""Sampling until the verdict is good: whatever the family, one ladder of attempts."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from time import perf_counter
from typing import Any

from nestwise.arrays import FloatArray
from nestwise.bayes.check import judge, summarise
from nestwise.bayes.compile import Compiled, compile_model
from nestwise.bayes.estimates import parameter_columns, parameter_of
from nestwise.bayes.model import Structure
from nestwise.bayes.priors import PriorRow
from nestwise.bayes.units import Draws
from nestwise.design.record import Design
from nestwise.results import Check, Status
from nestwise.seeds import seed_for

log = logging.getLogger(__name__)
LADDER = ((0.9, 1), (0.95, 2), (0.99, 4))
"""Attempts: target acceptance, and by how much warm-up and draws are multiplied."""
TOOLS = ("pymc", "pytensor", "nutpie", "arviz-stats", "numba")


@dataclass(frozen=True)
class Target:
    """What is sampled.

    Attributes
    ----------
    design : Design
        The model.
    structure, standard_priors
        Its parameters and their priors in standard units.
    model : callable
        Builds the `pymc.Model`.
    home : callable
        Draws in standard units -> draws in the units of the data, and what is judged beside the parameters.
    """

    design: Design
    structure: Structure
    standard_priors: tuple[PriorRow, ...]
    model: Callable[[], Any]
    home: Callable[[Draws], tuple[Draws, list[dict[str, Any]]]]


@dataclass(frozen=True)
class Posterior:
    """The last attempt: draws in both units, its summaries and its verdict."""

    standard: Draws
    home: Draws
    parameters: list[dict[str, Any]]
    columns: dict[str, FloatArray]
    checks: tuple[Check, ...]
    attempts: list[dict[str, Any]]
    seconds: dict[str, float]


def sample_posterior(
    target: Target, *, seed: int, draws: int, tune: int, chains: int, cores: int, level: float
) -> Posterior:
    """Sample until the verdict is good or the ladder ends.

    Parameters
    ----------
    target : Target
        What is sampled.
    seed, draws, tune, chains, cores, level
        See `fit_pymc`.
    """
    from nestwise.bayes.sample import sample

    design = target.design
    began = perf_counter()
    model = target.model()
    built = perf_counter()
    compiled: Compiled = compile_model(model)
    seconds = {"build": round(built - began, 3), "compile": round(perf_counter() - built, 3)}
    attempts: list[dict[str, Any]] = []
    for number, (target_accept, factor) in enumerate(LADDER):
        run = sample(
            compiled,
            target.structure,
            target.standard_priors,
            draws=draws * factor,
            tune=tune * factor,
            chains=chains,
            target_accept=target_accept,
            cores=cores,
            seed=seed_for(seed, design.study, design.model, "pymc", "sampler", number),
        )
        judged = perf_counter()
        home, judged_too = target.home(run.draws)
        columns = parameter_columns(design, home)
        parameters = [parameter_of(name) | summarise(values, level) for name, values in columns.items()]
        checks = judge([*parameters, *judged_too], run.diverging, run.energy)
        failed = [check.check for check in checks if not check.ok]
        attempts.append(
            dict(run.settings)
            | {
                "divergences": int(run.diverging.sum()),
                "mean_steps": round(float(run.steps.mean()), 2),
                "seconds": round(run.seconds, 3),
                "failed": failed,
            }
        )
        if not failed:
            break
        log.info("attempt %d fails on %s", number + 1, ", ".join(failed))
    seconds |= {"sample": round(run.seconds, 3), "judge": round(perf_counter() - judged, 3)}
    return Posterior(run.draws, home, parameters, columns, checks, attempts, seconds)


def sampler_record(posterior: Posterior, seed: int) -> dict[str, Any]:
    """How the posterior was sampled, JSON-able."""
    last = posterior.attempts[-1]
    return {
        "versions": {name: version(name) for name in TOOLS},
        "target_accept": last["target_accept"],
        "divergences": last["divergences"],
        "steps": last["mean_steps"],
        "chains": last["chains"],
        "draws": last["draws"],
        "tune": last["tune"],
        "seed": seed,
        "attempts": posterior.attempts,
        "seconds": dict(posterior.seconds),
    }


def verdict(posterior: Posterior) -> dict[str, Any]:
    """The fields of a `Fit` that say whether to trust it."""
    failed = [check for check in posterior.checks if not check.ok]
    reason = " ".join(check.advice for check in failed) or None
    return {
        "engine": "pymc",
        "method": "NUTS",
        "status": Status.NOT_CONVERGED if failed else Status.OK,
        "reason": reason,
        "converged": not failed,
        "singular": False,
        "n_parameters": len(posterior.parameters),
        "warnings": () if reason is None else (reason,),
    }
