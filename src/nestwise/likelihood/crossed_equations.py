"""The mixed-model equations of several grouping factors, solved at one Lambda, and their derivatives.

The formulas are those of `gaussian`; the places of all blocks are those that `elimination` gave them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.likelihood.crossed import CrossedProducts
from nestwise.likelihood.factorisation import factor, selected_inverse, solve
from nestwise.likelihood.relation import wide_root

AT_ONCE = 20_000_000
"""Numbers of right-hand sides held in memory together."""


@dataclass(frozen=True)
class CrossedReduced:
    """The mixed-model equations of several factors solved at one Lambda; see `grouped.Reduced`.

    Attributes
    ----------
    Lambda : ndarray (q, q)
    root : ndarray
        Flat array of the factorisation.
    log_det_m, beta, XX_inverse, log_det_xx, r2
        As with one factor.
    K : ndarray (Q, p + 1)
        M^-1 Lambda'B.
    products : CrossedProducts
        What was solved.
    """

    Lambda: FloatArray
    root: FloatArray
    log_det_m: float
    K: FloatArray
    beta: FloatArray
    XX_inverse: FloatArray
    log_det_xx: float
    r2: float
    products: CrossedProducts

    @cached_property
    def inverse(self) -> FloatArray:
        """Selected inverse of M, flat, in the places of the factorisation."""
        return selected_inverse(self.products.elimination, self.root)

    def group_effects(self, f: int) -> FloatArray:
        """``(C x I) K`` of factor f (J_f, q_f, p + 1): what its groups have of K, related or not."""
        root, K = self.products.relation(f), self.products.by_group(self.K, f)
        return K if root is None else np.tensordot(root, K, axes=1)

    def group_inverses(self, f: int) -> FloatArray:
        """Diagonal blocks of ``(C x I) M^-1 (C x I)'`` of factor f (J_f, q_f, q_f)."""
        root = self.products.relation(f)
        return self.own_inverses(f) if root is None else self._related_inverses(f, root)

    def _related_inverses(self, f: int, root: FloatArray) -> FloatArray:
        """As `group_inverses`, some groups at a time: they need M^-1 beyond its selected blocks."""
        products = self.products
        q, J, Q = len(products.factors[f][1]), root.shape[0], products.B.shape[0]
        wide = wide_root(root, q)
        out = np.empty((J, q, q))
        step = max(1, AT_ONCE // (Q * q))
        for start in range(0, J, step):
            stop = min(start + step, J)
            Y = np.zeros((Q, (stop - start) * q))
            Y[products.spans[f]] = wide[start * q : stop * q].toarray().T
            solved = solve(products.elimination, self.root, Y.copy()).reshape(Q, stop - start, q)
            out[start:stop] = np.einsum("uja,ujb->jab", Y.reshape(solved.shape), solved, optimize=True)
        return out

    def own_inverses(self, f: int) -> FloatArray:
        """Diagonal blocks of M^-1 of factor f (J_f, q_f, q_f)."""
        from nestwise.likelihood import cholesky  # compiled code: half a second to import

        e = self.products.elimination
        mine = np.flatnonzero(e.factor == f)
        mine = mine[np.argsort(e.column[mine], kind="stable")]
        q = len(self.products.factors[f][1])
        out = np.empty((mine.size, q, q))
        cholesky.blocks(self.inverse, mine, e.size, e.start, e.width, e.shift, out)
        return out


def reduce_crossed(products: CrossedProducts, Lambda: FloatArray) -> CrossedReduced:
    """Solve the mixed-model equations of several factors at Lambda (q, q).

    Raises
    ------
    numpy.linalg.LinAlgError
        If a block is not positive definite in rounding.
    """
    e, p = products.elimination, products.p
    roots = products.blocks(Lambda)
    root, log_det = factor(e, products.coupling, _padded(roots))
    K = solve(e, root, products.apply([each.T for each in roots], products.B))
    if products.rows is None:
        S = products.G - products.B.T @ products.apply(roots, K)
        S = (S + S.T) / 2
    else:  # the same as a sum of squares, penalty and all: nothing cancels
        left = _left(products, roots, K)
        S = left.T @ left + K.T @ K
    half = np.linalg.cholesky(S[:p, :p])
    half_inverse = np.linalg.inv(half)
    along = half_inverse @ S[:p, p]
    return CrossedReduced(
        Lambda=Lambda,
        root=root,
        log_det_m=log_det,
        K=K,
        beta=half_inverse.T @ along,
        XX_inverse=half_inverse.T @ half_inverse,
        log_det_xx=2 * float(np.log(np.diag(half)).sum()),
        r2=float(S[p, p] - along @ along),
        products=products,
    )


def crossed_slope(reduced: CrossedReduced, F: FloatArray) -> FloatArray:
    """Half the derivative of the criterion by Lambda (q, q): sum of A Lambda M^-1 - E F K' by groups."""
    from nestwise.likelihood import cholesky  # compiled code: half a second to import

    products = reduced.products
    e, c = products.elimination, products.coupling
    roots = products.blocks(reduced.Lambda)
    padded = _padded(roots)
    first = np.zeros_like(padded)
    cholesky.slope(
        reduced.inverse, c.values, c.begin, c.late, c.early, c.at, padded, e.size, e.factor, e.width, first
    )
    E = residual_products(reduced) @ F
    out = np.zeros((products.q, products.q))
    for f, (_, columns, _) in enumerate(products.factors):
        second = np.einsum(
            "jas,jbs->ab", products.by_group(E, f), products.by_group(reduced.K, f), optimize=True
        )
        out[np.ix_(columns, columns)] = first[f, : len(columns), : len(columns)] - second
    return out


def residual_products(reduced: CrossedReduced) -> FloatArray:
    """``E = B - A Lambda K`` (Q, p + 1): what Z says of the residuals of X and y."""
    products = reduced.products
    roots = products.blocks(reduced.Lambda)
    if products.rows is not None:
        from_rows: FloatArray = products.rows[0].T @ _left(products, roots, reduced.K)
        return from_rows
    E: FloatArray = products.B - products.A @ products.apply(roots, reduced.K)
    return E


def _left(products: CrossedProducts, roots: list[FloatArray], K: FloatArray) -> FloatArray:
    """``[X, y] - Z Lambda K`` (n, p + 1), of the rows."""
    assert products.rows is not None
    Z, W = products.rows
    left: FloatArray = W - Z @ products.apply(roots, K)
    return left


def _padded(roots: list[FloatArray]) -> FloatArray:
    widest = max(root.shape[0] for root in roots)
    padded = np.zeros((len(roots), widest, widest))
    for f, root in enumerate(roots):
        padded[f, : root.shape[0], : root.shape[0]] = root
    return padded
