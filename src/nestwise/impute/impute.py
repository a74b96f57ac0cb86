"""Impute: a data set and its draws in, completed data set k out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import polars as pl

from nestwise.data.dataset import ROW, Dataset
from nestwise.data.derive import derive
from nestwise.errors import Problem, Refusal
from nestwise.imputation.draws import KNOWN, Draws, Filling

WHOLE = ("count", "matching", KNOWN)
"""Methods whose values are those of the column's own type."""


def impute(dataset: Dataset, draws: Draws, k: int) -> Dataset:
    """The data set with its gaps filled by imputation k.

    Derived variables (means of groups, deviations, centring, scaling) are computed again on the completed
    data; categories have their labels. A whole number that was drawn from a normal distribution is not
    rounded: its column becomes continuous.

    Parameters
    ----------
    dataset : Dataset
        The data the draws were made from.
    draws : Draws
        From `nestwise.impute.draw`.
    k : int
        Number of the imputation, as in `draws.numbers`.

    Returns
    -------
    Dataset
        Lazily; unchanged if nothing was missing.

    Raises
    ------
    Refusal
        If there is no imputation k.
    """
    if k not in draws.numbers:
        made = f"there are {draws.m}" + (f", the last is {draws.numbers[-1]}" if draws.m else "")
        raise Refusal(
            Problem(f"imputation {k} of the model {draws.model} was not drawn", made, "draw it first")
        )
    if not draws.fillings:
        return dataset
    place = draws.numbers.index(k)
    schema = dataset.frame.collect_schema()
    frame, variables = dataset.frame, dict(dataset.variables)
    for name in dict.fromkeys(each.variable for each in draws.fillings):
        own = [each for each in draws.fillings if each.variable == name]
        rounded = all(each.method in WHOLE for each in own) or not schema[name].is_integer()
        dtype = schema[name] if rounded or own[0].kind != "count" else pl.Float64()
        frame = _filled(frame, own, place, dtype)
        if dtype != schema[name] and name in variables:
            variables[name] = replace(variables[name], type="continuous")
    names = list(schema)
    derived = [each.as_ for each in dataset.derivations]
    if derived:
        frame = derive(frame.drop(derived), dataset.derivations, dataset.within)
    return replace(dataset, frame=frame.select(names), variables=variables)


def imputations(dataset: Dataset, draws: Draws, numbers: Iterable[int] | None = None) -> Iterator[Dataset]:
    """The completed data sets one after the other, all of them or those of some numbers."""
    for k in draws.numbers if numbers is None else numbers:
        yield impute(dataset, draws, k)


def _filled(frame: pl.LazyFrame, fillings: list[Filling], place: int, dtype: pl.DataType) -> pl.LazyFrame:
    """One column with its gaps filled, as `dtype`."""
    name = fillings[0].variable
    drawn = np.concatenate([each.values[place][each.unit] for each in fillings])
    rows = np.concatenate([each.rows for each in fillings])
    labels = fillings[0].categories
    if labels:
        column = pl.Series(NEW, [labels[int(code)] for code in drawn], dtype=pl.String)
        # numbers may stand for categories too
        column = column.cast(dtype) if not dtype.is_numeric() else column.cast(pl.Float64).cast(dtype)
    elif dtype == pl.Boolean:
        column = pl.Series(NEW, drawn > 0.5)
    else:
        column = pl.Series(NEW, drawn).cast(dtype)
    new = pl.LazyFrame({ROW: rows, NEW: column}).with_columns(pl.col(ROW).cast(frame.collect_schema()[ROW]))
    own = pl.col(name).fill_nan(None) if frame.collect_schema()[name].is_float() else pl.col(name)
    filled = pl.coalesce(own.cast(dtype), pl.col(NEW)).alias(name)
    return frame.join(new, on=ROW, how="left", maintain_order="left").with_columns(filled).drop(NEW)


NEW = ".new"
"""Column that holds the drawn values on their way in."""
