"""Laplace's approximation to the likelihood of a generalised model with several grouping factors.

With all random effects ``b = Lambda u`` of all factors at once, u standard normal, the mode u0 of
``g(u) = sum_i log f(y_i | eta_i + z_i'Lambda u) - u'u/2`` and ``M = I + Lambda'Z'WZ Lambda`` there,

    log-likelihood = g(u0) - log|M| / 2.

The gradient is that of `quadrature` with one node: what the determinant says of a row's weight is
``-v_i'M^-1 v_i / 2``, ``v_i = Lambda'z_i``, for which the selected inverse of M suffices, because every
pair of groups that share a row has its block in it.

Sources: Breslow & Clayton (1993), JASA 88; Bates et al. (2015), section 2 and lme4's PIRLS.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.likelihood.crossed_rows import CrossedRows
from nestwise.likelihood.factorisation import factor, selected_inverse, solve
from nestwise.likelihood.families import Derivatives, density
from nestwise.likelihood.modes import MOST_STEPS, STEP_TOLERANCE, ModesNotFound


@dataclass(frozen=True, slots=True)
class CrossedModes:
    """The mode of all random effects.

    Attributes
    ----------
    u : ndarray (Q, 1)
        Mode, in units of the Cholesky factor.
    g : float
        Log joint density there, without the constant of the normal.
    at : Derivatives
        Of every row there.
    root : ndarray
        Flat array of the factorisation of M.
    log_det : float
        ``log |M|``.
    """

    u: FloatArray
    g: float
    at: Derivatives
    root: FloatArray
    log_det: float


@dataclass(frozen=True, slots=True)
class CrossedApproximation:
    """The approximated log-likelihood and its gradient; see `quadrature.Approximation`."""

    value: float
    beta: FloatArray
    L: FloatArray
    aux: FloatArray
    modes: CrossedModes


def crossed_modes(
    rows: CrossedRows, beta: FloatArray, L: FloatArray, aux: FloatArray, start: FloatArray | None = None
) -> CrossedModes:
    """Find the mode of all random effects by Newton's method, steps halved where the density falls.

    Raises
    ------
    ModesNotFound
        If the densities cannot be evaluated.
    """
    roots = rows.blocks(L)
    transposed = [root.T for root in roots]
    fixed = beta @ rows.X + rows.offset

    def joint(u: FloatArray) -> tuple[float, Derivatives]:
        eta = fixed + rows.Z @ rows.apply(roots, u)[:, 0]
        at = density(rows.given, eta, aux, 3)
        return float(at.value.sum() - 0.5 * (u * u).sum()), at

    u = np.zeros((rows.Z.shape[1], 1)) if start is None else start
    g, at = joint(u)
    if not np.isfinite(g):
        u = np.zeros_like(u)
        g, at = joint(u)
    for _ in range(MOST_STEPS):
        slope = rows.apply(transposed, (rows.Z.T @ at.d1)[:, None]) - u
        root, log_det = factor(rows.elimination, rows.weighted(-at.d2), _padded(roots))
        step = solve(rows.elimination, root, slope.copy())
        left = float((slope * step).sum())
        if not left >= 0:
            raise ModesNotFound("the densities cannot be evaluated")
        if left < STEP_TOLERANCE * rows.n:
            return CrossedModes(u, g, at, root, log_det)
        for _ in range(60):
            ahead = u + step
            found = joint(ahead)
            if found[0] >= g - 1e-10 * (1 + abs(g)):
                break
            step = step / 2
        else:
            raise ModesNotFound("the densities cannot be evaluated")
        u, (g, at) = ahead, found
    raise ModesNotFound("the modes of the random effects were not found")


def laplace(
    rows: CrossedRows, beta: FloatArray, L: FloatArray, aux: FloatArray, start: FloatArray | None = None
) -> CrossedApproximation:
    """Log-likelihood by Laplace's approximation, and its exact gradient.

    Parameters
    ----------
    rows : CrossedRows
        The data.
    beta, L, aux, start
        As `quadrature.approximate` takes them; start (Q, 1).

    Raises
    ------
    ModesNotFound
        If the densities cannot be evaluated.
    """
    from nestwise.likelihood import cholesky  # compiled code: half a second to import

    found = crossed_modes(rows, beta, L, aux, start)
    e, at, roots = rows.elimination, found.at, rows.blocks(L)
    transposed = [root.T for root in roots]
    inverse = selected_inverse(e, found.root)
    spread = -0.5 * _row_variances(rows, inverse, roots)
    by_eta = -at.d3 * spread
    pulled = rows.apply(transposed, (rows.Z.T @ by_eta)[:, None])
    c = solve(e, found.root, pulled)
    along = rows.Z @ rows.apply(roots, c)[:, 0]
    rest = by_eta + at.d2 * along
    coupling, padded = rows.weighted(-at.d2), _padded(roots)
    own = np.zeros_like(padded)
    cholesky.slope(
        inverse, coupling.values, coupling.begin, coupling.late, coupling.early, coupling.at, padded, e.size,
        e.factor, e.width, own,
    )  # fmt: skip
    of_rest, of_d1 = (rows.Z.T @ part for part in (rest, at.d1))
    by_L = np.zeros_like(L)
    for f, (columns, _) in enumerate(rows.factors):
        parts = [
            rows.by_factor(np.reshape(each, (-1, 1)), f)[:, :, 0] for each in (of_rest, found.u, of_d1, c)
        ]
        width = len(columns)
        block = parts[0].T @ parts[1] + parts[2].T @ parts[3] - own[f, :width, :width]
        by_L[np.ix_(columns, columns)] = block + parts[2].T @ parts[1]
    by_aux = [
        float(value.sum() + d1 @ along - d2 @ spread)
        for value, d1, d2 in zip(at.aux, at.aux_d1, at.aux_d2, strict=True)
    ]
    return CrossedApproximation(
        value=found.g - 0.5 * found.log_det,
        beta=rows.X @ (at.d1 + rest),
        L=by_L,
        aux=np.array(by_aux),
        modes=found,
    )


def group_covariances(rows: CrossedRows, found: CrossedModes) -> list[FloatArray]:
    """Diagonal blocks of M^-1 of every factor (J_f, q_f, q_f)."""
    from nestwise.likelihood import cholesky  # compiled code: half a second to import

    e = rows.elimination
    inverse = selected_inverse(e, found.root)
    blocks = []
    for f, (columns, J) in enumerate(rows.factors):
        mine = np.flatnonzero(e.factor == f)
        mine = mine[np.argsort(e.column[mine], kind="stable")]
        out = np.empty((J, len(columns), len(columns)))
        cholesky.blocks(inverse, mine, e.size, e.start, e.width, e.shift, out)
        blocks.append(out)
    return blocks


def _row_variances(rows: CrossedRows, inverse: FloatArray, roots: list[FloatArray]) -> FloatArray:
    """``v_i'M^-1 v_i`` (n,) from the selected inverse."""
    e, c = rows.elimination, rows.coupling
    spread = np.empty(c.values.size)
    kinds = e.factor[c.late] * len(roots) + e.factor[c.early]
    for kind in np.unique(kinds):
        edges = np.flatnonzero(kinds == kind)
        left, right = roots[kind // len(roots)], roots[kind % len(roots)]
        a, b = np.arange(left.shape[0])[:, None], np.arange(right.shape[0])[None, :]
        at = c.at[edges, None, None] + a * e.width[c.early[edges], None, None] + b
        to = c.begin[edges, None, None] + a * right.shape[0] + b
        spread[to] = left @ inverse[at] @ right.T
    return np.asarray((rows.twice * rows.product * spread[rows.spot]).sum(axis=0))


def _padded(roots: list[FloatArray]) -> FloatArray:
    widest = max(root.shape[0] for root in roots)
    padded = np.zeros((len(roots), widest, widest))
    for f, root in enumerate(roots):
        padded[f, : root.shape[0], : root.shape[0]] = root
    return padded
