"""One question, many engines: whatever happens, the answer is a `Fit`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from importlib import import_module

from nestwise.config.study import Model
from nestwise.data.dataset import Dataset
from nestwise.design.build import build_design
from nestwise.design.record import Design
from nestwise.errors import NestwiseError
from nestwise.names import several
from nestwise.results import Fit, Status

log = logging.getLogger(__name__)

ENGINES = {
    "lmm": ("nestwise.fit.lmm", "fit_lmm"),
    "glmm": ("nestwise.fit.glmm", "fit_glmm"),
    "gee": ("nestwise.fit.gee", "fit_gee"),
    "mixedlm": ("nestwise.fit.mixedlm", "fit_mixedlm"),
    "pooled": ("nestwise.fit.pooled", "fit_pooled"),
    "unpooled": ("nestwise.fit.unpooled", "fit_unpooled"),
    "pymc": ("nestwise.bayes.engine", "fit_pymc"),
}
"""Module and function of each engine, imported when it is asked for."""


def fit_model(
    dataset: Dataset,
    name: str,
    model: Model,
    engine: str,
    *,
    seed: int = 0,
    level: float = 0.95,
    cores: int = 1,
    brief: bool = False,
) -> Fit:
    """Fit one model with one engine.

    Parameters
    ----------
    dataset : Dataset
        Prepared data.
    name : str
        Name of the model.
    model : Model
        The model as the study file has it.
    engine : str
        One of the engines of the study file.
    seed : int
        Root seed; each stream is keyed on study, model, engine and chain.
    level : float
        Coverage of the intervals.
    cores : int
        Chains sampled at once; the numbers do not depend on it.
    brief : bool
        Leave out what pooling does not use (profiles, influence, groups, ...) and record `term_of`.

    Returns
    -------
    Fit
        With status `refused` and the reason where the model or the data do not allow an answer,
        and `failed` where the engine broke. Nothing is raised.
    """
    unfitted = unanswered(dataset, name, model, engine)

    def answer(told: Callable[[Fit], None]) -> Fit:
        design = build_design(dataset, name, model)
        told(replace(unfitted, **design.identity))
        fit = _engine(engine, model, seed=seed, level=level, cores=cores, brief=brief)(design)
        return _with_terms(fit, design) if brief else fit

    return answered(unfitted, answer, dataset.variables)


def unanswered(dataset: Dataset, name: str, model: Model, engine: str) -> Fit:
    """A refused fit of which nothing is known yet but what was asked."""
    return Fit(
        study=dataset.study,
        model=name,
        engine=engine,
        method="",
        status=Status.REFUSED,
        formula=model.formula,
        analysis_hash="",
        n_obs=0,
        n_groups=0,
    )


def answered(
    unfitted: Fit, answer: Callable[[Callable[[Fit], None]], Fit], columns: Collection[str] = ()
) -> Fit:
    """The answer, or the reason why there is none.

    Parameters
    ----------
    unfitted : Fit
        What is returned, with status and reason, where there is no answer.
    answer : callable
        Fits; it is given a function that takes a better `unfitted` as soon as more is known of the fit.
    columns : collection of str
        Names that keep their case at the beginning of a sentence.

    Returns
    -------
    Fit
        With status `refused` after a `NestwiseError`, `failed` after any other error. Nothing is raised.
    """
    started, known = time.perf_counter(), [unfitted]
    try:
        fit = answer(known.append)
    except NestwiseError as error:
        fit = replace(known[-1], reason=_sentences(error, unfitted.formula, columns))
    except Exception as error:
        log.exception("%s by %s broke", unfitted.model, unfitted.engine)
        what = f"{type(error).__name__}: {error}".rstrip(".")
        reason = f"The engine broke ({what}); the log of this fit has the details."
        fit = replace(known[-1], status=Status.FAILED, reason=reason)
    return replace(fit, seconds=time.perf_counter() - started)


def _with_terms(fit: Fit, design: Design) -> Fit:
    """The fit with the term of the formula that each coefficient belongs to."""
    term_of = dict(zip(design.names, design.term_of, strict=True))
    return replace(fit, record={**fit.record, "term_of": term_of})


def _sentences(error: NestwiseError, formula: str, columns: Collection[str]) -> str:
    """Why there is no fit. The formula stands in a column of its own; names keep their case."""
    said = []
    for problem in error.problems:
        text = str(replace(problem, where="") if problem.where == formula else problem)
        named = text.split(maxsplit=1)[0] in columns
        said.append(text if named else text[0].upper() + text[1:])
    return " ".join(said)


def _engine(
    engine: str, model: Model, *, seed: int, level: float, cores: int, brief: bool
) -> Callable[[Design], Fit]:
    if engine not in ENGINES:
        way_out = f"use one of {several(tuple(ENGINES))}"
        return lambda design: _unavailable(design, engine, f"engine {engine}", way_out)
    module, function = ENGINES[engine]
    fit: Callable[..., Fit] = getattr(import_module(module), function)
    if engine == "lmm":
        options = {"df": model.df, "robust": model.robust, "bootstrap": 0 if brief else model.bootstrap}
        return partial(fit, level=level, seed=seed, brief=brief, **options)
    if engine == "glmm":
        return partial(fit, level=level, brief=brief)
    if engine == "gee":
        working = {"correlation": model.correlation, "lags": model.lags, "variance": model.variance}
        return partial(fit, level=level, **working)
    if engine != "pymc":
        return partial(fit, level=level)
    sampler = {"draws": model.draws, "tune": model.tune, "chains": model.chains}
    return partial(fit, priors=model.priors, seed=seed, cores=cores, level=level, **sampler)


def _unavailable(design: Design, engine: str, what: str, way_out: str) -> Fit:
    return Fit(
        **design.identity,
        engine=engine,
        method="",
        status=Status.REFUSED,
        reason=f"The {what} is not part of this version; {way_out}.",
    )
