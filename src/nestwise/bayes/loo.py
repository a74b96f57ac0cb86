"""Leave one group out: how well the model foretells the outcomes of a new group.

The density of a whole group with its random effects integrated out is exact on the collapsed data, so that
only the parameters are reweighted: Pareto-smoothed importance sampling (Vehtari, Simpson, Gelman, Yao & Gabry
2024) over groups, as ArviZ computes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nestwise.arrays import FloatArray, IntArray
from nestwise.bayes.effects import spaced
from nestwise.bayes.units import Draws, Units
from nestwise.design.record import Design
from nestwise.likelihood.conditional import group_log_densities
from nestwise.likelihood.crossproducts import CrossProducts

VALUES = 8_000_000
"""Densities (draws x groups) at most."""
PARETO_K = 0.7


@dataclass(frozen=True)
class GroupDensities:
    """What the data of each group say of some of the draws.

    Attributes
    ----------
    draws : list of int
        Positions of those draws, evenly spaced.
    values : ndarray (draws, J)
        Log density of each group's outcomes in standard units, its random effects integrated out.
    """

    draws: list[int]
    values: FloatArray


def group_densities(design: Design, products: CrossProducts, draws: Draws, units: Units) -> GroupDensities:
    """Log density of each group at as many draws as `VALUES` allows.

    Parameters
    ----------
    design : Design
        The model.
    products : CrossProducts
        In standard units, uncompressed.
    draws : Draws
        Standard units, (S, ...).
    units : Units
        Those units.
    """
    chosen = spaced(draws.sigma.shape[0], max(200, VALUES // products.J))
    values = group_log_densities(
        products,
        _group_squares(design, units),
        draws.beta[chosen],
        draws.Lambda[chosen],
        draws.sigma[chosen],
    )
    return GroupDensities(chosen, values)


def leave_one_group_out(
    design: Design, densities: GroupDensities, products: CrossProducts, units: Units
) -> dict[str, Any]:
    """Expected log predictive density of new groups.

    Parameters
    ----------
    design : Design
        The model.
    densities : GroupDensities
        Of its groups.
    products : CrossProducts
        Their sizes.
    units : Units
        The standard units of `densities`.

    Returns
    -------
    dict
        `unit`, `elpd` (sum over groups, units of the data) with `se`, `p` (effective number of parameters),
        `pareto_k_max`, and the labels of the groups whose Pareto k is above `limit`: their share in `elpd`
        is not to be trusted.
    """
    found, bad = left_out(densities.values - products.counts * np.log(units.y_scale))
    labels = design.random[0].labels
    return {"unit": "a new group"} | found | {"groups_above_limit": [labels[at] for at in bad]}


def left_out(values: FloatArray) -> tuple[dict[str, Any], IntArray]:
    """Leave every unit out in turn, by Pareto-smoothed importance sampling.

    Parameters
    ----------
    values : ndarray (draws, units)
        Log density of each unit at each draw.

    Returns
    -------
    tuple
        `elpd` with `se`, `p`, `draws`, `pareto_k_max` and `limit`; places of the units above the limit.
    """
    from scipy.special import logsumexp

    density = np.ascontiguousarray(values.T)
    weights, k = _smoothed(density)
    pointwise = logsumexp(weights + density, axis=1)
    inside = logsumexp(density, axis=1) - np.log(values.shape[0])
    finite = k[np.isfinite(k)]
    found = {
        "elpd": float(pointwise.sum()),
        "se": float(np.sqrt(pointwise.size * pointwise.var(ddof=1))),
        "p": float((inside - pointwise).sum()),
        "draws": int(values.shape[0]),
        "pareto_k_max": float(finite.max()) if finite.size else None,
        "limit": PARETO_K,
    }
    return found, np.flatnonzero(~(k <= PARETO_K))


def _smoothed(density: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Log weights (units, draws) and Pareto k (units,) from log likelihoods, of which ArviZ changes the sign.

    A unit that all draws foretell alike (with certainty, say) has no tail to smooth, which ArviZ refuses: its
    weights are equal, and its k is minus infinity.
    """
    from arviz_stats.base import array_stats

    try:
        weights, k = array_stats.psislw(density, axis=-1)
    except ValueError:
        units = [_smoothed(row[None]) for row in density] if len(density) > 1 else []
        if units:
            return np.concatenate([each[0] for each in units]), np.concatenate([each[1] for each in units])
        return np.full(density.shape, -np.log(density.shape[1])), np.full(len(density), -np.inf)
    return np.asarray(weights), np.asarray(k)


def _group_squares(design: Design, units: Units) -> FloatArray:
    """Each group's [X_j, y_j]'[X_j, y_j] in standard units (J, p + 1, p + 1)."""
    y = design.y_less_offset
    X = (design.X - units.X_center) / units.X_scale
    W = np.column_stack([X, (y - units.y_center) / units.y_scale])
    codes, J = design.random[0].codes, design.random[0].n_groups
    width = W.shape[1]
    G = np.empty((J, width, width))
    for row in range(width):
        for col in range(row + 1):
            G[:, row, col] = np.bincount(codes, weights=W[:, row] * W[:, col], minlength=J)
            G[:, col, row] = G[:, row, col]
    return G
