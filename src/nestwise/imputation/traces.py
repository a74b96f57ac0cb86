"""Whether the chains of an imputation agree: R-hat over their last halves."""

from __future__ import annotations

import numpy as np

from nestwise.arrays import FloatArray

LIMIT = 1.1
"""R-hat above which chains have not mixed; chains of imputation are short, and 1.1 is what they can show."""

WORTH_SPLITTING = 10
"""Iterations kept from which chains are split, to see drift; halves of fewer say nothing of their spread."""


def r_hat(traces: FloatArray) -> FloatArray:
    """Potential scale reduction of several chains (Gelman et al. 2013, section 11.4), long ones split in two.

    Parameters
    ----------
    traces : ndarray (m, iterations, ...)
        The first half of the iterations is left out as warm-up.

    Returns
    -------
    ndarray (...)
        1 where nothing varies; infinite where every chain stands still at a value of its own.

    Raises
    ------
    ValueError
        With fewer than two chains or eight iterations.
    """
    m, iterations = traces.shape[:2]
    if m < 2 or iterations < 8:
        raise ValueError(f"R-hat needs two chains of eight iterations, not {m} of {iterations}")
    kept = traces[:, iterations // 2 :]
    length = kept.shape[1]
    half = length // 2 if length >= WORTH_SPLITTING else length
    halves = np.concatenate([kept[:, :half], kept[:, -half:]]) if half < length else kept
    within = halves.var(axis=1, ddof=1).mean(axis=0)
    between = halves.mean(axis=1).var(axis=0, ddof=1)
    total = (half - 1) / half * within + between
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.sqrt(total / within)
    return np.where(total <= 0, 1.0, np.where(within <= 0, np.inf, ratio))


def verdict(
    traces: FloatArray, variables: tuple[str, ...], traced: tuple[str, ...]
) -> tuple[dict[str, dict[str, float]], tuple[str, ...]]:
    """R-hat of everything traced, by variable; and the variables whose imputed values have not mixed.

    Parameters
    ----------
    traces : ndarray (m, iterations, variables, traced)
        Of all chains.
    variables, traced : tuple of str
        Names of the last two axes.
    """
    values = r_hat(traces)
    table = {
        name: dict(zip(traced, map(float, values[place]), strict=True))
        for place, name in enumerate(variables)
    }
    unmixed = [name for name, row in table.items() if max(row["mean"], row["sd"]) > LIMIT]
    return table, tuple(unmixed)
