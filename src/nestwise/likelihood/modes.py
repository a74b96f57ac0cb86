"""The mode of every group's random effects, by Newton's method for all groups at once.

With ``b = L u`` and u standard normal, the log joint density of a group is ``g(u) = sum_i log f(y_i | eta_i
+ z_i'L u) - u'u/2``; the mode is where ``L'Z'd1 = u``, and the curvature there is ``H = I + L'Z'WZ L`` with
``W = -d2``, the observed information. All families are log-concave in eta, so that H is at least I, g has
one maximum, and Newton steps that are halved where g falls always find it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.likelihood.convex import convex_form
from nestwise.likelihood.families import NONE, Derivatives, density
from nestwise.likelihood.grouped_rows import GroupedRows
from nestwise.likelihood.newton import newton_steps
from nestwise.likelihood.nodes import joint_densities
from nestwise.likelihood.segments import linear_predictors

STEP_TOLERANCE = 1e-22
"""A mode is found once the squared length of the next step, in its own curvature, is below this."""
MOST_STEPS = 100


@dataclass(frozen=True, slots=True)
class Modes:
    """Where each group's joint density is highest.

    Attributes
    ----------
    u : ndarray (q, J)
        Modes, random effects in units of their Cholesky factor.
    V : ndarray (q, n)
        ``L'z`` of each row.
    eta : ndarray (n,)
        Linear predictor without random effects.
    g : ndarray (J,)
        Log joint density at the mode, without the constant of the normal.
    at : Derivatives
        Of every row at the mode.
    C : ndarray (q, q, J)
        Upper triangular with ``C C' = H^-1``.
    log_det : ndarray (J,)
        ``log |C|``.
    """

    u: FloatArray
    V: FloatArray
    eta: FloatArray
    g: FloatArray
    at: Derivatives
    C: FloatArray
    log_det: FloatArray


class ModesNotFound(np.linalg.LinAlgError):
    """The modes cannot be found at these parameters: numbers beyond what can be calculated with."""


def modes(
    rows: GroupedRows,
    beta: FloatArray,
    L: FloatArray,
    aux: FloatArray,
    start: FloatArray | None = None,
) -> Modes:
    """Find the modes of all groups.

    Parameters
    ----------
    rows : GroupedRows
        The data.
    beta : ndarray (p,)
        Working fixed effects.
    L : ndarray (q, q)
        Cholesky factor of the random effects' covariance, working parametrisation.
    aux : ndarray (a,)
        Auxiliary parameters of the family.
    start : ndarray (q, J), optional
        Where to start; zero by default.

    Raises
    ------
    ModesNotFound
        If the densities cannot be evaluated.
    """
    eta = beta @ rows.X + rows.offset
    V = L.T @ rows.Z
    u = np.zeros((rows.pattern.q, rows.J)) if start is None else start.copy()
    form = convex_form(rows.given, aux)
    content = None if form is None else np.vstack([form.abc, eta])

    def joint(u: FloatArray) -> tuple[FloatArray, Derivatives]:
        if form is None or content is None:
            return _joint(rows, eta, V, u, aux)
        g, d = joint_densities(form.curve, content, V, rows.bounds, rows.largest, u)
        return g, Derivatives(NONE, *d)

    g, at = joint(u)
    if not np.isfinite(g).all():
        u[:] = 0.0
        g, at = joint(u)
    for _ in range(MOST_STEPS):
        C, step, left = newton_steps(at.d1, at.d2, V, rows.bounds, u)
        largest = float(left.max())
        if not largest >= 0:
            raise ModesNotFound("the densities cannot be evaluated")
        if largest < STEP_TOLERANCE:
            break
        u, g, at = _ascend(joint, (u, g, step, left))
    else:
        raise ModesNotFound("the modes of the random effects were not found")
    if form is not None and aux.size:  # compiled densities leave the auxiliary parameters out
        at = _joint(rows, eta, V, u, aux)[1]
    log_det = np.log(np.einsum("aaj->aj", C)).sum(axis=0)
    return Modes(u, V, eta, g, at, C, log_det)


def _joint(
    rows: GroupedRows, eta: FloatArray, V: FloatArray, u: FloatArray, aux: FloatArray
) -> tuple[FloatArray, Derivatives]:
    at = density(rows.given, linear_predictors(eta, V, u[:, None, :], rows.starts)[0], aux, 3)
    return rows.by_group(at.value) - 0.5 * (u * u).sum(axis=0), at


def _ascend(
    joint: Callable[[FloatArray], tuple[FloatArray, Derivatives]],
    here: tuple[FloatArray, FloatArray, FloatArray, FloatArray],
) -> tuple[FloatArray, FloatArray, Derivatives]:
    """A step of each group, halved where the density falls by more than rounding."""
    u, g, step, left = here
    scale = np.ones(g.size)
    slack = 1e-9 * (1 + np.abs(g))
    for _ in range(60):
        ahead = u + scale * step
        g_ahead, at = joint(ahead)
        fallen = ~(g_ahead >= g - slack) & (left > 0)
        if not fallen.any():
            return ahead, g_ahead, at
        scale = np.where(fallen, scale / 2, scale)
    raise ModesNotFound("the densities cannot be evaluated")
