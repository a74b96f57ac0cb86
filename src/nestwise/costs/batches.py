"""Work that is split: imputations, folds, refits in batches, so that a job lasts minutes and not seconds.

A batch is named ``FIRST-LAST``, counted from 1, which serves as a wildcard of a rule. What is drawn must
depend on the number of the draw alone, never on its batch: then any split folds into the same whole.
`benchmarks/bootstrap.smk` is an example.
"""

from __future__ import annotations

from itertools import pairwise

LASTING = 300.0
"""Seconds that a batch should take: starting a job on a cluster takes some ten."""


def batch_size(seconds_each: float, lasting: float = LASTING) -> int:
    """How many pieces of work make a batch.

    Parameters
    ----------
    seconds_each : float
        What one piece takes, roughly: a figure that does not change from run to run, such as one that
        follows from the size of the data, since the names of the outputs follow from it.
    lasting : float
        Seconds that a batch should take.
    """
    return max(1, int(lasting / max(seconds_each, 1e-6)))


def batches(total: int, size: int) -> list[str]:
    """Names of the fewest batches of at most `size`, as even as can be.

    Parameters
    ----------
    total : int
        Pieces of work, numbered 1, ..., total; 0 has no batches.
    size : int
        At least 1.
    """
    count = -(-total // size)
    ends = [total * at // count for at in range(count + 1)] if count else []
    return [f"{first + 1}-{last}" for first, last in pairwise(ends)]


def numbers(batch: str) -> range:
    """Numbers of the pieces in a batch: ``21-40`` has 21, ..., 40."""
    first, last = map(int, batch.split("-"))
    return range(first, last + 1)
