"""How many quadrature points a model needs: raised until its estimates no longer move, the table kept.

Each number of points is searched from the optimum of the last. Whether a number suffices is judged by one
Newton step at the next: where that would move no fixed effect by a noticeable part of its standard error,
no standard deviation by a noticeable part of itself and the log-likelihood hardly, the smaller number
stands (rule 9).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.fit.approximation import Descended, Deviance, descend
from nestwise.fit.glm import PooledGlm, Rows
from nestwise.fit.search import Minimum, minimise, prove
from nestwise.likelihood.crossed_rows import CrossedRows
from nestwise.likelihood.grouped_rows import GroupedRows

POINTS = (1, 5, 9, 15, 25, 35, 51)
"""Nodes in each dimension, in the order in which they are tried; 1 is Laplace's approximation."""
FIRST_JUDGED = 5
"""Laplace's approximation is never held to be stable: its error is not seen by adding few points only."""
MOST_WORK = 1.5e8
"""Rows times nodes beyond which no more points are tried: an evaluation then takes half a minute."""
STABLE_EFFECT = 5e-3
"""Share of its standard error by which a fixed effect may still move."""
STABLE_SD = 1e-3
"""Share of itself by which a standard deviation may still move."""
STABLE_LOG_LIKELIHOOD = 5e-3
"""By how much the log-likelihood may still move."""
MANY_GROUPS = 1000
"""Their gradients tell the curvature to some percent, which no few steps of a search do."""
CLEAR = 20
"""Times as much as it may move: then a number of points is not searched to the end."""
ROUGH = 1e-4
"""Decrement of the deviance at which the search with too few points ends."""
JUDGED = 1e-7
"""Decrement at which a number of points is judged: two orders below what counts as a move."""
FINE = 1e-10
"""Decrement of the deviance at which the search proper ends."""


@dataclass(frozen=True)
class Optimum:
    """The estimates, in the vector of `approximation.Deviance`.

    Attributes
    ----------
    deviance : Deviance
        The function that was minimised, with its number of points.
    minimum : Minimum
        Where, with the Hessian and the verdict.
    stable : bool
        Whether more points would change nothing that matters.
    table : tuple of dict
        One row a number of points: `points`, `log_likelihood`, `fixed`, `sd`, `auxiliary`, `searched`.
    record : dict
        Every run of the search.
    """

    deviance: Deviance
    minimum: Minimum
    stable: bool
    table: tuple[dict[str, Any], ...]
    record: dict[str, Any]

    @property
    def points(self) -> int:
        """Nodes in each dimension."""
        return self.deviance.points

    @property
    def at(self) -> FloatArray:
        """The parameters (k,)."""
        return self.minimum.at


def optimise_glmm(rows: Rows, glm: PooledGlm, points: Sequence[int] = POINTS) -> Optimum:
    """Maximise the likelihood with as many points as it takes.

    Parameters
    ----------
    rows : GroupedRows
        The data.
    glm : PooledGlm
        The model without groups.
    points : sequence of int
        Points in each dimension that may be tried, in increasing order; (1, 25) searches with 25 at once.
    """
    crossed = isinstance(rows, CrossedRows)
    ladder = [each for each in points if each == points[0] or (not crossed and rows.work(each) <= MOST_WORK)]
    here = _first(rows, glm)
    table: list[dict[str, Any]] = []
    before: tuple[Deviance, Descended] | None = None
    for each in ladder:
        deviance = Deviance(rows, each, last_modes=None if before is None else before[0].last_modes)
        if before is not None and before[0].points >= FIRST_JUDGED:
            moved = _moved(deviance, before[1])
            if not _clear(before[1], moved):
                before = before[0], descend(before[0], before[1], JUDGED)
                table[-1] = _row(before[0], before[1].at, before[1].value)
                moved = _moved(deviance, before[1])
            if _negligible(rows, before[1], moved):
                row = _row(deviance, moved.at, moved.value) | {"searched": False}
                return _optimum(*before, (*table, row), stable=True)
            here = moved
        if before is not None:
            here = _raised(deviance, here)
        passing = each <= FIRST_JUDGED and each != ladder[-1]
        here = descend(deviance, here, ROUGH if passing else JUDGED)
        table.append(_row(deviance, here.at, here.value))
        before = deviance, here
    assert before is not None
    return _optimum(*before, tuple(table), stable=False)


def _optimum(
    deviance: Deviance, here: Descended, table: tuple[dict[str, Any], ...], *, stable: bool
) -> Optimum:
    minimum = _proved(deviance, descend(deviance, here, FINE).at)
    kept = [row for row in table if row["points"] != deviance.points]
    final = _row(deviance, minimum.at, minimum.value)
    table = tuple(sorted([*kept, final], key=lambda row: int(row["points"])))
    return Optimum(deviance, minimum, stable, table, {**minimum.record, "points": deviance.points})


def _first(rows: Rows, glm: PooledGlm) -> Descended:
    """The pooled model beside the best multiple of the identity, with the information there."""
    deviance = Deviance(rows, 1)
    identity, nothing = rows.pattern.elements(np.eye(rows.pattern.q)), np.empty((0, 0))

    def at(size: float) -> Descended:
        start = np.concatenate([glm.beta, size * identity, glm.raw])
        try:
            return Descended(start, *deviance(start), nothing)
        except np.linalg.LinAlgError:
            return Descended(start, np.inf, np.zeros_like(start), nothing)

    middle = at(1.0)
    along = float(middle.gradient[glm.beta.size : glm.beta.size + identity.size] @ identity)
    tried = [middle, at(0.3 if along > 0 else 2.5)]
    if not np.isfinite([each.value for each in tried]).all():
        tried.append(at(2.5 if along > 0 else 0.3))
    best = min(tried, key=lambda each: each.value)
    information = 2 * deviance.information(best.at)
    # few groups leave directions that their scores do not span: what rows alone would tell holds there
    share = 1.0 if isinstance(rows, CrossedRows) else 0.1
    spread = np.full(best.at.size, float(rows.n))
    spread[glm.beta.size : glm.beta.size + rows.pattern.k] = _groups_behind(rows)
    spread[: glm.beta.size] = 1 / np.maximum(np.diag(glm.covariance), 1e-12)
    return replace(best, inverse=_inverse(information + share * np.diag(spread)))


def _groups_behind(rows: Rows) -> FloatArray:
    """How many groups tell of each free element of L (k,)."""
    if not isinstance(rows, CrossedRows):
        return np.full(rows.pattern.k, float(rows.J))
    of_column = np.empty(rows.pattern.q)
    for columns, J in rows.factors:
        of_column[list(columns)] = J
    return np.asarray(of_column[rows.pattern.rows])


def _inverse(hessian: FloatArray) -> FloatArray:
    values, vectors = np.linalg.eigh(hessian)
    floor = np.maximum(np.abs(values), 1e-6 * max(1e-6, float(np.abs(values).max())))
    return np.asarray((vectors / floor) @ vectors.T)


def _proved(deviance: Deviance, at: FloatArray) -> Minimum:
    """Newton steps and the verdict; the whole ladder of searches where they do not satisfy it."""
    found = prove(deviance, at)
    if found.converged:
        return found
    other = minimise(deviance, [("quadrature", at)])
    return min((found, other), key=lambda end: (not end.converged, end.value))


def _moved(deviance: Deviance, before: Descended) -> Descended:
    """Where one Newton step with another number of points leads, and the deviance it promises."""
    value, gradient = deviance(before.at)
    step = -before.inverse @ gradient
    promised = float(-gradient @ step)
    step = step / max(1.0, np.sqrt(promised) / 2)
    return Descended(before.at + step, value + float(gradient @ step) / 2, gradient, before.inverse)


def _raised(deviance: Deviance, here: Descended) -> Descended:
    """The same place with another number of points, and what many groups say of the curvature there."""
    rows, inverse = deviance.rows, here.inverse
    if isinstance(rows, GroupedRows) and rows.J >= MANY_GROUPS:
        inverse = _inverse(2 * deviance.information(here.at))
    return Descended(here.at, *deviance(here.at), inverse)


def _clear(before: Descended, moved: Descended) -> bool:
    """Whether the deviance moves by so much that a rough search is enough to see it."""
    return abs(moved.value - before.value) > CLEAR * STABLE_LOG_LIKELIHOOD


def _negligible(rows: Rows, before: Descended, moved: Descended) -> bool:
    p = rows.X.shape[0]
    to_formula = rows.T_X @ (moved.at[:p] - before.at[:p])
    std_error = np.sqrt(np.diag(rows.T_X @ (2 * before.inverse[:p, :p]) @ rows.T_X.T))
    sd, sd_moved = (_sd(rows, at) for at in (before.at, moved.at))
    size = np.maximum(sd, 1e-2 * float(sd.max(initial=0)) + 1e-4)
    return bool(
        (np.abs(to_formula) <= STABLE_EFFECT * std_error).all()
        and (np.abs(sd_moved - sd) <= STABLE_SD * size).all()
        and abs(moved.value - before.value) / 2 <= STABLE_LOG_LIKELIHOOD
    )


def _sd(rows: Rows, at: FloatArray) -> FloatArray:
    p, pattern = rows.X.shape[0], rows.pattern
    return np.asarray(np.sqrt(((rows.T_Z @ pattern.matrix(at[p : p + pattern.k])) ** 2).sum(axis=1)))


def _row(deviance: Deviance, at: FloatArray, value: float) -> dict[str, Any]:
    rows = deviance.rows
    p, k = rows.X.shape[0], rows.pattern.k
    return {
        "points": deviance.points,
        "nodes": deviance.points**rows.pattern.q,
        "log_likelihood": -value / 2,
        "fixed": dict(zip(rows.names, (rows.T_X @ at[:p]).tolist(), strict=True)),
        "sd": _sd(rows, at).tolist(),
        "auxiliary": at[p + k :].tolist(),
        "searched": True,
    }
