"""The PyMC model of a design: a pure function of the design and its priors.

In standard units (`units`), with the random effects integrated out:

    beta ~ Normal            fixed effects, the intercept at the means of the predictors
    sd ~ HalfStudentT        standard deviations of the varying coefficients
    partial ~ 2 Beta - 1     partial correlations that make their correlations LKJ
    sigma ~ HalfStudentT     residual standard deviation
    y ~ the collapsed Gaussian likelihood

The LKJ prior is written as the vine of partial correlations it is made of (Lewandowski, Kurowicka & Joe
2009): in a d x d matrix the partial correlation given k others is ``2 Beta(a, a) - 1`` with
``a = eta + (d - 2 - k) / 2``. The law is that of `pm.LKJCorr`; the graph is a tenth of it, and each SD is
free to go to zero without dragging a correlation along.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.bayes.priors import PriorRow
from nestwise.bayes.units import Units
from nestwise.design.record import Design
from nestwise.likelihood.crossproducts import CrossProducts


@dataclass(frozen=True)
class Structure:
    """Which parameters the model has.

    Attributes
    ----------
    fixed : tuple of str, length p
    random : tuple of (group, name), length q
        Varying coefficients over all terms.
    starts : tuple of int, length q
        First coefficient of the correlated block each belongs to.
    partials : tuple of (row, col), length k
        Which pair each partial correlation belongs to.
    """

    fixed: tuple[str, ...]
    random: tuple[tuple[str, str], ...]
    starts: tuple[int, ...]
    partials: tuple[tuple[int, int], ...]


def structure_of(design: Design) -> Structure:
    """The parameters of a design."""
    random: list[tuple[str, str]] = []
    starts: list[int] = []
    for term in design.random:
        first = len(random)
        for name in term.names:
            starts.append(first if term.correlated else len(random))
            random.append((term.group, name))
    partials = tuple((row, col) for row, start in enumerate(starts) for col in range(start, row))
    return Structure(design.names, tuple(random), tuple(starts), partials)


def vine_shapes(structure: Structure, etas: Sequence[float]) -> FloatArray:
    """Shape a (k,) of the Beta law of each partial correlation; `etas` has one value a correlated block."""
    sizes = {start: structure.starts.count(start) for start in structure.starts}
    blocks = [start for start, size in sizes.items() if size > 1]
    eta = dict(zip(blocks, etas, strict=True))
    return np.array(
        [
            eta[structure.starts[row]]
            + (sizes[structure.starts[row]] - 2 - (col - structure.starts[row])) / 2
            for row, col in structure.partials
        ],
        dtype=float,
    )


def standard_priors(rows: Sequence[PriorRow], units: Units) -> tuple[PriorRow, ...]:
    """The prior table in standard units."""
    result: list[PriorRow] = []
    fixed = sd = 0
    for row in rows:
        unit, center = 1.0, 0.0
        if row.component == "fixed":
            unit = units.y_scale / float(units.X_scale[fixed])
            center = units.y_center if fixed == units.intercept else 0.0
            fixed += 1
        elif row.component == "sd":
            unit = units.y_scale / float(units.Z_scale[sd])
            sd += 1
        elif row.component == "threshold" or row.term == "sigma":
            unit = units.y_scale
        location = None if row.location is None else _tidy((row.location - center) / unit)
        scale = None if row.scale is None else _tidy(row.scale / unit)
        result.append(replace(row, location=location, scale=scale))
    return tuple(result)


def build_model(structure: Structure, priors: Sequence[PriorRow], products: CrossProducts) -> Any:
    """The PyMC model.

    Parameters
    ----------
    structure : Structure
        Which parameters there are.
    priors : sequence of PriorRow
        Their priors in standard units, in the order of `priors.prior_table`.
    products : CrossProducts
        The collapsed data in standard units.

    Returns
    -------
    pymc.Model
        With free variables `beta*`, `sd*`, `partial`, `sigma*` and the likelihood as the potential `y`.
    """
    import pymc as pm

    from nestwise.bayes.collapsed import CollapsedGaussian

    with pm.Model(coords=coordinates(structure)) as model:
        beta, sd, partial, sigma = parameters(structure, priors)
        data = [
            pm.Data("A", products.A),
            pm.Data("B", products.B),
            pm.Data("G", products.G),
            pm.Data("n", float(products.n)),
            pm.Data("weights", products.weights),
            pm.Data("starts", np.array(structure.starts, dtype=np.int64)),
        ]
        pm.Potential("y", CollapsedGaussian()(beta, sd, partial, sigma, *data)[0])
    return model


def coordinates(structure: Structure) -> dict[str, list[str]]:
    """Names of the elements of each vector of the model."""
    coords = {
        "fixed": list(structure.fixed),
        "random": [f"{group}|{name}" for group, name in structure.random],
        "pair": [f"{structure.random[col][1]}:{structure.random[row][1]}" for row, col in structure.partials],
    }
    return {name: labels for name, labels in coords.items() if labels}


def parameters(structure: Structure, priors: Sequence[PriorRow]) -> tuple[Any, Any, Any, Any]:
    """In the context of a model: beta, sd, partial correlations, and sigma, size or shape if there is one."""
    import pymc as pm
    import pytensor.tensor as pt

    fixed, sds, cors, residual = (
        [row for row in priors if row.component == name] for name in ("fixed", "sd", "cor", "residual")
    )
    beta = _vector(pm, pt, "beta", fixed, "fixed")
    sd = _vector(pm, pt, "sd", sds, "random")
    last = _vector(pm, pt, residual[0].term, residual, None) if residual else None
    partial = pt.zeros(0)
    if structure.partials:
        shapes = _common(vine_shapes(structure, [row.eta or 1.0 for row in cors]))
        partial = 2 * pm.Beta("partial", shapes, shapes, dims="pair") - 1
    return beta, sd, partial, last


PARAMETERS: Mapping[str, tuple[str, dict[str, str]]] = {
    "normal": ("Normal", {"mu": "location", "sigma": "scale"}),
    "student_t": ("StudentT", {"nu": "df", "mu": "location", "sigma": "scale"}),
    "half_normal": ("HalfNormal", {"sigma": "scale"}),
    "half_student_t": ("HalfStudentT", {"nu": "df", "sigma": "scale"}),
    "exponential": ("Exponential", {"scale": "scale"}),
}
"""What PyMC calls each distribution and its parameters."""


def variable(pm: Any, name: str, rows: Sequence[PriorRow], **shape: Any) -> Any:
    """In the context of a model: one vector with the prior of each row."""
    distribution, parameters = PARAMETERS[rows[0].distribution]
    values = {given: _of(rows, field) for given, field in parameters.items()}
    return getattr(pm, distribution)(name, **values, **shape)


def _vector(pm: Any, pt: Any, name: str, rows: Sequence[PriorRow], dims: str | None) -> Any:
    """Random variables of one component: one vector a family of distributions, put back in order."""
    families = list(dict.fromkeys(row.distribution for row in rows))
    if not families:
        return pt.zeros(0)
    if dims is None:
        return variable(pm, name, rows)
    if len(families) == 1:
        return variable(pm, name, rows, dims=dims)
    parts, order = [], []
    for family in families:
        members = [at for at, row in enumerate(rows) if row.distribution == family]
        part = variable(pm, f"{name}_{family}", [rows[at] for at in members], shape=len(members))
        parts.append(part)
        order.extend(members)
    return pt.concatenate(parts)[np.argsort(order)]


def _of(rows: Sequence[PriorRow], field: str) -> FloatArray | float:
    return _common(np.array([getattr(row, field) for row in rows], dtype=float))


def _common(values: FloatArray) -> FloatArray | float:
    """One number where all are equal, so that models of one shape share compiled code."""
    return float(values[0]) if all(a == b for a, b in pairwise(values)) else values


def _tidy(value: float) -> float:
    """Undo the rounding of a change of units and back, again so that compiled code is shared."""
    return float(f"{value:.12g}")


def correlation_factors(partial: FloatArray, starts: Sequence[int]) -> FloatArray:
    """Cholesky factors (..., q, q) of correlation matrices from partial correlations (..., k)."""
    q = len(starts)
    L = np.zeros((*partial.shape[:-1], q, q))
    at = 0
    for row, start in enumerate(starts):
        left = np.ones(partial.shape[:-1])
        for col in range(start, row):
            r = partial[..., at]
            L[..., row, col] = r * left
            left = left * np.sqrt((1 - r) * (1 + r))
            at += 1
        L[..., row, row] = left
    return L
