"""Residuals made independent: the three ways a correlation inside subjects is taken out of columns of rows.

A whitening is a correlation at given parameters, ready to be applied. With C the block-diagonal correlation
of all (sorted, scaled) rows and L L' = C:

- ``log_det``: log|C| and ``d_log_det`` (k,), its derivatives;
- ``whiten(Y)``: ``L^-1 Y``; ``back(W)``: ``L^-T W``, so that ``back(whiten(Y)) = C^-1 Y``;
- ``gradient(Y, whitened, solved)``: derivatives (k, c) of ``diag(Y'C^-1 Y)``, Y held fixed.

Determinants are sums over frames, each as often as subjects have it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from nestwise.arrays import BoolArray, FloatArray, IntArray
from nestwise.likelihood.frames import Frames


class Whitening(Protocol):
    """What a correlation can do with columns of rows; see the module."""

    @property
    def log_det(self) -> float:
        """log|C|."""

    @property
    def d_log_det(self) -> FloatArray:
        """Its derivatives (k,)."""

    def whiten(self, Y: FloatArray) -> FloatArray:
        """L^-1 Y (n, c)."""

    def back(self, whitened: FloatArray) -> FloatArray:
        """L^-T W (n, c)."""

    def gradient(self, Y: FloatArray, whitened: FloatArray, solved: FloatArray) -> FloatArray:
        """Derivatives (k, c) of ``diag(Y'C^-1 Y)``."""


@dataclass(frozen=True)
class Uncorrelated:
    """No correlation, no parameters."""

    log_det: float = 0.0

    @property
    def d_log_det(self) -> FloatArray:
        """Nothing."""
        return np.zeros(0)

    def whiten(self, Y: FloatArray) -> FloatArray:
        """Y itself."""
        return Y

    def back(self, whitened: FloatArray) -> FloatArray:
        """The same."""
        return whitened

    def gradient(self, Y: FloatArray, whitened: FloatArray, solved: FloatArray) -> FloatArray:  # noqa: ARG002
        """Nothing (0, c)."""
        return np.zeros((0, Y.shape[1]))


@dataclass(frozen=True)
class Exchangeable:
    """One correlation between all rows of a subject, in closed form.

    Attributes
    ----------
    layout : Frames
        Subjects.
    rho : ndarray (F,)
        Correlation in each frame.
    d_rho : ndarray (F, k)
        Its derivatives.
    """

    layout: Frames
    rho: FloatArray
    d_rho: FloatArray

    @property
    def log_det(self) -> float:
        """(n - 1) log(1 - rho) + log(1 + (n - 1) rho), over all subjects."""
        m = self.layout.sizes
        each = (m - 1) * np.log(1 - self.rho) + np.log1p((m - 1) * self.rho)
        return float(self.layout.counts @ each)

    @property
    def d_log_det(self) -> FloatArray:
        """Its derivatives (k,)."""
        m, rho = self.layout.sizes, self.rho
        each = (m - 1) / (1 + (m - 1) * rho) - (m - 1) / (1 - rho)
        return np.asarray((self.layout.counts * each) @ self.d_rho)

    def _sums(self, Y: FloatArray) -> FloatArray:
        return np.add.reduceat(Y, self.layout.subject_start, axis=0)

    def whiten(self, Y: FloatArray) -> FloatArray:
        """The symmetric root: deviations from the mean and the mean, each brought to variance one."""
        m, rho = self.layout.sizes, self.rho
        share = (1 - np.sqrt((1 - rho) / (1 + (m - 1) * rho))) / m
        frame = self.layout.subject_frame
        shift = self._sums(Y) * share[frame][:, None]
        whitened: FloatArray = Y - np.repeat(shift, self.layout.subject_size, axis=0)
        whitened /= np.repeat(np.sqrt(1 - rho)[frame], self.layout.subject_size)[:, None]
        return whitened

    def back(self, whitened: FloatArray) -> FloatArray:
        """The root is symmetric."""
        return self.whiten(whitened)

    def gradient(self, Y: FloatArray, whitened: FloatArray, solved: FloatArray) -> FloatArray:  # noqa: ARG002
        """-u'(11' - I) u by subject."""
        each = self._sums(solved) ** 2 - self._sums(solved**2)
        return -self.d_rho[self.layout.subject_frame].T @ each


@dataclass(frozen=True)
class Markov:
    """Each row depends on the one before it in its subject: AR(1) and ante-dependence.

    Attributes
    ----------
    layout : Frames
        Subjects.
    a : ndarray (m,)
        Correlation of each frame row with the row before it; 0 in a subject's first.
    d_a : ndarray (m, k)
        Its derivatives.
    """

    layout: Frames
    a: FloatArray
    d_a: FloatArray

    @property
    def _left(self) -> FloatArray:
        return 1 - self.a**2

    @property
    def _repeats(self) -> FloatArray:
        return self.layout.counts[self.layout.frame_of_row].astype(float)

    @property
    def log_det(self) -> float:
        """Sum of log(1 - a^2)."""
        return float(self._repeats @ np.log(self._left))

    @property
    def d_log_det(self) -> FloatArray:
        """Its derivatives (k,)."""
        return np.asarray((self._repeats * -2 * self.a / self._left) @ self.d_a)

    def whiten(self, Y: FloatArray) -> FloatArray:
        """What the row before does not predict, brought to variance one."""
        rows = self.layout.rows
        whitened = Y.copy()
        whitened[1:] -= self.a[rows][1:, None] * Y[:-1]
        whitened /= np.sqrt(self._left)[rows][:, None]
        return whitened

    def back(self, whitened: FloatArray) -> FloatArray:
        """The transposed steps."""
        rows = self.layout.rows
        scaled: FloatArray = whitened / np.sqrt(self._left)[rows][:, None]
        solved = scaled.copy()
        solved[:-1] -= self.a[rows][1:, None] * scaled[1:]
        return solved

    def gradient(self, Y: FloatArray, whitened: FloatArray, solved: FloatArray) -> FloatArray:  # noqa: ARG002
        """By the derivative of each whitened row."""
        rows = self.layout.rows
        left = self._left[rows][:, None]
        change = whitened * self.a[rows][:, None] / left
        change[1:] -= Y[:-1] / np.sqrt(left[1:])
        by_a = 2 * whitened * change  # rows that are first in a subject have d_a = 0
        if rows.shape[0] > 2 * self.a.shape[0]:
            gathered = np.zeros((self.a.shape[0], Y.shape[1]))
            for column in range(Y.shape[1]):
                gathered[:, column] = np.bincount(rows, by_a[:, column], self.a.shape[0])
            return self.d_a.T @ gathered
        return self.d_a[rows].T @ by_a


@dataclass(frozen=True)
class Dense:
    """Any correlation of T visits: subjects are filled up to all visits, missing ones being independent.

    A missing visit has a row and column of the identity and zeros in Y, which changes no determinant and no
    product, and lets all frames be factored in one call.

    Attributes
    ----------
    layout : Frames
        Subjects.
    place : ndarray (n,)
        Subject and visit of each sorted row as one number, subject * T + visit.
    seen : ndarray (F, T) of bool
        Which visits a frame has.
    root, inverse : ndarray (F, T, T)
        Inverse of the Cholesky factor, and of the matrix; the latter zero where a visit is missing.
    half_log_det : ndarray (F,)
        Half the log determinants.
    d : ndarray (k, T, T)
        Derivatives of the correlations of a stratum.
    """

    layout: Frames
    place: IntArray
    seen: BoolArray
    root: FloatArray
    inverse: FloatArray
    half_log_det: FloatArray
    d: tuple[FloatArray, ...]

    @property
    def log_det(self) -> float:
        """Over all subjects."""
        return float(2 * self.layout.counts @ self.half_log_det)

    @property
    def d_log_det(self) -> FloatArray:
        """tr(C^-1 dC), over all subjects."""
        total = []
        for g, d in enumerate(self.d):
            inside = self.layout.strata == g
            weighed = np.tensordot(self.layout.counts[inside].astype(float), self.inverse[inside], axes=1)
            total.append(np.tensordot(d, weighed, axes=2))
        return np.concatenate(total)

    def _filled(self, Y: FloatArray) -> FloatArray:
        S, T, c = self.layout.subject_frame.shape[0], self.seen.shape[1], Y.shape[1]
        filled = np.zeros((S * T, c))
        filled[self.place] = Y
        return filled.reshape(S, T, c)

    def _applied(self, matrices: FloatArray, Y: FloatArray) -> FloatArray:
        product = matrices[self.layout.subject_frame] @ self._filled(Y)
        return np.asarray(product.reshape(-1, Y.shape[1])[self.place])

    def whiten(self, Y: FloatArray) -> FloatArray:
        """By the Cholesky factor of each frame."""
        return self._applied(self.root, Y)

    def back(self, whitened: FloatArray) -> FloatArray:
        """By its transpose."""
        return self._applied(np.swapaxes(self.root, 1, 2), whitened)

    def gradient(self, Y: FloatArray, whitened: FloatArray, solved: FloatArray) -> FloatArray:  # noqa: ARG002
        """-u' dC u by subject."""
        filled = self._filled(solved)
        strata = self.layout.strata[self.layout.subject_frame]
        total = []
        for g, d in enumerate(self.d):
            inside = filled if len(self.d) == 1 else filled[strata == g]
            by_column = inside.transpose(2, 1, 0)  # (c, T, S)
            products = by_column @ by_column.transpose(0, 2, 1)
            total.append(-np.tensordot(d, products, axes=((1, 2), (1, 2))))
        return np.concatenate(total)


def dense(layout: Frames, C: tuple[FloatArray, ...], d: tuple[FloatArray, ...]) -> Dense:
    """Factor the correlation of every frame.

    Parameters
    ----------
    layout : Frames
        Subjects.
    C, d : tuple of ndarray (T, T) and (k, T, T)
        Correlation and derivatives of each stratum.

    Raises
    ------
    numpy.linalg.LinAlgError
        If a matrix is not positive definite in rounding.
    """
    T = C[0].shape[0]
    seen = np.zeros((layout.starts.shape[0], T), dtype=bool)
    seen[layout.frame_of_row, layout.visits] = True
    both = seen[:, :, None] & seen[:, None, :]
    full = np.where(both, np.stack(C)[layout.strata], np.eye(T))
    factor = np.linalg.cholesky(full)
    root = np.linalg.inv(factor)
    return Dense(
        layout=layout,
        place=layout.subjects * T + layout.visits[layout.rows],
        seen=seen,
        root=root,
        inverse=np.where(both, np.swapaxes(root, 1, 2) @ root, 0.0),
        half_log_det=np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1),
        d=d,
    )
