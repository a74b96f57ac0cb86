"""Whether groups are enough, and look like draws from one normal distribution."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from nestwise.results import Check
from nestwise.vocabulary import FEW_GROUPS, INTERCEPT

VERY_FEW_GROUPS = 10
SINGLETON_SHARE = 0.5
IMBALANCE = 0.5
"""Effective over actual number of groups, (sum n)^2 / (J sum n^2), below which a few groups dominate."""
EFFECT_P = 0.01
"""Level of the search for outlying groups, all of them together."""


def size_checks(sizes: pl.DataFrame, group: str) -> tuple[Check, ...]:
    """Judge the number and the sizes of the groups (rule 12).

    Parameters
    ----------
    sizes : DataFrame
        `label`, `n`, one row a group.
    group : str
        Grouping factor.

    Returns
    -------
    tuple of Check
        Empty without groups.
    """
    n = sizes["n"].drop_nulls().to_numpy().astype(np.float64)
    if n.size == 0:
        return ()
    return (_number(n.size, group), *_imbalance(n, group))


def _number(count: int, group: str) -> Check:
    if count < VERY_FEW_GROUPS:
        advice = (
            f"Only {count} groups of {group}: the between-group SD is very uncertain and its estimate "
            "depends on the "
            "method; prefer the posterior with an informative prior on the SD, or treat the groups as fixed."
        )
    elif count < FEW_GROUPS:
        advice = (
            f"{count} groups of {group}, fewer than {FEW_GROUPS}: use t intervals with Satterthwaite "
            "degrees of freedom, and "
            "read the interval of the between-group SD rather than its estimate."
        )
    else:
        advice = f"{count:,} groups of {group} are enough to estimate how much groups differ."
    return Check("number_of_groups", float(count), float(FEW_GROUPS), ok=count >= FEW_GROUPS, advice=advice)


def _imbalance(n: np.ndarray[tuple[int, ...], np.dtype[np.float64]], group: str) -> tuple[Check, ...]:
    singles = float((n == 1).mean())
    many = singles > SINGLETON_SHARE
    advice = (
        f"{singles:.0%} of the groups of {group} have a single row: what differs between groups and what "
        "differs "
        "inside them is told apart by the other groups only."
        if many
        else f"{singles:.0%} of the groups of {group} have a single row; they are kept and borrow from "
        "the others."
        if singles
        else f"No group of {group} has a single row only."
    )
    effective = float(n.sum() ** 2 / (n.size * (n**2).sum()))
    uneven = effective < IMBALANCE
    said = f"from {n.min():,.0f} to {n.max():,.0f} rows, median {np.median(n):,.0f}"
    sizes = (
        f"The groups of {group} are very unequal ({said}): a few large ones dominate complete pooling, "
        "while in partial "
        "pooling every group counts."
        if uneven
        else f"The groups of {group} are of similar enough sizes ({said})."
        if n.min() < n.max()
        else f"Every group of {group} has {n.max():,.0f} rows."
    )
    return (
        Check("singletons", singles, SINGLETON_SHARE, ok=not many, advice=advice),
        # Unequal sizes are what partial pooling is for: a fact to know, not a fault.
        Check("group_size_balance", effective, IMBALANCE, ok=True, advice=sizes),
    )


def effect_checks(groups: pl.DataFrame, sds: Mapping[str, float | None]) -> tuple[Check, ...]:
    """Search for groups too far from the others, coefficient by coefficient.

    A predicted effect b has variance tau^2 - Var(b | y, tau) over data sets, tau^2 times its pooling
    factor, which is what it is standardised by (Pinheiro & Bates 2000, section 4.3; Lange & Ryan
    1989): small groups are shrunk and would hide otherwise. A posterior SD would not do in place of
    the pooling factor, because it holds the uncertainty of tau as well.

    Parameters
    ----------
    groups : DataFrame
        Rows of one fit and one grouping factor in the `GROUPS` schema.
    sds : mapping of str to (float or None)
        Estimated SD of each varying coefficient.

    Returns
    -------
    tuple of Check
        One a coefficient with at least ten groups and an SD above zero.
    """
    checks = []
    for term, tau in sds.items():
        rows = groups.filter(pl.col("term") == term).drop_nulls(["random_effect", "pooling_factor"])
        if tau is None or tau <= 0 or rows.height < VERY_FEW_GROUPS:
            continue
        effect = rows["random_effect"].to_numpy().astype(np.float64)
        variance = tau**2 * rows["pooling_factor"].to_numpy().astype(np.float64)
        known = variance > 0.01 * tau**2
        if known.sum() < VERY_FEW_GROUPS:
            continue
        checks.append(_outlying(effect[known] / np.sqrt(variance[known]), rows["label"].filter(known), term))
    return tuple(checks)


def _outlying(
    standardised: np.ndarray[tuple[int, ...], np.dtype[np.float64]], labels: pl.Series, term: str
) -> Check:
    """Bonferroni over the groups: the largest of J normal values is expected to be large."""
    from scipy.special import ndtri

    count = standardised.size
    limit = float(-ndtri(EFFECT_P / (2 * count)))
    size = np.abs(standardised)
    beyond = [str(labels[int(at)]) for at in np.argsort(-size) if size[at] > limit]
    what = "intercept" if term == INTERCEPT else f"slope of {term}"
    if not beyond:
        advice = f"No group has an outlying {what}; the random effects look normal in their tails."
    else:
        named = ", ".join(beyond[:3]) + (" and others" if len(beyond) > 3 else "")
        advice = (
            f"{named} lie{'s' if len(beyond) == 1 else ''} farther out in the {what} than a normal "
            "distribution of "
            "groups allows; look for what sets them apart, a group-level predictor perhaps, and see "
            "whether the rest "
            "changes without them."
        )
    return Check(f"outlying_groups:{term}", float(size.max()), limit, ok=not beyond, advice=advice)
