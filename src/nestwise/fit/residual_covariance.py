"""Marginal covariance of a model with a residual covariance, and its derivatives by natural parameters.

Natural parameters are those of SAS PROC MIXED, on whose choice Kenward and Roger's method depends:
covariances where V is linear in them (unstructured; compound symmetry and Toeplitz with one variance),
otherwise variances, correlations, and the exponent of a variance function.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nestwise.arrays import FloatArray, IntArray
from nestwise.design.record import Design
from nestwise.fit.clusters import (
    ClusterStack,
    MarginalCovariance,
    cluster_rows,
    independent_clusters,
    random_covariance,
    random_parameters,
    refuse_large_clusters,
)
from nestwise.likelihood.residual import ResidualModel

Second = dict[tuple[int, int], FloatArray]


@dataclass(frozen=True)
class _Rows:
    """What the residual covariance of a stack of clusters (c, m) depends on."""

    rows: IntArray
    same: FloatArray
    """1 where two rows are of one subject (c, m, m)."""
    visits: IntArray
    strata: IntArray


def marginal_covariance(
    design: Design, model: ResidualModel, phi: FloatArray, Sigma: FloatArray, *, what: str
) -> MarginalCovariance:
    """Covariance of the rows of a model with a residual covariance.

    Parameters
    ----------
    design : Design
        The model.
    model : ResidualModel
        Its residual covariance.
    phi : ndarray (k,)
        Parameters, the log standard deviations on the outcome's scale.
    Sigma : ndarray (q, q)
        Covariance of the random effects, outcome's scale and formula's columns.
    what : str
        What asks for it, as the sentence of a refusal begins.

    Raises
    ------
    Refusal
        If a cluster is too large for dense algebra.
    """
    residual = design.residual
    assert residual is not None
    clusters = independent_clusters(design)
    refuse_large_clusters(design, clusters, what)
    linear = _is_linear(model)
    random = len(random_parameters(design))

    def stacks() -> Iterator[ClusterStack]:
        for rows in cluster_rows(clusters):
            subjects = residual.subjects[rows]
            own = model.structure != "independent"
            same = subjects[:, :, None] == subjects[:, None, :] if own else np.eye(rows.shape[1], dtype=bool)
            here = _Rows(
                rows,
                np.broadcast_to(same, (*rows.shape, rows.shape[1])).astype(float),
                residual.visits[rows],
                residual.strata[rows] if residual.by else np.zeros_like(rows),
            )
            V, *first = random_covariance(design, Sigma, rows) if design.random else (0.0,)
            R, of_R, second = (_linear if linear else _nonlinear)(model, phi, here)
            moved = {(i + random, j + random): value for (i, j), value in second.items()}
            yield ClusterStack(rows, np.asarray(V + R), (*first, *of_R), moved)

    names = (*(f"random {i + 1}" for i in range(random)), *(f"residual {i + 1}" for i in range(model.k)))
    return MarginalCovariance(names, stacks, linear=linear)


def _is_linear(model: ResidualModel) -> bool:
    """Whether R is linear in covariances: one for each distance, or for each pair of visits."""
    plain = all(kind == "sigma" for kind, _, _ in model.scales)
    homogeneous = plain and all(level == "" for _, _, level in model.scales)
    by_visit = plain and model.n_scales == model.G * model.T
    return {
        "independent": plain,
        "compound_symmetry": homogeneous,
        "toeplitz": homogeneous,
        "unstructured": by_visit or (model.T == 1 and homogeneous),
    }.get(model.structure, False)


def _covariance(model: ResidualModel, phi: FloatArray, here: _Rows) -> FloatArray:
    """R (c, m, m)."""
    s = model.scale(phi, here.rows)
    return s[:, :, None] * s[:, None, :] * _correlation(model, phi, here)


def _correlation(model: ResidualModel, phi: FloatArray, here: _Rows) -> FloatArray:
    if model.structure == "ar1":
        rho = model.rho(phi)[0][here.strata][:, :, None]
        return here.same * np.power(rho, _gaps(model, here))
    if model.structure == "independent":
        return here.same
    if model.structure == "compound_symmetry":
        rho = model.rho(phi)[0][here.strata][:, :, None]
        return here.same * np.where(_gaps(model, here) > 0, rho, 1.0)
    C = np.stack(model.correlations(phi)[0])
    return here.same * C[here.strata[:, :, None], here.visits[:, :, None], here.visits[:, None, :]]


def _gaps(model: ResidualModel, here: _Rows) -> FloatArray:
    """Distance of two rows in steps (AR(1)) or 1 (all others); 0 for a row and itself."""
    if model.structure != "ar1":
        return np.broadcast_to(1.0 - np.eye(here.rows.shape[1]), here.same.shape)
    times = model.times[here.visits]
    gaps = np.abs(times[:, :, None] - times[:, None, :]) / model.step
    return np.asarray(np.round(gaps) if model.signed else gaps)


def _linear(
    model: ResidualModel, phi: FloatArray, here: _Rows
) -> tuple[FloatArray, list[FloatArray], Second]:
    """R and its derivatives by covariances."""
    known = np.exp(model.offset[here.rows])
    scaled = here.same * known[:, :, None] * known[:, None, :]
    one, other = here.visits[:, :, None], here.visits[:, None, :]
    first: list[FloatArray] = []
    for g in range(model.G):
        inside = scaled * (here.strata == g)[:, :, None]
        if model.structure == "unstructured":
            for t in range(model.T):
                for u in range(t + 1):
                    first.append(inside * (((one == t) & (other == u)) | ((one == u) & (other == t))))
        elif model.structure == "toeplitz":
            first.extend(inside * (np.abs(one - other) == lag) for lag in range(model.T))
        elif model.structure == "compound_symmetry":
            diagonal = np.eye(here.rows.shape[1])
            first.extend((inside * diagonal, inside * (1 - diagonal)))
    if model.structure == "independent":
        columns = model.columns[here.rows]
        first = [scaled * columns[:, :, None, a] for a in range(model.n_scales)]
    return _covariance(model, phi, here), first, {}


def _nonlinear(
    model: ResidualModel, phi: FloatArray, here: _Rows
) -> tuple[FloatArray, list[FloatArray], Second]:
    """R and its derivatives by variances, exponents and correlations."""
    d = model.n_scales
    R = _covariance(model, phi, here)
    s = model.scale(phi, here.rows)
    size = s[:, :, None] * s[:, None, :]
    columns = (model.columns @ np.linalg.inv(model.back))[here.rows]
    reach = [columns[:, :, None, a] + columns[:, None, :, a] for a in range(d)]
    delta = model.back @ phi[:d]
    # log sd = log(variance) / 2; an exponent is its own parameter
    is_variance = np.array([kind == "sigma" for kind, _, _ in model.scales])
    slope = np.where(is_variance, 0.5 * np.exp(-2 * delta), 1.0)
    bend = np.where(is_variance, -0.5 * np.exp(-4 * delta), 0.0)
    by_scale = [reach[a] * R * slope[a] for a in range(d)]
    dC, ddC = _natural(model, phi, here)
    second: Second = {}
    for a in range(d):
        for b in range(a, d):
            value = reach[a] * reach[b] * R * slope[a] * slope[b]
            second[a, b] = value + (bend[a] * reach[a] * R if a == b else 0.0)
        for k, derivative in enumerate(dC):
            second[a, d + k] = reach[a] * size * derivative * slope[a]
    second |= {(d + k, d + m): size * value for (k, m), value in ddC.items()}
    return R, [*by_scale, *(size * derivative for derivative in dC)], second


def _natural(model: ResidualModel, phi: FloatArray, here: _Rows) -> tuple[list[FloatArray], Second]:
    """First and second derivatives of the correlation by correlations, stratum by stratum."""
    one, other = here.visits[:, :, None], here.visits[:, None, :]
    first: list[FloatArray] = []
    second: Second = {}
    for g in range(model.G if model.n_each else 0):
        inside = here.same * (here.strata == g)[:, :, None]
        start = len(first)
        if model.structure == "compound_symmetry":
            first.append(inside * _gaps(model, here))
        elif model.structure == "ar1":
            rho, gaps = model.rho(phi)[0][g], _gaps(model, here)
            falling = gaps * (gaps - 1)
            with np.errstate(divide="ignore", invalid="ignore"):
                first.append(inside * np.where(gaps > 0, gaps * np.power(rho, gaps - 1), 0.0))
                twice = np.where(falling != 0, falling * np.power(rho, gaps - 2), 0.0)
            second[start, start] = inside * twice
        elif model.structure == "toeplitz":
            first.extend(inside * (np.abs(one - other) == lag) for lag in range(1, model.T))
        elif model.structure == "unstructured":
            for t in range(model.T):
                for u in range(t):
                    first.append(inside * (((one == t) & (other == u)) | ((one == u) & (other == t))))
        else:
            rho = np.tanh(model.by_stratum(phi)[g])
            low, high = np.minimum(one, other), np.maximum(one, other)
            for k in range(model.T - 1):
                across = (low <= k) & (high > k)
                first.append(inside * across * _product(rho, (k,))[low, high])
                for m in range(k):
                    both = across & (low <= m) & (high > m)
                    second[start + m, start + k] = inside * both * _product(rho, (m, k))[low, high]
    return first, second


def _product(rho: FloatArray, without: tuple[int, ...]) -> FloatArray:
    """Products (T, T) of neighbouring correlations from one visit to a later one, some left out."""
    T = rho.shape[0] + 1
    kept = np.where(np.isin(np.arange(T - 1), without), 1.0, rho)
    products = np.eye(T)
    for t in range(T):
        products[t, t + 1 :] = np.cumprod(kept[t:])
    return products
