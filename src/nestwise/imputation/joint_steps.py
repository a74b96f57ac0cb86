"""The Gibbs sampler of the joint model, step by step; what goes over rows is compiled, in `joint_kernels`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from nestwise.arrays import BoolArray, FloatArray, IntArray
from nestwise.imputation.joint_kernels import bartlett, cutpoints, effects, fill, latents
from nestwise.imputation.joint_latent import Latent


@dataclass(frozen=True)
class Gaps:
    """Rows by their pattern of missing values.

    Attributes
    ----------
    patterns : ndarray (P, r)
        True where a value is missing; complete rows have no pattern.
    bounds : ndarray (P + 1,)
        ``order[bounds[s]:bounds[s + 1]]`` are the rows of pattern s.
    order : ndarray
        Incomplete rows.
    cells : int
        Missing values.
    """

    patterns: BoolArray
    bounds: IntArray
    order: IntArray
    cells: int


def gaps_of(missing: BoolArray) -> Gaps:
    """Patterns of a table (n, r) that is true where a value is missing."""
    incomplete = np.flatnonzero(missing.any(axis=1))
    patterns, which = np.unique(missing[incomplete], axis=0, return_inverse=True)
    which = which.ravel()
    order = np.argsort(which, kind="stable")
    bounds = np.searchsorted(which[order], np.arange(len(patterns) + 1)).astype(np.int64)
    rows = np.ascontiguousarray(incomplete[order], dtype=np.int64)
    return Gaps(np.ascontiguousarray(patterns), bounds, rows, int(missing.sum()))


@dataclass(frozen=True)
class Sampler:
    """Arrays that the steps work on, in place; rows sorted by group and on their sides.

    Attributes
    ----------
    Y, X, Z : ndarray (r, n), (p, n), (q, n)
        Variables, latent ones in place of categories; predictors.
    starts : ndarray (J + 1,)
        First row of each group.
    ZZ, XX, root : ndarray (J, q, q), (p, p), (p, p)
        Z'Z of each group; X'X and a root of its inverse.
    Y2, X2, root2 : ndarray (J, s), (J, p2), (p2, p2)
        The same of the groups.
    gaps, gaps2 : Gaps
        What is missing of Y and Y2.
    B, B2, b, u, Sigma, Psi : ndarray
        Parameters and random effects.
    df, scale, df_random, scale_random
        Priors.
    latent : Latent or None
        Where categories went.
    """

    Y: FloatArray
    X: FloatArray
    Z: FloatArray
    starts: IntArray
    ZZ: FloatArray
    XX: FloatArray
    root: FloatArray
    Y2: FloatArray
    X2: FloatArray
    root2: FloatArray
    gaps: Gaps
    gaps2: Gaps
    B: FloatArray
    B2: FloatArray
    b: FloatArray
    u: FloatArray
    Sigma: FloatArray
    Psi: FloatArray
    df: float
    scale: FloatArray
    df_random: float
    scale_random: FloatArray
    latent: Latent | None


def gibbs(steps: int, at: Sampler, traces: tuple[FloatArray, ...], rng: np.random.Generator) -> None:
    """So many steps in place; `traces` of B, Sigma and Psi (steps, ...) are filled."""
    (r, n), p = at.Y.shape, at.X.shape[0]
    E, XE, EE, still = np.empty((r, n)), np.empty((p, r)), np.empty((r, r)), np.zeros((p, r))
    precision, gaps = np.linalg.inv(at.Sigma), (at.gaps.patterns, at.gaps.bounds, at.gaps.order)
    for step in range(steps):
        Omega = np.linalg.inv(at.Psi)
        drawn = rng.standard_normal(at.b.size)
        effects(at.Y, at.X, at.Z, at.starts, at.ZZ, at.B, precision, Omega, at.u, at.b, E, XE, EE, drawn)
        change = _fixed(at, XE, EE, rng)
        if at.u.shape[1]:
            _group_level(at, Omega, rng)
            t = np.hstack((at.b, at.u))
        else:
            t = at.b
        at.Psi[:] = inverse_wishart(at.df_random + len(t), at.scale_random + t.T @ t, rng)
        if at.latent is None:
            at.Sigma[:] = inverse_wishart(at.df + n, at.scale + EE, rng)
        else:
            _mixed_covariance(at, at.latent, EE, rng)
        precision = np.linalg.inv(at.Sigma)
        if at.latent is not None:
            E -= change.T @ at.X
            change, where = still, (at.latent.observed, at.latent.layout, at.latent.thresholds)
            cutpoints(E.T, at.Y.T, precision, *where, rng)
            latents(E.T, at.Y.T, precision, *where, rng)
        fill(at.Y, E, at.X, change, precision, *gaps, rng.standard_normal(at.gaps.cells))
        traces[0][step], traces[1][step], traces[2][step] = at.B, at.Sigma, at.Psi


def inverse_wishart(df: float, S: FloatArray, rng: np.random.Generator) -> FloatArray:
    """A draw of the inverse Wishart distribution: the inverse of a Wishart with scale S^-1 (Bartlett)."""
    k = S.shape[0]
    roots = np.sqrt(rng.chisquare(df - np.arange(k)))
    return np.asarray(bartlett(np.ascontiguousarray(S), rng.standard_normal((k, k)), roots))


def _fixed(at: Sampler, XE: FloatArray, EE: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Draw B given b and Sigma under a flat prior; E'E for the new B. Returns the change of B (p, r)."""
    noise = at.root @ rng.standard_normal(at.B.shape) @ np.linalg.cholesky(at.Sigma).T
    change = at.root @ (at.root.T @ XE) + noise
    cross = change.T @ XE
    EE += change.T @ at.XX @ change - cross - cross.T
    at.B[:] += change
    return np.asarray(change)


def _group_level(at: Sampler, Omega: FloatArray, rng: np.random.Generator) -> None:
    """Draw B2, the missing values of the groups, and with them u = Y2 - X2 B2, given b."""
    k = at.b.shape[1]
    O22, O2b = Omega[k:, k:], Omega[k:, :k]
    V = np.linalg.inv(O22)
    shifted = at.Y2 + at.b @ O2b.T @ V
    noise = at.root2 @ rng.standard_normal(at.B2.shape) @ np.linalg.cholesky(V).T
    at.B2[:] = at.root2 @ (at.root2.T @ (at.X2.T @ shifted)) + noise
    fitted = at.X2 @ at.B2
    at.u[:] = at.Y2 - fitted
    for s, gone in enumerate(at.gaps2.patterns):
        j = at.gaps2.order[at.gaps2.bounds[s] : at.gaps2.bounds[s + 1]]
        h = -(at.b[j] @ O2b[gone].T + at.u[np.ix_(j, ~gone)] @ O22[np.ix_(~gone, gone)])
        L = np.linalg.cholesky(O22[np.ix_(gone, gone)])
        half = solve_triangular(L, h.T, lower=True) + rng.standard_normal(h.T.shape)
        at.u[np.ix_(j, gone)] = solve_triangular(L, half, lower=True, trans=1).T
        at.Y2[np.ix_(j, gone)] = fitted[np.ix_(j, gone)] + at.u[np.ix_(j, gone)]


def _mixed_covariance(at: Sampler, latent: Latent, EE: FloatArray, rng: np.random.Generator) -> None:
    """Draw Sigma: correlations of the latent variables, then the continuous ones given those."""
    of, rest, n = latent.latent, latent.continuous, at.Y.shape[1]
    Sigma, S = at.Sigma, EE[np.ix_(of, of)]
    R = _correlations(Sigma[np.ix_(of, of)], S, n, latent.free, rng)
    Sigma[np.ix_(of, of)] = R
    if not rest.size:
        return
    SC = EE[np.ix_(of, rest)]
    centre = np.linalg.solve(S, SC)
    left = EE[np.ix_(rest, rest)] - SC.T @ centre
    V = inverse_wishart(at.df + n - of.size, at.scale[np.ix_(rest, rest)] + (left + left.T) / 2, rng)
    noise = np.linalg.solve(np.linalg.cholesky(S).T, rng.standard_normal(SC.shape))
    slopes = centre + noise @ np.linalg.cholesky(V).T
    cross = R @ slopes
    Sigma[np.ix_(of, rest)], Sigma[np.ix_(rest, of)] = cross, cross.T
    Sigma[np.ix_(rest, rest)] = V + slopes.T @ cross


def _log_density(R: FloatArray, S: FloatArray, n: int) -> float:
    """Of residuals with cross-products S under the correlation R; -inf where R is none."""
    values, vectors = np.linalg.eigh(R)
    if values[0] < 1e-8:
        return -np.inf
    square = np.einsum("ai,ab,bi->i", vectors, S, vectors) / values
    return float(-(n * np.log(values).sum() + square.sum()) / 2)


def _correlations(
    R: FloatArray, S: FloatArray, n: int, free: IntArray, rng: np.random.Generator
) -> FloatArray:
    """Each free correlation moved by Metropolis' rule on Fisher's z, under a uniform prior."""
    at = _log_density(R, S, n)
    for i, j in free:
        new, old = R.copy(), R[i, j]
        there = np.tanh(np.arctanh(old) + 2 * rng.standard_normal() / np.sqrt(n))
        new[i, j] = new[j, i] = there
        density = _log_density(new, S, n)
        if np.log(rng.random()) < density - at + np.log((1 - there**2) / (1 - old**2)):
            R, at = new, density
    return R
