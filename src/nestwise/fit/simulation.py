"""New outcomes from a fitted model, each set from a random stream of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.design.record import Design, RandomTerm
from nestwise.errors import Problem, Refusal
from nestwise.fit.optimise import lower_factor
from nestwise.fit.predictions import fixed_part
from nestwise.fit.solution import LmmSolution
from nestwise.seeds import seed_for

ResidualRoot = Callable[[FloatArray], FloatArray]
"""From n independent standard normal numbers to residuals with the model's covariance."""


def simulate(
    design: Design,
    solution: LmmSolution,
    n_sets: int,
    seed: int,
    groups: str = "new",
    *,
    first: int = 0,
    residual_root: ResidualRoot | None = None,
) -> FloatArray:
    """Outcomes drawn from a fit, at the rows of the design.

    Set k is drawn from a stream keyed on (seed, k): it is the same whichever sets are drawn with it.

    Parameters
    ----------
    design : Design
        Any number of grouping factors.
    solution : LmmSolution
        The parameters to draw from.
    n_sets : int
        Sets.
    seed : int
        Root of the streams.
    groups : str
        `new`: random effects are drawn anew; `known`: they stay at their predictions.
    first : int
        Number of the first set.
    residual_root : callable, optional
        Residuals of a model with a residual covariance; without it they are independent, with variance
        ``sigma^2 / w_i``, or the known ones of `design.sampling_error`.

    Returns
    -------
    ndarray (n_sets, n)
        On the scale of the outcome, the offset included.

    Raises
    ------
    Refusal
        If residuals are correlated and nobody says how to draw them.
    """
    draws = simulated_sets(design, solution, range(first, first + n_sets), seed, groups, residual_root)
    return np.array(list(draws)).reshape(n_sets, design.n)


def simulated_sets(  # noqa: PLR0917
    design: Design,
    solution: LmmSolution,
    sets: Sequence[int],
    seed: int,
    groups: str = "new",
    residual_root: ResidualRoot | None = None,
) -> Iterator[FloatArray]:
    """The sets of `simulate` one by one, for where all of them would not fit into memory."""
    if groups not in ("new", "known"):
        raise ValueError(f"groups is `new` or `known`, not {groups!r}")
    to_residuals = residual_root or _independent(design, solution)
    fixed = fixed_part(design, solution.beta)
    if groups == "known":
        expected = fixed + random_part(design, [effects.b for effects in solution.effects])
        for k in sets:
            yield expected + to_residuals(stream(seed, k).standard_normal(design.n))
        return
    roots = effect_roots(design, solution.Sigma)
    relations = [_relation_root(factor.terms[0]) for factor in design.factors]
    for k in sets:
        generator = stream(seed, k)
        b = []
        for factor, root, relation in zip(design.factors, roots, relations, strict=True):
            z = generator.standard_normal((factor.n_groups, root.shape[0]))
            b.append((z if relation is None else relation @ z) @ root.T)
        yield fixed + random_part(design, b) + to_residuals(generator.standard_normal(design.n))


def stream(seed: int, k: int) -> np.random.Generator:
    """Random stream of set k."""
    return np.random.Generator(np.random.PCG64(seed_for(seed, "set", k)))


def effect_roots(design: Design, Sigma: FloatArray) -> list[FloatArray]:
    """Lower triangular factor of the covariance of each grouping factor's effects."""
    return [lower_factor(Sigma[np.ix_(factor.columns, factor.columns)]) for factor in design.factors]


def random_part(design: Design, b: Sequence[FloatArray]) -> FloatArray:
    """``Z b`` (n,) over all grouping factors, memberships included.

    Parameters
    ----------
    design : Design
        The model.
    b : sequence of ndarray (J, q)
        Random effects of each factor, in the order of `design.factors`.
    """
    total = np.zeros(design.n)
    for factor, effects in zip(design.factors, b, strict=True):
        start = 0
        for term in factor.terms:
            stop = start + len(term.names)
            total += np.einsum("iq,iq->i", term.Z, _of_rows(term, effects[:, start:stop]))
            start = stop
    return total


def _of_rows(term: RandomTerm, b: FloatArray) -> FloatArray:
    """Effects (n, q) of each row's group, or the weighted sum of its groups."""
    if term.membership is None:
        rows: FloatArray = b[term.codes]
        return rows
    total = np.zeros((term.Z.shape[0], b.shape[1]))
    for codes, weights in zip(term.membership.codes.T, term.membership.weights.T, strict=True):
        total += weights[:, None] * b[codes]
    return total


def _relation_root(term: RandomTerm) -> FloatArray | None:
    return None if term.relation is None else lower_factor(term.relation)


def _independent(design: Design, solution: LmmSolution) -> ResidualRoot:
    if design.residual is not None:
        problem = Problem(
            "the residuals are correlated, and outcomes are drawn with independent ones only",
            design.formula,
            "leave `residual` out of the model to simulate from it",
        )
        raise Refusal(problem)
    if design.sampling_error is not None:
        spread: FloatArray | float = design.sampling_error
    elif design.weights is not None:
        spread = solution.sigma / np.sqrt(design.weights)
    else:
        spread = solution.sigma
    return lambda z: spread * z
