"""Who leaves a study, and whether the outcome seen last says so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestwise.arrays import FloatArray, IntArray
from nestwise.design.record import Design

MOST_STEPS = 60
FLATTEST = 1e-8
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
    X = _columns(design.X[order], visit, y)
    found = _logistic(X[asked], leaves[asked])
    if found is None:
        return "Leaving cannot be modelled: too few left, or the outcome separates those who did."
    from scipy.special import ndtr

    z = found[0] / found[1]
    p = float(2 * ndtr(-abs(z)))
    return Dropout(group, len(sizes), int(early.sum()), found[0], found[1], z, p, step)


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


def _columns(X: FloatArray, visit: FloatArray, y: FloatArray) -> FloatArray:
    """Outcome, intercept, number of the visit, and the predictors that are no combination of these."""
    columns = [y, np.ones(len(y)), visit]
    for candidate in X.T:
        trial = np.column_stack([*columns, candidate])
        scale = np.sqrt((trial**2).sum(axis=0))
        if scale.all() and np.linalg.svd(trial / scale, compute_uv=False)[-1] > 1e-6:
            columns.append(candidate)
    return np.column_stack(columns)


def _logistic(X: FloatArray, y: FloatArray) -> tuple[float, float] | None:
    """First coefficient of a logistic regression and its standard error; `None` without an optimum."""
    from scipy.special import expit

    scale = np.sqrt((X**2).mean(axis=0))
    if not scale.all():
        return None
    X = X / scale
    beta = np.zeros(X.shape[1])
    for _ in range(MOST_STEPS):
        p = expit(X @ beta)
        information = X.T @ (X * (p * (1 - p))[:, None])
        if np.linalg.eigvalsh(information)[0] < FLATTEST * len(y):
            return None
        step = np.linalg.solve(information, X.T @ (y - p))
        beta = beta + step
        if np.abs(beta).max() > LARGEST * len(y):
            return None
        if np.abs(step).max() < 1e-9:
            error = float(np.sqrt(np.linalg.inv(information)[0, 0]))
            found = float(beta[0]) / float(scale[0]), error / float(scale[0])
            return found if abs(found[0]) < LARGEST else None
    return None
