"""Drop-out: how many are still observed at each visit, and how those did who left."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from nestwise.arrays import FloatArray, IntArray
from nestwise.missing.patterns import ALL, Attendance
from nestwise.missing.plan import Arms
from nestwise.missing.schedule import Schedule
from nestwise.missing_vocabulary import COHORT_MEANS, DROPOUT
from nestwise.results import conform


def wilson(count: int, n: int, level: float) -> tuple[float, float]:
    """Wilson's interval of a proportion; inside 0 and 1 whatever the count."""
    from scipy.special import ndtri

    z = float(ndtri((1 + level) / 2))
    centre = (count + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * np.sqrt(count * (n - count) / n + z * z / 4)
    return max(0.0, centre - half) if count else 0.0, min(1.0, centre + half) if count < n else 1.0


def dropout_table(
    planned: Schedule, outcome: str, found: Attendance, arms: Arms | None, level: float = 0.95
) -> pl.DataFrame:
    """Subjects still observed at each visit, for all and by arm.

    Everybody has the same schedule, so that nobody is censored: the product-limit estimate of staying is
    the plain proportion of those seen at the visit or later.

    Parameters
    ----------
    planned : Schedule
    outcome : str
    found : Attendance
    arms : Arms or None
    level : float
        Coverage of the intervals.

    Returns
    -------
    DataFrame
        In the schema DROPOUT.
    """
    rows = []
    for arm, who in _by_arm(arms, found.last.size):
        last, seen = found.last[who], found.seen[who]
        n = int(last.size)
        for t in range(planned.T):
            at_risk, remaining = int((last >= t - 1).sum()), int((last >= t).sum())
            lower, upper = wilson(remaining, n, level)
            rows.append(
                _of_visit(planned, outcome, arm, t)
                | {
                    "n": n,
                    "observed": int(seen[:, t].sum()),
                    "at_risk": at_risk,
                    "left": at_risk - remaining,
                    "hazard": (at_risk - remaining) / at_risk if at_risk else None,
                    "remaining": remaining,
                    "proportion": remaining / n,
                    "lower": lower,
                    "upper": upper,
                    "level": level,
                }
            )
    return conform(pl.DataFrame(rows, schema=dict(DROPOUT)), DROPOUT)


def cohort_means(
    planned: Schedule, outcome: str, y: FloatArray, found: Attendance, arms: Arms | None
) -> pl.DataFrame:
    """Observed means by the visit at which subjects were seen last.

    If leaving does not depend on the outcome, cohorts differ by chance only.

    Parameters
    ----------
    planned : Schedule
    outcome : str
    y : ndarray (N, T)
        Outcome, NaN where missing.
    found : Attendance
    arms : Arms or None

    Returns
    -------
    DataFrame
        In the schema COHORT_MEANS; the cohort of those seen at the last visit is called `completed`.
    """
    rows = []
    for arm, who in _by_arm(arms, found.last.size):
        last, values = found.last[who], y[who]
        for cohort in np.unique(last[last >= 0]).tolist():
            own = values[last == cohort]
            label = "completed" if cohort == planned.T - 1 else planned.labels[cohort]
            for t in range(cohort + 1):
                known = own[np.isfinite(own[:, t]), t]
                n = known.size
                rows.append(
                    _of_visit(planned, outcome, arm, t)
                    | {
                        "cohort": label,
                        "last": cohort,
                        "n": n,
                        "mean": float(known.mean()) if n else None,
                        "std_error": float(known.std(ddof=1) / np.sqrt(n)) if n > 1 else None,
                    }
                )
    return conform(pl.DataFrame(rows, schema=dict(COHORT_MEANS)), COHORT_MEANS)


def _of_visit(planned: Schedule, outcome: str, arm: str, t: int) -> dict[str, Any]:
    return {
        "study": planned.study,
        "outcome": outcome,
        "arm": arm,
        "visit": planned.labels[t],
        "position": t,
        "time": float(planned.times[t]),
    }


def _by_arm(arms: Arms | None, n: int) -> list[tuple[str, IntArray]]:
    """Subjects of all arms, then of each."""
    everybody = [(ALL, np.arange(n))]
    if arms is None:
        return everybody
    return everybody + [(arm, np.flatnonzero(arms.codes == code)) for code, arm in enumerate(arms.labels)]
