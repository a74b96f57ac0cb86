"""What each step of the workflow reads of a study file, so that only what a change touches runs again.

Snakemake compares the parameters of a rule as sets of values; every step is therefore given ONE
mapping, made here. A key that a step does not read must not be in its section.
"""

from __future__ import annotations

from typing import Any

from nestwise.config.missing import REFERENCE_BASED
from nestwise.config.study import Report, Study
from nestwise.config.treatments import strategies_of, why_not

Section = dict[str, Any]

_FIT_KEYS = {"formula", "family", "link", "reml", "residual", "weights", "sampling_error", "correlation"}
_MEANS_KEYS = {"means"}
_LMM_KEYS = {"df", "robust", "bootstrap"}
_GEE_KEYS = {"lags", "variance"}
_BAYES_KEYS = {"priors", "draws", "tune", "chains"}
_PLAN_KEYS = {"arm", "visit", "baseline"}
_DRAW_KEYS = {"imputations", "methods", "auxiliary", "iterations", "imputation"}
_READ_KEYS = {"type", "levels", "reference"}


def read_section(study: Study) -> Section:
    """Where the data are and of which types the variables are."""
    return {
        "data": study.data.model_dump(mode="json"),
        "variables": _variables(study, _READ_KEYS),
        "groups": {name: {} for name in study.groups},
        "time": _time(study),
    }


def validate_section(study: Study) -> Section:
    """Everything the data are held against."""
    checked = {"min", "max", "constant_within"} | _READ_KEYS
    return _structure(study) | {"variables": _variables(study, checked), "missing": {"arm": _arm(study)}}


def prepare_section(study: Study) -> Section:
    """What the prepared data hold beside what was read."""
    relations = {name: group.relation for name, group in study.groups.items() if group.relation is not None}
    groups = {
        name: {"within": group.within} | ({"relation": relations[name]} if name in relations else {})
        for name, group in study.groups.items()
    }
    return _structure(study) | {"groups": groups}


def design_section(study: Study, model: str) -> Section:
    """A model without the engines that fit it."""
    return study.models[model].model_dump(mode="json", include=_FIT_KEYS | _MEANS_KEYS)


def fit_section(study: Study, model: str, engine: str, seed: int) -> Section:
    """A model as one engine reads it.

    Only the Bayesian engine reads priors and draws, only `lmm` the methods of tests and means; the seed is
    read by those that draw random numbers.
    """
    lmm, bayes = engine == "lmm", engine == "pymc"
    keys = (
        _FIT_KEYS
        | (_GEE_KEYS if engine == "gee" else set())
        | (_BAYES_KEYS if bayes else set())
        | (_LMM_KEYS | _MEANS_KEYS if lmm else set())
    )
    draws = bayes or (lmm and study.models[model].bootstrap > 0)
    return {
        "model": study.models[model].model_dump(mode="json", include=keys) | {"engines": [engine]},
        "level": study.compare.level,
        "seed": seed if draws else 0,
    }


def diagnose_section(study: Study) -> Section:
    """The models, whose likelihood is computed again."""
    return {name: model.model_dump(mode="json", include=_FIT_KEYS) for name, model in study.models.items()}


def compare_section(study: Study) -> Section:
    """The models with a marginal answer, the arms, and the coverage of the intervals."""
    keys = _FIT_KEYS | _GEE_KEYS
    return {
        "models": {
            name: model.model_dump(mode="json", include=keys) | {"engines": ["gee"]}
            for name, model in study.models.items()
            if "gee" in model.engines
        },
        "arm": _arm(study),
        "level": study.compare.level,
        "labels": {name: group.label for name, group in study.groups.items() if group.label},
    }


def missing_section(study: Study) -> Section:
    """The model whose variables may be missing, and who was to be seen when."""
    main = study.report.main_model or list(study.models)[-1]
    return {
        "model": study.models[main].model_dump(mode="json", include=_FIT_KEYS),
        "missing": study.missing.model_dump(mode="json", include=_PLAN_KEYS),
        "level": study.compare.level,
    }


def draw_section(study: Study, model: str, seed: int) -> Section:
    """A model whose gaps are drawn, and how."""
    return {
        "model": study.models[model].model_dump(mode="json", include=_FIT_KEYS),
        "missing": study.missing.model_dump(mode="json", include=_DRAW_KEYS | _PLAN_KEYS),
        "levels": {
            name: variable.constant_within
            for name, variable in study.variables.items()
            if variable.constant_within is not None
        },
        "level": study.compare.level,
        "seed": seed,
    }


def treat_section(study: Study, model: str, engine: str, treatment: str, seed: int) -> Section:
    """A model as one engine reads it, with one strategy: a shift of `delta` is its value."""
    strategy, _, shift = treatment.partition("-")
    keys = _PLAN_KEYS | ({"delta_arms"} if shift else set()) | ({"weights"} if strategy == "wgee" else set())
    keys |= {"inference", "imputations"} if strategy in REFERENCE_BASED else set()
    return fit_section(study, model, engine, seed) | {
        "strategy": strategy,
        "delta": study.missing.delta[int(shift)] if shift else None,
        "missing": study.missing.model_dump(mode="json", include=keys),
        "seed": seed,
    }


def tables_section(study: Study) -> Section:
    """The strategies that lead to no fit, each with the reason."""
    return {
        "refused": {
            name: {
                strategy: reason
                for strategy in strategies_of(study, name)
                if strategy != "observed" and (reason := why_not(study, name, strategy))
            }
            for name in study.models
        }
    }


def figures_section(study: Study, seed: int) -> Section:
    """The study file without what no figure shows: the title and the words of the report."""
    quiet = study.model_copy(update={"title": "-", "report": Report(main_model=study.report.main_model)})
    return report_section(quiet, seed)


def report_section(study: Study, seed: int) -> Section:
    """The report shows the whole study file."""
    return {"study": study.model_dump(mode="json", by_alias=True), "seed": seed}


def _structure(study: Study) -> Section:
    return {
        "data": study.data.model_dump(mode="json"),
        "groups": {name: {"within": group.within} for name, group in study.groups.items()},
        "time": _time(study),
        "derive": [part.model_dump(mode="json", by_alias=True, exclude_none=True) for part in study.derive],
    }


def _time(study: Study) -> Section | None:
    return {"column": study.time.column} if study.time is not None else None


def _arm(study: Study) -> Section | None:
    return study.missing.arm.model_dump(mode="json") if study.missing.arm is not None else None


def _variables(study: Study, keys: set[str]) -> dict[str, Section]:
    return {
        name: variable.model_dump(mode="json", include=keys) for name, variable in study.variables.items()
    }
