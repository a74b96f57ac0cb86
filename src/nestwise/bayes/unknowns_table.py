"""What the draws say of the unknowns: units of the formula, the worst mixed, the laws they were given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.bayes.units import Draws, to_data
from nestwise.bayes.unknowns_model import Joint, predictor_names
from nestwise.names import several


def at_home(drawn: Draws, joint: Joint) -> Draws:
    """Parameters of the outcome's law in the units of the formula, from draws in standard units."""
    home = to_data(drawn, joint.units)
    return home if joint.design.family == "gaussian" else replace(home, sigma=drawn.sigma)


def worst_others(drawn: Draws) -> list[dict[str, Any]]:
    """Of each vector that is sampled beside the parameters: highest R-hat and lowest effective sizes."""
    from arviz_stats.base import array_stats

    axes: dict[str, Any] = {"chain_axis": 1, "draw_axis": 2}
    rows = []
    for name, values in drawn.others.items():
        flat = np.ascontiguousarray(np.moveaxis(values.reshape(*values.shape[:2], -1), 2, 0))
        kind, _, term = name.partition("|")
        rows.append(
            {
                "component": kind,
                "group": None,
                "term": {"unknown": f"missing values of {term}"}.get(kind, name.replace("|", " ")),
                "rhat": float(np.max(array_stats.rhat(flat, **axes))),
                "ess_bulk": float(np.min(array_stats.ess(flat, method="bulk", **axes))),
                "ess_tail": float(np.min(array_stats.ess(flat, method="tail", prob=(0.05, 0.95), **axes))),
            }
        )
    return rows


def said_of(joint: Joint) -> str:
    """A sentence on how many values of which variables are unknown."""
    counted = several([f"{each.size:,} of {each.name}" for each in joint.unknowns])
    return f"Missing covariates are unknowns of the model, each with a law of its own: {counted}."


def law_of(joint: Joint, k: int, drawn: Mapping[str, FloatArray]) -> dict[str, Any]:
    """What an unknown was and the law it was given: medians and SDs, in standard units."""
    each = joint.unknowns[k]
    start = f"model|{each.name}|"
    terms = []
    for name, values in drawn.items():
        if not name.startswith(start):
            continue
        part = name.removeprefix(start)
        names = predictor_names(joint, k) if part == "coefficients" else (part,)
        flat = values.reshape(-1, len(names))
        terms += [
            {"term": term, "median": float(np.median(column)), "sd": float(column.std(ddof=1))}
            for term, column in zip(names, flat.T, strict=True)
        ]
    return {
        "variable": each.name,
        "kind": "binary, summed out" if each.binary else "continuous, sampled",
        "level": each.level or "row",
        "unknown": each.size,
        "center": each.center,
        "scale": each.scale,
        "law": terms,
    }
