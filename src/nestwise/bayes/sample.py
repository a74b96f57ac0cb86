"""Sampling: nutpie on the compiled model, one random stream a chain, draws back in standard units."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from nestwise.arrays import FloatArray
from nestwise.bayes.compile import Compiled
from nestwise.bayes.model import Structure, correlation_factors
from nestwise.bayes.priors import PriorRow
from nestwise.bayes.units import Draws

log = logging.getLogger(__name__)
REPORT_EVERY = 10_000
"""Milliseconds between lines on the progress of a long run."""
MAX_DEPTH = 10
OTHERS = ("unknown|", "model|", "effects|")
"""How the names of what a model samples beside the parameters of its design begin."""
LOW_RANK = 40
"""Up to this many parameters the correlations of the posterior (of x and x^2, say) are adapted to; beyond it
scales alone, since with 150 random effects finding them took fifteen times as long as sampling without."""


@dataclass(frozen=True)
class Run:
    """What one run of the sampler gave.

    Attributes
    ----------
    draws : Draws
        (chains, draws, ...), standard units.
    diverging : ndarray (chains, draws)
        Whether each transition diverged.
    energy : ndarray (chains, draws)
    steps : ndarray (chains, draws)
        Leapfrog steps.
    seconds : float
    settings : mapping
        What the sampler was asked for.
    """

    draws: Draws
    diverging: FloatArray
    energy: FloatArray
    steps: FloatArray
    seconds: float
    settings: Mapping[str, Any]


def sample(
    compiled: Compiled,
    structure: Structure,
    priors: Sequence[PriorRow],
    *,
    draws: int,
    tune: int,
    chains: int,
    target_accept: float,
    cores: int,
    seed: int,
) -> Run:
    """Run the No-U-Turn sampler.

    Parameters
    ----------
    compiled : Compiled
        The model.
    structure, priors
        What it was built from.
    draws, tune, chains : int
        Kept draws and warm-up steps of each chain, and chains.
    target_accept : float
        Acceptance the step size is adapted to.
    cores : int
        Chains at once. Each has its own stream derived from the seed, so the draws do not depend on it.
    seed : int
        Between 0 and 2**63 - 1.

    Returns
    -------
    Run
    """
    import nutpie

    settings = {"draws": draws, "tune": tune, "chains": chains, "target_accept": target_accept, "seed": seed}
    told = {"progress_bar": False, "progress_callback": _say, "progress_rate": REPORT_EVERY}
    log.info("sampling %d chains of %d + %d steps, acceptance %g", chains, tune, draws, target_accept)
    began = perf_counter()
    with threadpool_limits(1):  # cores are for chains: each would start as many threads of its own
        tree = nutpie.sample(
            compiled.sampler_input,
            **settings,
            cores=max(1, min(cores, chains)),
            maxdepth=MAX_DEPTH,
            adaptation="low_rank" if compiled.sampler_input.n_dim <= LOW_RANK else "diag",
            save_warmup=False,
            **told,
        )
    seconds, diverging = perf_counter() - began, tree.sample_stats["diverging"].values
    log.info("sampled in %.1f s, divergent transitions: %d", seconds, int(diverging.sum()))
    values = _constrained(compiled, {name: tree.posterior[name].values for name in compiled.names})
    return Run(
        draws=_assemble(structure, priors, values),
        diverging=diverging,
        energy=tree.sample_stats["energy"].values,
        steps=tree.sample_stats["n_steps"].values,
        seconds=seconds,
        settings=settings,
    )


def _say(progress: Sequence[Any]) -> None:
    done = sum(chain.finished_draws for chain in progress)
    total = sum(chain.total_draws for chain in progress)
    if 0 < done < total:
        log.info("sampling: %d of %d steps", done, total)


def _constrained(compiled: Compiled, values: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Free variables by name, from unconstrained values (chains, draws, ...), by the model's transforms."""
    import pytensor
    import pytensor.tensor as pt

    model = compiled.model
    inputs, outputs, names = [], [], []
    for variable in model.free_RVs:
        name = model.rvs_to_values[variable].name
        value = pt.tensor(name, dtype="float64", shape=(None,) * values[name].ndim)
        transform = model.rvs_to_transforms[variable]
        inputs.append(value)
        outputs.append(value if transform is None else transform.backward(value, *variable.owner.inputs))
        names.append(variable.name)
    function = pytensor.function(inputs, outputs, mode="FAST_COMPILE", on_unused_input="ignore")
    results = function(*(values[variable.name] for variable in inputs))
    return dict(zip(names, results, strict=True))


def _assemble(structure: Structure, priors: Sequence[PriorRow], values: Mapping[str, FloatArray]) -> Draws:
    shape = next(iter(values.values())).shape[:2]
    partial = 2 * values["partial"] - 1 if "partial" in values else np.zeros((*shape, 0))
    residual = [row.term for row in priors if row.component == "residual"]
    return Draws(
        beta=_component("beta", [row for row in priors if row.component == "fixed"], values, shape),
        sd=_component("sd", [row for row in priors if row.component == "sd"], values, shape),
        correlation=correlation_factors(partial, structure.starts),
        sigma=values[residual[0]] if residual else np.ones(shape),
        u=values.get("u"),
        thresholds=values.get("thresholds"),
        others={name: drawn for name, drawn in values.items() if name.startswith(OTHERS)},
    )


def _component(
    name: str, rows: Sequence[PriorRow], values: Mapping[str, FloatArray], shape: tuple[int, ...]
) -> FloatArray:
    """Put the families of one component back in the order of its rows."""
    if name in values:
        return values[name]
    result = np.empty((*shape, len(rows)))
    for family in dict.fromkeys(row.distribution for row in rows):
        members = [at for at, row in enumerate(rows) if row.distribution == family]
        result[..., members] = values[f"{name}_{family}"]
    return result
