"""The strategy `bayes`: what is missing stands in the model as unknowns, and the posterior averages over it.

Missing outcomes need nothing: under missing at random given the rest of the model, integrating an unknown
outcome out leaves the likelihood of the observed ones, so that the posterior given the observed rows is the
posterior of the model that holds the missing outcomes too. Missing covariates need a law each, see
`unknowns_model`; rows without an outcome then still speak of the covariates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

from nestwise.bayes.attempts import Posterior, Target, sample_posterior, sampler_record, verdict
from nestwise.bayes.compile import settle_pytensor
from nestwise.bayes.engine import fit_pymc
from nestwise.bayes.estimates import derived_rows, draws_frame, parameter_rows
from nestwise.bayes.generalised_table import estimates, latent_rows
from nestwise.bayes.priors import prior_records
from nestwise.bayes.unknown_cells import with_known_groups
from nestwise.bayes.unknowns_joint import incomplete_covariates, joint_of, outcome_seen
from nestwise.bayes.unknowns_model import Joint, build_joint
from nestwise.bayes.unknowns_table import at_home, law_of, said_of, worst_others
from nestwise.config.study import Model
from nestwise.data.dataset import Dataset
from nestwise.design.build import build_design
from nestwise.imputation.variables import Wishes, incomplete_record
from nestwise.results import Fit


def fit_unknowns(
    dataset: Dataset,
    name: str,
    model: Model,
    *,
    auxiliary: Sequence[str] = (),
    seed: int = 0,
    cores: int = 1,
    level: float = 0.95,
) -> Fit:
    """Sample a model together with what is missing of its variables.

    Parameters
    ----------
    dataset : Dataset
        Prepared data.
    name, model : str, Model
        Name of the model and its section of the study file.
    auxiliary : sequence of str
        Complete variables that predict the missing covariates beside those of the formula.
    seed, cores, level
        See `engine.fit_pymc`.

    Returns
    -------
    Fit
        Rows, names and units of the engine's own; `record["unknowns"]` says what was unknown and its laws.
        Status `not_converged` if no attempt satisfies `check.judge`, the unknowns included.

    Raises
    ------
    FormulaError, Refusal
        See `unknowns_joint.joint_of` and `engine.fit_pymc`.
    """
    began = perf_counter()
    sampling = {
        "seed": seed,
        "draws": model.draws,
        "tune": model.tune,
        "chains": model.chains,
        "cores": cores,
    }
    incomplete = incomplete_record(dataset, name, model, Wishes(auxiliary=tuple(auxiliary)))
    dataset = with_known_groups(dataset, incomplete)
    outcomes = int((~outcome_seen(incomplete, model)).sum())
    if not incomplete_covariates(incomplete, model):
        fit = fit_pymc(build_design(dataset, name, model), priors=model.priors, level=level, **sampling)
        return _of_observed(fit, outcomes)
    joint = joint_of(dataset, name, model, incomplete)
    target = Target(
        joint.design,
        joint.structure,
        joint.standard_priors,
        lambda: joint_model(joint),
        lambda drawn: (at_home(drawn, joint), worst_others(drawn)),
    )
    posterior = sample_posterior(target, level=level, **sampling)
    fit = _answer(joint, posterior, outcomes, seed=seed, level=level)
    return replace(fit, seconds=perf_counter() - began)


def joint_model(joint: Joint) -> Any:
    """The `pymc.Model` that is sampled."""
    settle_pytensor()
    return build_joint(joint)


def _of_observed(fit: Fit, outcomes: int) -> Fit:
    """The posterior given the observed rows as that with so many missing outcomes as unknowns."""
    said = (
        f"Only outcomes are missing ({outcomes:,}): under missing at random the posterior given the observed "
        "rows is the posterior with these outcomes as unknowns, and is shown."
        if outcomes
        else "Nothing is missing in this model: the posterior is that of all rows."
    )
    record = dict(fit.record) | {"unknowns": {"outcomes": outcomes, "covariates": []}}
    return replace(fit, strategy="bayes", warnings=(said, *fit.warnings), record=record)


def _answer(joint: Joint, posterior: Posterior, outcomes: int, *, seed: int, level: float) -> Fit:
    """Everything that follows from the draws."""
    typical, home, judged = joint.typical, posterior.home.flat(), verdict(posterior)
    if typical.family == "gaussian":
        rows = (*parameter_rows(posterior.parameters, level), *derived_rows(typical, posterior.home, level))
    else:
        rows = (*estimates(posterior.parameters, level), *latent_rows(typical, home, level))
    laws = [law_of(joint, k, posterior.standard.others) for k in range(len(joint.unknowns))]
    return Fit(
        **typical.identity,
        **judged | {"warnings": (said_of(joint), *judged["warnings"])},
        strategy="bayes",
        estimates=rows,
        checks=posterior.checks,
        draws=draws_frame(posterior.columns),
        record={
            "parameters": posterior.parameters,
            "sampler": sampler_record(posterior, seed),
            "priors": prior_records(joint.priors),
            "unknowns": {
                "outcomes": outcomes,
                "covariates": laws,
            },
        },
    )
