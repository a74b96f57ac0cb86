"""Covariances of the coefficients of a marginal model, and degrees of freedom of their t tests.

With ``M = S^-1``, ``S = sum_j P_j``, ``P_j = D_j'V_j^-1 D_j`` and scores ``s_j = D_j'V_j^-1 (y_j - mu_j)``,

    cov = M [sum_j a_j a_j'] M,

- LZ: a = s (Liang & Zeger 1986);
- KC: a = (I - P M)^(-1/2) s (Kauermann & Carroll 2001), no bias where R is right;
- MD: a = (I - P M)^(-1) s (Mancl & DeRouen 2001), close to leaving a cluster out;
- FG: a = diag(1 - min(3/4, (P M)_kk))^(-1/2) s (Fay & Graubard 2001);
- MBN: LZ times ``(n - 1) / (n - p) J / (J - 1)``, plus ``min(1/2, p / (J - p)) max(1, tr(M sum s s') / p) M``
  (Morel, Bokossa & Neerchal 2003), s divided by phi and M multiplied by it;
- model: M phi, right only where the working correlation is.

The corrections of KC and MD are usually written with the m x m matrices ``H_j = D_j M D_j'V_j^-1`` of the
residuals; ``D'V^-1 f(H) = f(P M) D'V^-1`` for every power f, and p x p matrices are enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nestwise.arrays import BoolArray, FloatArray
from nestwise.config.study import MarginalVariance
from nestwise.fit.cluster_layout import Blocks
from nestwise.fit.gee_search import GeeState
from nestwise.fit.gee_solution import GeeData, whitened
from nestwise.fit.sandwich import LOST, alone, sandwich_df
from nestwise.fit.working_correlation import Working

FEW_CLUSTERS = 50
"""Below this many clusters LZ with z tests rejects too often (rule 15)."""
FG_BOUND = 0.75
AT_ONCE = 2_000_000
"""Elements of p x p matrices of clusters that are handled at once."""
KINDS: tuple[MarginalVariance, ...] = ("LZ", "KC", "MD", "FG", "MBN", "model")


@dataclass(frozen=True)
class GeeScores:
    """What the covariances need of a fit, in coordinates where S = I.

    Attributes
    ----------
    s : ndarray (J, p)
        Scores of the clusters, phi left out.
    P : ndarray (J, p, p) or None
        Information of the clusters, summing to I; `None` where nobody asked.
    back : ndarray (p, p)
        Column k makes coefficient k.
    to_gamma : ndarray (p, p)
        From these coordinates to the working coefficients.
    phi : float
    n : int
        Rows.
    """

    s: FloatArray
    P: FloatArray | None
    back: FloatArray
    to_gamma: FloatArray
    phi: float
    n: int


@dataclass(frozen=True)
class GeeCovariance:
    """A covariance of the coefficients.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    covariance : ndarray (p, p)
        Of beta.
    df : float or None
        Degrees of freedom of the t tests; `None` for z tests.
    blind : ndarray (p,) of bool
        Coefficients that one cluster alone informs in part, so that no residuals judge them.
    """

    kind: MarginalVariance
    covariance: FloatArray
    df: float | None
    blind: BoolArray


def gee_scores(data: GeeData, working: Working, state: GeeState, *, with_information: bool) -> GeeScores:
    """Scores, and on request the information, of every cluster of a solved fit."""
    white = whitened(working, state)
    return scores_of(white, data.T, working.layout.clusters, state.phi, with_information=with_information)


def scores_of(
    white: tuple[FloatArray, FloatArray],
    T: FloatArray,
    clusters: Blocks,
    phi: float,
    *,
    indicators: int = 1,
    with_information: bool,
) -> GeeScores:
    """Scores, and on request the information, of every cluster.

    Parameters
    ----------
    white : tuple of ndarray (p, n) and (n,)
        Whitened columns and residuals.
    T : ndarray (p, p)
        From working coefficients to those of the formula.
    clusters : Blocks
        J clusters of these rows.
    phi : float
        Dispersion.
    indicators : int
        How many of these rows make one row of the data.
    with_information : bool
        Whether `P` is wanted: J p^2 numbers.
    """
    D, r = white
    half = np.linalg.inv(np.linalg.cholesky(D @ D.T))
    columns, p = half @ D, len(D)
    P = None
    if with_information:
        P = np.empty((clusters.sizes.size, p, p))
        for a in range(p):
            for b in range(a + 1):
                P[:, a, b] = P[:, b, a] = clusters.sums(columns[a] * columns[b])
    s = clusters.sums(columns * r).T
    return GeeScores(s, P, half @ T.T, half.T, phi, r.size // indicators)


def chosen_kind(asked: MarginalVariance | None, J: int) -> MarginalVariance:
    """The covariance that is asked for; by default KC below `FEW_CLUSTERS` clusters, else LZ."""
    return asked or ("KC" if J < FEW_CLUSTERS else "LZ")


def gee_covariance(scores: GeeScores, kind: MarginalVariance) -> GeeCovariance:
    """One covariance of the coefficients.

    t tests have J - p degrees of freedom, except for LZ and the model's covariance with many clusters.

    Parameters
    ----------
    scores : GeeScores
        With `P` for KC, MD and FG.
    kind : str
        Of `KINDS`.
    """
    J, p = scores.s.shape
    few = J < FEW_CLUSTERS or kind not in {"LZ", "model"}
    df = float(J - p) if few and p < J else None
    blind = np.zeros(p, dtype=bool)
    if kind in {"KC", "MD"}:
        assert scores.P is not None
        blind = alone(scores.P, scores.back)
    return GeeCovariance(kind, _covariance(scores, kind), df, blind)


def _covariance(scores: GeeScores, kind: MarginalVariance) -> FloatArray:
    back, s = scores.back, scores.s
    J, p = s.shape
    if kind == "model":
        return scores.phi * back.T @ back
    if kind == "MBN":
        middle = s.T @ s * ((scores.n - 1) / (scores.n - p) * J / (J - 1))
        size = max(1.0, float(np.trace(middle)) / scores.phi / p)
        share = min(0.5, p / (J - p)) if p < J else 0.5
        return np.asarray(back.T @ (middle + share * size * scores.phi * np.eye(p)) @ back)
    adjusted = s if kind == "LZ" else _adjusted(scores, kind)
    return np.asarray(back.T @ (adjusted.T @ adjusted) @ back)


def _adjusted(scores: GeeScores, kind: MarginalVariance) -> FloatArray:
    """Scores (J, p) with the correction of one of KC, MD and FG."""
    assert scores.P is not None
    J, p = scores.s.shape
    step = max(1, AT_ONCE // p**2)
    parts = []
    for begin in range(0, J, step):
        P, s = scores.P[begin : begin + step], scores.s[begin : begin + step]
        if kind == "FG":
            # (P M)_kk belongs to the columns of the formula: P M = back^-1 P back in coordinates with M = I
            forth = np.linalg.inv(scores.back)
            share = np.einsum("ka,jab,bk->jk", forth, P, scores.back, optimize=True)
            parts.append((s @ forth.T / np.sqrt(1 - np.minimum(FG_BOUND, share))) @ scores.back.T)
        else:
            parts.append(np.einsum("jab,jb->ja", _power(P, 0.5 if kind == "KC" else 1.0), s))
    return np.concatenate(parts)


def _power(P: FloatArray, power: float) -> FloatArray:
    """``(I - P)^-power`` (J, p, p); 0 along directions that a cluster alone informs."""
    values, vectors = np.linalg.eigh(np.eye(P.shape[1]) - P)
    kept = values > LOST
    scale = np.where(kept, np.where(kept, values, 1.0) ** -power, 0.0)
    found: FloatArray = (vectors * scale[:, None, :]) @ np.swapaxes(vectors, 1, 2)
    return found


def all_standard_errors(scores: GeeScores) -> Mapping[str, FloatArray]:
    """Standard errors (p,) by every covariance; those that need `P` only where it is there."""
    kinds = KINDS if scores.P is not None else ("LZ", "MBN", "model")
    return {kind: np.sqrt(np.diag(_covariance(scores, kind))) for kind in kinds}


def satterthwaite_df(scores: GeeScores, kind: MarginalVariance) -> FloatArray | None:
    """Degrees of freedom (p,) that match the moments of LZ, KC or MD if the working covariance is right.

    As of Bell & McCaffrey (2002) and Pan & Wall (2002); `None` without `P` and for the others.
    """
    if scores.P is None or kind not in {"LZ", "KC", "MD"}:
        return None
    powers = {"LZ": 0.0, "KC": 0.5, "MD": 1.0}
    direction = _power(scores.P, powers[kind]) @ scores.back
    h = scores.P @ direction
    return sandwich_df(np.einsum("jak,jak->jk", direction, h), h)
