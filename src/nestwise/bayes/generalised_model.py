"""The PyMC model of an outcome that is not Gaussian: the random effects are sampled with the parameters.

Units are those of `units` with the link in place of the outcome. The thresholds of an ordinal outcome take
the place of the intercept: they hold for a row with the average of every covariate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import pi, sqrt
from typing import Any

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.bayes.layout import Layout, layout_of
from nestwise.bayes.model import Structure, coordinates, parameters, standard_priors, structure_of
from nestwise.bayes.priors import PriorRow, prior_table
from nestwise.bayes.units import Draws, Units, link_units, to_data
from nestwise.config.study import Prior
from nestwise.design.record import Design
from nestwise.likelihood.families import density, responses
from nestwise.vocabulary import INTERCEPT

UNIT = {"logit": 1.0, "probit": sqrt(3) / pi, "cloglog": sqrt(0.5), "log": 1.0}
"""One unit of each link; of probit and cloglog so that latent standard deviations are those of the logit."""
TYPICAL_AUX = 0.7
"""Log size or shape at which information is judged."""


@dataclass(frozen=True)
class Sampled:
    """A design with what its posterior is sampled by.

    Attributes
    ----------
    design : Design
        The model.
    working : Design
        The same without the intercept of an ordinal model, which its thresholds hold.
    units, structure : Units, Structure
        Standard units and parameters of `working`.
    priors, standard_priors : tuple of PriorRow
        In the units of the formula, and in standard units.
    layout : Layout
        How the random effects are sampled.
    """

    design: Design
    working: Design
    units: Units
    structure: Structure
    priors: tuple[PriorRow, ...]
    standard_priors: tuple[PriorRow, ...]
    layout: Layout


def settle(design: Design, priors: Mapping[str, Prior]) -> Sampled:
    """Units, priors and the form of the random effects of a design.

    Raises
    ------
    Refusal
        See `priors.prior_table`.
    """
    working = _without_intercept(design) if design.family == "ordinal" else design
    units, structure = generalised_units(working), structure_of(working)
    table = prior_table(working, units, priors)
    X = (working.X - units.X_center) / units.X_scale
    return Sampled(
        design=design,
        working=working,
        units=units,
        structure=structure,
        priors=table,
        standard_priors=standard_priors(table, units),
        layout=layout_of(working, X, structure.starts, units, _information(working, units)),
    )


def _without_intercept(design: Design) -> Design:
    keep = [at for at, name in enumerate(design.names) if name != INTERCEPT]
    return replace(design, X=design.X[:, keep], names=tuple(design.names[at] for at in keep))


def generalised_units(design: Design) -> Units:
    """Standard units of a design; the linear predictor is centred at the link of the average outcome."""
    from scipy.special import logit, ndtri

    unit = UNIT[design.link]
    if design.family == "ordinal":
        found = link_units(design, 0.0, unit)
        return replace(found, X_center=design.X.mean(axis=0), X_scale=design.X.std(axis=0))
    y, trials = design.y, np.ones(design.n) if design.trials is None else design.trials
    offset = np.zeros(design.n) if design.offset is None else design.offset
    if design.family == "binomial":
        p = (y.sum() + 0.5) / (trials.sum() + 1)
        whole = float({"logit": logit, "probit": ndtri}.get(design.link, _cloglog)(p))
    else:
        whole = float(np.log((y.sum() + 0.5) / design.n))
    with_intercept = link_units(design, 0.0, 1.0).intercept is not None
    return link_units(design, whole - float(offset.mean()) if with_intercept else 0.0, unit)


def _cloglog(p: float) -> float:
    return float(np.log(-np.log1p(-p)))


def _information(design: Design, units: Units) -> FloatArray:
    """Of every row (n,) on its linear predictor in standard units, where all have the average outcome."""
    given = responses(design.family, design.link, design.y, design.trials)
    offset = np.zeros(design.n) if design.offset is None else design.offset
    aux = np.full(given.n_aux, TYPICAL_AUX)
    if design.family == "ordinal":
        from scipy.special import logit, ndtri

        below = np.cumsum(np.bincount(design.y.astype(np.int64), minlength=given.categories))[:-1] + 0.5
        aux = np.asarray((logit if design.link == "logit" else ndtri)(below / (design.n + 1)))
        aux = aux + 1e-6 * np.arange(aux.size)  # a category that nobody chose
    found = density(given, units.y_center + offset, aux, 3)
    return np.asarray(-found.d2 * units.y_scale**2)


def build_generalised(sampled: Sampled) -> Any:
    """The PyMC model.

    Parameters
    ----------
    sampled : Sampled
        See `settle`.

    Returns
    -------
    pymc.Model
        Free variables `beta*`, `sd*`, `partial`, `size`, `shape` or `thresholds`, and `u`, the random
        effects.
    """
    import pymc as pm
    import pytensor.tensor as pt

    from nestwise.bayes.given_effects import GivenEffects
    from nestwise.bayes.row_densities import CODES

    design, layout, structure = sampled.working, sampled.layout, sampled.structure
    with pm.Model(coords=coordinates(structure)) as model:
        beta, sd, partial, dispersion = parameters(structure, sampled.standard_priors)
        if design.family == "ordinal":
            aux = sampled.units.y_scale * _thresholds(sampled, int(design.y.max()))
        else:
            aux = pt.zeros(0) if dispersion is None else pt.log(dispersion)[None]
        u = pm.Flat("u", shape=layout.size)
        named = rows_data(design, sampled.units) | {
            "places": layout.places,
            "blocks": layout.blocks,
            "lines": layout.lines,
            "starts": np.array(structure.starts, dtype=np.int64),
            "centred": layout.centred,
            "family": np.array([CODES[design.family, design.link]]),
        }
        shared = [pm.Data(name, values) for name, values in named.items()]
        pm.Potential("y_u", GivenEffects()(beta, sd, partial, aux, u, *shared)[0])
    return model


def _thresholds(sampled: Sampled, size: int) -> Any:
    """In the context of a model: increasing thresholds, each with the same prior before they are ordered."""
    import pymc as pm
    from pymc.distributions.transforms import ordered

    from nestwise.bayes.model import variable

    row = next(row for row in sampled.standard_priors if row.component == "threshold")
    start = np.linspace(-1, 1, size) if size > 1 else np.zeros(1)
    return variable(pm, "thresholds", [row], shape=size, transform=ordered, initval=start)


def rows_data(design: Design, units: Units) -> dict[str, Any]:
    """Columns in standard units times a unit of the link, so that their products are linear predictors."""
    offset = np.zeros(design.n) if design.offset is None else design.offset
    return {
        "X": np.ascontiguousarray((design.X - units.X_center) / units.X_scale * units.y_scale),
        "Z": np.ascontiguousarray(design.Z / units.Z_scale * units.y_scale),
        "outcome": design.y,
        "trials": np.ones(design.n) if design.trials is None else design.trials,
        "offset": offset + units.y_center,
    }


def to_link(draws: Draws, sampled: Sampled) -> Draws:
    """Parameters in the units of the formula, from draws in standard units; without random effects.

    The intercept of an ordinal model is 0, its thresholds hold where all covariates are 0.
    """
    units = sampled.units
    home = to_data(draws, units)
    beta, thresholds = home.beta, draws.thresholds
    if thresholds is not None:
        thresholds = thresholds * units.y_scale + (beta @ units.X_center)[..., None]
        at = {name: place for place, name in enumerate(sampled.working.names)}
        zero = np.zeros(beta.shape[:-1])
        beta = np.stack([beta[..., at[name]] if name in at else zero for name in sampled.design.names], -1)
    return Draws(beta, home.sd, home.correlation, draws.sigma, thresholds=thresholds)


def auxiliary(home: Draws, s: int, *, dispersion: bool) -> FloatArray:
    """Auxiliary parameters (a,) of `families.density` at draw s."""
    if home.thresholds is not None:
        return np.asarray(home.thresholds[s])
    return np.log(home.sigma[s : s + 1]) if dispersion else np.empty(0)
