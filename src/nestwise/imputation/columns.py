"""The completed data as predictors: values, means of groups, products, computed again when one changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.imputation.record import Incomplete, Variable


@dataclass(frozen=True)
class Source:
    """Where columns of a predictor come from.

    Attributes
    ----------
    factors : tuple of str
        The variable, or those whose product it is.
    mean : int
        Index of the grouping factor whose means are meant; -1 for the values themselves.
    """

    factors: tuple[str, ...]
    mean: int = -1


class CompletedData:
    """One chain's completed data; the only thing in imputation that changes.

    Continuous variables and counts are standardised by the mean and SD of their observed values, categories
    are indicators (without the first) less their observed proportions.
    """

    def __init__(self, incomplete: Incomplete) -> None:
        self._variables = {variable.name: variable for variable in incomplete.variables}
        self._codes = [factor.codes for factor in incomplete.factors]
        self._sizes = [np.bincount(factor.codes) for factor in incomplete.factors]
        self._made: dict[Source, FloatArray] = {}
        self.values = {variable.name: variable.values.copy() for variable in incomplete.variables}
        self.scales = {variable.name: scale_of(variable) for variable in incomplete.variables}

    def fill(self, name: str, values: FloatArray) -> None:
        """Replace the completed values (n,) of a variable, on its own scale."""
        self.values[name] = values
        self._made = {source: made for source, made in self._made.items() if name not in source.factors}

    def columns(self, source: Source) -> FloatArray:
        """Columns (n, w) of a predictor."""
        if source not in self._made:
            self._made[source] = self._means(source) if source.mean >= 0 else self._products(source)
        return self._made[source]

    def _products(self, source: Source) -> FloatArray:
        if len(source.factors) == 1:
            return self._own(source.factors[0])
        left, right = (self.columns(Source(part)) for part in (source.factors[:-1], source.factors[-1:]))
        return np.column_stack([a * b for a in left.T for b in right.T])

    def _own(self, name: str) -> FloatArray:
        values = self.values[name]
        center, scale = self.scales[name]
        if self._variables[name].kind in ("ordinal", "nominal"):
            levels = np.arange(1, len(self._variables[name].categories))
            return np.asarray((values[:, None] == levels) - center)
        return np.asarray((values[:, None] - center) / scale)

    def _means(self, source: Source) -> FloatArray:
        codes, sizes = self._codes[source.mean], self._sizes[source.mean]
        own = self.columns(Source(source.factors))
        means = [np.bincount(codes, weights=column)[codes] for column in own.T]
        return np.column_stack(means) / sizes[codes][:, None]


def scale_of(variable: Variable) -> tuple[FloatArray, float]:
    """What a variable is centred at (w,) and divided by, from its observed values."""
    observed = variable.values[~variable.missing]
    if variable.kind in ("ordinal", "nominal"):
        return (observed[:, None] == np.arange(1, len(variable.categories))).mean(axis=0), 1.0
    spread = float(observed.std()) if observed.size else 0.0
    return np.array([observed.mean() if observed.size else 0.0]), spread if spread > 0 else 1.0


def level_rank(incomplete: Incomplete, variable: Variable) -> int:
    """-1 for a variable of the rows, else the index of the grouping factor it is constant in."""
    names = [factor.name for factor in incomplete.factors]
    return -1 if variable.level is None else names.index(variable.level)


def predictors(incomplete: Incomplete, target: Variable) -> tuple[Source, ...]:
    """What a variable is predicted from, beside the intercept.

    All other variables as they are at its level or above; means of variables by every grouping factor above
    them that is not below the target (contextual effects); the products of the analysis model that do not
    contain it; and for each product that does, the outcome times the rest of it (what the analysis model
    turned around asks for).
    """
    own = level_rank(incomplete, target)
    ranks = {variable.name: level_rank(incomplete, variable) for variable in incomplete.variables}
    found: list[Source] = []
    for name, rank in ranks.items():
        if name == target.name:
            continue
        if rank >= own:
            found.append(Source((name,)))
        found += [Source((name,), f) for f in range(len(incomplete.factors)) if f > rank and f >= own]
    for factors in _products(incomplete, target):
        varies = min(ranks[name] for name in factors)
        found.append(Source(factors) if varies >= own else Source(factors, own))
    return tuple(dict.fromkeys(found))


def _products(incomplete: Incomplete, target: Variable) -> list[tuple[str, ...]]:
    outcome = incomplete.outcome
    found = []
    for product in incomplete.products:
        if target.name not in product.factors:
            found.append(product.factors)
        elif outcome and outcome != target.name:
            rest = list(product.factors)
            rest.remove(target.name)
            if target.name not in rest:
                found.append((outcome, *rest))
    return found


def varying(incomplete: Incomplete, target: Variable) -> tuple[Source, ...]:
    """What has a coefficient that varies by the innermost factor in the model of a variable of the rows.

    The slopes of the analysis model where the target is its outcome; the outcome itself where the target has
    such a slope.
    """
    if target.level is not None or not incomplete.factors:
        return ()
    products = {product.name: product.factors for product in incomplete.products}
    slopes = [products.get(name, (name,)) for name in incomplete.factors[0].slopes]
    if target.name == incomplete.outcome:
        return tuple(Source(factors) for factors in slopes if target.name not in factors)
    if incomplete.outcome and any(target.name in factors for factors in slopes):
        return (Source((incomplete.outcome,)),)
    return ()
