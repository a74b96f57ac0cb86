"""Every figure of a study: drawn, written, and listed with its words."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import polars as pl

from nestwise.errors import NestwiseError
from nestwise.figures.drawing import Drawing
from nestwise.figures.inputs import FigureInputs
from nestwise.figures.plan import Plan, model_plan, study_plan
from nestwise.figures.theme import svg
from nestwise.storage import whole_folder, write_json

log = logging.getLogger(__name__)

STUDY = "study"
"""First part of the file names of figures that belong to no single model."""

TITLES: Mapping[str, str] = MappingProxyType(
    {
        "spaghetti": "The raw data over time",
        "outcome_by_group": "The raw data by group",
        "proportions_over_time": "Proportions over time",
        "proportions_by_group": "Proportions of groups, and luck",
        "within_between": "Within groups and between groups",
        "missingness": "What is missing",
        "variance_partition": "Where the variance lies",
        "pooling_by_size": "The three poolings by group size",
        "pooling_lines": "Fitted lines under the three poolings",
        "shrinkage": "Where partial pooling moves each group",
        "pooling_factor": "How much a group's own data count",
        "group_level_predictor": "Groups against what is known of them",
        "caterpillar": "Group effects in order",
        "caterpillar_slope": "Group slopes in order",
        "league": "Ranks with their uncertainty",
        "reml_vs_posterior": "Likelihood beside posterior",
        "marginal_means": "Marginal means",
        "mean_contrasts": "Differences of marginal means",
        "differences_by_visit": "Differences of means, visit by visit",
        "residual_correlations": "How the visits of one subject hang together",
        "three_effects": "Conditional and marginal effects",
        "trajectories": "Individual, typical and average curves",
        "missingness_map": "Who was seen when",
        "dropout_curves": "Who is still observed",
        "dropout_means": "Those who left, and those who stayed",
        "strategy_forest": "One question under every treatment of missing data",
        "tipping_point": "How far lost outcomes must be shifted",
        "imputation_traces": "The chains of the imputation",
        "imputed_values": "Imputed beside observed values",
        "influence": "What leaving a group out would change",
        "profiles": "Profiles of the likelihood",
        "tau_posterior": "Differences between groups: prior and posterior",
        "prior_predictive": "What the priors alone expect",
        "posterior_predictive": "Data replicated from the posterior",
        "trace_rank": "The chains",
        "residual_vs_fitted": "Residuals against fitted values",
        "residual_qq": "Residuals against the normal distribution",
        "binned_residuals": "Observed less expected, in bins",
        "quantile_residual_qq": "Quantile residuals against the normal distribution",
        "random_effect_qq": "Group effects against the normal distribution",
    }
)


def draw_all(inputs: FigureInputs, folder: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Draw every figure that applies and write the folder of figures, all or nothing.

    Parameters
    ----------
    inputs : FigureInputs
        The fitted study.
    folder : path-like
        Gets `<model>.<figure>.svg` and `.csv`, `study.<figure>` for the study as a whole, and the
        index `figures.json`.

    Returns
    -------
    list of dict
        The index, in the order to show: `name`, `model` ("" for the study), `title`, `caption`, `alt`,
        `file`, `data`, `reason`. Where a figure could not be drawn, `reason` says why and `file` is null.
    """
    index: list[dict[str, Any]] = []
    with whole_folder(folder) as partial:
        index += _draw_plan(STUDY, lambda: study_plan(inputs), partial)
        for model in inputs.config.models:
            index += _draw_plan(model, lambda model=model: model_plan(inputs, model), partial)  # type: ignore[misc]
        write_json(partial / "figures.json", index)
    return index


def _draw_plan(owner: str, planned: Callable[[], Plan], folder: Path) -> list[dict[str, Any]]:
    """Draw the figures of one owner; a broken plan is one entry, a broken figure another."""
    plan: Plan = {}
    failed = _attempt(owner, "figures", lambda: plan.update(planned()))
    if failed is not None:
        return [_entry(owner, "figures", None, failed)]
    index = []
    for name, draw in plan.items():
        drawings: list[Drawing] = []

        def write(
            name: str = name, draw: Callable[[], Drawing] = draw, kept: list[Drawing] = drawings
        ) -> None:
            drawing = draw()
            _write(drawing, owner, name, folder)
            kept.append(drawing)

        reason = _attempt(owner, name, write)
        index.append(_entry(owner, name, drawings[0] if drawings else None, reason))
    return index


def _attempt(owner: str, name: str, action: Callable[[], object]) -> str | None:
    """Why it could not be done, or None."""
    try:
        action()
    except NestwiseError as error:
        log.info("%s.%s is not drawn: %s", owner, name, error)
        return " ".join(str(error).split("\n"))
    except Exception as error:
        log.exception("%s.%s broke", owner, name)
        return f"The figure broke ({type(error).__name__}: {error})."
    return None


def _write(drawing: Drawing, owner: str, name: str, folder: Path) -> None:
    stem = f"{owner}.{name}"
    text = svg(drawing.figure, name=stem, title=title_of(name), description=drawing.alt)
    (folder / f"{stem}.svg").write_text(text, encoding="utf-8")
    _tidy(drawing.data).write_csv(folder / f"{stem}.csv")


def _tidy(data: pl.DataFrame) -> pl.DataFrame:
    """Make numbers of steady length in the CSV: eight significant digits are beyond any reading."""
    floats = [name for name, dtype in data.schema.items() if dtype in (pl.Float64, pl.Float32)]
    return data.with_columns(pl.col(floats).fill_nan(None).round_sig_figs(8)) if floats else data


def title_of(name: str) -> str:
    """Title of a figure; of those drawn for several predictors, the title of the kind."""
    kind = max((known for known in TITLES if name.startswith(known)), key=len, default="")
    title = TITLES.get(kind, name.replace("_", " "))
    rest = name.removeprefix(kind).strip("_")
    return f"{title}: {rest}" if rest else title


def _entry(owner: str, name: str, drawing: Drawing | None, reason: str | None) -> dict[str, Any]:
    stem = f"{owner}.{name}"
    return {
        "name": name,
        "model": "" if owner == STUDY else owner,
        "title": title_of(name),
        "caption": drawing.caption if drawing else "",
        "alt": drawing.alt if drawing else "",
        "file": f"{stem}.svg" if drawing else None,
        "data": f"{stem}.csv" if drawing else None,
        "reason": reason,
    }
