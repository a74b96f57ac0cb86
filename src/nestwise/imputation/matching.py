"""Predictive mean matching: gaps are filled with observed values of rows with a similar prediction."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

_compiled: Any = njit(cache=True, nogil=True, error_model="numpy")

DONORS = 5
"""Rows a donor is drawn from, as in mice."""


@_compiled
def donors(rng, expected, drawn, count):  # type: ignore[no-untyped-def]
    """A donor for each gap among the `count` observed rows with the nearest prediction.

    Type 1 matching (van Buuren 2018, section 3.4.2): the predictions of observed rows are conditional means,
    those of gaps are drawn.

    Parameters
    ----------
    rng : numpy.random.Generator
    expected : ndarray (n,)
        Predictions of the observed rows.
    drawn : ndarray (r,)
        Predictions of the gaps.
    count : int
        Donors to choose from.

    Returns
    -------
    ndarray (r,)
        Places among the observed rows.
    """
    # rows with equal predictions (few predictors, many ties) are in random order, not in that of the file
    shuffled = rng.permutation(expected.shape[0])
    order = shuffled[np.argsort(expected[shuffled])]
    values = expected[order]
    n = values.shape[0]
    count = min(count, n)
    chosen = np.empty(drawn.shape[0], np.int64)
    for i in range(drawn.shape[0]):
        high = np.searchsorted(values, drawn[i])
        low = high
        while high - low < count:
            if low == 0:
                high += 1
            elif high == n or drawn[i] - values[low - 1] <= values[high] - drawn[i]:
                low -= 1
            else:
                high += 1
        chosen[i] = order[low + int(rng.random() * count)]
    return chosen
