"""Chained equations: each incomplete variable is drawn given all others, in turn (van Buuren 2018, ch. 7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.errors import Problem, Refusal
from nestwise.imputation.columns import CompletedData
from nestwise.imputation.record import Incomplete, Variable
from nestwise.imputation.target import Target, Units, make_target, units_of

METHODS: Mapping[str, tuple[str, ...]] = {
    "normal": ("continuous", "count"),
    "heterogeneous": ("continuous", "count"),
    "matching": ("continuous", "count", "binary", "ordinal"),
    "binary": ("binary",),
    "ordinal": ("ordinal",),
    "nominal": ("nominal", "ordinal", "binary"),
    "count": ("count",),
    "substantive": ("continuous", "count", "binary", "ordinal", "nominal"),
}
"""How gaps can be drawn, each with the kinds of variable it suits."""
DEFAULTS: Mapping[str, str] = {
    "continuous": "normal",
    "count": "matching",
    "binary": "binary",
    "ordinal": "ordinal",
    "nominal": "nominal",
}
"""The method of each kind unless another is asked for."""
TRACED = ("mean", "sd", "residual_sd", "group_sd")
"""What is traced of each incomplete variable: of its imputed values, and of its (first) imputation model."""


@dataclass(frozen=True)
class Chain:
    """What one chain leaves.

    Attributes
    ----------
    draws : mapping of str to ndarray (r,)
        Values of the missing units of each incomplete variable at the last sweep, on its own scale.
    traces : ndarray (iterations, variables, 4)
        `TRACED` of each incomplete variable after each sweep; group_sd is 0 where there are no groups.
    """

    draws: Mapping[str, FloatArray]
    traces: FloatArray


def method_of(variable: Variable) -> str:
    """The method of a variable: its own, or the default of its kind."""
    return variable.method or DEFAULTS[variable.kind]


def check(incomplete: Incomplete) -> None:
    """Refuse what chained equations cannot treat.

    Raises
    ------
    Refusal
        Naming every variable without a value, without variation, or with a method that does not suit it,
        and factors that are not nested.
    """
    problems = []
    for variable in incomplete.gaps:
        observed = variable.values[~variable.missing]
        where = f"imputation model of {variable.name}"
        method = method_of(variable)
        if observed.size == 0:
            what, way_out = "has no value at all", "leave it out of the model"
        elif np.ptp(observed) == 0:
            what, way_out = "has the same value wherever it is observed", "leave it out, or fill it by hand"
        elif variable.kind not in METHODS.get(method, ()):
            what = f"is {variable.kind}, which the method {method} does not suit"
            suiting = ", ".join(name for name, kinds in METHODS.items() if variable.kind in kinds)
            way_out = f"choose one of {suiting}"
        elif method == "count" and (observed.min() < 0 or (observed != np.round(observed)).any()):
            what = "has values that are no counts: negative, or not whole"
            way_out = "choose the method normal or matching, or correct them"
        elif variable.categories and method != "matching" and (absent := _absent(variable)):
            what = f"has no observed value {absent}"
            way_out = "take the category out of its levels"
        else:
            continue
        problems.append(Problem(f"{variable.name} {what}", where, way_out))
    problems += _factor_problems(incomplete)
    if problems:
        raise Refusal(problems)


def _absent(variable: Variable) -> str:
    observed = variable.values[~variable.missing].astype(np.int64)
    counts = np.bincount(observed, minlength=len(variable.categories))
    names = [name for name, count in zip(variable.categories, counts, strict=False) if count == 0]
    return ", ".join(names)


def _factor_problems(incomplete: Incomplete) -> list[Problem]:
    problems = []
    factors = incomplete.factors
    if len(factors) > 2:
        what = f"there are {len(factors)} grouping factors, and gaps are drawn with one or two"
        problems.append(Problem(what, "imputation model", "leave out the outermost random effects"))
    for inner, outer in pairwise(factors):
        pairs = np.unique(np.column_stack([inner.codes, outer.codes]), axis=0)
        if pairs.shape[0] > inner.n_groups:
            what = f"groups of {inner.name} are spread over several of {outer.name}"
            way_out = "crossed factors are not imputed: keep the one that matters more"
            problems.append(Problem(what, "imputation model", way_out))
        if outer.slopes:
            what = f"the effect of {', '.join(outer.slopes)} varies by {outer.name}, which holds other groups"
            way_out = f"gaps are drawn with slopes that vary by {inner.name} only: take these out"
            problems.append(Problem(what, "imputation model", way_out))
    return problems


def start(incomplete: Incomplete, rng: np.random.Generator) -> CompletedData:
    """Gaps filled with observed values taken at random, unit by unit."""
    data = CompletedData(incomplete)
    for variable in incomplete.gaps:
        units = units_of(incomplete, variable)
        values = variable.values[units.row_of]
        gaps = np.isnan(values)
        values[gaps] = rng.choice(values[~gaps], gaps.sum())
        data.fill(variable.name, values[units.unit_of])
    return data


def plan(incomplete: Incomplete) -> tuple[Target, ...]:
    """Lay out every incomplete variable, those with fewest gaps first.

    Raises
    ------
    Refusal
        With everything that keeps the gaps from being drawn.
    """
    check(incomplete)
    data = start(incomplete, np.random.default_rng(0))
    targets: list[Target] = []
    problems: list[Problem] = []
    for variable in sorted(incomplete.gaps, key=lambda variable: int(variable.missing.sum())):
        try:
            targets.append(make_target(incomplete, variable, method_of(variable), data))
        except Refusal as refusal:
            problems += refusal.problems
    if problems:
        raise Refusal(problems)
    return tuple(targets)


def run_chain(
    incomplete: Incomplete, targets: tuple[Target, ...], seed: int, iterations: int = 10, steps: int = 10
) -> Chain:
    """One chain, which gives one imputation.

    Parameters
    ----------
    incomplete : Incomplete
        The record.
    targets : tuple of Target
        From `plan`.
    seed : int
        The chain is a function of it and of nothing else.
    iterations : int
        Sweeps over the incomplete variables.
    steps : int
        Gibbs steps at each visit. Parameters go on from where the last visit left them, so that few are
        enough; mice starts its own sampler anew at every visit.

    Returns
    -------
    Chain

    Raises
    ------
    Refusal
        If an imputation model is singular.
    """
    from nestwise.imputation.conditional import Conditional
    from nestwise.imputation.substantive import SubstantiveConditional

    rng = np.random.default_rng(seed)
    data = start(incomplete, rng)
    conditionals = [
        SubstantiveConditional(incomplete, target, data, rng)
        if target.method == "substantive"
        else Conditional(target, rng)
        for target in targets
    ]
    draws: dict[str, FloatArray] = {}
    traces = np.zeros((iterations, len(targets), len(TRACED)))
    for sweep in range(iterations):
        for place, conditional in enumerate(conditionals):
            name = conditional.target.variable.name
            draws[name] = conditional.draw(data, steps)
            data.fill(name, completed(conditional.target.units, conditional.target.variable, draws[name]))
            traces[sweep, place] = (
                draws[name].mean(), draws[name].std(), *conditional.spreads(data.scales[name][1])
            )  # fmt: skip
    return Chain(draws, traces)


def completed(units: Units, variable: Variable, drawn: FloatArray) -> FloatArray:
    """Values of all rows (n,), the gaps of the units filled."""
    values = variable.values[units.row_of]
    values[np.isnan(values)] = drawn
    return np.asarray(values[units.unit_of])
