"""Rubin's rules: the answers of m completed data sets made one.

With estimates Q_l and squared standard errors U_l, ``W = mean U_l``, ``B = var Q_l`` and
``T = W + (1 + 1/m) B``:

- ``lambda = (1 + 1/m) B / T`` is the share of the variance that is due to what is missing, ``riv`` the same
  relative to W;
- degrees of freedom after Barnard & Rubin (1999), Biometrika 86: with ``nu_c`` those of the complete data,
  ``1/nu = lambda^2 / (m - 1) + (nu_c + 3) / ((nu_c + 1) nu_c (1 - lambda))``;
- ``fmi = (riv + 2 / (nu + 3)) / (1 + riv)``, the fraction of missing information (Rubin 1987).

Written in lambda, nothing is divided by B: without any variation between the imputations the degrees of
freedom are those of the complete data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.errors import Problem, Refusal

REPLICABLE = 0.05
"""Coefficient of variation that a standard error may have from one set of imputations to the next."""


@dataclass(frozen=True)
class Pooled:
    """k quantities over m imputations; every array has shape (k,).

    Attributes
    ----------
    m : int
        Imputations.
    estimate, std_error : ndarray
        Mean of the estimates, and ``sqrt(T)``.
    within, between : ndarray
        W and B.
    df : ndarray
        Barnard and Rubin's degrees of freedom; infinite where nothing limits them.
    riv, share, fmi : ndarray
        Relative increase of the variance; lambda (gamma of some authors); fraction of missing information.
    efficiency : ndarray
        ``1 / (1 + fmi / m)``: variance with infinitely many imputations relative to that with m.
    monte_carlo_error : ndarray
        ``sqrt(B / m)``: standard deviation of the estimate over other sets of m imputations.
    """

    m: int
    estimate: FloatArray
    std_error: FloatArray
    within: FloatArray
    between: FloatArray
    df: FloatArray
    riv: FloatArray
    share: FloatArray
    fmi: FloatArray
    efficiency: FloatArray
    monte_carlo_error: FloatArray


def enough(m: int) -> None:
    """Refuse to pool fewer than two imputations.

    Raises
    ------
    Refusal
        With fewer than two, what varies between imputations cannot be seen.
    """
    if m < 2:
        what = (
            "one imputation says nothing of the uncertainty about what is missing" if m else "nothing to pool"
        )
        raise Refusal(Problem(what, "missing.imputations", "use 2 imputations at the very least, better 20"))


def rubin(estimates: FloatArray, variances: FloatArray, df: FloatArray | float = np.inf) -> Pooled:
    """Pool k quantities, each by itself.

    Parameters
    ----------
    estimates, variances : ndarray (m, k)
        Q and U, on a scale on which Q is about normal.
    df : ndarray (m, k) or (k,), or float
        Degrees of freedom of the complete data; of those that differ by imputation the harmonic mean is used.

    Raises
    ------
    Refusal
        With fewer than two imputations, or numbers that are not finite or variances that are not positive.
    """
    Q, U = np.atleast_2d(np.asarray(estimates, float)), np.atleast_2d(np.asarray(variances, float))
    m = Q.shape[0]
    enough(m)
    if not (np.isfinite(Q).all() and np.isfinite(U).all() and (U > 0).all()):
        what = "an analysis of a completed data set gave an estimate or a standard error that is no number"
        raise Refusal(Problem(what, "pooling", "look at the analyses one by one, or use a simpler model"))
    within, between = U.mean(axis=0), Q.var(axis=0, ddof=1)
    total = within + (1 + 1 / m) * between
    share = (1 + 1 / m) * between / total
    riv = share / (1 - share)
    inverse = np.broadcast_to(1 / np.asarray(df, dtype=float), Q.shape).mean(axis=0)
    nu = barnard_rubin(share, m, inverse)
    fmi = (riv + 2 / (nu + 3)) / (1 + riv)
    return Pooled(
        m=m,
        estimate=Q.mean(axis=0),
        std_error=np.sqrt(total),
        within=within,
        between=between,
        df=nu,
        riv=riv,
        share=share,
        fmi=fmi,
        efficiency=1 / (1 + fmi / m),
        monte_carlo_error=np.sqrt(between / m),
    )


def barnard_rubin(share: FloatArray, m: int, inverse_df: FloatArray) -> FloatArray:
    """Degrees of freedom (k,) from lambda (k,) and one over those of the complete data (k,)."""
    # (nu_c + 3) / ((nu_c + 1) nu_c) in x = 1 / nu_c, so that infinitely many need no case of their own.
    observed = inverse_df * (1 + 3 * inverse_df) / (1 + inverse_df) / (1 - share)
    inverse = share**2 / (m - 1) + observed
    with np.errstate(divide="ignore"):
        nu: FloatArray = 1 / inverse
    return nu


def imputations_needed(fmi: float, m: int, cv: float = REPLICABLE, level: float = 0.95) -> int:
    """Imputations after which standard errors would come out about the same again.

    Stage two of von Hippel (2020), Sociological Methods & Research 49: ``1 + (gamma / cv)^2 / 2``, gamma
    being the upper limit of the fraction of missing information, on the logit scale with variance ``2 / m``.

    Parameters
    ----------
    fmi : float
        Fraction of missing information as m imputations estimate it.
    m : int
        Those imputations.
    cv : float
        Coefficient of variation of the standard error that is good enough.
    level : float
        Coverage of the interval whose upper limit is used.
    """
    from scipy.special import expit, logit, ndtri

    if fmi <= 0:
        return 2
    upper = float(expit(logit(min(fmi, 1 - 1e-12)) + ndtri((1 + level) / 2) * np.sqrt(2 / m)))
    return max(2, int(np.ceil(1 + (upper / cv) ** 2 / 2)))
