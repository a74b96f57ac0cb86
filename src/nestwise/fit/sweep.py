"""The data with every group's own regression taken out: what is left inside the groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nestwise.arrays import FloatArray, IntArray
from nestwise.likelihood.crossproducts import CrossProducts

BoolArray = NDArray[np.bool_]

RANK = 1e-9
"""Share of a matrix's size below which an eigenvalue, or a column once others are swept out, is zero."""


@dataclass(frozen=True)
class Swept:
    """Least squares with coefficients of its own for each group: no pooling.

    All quantities belong to the formula's columns and the outcome's units.

    Attributes
    ----------
    estimable : ndarray (J, q)
        Whether group j alone determines the coefficient.
    common : ndarray (c,)
        Fixed-effect columns that vary inside groups beyond the groups' own columns: their coefficients are
        common to all groups. The other columns are absorbed by the groups' own coefficients.
    gamma : ndarray (c,)
        Common coefficients.
    gamma_cov : ndarray (c, c)
        Their covariance divided by the residual variance.
    own : ndarray (J, q)
        Each group's own coefficients; of those it does not determine, the shortest solution.
    own_cov : ndarray (J, q, q)
        Their covariance divided by the residual variance.
    rss : float
        Residual sum of squares.
    df : int
        Residual degrees of freedom.
    """

    estimable: BoolArray
    common: IntArray
    gamma: FloatArray
    gamma_cov: FloatArray
    own: FloatArray
    own_cov: FloatArray
    rss: float
    df: int

    @property
    def sigma2(self) -> float | None:
        """Residual variance common to all groups; `None` without residual degrees of freedom."""
        return self.rss / self.df if self.df > 0 else None


def sweep(products: CrossProducts) -> Swept:
    """Take the groups' own regressions out of everything else.

    Parameters
    ----------
    products : CrossProducts
        Uncompressed.
    """
    p = products.p
    values, vectors = np.linalg.eigh(products.A)
    held = values > RANK * np.maximum(values[:, -1:], 1e-300)
    inverse_values = np.where(held, 1 / np.where(held, values, 1.0), 0.0)
    A_inverse = (vectors * inverse_values[:, None, :]) @ np.swapaxes(vectors, 1, 2)
    # A null direction N of the working columns is T_Z N in the formula's: coefficient r is determined by
    # the group's own rows only if no null direction moves it.
    null = (products.T_Z @ vectors) * ~held[:, None, :]
    reach = np.linalg.norm(products.T_Z, axis=1)
    estimable = np.linalg.norm(null, axis=2) < 1e-6 * reach
    B = products.B
    S = products.inside
    if S is None:
        S = products.G - np.tensordot(B, A_inverse @ B, axes=((0, 1), (0, 1)))
    to_formula = np.linalg.inv(products.T_X) if p else np.zeros((0, 0))
    XX = to_formula.T @ S[:p, :p] @ to_formula
    Xy = to_formula.T @ S[:p, p] * products.scale
    size = np.diag(to_formula.T @ products.G[:p, :p] @ to_formula)
    common = _varying(XX, size)
    inside = XX[np.ix_(common, common)]
    unit = np.sqrt(np.diag(inside)) if common.size else np.zeros(0)
    gamma_cov = np.linalg.inv(inside / np.outer(unit, unit)) / np.outer(unit, unit)
    change = gamma_cov @ Xy[common]  # from least squares with the groups ignored
    rss = float(S[p, p] * products.scale**2 - change @ Xy[common])
    df = products.n - int(held.sum()) - int(common.size)
    own, hold = _own(products, A_inverse, common, change)
    T = products.T_Z
    own_cov = T @ A_inverse @ T.T + hold @ gamma_cov @ np.swapaxes(hold, 1, 2)
    return Swept(
        estimable=estimable,
        common=common,
        gamma=products.beta_0[common] + change,
        gamma_cov=gamma_cov,
        own=own,
        own_cov=own_cov,
        rss=max(rss, 0.0),
        df=df,
    )


def _own(
    products: CrossProducts, A_inverse: FloatArray, common: IntArray, change: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The groups' own coefficients (J, q) and minus their derivative by the common ones (J, q, c)."""
    p = products.p
    fitted = products.T_Z @ A_inverse @ products.B
    of_X = fitted[:, :, :p] @ (np.linalg.inv(products.T_X) if p else np.zeros((0, 0)))
    absorbed = np.setdiff1d(np.arange(p), common)
    own = (
        products.scale * fitted[:, :, p]
        + of_X[:, :, absorbed] @ products.beta_0[absorbed]
        - of_X[:, :, common] @ change
    )
    return own, of_X[:, :, common]


def _varying(XX: FloatArray, size: FloatArray) -> IntArray:
    """Columns, in order, that are not yet absorbed: pivots of a Cholesky factorisation without exchanges."""
    left = XX.copy()
    kept: list[int] = []
    for i in range(XX.shape[0]):
        if left[i, i] > RANK * size[i]:
            kept.append(i)
            left = left - np.outer(left[:, i], left[i]) / left[i, i]
    return np.array(kept, dtype=np.int64)
