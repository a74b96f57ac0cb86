"""Working correlations of a marginal model: their moments, and how they make columns independent.

For each structure two things are needed: the parameters alpha that match the products of standardised
residuals r (variance 1 after division by phi), and the whitening ``x -> L x`` with ``L'L = R^-1`` inside
each cluster. Whitened cross-products are then those of generalised least squares, and no R is inverted for
exchangeable, nested and AR(1) correlations.

- exchangeable: alpha is the mean of ``r_j r_k`` over all pairs of a cluster;
- nested: one mean over pairs in the same inner group, one over the other pairs of the cluster;
- ar1: ``rho^|t_j - t_k|``, rho by least squares over all pairs;
- unstructured: a mean for each pair of visits; m_dependent: one for each number of visits apart, 0 beyond.

Means divide by the number of pairs, and phi by the number of rows, as geepack does; SAS and gee subtract the
number of coefficients. Sources: Liang & Zeger (1986), Biometrika 73; Halekoh, Hojsgaard & Yan (2006), Journal
of Statistical Software 15(2); Stoner, Leroux & Puumala (2010) for two levels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from nestwise.arrays import FloatArray, IntArray
from nestwise.fit.autoregression import Distances, autoregression, distances
from nestwise.fit.cluster_layout import Blocks, ClusterLayout

MARGIN = 1e-3
"""Smallest share of the variance that a working correlation must leave in any direction."""
LINEAR = ("exchangeable", "unstructured", "m_dependent")


@dataclass(frozen=True)
class Patterns:
    """Clusters of one size by the visits they were seen at.

    Attributes
    ----------
    rows : ndarray (c, m)
        Rows of each cluster.
    visits : ndarray (u, m)
        The different sets of visits.
    which : ndarray (c,)
        Set of each cluster.
    """

    rows: IntArray
    visits: IntArray
    which: IntArray


@dataclass(frozen=True)
class Working:
    """A working correlation made ready for the rows of a layout.

    Attributes
    ----------
    structure : str
        As in the study file.
    layout : ClusterLayout
    names : tuple of str, length k
        Parameters.
    pairs : ndarray (k,)
        Number of pairs of rows each is estimated from (all pairs, for ar1).
    totals : ndarray (k,)
        The same, each pair counted by the weight of selection of its cluster.
    patterns : tuple of Patterns
        For structures that know visits apart.
    lag_of : ndarray (T, T)
        Parameter of each pair of visits; k for one that is zero. Empty for other structures.
    distances : Distances or None
        Of ar1.
    """

    structure: str
    layout: ClusterLayout
    names: tuple[str, ...]
    pairs: IntArray
    totals: FloatArray
    patterns: tuple[Patterns, ...] = ()
    lag_of: IntArray | None = None
    distances: Distances | None = None

    def moments(self, r: FloatArray) -> FloatArray:
        """Parameters (k,) from standardised residuals (n,)."""
        return _STRUCTURES[self.structure].moments(self, r)

    def whiten(self, alpha: FloatArray, columns: FloatArray) -> FloatArray:
        """``L x`` of each column, (..., n)."""
        return _STRUCTURES[self.structure].whiten(self, alpha, columns)

    def margin(self, alpha: FloatArray) -> float:
        """Positive only if the correlation is positive definite in every cluster."""
        return _STRUCTURES[self.structure].margin(self, alpha)

    def matrices(self, alpha: FloatArray, rows: IntArray) -> FloatArray:
        """Correlations (c, m, m) of the rows (c, m) of some clusters."""
        return _STRUCTURES[self.structure].matrices(self, alpha, rows)

    def inside(self, alpha: FloatArray) -> tuple[FloatArray, bool]:
        """The parameters, pulled towards independence until the margin is kept; whether they were pulled."""
        if self.structure in LINEAR:  # the margin is the least eigenvalue of I + B(alpha): B may be so long
            least = self.margin(alpha)
            return (alpha, False) if least >= MARGIN else (alpha * (1 - MARGIN) / (1 - least), True)
        held, pulled = alpha, False
        while alpha.size and self.margin(held) < MARGIN:
            held, pulled = 0.97 * held, True
        return held, pulled


def working_correlation(structure: str, layout: ClusterLayout, lags: int = 1) -> Working:
    """Prepare a working correlation.

    Parameters
    ----------
    structure : str
        `independence`, `exchangeable`, `ar1`, `unstructured`, `m_dependent` or `nested`.
    layout : ClusterLayout
        With visits, for those that go by time.
    lags : int
        Visits apart that are correlated under m_dependent.
    """
    total, whole = layout.clusters.pairs(), layout.clusters.pairs(layout.cluster_weights)
    if structure == "independence":
        return Working(structure, layout, (), total[:0], whole[:0])
    if structure == "exchangeable":
        return Working(structure, layout, ("alpha",), total, whole)
    if structure == "nested":
        assert layout.inner is not None
        within = layout.inner.pairs()
        counted = layout.inner.pairs(layout.selection[layout.inner.starts])
        names = (f"alpha:{layout.inner_name}", f"alpha:{layout.factor.group}")
        pairs, totals = np.append(within, total - within), np.append(counted, whole - counted)
        return Working(structure, layout, names, pairs, totals)
    if structure == "ar1":
        found = distances(layout)
        name = "alpha" if found.unit == 1 else f"alpha:{found.unit:g}"
        return Working(structure, layout, (name,), total, whole, distances=found)
    return _by_visits(structure, layout, lags)


def _by_visits(structure: str, layout: ClusterLayout, lags: int) -> Working:
    assert layout.occasions is not None
    labels, T = layout.occasions.labels, len(layout.occasions.labels)
    one, other = np.triu_indices(T, 1)
    names: tuple[str, ...]
    if structure == "unstructured":
        lag_of = np.zeros((T, T), dtype=np.int64)
        lag_of[one, other] = lag_of[other, one] = np.arange(one.size)
        names = tuple(f"alpha:{labels[i]},{labels[j]}" for i, j in zip(one, other, strict=True))
    else:
        lags = min(lags, T - 1)
        apart = np.abs(np.subtract.outer(np.arange(T), np.arange(T)))
        lag_of = np.where((apart > 0) & (apart <= lags), apart - 1, lags)
        names = tuple(f"alpha:{lag + 1}" for lag in range(lags))
    patterns, weights = [], []
    for places, rows in layout.clusters.stacks():
        weights.append(layout.cluster_weights[places])
        visits, which = np.unique(layout.visits[rows], axis=0, return_inverse=True)
        patterns.append(Patterns(rows, visits, which.reshape(-1)))
    k = len(names)
    pairs, totals = np.zeros(k + 1, dtype=np.int64), np.zeros(k + 1)
    for each, weight in zip(patterns, weights, strict=True):
        i, j = np.triu_indices(each.rows.shape[1], 1)
        lag = lag_of[each.visits[:, i], each.visits[:, j]]
        np.add.at(pairs, lag, np.bincount(each.which, minlength=len(each.visits))[:, None])
        np.add.at(totals, lag, np.bincount(each.which, weight, minlength=len(each.visits))[:, None])
    return Working(structure, layout, names, pairs[:k], totals[:k], tuple(patterns), lag_of)


def _exchangeable_moments(working: Working, r: FloatArray) -> FloatArray:
    return np.array([working.layout.clusters.pair_sums(r)]) / working.totals


def _exchangeable_whiten(working: Working, alpha: FloatArray, columns: FloatArray) -> FloatArray:
    """R has the eigenvalues 1 + (m - 1) alpha, of the mean, and 1 - alpha, of what remains."""
    blocks = working.layout.clusters
    rest = 1 - alpha[0]
    along = 1 + (blocks.sizes - 1) * alpha[0]
    return np.asarray(blocks.less_means(columns, 1 - np.sqrt(rest / along)) / np.sqrt(rest))


def _exchangeable_margin(working: Working, alpha: FloatArray) -> float:
    largest = int(working.layout.clusters.sizes.max())
    return float(min(1 - alpha[0], 1 + (largest - 1) * alpha[0]))


def _exchangeable_matrices(_working: Working, alpha: FloatArray, rows: IntArray) -> FloatArray:
    m = rows.shape[1]
    return np.broadcast_to(alpha[0] + (1 - alpha[0]) * np.eye(m), (rows.shape[0], m, m))


def _nested_moments(working: Working, r: FloatArray) -> FloatArray:
    assert working.layout.inner is not None
    within, total = working.layout.inner.pair_sums(r), working.layout.clusters.pair_sums(r)
    return np.array([within, total - within]) / working.totals


def _nested_parts(working: Working, alpha: FloatArray) -> tuple[Blocks, float, FloatArray, FloatArray]:
    """Inner blocks; 1 - alpha_1; eigenvalues (B,) of their means less alpha_2; ``u'u`` of clusters (J,)."""
    inner, clusters = working.layout.inner, working.layout.clusters
    assert inner is not None
    rest = float(1 - alpha[0])
    along = rest + inner.sizes * (alpha[0] - alpha[1])
    first = clusters.codes[inner.starts]
    return inner, rest, along, np.bincount(first, inner.sizes / along, minlength=working.layout.J)


def _nested_whiten(working: Working, alpha: FloatArray, columns: FloatArray) -> FloatArray:
    """Inner blocks first; what they share is then ``I + alpha_2 u u'`` with u the whitened ones."""
    inner, rest, along, uu = _nested_parts(working, alpha)
    clusters = working.layout.clusters
    white = inner.less_means(columns, 1 - np.sqrt(rest / along)) / np.sqrt(rest)
    u = np.repeat(1 / np.sqrt(along), inner.sizes)
    share = (1 - 1 / np.sqrt(1 + alpha[1] * uu)) / uu
    taken = clusters.sums(white * u) * share
    found: FloatArray = white - u * np.repeat(taken, clusters.sizes, axis=-1)
    return found


def _nested_margin(working: Working, alpha: FloatArray) -> float:
    _, rest, along, uu = _nested_parts(working, alpha)
    if min(rest, float(along.min())) <= 0:
        return min(rest, float(along.min()))
    return min(rest, float(along.min()), float((1 + alpha[1] * uu).min()))


def _nested_matrices(working: Working, alpha: FloatArray, rows: IntArray) -> FloatArray:
    assert working.layout.inner is not None
    codes = working.layout.inner.codes[rows]
    same = codes[:, :, None] == codes[:, None, :]
    return np.asarray(np.where(same, alpha[0], alpha[1]) + (1 - alpha[0]) * np.eye(rows.shape[1]))


def _ar1_moments(working: Working, r: FloatArray) -> FloatArray:
    assert working.distances is not None
    return np.array([autoregression(working.distances, r)])


def _ar1_whiten(working: Working, alpha: FloatArray, columns: FloatArray) -> FloatArray:
    """Each row less what the one before it says: innovations, divided by their standard deviation."""
    assert working.distances is not None
    rho = working.distances.power(float(alpha[0]), working.distances.gaps)
    found = columns.copy()
    found[..., 1:] -= rho[1:] * columns[..., :-1]
    return np.asarray(found / np.sqrt(1 - rho**2))


def _ar1_margin(_working: Working, alpha: FloatArray) -> float:
    return float(1 - abs(alpha[0]))


def _ar1_matrices(working: Working, alpha: FloatArray, rows: IntArray) -> FloatArray:
    layout, found = working.layout, working.distances
    assert layout.occasions is not None
    assert found is not None
    at = layout.occasions.times[layout.visits[rows]] / found.unit
    return found.power(float(alpha[0]), np.abs(at[:, :, None] - at[:, None, :]))


def _visit_moments(working: Working, r: FloatArray) -> FloatArray:
    k = len(working.names)
    sums = np.zeros(k + 1)
    assert working.lag_of is not None
    for each in working.patterns:
        i, j = np.triu_indices(each.rows.shape[1], 1)
        lag = working.lag_of[each.visits[:, i], each.visits[:, j]][each.which]
        products = r[each.rows[:, i]] * r[each.rows[:, j]]
        sums += np.bincount(lag.ravel(), products.ravel(), minlength=k + 1)
    return sums[:k] / working.totals


def _correlations(working: Working, alpha: FloatArray, visits: IntArray) -> FloatArray:
    """Correlation matrices (u, m, m) of visits (u, m)."""
    assert working.lag_of is not None
    R = np.append(alpha, 0.0)[working.lag_of]
    np.fill_diagonal(R, 1.0)
    return np.asarray(R[visits[:, :, None], visits[:, None, :]])


def _visit_whiten(working: Working, alpha: FloatArray, columns: FloatArray) -> FloatArray:
    found = np.empty_like(columns)
    for each in working.patterns:
        L = np.linalg.inv(np.linalg.cholesky(_correlations(working, alpha, each.visits)))
        found[..., each.rows] = np.einsum("cij,...cj->...ci", L[each.which], columns[..., each.rows])
    return found


def _visit_margin(working: Working, alpha: FloatArray) -> float:
    matrices = (_correlations(working, alpha, each.visits) for each in working.patterns)
    return min(float(np.linalg.eigvalsh(R)[:, 0].min()) for R in matrices)


def _visit_matrices(working: Working, alpha: FloatArray, rows: IntArray) -> FloatArray:
    return _correlations(working, alpha, working.layout.visits[rows])


def _no_margin(_working: Working, _alpha: FloatArray) -> float:
    return 1.0


def _no_moments(_working: Working, _r: FloatArray) -> FloatArray:
    return np.empty(0)


def _unchanged(_working: Working, _alpha: FloatArray, columns: FloatArray) -> FloatArray:
    return columns


def _identities(_working: Working, _alpha: FloatArray, rows: IntArray) -> FloatArray:
    m = rows.shape[1]
    return np.broadcast_to(np.eye(m), (rows.shape[0], m, m))


@dataclass(frozen=True)
class _Structure:
    moments: Callable[[Working, FloatArray], FloatArray]
    whiten: Callable[[Working, FloatArray, FloatArray], FloatArray]
    margin: Callable[[Working, FloatArray], float]
    matrices: Callable[[Working, FloatArray, IntArray], FloatArray]


_VISITS = _Structure(_visit_moments, _visit_whiten, _visit_margin, _visit_matrices)
_STRUCTURES: Mapping[str, _Structure] = {
    "independence": _Structure(_no_moments, _unchanged, _no_margin, _identities),
    "exchangeable": _Structure(
        _exchangeable_moments, _exchangeable_whiten, _exchangeable_margin, _exchangeable_matrices
    ),
    "nested": _Structure(_nested_moments, _nested_whiten, _nested_margin, _nested_matrices),
    "ar1": _Structure(_ar1_moments, _ar1_whiten, _ar1_margin, _ar1_matrices),
    "unstructured": _VISITS,
    "m_dependent": _VISITS,
}
