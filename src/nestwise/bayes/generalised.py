"""The engine `pymc` for outcomes that are not Gaussian: the same model as `glmm`, by its posterior."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.bayes.attempts import Posterior, Target, sample_posterior, sampler_record, verdict
from nestwise.bayes.compile import settle_pytensor
from nestwise.bayes.estimates import draws_frame
from nestwise.bayes.generalised_model import Sampled, build_generalised, settle, to_link
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
from nestwise.bayes.layout import effects_of_factors
from nestwise.bayes.new_groups import group_log_densities, leave_one_new_group_out
from nestwise.bayes.priors import prior_records
from nestwise.bayes.sensitivity import log_prior, sensitivity_checks, sensitivity_records
from nestwise.bayes.units import Draws
from nestwise.config.study import Prior
from nestwise.design.record import Design
from nestwise.errors import Problem
from nestwise.fit.glmm_refusals import BOUNDED, constant, group_problems, outcome_problems
from nestwise.fit.refusals import lmm_only_problems, refuse
from nestwise.likelihood.families import LINKS_OF
from nestwise.names import several
from nestwise.results import Fit
from nestwise.seeds import seed_for


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
    """Sample the posterior of a generalised linear mixed model.

    Parameters
    ----------
    design : Design
        Of a family and link of `likelihood.families`, any number of grouping factors.
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
        return to_link(drawn, sampled), worst_effects(design, _effects(drawn, sampled))

    target = Target(
        design, sampled.structure, sampled.standard_priors, lambda: generalised_model(sampled), home
    )
    posterior = sample_posterior(
        target, seed=seed, draws=draws, tune=tune, chains=chains, cores=cores, level=level
    )
    return _answer(sampled, posterior, seed, level)


def _effects(drawn: Draws, sampled: Sampled) -> list[FloatArray]:
    return effects_of_factors(drawn, sampled.layout, sampled.working, sampled.units)


def _answer(sampled: Sampled, posterior: Posterior, seed: int, level: float) -> Fit:
    """Everything that follows from the draws."""
    design, counted = sampled.design, perf_counter()
    standard = posterior.standard.flat()
    home_draws, b = to_link(standard, sampled), _effects(standard, sampled)
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
    return settle(design, priors)


def generalised_model(sampled: Sampled) -> Any:
    """The `pymc.Model` that is sampled."""
    settle_pytensor()
    return build_generalised(sampled)


def generalised_problems(design: Design) -> list[Problem]:
    """Reasons why the posterior cannot be sampled, empty if there are none.

    Those of `glmm_problems`, but that separation and groups that all show one value are no reasons: the
    priors keep the estimates finite.
    """
    where = design.formula
    problems = lmm_only_problems(design, engine="pymc")
    links = LINKS_OF.get(design.family, ())
    if design.link not in links:
        what = f"the family {design.family} has no link {design.link} here"
        problems.append(Problem(what, where, f"use {several(links)}"))
    if not design.random:
        what, way_out = "the model has no random effects", "add a term such as (1 | group)"
        return [*problems, Problem(what, where, way_out)]
    problems += group_problems(design)
    found = outcome_problems(design)
    return problems + (found or _constant_problems(design))


def _constant_problems(design: Design) -> list[Problem]:
    where, name = design.formula, design.outcome
    bounded = design.family in BOUNDED
    empty = design.family in ("poisson", "negative_binomial") and not design.y.any()
    if empty or (bounded and constant(design, np.zeros(design.n, dtype=np.int64), 1).all()):
        what = f"the outcome {name} is {'0' if empty else 'the same'} in every row"
        return [Problem(what, where, "check the column and how missing values are coded")]
    if not bounded:
        return []
    trials = np.ones(design.n) if design.trials is None else design.trials
    way_out = "leave the random effect out, or use a factor whose groups hold more rows"
    return [
        Problem(
            f"each {factor.group} has a single trial, so its own effect cannot be told from chance",
            where,
            way_out,
        )
        for factor in design.factors
        if (np.bincount(factor.codes, weights=trials, minlength=factor.n_groups) <= 1).all()
    ]


def _record(
    sampled: Sampled, posterior: Posterior, home: tuple[Draws, Sequence[FloatArray]], seed: int
) -> dict[str, Any]:
    design, names = sampled.design, (sampled.design.study, sampled.design.model, "pymc")
    draws, b = home
    at_rows, density = rows_log_density(design, draws, b)
    groups = group_log_densities(design, draws)
    # Where they can be, random effects are integrated out of what is scaled: the priors' own share is then
    # not mixed with that of the law between groups.
    chosen, parts = (at_rows, density) if groups is None else groups
    standard = replace(posterior.standard.flat(), u=None)
    forms = zip(sampled.structure.random, sampled.layout.centred.tolist(), strict=True)
    return {
        "parameters": posterior.parameters,
        "sampler": sampler_record(posterior, seed)
        | {
            "random_effects": [
                {"group": group, "term": name, "form": "centred" if one else "non-centred"}
                for (group, name), one in forms
            ]
        },
        "priors": prior_records(sampled.priors),
        "posterior_predictive": posterior_replicates(
            design, draws, b, seed_for(seed, *names, "posterior predictive")
        ),
        "sensitivity": sensitivity_records(
            posterior.parameters,
            {name: values.reshape(-1)[chosen] for name, values in posterior.columns.items()},
            log_prior(sampled.structure, sampled.standard_priors, standard)[chosen],
            parts.sum(axis=1),
        ),
        "loo": leave_one_row_out(design, density),
        "loo_group": None if groups is None else leave_one_new_group_out(design, groups[1]),
        "prior_predictive": prior_replicates(sampled, seed_for(seed, *names, "prior predictive")),
    }
