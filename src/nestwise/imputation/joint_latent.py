"""Categories of the joint model as latent normal variables: where they stand, where they start.

Latent variables have residual variance 1; those of one nominal variable are correlated by 1/2, so that all
its categories are treated alike, and all other correlations are free with a uniform prior. A missing category
is what its latent variables say once they are drawn without a constraint. Sources: Albert & Chib (1993),
JASA 88; Cowles (1996), Statistics and Computing 6; Robert (1995), Statistics and Computing 5 (truncated
normal draws); Carpenter & Kenward (2013), chapters 4-5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from nestwise.arrays import BoolArray, FloatArray, IntArray
from nestwise.imputation.joint_kernels import NOMINAL, ORDINAL

CODES = {"binary": 0, "ordinal": ORDINAL, "nominal": NOMINAL}


@dataclass(frozen=True)
class Latent:
    """Where categories went.

    Attributes
    ----------
    observed : ndarray (n, V)
        Category of each of V variables, -1 where missing; rows sorted by group.
    layout : ndarray (V, 4)
        Kind, first latent column, latent columns, categories of each variable.
    thresholds : ndarray (V, K + 1)
        Of ordinal variables: -inf, 0, ..., inf; drawn in place.
    columns : tuple of int
        Column of each original variable: its own, or its first latent one.
    latent, continuous : ndarray
        Columns of either sort among all R.
    free : ndarray (F, 2)
        Pairs of latent variables, as places in `latent`, whose correlation is estimated.
    """

    observed: IntArray
    layout: IntArray
    thresholds: FloatArray
    columns: tuple[int, ...]
    latent: IntArray
    continuous: IntArray
    free: IntArray

    def start(self, Sigma: FloatArray) -> FloatArray:
        """A covariance (R, R) with the variances and correlations that are fixed."""
        found = Sigma.copy()
        for _, first, width, _ in self.layout:
            block = slice(first, first + width)
            found[block, block] = (np.eye(width) + 1) / 2
        return found

    def categories(self, Y: FloatArray) -> FloatArray:
        """Values (n, r) of the original variables: categories as 0 .. K-1."""
        found = Y[:, list(self.columns)].copy()
        for v, (kind, first, width, _) in enumerate(self.layout):
            at = self.columns.index(int(first))
            if kind == NOMINAL:
                part = Y[:, first : first + width]
                found[:, at] = np.where(part.max(axis=1) > 0, part.argmax(axis=1), width)
            else:
                found[:, at] = np.searchsorted(self.thresholds[v, 1:-1], Y[:, first])
        return found


def latent_start(
    Y: FloatArray, kinds: Sequence[str], rng: np.random.Generator
) -> tuple[Latent, FloatArray, BoolArray]:
    """Latent variables that agree with the categories, and the gaps (n, R) that are left.

    Returns the layout, the variables (n, R) with NaN in continuous gaps only, and those gaps.
    """
    parts: list[FloatArray] = []
    layout, observed, thresholds, columns, at = [], [], [], [], 0
    for values, kind in zip(Y.T, kinds, strict=True):
        columns.append(at)
        if kind == "continuous":
            parts.append(values[:, None])
            at += 1
            continue
        K = int(np.nanmax(values)) + 1
        seen = np.where(np.isnan(values), -1, values).astype(np.int64)
        first, limits = _first(seen, CODES[kind], K, rng)
        layout.append((CODES[kind], at, first.shape[1], K))
        observed.append(seen)
        thresholds.append(limits)
        parts.append(first)
        at += first.shape[1]
    table = np.full((len(layout), max(row[3] for row in layout) + 1), np.inf)
    for row, limits in zip(table, thresholds, strict=True):
        row[: limits.size] = limits
    latent = [column for _, start, width, _ in layout for column in range(start, start + width)]
    owner = [v for v, (_, _, width, _) in enumerate(layout) for _ in range(width)]
    free = [(i, j) for i, j in combinations(range(len(latent)), 2) if owner[i] != owner[j]]
    full = np.ascontiguousarray(np.column_stack(parts))
    found = Latent(
        observed=np.column_stack(observed),
        layout=np.array(layout, dtype=np.int64),
        thresholds=table,
        columns=tuple(columns),
        latent=np.array(latent, dtype=np.int64),
        continuous=np.array([c for c in range(at) if c not in latent], dtype=np.int64),
        free=np.array(free, dtype=np.int64).reshape(-1, 2),
    )
    return found, full, np.isnan(full)


def _first(seen: IntArray, kind: int, K: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Starting values (n, width) of a variable and its thresholds (K + 1,)."""
    from scipy.special import ndtr, ndtri

    n = seen.size
    filled = np.where(seen < 0, rng.choice(seen[seen >= 0], n), seen)
    if kind == NOMINAL:
        size = np.abs(rng.standard_normal((n, K - 1)))
        chosen = filled[:, None] == np.arange(K - 1)
        return np.where(chosen, size, -size), np.array([-np.inf, 0.0, np.inf])
    share = np.bincount(filled, minlength=K)[:K].cumsum()[:-1] / n
    cuts = ndtri(np.clip(share, 0.5 / n, 1 - 0.5 / n))
    limits = np.concatenate([[-np.inf], cuts - cuts[0], [np.inf]])
    low, high = ndtr(limits[filled] + cuts[0]), ndtr(limits[filled + 1] + cuts[0])
    inside = low + (high - low) * rng.uniform(0.02, 0.98, n)
    return (ndtri(inside) - cuts[0])[:, None], limits
