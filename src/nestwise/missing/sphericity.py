"""Sphericity of repeated measures: Mauchly's test, and what departures from it cost.

With S the residual covariance of p = T - 1 orthonormal contrasts of the visits, on nu degrees of freedom:

- Mauchly's W = det(S) / (tr(S) / p)^p, referred to chi-square with p (p + 1) / 2 - 1 degrees of freedom, with
  the second term of the expansion (Anderson 2003, section 10.7), as in R's `mauchly.test`;
- Greenhouse & Geisser (1959): epsilon = tr(S)^2 / (p tr(S S));
- Huynh & Feldt (1976) with Lecoutre's (1991) correction: ((nu + 1) p epsilon - 2) / (p (nu - p epsilon)).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestwise.arrays import FloatArray


@dataclass(frozen=True)
class Sphericity:
    """Mauchly's test and the two corrections.

    Attributes
    ----------
    W, p_value : float or None
        `None` with two visits, where sphericity holds by itself, or too few subjects to tell.
    greenhouse_geisser, huynh_feldt : float
        Factors of the degrees of freedom, between 1 / p and 1; Huynh & Feldt's is cut at 1.
    huynh_feldt_raw : float
        Before it was cut.
    """

    W: float | None
    p_value: float | None
    greenhouse_geisser: float
    huynh_feldt: float
    huynh_feldt_raw: float


def contrasts(T: int) -> FloatArray:
    """Orthonormal contrasts (T, T - 1) of T visits."""
    full = np.column_stack([np.ones(T), np.eye(T)[:, 1:]])
    Q: FloatArray = np.linalg.qr(full)[0][:, 1:]
    return Q


def sphericity(S: FloatArray, df: int) -> Sphericity:
    """Judge the covariance of orthonormal contrasts.

    Parameters
    ----------
    S : ndarray (p, p)
        Sums of squares and products, or the covariance.
    df : int
        Degrees of freedom of S.
    """
    p = S.shape[0]
    gg = float(np.trace(S) ** 2 / (p * np.sum(S * S)))
    hf = ((df + 1) * p * gg - 2) / (p * (df - p * gg)) if df > p * gg else 1.0
    W = p_value = None
    if p > 1 and df >= p:
        sign, log_det = np.linalg.slogdet(S)
        if sign > 0:
            log_w = float(log_det - p * np.log(np.trace(S) / p))
            W, p_value = float(np.exp(log_w)), _mauchly_p(log_w, p, df)
    return Sphericity(W, p_value, gg, float(min(1.0, max(hf, 1 / p))), float(hf))


def _mauchly_p(log_w: float, p: int, n: int) -> float:
    from scipy.special import chdtrc

    rho = 1 - (2 * p**2 + p + 2) / (6 * p * n)
    w2 = (p + 2) * (p - 1) * (p - 2) * (2 * p**3 + 6 * p**2 + 3 * p + 2) / (288 * (n * p * rho) ** 2)
    z, f = -n * rho * log_w, p * (p + 1) / 2 - 1
    first, second = float(chdtrc(f, z)), float(chdtrc(f + 4, z))
    return float(min(1.0, max(0.0, first + w2 * (second - first))))
