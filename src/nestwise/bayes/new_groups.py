"""Leaving one group out where outcomes are not Gaussian: how well a new group is foretold.

The density of a group with its random effects integrated out, by the adaptive quadrature of the likelihood
engine (`likelihood.quadrature`) at each of some draws, is what importance sampling over groups needs: a new
group has other random effects. The points are raised until the densities of the first draw are stable.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.bayes.effects import spaced
from nestwise.bayes.generalised_model import auxiliary
from nestwise.bayes.loo import left_out
from nestwise.bayes.units import Draws
from nestwise.design.record import Design
from nestwise.errors import Refusal
from nestwise.likelihood.families import DISPERSION
from nestwise.likelihood.grouped_rows import GroupedRows, grouped_rows
from nestwise.likelihood.quadrature import approximate

POINTS = (5, 9, 15, 25)
STABLE = 1e-4
"""Change of the log density of any group at which more points are not worth their time."""
WORK = 100_000_000
"""Densities of rows (rows x nodes x draws) at most, and so the number of draws."""
MOST_DRAWS = 1_000
FEWEST_DRAWS = 200


def group_log_densities(design: Design, home: Draws) -> tuple[list[int], FloatArray] | None:
    """Positions of some draws, and the log density (draws, J) of every group at them, effects integrated out.

    Parameters
    ----------
    design : Design
        The model.
    home : Draws
        (S, ...), units of the formula.

    Returns
    -------
    tuple or None
        `None` with several grouping factors, whose groups do not stand for themselves, or where the work for
        the fewest draws is too much.
    """
    if len(design.factors) > 1:
        return None
    try:
        rows = grouped_rows(design)
        points = _points(design, rows, home)
        chosen = spaced(home.sigma.size, min(MOST_DRAWS, int(WORK / rows.work(points))))
        if len(chosen) < min(FEWEST_DRAWS, home.sigma.size):
            return None
        values = np.stack([_at(design, rows, home, s, points) for s in chosen])
    except (Refusal, np.linalg.LinAlgError):
        return None
    return chosen, values[:, rows.which]


def _points(design: Design, rows: GroupedRows, home: Draws) -> int:
    middle = home.sigma.size // 2
    before = _at(design, rows, home, middle, POINTS[0])
    for fewer, more in pairwise(POINTS):
        after = _at(design, rows, home, middle, more)
        if np.abs(after - before).max() < STABLE:
            return fewer
        before = after
    return POINTS[-1]


def _at(design: Design, rows: GroupedRows, home: Draws, s: int, points: int) -> FloatArray:
    """Log density of each distinct group at one draw."""
    root = home.sd[s][:, None] * home.correlation[s]
    # L L' is the covariance of the working effects; any root of it gives the same integral
    working = np.linalg.solve(rows.T_Z, root)
    L = np.linalg.cholesky(working @ working.T)
    at = [design.names.index(name) for name in rows.names]
    beta = np.linalg.solve(rows.T_X, home.beta[s][at])
    aux = auxiliary(home, s, dispersion=design.family in DISPERSION)
    return approximate(rows, beta, L, aux, points).groups


def leave_one_new_group_out(design: Design, values: FloatArray) -> dict[str, Any]:
    """Expected log predictive density of new groups, by importance sampling (`loo`).

    Parameters
    ----------
    design : Design
        The model.
    values : ndarray (draws, J)
        See `group_log_densities`.

    Returns
    -------
    dict
        As `loo.leave_one_group_out`.
    """
    found, bad = left_out(values)
    labels = design.random[0].labels
    return {"unit": "a new group"} | found | {"groups_above_limit": [labels[at] for at in bad]}
