"""Outcomes at T scheduled visits as one multivariate normal variable a subject: fitted, or drawn from.

``y_i = B'd_i + e_i``, ``e_i ~ N(0, Sigma_a)``: d_i has an indicator for each arm and baseline covariates, all
with effects of their own at every visit, and Sigma_a belongs to the arm (or is common). Gaps are missing at
random given what is seen of the subject.

- `fit_repeated`: ML or REML by the EM algorithm (Laird & Ware 1982), the answer of a mixed model for repeated
  measures with an unstructured covariance;
- `draw_repeated`: posterior draws by data augmentation under a flat prior for B and Jeffreys' for Sigma
  (Schafer 1997, Analysis of Incomplete Multivariate Data).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from nestwise.arrays import BoolArray, FloatArray, IntArray
from nestwise.errors import Problem, Refusal

TOLERANCE = 1e-9
"""Largest change of a covariance, relative to its variances, at which the EM algorithm ends."""
MOST_STEPS = 5000


@dataclass(frozen=True)
class RepeatedData:
    """Outcomes of n subjects at T visits.

    Attributes
    ----------
    Y : ndarray (n, T)
        Outcomes, NaN where missing.
    arm : ndarray (n,)
        Arm of each subject, 0 .. A-1.
    covariates : ndarray (n, c)
        Complete baseline covariates; c may be 0.
    common : bool
        Whether all arms have the same covariance.
    """

    Y: FloatArray
    arm: IntArray
    covariates: FloatArray
    common: bool = False

    @property
    def arms(self) -> int:
        """A."""
        return int(self.arm.max()) + 1

    @property
    def stratum(self) -> IntArray:
        """Covariance that each subject belongs to (n,)."""
        return np.zeros_like(self.arm) if self.common else self.arm

    def D(self, arm: IntArray | None = None) -> FloatArray:  # noqa: N802 - a matrix
        """Predictors (n, A + c) with every subject in its own arm, or in another."""
        return np.hstack([np.eye(self.arms)[self.arm if arm is None else arm], self.covariates])


@dataclass(frozen=True)
class Parameters:
    """B (A + c, T) and the covariances Sigma (A, T, T), one an arm even where they are common."""

    B: FloatArray
    Sigma: FloatArray


def refuse_repeated(data: RepeatedData) -> None:
    """Refuse what the model cannot be fitted to, all problems at once.

    Raises
    ------
    Refusal
        Visits that nobody of an arm has, arms too small for a covariance, incomplete covariates or such as
        follow from each other.
    """
    problems = []
    seen = ~np.isnan(data.Y)
    T = data.Y.shape[1]
    for a in range(data.arms):
        empty = np.flatnonzero(~seen[data.arm == a].any(axis=0))
        if empty.size:
            which = ", ".join(str(t + 1) for t in empty)
            what = f"nobody of arm {a + 1} has an outcome at visit {which}"
            problems.append(Problem(what, "visits", "leave the visit out"))
    sizes = np.bincount(data.stratum[seen.any(axis=1)])
    if sizes.min() < T + data.D().shape[1]:
        what = f"{sizes.min()} subjects are too few for a covariance of {T} visits"
        problems.append(Problem(what, "visits", "use one covariance for all arms, or fewer visits"))
    if not np.isfinite(data.covariates).all():
        problems.append(Problem("a baseline covariate is incomplete", "covariates", "impute it first"))
    elif np.linalg.matrix_rank(data.D()) < data.D().shape[1]:
        way_out = "leave out what follows from the others or from the arm"
        problems.append(Problem("baseline covariates follow from each other", "covariates", way_out))
    if problems:
        raise Refusal(problems)


@dataclass(frozen=True)
class Block:
    """Subjects of one covariance and pattern: `rows`, its `stratum`, and what they have `seen` (T,)."""

    rows: IntArray
    stratum: int
    seen: BoolArray


def blocks(seen: BoolArray, stratum: IntArray) -> Iterator[Block]:
    """Subjects that are treated alike, by covariance and pattern (n, T)."""
    keys, which = np.unique(np.column_stack([stratum, seen]), axis=0, return_inverse=True)
    for at, key in enumerate(keys):
        yield Block(np.flatnonzero(which.ravel() == at), int(key[0]), key[1:].astype(bool))


def fit_repeated(
    data: RepeatedData,
    *,
    reml: bool = True,
    start: Parameters | None = None,
    tolerance: float = TOLERANCE,
) -> Parameters:
    """Maximum likelihood or REML estimates.

    Parameters
    ----------
    data : RepeatedData
        Outcomes; subjects without any are left out.
    reml : bool
        Criterion.
    start : Parameters, optional
        Where to begin, e.g. the estimates with one subject more.
    tolerance : float
        Change at which the algorithm ends, see `TOLERANCE`.

    Raises
    ------
    Refusal
        See `refuse_repeated`; or if the algorithm does not end.
    """
    refuse_repeated(data)
    kept = ~np.isnan(data.Y).all(axis=1)
    Y, D, stratum = data.Y[kept], data.D()[kept], data.stratum[kept]
    parts = list(blocks(~np.isnan(Y), stratum))
    counts = np.bincount(stratum)
    if start is None:
        variances = np.nanvar(Y, axis=0)
        Sigma = np.array([np.diag(variances)] * counts.size)
    else:
        Sigma = start.Sigma[: counts.size].copy()
    for _ in range(MOST_STEPS):
        B, spread = _regression(Y, D, parts, Sigma)
        new = _second_moments(Y - D @ B, D, parts, Sigma, spread if reml else None) / counts[:, None, None]
        change = np.abs(new - Sigma).max() / np.abs(np.diagonal(new, axis1=1, axis2=2)).min()
        Sigma = new
        if change < tolerance:
            B, _ = _regression(Y, D, parts, Sigma)
            return Parameters(B, Sigma[np.zeros(data.arms, dtype=int)] if data.common else Sigma)
    what = "the covariance of the visits was not found: too little is seen of some of them together"
    raise Refusal(Problem(what, "visits", "use one covariance for all arms, or fewer visits"))


def _regression(
    Y: FloatArray, D: FloatArray, parts: list[Block], Sigma: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Generalised least squares: B (d, T), and the covariance of vec B, visit by visit (T d, T d)."""
    d, T = D.shape[1], Y.shape[1]
    K, h = np.zeros((T, d, T, d)), np.zeros((T, d))
    for part in parts:
        seen = np.flatnonzero(part.seen)
        P = np.linalg.inv(Sigma[part.stratum][np.ix_(seen, seen)])
        X = D[part.rows]
        K[np.ix_(seen, range(d), seen, range(d))] += np.einsum("tu,cd->tcud", P, X.T @ X)
        h[seen] += P @ Y[np.ix_(part.rows, seen)].T @ X
    spread = np.linalg.inv(K.reshape(T * d, T * d))
    return (spread @ h.ravel()).reshape(T, d).T, spread


def _second_moments(
    E: FloatArray, D: FloatArray, parts: list[Block], Sigma: FloatArray, spread: FloatArray | None
) -> FloatArray:
    """Expected ``sum e_i e_i'`` of each stratum given what is seen; with the doubt about B under REML."""
    total = np.zeros_like(Sigma)
    T, d = E.shape[1], D.shape[1]
    for part in parts:
        S, seen, gone = Sigma[part.stratum], np.flatnonzero(part.seen), np.flatnonzero(~part.seen)
        back = np.zeros((T, seen.size))
        back[seen] = np.eye(seen.size)
        back[gone] = S[np.ix_(gone, seen)] @ np.linalg.inv(S[np.ix_(seen, seen)])
        e = E[np.ix_(part.rows, seen)]
        moments = e.T @ e
        if spread is not None:
            X = D[part.rows]
            V = spread.reshape(T, d, T, d)[np.ix_(seen, range(d), seen, range(d))]
            moments = moments + np.einsum("tcud,cd->tu", V, X.T @ X)
        left = S[np.ix_(gone, gone)] - back[gone] @ S[np.ix_(seen, gone)]
        total[part.stratum] += back @ moments @ back.T
        total[part.stratum][np.ix_(gone, gone)] += part.rows.size * left
    return total


def draw_repeated(
    data: RepeatedData, m: int, seed: int, *, burn: int = 200, between: int = 20
) -> list[Parameters]:
    """Draw the parameters m times from their posterior, in one chain.

    Parameters
    ----------
    data : RepeatedData
        Outcomes; subjects without any take no part.
    m : int
        Draws; the first k are the same however many there are.
    seed : int
        Of the stream, from `seeds.seed_for`.
    burn, between : int
        Iterations, started at the REML estimates, before the first draw and from one to the next.

    Raises
    ------
    Refusal
        See `refuse_repeated`.
    """
    from nestwise.imputation.joint_kernels import fill  # compiled code: slow to import
    from nestwise.imputation.joint_steps import gaps_of, inverse_wishart

    at = fit_repeated(data)
    kept = ~np.isnan(data.Y).all(axis=1)
    Y, D, stratum = data.Y[kept].copy(), data.D()[kept], data.stratum[kept]
    Y[np.isnan(Y)] = (D @ at.B)[np.isnan(Y)]
    rows = [np.flatnonzero(stratum == a) for a in range(int(stratum.max()) + 1)]
    gaps = [gaps_of(np.isnan(data.Y[kept][of])) for of in rows]
    XX = [D[of].T @ D[of] for of in rows]
    rng, found = np.random.default_rng(seed), []
    B, precisions = at.B, [np.linalg.inv(at.Sigma[a]) for a in range(len(rows))]
    none = np.zeros((0, Y.shape[1]))
    for step in range(1, burn + (m - 1) * between + 1):
        for of, gap, P in zip(rows, gaps, precisions, strict=True):
            y = np.ascontiguousarray(Y[of].T)
            e = y - (D[of] @ B).T
            fill(
                y,
                e,
                np.zeros((0, of.size)),
                none,
                P,
                gap.patterns,
                gap.bounds,
                gap.order,
                rng.standard_normal(gap.cells),
            )
            Y[of] = y.T
        Sigma = []
        for of in rows:
            E = Y[of] - D[of] @ B
            Sigma.append(inverse_wishart(of.size, E.T @ E, rng))
        precisions = [np.linalg.inv(S) for S in Sigma]
        B = _drawn_regression([(Y[of], D[of]) for of in rows], XX, precisions, rng)
        if step >= burn and (step - burn) % between == 0:
            each = np.array(Sigma)
            found.append(Parameters(B, each[np.zeros(data.arms, dtype=int)] if data.common else each))
    return found


def _drawn_regression(
    parts: list[tuple[FloatArray, FloatArray]],
    XX: list[FloatArray],
    precisions: list[FloatArray],
    rng: np.random.Generator,
) -> FloatArray:
    """A draw of B (d, T) given complete outcomes and the covariances."""
    d, T = XX[0].shape[0], precisions[0].shape[0]
    K = np.sum([np.kron(P, each) for P, each in zip(precisions, XX, strict=True)], axis=0)
    h = np.sum([(P @ y.T @ X).ravel() for (y, X), P in zip(parts, precisions, strict=True)], axis=0)
    L = np.linalg.cholesky(K)
    draw = np.linalg.solve(L.T, np.linalg.solve(L, h) + rng.standard_normal(T * d))
    return np.ascontiguousarray(draw.reshape(T, d).T)


def without(data: RepeatedData, subject: int) -> RepeatedData:
    """The data with one subject less."""
    return replace(
        data,
        Y=np.delete(data.Y, subject, axis=0),
        arm=np.delete(data.arm, subject),
        covariates=np.delete(data.covariates, subject, axis=0),
    )
