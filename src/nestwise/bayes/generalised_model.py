"""The PyMC model of an outcome that is not Gaussian: the random effects are sampled with the parameters.

Units are those of `units` with the link in place of the outcome. Each random term is centred where its groups
hold much information about it, and non-centred where they hold little; which, follows from the data alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import pi, sqrt
from typing import Any

import numpy as np

from nestwise.arrays import FloatArray, IntArray
from nestwise.bayes.model import Structure, coordinates, parameters
from nestwise.bayes.priors import PriorRow
from nestwise.bayes.units import Draws, Units, link_units, to_data
from nestwise.design.record import Design
from nestwise.likelihood.families import density, responses

UNIT = {"logit": 1.0, "probit": sqrt(3) / pi, "cloglog": sqrt(0.5), "log": 1.0}
"""One unit of each link; of probit and cloglog so that latent standard deviations are those of the logit."""
CENTRED_INFORMATION = 20.0
"""Information of the median group on a coefficient (per squared unit) from which its term is centred."""
TYPICAL_AUX = 0.7
"""Log size or shape at which information is judged."""


def generalised_units(design: Design) -> Units:
    """Standard units of a design; the linear predictor is centred at the link of the average outcome."""
    from scipy.special import logit, ndtri

    y, trials = design.y, np.ones(design.n) if design.trials is None else design.trials
    offset = np.zeros(design.n) if design.offset is None else design.offset
    if design.family == "binomial":
        p = (y.sum() + 0.5) / (trials.sum() + 1)
        whole = float({"logit": logit, "probit": ndtri}.get(design.link, _cloglog)(p))
    else:
        whole = float(np.log((y.sum() + 0.5) / design.n))
    with_intercept = link_units(design, 0.0, 1.0).intercept is not None
    center = whole - float(offset.mean()) if with_intercept else 0.0
    return link_units(design, center, UNIT[design.link])


def _cloglog(p: float) -> float:
    return float(np.log(-np.log1p(-p)))


def centred_terms(design: Design, structure: Structure, units: Units) -> IntArray:
    """Which coefficients (q,) are sampled as they are (1) and which standardised (0); the same in a term."""
    given = responses(design.family, design.link, design.y, design.trials)
    offset = np.zeros(design.n) if design.offset is None else design.offset
    eta = units.y_center + offset
    information = -density(given, eta, np.full(given.n_aux, TYPICAL_AUX), 3).d2 * units.y_scale**2
    Z = design.Z / units.Z_scale
    codes, J = design.random[0].codes, design.random[0].n_groups
    held = [
        float(np.median(np.bincount(codes, weights=information * column**2, minlength=J))) for column in Z.T
    ]
    starts = np.array(structure.starts)
    return np.array(
        [min(np.array(held)[starts == start]) >= CENTRED_INFORMATION for start in starts], dtype=np.int64
    )


def build_generalised(
    design: Design, structure: Structure, priors: Sequence[PriorRow], units: Units, centred: IntArray
) -> Any:
    """The PyMC model.

    Parameters
    ----------
    design : Design
        The model.
    structure, priors : Structure and sequence of PriorRow
        Its parameters and their priors in standard units.
    units : Units
        Those units.
    centred : ndarray (q,)
        See `centred_terms`.

    Returns
    -------
    pymc.Model
        Free variables `beta*`, `sd*`, `partial`, `size` or `shape`, and `u`, the random effects.
    """
    import pymc as pm
    import pytensor.tensor as pt

    from nestwise.bayes.given_effects import CODES, GivenEffects

    J, q = design.random[0].n_groups, len(design.varying)
    data = rows_data(design, units)
    with pm.Model(coords=coordinates(structure)) as model:
        beta, sd, partial, dispersion = parameters(structure, priors)
        u = pm.Flat("u", shape=(J, q))
        code = np.array([CODES[design.family, design.link]])
        named = data | {"starts": np.array(structure.starts), "centred": centred, "family": code}
        shared = [pm.Data(name, values) for name, values in named.items()]
        aux = pt.constant(0.0, dtype="float64") if dispersion is None else pt.log(dispersion)
        pm.Potential("y_u", GivenEffects()(beta, sd, partial, aux, u, *shared)[0])
    return model


def rows_data(design: Design, units: Units) -> dict[str, Any]:
    """Columns in standard units times a unit of the link, so that their products are linear predictors."""
    offset = np.zeros(design.n) if design.offset is None else design.offset
    return {
        "X": np.ascontiguousarray((design.X - units.X_center) / units.X_scale * units.y_scale),
        "Z": np.ascontiguousarray(design.Z / units.Z_scale * units.y_scale),
        "outcome": design.y,
        "trials": np.ones(design.n) if design.trials is None else design.trials,
        "offset": offset + units.y_center,
        "codes": design.random[0].codes.astype(np.int64),
    }


def to_link(draws: Draws, units: Units, structure: Structure, centred: IntArray) -> tuple[Draws, FloatArray]:
    """Parameters and random effects (..., J, q) in the units of the formula, from draws in standard units."""
    home = to_data(draws, units)
    assert draws.u is not None
    b, root = draws.u.copy(), draws.sd[..., :, None] * draws.correlation
    for row, start in enumerate(structure.starts):
        if not centred[row]:
            block = root[..., row, start : row + 1]
            b[..., row] = np.einsum("...jc,...c->...j", draws.u[..., start : row + 1], block)
    b *= units.y_scale / units.Z_scale
    return Draws(home.beta, home.sd, home.correlation, draws.sigma), b
