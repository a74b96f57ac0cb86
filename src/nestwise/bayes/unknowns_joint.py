"""From a data set and a model to everything the model of its unknowns is built from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nestwise.arrays import BoolArray, FloatArray, IntArray
from nestwise.bayes.engine import prepare
from nestwise.bayes.generalised import prepare_generalised
from nestwise.bayes.unknown_cells import WAY_OUT, Unknown, filled, polynomial, unknown_of
from nestwise.bayes.unknowns_model import Joint, Known
from nestwise.config.study import Model
from nestwise.data.dataset import Dataset
from nestwise.design.build import build_design
from nestwise.design.record import Design
from nestwise.design.rows import needed_derivations
from nestwise.errors import Problem, Refusal
from nestwise.fit.refusals import one_factor_problems, refuse
from nestwise.formula.record import parse
from nestwise.formula.syntax import names_in
from nestwise.imputation.record import Incomplete, Variable
from nestwise.names import several

LARGEST_ROWS = 5_000
LARGEST_UNKNOWNS = 1_000
"""Beyond these a run takes minutes, and multiple imputation gives the same answer in seconds."""
SAMPLED = {"gaussian": "identity", "binomial": "logit", "poisson": "log"}
"""Families, with their link, of outcomes whose covariates may have gaps."""


def joint_of(dataset: Dataset, name: str, model: Model, incomplete: Incomplete) -> Joint:
    """What the model is built from; nothing is sampled.

    Parameters
    ----------
    dataset, name, model
        See `unknowns.fit_unknowns`.
    incomplete : Incomplete
        Its variables.

    Returns
    -------
    Joint

    Raises
    ------
    Refusal
        If a gap is in a count, ordinal or nominal variable, in two binary ones, or enters the model other
        than as itself, a square or a product; if there are several grouping factors or too many rows or
        unknowns.
    """
    outcome, gaps = _outcome_names(model), incomplete_covariates(incomplete, model)
    _refuse_derived(dataset, model, gaps)
    predictors = [each for each in incomplete.variables if each.name not in (*gaps, *outcome)]
    keep = _kept(incomplete, gaps, predictors, outcome_seen(incomplete, model))
    unknowns = _ordered(incomplete, gaps, keep)
    names = [each.name for each in unknowns]
    _refuse_size(unknowns, keep, model)

    def design_at(t: FloatArray) -> Design:
        at = {each.name: each.center + each.scale * value for each, value in zip(unknowns, t, strict=True)}
        return build_design(filled(dataset, incomplete, at), name, model)

    typical = design_at(np.array([np.nanmean(each.values) for each in unknowns]))
    refuse(
        one_factor_problems(typical, engine="pymc") if typical.family == "gaussian" else _problems(typical)
    )
    assert incomplete.rows is not None, "the record was made from a data set"
    own = np.searchsorted(incomplete.rows[keep], typical.rows)
    base, monomials = polynomial(unknowns, design_at, own)
    if not monomials:
        what = f"{several(names)} has gaps and is in no column of the model"
        raise Refusal(Problem(what, model.formula, "leave it out"))
    ready = (prepare if typical.family == "gaussian" else prepare_generalised)(typical, model.priors)
    known = _known(incomplete, predictors, keep)
    return Joint(
        design=base,
        typical=typical,
        own=own,
        units=ready.units,
        structure=ready.structure,
        priors=ready.priors,
        standard_priors=ready.standard_priors,
        unknowns=unknowns,
        monomials=monomials,
        known=known,
    )


def _outcome_names(model: Model) -> tuple[str, ...]:
    parts = parse(model.formula).outcome.parts
    return tuple(dict.fromkeys(name for part in parts for name in names_in(part)))


def outcome_seen(incomplete: Incomplete, model: Model) -> BoolArray:
    """Which rows (n,) have an outcome."""
    outcome = _outcome_names(model)
    lacking = [each.missing for each in incomplete.variables if each.name in outcome]
    return ~np.any([np.zeros(incomplete.n, dtype=bool), *lacking], axis=0)


def incomplete_covariates(incomplete: Incomplete, model: Model) -> list[str]:
    """Covariates with gaps in rows that have an outcome."""
    seen = outcome_seen(incomplete, model)
    left = (*_outcome_names(model), *incomplete.auxiliary)
    return [each.name for each in incomplete.gaps if each.name not in left and (each.missing & seen).any()]


def _refuse_derived(dataset: Dataset, model: Model, gaps: Sequence[str]) -> None:
    derived = needed_derivations(parse(model.formula).variables, dataset.derivations)
    problems = [
        Problem(
            f"{each.as_} is computed from {each.source}, which has gaps, over all rows",
            f"column {each.as_}",
            f"{WAY_OUT}, or enter {each.source} itself",
        )
        for each in derived
        if each.source in gaps
    ]
    refuse(problems)


def _kept(
    incomplete: Incomplete, gaps: Sequence[str], predictors: Sequence[Variable], seen: BoolArray
) -> IntArray:
    """Rows with an outcome, or with something to say of an incomplete covariate of rows."""
    lacking = [each.missing for each in predictors if each.name not in incomplete.auxiliary]
    whole = ~np.any([np.zeros(incomplete.n, dtype=bool), *lacking], axis=0)
    told = np.any([~incomplete.variable(each).missing for each in gaps], axis=0)
    return np.flatnonzero(seen & whole | told & whole)


def _ordered(incomplete: Incomplete, gaps: Sequence[str], keep: IntArray) -> tuple[Unknown, ...]:
    """Variables of groups first, then those of rows, a binary one last."""
    found: list[Unknown] = []
    problems: list[Problem] = []
    for name in gaps:
        try:
            found.append(unknown_of(incomplete, name, keep))
        except Refusal as refusal:
            problems += refusal.problems
    binary = [each.name for each in found if each.binary]
    if len(binary) > 1:
        what = f"{several(binary)} are binary and have gaps, and `bayes` sums out one of them at most"
        problems.append(Problem(what, incomplete.model, WAY_OUT))
    refuse(problems)
    return tuple(sorted(found, key=lambda each: (each.binary, each.level is None)))


def _refuse_size(unknowns: Sequence[Unknown], keep: IntArray, model: Model) -> None:
    size = sum(each.size for each in unknowns)
    if keep.size > LARGEST_ROWS or size > LARGEST_UNKNOWNS:
        what = (
            f"{keep.size:,} rows with {size:,} unknown values are more than `bayes` samples "
            f"({LARGEST_ROWS:,} and {LARGEST_UNKNOWNS:,})"
        )
        raise Refusal(Problem(what, model.formula, WAY_OUT))


def _problems(design: Design) -> list[Problem]:
    if SAMPLED.get(design.family) != design.link:
        what = f"`bayes` with incomplete covariates takes no {design.family} outcome with link {design.link}"
        return [Problem(what, design.formula, WAY_OUT)]
    factors = [factor.group for factor in design.factors]
    if len(factors) > 1:
        what = f"`bayes` with incomplete covariates takes one grouping factor, not {several(factors)}"
        return [Problem(what, design.formula, WAY_OUT)]
    return []


def _known(incomplete: Incomplete, predictors: Sequence[Variable], keep: IntArray) -> Known:
    codes = np.unique(incomplete.factors[0].codes[keep], return_inverse=True)[1].astype(np.int64)
    names: list[str] = []
    columns: list[FloatArray] = []
    for each in predictors:
        values = each.values[keep]
        if np.isnan(values).any():
            continue  # an auxiliary variable with gaps of its own
        levels = range(1, len(each.categories)) if each.categories else (None,)
        for number in levels:
            names.append(each.name if number is None else f"{each.name}{each.categories[number]}")
            columns.append(values if number is None else (values == number).astype(float))
    rows, row_names = _standard(columns, names, keep.size)
    sizes = np.bincount(codes)
    means = [np.bincount(codes, weights=column) / sizes for column in columns]
    groups, group_names = _standard(means, names, sizes.size)
    return Known(codes, row_names, rows, group_names, groups)


def _standard(
    columns: Sequence[FloatArray], names: Sequence[str], n: int
) -> tuple[FloatArray, tuple[str, ...]]:
    """Columns in standard units; those that do not vary are left out."""
    kept = [
        (name, (column - column.mean()) / column.std())
        for name, column in zip(names, columns, strict=True)
        if column.std() > 1e-10 * max(1.0, float(np.abs(column).max()))
    ]
    matrix = np.column_stack([column for _, column in kept]) if kept else np.zeros((n, 0))
    return np.ascontiguousarray(matrix), tuple(name for name, _ in kept)
