"""Leaving out columns that say nothing new, as R's lm and lme4 do."""

from __future__ import annotations

import numpy as np

from nestwise.arrays import FloatArray

TOLERANCE = 1e-7
"""R's: a column is dropped if what the ones before it leave is this small beside its length."""
CLEAR = 1e-4
"""Smallest eigenvalue of the scaled cross-products above which nobody is near `TOLERANCE`: what the others
leave of a column is at least the root of it, 0.01. Rounding of the cross-products is 1e-16."""


def independent_columns(X: FloatArray) -> list[int]:
    """Indices of the columns that are not linear combinations of those before them.

    The rule of LINPACK's dqrdc2, on which R's lm and lme4 rest: later columns are dropped.

    Parameters
    ----------
    X : ndarray (n, p)

    Returns
    -------
    list of int
        Increasing.
    """
    if _far_from_collinear(X):
        return list(range(X.shape[1]))
    R = np.linalg.qr(X, mode="r")
    basis = np.empty((R.shape[0], 0))
    kept: list[int] = []
    for place in range(R.shape[1]):
        length = float(np.linalg.norm(R[:, place]))
        if length == 0.0 or basis.shape[1] == R.shape[0]:
            continue
        rest = R[:, place] / length
        for _ in range(2):  # twice is enough to lose nothing to rounding
            rest = rest - basis @ (basis.T @ rest)
        remaining = float(np.linalg.norm(rest))
        if remaining >= TOLERANCE:
            kept.append(place)
            basis = np.column_stack([basis, rest / remaining])
    return kept


def _far_from_collinear(X: FloatArray) -> bool:
    """Whether the cross-products alone settle that every column stays: a sixth of the time of QR."""
    gram = X.T @ X
    size = np.sqrt(np.diag(gram))
    if X.shape[1] == 0 or X.shape[0] < X.shape[1] or not np.all(size > 0):
        return False
    return bool(np.linalg.eigvalsh(gram / np.outer(size, size))[0] > CLEAR)
