"""What the data say of the covariance parameters, and how these move the covariance of the fixed effects.

With V the covariance of the rows, V_i and V_ij its derivatives by the parameters, Phi = (X'V^-1 X)^-1 and
P = V^-1 - V^-1 X Phi X'V^-1, the information of the restricted likelihood is

- expected: ``tr(P V_i P V_j) / 2``,
- observed: ``[tr(P V_ij) - tr(P V_i P V_j) + 2 y'P V_i P V_j P y - y'P V_ij P y] / 2``,

and P has V^-1 in its traces' place for the likelihood that is not restricted. Everything is a sum over
independent clusters. Sources: Harville (1977), JASA 72; Kenward & Roger (1997), Biometrics 53.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.fit.clusters import ClusterStack, MarginalCovariance

FLAT = 1e-10
"""A direction of the scaled parameters with less than this share of the largest curvature is flat."""


@dataclass(frozen=True)
class CovarianceMoments:
    """Sums over clusters for r covariance parameters, at their estimates; X as the formula has it.

    Attributes
    ----------
    Phi : ndarray (p, p)
        (X'V^-1 X)^-1, the covariance of the fixed effects with V known.
    gradient : ndarray (r, p, p)
        Derivative of Phi by each parameter.
    curvature : ndarray (r, r, p, p)
        ``Phi Q_ij Phi``, Q_ij = X'V^-1 V_i V^-1 V_j V^-1 X.
    second : ndarray (r, r, p, p)
        ``Phi R_ij Phi``, R_ij = X'V^-1 V_ij V^-1 X.
    expected, observed : ndarray (r, r)
        Information of the restricted likelihood, or of the likelihood.
    """

    Phi: FloatArray
    gradient: FloatArray
    curvature: FloatArray
    second: FloatArray
    expected: FloatArray
    observed: FloatArray


@dataclass(frozen=True)
class _Sums:
    """The sums over clusters themselves, for columns of X in any parametrisation."""

    XX: FloatArray
    P: FloatArray
    Q: FloatArray
    R: FloatArray
    traces: FloatArray
    """tr(V^-1 V_i V^-1 V_j) (r, r)."""
    traces_second: FloatArray
    """tr(V^-1 V_ij) (r, r)."""
    squares: FloatArray
    """u'V_i V^-1 V_j u (r, r), u = V^-1 times the residual."""
    squares_second: FloatArray
    """u'V_ij u (r, r)."""
    slopes: FloatArray
    """X'V^-1 V_i u (r, p)."""


def covariance_moments(
    marginal: MarginalCovariance, X: FloatArray, residual: FloatArray, *, reml: bool
) -> CovarianceMoments:
    """Information about the covariance parameters and the derivatives that small-sample inference needs.

    Parameters
    ----------
    marginal : MarginalCovariance
        V and its derivatives.
    X : ndarray (n, p)
        Fixed part.
    residual : ndarray (n,)
        Outcome less offset and fixed part at their estimates.
    reml : bool
        Whether the information is that of the restricted likelihood.
    """
    # Orthonormal columns: a year of 2015 .. 2020 beside an intercept would cost half the digits.
    Q_X, R_X = np.linalg.qr(X)
    back = np.linalg.inv(R_X)
    sums = _total(marginal, Q_X, residual)
    Phi = np.linalg.inv(sums.XX)
    projected = sums.traces.copy()
    second = sums.traces_second.copy()
    if reml:
        PhiP = Phi @ sums.P
        projected += np.einsum("iab,jba->ij", PhiP, PhiP) - 2 * np.einsum("ab,ijba->ij", Phi, sums.Q)
        second -= np.einsum("ab,ijba->ij", Phi, sums.R)
    quadratic = sums.squares - sums.slopes @ Phi @ sums.slopes.T
    observed = (second - projected + 2 * quadratic - sums.squares_second) / 2
    left, right = back @ Phi, Phi @ back.T
    return CovarianceMoments(
        Phi=back @ Phi @ back.T,
        gradient=left @ sums.P @ right,
        curvature=left @ sums.Q @ right,
        second=left @ sums.R @ right,
        expected=(projected + projected.T) / 4,
        observed=(observed + observed.T) / 2,
    )


def parameter_covariance(information: FloatArray) -> FloatArray:
    """Inverse of an information matrix (r, r), directions without curvature left out.

    Parameters stand on scales as different as the squares of their units, so they are scaled first.
    """
    if not information.size:
        return information.copy()
    size = np.sqrt(np.maximum(np.diag(information), 0.0))
    size = np.where(size > 0, size, 1.0)
    values, vectors = np.linalg.eigh(information / np.outer(size, size))
    curved = values > FLAT * values[-1]
    root = vectors[:, curved] / np.sqrt(values[curved]) / size[:, None]
    inverse: FloatArray = root @ root.T
    return inverse


def _total(marginal: MarginalCovariance, X: FloatArray, residual: FloatArray) -> _Sums:
    parts = [_sums(stack, X, residual) for stack in marginal.stacks()]
    fields = _Sums.__dataclass_fields__
    return _Sums(**{name: np.sum([getattr(part, name) for part in parts], axis=0) for name in fields})


def _sums(stack: ClusterStack, X: FloatArray, residual: FloatArray) -> _Sums:
    """One stack's share."""
    r, p = len(stack.first), X.shape[1]
    columns, e = X[stack.rows], residual[stack.rows][:, :, None]
    V_inverse = np.linalg.inv(stack.V)
    WX, u = V_inverse @ columns, V_inverse @ e
    ratio = [V_inverse @ derivative for derivative in stack.first]
    VWX = [derivative @ WX for derivative in stack.first]
    Vu = [derivative @ u for derivative in stack.first]
    WVWX = [V_inverse @ part for part in VWX]
    traces, squares = np.zeros((r, r)), np.zeros((r, r))
    Q, R = np.zeros((r, r, p, p)), np.zeros((r, r, p, p))
    traces_second, squares_second = np.zeros((r, r)), np.zeros((r, r))
    for i in range(r):
        for j in range(i + 1):
            traces[i, j] = traces[j, i] = np.einsum("cab,cba->", ratio[i], ratio[j])
            squares[i, j] = squares[j, i] = _inner(Vu[i], V_inverse @ Vu[j])[0, 0]
            Q[i, j] = _inner(VWX[i], WVWX[j])
            Q[j, i] = Q[i, j].T
    for (i, j), derivative in stack.second.items():
        traces_second[i, j] = traces_second[j, i] = np.einsum("cab,cba->", V_inverse, derivative)
        squares_second[i, j] = squares_second[j, i] = _inner(u, derivative @ u)[0, 0]
        R[i, j] = R[j, i] = _inner(WX, derivative @ WX)
    return _Sums(
        XX=_inner(columns, WX),
        P=np.array([_inner(WX, part) for part in VWX]).reshape(r, p, p),
        Q=Q,
        R=R,
        traces=traces,
        traces_second=traces_second,
        squares=squares,
        squares_second=squares_second,
        slopes=np.array([_inner(WX, part)[:, 0] for part in Vu]).reshape(r, p),
    )


def _inner(left: FloatArray, right: FloatArray) -> FloatArray:
    """Sum over the stack of left'right, (c, m, a) and (c, m, b) to (a, b)."""
    product: FloatArray = left.reshape(-1, left.shape[2]).T @ right.reshape(-1, right.shape[2])
    return product
