"""The blocked Cholesky factor of the equations of several factors: made, solved with, inverted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nestwise.arrays import FloatArray, IntArray
from nestwise.likelihood.elimination import Elimination

if TYPE_CHECKING:
    from nestwise.likelihood.crossed import Coupling


def factor(e: Elimination, c: Coupling, Lambdas: FloatArray) -> tuple[FloatArray, float]:
    """The blocked Cholesky factor of ``M = I + Lambda'Z'Z Lambda``, flat, and log|M|.

    Parameters
    ----------
    e : Elimination
        Order and places.
    c : Coupling
        Z'Z by blocks.
    Lambdas : ndarray (F, q, q)
        Relative factor of each grouping factor, padded with zeros.

    Raises
    ------
    numpy.linalg.LinAlgError
        If a block is not positive definite in rounding.
    """
    from scipy.linalg.lapack import dpotrf

    from nestwise.likelihood import cholesky  # compiled code: half a second to import

    M = np.zeros(e.length)
    nodes = np.arange(e.size.size)
    for b in range(int(e.size.max())):  # ones on the diagonal
        wide = nodes[e.size > b]
        M[e.start[wide] + (e.shift[wide] + b) * e.width[wide] + e.shift[wide] + b] = 1.0
    cholesky.assemble(M, c.values, c.begin, c.late, c.early, c.at, Lambdas, e.size, e.factor, e.width)
    log_det = float(
        cholesky.factor_singles(M, e.single, e.size, e.start, e.width, e.shift, e.first, e.coupled, e.row)
    )
    failed = not np.isfinite(log_det)
    for start, dimension in e.cores:
        core = M[start : start + dimension**2].reshape(dimension, dimension)
        # row-major lower is column-major upper: no copy is made
        factor, info = dpotrf(core.T, lower=0, overwrite_a=1, clean=0)
        failed = failed or info != 0
        if not np.shares_memory(factor, M):
            core[:] = factor.T
        log_det += 2 * float(np.log(np.abs(np.diag(core))).sum())
    if failed:
        raise np.linalg.LinAlgError("the mixed-model equations are not positive definite")
    return M, log_det


def _core_rows(e: Elimination) -> list[IntArray]:
    """Columns of Z of each component of the core, in the order of its matrix."""
    found = []
    nodes = np.arange(e.single, e.size.size)
    for start, _ in e.cores:
        mine = nodes[e.start[nodes] == start]
        found.append(np.concatenate([np.arange(e.column[i], e.column[i] + e.size[i]) for i in mine]))
    return found


def solve(e: Elimination, M: FloatArray, Y: FloatArray) -> FloatArray:
    """M^-1 Y (Q, s)."""
    from scipy.linalg.lapack import dpotrs

    from nestwise.likelihood import cholesky  # compiled code: half a second to import

    Y = np.ascontiguousarray(Y)
    cholesky.forward(M, Y, e.single, e.size, e.start, e.column, e.first, e.coupled, e.row)
    for (start, dimension), rows in zip(e.cores, _core_rows(e), strict=True):
        core = M[start : start + dimension**2].reshape(dimension, dimension)
        Y[rows] = dpotrs(core.T, Y[rows], lower=0)[0]
    cholesky.backward(M, Y, e.single, e.size, e.start, e.column, e.first, e.coupled, e.row)
    return Y


def selected_inverse(e: Elimination, M: FloatArray) -> FloatArray:
    """Elements of M^-1 in the places of its factor M, flat; of the core the lower triangle alone."""
    from scipy.linalg.lapack import dpotri

    from nestwise.likelihood import cholesky  # compiled code: half a second to import

    V = np.zeros(e.length)
    for start, dimension in e.cores:
        core = M[start : start + dimension**2].reshape(dimension, dimension)
        upper = dpotri(core.T, lower=0)[0]  # column-major, so that its rows are read as they lie
        V[start : start + dimension**2].reshape(dimension, dimension)[:] = upper.T
    cholesky.mirror(V, e.single, e.size, e.start, e.width, e.shift)
    heights = np.zeros(e.single, dtype=np.int64)
    np.add.at(heights, np.repeat(np.arange(e.single), np.diff(e.first)), e.size[e.coupled])
    tallest = int(heights.max(initial=0))
    cholesky.inverse_singles(
        M, V, tallest, e.single, e.size, e.start, e.width, e.shift, e.first, e.coupled, e.row
    )
    return V
