"""Which figures apply to a study and to each of its models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from re import sub
from typing import Any

import polars as pl

from nestwise.figures.caterpillar import caterpillar
from nestwise.figures.drawing import Drawing, Wording
from nestwise.figures.forest import reml_vs_posterior
from nestwise.figures.generalised import binary_plan, residual_plan
from nestwise.figures.inference import inference_plan
from nestwise.figures.inputs import MIXED, FigureInputs, ModelTables, model_factors, model_tables, study_rows
from nestwise.figures.league import league
from nestwise.figures.lines import pooling_lines
from nestwise.figures.missing import missingness
from nestwise.figures.partition import variance_partition
from nestwise.figures.pooling import pooling_by_size, pooling_factor
from nestwise.figures.posterior import tau_posterior, trace_rank
from nestwise.figures.predictors import group_level_predictor
from nestwise.figures.raw import outcome_by_group, spaghetti
from nestwise.figures.reconciliation import reconciliation_plan
from nestwise.figures.replicates import posterior_predictive, prior_predictive
from nestwise.figures.residuals import random_effect_qq, residual_qq, residual_vs_fitted
from nestwise.figures.shrinkage import shrinkage
from nestwise.figures.strategies import description_plan, strategy_plan
from nestwise.figures.varying_lines import NUMERIC, group_predictors, line_predictor, line_rows, line_table
from nestwise.figures.within_between import within_between
from nestwise.seeds import seed_for
from nestwise.vocabulary import INTERCEPT

Plan = dict[str, Callable[[], Drawing]]
"""Name of a figure -> what draws it."""


def study_plan(inputs: FigureInputs) -> Plan:
    """Figures of the study as a whole: the data, and the models side by side.

    Parameters
    ----------
    inputs : FigureInputs
        The study.
    """
    tables = model_tables(inputs, inputs.main_model)
    wording = inputs.wording(tables.outcome)
    factor = _innermost(inputs, tables)
    columns = {"label": factor, "y": tables.outcome}
    schema = inputs.dataset.frame.collect_schema()
    plan: Plan = {}
    binary = binary_plan(inputs, tables, wording, factor)
    plan |= binary
    numeric_outcome = tables.outcome in schema and schema[tables.outcome] in NUMERIC
    if numeric_outcome and factor in schema:
        time = inputs.dataset.time
        if binary:
            pass  # lines between zeros and ones show nothing
        elif time is not None and time in schema and schema[time] in NUMERIC:
            rows = study_rows(inputs, columns | {"x": time})
            plan["spaghetti"] = lambda: spaghetti(rows, wording, group=factor)
        else:
            plan["outcome_by_group"] = lambda: outcome_by_group(
                study_rows(inputs, columns), wording, group=factor
            )
        for source, group in _decomposed(inputs, schema):
            name = "within_between" if "within_between" not in plan else f"within_between_{source}"
            plan[name] = lambda source=source, group=group: within_between(  # type: ignore[misc]
                study_rows(inputs, {"label": group, "y": tables.outcome, "x": source}),
                wording,
                group=group,
                x=source,
            )
    measured = [name for name in inputs.dataset.variables if name in schema]
    if _any_missing(inputs.dataset.frame, measured):
        plan["missingness"] = lambda: missingness(inputs.dataset.frame, measured, wording)
    plan |= description_plan(inputs, wording)
    # A main model with a residual covariance alone has no groups; the others may have.
    varying = inputs.estimates.filter(pl.col("component") == "sd")["engine"].to_list()
    engine = tables.engine or next((name for name in MIXED if name in varying), "")
    if engine:
        labels = {name: model.label or name for name, model in inputs.config.models.items()}
        known = [name for name, model in inputs.config.models.items() if model.sampling_error]
        own = inputs.estimates.filter((pl.col("engine") == engine) & ~pl.col("model").is_in(known))
        # Outcomes that are not Gaussian have no residual variance beside that of the groups.
        own = own.filter(~pl.col("model").is_in([name for name in labels if inputs.generalised(name)]))
        if "sd" in own["component"]:
            plan["variance_partition"] = lambda: variance_partition(own, wording, labels=labels)
    return plan


def _innermost(inputs: FigureInputs, tables: ModelTables) -> str:
    """Find the grouping column whose rows are the units: of the main model, else the last declared."""
    return tables.group.split(":")[-1] or list(inputs.config.groups)[-1]


def _decomposed(inputs: FigureInputs, schema: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Covariates with a group mean among the derived variables, each with its grouping factor."""
    pairs = [
        (derivation.source, derivation.group)
        for derivation in inputs.dataset.derivations
        if derivation.kind == "between" and derivation.group is not None
    ]
    return [
        (source, group)
        for source, group in dict.fromkeys(pairs)
        if source in schema and group in schema and schema[source] in NUMERIC
    ][:3]


def _any_missing(frame: pl.LazyFrame, names: list[str]) -> bool:
    if not names:
        return False
    return bool(
        frame.select(pl.any_horizontal(pl.col(name).is_null().any() for name in names)).collect().item()
    )


def model_plan(inputs: FigureInputs, model: str) -> Plan:
    """Figures of one model; empty where no engine could fit it.

    Parameters
    ----------
    inputs : FigureInputs
        The study.
    model : str
        One of its models.
    """
    tables = model_tables(inputs, model)
    wording = inputs.wording(tables.outcome, model)
    curved = inputs.generalised(model)
    plan: Plan = {}
    for own, mark in _by_factor(inputs, tables):
        plan |= {f"{name}{mark}": draw for name, draw in _group_plan(inputs, own, wording).items()}
    schools = {"lmm", "mixedlm", "pymc"} & set(tables.estimates["engine"])
    if tables.engine and tables.groups.height and schools:
        plan["reml_vs_posterior"] = lambda: reml_vs_posterior(tables.estimates, wording)
    plan |= inference_plan(inputs, tables, wording)
    plan |= reconciliation_plan(inputs, model, wording)
    plan |= strategy_plan(inputs, model, wording)
    plan |= _posterior_plan(inputs, tables, wording)
    if curved:
        plan |= residual_plan(inputs, tables, wording)
    elif tables.predictions.height:
        plan["residual_vs_fitted"] = lambda: residual_vs_fitted(tables.predictions, wording)
        plan["residual_qq"] = lambda: residual_qq(tables.predictions, wording)
    for own, mark in _by_factor(inputs, tables):
        plan[f"random_effect_qq{mark}"] = lambda own=own: random_effect_qq(  # type: ignore[misc]
            own.groups, wording, group=own.group
        )
    return plan


def _by_factor(inputs: FigureInputs, tables: ModelTables) -> list[tuple[ModelTables, str]]:
    """Tables of each grouping factor, and what its figures' names end in: nothing where it is alone."""
    if tables.groups.height == 0:
        return []
    found = model_factors(inputs, tables.model)
    if len(found) < 2:
        return [(tables, "")]
    own = [model_tables(inputs, tables.model, group) for group in found]
    return [(each, "_" + sub(r"\W+", "_", each.group)) for each in own if each.groups.height]


def _group_plan(inputs: FigureInputs, tables: ModelTables, wording: Wording) -> Plan:
    groups, group, ratio = tables.groups, tables.group, tables.variance_ratio
    # With slopes that vary too, no single group size marks where own data outweigh the common line.
    crossover = ratio if len(tables.terms) == 1 else None
    first = INTERCEPT if INTERCEPT in tables.terms else tables.terms[0]
    plan: Plan = {}
    # Beside a second grouping factor no group has an estimate from its own rows alone.
    curved = wording.scale is not None
    alone = groups["no_pooling"].is_not_null().any() or (tables.only and not curved)
    if alone:
        plan["pooling_by_size"] = lambda: pooling_by_size(
            groups, wording, group=group, term=first, variance_ratio=crossover
        )
    x = line_predictor(tables) if alone else None
    if x is not None:
        plan["pooling_lines"] = lambda: pooling_lines(
            line_rows(tables, x), line_table(tables, x), wording, group=group, x=x
        )
    if alone:
        plan["shrinkage"] = lambda: shrinkage(groups, wording, group=group, covariance=tables.covariance)
    if groups["n"].n_unique() > 1 and not curved:
        # The closed form holds for one grouping factor alone.
        curve = ratio if tables.only else None
        plan["pooling_factor"] = lambda: pooling_factor(groups, wording, group=group, variance_ratio=curve)
    for predictor in group_predictors(tables):
        values = tables.rows.group_by(pl.col(".label").alias("label")).agg(
            pl.col(predictor).first().cast(pl.Float64).alias("u")
        )
        name = "group_level_predictor"
        name = name if name not in plan else f"{name}_{predictor}"
        plan[name] = lambda values=values, predictor=predictor: group_level_predictor(  # type: ignore[misc]
            groups, values, wording, group=group, predictor=predictor
        )
    # Persons followed over time are not ranked; schools, hospitals and counties are.
    ranked = inputs.dataset.time is None
    for term in tables.terms[:2]:
        name = "caterpillar" if term == tables.terms[0] else "caterpillar_slope"
        plan[name] = lambda term=term: caterpillar(  # type: ignore[misc]
            groups, wording, group=group, term=term, level=inputs.level, comparison=ranked
        )
    if ranked and tables.model == inputs.main_model and first == INTERCEPT:
        seed = seed_for(inputs.seed, inputs.dataset.study, tables.model, "league")
        plan["league"] = lambda: league(
            groups, wording, group=group, term=first, seed=seed, level=inputs.level
        )
    return plan


def _posterior_plan(inputs: FigureInputs, tables: ModelTables, wording: Wording) -> Plan:
    draws = inputs.table(tables.model, "pymc", "draws")
    if draws.height == 0:
        return {}
    record = inputs.record(tables.model, "pymc")
    plan: Plan = {}
    if any(name.startswith("sd|") for name in draws.columns):
        plan["tau_posterior"] = lambda: tau_posterior(
            draws, wording, priors=sd_priors(record), reml=tables.of("lmm")
        )
    if record.get("posterior_predictive"):
        plan["posterior_predictive"] = lambda: posterior_predictive(record["posterior_predictive"], wording)
    if record.get("prior_predictive"):
        plan["prior_predictive"] = lambda: prior_predictive(record["prior_predictive"], wording)
    plan["trace_rank"] = lambda: trace_rank(draws, wording, verdicts=_verdicts(record))
    return plan


def sd_priors(record: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Priors of the SDs in the record of a Bayesian fit, by their column of draws.

    Parameters
    ----------
    record : mapping
        `priors`: a list of dicts with `component`, `group`, `term`, `distribution`, `scale` ...
    """
    listed = record.get("priors") or []
    return {
        f"sd|{prior.get('group')}|{prior.get('term')}": prior
        for prior in listed
        if isinstance(prior, Mapping) and prior.get("component") == "sd"
    }


def _verdicts(record: Mapping[str, Any]) -> dict[str, str]:
    said = {}
    for row in record.get("parameters") or []:
        parts = [row.get("component"), row.get("group"), row.get("term")]
        name = "|".join(str(part) for part in parts if part)
        if row.get("rhat") is not None and row.get("ess_bulk") is not None:
            said[name] = f"R-hat {row['rhat']:.3f}, effective draws {row['ess_bulk']:,.0f}"
    return said
