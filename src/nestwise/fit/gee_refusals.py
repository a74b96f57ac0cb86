"""What a marginal model cannot be asked, said before or as soon as it shows."""

from __future__ import annotations

from typing import NoReturn

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.config.study import MarginalVariance
from nestwise.design.cumulative import threshold_names
from nestwise.design.identification import MOST_VISITS
from nestwise.design.membership import row_list
from nestwise.design.record import Design
from nestwise.errors import Problem, Refusal
from nestwise.fit.cluster_layout import cluster_factor, cluster_problems, n_clusters
from nestwise.fit.gee_search import GeeState
from nestwise.fit.glmm_refusals import outcome_problems
from nestwise.fit.marginal_families import LINKS_OF
from nestwise.fit.ordinal_association import STRUCTURES as ORDINAL
from nestwise.fit.separation import FAR, separated
from nestwise.fit.working_correlation import Working
from nestwise.names import several
from nestwise.vocabulary import INTERCEPT

LARGEST_CLUSTER = 4000
"""Rows of a cluster beyond which the pairs of a correlation by time take minutes and gigabytes."""
ORDINAL_LINKS = ("logit", "probit")
MOST_INDICATORS = 4000
"""Indicators of a cluster, rows times thresholds, whose covariance is still handled as one matrix."""


def gee_problems(
    design: Design,
    correlation: str,
    variance: MarginalVariance | None,
    selection: FloatArray | None = None,
) -> list[Problem]:
    """Reasons why the model cannot be fitted, empty if there are none.

    Families and links without a marginal model; keys of other engines; no independent clusters; values that
    the family does not have; an outcome that does not vary; more coefficients than rows or clusters; weights
    of selection that are none, or that do not go with the working correlation.
    """
    where = design.formula
    ordinal = design.family == "ordinal"
    links = ORDINAL_LINKS if ordinal else LINKS_OF[design.family]
    problems = []
    if design.link not in links:
        what = f"the family {design.family} has no link {design.link} in `gee`"
        problems.append(Problem(what, where, f"use {several(links)}"))
    if design.residual is not None:
        way_out = "leave `residual` out, and name a working correlation with `correlation`"
        problems.append(Problem("`gee` does not take `residual` into account", where, way_out))
    if design.sampling_error is not None:
        what = "`gee` does not take known standard errors into account"
        problems.append(Problem(what, where, "use the engine `lmm`"))
    problems += _structure_problems(design, correlation)
    problems += cluster_problems(design, correlation) or _visit_problems(design, correlation)
    problems += outcome_problems(design) or _constant(design) or _empty_categories(design)
    problems += selection_problems(design, correlation, selection)
    return problems + _too_many(design, variance)


def _structure_problems(design: Design, correlation: str) -> list[Problem]:
    """Associations that go with other outcomes, and clusters too large for one matrix."""
    where, outer = "the key correlation", cluster_factor(design)
    if design.family != "ordinal":
        if correlation != "global_odds_ratio":
            return []
        what = f"{correlation} is for ordinal outcomes"
        return [Problem(what, where, "choose exchangeable")]
    if correlation not in ORDINAL:
        what = f"ordinal outcomes have no working correlation {correlation}"
        return [Problem(what, where, f"choose {several(ORDINAL)}")]
    if correlation == "independence" or outer is None:
        return []
    largest = int(np.bincount(outer.codes).max()) * max(len(threshold_names(design)), 1)
    if largest <= MOST_INDICATORS:
        return []
    what = f"{correlation} compares all rows of a cluster at all thresholds, and one has {largest:,} of these"
    return [Problem(what, where, "choose independence, or name smaller clusters")]


def selection_problems(design: Design, correlation: str, selection: FloatArray | None) -> list[Problem]:
    """Weights of selection (n,) that are none, or that differ in a cluster whose rows are correlated."""
    if selection is None:
        return []
    where = "the weights of selection"
    if selection.shape != (design.n,):
        what = f"there are {selection.size:,} of them for {design.n:,} rows"
        return [Problem(what, where, "give each analysis row one weight")]
    wrong = ~(np.isfinite(selection) & (selection > 0))
    if wrong.any():
        what = f"they are not positive numbers in {row_list(design.rows[wrong])}"
        return [Problem(what, where, "leave rows that were never to be seen out of the data")]
    outer = cluster_factor(design)
    if correlation == "independence" or outer is None:
        return []
    first = np.empty(outer.n_groups)
    first[outer.codes] = selection
    if np.array_equal(first[outer.codes], selection):
        return []
    what = f"they differ inside {outer.group}, and {correlation} would mix weighted with other rows"
    return [Problem(what, where, f"choose independence, or give each {outer.group} one weight")]


def _visit_problems(design: Design, correlation: str) -> list[Problem]:
    """Too many visits to tell apart, or too many pairs of rows to go through."""
    outer, occasions, where = cluster_factor(design), design.occasions, "the key correlation"
    if outer is None or occasions is None:
        return []
    visits = len(occasions.labels)
    if correlation in {"unstructured", "m_dependent"} and visits > MOST_VISITS:
        what = f"{occasions.time} has {visits:,} different values, each a visit of its own"
        return [Problem(what, where, "round it to planned visits, or choose ar1 or exchangeable")]
    largest = int(np.bincount(outer.codes).max())
    if largest <= LARGEST_CLUSTER:
        return []
    what = f"{correlation} compares all pairs of rows of a cluster, and one has {largest:,} rows"
    return [Problem(what, where, "choose exchangeable or independence, or name smaller clusters")]


def _constant(design: Design) -> list[Problem]:
    y = design.y_less_offset if design.family == "gaussian" and design.link == "identity" else design.y
    share = y if design.trials is None else y / design.trials
    if np.ptp(share) > 0:
        return []
    what = f"the outcome {design.outcome} is the same in every row"
    return [Problem(what, design.formula, "check the column and how missing values are coded")]


def _empty_categories(design: Design) -> list[Problem]:
    """Values of an ordinal outcome that no row has, below the highest that one has."""
    if design.family != "ordinal":
        return []
    counts = np.bincount(design.y.astype(np.int64))
    labels = design.categories or tuple(map(str, range(counts.size)))
    empty = [label for label, rows in zip(labels, counts, strict=False) if not rows]
    if not empty:
        return []
    what = f"no row has the value {several(empty)} of {design.outcome}, so two thresholds fall together"
    return [Problem(what, design.formula, "take the value out of the levels, or merge it with the next")]


def _too_many(design: Design, variance: MarginalVariance | None) -> list[Problem]:
    p, where = design.X.shape[1], design.formula
    if design.family == "ordinal":
        p += len(threshold_names(design)) - (INTERCEPT in design.names)
    if design.n <= p:
        what = f"{design.n} rows cannot determine {p} coefficients and a dispersion"
        return [Problem(what, where, "use fewer predictors, or more rows")]
    outer = cluster_factor(design)
    J = 0 if outer is None else n_clusters(outer)
    if outer is None or J < 2 or p < J or variance == "model":
        return []
    what = f"{J} clusters of {outer.group} cannot judge {p} coefficients: no degrees of freedom are left"
    way_out = "use fewer predictors, smaller clusters, or `variance: model` if you trust the correlation"
    return [Problem(what, where, way_out)]


def refuse_undetermined(working: Working) -> None:
    """Raise if no pair of rows speaks of a parameter of the working correlation.

    Raises
    ------
    Refusal
    """
    layout, structure = working.layout, working.structure
    where, group = "the key correlation", layout.factor.group
    if structure != "independence" and int(layout.clusters.sizes.max()) < 2:
        refuse_lonely_rows(group)
    absent = [name for name, pairs in zip(working.names, working.pairs, strict=True) if pairs == 0]
    if absent:
        what = f"no {group} has two rows that speak of {several(absent)}"
        way_out = "choose exchangeable" if structure != "m_dependent" else "choose fewer lags"
        raise Refusal(Problem(what, where, way_out))


def refuse_lonely_rows(group: str) -> NoReturn:
    """Raise where no cluster has two rows that could be correlated.

    Raises
    ------
    Refusal
    """
    what = f"each {group} has one row, so rows cannot be correlated inside it"
    raise Refusal(Problem(what, "the key correlation", "choose independence, or name larger clusters"))


def refuse_separation(design: Design, state: GeeState | None) -> None:
    """Raise if the predictors tell the outcome apart so well that no estimate is finite.

    Parameters
    ----------
    design : Design
        The model.
    state : GeeState or None
        Where the search ended; `None` if it could not go on.

    Raises
    ------
    Refusal
        Naming the coefficients that run away.
    """
    if design.family in {"gaussian", "gamma"} or design.link in {"identity"}:
        return
    if state is not None and state.converged and float(np.abs(state.eta).max()) < FAR:
        return
    found = separated(design)
    if found is None:
        return
    names, complete = found
    listed = several([name for name in names if name != INTERCEPT] or list(names))
    verb = "separate" if " and " in listed else "separates"
    how = f"completely {verb}" if complete else f"{verb} in part of the rows"
    what = f"{listed} {how} the values of {design.outcome}, so no estimate is finite"
    way_out = f"leave {listed} out, merge levels with few rows, or use the engine pymc"
    raise Refusal(Problem(what, design.formula, way_out))


def refuse_exact_fit(design: Design, state: GeeState) -> None:
    """Raise if nothing is left of the outcome.

    Raises
    ------
    Refusal
    """
    size = float((design.y**2).mean()) if design.family == "gaussian" else 1.0
    if state.phi <= (64 * float(np.finfo(float).eps)) ** 2 * size:
        what = f"the predictors reproduce {design.outcome} exactly, so there is nothing left to explain"
        way_out = f"look for a predictor that is {design.outcome} under another name"
        raise Refusal(Problem(what, design.formula, way_out))
