"""Intervals of the standard deviations and correlations of a generalised linear mixed model.

Profile intervals: the quantity is held fixed, the likelihood at the points of the fit maximised over
everything else, and the interval holds the values at which it lies at most ``chi2_1(level) / 2`` below the
maximum. As in `profile`, a term's effects are ordered such that the first diagonal element of the Cholesky
factor is the standard deviation in question.

Where that would take too long, Wald intervals on the log scale (of standard deviations) and on Fisher's z (of
correlations) stand in, and a warning says so (rule 6).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.design.record import Design
from nestwise.fit.approximation import Deviance
from nestwise.fit.generalised import GlmmSolution
from nestwise.fit.glm import Rows, aux_of
from nestwise.fit.limits import Interval, Quantity, Value, limits
from nestwise.fit.optimise import triangular
from nestwise.fit.points import Optimum

MOST_WORK = 3e5
"""Rows times nodes beyond which profiles, of some hundred evaluations each, are left out."""
ZERO = 1e-8
"""A standard deviation below this has no correlations."""
NUDGE = 0.03
"""Elements of the factor closer to zero than this start from here: zero is a stationary point by symmetry."""

Key = tuple[str, ...]


def covariance_intervals(
    design: Design, rows: Rows, optimum: Optimum, solution: GlmmSolution, level: float, *, brief: bool = False
) -> tuple[Mapping[Key, Interval], str | None]:
    """Intervals of all standard deviations and correlations, and what to say of them.

    Parameters
    ----------
    design, rows, optimum, solution
        The model, its data and its estimates.
    level : float
        Coverage.
    brief : bool
        Wald intervals, which take no time, and nothing to say of them.

    Returns
    -------
    intervals : mapping
        ``("sd", group, name)`` and ``("cor", group, a, b)``.
    note : str or None
        A sentence where the intervals are not profiles.
    """
    if not optimum.minimum.converged:
        return {}, None
    if brief:
        return {} if solution.singular else _wald(design, solution, level), None
    if rows.work(optimum.points) <= MOST_WORK:
        return _profiles(design, rows, optimum, level), None
    if solution.singular:
        return {}, None
    note = (
        "Intervals of standard deviations are Wald intervals on the log scale: with so many rows or points "
        "profiles would take longer than the fit."
    )
    return _wald(design, solution, level), note


def _wald(design: Design, solution: GlmmSolution, level: float) -> dict[Key, Interval]:
    from scipy.special import ndtri

    z = float(ndtri((1 + level) / 2))
    at = {name: i for i, name in enumerate(solution.covariance_names)}
    found: dict[Key, Interval] = {}
    start = 0
    for term in design.random:
        for i, name in enumerate(term.names):
            var, place = solution.Sigma[start + i, start + i], at[f"var:{term.group}:{name}"]
            half = z * np.sqrt(solution.covariance[place, place]) / (2 * var)
            sd = np.sqrt(var)
            found["sd", term.group, name] = Interval(sd * np.exp(-half), sd * np.exp(half))
            for k in range(i) if term.correlated else ():
                other = term.names[k]
                places = [place, at[f"var:{term.group}:{other}"], at[f"cov:{term.group}:{other}:{name}"]]
                var_k, cov = solution.Sigma[start + k, start + k], solution.Sigma[start + i, start + k]
                r = cov / np.sqrt(var * var_k)
                slope = np.array([-r / (2 * var), -r / (2 * var_k), 1 / np.sqrt(var * var_k)])
                error = np.sqrt(slope @ solution.covariance[np.ix_(places, places)] @ slope)
                half = z * error / (1 - r**2)
                ends = np.tanh(np.arctanh(r) + np.array([-half, half]))
                found["cor", term.group, other, name] = Interval(float(ends[0]), float(ends[1]))
        start += len(term.names)
    return found


def _profiles(design: Design, rows: Rows, optimum: Optimum, level: float) -> dict[Key, Interval]:
    from scipy.special import ndtri

    rise = float(ndtri((1 + level) / 2) ** 2)
    unit = _Unit(rows, optimum)
    found: dict[Key, Interval] = {}
    start = 0
    for term in design.random:
        q = len(term.names)
        for i, name in enumerate(term.names):
            order = [start + i, *(start + k for k in range(q) if k != i)] if term.correlated else [start + i]
            own = limits(*_sd_family(unit, order), rise)
            found["sd", term.group, name] = own
            for k in range(i) if term.correlated else ():
                sds = unit.sd[[start + k, start + i]]
                if (sds <= ZERO).any():
                    continue
                if own.lower == 0 or found["sd", term.group, term.names[k]].lower == 0:
                    interval = Interval(-1.0, 1.0)  # where an SD may be 0 any correlation fits
                else:
                    pair = [start + k, start + i, *(start + h for h in range(q) if h not in (k, i))]
                    interval = limits(*_cor_family(unit, pair), rise)
                found["cor", term.group, term.names[k], name] = interval
        start += q
    return found


class _Unit:
    """The optimum as profiles start from it."""

    def __init__(self, rows: Rows, optimum: Optimum) -> None:
        self.rows = rows
        self.deviance = Deviance(rows, optimum.points)
        self.beta, self.L, self.raw = self.deviance.parts(optimum.at)
        self.sd: FloatArray = np.sqrt(((rows.T_Z @ self.L) ** 2).sum(axis=1))

    def basis(self, effects: list[int]) -> FloatArray:
        """From working effects to effects of which those in question are the formula's own."""
        P = np.eye(self.rows.pattern.q)
        P[effects] = self.rows.T_Z[effects]
        return P

    def others(self) -> FloatArray:
        """Fixed effects and auxiliary parameters at the optimum."""
        return np.concatenate([self.beta, self.raw])

    def evaluate(self, others: FloatArray, L: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Deviance, its gradient by `others` and by every element of L (q, q)."""
        p = self.beta.size
        found = self.deviance.evaluate(others[:p], L, others[p:])
        jacobian = aux_of(self.rows.given, others[p:])[1]
        by_others = np.concatenate([found.beta, jacobian.T @ found.aux])
        return -2 * found.value, -2 * by_others, -2 * found.L


def _ordered(unit: _Unit, order: list[int], effects: list[int]) -> tuple[FloatArray, FloatArray]:
    P = unit.basis(effects)
    root = P @ unit.L
    block = np.ix_(order, sorted(order))
    root[block] = triangular(root[block])
    return root, np.linalg.inv(P)


def _positions(unit: _Unit, order: list[int], skip: int) -> tuple[list[int], list[int]]:
    """Free elements of the factor but the first `skip` rows of `order`, and those of all other terms."""
    columns = sorted(order)
    free = [(order[i], columns[k]) for i in range(skip, len(order)) for k in range(i + 1)]
    pattern = unit.rows.pattern
    free += [
        (row, col)
        for row, col in zip(pattern.rows.tolist(), pattern.cols.tolist(), strict=True)
        if row not in order
    ]
    return [row for row, _ in free], [col for _, col in free]


def _nudged(elements: FloatArray) -> FloatArray:
    near = np.abs(elements) < NUDGE
    return np.where(near, np.where(elements < 0, -NUDGE, NUDGE), elements)


def _sd_family(unit: _Unit, order: list[int]) -> tuple[Quantity, float]:
    """Standard deviation of the first effect of `order`, everything else beside it; the deviance at it."""
    first, column = order[0], min(order)
    base, back = _ordered(unit, order, order[:1])
    rows, cols = _positions(unit, order, 1)
    free = len(rows)

    def value(psi: float) -> Value:
        def at(phi: FloatArray) -> tuple[float, FloatArray]:
            root = base.copy()
            root[first, column] = psi
            root[rows, cols] = phi[:free]
            deviance, by_others, by_L = unit.evaluate(phi[free:], back @ root)
            return deviance, np.append((back.T @ by_L)[rows, cols], by_others)

        return at

    sd, elements, others = float(unit.sd[first]), base[rows, cols], unit.others()
    optimum = value(sd)(np.append(elements, others))[0]
    return Quantity(sd, np.append(_nudged(elements), others), value, 0.0, np.inf), optimum


def _cor_family(unit: _Unit, order: list[int]) -> tuple[Quantity, float]:
    """Correlation of the first two effects of `order`, everything else beside it; the deviance at it."""
    (first, second), (left, right) = order[:2], sorted(order)[:2]
    base, back = _ordered(unit, order, order[:2])
    rows, cols = _positions(unit, order, 2)
    free = 2 + len(rows)

    def value(psi: float) -> Value:
        along = np.array([psi, np.sqrt(max(1 - psi**2, 0.0))])

        def at(phi: FloatArray) -> tuple[float, FloatArray]:
            root = base.copy()
            sds = np.exp(phi[:2])  # logarithms, because a negative one would be the opposite correlation
            root[first, left] = sds[0]
            root[second, [left, right]] = sds[1] * along
            root[rows, cols] = phi[2:free]
            deviance, by_others, by_L = unit.evaluate(phi[free:], back @ root)
            by_root = back.T @ by_L
            by_sds = sds * np.array([by_root[first, left], by_root[second, [left, right]] @ along])
            return deviance, np.concatenate([by_sds, by_root[rows, cols], by_others])

        return at

    rho = float(np.clip(base[second, left] / unit.sd[second], -1, 1))
    sds, elements, others = np.log(unit.sd[[first, second]]), base[rows, cols], unit.others()
    optimum = value(rho)(np.concatenate([sds, elements, others]))[0]
    start = np.concatenate([sds, _nudged(elements), others])
    return Quantity(rho, start, value, -1.0, 1.0), optimum
