"""Draw: from a data set and an analysis model to the values of its gaps, m times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.config.study import Model
from nestwise.data.dataset import Dataset
from nestwise.errors import Problem, Refusal
from nestwise.imputation.chained import TRACED, Chain, plan, run_chain
from nestwise.imputation.draws import KNOWN, Draws, Filling, joined, load_draws, save_draws
from nestwise.imputation.joint import impute_joint
from nestwise.imputation.joint_record import joint_record, values_by_variable
from nestwise.imputation.record import Incomplete, Variable
from nestwise.imputation.target import Target
from nestwise.imputation.variables import Wishes, incomplete_record
from nestwise.seeds import seed_for

__all__ = [
    "Chains",
    "Draws",
    "Filling",
    "draw",
    "draw_jointly",
    "filling",
    "joined",
    "load_draws",
    "save_draws",
]

JOINT_CHAINS = 4
"""Chains of the joint model."""
JOINT_TRACED = ("mean", "sd")
LARGEST_FAILED_SHARE = 0.1
"""Share of imputations that may fail; beyond, the failures choose which data are analysed."""


@dataclass(frozen=True)
class Chains:
    """How chains are run.

    Attributes
    ----------
    iterations : int or None
        Sweeps of each chain; the last one is the imputation. `None`: 10, and 20 where a covariate is drawn
        with the analysis model itself, whose effects take longer to settle.
    steps : int
        Gibbs steps at each visit of a variable.
    wishes : Wishes
        Auxiliary variables, methods and levels.
    """

    iterations: int | None = None
    steps: int = 10
    wishes: Wishes = field(default_factory=Wishes)


def draw(  # noqa: PLR0917 (a fixed signature, called by position)
    dataset: Dataset,
    name: str,
    model: Model,
    numbers: int | Iterable[int],
    root: int,
    chains: Chains | None = None,
) -> Draws:
    """Draw the gaps of the variables of an analysis model by chained equations.

    Parameters
    ----------
    dataset : Dataset
        Prepared data.
    name, model : str, Model
        Name of the analysis model and its section of the study file: all its variables, the outcome
        included, its groups, slopes and products stand in the imputation model.
    numbers : int or iterable of int
        How many imputations (1 .. m), or which of them, as one job of several makes them.
    root : int
        The seed of the configuration.
    chains : Chains, optional
        Iterations, methods, auxiliary variables.

    Returns
    -------
    Draws
        Without fillings if nothing is missing.

    Raises
    ------
    FormulaError
        If the formula is not understood.
    Refusal
        If a variable cannot be imputed, or more than a tenth of the chains fail: every reason.
    """
    chains = chains or Chains()
    wanted = tuple(range(1, numbers + 1)) if isinstance(numbers, int) else tuple(numbers)
    incomplete = incomplete_record(dataset, name, model, chains.wishes)
    targets = plan(incomplete)
    slow = any(target.method == "substantive" for target in targets)
    iterations = chains.iterations or (20 if slow else 10)
    seeds = {k: seed_for(root, dataset.study, name, "imputation", k) for k in wanted}
    results: dict[int, Chain] = {}
    failed: list[tuple[int, str]] = []
    for k, seed in seeds.items():
        try:
            results[k] = run_chain(incomplete, targets, seed, iterations, chains.steps)
        except Refusal as refusal:
            failed.append((k, str(refusal)))
    if failed and len(failed) > LARGEST_FAILED_SHARE * len(wanted):
        raise Refusal(_too_many(failed, len(wanted), name))
    return _as_draws(dataset, incomplete, targets, results=results, seeds=seeds, failed=failed)


def draw_jointly(  # noqa: PLR0917 (as `draw`)
    dataset: Dataset, name: str, model: Model, m: int, root: int, wishes: Wishes | None = None
) -> Draws:
    """Draw the gaps of the variables of an analysis model from one joint model of all of them.

    Four chains run side by side and take turns: imputation k comes from chain ``(k - 1) mod 4``, so that it
    is the same however many there are, and whether the chains agree can be seen.

    Parameters
    ----------
    dataset, name, model
        See `draw`.
    m : int
        Imputations.
    root : int
        The seed of the configuration.
    wishes : Wishes, optional
        Auxiliary variables and levels.

    Returns
    -------
    Draws
        Traces hold the mean and the SD of the imputed values of each variable, a chain in each place.

    Raises
    ------
    FormulaError
        If the formula is not understood.
    Refusal
        If the joint model does not take a variable or the groups of the model.
    """
    incomplete = incomplete_record(dataset, name, model, wishes)
    count = min(JOINT_CHAINS, m)
    numbers = tuple(range(1, m + 1))
    seeds = [seed_for(root, dataset.study, name, "imputation", "joint", c) for c in range(count)]
    of_numbers = tuple(seeds[(k - 1) % count] for k in numbers)
    if not incomplete.gaps:
        known = tuple(_known(dataset, incomplete, m))
        nothing = np.zeros((count, 0, 0, 2))
        return Draws(dataset.study, name, numbers, of_numbers, known, JOINT_TRACED, nothing, ())
    record = joint_record(incomplete)
    chains = [impute_joint(record.data, len(numbers[c::count]), seed) for c, seed in enumerate(seeds)]
    drawn = [values_by_variable(record, chain) for chain in chains]
    fillings = [
        filling(
            incomplete, each, "joint", [drawn[(k - 1) % count][each.name][(k - 1) // count] for k in numbers]
        )
        for each in (*record.rows, *record.groups)
    ]
    looks = min(len(chain.means) for chain in chains)
    traces = np.array([np.stack([chain.means[:looks], chain.sds[:looks]], axis=-1) for chain in chains])
    return Draws(
        dataset.study, name, numbers, of_numbers, (*fillings, *_known(dataset, incomplete, m)),
        JOINT_TRACED, traces, record.data.names,
    )  # fmt: skip


def _as_draws(
    dataset: Dataset,
    incomplete: Incomplete,
    targets: Sequence[Target],
    *,
    results: Mapping[int, Chain],
    seeds: Mapping[int, int],
    failed: Sequence[tuple[int, str]],
) -> Draws:
    drawn = [
        filling(
            incomplete,
            each.variable,
            each.method,
            [chain.draws[each.variable.name] for chain in results.values()],
        )
        for each in targets
    ]
    return Draws(
        dataset.study,
        incomplete.model,
        tuple(results),
        tuple(seeds[k] for k in results),
        (*drawn, *_known(dataset, incomplete, len(results))),
        TRACED,
        np.array([chain.traces for chain in results.values()]),
        tuple(target.variable.name for target in targets),
        tuple(failed),
    )


def _too_many(failed: Sequence[tuple[int, str]], wanted: int, name: str) -> Problem:
    return Problem(
        f"{len(failed)} of {wanted} imputations could not be drawn; the first: {failed[0][1].rstrip('.')}",
        f"imputation for the model {name}",
        "simplify the imputation model, or choose the method matching for that variable",
    )


def filling(incomplete: Incomplete, variable: Variable, method: str, drawn: Sequence[FloatArray]) -> Filling:
    """The drawn values of one variable with the rows they belong to.

    Parameters
    ----------
    incomplete : Incomplete
        The record it stands in.
    variable : Variable
        With gaps.
    method : str
        How they were drawn.
    drawn : sequence of ndarray (u,)
        Of each imputation, the values of the missing units (rows, or groups) in increasing order.
    """
    assert incomplete.rows is not None, "the record was made from a data set"
    gaps = np.flatnonzero(variable.missing)
    if variable.level is None:
        unit = np.arange(gaps.size)
    else:
        codes = next(each.codes for each in incomplete.factors if each.name == variable.level)
        unit = np.unique(codes[gaps], return_inverse=True)[1].astype(np.int64)
    values = np.array(drawn).reshape(len(drawn), -1)
    return Filling(
        variable.name,
        variable.kind,
        method,
        variable.level,
        incomplete.rows[gaps],
        unit,
        values,
        variable.categories,
    )


def _known(dataset: Dataset, incomplete: Incomplete, m: int) -> list[Filling]:
    """Gaps of variables of groups that another row of the group fills: nothing is drawn for them."""
    grouped = [variable for variable in incomplete.variables if variable.level is not None]
    frame = dataset.frame.select(*(variable.name for variable in grouped)).collect()
    found = []
    for variable in grouped:
        series = frame[variable.name]
        empty = (series.fill_nan(None) if series.dtype.is_float() else series).is_null().to_numpy()
        rows = np.flatnonzero(empty & ~variable.missing)
        if rows.size and incomplete.rows is not None:
            found.append(
                Filling(
                    variable.name,
                    variable.kind,
                    KNOWN,
                    variable.level,
                    incomplete.rows[rows],
                    np.arange(rows.size),
                    np.tile(variable.values[rows], (m, 1)),
                    variable.categories,
                )
            )
    return found
