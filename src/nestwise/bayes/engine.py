"""The engine `pymc`: the same model as `lmm`, by its posterior."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np
import polars as pl

from nestwise.bayes.attempts import Posterior, Target, sample_posterior, sampler_record, verdict
from nestwise.bayes.compile import settle_pytensor
from nestwise.bayes.estimates import (
    derived_rows,
    draws_frame,
    parameter_rows,
)
from nestwise.bayes.model import Structure, build_model, standard_priors, structure_of
from nestwise.bayes.priors import PriorRow, prior_records, prior_table
from nestwise.bayes.sensitivity import log_prior, sensitivity_checks, sensitivity_records
from nestwise.bayes.units import Units, standard_products, to_data, units_of
from nestwise.config.study import Prior
from nestwise.design.record import Design
from nestwise.fit.pooling import fixed_lines, pooling_table
from nestwise.fit.predictions import fixed_part, prediction_rows, with_random_part
from nestwise.fit.refusals import mixed_problems, refuse, refuse_perfect, refuse_saturated
from nestwise.fit.sweep import Swept, sweep
from nestwise.likelihood.compression import compress
from nestwise.likelihood.crossproducts import CrossProducts, collapse
from nestwise.results import Fit
from nestwise.seeds import seed_for


@dataclass(frozen=True)
class Prepared:
    """A design made ready for sampling."""

    design: Design
    units: Units
    working: CrossProducts
    standard: CrossProducts
    swept: Swept
    structure: Structure
    priors: tuple[PriorRow, ...]
    standard_priors: tuple[PriorRow, ...]


def fit_pymc(
    design: Design,
    *,
    priors: Mapping[str, Prior],
    seed: int,
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    cores: int = 1,
    level: float = 0.95,
) -> Fit:
    """Sample the posterior of a mixed model with one grouping factor, linear or generalised.

    Parameters
    ----------
    design : Design
        The model.
    priors : mapping of str to Prior
        Overrides of the default priors, see `priors.prior_table`.
    seed : int
        Root seed; streams are keyed on study, model and what they are for.
    draws, tune, chains : int
        Kept draws and warm-up steps of each chain, and chains, of the first attempt.
    cores : int
        Chains at once; the numbers do not depend on it.
    level : float
        Coverage of the equal-tailed intervals.

    Returns
    -------
    Fit
        Estimates are posterior medians, standard errors posterior SDs. Status `not_converged` if no attempt
        satisfies `check.judge`.

    Raises
    ------
    Refusal
        See `fit.refusals`, `generalised` and `priors.prior_table`.
    """
    began = perf_counter()
    sampling = {"seed": seed, "draws": draws, "tune": tune, "chains": chains, "cores": cores}
    if design.family != "gaussian":
        from nestwise.bayes.generalised import fit_generalised

        found = fit_generalised(design, priors=priors, level=level, **sampling)
        return replace(found, seconds=perf_counter() - began)
    prepared = prepare(design, priors)
    target = Target(
        design,
        prepared.structure,
        prepared.standard_priors,
        lambda: pymc_model(prepared),
        lambda drawn: (to_data(drawn, prepared.units), []),
    )
    posterior = sample_posterior(target, level=level, **sampling)
    return replace(_answer(prepared, posterior, seed, level), seconds=perf_counter() - began)


def _answer(prepared: Prepared, posterior: Posterior, seed: int, level: float) -> Fit:
    """Everything that follows from the draws."""
    counted = perf_counter()
    groups, predictions = _groups_and_predictions(prepared, posterior, seed, level)
    record = _record(prepared, posterior, seed)
    # How to read the result, not whether there is one: the status does not depend on it.
    reading = sensitivity_checks(record["sensitivity"])
    record["sampler"]["seconds"]["afterwards"] = round(perf_counter() - counted, 3)
    return Fit(
        **prepared.design.identity,
        **verdict(posterior),
        estimates=(
            *parameter_rows(posterior.parameters, level),
            *derived_rows(prepared.design, posterior.home, level),
        ),
        checks=(*posterior.checks, *reading),
        groups=groups,
        predictions=predictions,
        draws=draws_frame(posterior.columns),
        record=record,
    )


def prepare(design: Design, priors: Mapping[str, Prior]) -> Prepared:
    """Collapse a design and settle its priors; everything a model needs, nothing sampled.

    Raises
    ------
    Refusal
        See `fit.refusals` and `priors.prior_table`.
    """
    refuse(mixed_problems(design, engine="pymc"))
    units = units_of(design)
    table = prior_table(design, units, priors)
    working = collapse(design)
    swept = sweep(working)
    refuse_perfect(design, swept, working.scale)
    refuse_saturated(design, swept)
    return Prepared(
        design=design,
        units=units,
        working=working,
        standard=standard_products(working, units),
        swept=swept,
        structure=structure_of(design),
        priors=table,
        standard_priors=standard_priors(table, units),
    )


def pymc_model(prepared: Prepared) -> Any:
    """The `pymc.Model` that is sampled; `prepared.standard` compressed where groups repeat themselves."""
    settle_pytensor()
    compressed = standard_products(compress(prepared.working), prepared.units)
    return build_model(prepared.structure, prepared.standard_priors, compressed)


def _groups_and_predictions(
    prepared: Prepared, posterior: Posterior, seed: int, level: float
) -> tuple[pl.DataFrame, pl.DataFrame]:
    from nestwise.bayes.effects import group_effects, mean_pooling_factors

    design = prepared.design
    lines = fixed_lines(design)
    home, standard = posterior.home.flat(), posterior.standard.flat()
    stream = seed_for(seed, design.study, design.model, "pymc", "effects")
    effects = group_effects(prepared.standard, standard, prepared.units, lines, level=level, seed=stream)
    root = np.median(home.sd, axis=0)[:, None] * np.median(home.correlation, axis=0)
    groups = pooling_table(
        design,
        prepared.working,
        prepared.swept,
        effects.coefficients,
        Sigma=root @ root.T,
        sigma=float(np.median(home.sigma)),
        lines=lines,
    )
    factors = mean_pooling_factors(prepared.working, home)
    groups = groups.with_columns(pl.Series("pooling_factor", factors.reshape(-1)))
    fixed = fixed_part(design, home.beta.mean(axis=0))
    return groups, prediction_rows(design, fixed, with_random_part(design, fixed, effects.mean))


def _record(prepared: Prepared, posterior: Posterior, seed: int) -> dict[str, Any]:
    from nestwise.bayes.loo import group_densities, leave_one_group_out
    from nestwise.bayes.predictive import posterior_predictive, prior_predictive

    design = prepared.design
    names = (design.study, design.model, "pymc")
    standard = posterior.standard.flat()
    densities = group_densities(design, prepared.standard, standard, prepared.units)
    return {
        "parameters": posterior.parameters,
        "sampler": sampler_record(posterior, seed),
        "priors": prior_records(prepared.priors),
        "posterior_predictive": posterior_predictive(
            design, prepared.standard, standard, prepared.units,
            seed_for(seed, *names, "posterior predictive"),
        ),
        "sensitivity": sensitivity_records(
            posterior.parameters,
            {name: values.reshape(-1)[densities.draws] for name, values in posterior.columns.items()},
            log_prior(prepared.structure, prepared.standard_priors, standard)[densities.draws],
            densities.values.sum(axis=1),
        ),
        "loo": leave_one_group_out(design, densities, prepared.standard, prepared.units),
        "prior_predictive": prior_predictive(
            design, prepared.structure, prepared.standard_priors, prepared.units,
            seed_for(seed, *names, "prior predictive"),
        ),
    }  # fmt: skip
