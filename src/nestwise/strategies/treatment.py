"""One model, one engine, one strategy for missing data: whatever happens, the answer is a `Fit`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from nestwise.config.missing import REFERENCE_BASED, Missing
from nestwise.config.study import Model
from nestwise.data.dataset import Dataset
from nestwise.engines import answered, fit_model, unanswered
from nestwise.errors import Problem, Refusal
from nestwise.missing.plan import plan_of
from nestwise.results import Fit
from nestwise.seeds import seed_for

Path = str | os.PathLike[str]


@dataclass(frozen=True)
class Question:
    """What is asked of the data under a strategy.

    Attributes
    ----------
    dataset : Dataset
        Prepared data.
    name, model, engine, strategy : str, Model, str, str
        As the study file has them.
    missing : Missing
        The part of the section `missing` that the strategy reads.
    delta : float or None
        Shift of the imputed outcomes.
    draws : path-like or None
        Imputations.
    level, seed, cores : float, int, int
        See `engines.fit_model`.
    """

    dataset: Dataset
    name: str
    model: Model
    engine: str
    strategy: str
    missing: Missing
    delta: float | None
    draws: Path | None
    level: float
    seed: int
    cores: int


def treat(
    dataset: Dataset,
    name: str,
    engine: str,
    section: Mapping[str, Any],
    *,
    draws: Sequence[Path] = (),
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
    draws : sequence of path-like
        The file of imputations, for the strategies that take one.
    cores : int
        Chains sampled at once.

    Returns
    -------
    Fit
        With status `refused` and the reason where the strategy cannot be carried out, and `failed` where
        something broke. Nothing is raised.
    """
    question = Question(
        dataset=dataset,
        name=name,
        model=Model.model_validate(section["model"]),
        engine=engine,
        strategy=str(section["strategy"]),
        missing=Missing.model_validate(section["missing"]),
        delta=section["delta"],
        draws=next(iter(draws), None),
        level=section["level"],
        seed=section["seed"],
        cores=cores,
    )
    unfitted = unanswered(dataset, name, question.model, engine)
    fit = answered(unfitted, lambda _: TREATMENTS[question.strategy](question), dataset.variables)
    shifted = {} if question.delta is None else {"delta": question.delta}
    method = (
        fit.method if question.delta is None or not fit.method else f"{fit.method}, delta {question.delta:g}"
    )
    return replace(fit, strategy=question.strategy, method=method, record=dict(fit.record) | shifted)


def _compared(question: Question) -> Fit:
    """Complete cases, or the last value carried forward."""
    from nestwise.missing.comparators import COMPARATORS

    comparator = COMPARATORS[question.strategy]
    changed = comparator.apply(question.dataset, question.model, plan_of(question.missing))
    fit = fit_model(
        changed,
        question.name,
        question.model,
        question.engine,
        seed=question.seed,
        level=question.level,
        cores=question.cores,
    )
    return replace(fit, warnings=(comparator.wrong, *fit.warnings))


def _weighted(question: Question) -> Fit:
    """Estimating equations weighted by the inverse probability of being observed."""
    from nestwise.missing.doubly_robust import fit_doubly_robust
    from nestwise.missing.weights import WeightSettings
    from nestwise.missing.wgee import fit_wgee

    given = question.missing.weights
    settings = WeightSettings(
        level=given.level,
        predictors=given.predictors,
        previous=given.previous,
        stabilised=given.stabilised,
        largest=inf if given.largest is None else given.largest,
        gaps=given.gaps,
    )
    fit = fit_doubly_robust if given.doubly_robust else fit_wgee
    plan = plan_of(question.missing)
    return fit(question.dataset, question.name, question.model, plan, settings, level=question.level)


def _imputed(question: Question) -> Fit:
    """Multiple imputation: every completed data set analysed, the answers pooled."""
    from nestwise.imputation.draws import load_draws
    from nestwise.impute.analyse import analyse
    from nestwise.impute.impute import imputations
    from nestwise.impute.pool import pool
    from nestwise.missing.visits import all_visits
    from nestwise.strategies.convergence import with_imputation

    assert question.draws is not None, "the strategy takes imputations"
    planned = all_visits(question.dataset, question.missing.visit)
    draws = load_draws(question.draws)
    if draws.failed and not draws.m:
        raise Refusal(Problem(draws.failed[0][1].rstrip("."), "", "choose another strategy"))
    completed = imputations(planned, draws)
    if question.delta is not None:
        completed = _shifted(question, planned, completed)
    fits = analyse(
        completed,
        question.name,
        question.model,
        question.engine,
        seed=question.seed,
        level=question.level,
        cores=question.cores,
    )
    return with_imputation(pool(fits, strategy=question.strategy, level=question.level), draws)


def _shifted(question: Question, planned: Dataset, completed: Iterator[Dataset]) -> Iterator[Dataset]:
    from nestwise.formula.record import parse
    from nestwise.imputation.shift import shift_of, shifted
    from nestwise.missing.schedule import schedule

    assert question.delta is not None, "only shifts come here"
    outcome = parse(question.model.formula).outcome.columns[0]
    followed = planned is not question.dataset
    subject = schedule(planned, visit=question.missing.visit).subject if followed else None
    arm = question.missing.arm if question.missing.delta_arms == "active" else None
    return shifted(completed, shift_of(planned, outcome, question.delta, arm, subject))


def _borrowed(question: Question) -> Fit:
    """Outcomes after drop-out borrowed from the reference arm or the last visit."""
    from nestwise.impute.analyse import analyse
    from nestwise.impute.pool import pool
    from nestwise.strategies.borrowed import IMPUTATIONS, borrowed, borrowing, by_jackknife

    name, missing = question.name, question.missing
    found = borrowing(question.dataset, question.model, missing, question.strategy)
    if missing.inference == "jackknife":
        assert missing.arm is not None, "config.treatments asks for one"
        grid = ", ".join((found.table.visit, missing.arm.column))
        fit = by_jackknife(found, name, grid, question.level)
        return replace(fit, engine=question.engine, formula=question.model.formula)
    m = IMPUTATIONS if missing.imputations == "auto" else missing.imputations
    seed = seed_for(question.seed, question.dataset.study, name, "reference", question.strategy)
    fits = analyse(
        borrowed(found, m, seed),
        name,
        question.model,
        question.engine,
        seed=question.seed,
        level=question.level,
        cores=question.cores,
    )
    return pool(fits, strategy=question.strategy, level=question.level)


def _unknown(question: Question) -> Fit:
    """What is missing as unknowns of the model itself."""
    from nestwise.bayes.unknowns import fit_unknowns

    return fit_unknowns(
        question.dataset,
        question.name,
        question.model,
        auxiliary=question.missing.auxiliary,
        seed=question.seed,
        cores=question.cores,
        level=question.level,
    )


TREATMENTS: Mapping[str, Callable[[Question], Fit]] = {
    "complete_case": _compared,
    "locf": _compared,
    "wgee": _weighted,
    "mi": _imputed,
    "delta": _imputed,
    "bayes": _unknown,
    **dict.fromkeys(REFERENCE_BASED, _borrowed),
}
"""What carries out each strategy."""
