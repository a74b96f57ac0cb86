"""Groups left out of models whose rows all hang together, from the mixed-model equations.

As `influence`, without the covariance of the rows: with ``V^-1 = I - Z Lambda M^-1 Lambda'Z'`` (in units of
sigma, rows weighted), A the group's rows of ``Z Lambda`` on the t columns they touch, N the part of ``M^-1``
there and E the group's rows of ``V^-1 (X, y - X beta)``, the inverse of the group's block of ``V^-1`` is
``I + A (I - N A'A)^-1 N A'``, and

    C_j = E'E + E'A (I - N A'A)^-1 N A'E.

One solution of the equations a column touched, whatever the number of rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nestwise.arrays import FloatArray, IntArray
from nestwise.design.record import Design, Factor
from nestwise.fit.influence import Groups, Influence, measures
from nestwise.fit.state import LmmState
from nestwise.likelihood.crossed import CrossedProducts, indicator_columns
from nestwise.likelihood.crossed_equations import CrossedReduced
from nestwise.likelihood.factorisation import solve
from nestwise.likelihood.gaussian import criterion
from nestwise.likelihood.relation import wide_root
from nestwise.likelihood.working import working_rows

COSTLY = 3e9
"""Beyond this many multiplications the groups of a factor are not left out in turn."""
MOST_NUMBERS = 2e7
"""Numbers of rows times columns that are held at most."""
PER_GROUP = 3e5
"""What the steps of a group take beside its multiplications."""


def influence_by_equations(design: Design, state: LmmState) -> tuple[list[Influence], list[str]]:
    """Leave-one-group-out measures of every factor for which they take seconds.

    Parameters
    ----------
    design : Design
        Any number of grouping factors, memberships and relations; no residual covariance. A group of several
        memberships is left out with all rows that name it first.
    state : LmmState
        Its fit.

    Returns
    -------
    found : list of Influence
    left_out : list of str
        Factors whose groups touch too many others.
    """
    products = state.products
    assert isinstance(products, CrossedProducts)
    at = criterion(products, products.pattern.matrix(state.optimum.theta), reml=design.reml)
    reduced = at.reduced
    assert isinstance(reduced, CrossedReduced)
    if _numbers(design, products) > MOST_NUMBERS:
        return [], [factor.group for factor in design.factors]
    rows = working_rows(design)
    A = _loaded(design, products, rows.Z, reduced)
    v = np.append(-reduced.beta, 1.0)
    W = np.column_stack([rows.W[:, :-1], rows.W @ v])
    K = np.column_stack([reduced.K[:, :-1], reduced.K @ v])
    E = W - A @ K
    found, left_out = [], []
    for factor in design.factors:
        order = np.argsort(factor.codes, kind="stable")
        ends = np.cumsum(np.bincount(factor.codes, minlength=factor.n_groups))
        parts = np.split(order, ends[:-1])
        touched = _touched(factor, A)
        if _cost(products, np.array([part.size for part in parts]), np.diff(touched.indptr)) > COSTLY:
            left_out.append(factor.group)
            continue
        p = W.shape[1] - 1
        C, share = np.empty((len(parts), p, p + 1)), np.empty((len(parts), p, p))
        for j, part in enumerate(parts):
            columns = touched.indices[touched.indptr[j] : touched.indptr[j + 1]]
            C[j] = _taken(products, reduced, A[part][:, columns], columns, E[part])
            share[j] = W[part, :p].T @ E[part, :p]
        found.append(_measured(factor, C / at.sigma**2, share / at.sigma**2, products))
    return found, left_out


def _numbers(design: Design, products: CrossedProducts) -> float:
    """Numbers of ``Z (C x Lambda)``: a row of related groups touches all of them."""
    return sum(
        float(design.n) * len(factor.columns) * (1 if products.relation(f) is None else factor.n_groups)
        for f, factor in enumerate(design.factors)
    )


def _measured(factor: Factor, C: FloatArray, share: FloatArray, products: CrossedProducts) -> Influence:
    p = share.shape[1]
    groups = Groups(factor.group, factor.labels, factor.codes)
    return measures(groups, C[:, :, :p], C[:, :, p], share, products.scale * products.T_X)


def _loaded(
    design: Design, products: CrossedProducts, Z: tuple[FloatArray, ...], reduced: CrossedReduced
) -> Any:
    """``Z (C x Lambda)`` (n, Q), sparse by rows."""
    from scipy import sparse

    parts = []
    for f, factor in enumerate(design.factors):
        own = indicator_columns(factor, Z, design.n)
        root = products.relation(f)
        if root is not None:
            own = own @ wide_root(root, len(factor.columns))
        Lambda = reduced.Lambda[np.ix_(factor.columns, factor.columns)]
        parts.append(own @ sparse.kron(sparse.eye_array(factor.n_groups), Lambda, format="csc"))
    loaded: Any = sparse.csr_array(sparse.hstack(parts))
    loaded.eliminate_zeros()
    return loaded


def _touched(factor: Factor, A: Any) -> Any:
    """Columns of A that the rows of each group touch: a sparse matrix (J, Q)."""
    from scipy import sparse

    n = factor.codes.size
    rows = sparse.csr_array((np.ones(n), (factor.codes, np.arange(n))), shape=(factor.n_groups, n))
    pattern = sparse.csr_array((np.ones(A.data.size), A.indices, A.indptr), shape=A.shape)
    found = sparse.csr_array(rows @ pattern)
    found.sort_indices()
    return found


def _cost(products: CrossedProducts, n: IntArray, t: IntArray) -> float:
    """Multiplications for groups of n (J,) rows that touch t (J,) columns; a group costs some at least."""
    each = 2.0 * products.elimination.length * t + n * t.astype(float) ** 2 + t.astype(float) ** 3
    return float((each + PER_GROUP).sum())


def _taken(
    products: CrossedProducts, reduced: CrossedReduced, A: Any, columns: Any, E: FloatArray
) -> FloatArray:
    """C_j (p, p + 1) of one group, its last column s_j."""
    Y = np.zeros((reduced.K.shape[0], columns.size))
    Y[columns, np.arange(columns.size)] = 1.0
    N = solve(products.elimination, reduced.root, Y)[columns]
    AE = A.T @ E
    inside = np.linalg.solve(np.eye(columns.size) - N @ (A.T @ A).toarray(), N @ AE)
    both: FloatArray = E.T @ E + AE.T @ inside
    return both[:-1]
