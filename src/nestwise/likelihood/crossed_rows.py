"""Rows of a generalised model with several grouping factors, as Laplace's approximation reads them.

The same blocked factorisation as for a Gaussian model (see `crossed`), of ``M = I + Lambda'Z'WZ Lambda``
with the weights W of the rows, which change from step to step: where each product of two elements of a row
of Z goes is found once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from nestwise.arrays import FloatArray, IntArray
from nestwise.design.record import Design
from nestwise.likelihood.crossed import Coupling, couple, indicator_columns, refuse_large
from nestwise.likelihood.elimination import Elimination
from nestwise.likelihood.families import Responses, responses
from nestwise.likelihood.working import Pattern, lambda_pattern, orthonormal, varying_columns
from nestwise.vocabulary import INTERCEPT


@dataclass(frozen=True)
class CrossedRows:
    """Data of a generalised linear mixed model with several grouping factors.

    Attributes
    ----------
    given, X, offset, pattern, T_X, T_Z, names
        As in `grouped_rows.GroupedRows`, rows in the design's order.
    Z : scipy.sparse.csr_array (n, Q)
        Working columns, factor by factor, group by group.
    factors : tuple of (tuple of int, int)
        Places among all varying coefficients, and number of groups of each factor.
    elimination, coupling
        Order and places of the blocks of Z'WZ.
    spot : ndarray (m, n)
        Where each of the m products of two elements of a row of Z goes in the blocks.
    product : ndarray (m, n)
        The products.
    twice : ndarray (m, 1)
        2 for products of two groups, which stand for two elements of Z'WZ, else 1.
    """

    given: Responses
    X: FloatArray
    offset: FloatArray
    pattern: Pattern
    T_X: FloatArray
    T_Z: FloatArray
    names: tuple[str, ...]
    Z: Any
    factors: tuple[tuple[tuple[int, ...], int], ...]
    elimination: Elimination
    coupling: Coupling
    spot: IntArray
    product: FloatArray
    twice: FloatArray

    @property
    def n(self) -> int:
        """Rows."""
        return int(self.offset.shape[0])

    @property
    def J(self) -> int:  # noqa: N802
        """Groups of the factor with the fewest."""
        return min(J for _, J in self.factors)

    @property
    def counts(self) -> FloatArray:
        """How many rows each one stands for (n,): one."""
        return np.ones(self.n)

    def work(self, points: int) -> float:
        """Multiplications of an evaluation, in units of a row's density, roughly."""
        return 60.0 * self.n * points + self.elimination.work / 20

    @property
    def spans(self) -> tuple[slice, ...]:
        """Columns of Z that belong to each factor."""
        ends = np.cumsum([0] + [len(columns) * J for columns, J in self.factors])
        return tuple(slice(int(a), int(b)) for a, b in pairwise(ends))

    def by_factor(self, stack: FloatArray, f: int) -> FloatArray:
        """Rows (Q, s) of factor f as (J_f, q_f, s)."""
        columns, J = self.factors[f]
        return stack[self.spans[f]].reshape(J, len(columns), -1)

    def blocks(self, L: FloatArray) -> list[FloatArray]:
        """L (q, q) cut into one square a factor."""
        return [L[np.ix_(columns, columns)] for columns, _ in self.factors]

    def apply(self, roots: list[FloatArray], stack: FloatArray) -> FloatArray:
        """``Lambda stack`` (Q, s) with one root (q_f, q_f) a factor."""
        out = np.empty_like(stack)
        for f, root in enumerate(roots):
            out[self.spans[f]] = (root @ self.by_factor(stack, f)).reshape(-1, stack.shape[1])
        return out

    def weighted(self, weights: FloatArray) -> Coupling:
        """The blocks of Z'WZ."""
        size = self.coupling.values.size
        sums = np.bincount(self.spot.ravel(), (self.product * weights).ravel(), minlength=size)
        return replace(self.coupling, values=sums)


def crossed_rows(design: Design) -> CrossedRows:
    """Put a design with any grouping factors into the form Laplace's approximation is evaluated in.

    Parameters
    ----------
    design : Design
        Not Gaussian; no multiple memberships, no relations.

    Raises
    ------
    Refusal
        If a varying coefficient is zero or follows from the others of its term, or the groups are crossed so
        thoroughly that their equations do not fit in memory.
    """
    from scipy import sparse

    keep = [i for i, name in enumerate(design.names) if design.family != "ordinal" or name != INTERCEPT]
    X, n = design.X[:, keep], design.n
    T_Z, columns = varying_columns(design)
    Q, R_inverse = orthonormal(X) if keep else (X, np.zeros((0, 0)))
    ones = tuple(np.ones(n) for _ in columns)
    structure: Any = sparse.hstack(
        [indicator_columns(each, ones, n) for each in design.factors], format="csc"
    )
    Z: Any = sparse.hstack(
        [indicator_columns(each, tuple(columns), n) for each in design.factors], format="csr"
    )
    A: Any = sparse.csr_array(structure.T @ structure)
    counts = [each.n_groups for each in design.factors]
    widths = np.array([len(each.columns) for each in design.factors], dtype=np.int64)
    elimination, coupling = couple(A, np.repeat(np.arange(len(counts)), counts), widths)
    refuse_large(design, elimination)
    spot, product, twice = _places(design, columns, elimination, coupling)
    return CrossedRows(
        given=responses(design.family, design.link, design.y, design.trials),
        X=np.ascontiguousarray((Q * np.sqrt(n)).T),
        offset=np.zeros(n) if design.offset is None else design.offset,
        pattern=lambda_pattern(design.random),
        T_X=R_inverse * np.sqrt(n),
        T_Z=T_Z,
        names=tuple(design.names[i] for i in keep),
        Z=sparse.csr_array(Z),
        factors=tuple((each.columns, each.n_groups) for each in design.factors),
        elimination=elimination,
        coupling=coupling,
        spot=spot,
        product=product,
        twice=twice,
    )


def _places(
    design: Design, columns: list[FloatArray], e: Elimination, coupling: Coupling
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Where the products of two elements of each row go, the products, and how often they count."""
    N = e.size.size
    place = np.empty(N, dtype=np.int64)
    place[e.order] = np.arange(N)
    known = coupling.late * N + coupling.early
    order = np.argsort(known)
    first = np.cumsum([0] + [each.n_groups for each in design.factors])
    nodes = [place[first[f] + each.codes] for f, each in enumerate(design.factors)]
    spot, product, twice = [], [], []
    for f, left in enumerate(design.factors):
        for g, right in enumerate(design.factors[: f + 1]):
            late, early = np.maximum(nodes[f], nodes[g]), np.minimum(nodes[f], nodes[g])
            edge = order[np.searchsorted(known, late * N + early, sorter=order)]
            swapped = nodes[f] < nodes[g]
            for a, one in enumerate(left.columns):
                for b, other in enumerate(right.columns):
                    row, col = np.where(swapped, b, a), np.where(swapped, a, b)
                    spot.append(coupling.begin[edge] + row * e.size[early] + col)
                    product.append(columns[one] * columns[other])
                    twice.append(1.0 if f == g else 2.0)
    return np.stack(spot), np.stack(product), np.array(twice)[:, None]
