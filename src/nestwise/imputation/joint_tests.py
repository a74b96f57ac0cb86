"""Tests of several parameters over m imputations: D1, D3 and D4.

- D1: a Wald test with the covariance of each analysis. Li, Raghunathan & Rubin (1991), JASA 86; degrees of
  freedom in small samples after Reiter (2007), Biometrika 94.
- D3: likelihood ratios at each analysis' own estimates and at those averaged over the imputations. Meng &
  Rubin (1992), Biometrika 79.
- D4: likelihood ratios of each analysis and of all completed data sets stacked, which no parametrisation can
  change. Chan & Meng (2022), Statistica Sinica 32.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.errors import Problem, Refusal
from nestwise.imputation.rubin import enough


@dataclass(frozen=True)
class JointTest:
    """An F test of k parameters over m imputations.

    Attributes
    ----------
    method : str
        D1, D3 or D4.
    statistic : float
        F.
    df_num, df_den : float
        Degrees of freedom; `df_den` is infinite where nothing limits them.
    riv : float
        Relative increase of the variance, averaged over the parameters.
    """

    method: str
    statistic: float
    df_num: int
    df_den: float
    riv: float

    @property
    def p_value(self) -> float:
        """Upper tail."""
        from scipy.special import chdtrc, fdtrc

        if np.isinf(self.df_den):
            return float(chdtrc(self.df_num, self.df_num * self.statistic))
        return float(fdtrc(self.df_num, self.df_den, self.statistic))


def wald_test(estimates: FloatArray, covariances: FloatArray, df: float = np.inf) -> JointTest:
    """D1: that all k parameters are zero.

    Parameters
    ----------
    estimates : ndarray (m, k)
        Of each analysis.
    covariances : ndarray (m, k, k)
        Their covariance in each analysis.
    df : float
        Denominator degrees of freedom of the test in the complete data.

    Raises
    ------
    Refusal
        With fewer than two imputations, or where the mean covariance has no inverse.
    """
    m, k = estimates.shape
    enough(m)
    Q, W = estimates.mean(axis=0), covariances.mean(axis=0)
    if not np.isfinite(W).all() or np.linalg.matrix_rank(W, hermitian=True) < k:
        what = "the estimates of several parameters are not told apart, and cannot be tested together"
        raise Refusal(Problem(what, "pooling", "test fewer of them"))
    centred = estimates - Q
    r = (1 + 1 / m) * float(np.trace(np.linalg.solve(W, centred.T @ centred / (m - 1)))) / k
    statistic = float(Q @ np.linalg.solve(W, Q)) / (k * (1 + r))
    return JointTest("D1", statistic, k, _reiter(r, k, m, df), r)


def _large(r: float, k: int, m: int) -> float:
    """Denominator degrees of freedom in large samples (Li, Raghunathan & Rubin 1991)."""
    t = k * (m - 1)
    if r <= 0:
        return float("inf")
    if t > 4:
        return 4 + (t - 4) * (1 + (1 - 2 / t) / r) ** 2
    return t * (1 + 1 / k) * (1 + 1 / r) ** 2 / 2


def _reiter(r: float, k: int, m: int, df: float) -> float:
    """Denominator degrees of freedom in small samples; Reiter's where they are defined."""
    if np.isinf(df):
        return _large(r, k, m)
    t, star = k * (m - 1), df * (df + 1) / (df + 3)
    if t <= 4:  # Reiter's expansion needs more; neither source of doubt allows more than it would alone
        return 1 / (1 / _large(r, k, m) + 1 / (star / (1 + r)))
    a = r * t / (t - 2)
    c1, c2 = star - 2 * (1 + a), star - 4 * (1 + a)
    if c2 <= 0:
        return 1 / (1 / _large(r, k, m) + 1 / (star / (1 + r)))
    share, c0 = a / (1 + a), 1 / (t - 4)
    inner = share**2 * c1 / c2 + 8 * share * a * c1 / c2**2 + 4 * share * a / c2
    inner += 4 * a**2 / (c1 * c2) + 16 * a**2 * c1 / c2**3 + 8 * a**2 / c2**2
    return 4 + 1 / (1 / c2 + c0 * inner)


def likelihood_ratio_test(own: FloatArray, averaged: FloatArray, k: int) -> JointTest:
    """D3.

    Parameters
    ----------
    own : ndarray (m,)
        Twice the difference of the log-likelihoods in each imputation, each model at its estimates there.
    averaged : ndarray (m,)
        The same, each model at its estimates averaged over the imputations.
    k : int
        Parameters by which the models differ.

    Returns
    -------
    JointTest
        A negative increase of the variance, which chance can give, counts as none.
    """
    m = own.size
    enough(m)
    at_average = float(averaged.mean())
    r = max((m + 1) / (k * (m - 1)) * (float(own.mean()) - at_average), 0.0)
    return JointTest("D3", max(at_average, 0.0) / (k * (1 + r)), k, _large(r, k, m), r)


def stacked_test(own: FloatArray, stacked: float, k: int) -> JointTest:
    """D4.

    Parameters
    ----------
    own : ndarray (m,)
        Twice the difference of the log-likelihoods in each imputation.
    stacked : float
        The same of all m completed data sets as one, divided by m.
    k : int
        Parameters by which the models differ.
    """
    m = own.size
    enough(m)
    r = max((m + 1) / (k * (m - 1)) * (float(own.mean()) - stacked), 0.0)
    df = k * (m - 1) * (1 + 1 / r) ** 2 if r > 0 else float("inf")
    return JointTest("D4", max(stacked, 0.0) / (k * (1 + r)), k, df, r)


def robust_stacked_test(own: FloatArray, stacked: tuple[float, float], k: int, h: int) -> JointTest:
    """D4 with the increase of the variance from all parameters of the larger model, right if it is false.

    Parameters
    ----------
    own : ndarray (2, m)
        Log-likelihoods of the larger and of the smaller model in each imputation.
    stacked : (float, float)
        Those of all completed data sets as one, divided by m.
    k, h : int
        Parameters by which the models differ; parameters of the larger one.
    """
    m = own.shape[1]
    enough(m)
    r = max((m + 1) / (h * (m - 1)) * 2 * (float(own[0].mean()) - stacked[0]), 0.0)
    df = h * (m - 1) * (1 + 1 / r) ** 2 if r > 0 else float("inf")
    statistic = 2 * (stacked[0] - stacked[1])
    return JointTest("D4", max(statistic, 0.0) / (k * (1 + r)), k, df, r)
