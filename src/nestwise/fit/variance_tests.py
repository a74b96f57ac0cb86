"""Tests of whether a coefficient varies between groups at all.

The model is fitted again without the coefficient's variance and its covariances, with the same fixed part,
and twice the difference of the (restricted) log-likelihoods is held against the distribution it has when
the variance lies where it is tested, on the boundary (rule 6):

- in general ``0.5 chi2(c) + 0.5 chi2(c + 1)`` with c the covariances that go with the variance;
- for the only variance component of a model by REML the exact distribution in finite samples, simulated from
  its spectral form; the mixture, which is then conservative, where so few draws reach the statistic that they
  cannot tell its probability.

Sources: Self & Liang (1987), JASA 82; Stram & Lee (1994), Biometrics 50; Crainiceanu & Ruppert (2004),
Journal of the Royal Statistical Society B 66, as in RLRsim.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.design.record import Design, RandomTerm
from nestwise.errors import Refusal
from nestwise.fit.chi_bar import mixture_p_value
from nestwise.fit.state import LmmState, solve_lmm
from nestwise.results import Test
from nestwise.seeds import seed_for
from nestwise.vocabulary import INTERCEPT

DRAWS = 10_000
"""Draws of the simulated distribution: a p value of 0.05 is known to 0.002."""
FEWEST = 10
"""With fewer draws beyond the statistic the mixture tells its probability better."""
MOST_GROUPS = 2000
"""With more groups the mixture is close enough, and eigenvalues become costly."""
SAME = 1e-6
"""Rise of the deviance that counts as none."""


def variance_tests(design: Design, state: LmmState, seed: int) -> tuple[Test, ...]:
    """One likelihood-ratio test for each coefficient that varies.

    An intercept whose correlation with slopes is estimated is left out: that hypothesis depends on where the
    covariate is zero.

    Parameters
    ----------
    design : Design
        The model, without a residual covariance.
    state : LmmState
        Its maximised likelihood.
    seed : int
        Root seed of the study.

    Returns
    -------
    tuple of Test
        `test` is `variance`; no statistic where the smaller model could not be fitted.
    """
    rows = []
    for place, term in enumerate(design.random):
        for column, name in enumerate(term.names):
            together = len(term.names) if term.correlated else 1
            if together > 1 and name == INTERCEPT:
                continue
            reduced = without(design, place, column)
            rows.append(_test(design, state, reduced, term.group, name, together - 1, seed))
    return tuple(rows)


def without(design: Design, place: int, column: int) -> Design:
    """The design with one coefficient of a random term fixed; a term that loses all of them goes."""
    terms = list(design.random)
    term = terms[place]
    kept = [i for i in range(len(term.names)) if i != column]
    if kept:
        names = tuple(term.names[i] for i in kept)
        terms[place] = replace(term, names=names, Z=np.ascontiguousarray(term.Z[:, kept]))
    else:
        del terms[place]
    return replace(design, random=tuple(terms))


def _test(  # noqa: PLR0917 - the two models and the words of one row
    design: Design, state: LmmState, reduced: Design, group: str, name: str, covariances: int, seed: int
) -> Test:
    unanswered = Test("variance", name, None, None, group, covariances + 1)
    try:
        below = reduced_deviance(reduced)
    except Refusal as refusal:
        return replace(unanswered, reference=f"none: {refusal.problems[0].what}")
    if below is None or not state.optimum.converged:
        return replace(unanswered, reference="none: the search for one of the two optima did not end there")
    statistic = max(0.0, below - state.solution.deviance)
    statistic = 0.0 if statistic < SAME else statistic
    reference = f"0.5 chi2({covariances}) + 0.5 chi2({covariances + 1})"
    p_value = mixture_p_value(statistic, covariances)
    if not reduced.random and _simulated(design):
        draws = restricted_draws(design, seed_for(seed, design.study, design.model, "variance test", group))
        beyond = int((draws >= statistic).sum())
        if beyond >= FEWEST:
            p_value, reference = (1 + beyond) / (1 + DRAWS), f"restricted LRT, simulated ({DRAWS:,} draws)"
    return replace(unanswered, statistic=statistic, p_value=p_value, reference=reference)


def reduced_deviance(design: Design) -> float | None:
    """Deviance of the smaller model at its optimum, with all constants; `None` if the search failed."""
    if not design.random:
        return fixed_deviance(design)
    state = solve_lmm(design)
    return state.solution.deviance if state.optimum.converged else None


def fixed_deviance(design: Design) -> float:
    """Deviance (restricted if `design.reml`) of the fixed part alone, with all constants.

    Least squares with the prior weights; with known sampling errors nothing but beta is estimated.
    """
    root = row_scale(design)
    X, y = design.X * root[:, None], design.y_less_offset * root
    n, p = X.shape
    Q, R = np.linalg.qr(X)
    residual = y - Q @ (Q.T @ y)
    rss = float(residual @ residual)
    m = n - p if design.reml else n
    deviance = m * np.log(2 * np.pi) - 2 * float(np.log(root).sum())
    deviance += rss if design.sampling_error is not None else m * (1 + np.log(rss / m))
    if design.reml:
        deviance += 2 * float(np.log(np.abs(np.diag(R))).sum())
    return float(deviance)


def row_scale(design: Design) -> FloatArray:
    """What each row is multiplied by to have residuals of one variance (n,)."""
    if design.sampling_error is not None:
        return 1 / design.sampling_error
    return np.ones(design.n) if design.weights is None else np.sqrt(design.weights)


def _simulated(design: Design) -> bool:
    """Whether the exact distribution can be simulated: one component, by REML, sigma estimated."""
    term = design.random[0]
    plain = term.membership is None and term.relation is None and design.sampling_error is None
    return plain and design.reml and term.n_groups <= MOST_GROUPS


def restricted_draws(design: Design, seed: int, draws: int = DRAWS) -> FloatArray:
    """Draws (S,) of the restricted likelihood ratio when the only variance component is zero.

    With mu_s the eigenvalues of Z'(I - X (X'X)^-1 X')Z, w_s^2 independent chi-squares and lambda the ratio of
    variances, ``sup_lambda (n - p) log(sum w^2 / D) - sum log(1 + lambda mu_s)``,
    ``D = sum_s w_s^2 / (1 + lambda mu_s) + chi2(n - p - K)``: the supremum over a grid of log lambda, refined
    by the parabola through its best three points.

    Parameters
    ----------
    design : Design
        One random term with one coefficient.
    seed : int
        Of the stream.
    draws : int
        S.
    """
    mu, repeats = _eigenvalues(design, design.random[0])
    rng = np.random.Generator(np.random.PCG64(seed))
    df = design.n - design.X.shape[1]
    w2 = rng.chisquare(repeats, (draws, mu.size))
    rest = rng.chisquare(df - repeats.sum(), draws) if df > repeats.sum() else np.zeros(draws)
    total = w2.sum(axis=1) + rest
    lambdas = np.exp(np.linspace(-12, 10, 200)) / mu.mean()
    shrunk = w2 @ (1 / (1 + np.outer(mu, lambdas))) + rest[:, None]
    value = df * np.log(total[:, None] / shrunk) - repeats @ np.log1p(np.outer(mu, lambdas))
    best = np.clip(value.argmax(axis=1), 1, lambdas.size - 2)
    left, middle, right = (np.take_along_axis(value, best[:, None] + k, axis=1)[:, 0] for k in (-1, 0, 1))
    bend = left - 2 * middle + right
    peak = middle - np.where(bend < 0, (right - left) ** 2 / (8 * np.where(bend < 0, bend, -1.0)), 0.0)
    inside: FloatArray = np.maximum(
        np.where((middle >= left) & (middle >= right), peak, value.max(axis=1)), 0
    )
    return inside


def _eigenvalues(design: Design, term: RandomTerm) -> tuple[FloatArray, FloatArray]:
    """Distinct eigenvalues of Z'(I - H)Z that are not zero, and how often each occurs."""
    root = row_scale(design)
    z, J = term.Z[:, 0] * root, term.n_groups
    Q = np.linalg.qr(design.X * root[:, None])[0]
    ZQ = np.column_stack([np.bincount(term.codes, z * column, J) for column in Q.T])
    ZZ = np.bincount(term.codes, z * z, J)
    values = np.linalg.eigvalsh(np.diag(ZZ) - ZQ @ ZQ.T)
    values = values[values > 1e-9 * values[-1]]
    distinct = np.concatenate([[True], np.diff(values) > 1e-9 * values[-1]])
    repeats = np.diff(np.append(np.flatnonzero(distinct), values.size)).astype(float)
    return values[distinct], repeats
