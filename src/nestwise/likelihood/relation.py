"""Related groups in the likelihood: a known correlation K = C C' between the groups of a factor.

Effects of related groups are ``b = (C x Lambda) u`` with independent u, so that ``Z b = Z (C x I) (I x
Lambda) u``: the columns of Z (C x I) take the place of those of Z, and no other formula changes. Each column
then belongs to all groups that are related to its own. Source: Vazquez et al. (2010), Journal of Animal
Science 88 (pedigreemm).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nestwise.arrays import FloatArray

DENSE = 0.05
"""Share of elements that are not zero, beyond which products are formed densely."""


def relation_root(relation: FloatArray) -> FloatArray:
    """C (J, J) with ``C C' = K``, of a correlation that may have lost rank.

    A Cholesky factorisation with pivots (Higham 1990): families that are unrelated to one another stay
    apart, exactly, and ``K = I`` gives ``C = I``. Columns beyond the rank are zero.

    Parameters
    ----------
    relation : ndarray (J, J)
        K: symmetric, positive semi-definite.
    """
    from scipy.linalg.lapack import dpstrf

    factor, pivots, rank, _ = dpstrf(relation, lower=1)
    lower = np.tril(factor)
    lower[:, rank:] = 0.0
    root = np.empty_like(lower)
    order = pivots - 1
    root[np.ix_(order, order)] = lower
    return root


def wide_root(root: FloatArray, q: int) -> Any:
    """``C x I`` (J q, J q), sparse, for q coefficients a group."""
    from scipy import sparse

    return sparse.csr_array(sparse.kron(sparse.csr_array(root), sparse.eye_array(q)))


def related_products(
    A: Any, B: FloatArray, factors: Sequence[tuple[FloatArray | None, int, int]]
) -> tuple[Any, FloatArray]:
    """``R'A R`` and ``R'B``, R being ``C x I`` for factors with related groups and I for the others.

    Parameters
    ----------
    A : scipy.sparse.csr_array (Q, Q)
        Z'Z, factor by factor.
    B : ndarray (Q, s)
        Z'[X, y].
    factors : sequence of (ndarray (J, J) or None, int, int)
        Root C, groups J and coefficients q of each factor.
    """
    from scipy import sparse

    wide = [None if root is None else wide_root(root, q) for root, _, q in factors]
    R = [
        sparse.eye_array(J * q, format="csr") if part is None else part
        for part, (_, J, q) in zip(wide, factors, strict=True)
    ]
    right = sparse.csr_array(A @ sparse.block_diag(R, format="csr"))
    rows, columns, start = [], [], 0
    for part, (_, J, q) in zip(wide, factors, strict=True):
        at = slice(start, start + J * q)
        rows.append(right[at] if part is None else _times(part, right[at]))
        columns.append(B[at] if part is None else part.T @ B[at])
        start += J * q
    product = sparse.csr_array(sparse.vstack(rows))
    return sparse.csr_array((product + product.T) / 2), np.concatenate(columns)


def uncoupled(A: Any, B: FloatArray, root: FloatArray) -> tuple[Any, FloatArray, FloatArray]:
    """The same for one factor with one coefficient, in directions that are not coupled to one another.

    With ``A = U D U'`` the effects ``U'u`` are as independent as u: A becomes diagonal, and an evaluation of
    the likelihood takes as long as with unrelated groups. Source: Kang et al. (2008), Genetics 178 (EMMA).

    Parameters
    ----------
    A, B : scipy.sparse.csr_array (J, J) and ndarray (J, s)
        From `related_products`.
    root : ndarray (J, J)
        C; becomes C U.
    """
    from scipy import linalg, sparse

    if A.nnz < DENSE * A.shape[0] ** 2 or A.nnz <= A.shape[0]:  # families apart are quicker as they are
        return A, B, root
    values, U = linalg.eigh(A.toarray(), driver="evd", overwrite_a=True)
    return sparse.diags_array(np.maximum(values, 0.0), format="csr"), U.T @ B, root @ U


def _times(part: Any, right: Any) -> Any:
    """``part' right``; rows of sums over hundreds of groups are summed thirty times as quickly densely."""
    from scipy import sparse

    if part.nnz < DENSE * part.shape[0] ** 2:
        return part.T @ right
    return sparse.csr_array(part.toarray().T @ right.toarray())
