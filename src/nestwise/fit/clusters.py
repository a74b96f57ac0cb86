"""The marginal covariance of the rows, cluster by independent cluster.

Rows that share no group, directly or through others, are independent. Their covariance
``V = Z Sigma Z' + R`` and its derivatives by the covariance parameters are all that small-sample inference
needs of a model. Clusters of equal size are stacked, so that many small ones cost no more than a few large
ones, and the stacks are made one after the other, because all together may not fit into memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from nestwise.arrays import FloatArray, IntArray
from nestwise.design.record import Design, RandomTerm
from nestwise.errors import Problem, Refusal

LARGEST_CLUSTER = 4000
"""Rows of a cluster beyond which dense algebra takes minutes and gigabytes."""
STACK_ELEMENTS = 4_000_000
"""Elements of V in one stack; its derivatives are as large each."""


@dataclass(frozen=True)
class ClusterStack:
    """Covariance of c independent clusters of m rows each.

    Attributes
    ----------
    rows : ndarray (c, m)
        Places of their rows in the design.
    V : ndarray (c, m, m)
        Covariance of the rows, squared units of the outcome.
    first : tuple of ndarray (c, m, m), length r
        Derivative of V by each parameter.
    second : mapping of (int, int) to ndarray (c, m, m)
        Second derivatives by parameters (i, j), i <= j; those left out are zero.
    """

    rows: IntArray
    V: FloatArray
    first: tuple[FloatArray, ...]
    second: Mapping[tuple[int, int], FloatArray] = field(default_factory=dict)


@dataclass(frozen=True)
class MarginalCovariance:
    """Covariance of all rows as a function of its parameters, at their estimates.

    Attributes
    ----------
    parameters : tuple of str, length r
        Covariance parameters in words.
    stacks : callable
        Makes the stacks anew at each call, one after the other; together they hold every row once.
    linear : bool
        Whether V is linear in the parameters, so that there are no second derivatives.
    """

    parameters: tuple[str, ...]
    stacks: Callable[[], Iterator[ClusterStack]]
    linear: bool = True


def independent_clusters(design: Design) -> IntArray:
    """Cluster of each row (n,), 0 .. C-1: connected through groups, memberships, relations and subjects.

    Without random terms or residual covariance each row is a cluster by itself.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = _links(design)
    if not links:
        return np.arange(design.n)
    rows, groups, size = [], [], design.n
    for codes, related in links:
        n_groups = int(codes.max()) + 1 if related is None else related.shape[0]
        for column in codes.T:
            rows.append(np.arange(design.n))
            groups.append(size + column)
        if related is not None:
            one, other = np.nonzero(np.tril(related, -1))
            rows.append(size + one)
            groups.append(size + other)
        size += n_groups
    one_end, other_end = np.concatenate(rows), np.concatenate(groups)
    graph = coo_array((np.ones(one_end.size, dtype=np.int8), (one_end, other_end)), shape=(size, size))
    found = connected_components(graph, directed=False)[1][: design.n]
    return np.unique(found, return_inverse=True)[1].astype(np.int64)


def _links(design: Design) -> list[tuple[IntArray, FloatArray | None]]:
    """Codes (n, M) and relation of everything that ties rows together."""
    links: list[tuple[IntArray, FloatArray | None]] = []
    for factor in design.factors:
        term = factor.terms[0]
        codes = term.codes[:, None] if term.membership is None else term.membership.codes
        links.append((codes, term.relation))
    if design.residual is not None:
        links.append((design.residual.subjects[:, None], None))
    return links


def cluster_rows(clusters: IntArray, *, elements: int = STACK_ELEMENTS) -> Iterator[IntArray]:
    """Rows (c, m) of clusters of equal size, as many at a time as V may hold elements.

    Parameters
    ----------
    clusters : ndarray (n,)
        Cluster of each row.
    elements : int
        Bound on c m^2.
    """
    order = np.argsort(clusters, kind="stable")
    sizes = np.bincount(clusters)
    starts = np.cumsum(sizes) - sizes
    for size in np.unique(sizes):
        which = starts[sizes == size]
        step = max(1, elements // int(size) ** 2)
        for begin in range(0, which.size, step):
            yield order[which[begin : begin + step, None] + np.arange(size)]


def refuse_large_clusters(design: Design, clusters: IntArray, what: str) -> None:
    """Raise if a cluster is too large for dense algebra.

    Parameters
    ----------
    design : Design
        The model.
    clusters : ndarray (n,)
        Cluster of each row.
    what : str
        What asks for it, as the sentence begins.

    Raises
    ------
    Refusal
    """
    largest = int(np.bincount(clusters).max())
    if largest > LARGEST_CLUSTER:
        problem = Problem(
            f"{what} works with the covariance of all rows of an independent cluster, and one has "
            f"{largest:,} rows, more than {LARGEST_CLUSTER:,}",
            design.formula,
            "use `df: satterthwaite`, which is as good where there are so many rows",
        )
        raise Refusal(problem)


def random_parameters(design: Design) -> tuple[tuple[int, int, int], ...]:
    """Covariance parameters of the random terms: (term, row, column), in the order of theta.

    A correlated term has the lower triangle of its covariance, by columns; an uncorrelated one the diagonal.
    """
    return tuple(
        (place, row, col)
        for place, term in enumerate(design.random)
        for col in range(len(term.names))
        for row in range(col, len(term.names) if term.correlated else col + 1)
    )


def working_columns(design: Design) -> tuple[Design, FloatArray]:
    """The same model with orthonormal columns in each correlated random term, and T (q, q).

    Random effects of the formula's columns are T times those of the working columns. A year of 2015 .. 2020
    beside an intercept would make their covariances so nearly dependent that the information about them
    could not be inverted. Columns of an uncorrelated term are only scaled.
    """
    terms, blocks = [], []
    for term in design.random:
        size = np.sqrt((term.Z**2).mean(axis=0))
        T = np.diag(1 / np.where(size > 0, size, 1.0))
        if term.correlated and len(term.names) > 1:
            R = np.linalg.qr(term.Z @ T, mode="r") / np.sqrt(design.n)
            T = T @ np.linalg.inv(R * np.sign(np.diag(R))[:, None])
        terms.append(replace(term, Z=term.Z @ T))
        blocks.append(T)
    whole = np.zeros((sum(T.shape[0] for T in blocks),) * 2)
    start = 0
    for T in blocks:
        whole[start : start + T.shape[0], start : start + T.shape[0]] = T
        start += T.shape[0]
    return replace(design, random=tuple(terms)), whole


def random_covariance(design: Design, Sigma: FloatArray, rows: IntArray) -> tuple[FloatArray, ...]:
    """Part of V (c, m, m) due to the random effects, followed by its derivatives by their covariances.

    Parameters
    ----------
    design : Design
        The model.
    Sigma : ndarray (q, q)
        Covariance of the random effects, over all terms.
    rows : ndarray (c, m)
        Rows of the clusters.
    """
    shared = [_shared(term, rows) for term in design.random]
    columns = [term.Z[rows] for term in design.random]
    starts = np.cumsum([0, *(len(term.names) for term in design.random)])
    total = np.zeros((*rows.shape, rows.shape[1]))
    derivatives = []
    for place, row, col in random_parameters(design):
        Z = columns[place]
        product = Z[:, :, None, row] * Z[:, None, :, col] * shared[place]
        if row != col:
            product = product + np.swapaxes(product, 1, 2)
        derivatives.append(product)
        total += Sigma[starts[place] + row, starts[place] + col] * product
    return (total, *derivatives)


def _shared(term: RandomTerm, rows: IntArray) -> FloatArray:
    """Correlation (c, m, m) of the random intercepts of rows: 1 in one group, 0 in two unrelated ones."""
    if term.membership is None:
        codes, weights = term.codes[rows][:, :, None], np.ones((*rows.shape, 1))
    else:
        codes, weights = term.membership.codes[rows], term.membership.weights[rows]
    total = np.zeros((*rows.shape, rows.shape[1]))
    for one in range(codes.shape[2]):
        for other in range(codes.shape[2]):
            left, right = codes[:, :, None, one], codes[:, None, :, other]
            same = (left == right).astype(float) if term.relation is None else term.relation[left, right]
            total += weights[:, :, None, one] * weights[:, None, :, other] * same
    return total


def lmm_covariance(
    design: Design, Sigma: FloatArray, sigma: float, *, what: str = "The method"
) -> MarginalCovariance:
    """Marginal covariance of a linear mixed model with independent residuals.

    Parameters: the elements of the random effects' covariance that are free, in the order of theta, and
    sigma^2 (last; with known sampling errors it is none). They are those of `working_columns`, a linear
    transformation of the elements of Sigma, which changes none of the small-sample methods.

    Parameters
    ----------
    design : Design
        The model; `design.residual` is not looked at.
    Sigma : ndarray (q, q)
        Covariance of the random effects, the outcome's scale and the formula's columns.
    sigma : float
        Residual standard deviation.
    what : str
        What asks for it, for the sentence of a refusal.

    Raises
    ------
    Refusal
        If a cluster has more than `LARGEST_CLUSTER` rows.
    """
    clusters = independent_clusters(design)
    refuse_large_clusters(design, clusters, what)
    design, T = working_columns(design)
    back = np.linalg.inv(T)
    Sigma = back @ Sigma @ back.T
    known = design.sampling_error
    residual = (
        known**2 if known is not None else np.ones(design.n) if design.weights is None else 1 / design.weights
    )

    def stacks() -> Iterator[ClusterStack]:
        for rows in cluster_rows(clusters):
            V, *first = random_covariance(design, Sigma, rows)
            R = residual[rows][:, :, None] * np.eye(rows.shape[1])
            V = V + (R if known is not None else sigma**2 * R)
            yield ClusterStack(rows, V, tuple(first) if known is not None else (*first, R))

    names = [_name(design.random[place], row, col) for place, row, col in random_parameters(design)]
    return MarginalCovariance((*names, *(() if known is not None else ("sigma^2",))), stacks)


def _name(term: RandomTerm, row: int, col: int) -> str:
    """`var Days | Subject` or `cov (Intercept), Days | Subject`."""
    if row == col:
        return f"var {term.names[row]} | {term.group}"
    return f"cov {term.names[col]}, {term.names[row]} | {term.group}"
