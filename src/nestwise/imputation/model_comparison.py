"""Two nested linear mixed models over m completed data sets, by their likelihoods: D3 and D4.

Both models are fitted by maximum likelihood whatever the designs ask for, so that fixed effects may differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.design.record import Design, RandomTerm
from nestwise.errors import Problem, Refusal
from nestwise.fit.solution import LmmSolution
from nestwise.fit.state import several_levels, solve_lmm
from nestwise.imputation.joint_tests import (
    JointTest,
    likelihood_ratio_test,
    robust_stacked_test,
    stacked_test,
)
from nestwise.imputation.rubin import enough


@dataclass(frozen=True)
class Comparison:
    """Two models over m completed data sets.

    Attributes
    ----------
    own : ndarray (2, m)
        Log-likelihoods of the larger and the smaller model in each imputation.
    stacked : (float, float)
        Those of all completed data sets as one, the groups of each kept apart, divided by m.
    D3 : JointTest or None
        At the averaged parameters; `None` with several grouping factors.
    D4, D4_robust : JointTest
        With the stacked data; the second is right if the larger model is false too.
    """

    own: FloatArray
    stacked: tuple[float, float]
    D3: JointTest | None
    D4: JointTest
    D4_robust: JointTest


def compare_models(larger: Sequence[Design], smaller: Sequence[Design]) -> Comparison:
    """Test what the larger model has beyond the smaller one.

    Parameters
    ----------
    larger, smaller : sequence of Design, length m
        The models on the same completed data sets, Gaussian.

    Raises
    ------
    Refusal
        With fewer than two imputations, models on different rows, or no further parameter.
    """
    enough(len(larger))
    pairs = list(zip(larger, smaller, strict=True))
    if any(one.analysis_hash != other.analysis_hash for one, other in pairs):
        what = "the models are not fitted to the same rows and outcomes"
        raise Refusal(Problem(what, smaller[0].formula, "give both the same completed data sets"))
    fits = [[_solved(design) for design in designs] for designs in (larger, smaller)]
    h = fits[0][0].n_parameters
    k = h - fits[1][0].n_parameters
    if k < 1:
        what = f"{larger[0].formula} has no parameter that the other model lacks"
        raise Refusal(Problem(what, smaller[0].formula, "put the larger model first"))
    own = np.array([[fit.log_likelihood for fit in row] for row in fits])
    full, null = (_solved(stack(designs)).log_likelihood / len(designs) for designs in (larger, smaller))
    ratios = 2 * (own[0] - own[1])
    averaged = None if any(several_levels(design) for design in larger) else _averaged(pairs, fits)
    return Comparison(
        own=own,
        stacked=(full, null),
        D3=None if averaged is None else likelihood_ratio_test(ratios, averaged, k),
        D4=stacked_test(ratios, 2 * (full - null), k),
        D4_robust=robust_stacked_test(own, (full, null), k, h),
    )


def _solved(design: Design) -> LmmSolution:
    return solve_lmm(replace(design, reml=False)).solution


def stack(designs: Sequence[Design]) -> Design:
    """Completed data sets as one, the groups of different imputations kept apart."""
    first = designs[0]

    def together(name: str) -> FloatArray | None:
        parts = [getattr(design, name) for design in designs]
        return None if parts[0] is None else np.concatenate(parts)

    random = tuple(
        _stacked_term([design.random[at] for design in designs]) for at in range(len(first.random))
    )
    y, X = (np.concatenate([getattr(design, name) for design in designs]) for name in ("y", "X"))
    return replace(
        first,
        y=y,
        X=X,
        rows=np.arange(y.size, dtype=np.int64),
        random=random,
        means=(),
        contextual=(),
        offset=together("offset"),
        weights=together("weights"),
        sampling_error=together("sampling_error"),
    )


def _stacked_term(terms: Sequence[RandomTerm]) -> RandomTerm:
    first = terms[0]
    if first.membership is not None or first.relation is not None:
        what = "completed data sets with related groups or several memberships are not stacked"
        raise Refusal(Problem(what, f"random effects of {first.group}", "use the Wald tests (D1)"))
    codes = np.concatenate([term.codes + i * first.n_groups for i, term in enumerate(terms)])
    labels = tuple(f"{i}:{label}" for i in range(len(terms)) for label in first.labels)
    return replace(first, Z=np.concatenate([term.Z for term in terms]), codes=codes, labels=labels)


def _averaged(pairs: Sequence[tuple[Design, Design]], fits: Sequence[Sequence[LmmSolution]]) -> FloatArray:
    """Likelihood ratios (m,), each model at its parameters averaged: beta, Sigma and sigma squared."""
    at = []
    for row in fits:
        beta = np.mean([fit.beta for fit in row], axis=0)
        Sigma = np.mean([fit.Sigma for fit in row], axis=0)
        at.append((beta, Sigma, float(np.mean([fit.sigma**2 for fit in row]))))
    values = [[log_likelihood(design, *at[i]) for i, design in enumerate(pair)] for pair in pairs]
    found = np.array(values)
    return np.asarray(2 * (found[:, 0] - found[:, 1]))


def log_likelihood(design: Design, beta: FloatArray, Sigma: FloatArray, variance: float) -> float:
    """Log-likelihood of a linear mixed model with one grouping factor at any parameters.

    Parameters
    ----------
    design : Design
        The model.
    beta : ndarray (p,)
        Fixed effects.
    Sigma : ndarray (q, q)
        Covariance of the random effects.
    variance : float
        Of a residual with weight 1.
    """
    values, vectors = np.linalg.eigh(Sigma / variance)
    root = vectors * np.sqrt(np.maximum(values, 0))
    weights = np.ones(design.n) if design.weights is None else design.weights
    Z, codes, J = design.Z @ root, design.random[0].codes, design.n_groups
    residual = design.y_less_offset - design.X @ beta
    q = Z.shape[1]
    ZZ = np.array([[np.bincount(codes, weights * Z[:, a] * Z[:, b], J) for a in range(q)] for b in range(q)])
    Zr = np.array([np.bincount(codes, weights * Z[:, a] * residual, J) for a in range(q)])
    M = np.moveaxis(ZZ, 2, 0) + np.eye(q)
    explained = np.einsum("qj,jq->", Zr, np.linalg.solve(M, Zr.T[:, :, None])[:, :, 0])
    square = (float(weights @ residual**2) - explained) / variance
    constant = design.n * np.log(2 * np.pi * variance) - np.log(weights).sum()
    return float(-(constant + np.linalg.slogdet(M)[1].sum() + square) / 2)
