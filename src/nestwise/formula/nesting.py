"""Which formula holds another one: the smaller is the larger with some of its terms left out."""

from __future__ import annotations

from itertools import combinations

from nestwise.formula.record import Formula

type _Varying = tuple[str, str]
type _Pair = tuple[str, frozenset[str]]


def holds(large: Formula, small: Formula) -> bool:
    """Whether the small formula is the large one without some of its terms.

    Parameters
    ----------
    large, small : Formula
        Both understood.

    Returns
    -------
    bool
        True where outcome and offsets are the same and all fixed terms, varying coefficients and their
        correlations of the small formula stand in the large one too, with something more; it is read off
        the labels of the terms, so that ``x`` and ``I(x)`` are two things.
    """
    same = large.outcome == small.outcome and large.offsets == small.offsets
    parts = [(set(each.fixed), *_random(each)) for each in (large, small)]
    return same and all(less <= more for more, less in zip(*parts, strict=True)) and parts[0] != parts[1]


def _random(formula: Formula) -> tuple[set[_Varying], set[_Pair]]:
    """What varies by which group, and which of it is correlated."""
    varying = {(part.group, name) for part in formula.random for name in part.names}
    pairs = {
        (part.group, frozenset(pair))
        for part in formula.random
        if part.correlated
        for pair in combinations(part.names, 2)
    }
    return varying, pairs
