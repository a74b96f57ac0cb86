"""Who leaves a study, and whether the outcome seen last says so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestwise.arrays import FloatArray, IntArray
from nestwise.design.record import Design

LARGEST = 30.0
"""Log odds ratios beyond this are infinite: the outcome separates who leaves from who stays."""


@dataclass(frozen=True)
class Dropout:
    """A logistic model of leaving after a visit.

    Attributes
    ----------
    group : str
        What the clusters are called.
    clusters, left : int
        How many there are, and how many left before the last visit.
    estimate, std_error, statistic, p_value : float
        Log odds ratio of leaving for one step of the outcome, its error and Wald z test.
    step : str
        What one step is: `event` of a binary outcome, `standard deviation` of any other.
    """

    group: str
    clusters: int
    left: int
    estimate: float
    std_error: float
    statistic: float
    p_value: float
    step: str


def dropout_model(design: Design, times: FloatArray | None, group: str) -> Dropout | str:
    """Fit leaving after each visit by the outcome at that visit, its number and the columns of X.

    A cluster left early if it has fewer rows than the fullest ones and was last seen before any of these was
    last seen. Rows after which nobody can leave are not asked. The discrete-time hazards of a cluster are
    independent given the past, so that one logistic regression over all its visits is valid.

    Parameters
    ----------
    design : Design
        The model; the first factor that holds rows over time are its clusters.
    times : ndarray (n,) or None
        Time of each row.
    group : str
        What a cluster is called.

    Returns
    -------
    Dropout or str
        A sentence where the model cannot be asked, or nobody left.
    """
    if times is None:
        return "The study names no time: leaving cannot be told from having few rows."
    factor = max(design.factors, key=lambda each: each.n_groups)
    order = np.lexsort((times, factor.codes))
    codes, t = factor.codes[order], times[order]
    visit, sizes, last = _visits(codes)
    full = int(sizes.max())
    if full < 2:
        return f"Every {group} has one row: nobody was seen twice, and leaving cannot be judged."
    ends = t[last]
    early = (sizes < full) & (ends < ends[sizes == full].min())
    if not early.any():
        return f"Every {group} was seen to the end: nobody left early, so leaving cannot matter."
    leaves = np.zeros(len(codes))
    leaves[last[early]] = 1.0
    asked = np.ones(len(codes), dtype=bool)
    asked[last[~early]] = False
    y, step = _outcome(design, order)
    from nestwise.missing.hazard import Hazard, fit_hazard  # compiled code: slow to import

    names = {"outcome": y, "intercept": np.ones(len(y)), "visit": visit}
    columns = names | {f"x{i}": column for i, column in enumerate(design.X[order].T)}
    found = fit_hazard({name: column[asked] for name, column in columns.items()}, leaves[asked] == 0)
    if not isinstance(found, Hazard) or found.names[0] != "outcome" or abs(found.alpha[0]) > LARGEST:
        return "Leaving cannot be modelled: too few left, or the outcome separates those who did."
    from scipy.special import ndtr

    estimate, error = -float(found.alpha[0]), float(np.sqrt(found.covariance[0, 0]))
    z = estimate / error
    p = float(2 * ndtr(-abs(z)))
    return Dropout(group, len(sizes), int(early.sum()), estimate, error, z, p, step)


def _visits(codes: IntArray) -> tuple[FloatArray, IntArray, IntArray]:
    """Number of each row inside its cluster, rows of each cluster, and its last row."""
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    sizes = np.diff(np.append(starts, len(codes)))
    return (np.arange(len(codes)) - np.repeat(starts, sizes)).astype(float), sizes, starts + sizes - 1


def _outcome(design: Design, order: IntArray) -> tuple[FloatArray, str]:
    y = (design.y if design.trials is None else design.y / design.trials)[order]
    if design.family == "binomial":
        return y, "event"
    return (y - y.mean()) / (y.std() or 1.0), "standard deviation"
