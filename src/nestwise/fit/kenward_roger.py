"""Kenward and Roger's covariance of the fixed effects and their F test for small samples.

The covariance ``Phi`` of generalised least squares takes the covariance parameters as known. Kenward & Roger
add what their estimation contributes and what it biases,

    Phi_A = Phi + 2 Phi [sum_ij W_ij (Q_ij - P_i Phi P_j - R_ij / 4)] Phi,

with W the covariance of the parameters' estimates, and match an F distribution to the two first moments of
the scaled Wald statistic. Without R_ij it is the "linear" version, which does not depend on how the
parameters are chosen. Sources: Kenward & Roger (1997), Biometrics 53, 983-997; Halekoh & Hojsgaard (2014),
Journal of Statistical Software 59(9); SAS PROC MIXED, DDFM=KR(FIRSTORDER) for the linear version.
"""

from __future__ import annotations

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.fit.covariance_information import CovarianceMoments


def adjusted_covariance(moments: CovarianceMoments, W: FloatArray, *, linear: bool) -> FloatArray:
    """Covariance (p, p) of the fixed effects adjusted for the estimation of the covariance parameters.

    Parameters
    ----------
    moments : CovarianceMoments
        Phi and its derivatives.
    W : ndarray (r, r)
        Covariance of the parameters' estimates.
    linear : bool
        Leave the second derivatives of V out.
    """
    products = moments.gradient @ np.linalg.inv(moments.Phi)
    bias = moments.curvature - np.einsum("iab,jbc->ijac", products, moments.gradient)
    if not linear:
        bias = bias - moments.second / 4
    adjusted = moments.Phi + 2 * np.einsum("ij,ijab->ab", W, bias)
    symmetric: FloatArray = (adjusted + adjusted.T) / 2
    return symmetric


def scaled_f(L: FloatArray, Phi: FloatArray, gradient: FloatArray, W: FloatArray) -> tuple[float, float]:
    """Scale lambda and denominator degrees of freedom of the F statistic of L beta; names as in the paper.

    Parameters
    ----------
    L : ndarray (l, p)
        Contrasts, linearly independent.
    Phi : ndarray (p, p)
        Covariance of the fixed effects before the adjustment.
    gradient : ndarray (r, p, p)
        Its derivatives by the covariance parameters.
    W : ndarray (r, r)
        Covariance of their estimates.
    """
    rank = L.shape[0]
    Theta = L.T @ np.linalg.solve(L @ Phi @ L.T, L)
    U = Theta @ gradient
    traces = np.einsum("iaa->i", U)
    A1 = float(traces @ W @ traces)
    A2 = float(np.einsum("ij,iab,jba->", W, U, U))
    if A2 <= 0:  # no covariance parameter moves these contrasts: their variance is as good as known
        return 1.0, np.inf
    B = (A1 + 6 * A2) / (2 * rank)
    g = ((rank + 1) * A1 - (rank + 4) * A2) / ((rank + 2) * A2)
    c1, c2, c3 = np.array([g, rank - g, rank + 2 - g]) / (3 * rank + 2 * (1 - g))
    V0, V1, V2 = 1 + c1 * B, 1 - c2 * B, 1 - c3 * B
    V0 = 0.0 if abs(V0) < 1e-10 else V0
    # In balanced designs numerator and denominator vanish together, and their ratio is one.
    ratio = 1.0 if abs(V1) < 1e-10 and abs(1 - A2 / rank) < 1e-10 else (1 - A2 / rank) / V1
    rho = ratio**2 * V0 / V2 / rank
    df = 4 + (rank + 2) / (rank * rho - 1)
    scale = 1.0 if abs(df - 2) < 1e-2 else df * (1 - A2 / rank) / (df - 2)
    return float(scale), float(df)
