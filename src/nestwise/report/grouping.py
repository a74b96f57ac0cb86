"""How the grouping factors of a model stand to each other, in sentences: nested, crossed, shared, related."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

from nestwise.compare.reading import noun
from nestwise.config.study import Study
from nestwise.names import plural


def grouping_words(study: Study, design: Mapping[str, Any]) -> tuple[str, ...]:
    """Sentences on the grouping factors of a model; none for a single plain one.

    Parameters
    ----------
    study : Study
        For the declared nesting and the labels.
    design : mapping
        `design.json` of the model.
    """
    random = design.get("random") or ()
    factors = list(dict.fromkeys(str(term["group"]) for term in random))
    said = _nesting(study, factors)
    for term in random:
        name, group = noun(study, str(term["group"])), str(term["group"])
        if int(term.get("memberships") or 1) > 1:
            said.append(
                f"A row may belong to up to {term['memberships']} {plural(name)} at once (multiple "
                f"membership): the effects of its {plural(name)} are added with their weights, "
                "η = Σ wₖ ηₖ."
            )
        if term.get("relation"):
            said.append(
                f"The {plural(name)} are not independent: the covariance of their effects is the known "
                f"relation of {group} times the variance that is estimated."
            )
    return tuple(dict.fromkeys(sentence[:1].upper() + sentence[1:] for sentence in said))


def _nesting(study: Study, factors: list[str]) -> list[str]:
    inner = {pair: _inside(study, *pair) for one in combinations(factors, 2) for pair in (one, one[::-1])}
    said = [
        f"{noun(study, low)} is nested in {noun(study, high)}: every {noun(study, low)} belongs to one "
        f"{noun(study, high)}, and both have effects of their own."
        for (low, high), nested in inner.items()
        if nested
    ]
    crossed = [pair for pair in combinations(factors, 2) if not (inner[pair] or inner[pair[::-1]])]
    if crossed:
        pairs = " as well as ".join(" and ".join(noun(study, name) for name in pair) for pair in crossed)
        said.append(f"{pairs} are crossed: neither is nested in the other, and a row has an effect of each.")
    return said


def _inside(study: Study, low: str, high: str) -> bool:
    """Whether groups of `low` lie inside groups of `high`, by their names or by declaration."""
    if set(high.split(":")) < set(low.split(":")):
        return True
    seen, at = set(), low
    while at in study.groups and at not in seen:
        seen.add(at)
        parent = study.groups[at].within
        if parent is None:
            return False
        if parent == high:
            return True
        at = parent
    return False
