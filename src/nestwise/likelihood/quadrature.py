"""The likelihood of a generalised linear mixed model by adaptive Gauss-Hermite quadrature, and its gradient.

A group's likelihood is ``(2 pi)^(-q/2) int exp g(u) du`` with g of `modes`. Around the mode u0, with C upper
triangular and ``C C' = H^-1``, the nodes x_k of the product rule and their weights w_k,

    log-likelihood = log |C| - (q/2) log pi + log sum_k w_k exp(x_k'x_k + g(u_k)),  u_k = u0 + sqrt(2) C x_k;

one node is Laplace's approximation. The gradient is that of this approximation itself, not of the
likelihood it stands for: nodes move with the parameters, by the implicit function theorem for u0 and by
differentiating the Cholesky factorisation for C, which takes third derivatives of the density. So
optimisers and differences of gradients see one smooth function at any number of nodes.

For an adjoint A of C (its derivatives summed over nodes) with ``M = C'A``, ``<A, dC> = <-C N C', dH>``, N
half of M's upper triangle mirrored; for an adjoint a of u0, ``<a, du0> = (H^-1 a)' d[L'Z'd1]``.

Sources: Pinheiro & Bates (1995), JCGS 4, 12-35; Liu & Pierce (1994), Biometrika 81, 624-629; Pinheiro & Chao
(2006), JCGS 15, 58-81.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.likelihood.adjoint import through_modes
from nestwise.likelihood.convex import Convex, by_dispersion, convex_form, kind_of
from nestwise.likelihood.families import NONE, Derivatives, density
from nestwise.likelihood.grouped_rows import GroupedRows
from nestwise.likelihood.modes import Modes, modes
from nestwise.likelihood.nodes import sum_nodes
from nestwise.likelihood.one_effect import LANES, integrate_groups
from nestwise.likelihood.segments import add_weighted, linear_predictors, products

BLOCK = 60_000
"""Rows times nodes that are evaluated together: what fits in a processor's cache."""
GIANT = 4_000_000
"""Rows of a group times nodes beyond which the nodes are taken a few at a time, not all of a group."""

MOST_ROWS = 128
"""Rows a group beyond which its own rows fill a processor, and groups need not be taken together."""
MOST_KEPT = 4_000_000
"""Rows times nodes that are kept for the groups that are taken together."""


@dataclass(frozen=True, slots=True)
class Approximation:
    """The approximated log-likelihood and its gradient.

    Attributes
    ----------
    value : float
        Log-likelihood.
    beta, L, aux : ndarray (p,), (q, q), (a,)
        Derivatives by the working fixed effects, every element of L, the auxiliary parameters.
    modes : Modes
        Modes and curvatures of the random effects.
    groups : ndarray (J,)
        Log-likelihood of each distinct group.
    scores : ndarray (p + q q + a, J)
        Gradient of each distinct group, in the order beta, L by rows, aux; empty unless asked for.
    """

    value: float
    beta: FloatArray
    L: FloatArray
    aux: FloatArray
    modes: Modes
    groups: FloatArray
    scores: FloatArray


@cache
def product_rule(points: int, q: int) -> tuple[FloatArray, FloatArray]:
    """Nodes (K, q) of the product rule and the logarithm (K,) of ``w exp(x'x) pi^(-q/2)``."""
    x, w = np.polynomial.hermite.hermgauss(points)
    grids = np.meshgrid(*[np.arange(points)] * q, indexing="ij")
    places = np.stack([grid.ravel() for grid in grids], axis=1)
    nodes = x[places]
    log_weights = (np.log(w)[places] + nodes**2).sum(axis=1) - 0.5 * q * np.log(np.pi)
    return nodes, log_weights


def approximate(  # noqa: PLR0917
    rows: GroupedRows,
    beta: FloatArray,
    L: FloatArray,
    aux: FloatArray,
    points: int,
    start: FloatArray | None = None,
    *,
    scores: bool = False,
) -> Approximation:
    """Log-likelihood by quadrature, and its exact gradient.

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
    points : int
        Nodes in each dimension; 1 is Laplace's approximation.
    start : ndarray (q, J), optional
        Where the search for the modes starts.
    scores : bool
        Whether to give each group's gradient.

    Raises
    ------
    ModesNotFound
        If the densities cannot be evaluated.
    """
    alone = _alone(rows, beta, L, points, start)
    if alone is not None:
        return _collected(rows, aux, *alone, scores=scores)
    found = modes(rows, beta, L, aux, start)
    form = None if rows.largest * points ** L.shape[0] > GIANT else convex_form(rows.given, aux)
    sums = (
        _sums(rows, found, L, aux, points) if form is None else _compiled(rows, form, found, L, aux, points)
    )
    log_likelihoods = found.g + found.log_det + np.log(sums.total)
    return _collected(rows, aux, found, log_likelihoods, *_gradient(rows, found, sums), scores=scores)


def _collected(  # noqa: PLR0917
    rows: GroupedRows,
    aux: FloatArray,
    found: Modes,
    log_likelihoods: FloatArray,
    by_row: FloatArray,
    by_L: FloatArray,
    by_aux: FloatArray,
    *,
    scores: bool,
) -> Approximation:
    """Sums over groups, and each group's gradient if `scores` are wanted."""
    q = by_L.shape[0]
    weighted = by_row * rows.counts
    each = np.empty((0, rows.J))
    if scores:
        of_beta = rows.by_group(rows.X * by_row)
        each = np.concatenate([of_beta, by_L.reshape(q * q, -1), by_aux.reshape(aux.size, rows.J)])
    return Approximation(
        value=float(log_likelihoods @ rows.repeats),
        beta=rows.X @ weighted,
        L=by_L @ rows.repeats,
        aux=by_aux @ rows.repeats,
        modes=found,
        groups=log_likelihoods,
        scores=each,
    )


def _alone(
    rows: GroupedRows, beta: FloatArray, L: FloatArray, points: int, start: FloatArray | None
) -> tuple[Modes, FloatArray, FloatArray, FloatArray, FloatArray] | None:
    """Modes, log-likelihoods and derivatives by `one_effect`, where it has the model and finds the modes."""
    given = rows.given
    kind = kind_of(given) if L.shape[0] == 1 and given.frequency is None else None
    if kind is None or rows.n > MOST_ROWS * rows.J or LANES * rows.largest * points > MOST_KEPT:
        return None
    x, log_weights = product_rule(points, 1)
    eta = beta @ rows.X + rows.offset
    found, groups, d, by_row = integrate_groups(
        *(kind, (given.y, given.trials, given.constant, eta, rows.Z[0]), float(L[0, 0]), rows.bounds),
        *(rows.by_size, np.zeros(rows.J) if start is None else start[0], x[:, 0], log_weights),
    )
    if not found:
        return None
    u, C, g, total, by_L = groups
    log_det = np.log(C)
    at = Modes(u[None], L.T @ rows.Z, eta, g, Derivatives(NONE, *d), C[None, None], log_det)
    return at, g + log_det + np.log(total), by_row, by_L[None, None], np.empty((0, rows.J))


@dataclass(slots=True)
class _Sums:
    """Sums over nodes, each node weighted by its share of its group's integral."""

    total: FloatArray  # (J,) the integral itself, relative to the mode
    d1: FloatArray  # (n,) first derivatives
    slope: FloatArray  # (q, J) gradient of g by u
    slope_x: FloatArray  # (q, q, J) the same times the node
    pull_u: FloatArray  # (q, q, J) Z'd1 times u
    aux: FloatArray  # (a, J) derivatives by the auxiliary parameters


def _sums(rows: GroupedRows, at: Modes, L: FloatArray, aux: FloatArray, points: int) -> _Sums:
    q, J, n = L.shape[0], rows.J, rows.n
    nodes, log_weights = product_rule(points, q)
    sums = _Sums(
        np.zeros(J), np.zeros(n), np.zeros((q, J)), np.zeros((q, q, J)), np.zeros((q, q, J)),
        np.zeros((aux.size, J)),
    )  # fmt: skip
    size = max(1, BLOCK // n)
    for first in range(0, nodes.shape[0], size):
        x = nodes[first : first + size]
        u = at.u[:, None, :] + np.sqrt(2) * np.einsum("rsj,bs->rbj", at.C, x)
        here = density(rows.given, linear_predictors(at.eta, at.V, u, rows.starts), aux)
        g = rows.by_group(here.value) - 0.5 * (u * u).sum(axis=0) - at.g
        share = np.exp(g + log_weights[first : first + size, None])
        pull = products(rows.Z, here.d1, rows.starts)
        slope = share * (np.einsum("sr,sbj->rbj", L, pull) - u)
        sums.total += share.sum(axis=0)
        add_weighted(sums.d1, share, here.d1, rows.starts)
        sums.slope += slope.sum(axis=1)
        sums.slope_x += np.einsum("rbj,bs->rsj", slope, x)
        sums.pull_u += np.einsum("rbj,sbj->rsj", share * pull, u)
        for a, by_aux in enumerate(here.aux):
            sums.aux[a] += (share * rows.by_group(by_aux)).sum(axis=0)
    total = sums.total
    return _Sums(
        total,
        sums.d1 / total[rows.codes],
        sums.slope / total,
        sums.slope_x / total,
        sums.pull_u / total,
        sums.aux / total,
    )


def _compiled(  # noqa: PLR0917
    rows: GroupedRows, form: Convex, at: Modes, L: FloatArray, aux: FloatArray, points: int
) -> _Sums:
    """The same sums of families that are `convex`."""
    x, log_weights = product_rule(points, L.shape[0])
    total, averages, slope, slope_x, pull_u = sum_nodes(
        *(form.curve, np.vstack([form.abc, at.eta]), at.V, rows.Z, rows.bounds, rows.largest),
        *(L, at.u, at.C, at.g, np.ascontiguousarray(x.T), log_weights, aux.size > 0),
    )
    by_aux = by_dispersion(rows.given, form, aux, averages) if aux.size else np.empty((0, rows.n))
    return _Sums(total, averages[2], slope, slope_x, pull_u, rows.by_group(by_aux))


def _gradient(rows: GroupedRows, found: Modes, sums: _Sums) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Derivatives by the fixed part of each row's eta (n,), by L (q, q, J), by the aux (a, J)."""
    at = found.at
    derivatives = np.stack([at.d1, at.d2, at.d3])
    (rest, along, spread), by_L = through_modes(
        found.V, rows.Z, rows.bounds, found.u, found.C, derivatives, sums.slope, sums.slope_x, sums.pull_u
    )
    by_aux = sums.aux.copy()
    for a, (d1, d2) in enumerate(zip(at.aux_d1, at.aux_d2, strict=True)):
        by_aux[a] += rows.by_group(d1 * along - d2 * spread)
    return sums.d1 + rest, by_L, by_aux
