"""From a data set and an analysis model to the record its gaps are drawn from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import polars as pl

from nestwise.arrays import FloatArray
from nestwise.config.study import Model
from nestwise.data.dataset import ROW, Dataset
from nestwise.design.build import named_columns
from nestwise.design.grouping import Keys, factor_keys, group_codes
from nestwise.design.residual import residual_subject
from nestwise.design.rows import read_factors, read_source
from nestwise.errors import Problem, Refusal
from nestwise.formula.record import Formula, parse
from nestwise.imputation.level import level_of, spread_over_groups
from nestwise.imputation.record import Grouping, Incomplete, Kind, Product, Variable
from nestwise.imputation.substantive import FAMILIES
from nestwise.imputation.terms import Demands, demands
from nestwise.names import several

ROWS = "rows"
"""As the level of a variable: it is imputed row by row, whatever its values look like."""
KINDS: Mapping[str, Kind] = {
    "continuous": "continuous",
    "count": "count",
    "binary": "binary",
    "categorical": "nominal",
    "ordinal": "ordinal",
}


@dataclass(frozen=True)
class Wishes:
    """What a study says of its imputation models.

    Attributes
    ----------
    auxiliary : tuple of str
        Variables beside those of the formula that predict the gaps.
    methods : mapping of str to str
        Method of a variable, a name of `chained.METHODS`, instead of the default.
    levels : mapping of str to str
        Grouping factor a variable is constant in, or `rows`; default: seen from the data. What is no factor
        of the model is passed over.
    """

    auxiliary: tuple[str, ...] = ()
    methods: Mapping[str, str] = field(default_factory=dict)
    levels: Mapping[str, str] = field(default_factory=dict)


def incomplete_record(dataset: Dataset, name: str, model: Model, wishes: Wishes | None = None) -> Incomplete:
    """The variables of an analysis model with their gaps, levels, groups and products.

    Parameters
    ----------
    dataset : Dataset
        Prepared data.
    name, model : str, Model
        Name of the analysis model and its section of the study file.
    wishes : Wishes, optional
        Auxiliary variables, methods and levels.

    Raises
    ------
    FormulaError
        If the formula is not understood or names unknown columns.
    Refusal
        If ids of groups are missing, a variable contradicts its level, dates have gaps, or a method is given
        for a variable that is none.
    """
    wishes = wishes or Wishes()
    _refuse_unknown(wishes, dataset)
    formula = parse(model.formula)
    asked = demands(formula, dataset)
    paths = _paths(formula, residual_subject(model.residual, formula, dataset))
    parents = [column for path in paths.values() for column in factor_keys(path, dataset.within)]
    auxiliary = [each for each in wishes.auxiliary if each not in (*asked.variables, *parents)]
    names = [*asked.variables, *auxiliary]
    needed = named_columns(model, dataset)
    extra = dict.fromkeys(wishes.auxiliary, "missing.auxiliary") | needed
    frame = read_source(dataset, formula, tuple(dict.fromkeys((*names, *parents, *needed))), extra)
    factors = _groupings(frame, paths, dataset, asked)
    _refuse_gaps(frame, [column for column in needed if column not in names], "says how rows are weighed")
    plain = [each for each in names if each not in parents or frame[each].null_count()]
    outcome = asked.variables[0] if formula.outcome.kind != "cbind" else ""
    default = partial(_method, asked=asked, model=model, outcome=outcome)
    variables: list[Variable] = []
    problems: list[Problem] = []
    for each in plain:
        try:
            variables.append(
                _variable(frame[each], dataset, factors, wishes, default, factored=asked.factored)
            )
        except Refusal as refusal:
            problems += refusal.problems
    if problems:
        raise Refusal(problems)
    return Incomplete(
        dataset.study,
        name,
        tuple(variables),
        factors,
        _usable(asked, plain),
        outcome,
        model.family,
        frame[ROW].to_numpy(),
        tuple(auxiliary),
        asked.contextual,
    )


def _refuse_unknown(wishes: Wishes, dataset: Dataset) -> None:
    unknown = [each for each in wishes.methods if each not in dataset.frame.collect_schema()]
    if unknown:
        what = f"there is no variable {several(unknown)}"
        raise Refusal(Problem(what, "the key missing.methods", "name variables of the data"))


def _usable(asked: Demands, names: Sequence[str]) -> tuple[Product, ...]:
    return tuple(product for product in asked.products if all(name in names for name in product.factors))


def _paths(formula: Formula, subject: str | None) -> dict[str, tuple[str, ...]]:
    members = [part.group for part in formula.random if part.memberships]
    if members:
        what = (
            f"rows belong to several groups of {', '.join(members)}, and gaps are drawn with one group a row"
        )
        raise Refusal(Problem(what, formula.text, "analyse the observed rows of this model"))
    paths = {part.group: part.path for part in formula.random}
    if subject is not None:
        paths.setdefault(subject, (subject,))
    return paths


def _groupings(
    frame: pl.DataFrame, paths: Mapping[str, Sequence[str]], dataset: Dataset, asked: Demands
) -> tuple[Grouping, ...]:
    """The grouping factors, innermost (most groups) first."""
    columns = [key for path in paths.values() for key in factor_keys(path, dataset.within)]
    _refuse_gaps(frame, columns, "says which group a row belongs to")
    factors, keys = read_factors(frame, paths, dataset.within)
    found = []
    for group, factor in factors.items():
        here = {column: Keys(keys[column].codes, keys[column].labels) for column in factor.keys}
        codes, labels = group_codes(factor, here)
        found.append(Grouping(factor.name, codes.astype(np.int64), labels, asked.slopes.get(group, ())))
    return tuple(sorted(found, key=lambda each: -each.n_groups))


def _refuse_gaps(frame: pl.DataFrame, columns: Sequence[str], purpose: str) -> None:
    problems = [
        Problem(
            f"{column} {purpose} and is missing in {frame[column].null_count():,} of {frame.height:,} rows",
            f"column {column}",
            "fill it in, or leave these rows out of the data",
        )
        for column in dict.fromkeys(columns)
        if frame[column].null_count()
    ]
    if problems:
        raise Refusal(problems)


def _variable(
    series: pl.Series,
    dataset: Dataset,
    factors: tuple[Grouping, ...],
    wishes: Wishes,
    default: Callable[[str, Kind], str],
    *,
    factored: Collection[str],
) -> Variable:
    name = series.name
    info = dataset.variables.get(name)
    kind = KINDS.get(info.type if info else "continuous")
    if kind is None or series.dtype.is_temporal():
        what = f"{name} is a date and cannot enter an imputation model"
        way_out = "make a numeric column of it, such as days since the start"
        raise Refusal(Problem(what, f"column {name}", way_out))
    values, categories = numbers(series)
    if categories and kind not in ("nominal", "ordinal"):
        kind = "nominal"
    if name in factored and not categories:
        kind = "nominal"
    if not categories and kind in ("nominal", "ordinal"):
        values, categories = _ranked(values)
    if kind == "binary" and not np.isin(values[~np.isnan(values)], (0.0, 1.0)).all():
        kind = "count"
    declared = wishes.levels.get(name)
    known = declared if declared in {each.name for each in factors} else None
    level = None if declared == ROWS else level_of(name, kind, values, factors, known)
    if level is not None:
        values = spread_over_groups(values, next(each for each in factors if each.name == level))
    method = wishes.methods.get(name) or default(name, kind)
    return Variable(name, kind, values, level, categories, method)


def numbers(series: pl.Series) -> tuple[FloatArray, tuple[str, ...]]:
    """A column as numbers (n,), NaN where missing; levels as places among those that occur, and labels."""
    if series.dtype.is_numeric() or series.dtype == pl.Boolean:
        values = series.cast(pl.Float64).fill_nan(None).to_numpy().astype(np.float64)
        return values, ()
    labels = series.cast(pl.String)
    order = series.dtype.categories if isinstance(series.dtype, pl.Enum) else labels.unique().sort()
    present = set(labels.drop_nulls().unique().to_list())
    categories = tuple(label for label in order.to_list() if label in present)
    places = {label: float(place) for place, label in enumerate(categories)}
    coded = labels.replace_strict(places, default=None, return_dtype=pl.Float64)
    return coded.to_numpy().astype(np.float64), categories


def _ranked(values: FloatArray) -> tuple[FloatArray, tuple[str, ...]]:
    """Categories written as numbers."""
    distinct = np.unique(values[~np.isnan(values)])
    places = np.searchsorted(distinct, values).astype(np.float64)
    return np.where(np.isnan(values), np.nan, places), tuple(f"{value:g}" for value in distinct)


def _method(name: str, kind: Kind, asked: Demands, model: Model, outcome: str) -> str:
    """The method the analysis asks for; empty for the default of the kind."""
    if name in asked.transformed and kind in ("continuous", "count"):
        return "matching"
    if name == outcome:
        counted = model.family in ("poisson", "negative_binomial")
        # a count that is analysed as normal is drawn as normal and stays unrounded (Horton et al. 2003)
        drawn = "count" if counted else "normal" if model.family == "gaussian" else "matching"
        return drawn if kind == "count" else ""
    if model.family in FAMILIES and not asked.outcome_transformed and name not in asked.contextual:
        bent = {each for product in asked.products for each in product.factors}
        varying = {each for listed in asked.slopes.values() for each in listed}
        return "substantive" if name in bent | varying else ""
    return ""


def gaps_of(incomplete: Incomplete) -> str:
    """Which variables have gaps, for a sentence."""
    return several([variable.name for variable in incomplete.gaps])
