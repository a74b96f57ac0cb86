"""The same likelihood from less: fewer groups where designs repeat, arrays laid out as they are read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.likelihood.crossproducts import CrossProducts


def compress(products: CrossProducts) -> CrossProducts:
    """Fewer groups with the same likelihood, where groups share their A_j (balanced designs).

    The likelihood is quadratic in the B_j of the groups that share an A: c groups with flattened B_j as the
    rows of a (c, q(p+1)) matrix can be replaced by the at most q(p+1) rows of its triangular factor, each
    standing for c / (number of rows) groups in the sum of log|M_j|. A million rows in ten thousand balanced
    groups become a handful of entries. `counts` then no longer means rows of a group.
    """
    J, q, width = products.B.shape
    flat = np.ascontiguousarray(products.A.reshape(J, q * q))
    keys = flat.view(np.dtype((np.void, flat.itemsize * q * q))).ravel()
    _, first, which, repeats = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    if first.size * q * width >= J:
        return products
    order = np.argsort(which, kind="stable")
    B = products.B.reshape(J, q * width)[order]
    factors: list[FloatArray] = []
    for start, count in zip(np.cumsum(repeats) - repeats, repeats, strict=True):
        part = B[start : start + count]
        factors.append(np.linalg.qr(part, mode="r") if count > q * width else part)
    sizes = np.array([factor.shape[0] for factor in factors])
    return replace(
        products,
        A=np.repeat(products.A[first], sizes, axis=0),
        B=np.concatenate(factors).reshape(-1, q, width),
        counts=np.repeat(products.counts[first], sizes),
        weights=np.repeat(repeats / sizes, sizes),
    )


def groups_last(products: CrossProducts) -> CrossProducts:
    """The same arrays, laid out in memory as `gaussian` reads them: evaluations take half the time."""

    def lay_out(stack: FloatArray) -> FloatArray:
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(stack, 0, -1)), -1, 0)

    return replace(products, A=lay_out(products.A), B=lay_out(products.B))
