"""The drawn values of all gaps, as a record and as a file: everything that makes imputation k again."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from nestwise.arrays import FloatArray, IntArray
from nestwise.errors import DataError, Problem
from nestwise.storage import whole_file

KNOWN = "known"
"""As the method of a filling: the value stands in another row of the group."""


@dataclass(frozen=True)
class Filling:
    """The drawn values of one variable.

    Attributes
    ----------
    variable, kind, method : str
        What was drawn, and how.
    level : str or None
        The grouping factor it is constant in.
    rows : ndarray (r,)
        Row numbers in the source of the rows that lack it.
    unit : ndarray (r,)
        Column of `values` for each of them: rows of one group share one.
    values : ndarray (m, u)
        On the variable's own scale, places of categories for ordinal and nominal ones.
    categories : tuple of str
        Their labels.
    """

    variable: str
    kind: str
    method: str
    level: str | None
    rows: IntArray
    unit: IntArray
    values: FloatArray
    categories: tuple[str, ...] = ()


@dataclass(frozen=True)
class Draws:
    """Everything that makes each imputation again.

    Attributes
    ----------
    study, model : str
        Names.
    numbers : tuple of int, length m
        Number k of each imputation, from 1; imputation k is the same however many there are.
    seeds : tuple of int, length m
        Seed of each chain.
    fillings : tuple of Filling
        One a variable with gaps; none if nothing is missing.
    traced : tuple of str
        What `traces` holds of each variable.
    traces : ndarray (chains, iterations, variables, len(traced))
        Of each chain, the variables in the order of `trace_variables`; chained equations run one chain an
        imputation.
    trace_variables : tuple of str
    failed : tuple of (int, str)
        Imputations that could not be drawn, and why.
    """

    study: str
    model: str
    numbers: tuple[int, ...]
    seeds: tuple[int, ...]
    fillings: tuple[Filling, ...]
    traced: tuple[str, ...]
    traces: FloatArray
    trace_variables: tuple[str, ...]
    failed: tuple[tuple[int, str], ...] = ()

    @property
    def m(self) -> int:
        """Number of imputations."""
        return len(self.numbers)

    @property
    def methods(self) -> dict[str, str]:
        """Method of each variable with gaps."""
        return {each.variable: each.method for each in self.fillings if each.method != KNOWN}


def joined(parts: Sequence[Draws]) -> Draws:
    """The draws of several jobs as one, in the order of their numbers.

    Raises
    ------
    DataError
        If they do not belong together.
    """
    first = parts[0]
    same = {(part.study, part.model, part.trace_variables, part.traces.shape[1:]) for part in parts}
    numbers = [number for part in parts for number in part.numbers]
    if len(same) > 1 or len(set(numbers)) < len(numbers):
        raise DataError(
            Problem("these imputations do not belong together", first.model, "delete them, run again")
        )
    order = np.argsort(numbers)
    seeds = [seed for part in parts for seed in part.seeds]
    fillings = tuple(
        replace(each, values=np.concatenate([part.fillings[place].values for part in parts])[order])
        for place, each in enumerate(first.fillings)
    )
    return replace(
        first,
        numbers=tuple(numbers[place] for place in order),
        seeds=tuple(seeds[place] for place in order),
        fillings=fillings,
        traces=np.concatenate([part.traces for part in parts])[order],
        failed=tuple(each for part in parts for each in part.failed),
    )


def save_draws(draws: Draws, path: str | os.PathLike[str]) -> None:
    """Write draws as one file of arrays (npz)."""
    arrays = {
        f"{part}{place}": getattr(each, part)
        for place, each in enumerate(draws.fillings)
        for part in ("rows", "unit", "values")
    }
    content = {
        "study": draws.study,
        "model": draws.model,
        "numbers": draws.numbers,
        "seeds": draws.seeds,
        "traced": draws.traced,
        "trace_variables": draws.trace_variables,
        "failed": draws.failed,
        "fillings": [
            [each.variable, each.kind, each.method, each.level, each.categories] for each in draws.fillings
        ],
    }
    with whole_file(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, content=np.array(json.dumps(content)), traces=draws.traces, **arrays)


def load_draws(path: str | os.PathLike[str]) -> Draws:
    """Read what `save_draws` wrote.

    Raises
    ------
    DataError
        If the file is none of these.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        content = json.loads(str(arrays["content"]))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        what = "the file holds no imputations, or is damaged"
        raise DataError(Problem(what, str(path), "delete it, run again")) from error
    fillings = tuple(
        Filling(
            variable,
            kind,
            method,
            level,
            arrays[f"rows{place}"],
            arrays[f"unit{place}"],
            arrays[f"values{place}"],
            tuple(labels),
        )
        for place, (variable, kind, method, level, labels) in enumerate(content["fillings"])
    )
    return Draws(
        content["study"],
        content["model"],
        tuple(content["numbers"]),
        tuple(content["seeds"]),
        fillings,
        tuple(content["traced"]),
        arrays["traces"],
        tuple(content["trace_variables"]),
        tuple((int(k), str(why)) for k, why in content["failed"]),
    )
