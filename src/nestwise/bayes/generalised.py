"""The engine `pymc` for outcomes that are not Gaussian: the same model as `glmm`, by its posterior."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np

from nestwise.arrays import FloatArray, IntArray
from nestwise.bayes.attempts import Posterior, Target, sample_posterior, sampler_record, verdict
from nestwise.bayes.compile import settle_pytensor
from nestwise.bayes.estimates import draws_frame
from nestwise.bayes.generalised_model import (
    build_generalised,
    centred_terms,
    generalised_units,
    to_link,
)
from nestwise.bayes.generalised_predictive import (
    leave_one_row_out,
    posterior_replicates,
    prior_replicates,
    rows_log_density,
)
from nestwise.bayes.generalised_table import (
    estimates,
    expected_rows,
    group_table,
    latent_rows,
    worst_effects,
)
from nestwise.bayes.model import Structure, standard_priors, structure_of
from nestwise.bayes.priors import PriorRow, prior_records, prior_table
from nestwise.bayes.sensitivity import log_prior, sensitivity_checks, sensitivity_records
from nestwise.bayes.units import Draws, Units
from nestwise.config.study import Prior
from nestwise.design.record import Design
from nestwise.errors import Problem
from nestwise.fit.glmm_refusals import constant, outcome_problems
from nestwise.fit.refusals import grouping_problems, lmm_only_problems, refuse
from nestwise.likelihood.families import LINKS_OF
from nestwise.names import several
from nestwise.results import Fit
from nestwise.seeds import seed_for


@dataclass(frozen=True)
class Sampled:
    """A design with what its posterior is sampled by.

    Attributes
    ----------
    design, units, structure
        The model, its standard units and its parameters.
    priors, standard_priors : tuple of PriorRow
        In the units of the formula, and in standard units.
    centred : ndarray (q,)
        See `generalised_model.centred_terms`.
    """

    design: Design
    units: Units
    structure: Structure
    priors: tuple[PriorRow, ...]
    standard_priors: tuple[PriorRow, ...]
    centred: IntArray


def fit_generalised(
    design: Design,
    *,
    priors: Mapping[str, Prior],
    seed: int,
    draws: int,
    tune: int,
    chains: int,
    cores: int,
    level: float,
) -> Fit:
    """Sample the posterior of a generalised linear mixed model with one grouping factor.

    Parameters
    ----------
    design : Design
        Binomial, Poisson, negative binomial or gamma.
    priors, seed, draws, tune, chains, cores, level
        See `engine.fit_pymc`.

    Returns
    -------
    Fit
        Rows and order of `glmm`, on the scale of the link: posterior medians, SDs and intervals.

    Raises
    ------
    Refusal
        See `generalised_problems` and `priors.prior_table`.
    """
    sampled = prepare_generalised(design, priors)

    def home(drawn: Draws) -> tuple[Draws, list[dict[str, Any]]]:
        found, b = to_link(drawn, sampled.units, sampled.structure, sampled.centred)
        return found, worst_effects(design, b)

    target = Target(
        design, sampled.structure, sampled.standard_priors, lambda: generalised_model(sampled), home
    )
    posterior = sample_posterior(
        target, seed=seed, draws=draws, tune=tune, chains=chains, cores=cores, level=level
    )
    return _answer(sampled, posterior, seed, level)


def _answer(sampled: Sampled, posterior: Posterior, seed: int, level: float) -> Fit:
    """Everything that follows from the draws."""
    design, counted = sampled.design, perf_counter()
    standard = posterior.standard.flat()
    home_draws, b = to_link(standard, sampled.units, sampled.structure, sampled.centred)
    record = _record(sampled, posterior, (home_draws, b), seed)
    reading = sensitivity_checks(record["sensitivity"])
    fit = Fit(
        **design.identity,
        **verdict(posterior),
        estimates=(
            *estimates(posterior.parameters, level),
            *latent_rows(design, home_draws, level),
        ),
        checks=(*posterior.checks, *reading),
        groups=group_table(design, home_draws, b, level),
        predictions=expected_rows(design, home_draws, b),
        draws=draws_frame(posterior.columns),
        record=record,
    )
    record["sampler"]["seconds"]["afterwards"] = round(perf_counter() - counted, 3)
    return fit


def prepare_generalised(design: Design, priors: Mapping[str, Prior]) -> Sampled:
    """Settle units, priors and the form of the random effects; nothing is sampled.

    Raises
    ------
    Refusal
        See `generalised_problems` and `priors.prior_table`.
    """
    refuse(generalised_problems(design))
    units, structure = generalised_units(design), structure_of(design)
    table = prior_table(design, units, priors)
    return Sampled(
        design=design,
        units=units,
        structure=structure,
        priors=table,
        standard_priors=standard_priors(table, units),
        centred=centred_terms(design, structure, units),
    )


def generalised_model(sampled: Sampled) -> Any:
    """The `pymc.Model` that is sampled."""
    settle_pytensor()
    return build_generalised(
        sampled.design, sampled.structure, sampled.standard_priors, sampled.units, sampled.centred
    )


def generalised_problems(design: Design) -> list[Problem]:
    """Reasons why the posterior cannot be sampled, empty if there are none.

    What only `lmm` takes into account; families and links without a density here; reasons that lie in the
    random part; values that the family does not have; an outcome that is the same in every row. Separation
    and groups that all show one value are no reasons: the priors keep the estimates finite.
    """
    where = design.formula
    problems = lmm_only_problems(design, engine="pymc")
    links = LINKS_OF.get(design.family, ())
    if design.family == "ordinal":
        what = "`pymc` does not take ordinal outcomes so far"
        problems.append(Problem(what, where, "use the engine `glmm`"))
    elif design.link not in links:
        what = f"the family {design.family} has no link {design.link} here"
        problems.append(Problem(what, where, f"use {several(links)}"))
    problems += grouping_problems(design, engine="pymc")
    found = outcome_problems(design)
    return problems + (found or _constant_problems(design))


def _constant_problems(design: Design) -> list[Problem]:
    where, name = design.formula, design.outcome
    bounded = design.family in ("binomial", "ordinal")
    empty = design.family in ("poisson", "negative_binomial") and not design.y.any()
    if empty or (bounded and constant(design, np.zeros(design.n, dtype=np.int64), 1).all()):
        what = f"the outcome {name} is {'0' if empty else 'the same'} in every row"
        return [Problem(what, where, "check the column and how missing values are coded")]
    if not bounded or not design.random:
        return []
    first = design.random[0]
    trials = np.ones(design.n) if design.trials is None else design.trials
    if (np.bincount(first.codes, weights=trials, minlength=first.n_groups) <= 1).all():
        what = f"each {first.group} has a single trial, so its own effect cannot be told from chance"
        way_out = "leave the random effect out, or use a factor whose groups hold more rows"
        return [Problem(what, where, way_out)]
    return []


def _record(
    sampled: Sampled, posterior: Posterior, home: tuple[Draws, FloatArray], seed: int
) -> dict[str, Any]:
    design, names = sampled.design, (sampled.design.study, sampled.design.model, "pymc")
    draws, b = home
    chosen, density = rows_log_density(design, draws, b)
    standard = replace(posterior.standard.flat(), u=None)
    forms = dict(zip(design.varying, sampled.centred.tolist(), strict=True))
    return {
        "parameters": posterior.parameters,
        "sampler": sampler_record(posterior, seed)
        | {"random_effects": {name: "centred" if one else "non-centred" for name, one in forms.items()}},
        "priors": prior_records(sampled.priors),
        "posterior_predictive": posterior_replicates(
            design, draws, b, seed_for(seed, *names, "posterior predictive")
        ),
        "sensitivity": sensitivity_records(
            posterior.parameters,
            {name: values.reshape(-1)[chosen] for name, values in posterior.columns.items()},
            log_prior(sampled.structure, sampled.standard_priors, standard)[chosen],
            density.sum(axis=1),
        ),
        "loo": leave_one_row_out(design, density),
        "prior_predictive": prior_replicates(
            design, sampled.structure, sampled.standard_priors, sampled.units,
            seed_for(seed, *names, "prior predictive"),
        ),
    }  # fmt: skip
