"""Working associations between the ordinal outcomes of a cluster.

The indicators ``z_c = [y > c]`` of one row have the covariance of their multinomial whatever is assumed,
``min(mu_c, mu_d) - mu_c mu_d``. They are a Markov chain in c, so that its inverse has a bidiagonal root: each
indicator less what the one below says of it. What is chosen is how the indicators of two rows of a cluster go
together:

- independence: not at all; the equations are then those of maximum likelihood;
- exchangeable: one correlation of Pearson residuals for each pair of thresholds, the mean of their products
  over all pairs of rows (Lipsitz, Kim & Zhao 1994, Statistics in Medicine 13);
- global_odds_ratio: one odds ratio psi for all pairs of thresholds, whose joint probabilities are Plackett's;
  the products of residuals ``(z - mu)(z' - mu')`` add up to what they are expected to (Lumley 1996,
  Biometrics 52; Heagerty & Zeger 1996, JASA 91).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nestwise.arrays import BoolArray, FloatArray, IntArray
from nestwise.fit.cluster_layout import ClusterLayout
from nestwise.fit.working_correlation import MARGIN

STRUCTURES = ("independence", "exchangeable", "global_odds_ratio")
ODDS_STEPS, LARGEST_LOG_ODDS = 30, 12.0
ODDS_TOLERANCE = 1e-3
"""Newton's last step: its error is the square of this, and the next scoring step starts from it."""
CLOSE = 10 * MARGIN
"""Below this the pivots of a covariance no longer tell how far from singular it is: eigenvalues do."""
SLACK = 1e-8
AT_ONCE = 100_000
"""Elements of the matrices of clusters that are handled at once: they stay in the processor's cache."""


@dataclass(frozen=True)
class Association:
    """A working association of the indicators of a layout.

    Attributes
    ----------
    structure : str
        One of `STRUCTURES`.
    layout : ClusterLayout
        Of indicators, those of one row together.
    cuts : int
        K, indicators a row.
    names : tuple of str, length k
        Parameters; that of the odds ratio is searched for as its logarithm.
    pairs : ndarray (k,)
        Pairs of rows each is estimated from.
    total : float
        Their number, each counted by the weight of selection of its cluster.
    """

    structure: str
    layout: ClusterLayout
    cuts: int
    names: tuple[str, ...]
    pairs: IntArray
    total: float


def association(structure: str, layout: ClusterLayout, thresholds: tuple[str, ...]) -> Association:
    """Prepare a working association.

    Parameters
    ----------
    structure : str
        One of `STRUCTURES`.
    layout : ClusterLayout
        Of indicators.
    thresholds : tuple of str, length K
        Names.
    """
    cuts = len(thresholds)
    sizes = layout.clusters.sizes // cuts
    inside = sizes * (sizes - 1) // 2
    names: tuple[str, ...] = ()
    if structure == "exchangeable":
        one, other = np.triu_indices(cuts)
        names = tuple(f"alpha:{thresholds[c]},{thresholds[d]}" for c, d in zip(one, other, strict=True))
    elif structure == "global_odds_ratio":
        names = ("odds_ratio",)
    pairs = np.full(len(names), int(inside.sum()))
    return Association(structure, layout, cuts, names, pairs, float(inside @ layout.cluster_weights))


def row_roots(mu: FloatArray, cuts: int) -> tuple[FloatArray, FloatArray]:
    """The bidiagonal root of the inverse covariance of the indicators of each row.

    Parameters
    ----------
    mu : ndarray (..., N)
        Probabilities of lying above each threshold, rows of `cuts` indicators.
    cuts : int
        Indicators a row.

    Returns
    -------
    own, below : ndarray (..., N)
        Factors of an indicator, and of the one below it, which are 0 for the lowest.
    """
    before = np.roll(mu, 1, axis=-1)
    before[..., ::cuts] = 1.0
    ratio = mu / before
    own = 1 / np.sqrt(mu * (1 - ratio))
    below = ratio * own
    below[..., ::cuts] = 0.0
    return own, below


def whiten_rows(roots: tuple[FloatArray, FloatArray], columns: FloatArray) -> FloatArray:
    """Columns (..., N) whose indicators are uncorrelated in their row."""
    own, below = roots
    found = own * columns
    found[..., 1:] -= below[..., 1:] * columns[..., :-1]
    return np.asarray(found)


def moments(
    given: Association, z: FloatArray, mu: FloatArray, weight: FloatArray, start: FloatArray | None
) -> FloatArray:
    """Parameters (k,) from indicators (N,), their means and weights (N,).

    Parameters
    ----------
    given : Association
        The structure.
    z, mu, weight : ndarray (N,)
        Indicators, means, and prior weights times weights of selection.
    start : ndarray (k,) or None
        Where to look for the odds ratio first.
    """
    if not given.names or given.total == 0:
        return np.zeros(len(given.names))
    if given.structure == "exchangeable":
        return _correlations(given, np.sqrt(weight / (mu * (1 - mu))) * (z - mu))
    log_odds = 0.0 if start is None else float(start[0])
    for _ in range(ODDS_STEPS):
        short, slope = _shortfall(given, z, mu, weight, log_odds)
        step = short / slope if slope > 0 else 0.0
        ahead = float(np.clip(log_odds + np.clip(step, -2, 2), -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS))
        done, log_odds = abs(ahead - log_odds) < ODDS_TOLERANCE, ahead
        if done:
            break
    return np.array([log_odds])


def _shortfall(
    given: Association, z: FloatArray, mu: FloatArray, weight: FloatArray, log_odds: float
) -> tuple[float, float]:
    """Products of residuals less those expected, summed over pairs of rows; the slope of the latter."""
    short, slope, e = 0.0, 0.0, z - mu
    for rows, _ in _stacks(given):
        table = rows.reshape(len(rows), -1, given.cuts)
        one, other = np.triu_indices(table.shape[1], 1)
        w = np.sqrt(weight[table[:, one, 0]] * weight[table[:, other, 0]])
        summed, products = e[table].sum(axis=2), mu[table].sum(axis=2)
        joint, by_log_odds = _joint(mu[table[:, one]][..., None], mu[table[:, other]][..., None, :], log_odds)
        expected = joint.sum(axis=(2, 3)) - products[:, one] * products[:, other]
        short += float((w * (summed[:, one] * summed[:, other] - expected)).sum())
        slope += float((w * by_log_odds.sum(axis=(2, 3))).sum())
    return short, slope


def _correlations(given: Association, e: FloatArray) -> FloatArray:
    """Mean products of residuals (N,) for every pair of thresholds, over ordered pairs of rows."""
    K, table = given.cuts, e.reshape(-1, given.cuts)
    sums = np.add.reduceat(table, given.layout.clusters.starts // K, axis=0)
    means = (sums.T @ sums - table.T @ table) / (2 * given.total)
    return np.asarray(means[np.triu_indices(K)])


def _stacks(given: Association) -> Iterator[tuple[IntArray, BoolArray]]:
    """Indicators (c, M) of clusters of one size, and which pairs of them are of different rows."""
    for _, rows in given.layout.clusters.stacks():
        of = np.arange(rows.shape[1]) // given.cuts
        step = max(1, AT_ONCE // rows.shape[1] ** 2)
        for begin in range(0, len(rows), step) if of[-1] > 0 else ():
            yield rows[begin : begin + step], of[:, None] != of


def _joint(a: FloatArray, b: FloatArray, log_odds: float) -> tuple[FloatArray, FloatArray]:
    """Probability that two indicators are both one, and its slope by the log odds ratio.

    The root p of ``(psi - 1) p^2 - (1 + (a + b)(psi - 1)) p + psi a b = 0`` (Plackett 1965), written so that
    nothing cancels; its slope is ``psi (a - p)(b - p)`` over the square root of the discriminant.
    """
    psi = float(np.exp(log_odds))
    product = a * b
    inner = 1 + (a + b) * (psi - 1)
    root = np.sqrt(np.maximum(inner * inner - 4 * psi * (psi - 1) * product, 1e-300))
    p = 2 * psi * product / (inner + root)
    return np.asarray(p), np.asarray(psi * (a - p) * (b - p) / root)


def _between(given: Association, alpha: FloatArray, mu: FloatArray) -> FloatArray:
    """Covariances (c, M, M) of indicators, as if all were of different rows."""
    if given.structure == "global_odds_ratio":
        a, b = mu[:, :, None], mu[:, None, :]
        return _joint(a, b, float(alpha[0]))[0] - a * b
    table = np.zeros((given.cuts, given.cuts))
    table[np.triu_indices(given.cuts)] = alpha
    table += np.triu(table, 1).T
    times = mu.shape[1] // given.cuts
    sd = np.sqrt(mu * (1 - mu))
    return np.asarray(np.tile(table, (times, times)) * sd[:, :, None] * sd[:, None, :])


def _covariance(given: Association, alpha: FloatArray, mu: FloatArray, apart: BoolArray) -> FloatArray:
    """Covariances (c, M, M) of the indicators of clusters whose rows have been whitened."""
    own, below = row_roots(mu, given.cuts)
    roots = own[:, None, :], below[:, None, :]
    V = whiten_rows(roots, _between(given, alpha, mu) * apart)
    V = whiten_rows(roots, V.swapaxes(1, 2))
    return np.asarray(V + np.eye(mu.shape[1]))


def whiten_clusters(
    given: Association, alpha: FloatArray, mu: FloatArray, columns: FloatArray
) -> tuple[FloatArray, float]:
    """Columns that are uncorrelated in their cluster, from those that are in their row.

    Parameters
    ----------
    given : Association
        The structure.
    alpha : ndarray (k,)
        Parameters.
    mu : ndarray (N,)
        Means of the indicators.
    columns : ndarray (d, N)
        From `whiten_rows`.

    Returns
    -------
    columns : ndarray (d, N)
    margin : float
        Least share of the variance of an indicator that those before it leave; not positive where the
        covariance of some cluster is not positive definite, and the columns are then as they were.
    """
    if not given.names:
        return columns, 1.0
    found, margin = columns.copy(), 1.0
    for rows, apart in _stacks(given):
        try:
            L = np.linalg.cholesky(_covariance(given, alpha, mu[rows], apart))
        except np.linalg.LinAlgError:
            return columns, 0.0
        margin = min(margin, float(np.diagonal(L, axis1=1, axis2=2).min() ** 2))
        found[:, rows] = np.linalg.solve(L, columns[:, rows].transpose(1, 2, 0)).transpose(2, 0, 1)
    return found, margin


def inside(
    given: Association, raw: FloatArray, mu: FloatArray, columns: FloatArray
) -> tuple[FloatArray, FloatArray, float]:
    """Parameters pulled towards independence until the margin is kept, and columns whitened with them.

    Returns
    -------
    alpha : ndarray (k,)
    columns : ndarray (d, N)
    margin : float
        Of the parameters as they were estimated.
    """
    found, first = whiten_clusters(given, raw, mu, columns)
    if first >= CLOSE:
        return raw, found, first
    if given.structure == "exchangeable":  # the covariance is linear in alpha: its eigenvalues say how far
        least = _least_eigenvalue(given, raw, mu)
        if least >= MARGIN:
            return raw, found, least
        alpha = raw * (1 - MARGIN) / (1 - least)
        return alpha, whiten_clusters(given, alpha, mu, columns)[0], least
    alpha, margin = raw, first
    while margin < MARGIN:
        alpha = 0.97 * alpha
        found, margin = whiten_clusters(given, alpha, mu, columns)
    return alpha, found, first


def _least_eigenvalue(given: Association, alpha: FloatArray, mu: FloatArray) -> float:
    """Of the covariances of clusters whose rows have been whitened."""
    return min(
        (float(np.linalg.eigvalsh(_covariance(given, alpha, mu[rows], apart))[:, 0].min())
         for rows, apart in _stacks(given)), default=1.0,
    )  # fmt: skip


def share_outside(given: Association, alpha: FloatArray, mu: FloatArray) -> float | None:
    """Share of the clusters with correlations that indicators of their means cannot have; `None` without."""
    if given.structure != "exchangeable":
        return None
    wrong = 0
    for rows, apart in _stacks(given):
        a, b = mu[rows][:, :, None], mu[rows][:, None, :]
        joint = _between(given, alpha, mu[rows]) + a * b
        bad = (joint > np.minimum(a, b) + SLACK) | (joint < np.maximum(a + b - 1, 0) - SLACK)
        wrong += int((bad & apart).any(axis=(1, 2)).sum())
    return wrong / given.layout.J


def reported(given: Association, alpha: FloatArray) -> FloatArray:
    """Parameters (k,) as a table shows them: an odds ratio, not its logarithm."""
    return np.exp(alpha) if given.structure == "global_odds_ratio" else alpha
