"""Outcomes after an intercurrent event as those of a reference arm would have been, and other assumptions.

With m and S the means and covariance of the subject's own arm, r and R those of the reference arm, each given
the subject's covariates, and k visits before the event:

- `mar`: m and S throughout;
- `j2r` (jump to reference): m before, r after; the covariance keeps S before and R's regression after it:
  ``V11 = S11, V21 = R21 R11^-1 S11, V22 = R22 - R21 R11^-1 (R11 - S11) R11^-1 R12``;
- `cir` (copy increments in reference): after the event ``m_k + r_t - r_k``, the covariance of `j2r`;
- `cr` (copy reference): r and R throughout;
- `lmcf` (last mean carried forward): m_k after the event, S throughout.

Without a visit before the event `j2r` and `cir` are `cr`, and `lmcf` is `mar`. Missing values are drawn, or
taken at their means, given all that is seen of the subject. Sources: Carpenter, Roger & Kenward (2013),
Journal of Biopharmaceutical Statistics 23; Wolbers et al. (2022), Pharmaceutical Statistics 21.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from nestwise.arrays import BoolArray, FloatArray, IntArray
from nestwise.errors import Problem, Refusal
from nestwise.imputation.repeated import Parameters, RepeatedData

Assumption = Literal["mar", "j2r", "cir", "cr", "lmcf"]
ASSUMPTIONS: tuple[str, ...] = get_args(Assumption)


@dataclass(frozen=True)
class Plan:
    """What is assumed of each subject.

    Attributes
    ----------
    before : ndarray (n,)
        Visits before the subject's event; T without one.
    assumption : tuple of str, length n
        Of `ASSUMPTIONS`; of no consequence without an event.
    reference : int
        The reference arm.
    delta : ndarray (n, T) or None
        Added to values that are imputed at or after the event.
    fixed : ndarray (n, T) or None
        Values that stand for outcomes after an event, as of a failure; NaN elsewhere.
    """

    before: IntArray
    assumption: tuple[str, ...]
    reference: int
    delta: FloatArray | None = None
    fixed: FloatArray | None = None


def refuse_plan(data: RepeatedData, plan: Plan) -> None:
    """Refuse plans that do not go with the data, all problems at once."""
    n, T = data.Y.shape
    problems = [
        Problem(
            f"{name} is no assumption about what follows an event", "missing", f"use {', '.join(ASSUMPTIONS)}"
        )
        for name in dict.fromkeys(plan.assumption)
        if name not in ASSUMPTIONS
    ]
    if not 0 <= plan.reference < data.arms:
        problems.append(Problem("the reference arm has no subjects", "missing.arm", "name one of the arms"))
    if len(plan.assumption) != n or plan.before.shape != (n,):
        problems.append(Problem("there is not one plan a subject", "missing", "give one to each"))
    elif (plan.before < 0).any() or (plan.before > T).any():
        problems.append(
            Problem(f"an event is not between visits 0 and {T}", "missing", "count the visits before it")
        )
    if plan.delta is not None and (plan.delta.shape != (n, T) or not np.isfinite(plan.delta).all()):
        problems.append(
            Problem("delta is not one number a subject and visit", "missing.delta", "fill it with 0")
        )
    if problems:
        raise Refusal(problems)


def means(own: FloatArray, reference: FloatArray, before: int, assumption: str) -> FloatArray:
    """Means (..., T) under an assumption, from those of the own and the reference arm (..., T)."""
    if assumption == "mar" or (assumption == "lmcf" and before == 0):
        return own.copy()
    if assumption == "cr" or before == 0:
        return reference.copy()
    found, last = own.copy(), slice(before - 1, before)
    after = slice(before, None)
    if assumption == "j2r":
        found[..., after] = reference[..., after]
    elif assumption == "cir":
        found[..., after] = own[..., last] + reference[..., after] - reference[..., last]
    else:
        found[..., after] = own[..., last]
    return found


def covariance(own: FloatArray, reference: FloatArray, before: int, assumption: str) -> FloatArray:
    """Covariance (T, T) under an assumption."""
    if assumption in ("mar", "lmcf"):
        return own.copy()
    if assumption == "cr" or before == 0:
        return reference.copy()
    k = before
    slope = np.linalg.solve(reference[:k, :k], reference[:k, k:]).T
    found = np.empty_like(own)
    found[:k, :k] = own[:k, :k]
    found[k:, :k] = slope @ own[:k, :k]
    found[:k, k:] = found[k:, :k].T
    found[k:, k:] = reference[k:, k:] - slope @ (reference[:k, :k] - own[:k, :k]) @ slope.T
    return found


@dataclass(frozen=True)
class _Group:
    """Subjects with the same arm, assumption, event and pattern."""

    rows: IntArray
    arm: int
    assumption: str
    before: int
    seen: BoolArray


def _groups(data: RepeatedData, plan: Plan) -> list[_Group]:
    seen = ~np.isnan(data.Y)
    names = np.array([ASSUMPTIONS.index(name) for name in plan.assumption])
    names = np.where(plan.before >= data.Y.shape[1], 0, names)
    keys, which = np.unique(
        np.column_stack([data.arm, names, plan.before, seen]), axis=0, return_inverse=True
    )
    return [
        _Group(
            np.flatnonzero(which.ravel() == at),
            int(a),
            ASSUMPTIONS[int(name)],
            int(k),
            np.array(rest, dtype=bool),
        )
        for at, (a, name, k, *rest) in enumerate(keys)
        if not all(rest)
    ]


def complete(data: RepeatedData, plan: Plan, at: Parameters, rng: np.random.Generator | None) -> FloatArray:
    """Outcomes (n, T) with their gaps drawn, or at their conditional means.

    Parameters
    ----------
    data : RepeatedData
        Outcomes; all that are there are kept and conditioned on.
    plan : Plan
        What is assumed of each subject.
    at : Parameters
        A posterior draw, or estimates.
    rng : Generator or None
        `None` for conditional means.

    Raises
    ------
    Refusal
        See `refuse_plan`.
    """
    refuse_plan(data, plan)
    own = data.D() @ at.B
    reference = data.D(np.full_like(data.arm, plan.reference)) @ at.B
    found = data.Y.copy()
    for group in _groups(data, plan):
        seen, gone = np.flatnonzero(group.seen), np.flatnonzero(~group.seen)
        mu = means(own[group.rows], reference[group.rows], group.before, group.assumption)
        V = covariance(at.Sigma[group.arm], at.Sigma[plan.reference], group.before, group.assumption)
        slope = np.linalg.solve(V[np.ix_(seen, seen)], V[np.ix_(seen, gone)]).T
        left = data.Y[np.ix_(group.rows, seen)] - mu[:, seen]
        values = mu[:, gone] + left @ slope.T
        if rng is not None:
            spread = V[np.ix_(gone, gone)] - slope @ V[np.ix_(seen, gone)]
            values = values + rng.standard_normal(values.shape) @ np.linalg.cholesky(spread).T
        found[np.ix_(group.rows, gone)] = values
    if plan.delta is not None:
        after = np.arange(found.shape[1]) >= plan.before[:, None]
        found += np.where(np.isnan(data.Y) & after, plan.delta, 0.0)
    return found if plan.fixed is None else np.where(np.isnan(plan.fixed), found, plan.fixed)


def delta_table(
    data: RepeatedData, before: IntArray, delta: FloatArray, *, accumulating: bool = False
) -> FloatArray:
    """Deltas (n, T) by arm and visit, for `Plan.delta`.

    Parameters
    ----------
    data, before
        The subjects and their visits before the event.
    delta : ndarray (A, T) or (A,)
        By arm and visit, or the same at every visit.
    accumulating : bool
        Whether the deltas of all visits since the event add up.
    """
    T = data.Y.shape[1]
    table = np.broadcast_to(delta[:, None] if delta.ndim == 1 else delta, (data.arms, T))[data.arm]
    after = np.arange(T) >= before[:, None]
    found = np.where(after, table, 0.0)
    return np.cumsum(found, axis=1) if accumulating else found
