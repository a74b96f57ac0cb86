"""The record that every imputation model is given: incomplete variables, their groups, their products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from nestwise.arrays import BoolArray, FloatArray, IntArray

Kind = Literal["continuous", "count", "binary", "ordinal", "nominal"]


@dataclass(frozen=True)
class Variable:
    """A variable of the analysis model, or an auxiliary one, complete or not.

    Attributes
    ----------
    name : str
        Its column.
    kind : str
        `continuous`, `count`, `binary` (0/1), `ordinal` or `nominal`.
    values : ndarray (n,)
        On its own scale, NaN where missing; 0 .. K-1 for ordinal and nominal variables.
    level : str or None
        The grouping factor it is constant in; `None`: it varies from row to row.
    categories : tuple of str, length K
        Labels of an ordinal or nominal variable, lowest (reference) first.
    method : str
        How its gaps are drawn, a name of `chained.METHODS`; empty for the default of its kind.
    """

    name: str
    kind: Kind
    values: FloatArray
    level: str | None = None
    categories: tuple[str, ...] = ()
    method: str = ""

    @property
    def missing(self) -> BoolArray:
        """Which rows lack it (n,)."""
        return np.isnan(self.values)


@dataclass(frozen=True)
class Grouping:
    """A grouping factor of the imputation model.

    Attributes
    ----------
    name : str
        As the tables show it.
    codes : ndarray (n,)
        Group of each row, 0 .. J-1.
    labels : tuple of str, length J
        Name of each group.
    slopes : tuple of str
        Variables (or products) whose coefficients vary by it in the analysis model, beside the intercept.
    """

    name: str
    codes: IntArray
    labels: tuple[str, ...]
    slopes: tuple[str, ...] = ()

    @property
    def n_groups(self) -> int:
        """J."""
        return len(self.labels)


@dataclass(frozen=True)
class Product:
    """A product of variables in the analysis model, computed again after every draw.

    Attributes
    ----------
    name : str
        Its label, e.g. ``x:z`` or ``I(x^2)``.
    factors : tuple of str
        Names of the variables that are multiplied; a square names its variable twice.
    """

    name: str
    factors: tuple[str, ...]


@dataclass(frozen=True)
class Incomplete:
    """Everything the gaps of one analysis model are drawn from.

    Attributes
    ----------
    study, model : str
        Names.
    variables : tuple of Variable
        The outcome, the covariates in the formula's order, auxiliary variables; derived variables are
        represented by their sources.
    factors : tuple of Grouping
        Innermost first, each nested in the next.
    products : tuple of Product
        Interactions and powers of the analysis model.
    outcome : str
        Name of the outcome variable; empty if the analysis has none that is a variable of its own.
    family : str
        Family of the analysis model.
    rows : ndarray (n,)
        Row number of each row in the source.
    auxiliary : tuple of str
        Variables that are not in the analysis model.
    contextual : tuple of str
        Variables whose group means or deviations from them are in the analysis model.
    """

    study: str
    model: str
    variables: tuple[Variable, ...]
    factors: tuple[Grouping, ...]
    products: tuple[Product, ...] = ()
    outcome: str = ""
    family: str = "gaussian"
    rows: IntArray | None = None
    auxiliary: tuple[str, ...] = ()
    contextual: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        """Number of rows."""
        return int(self.variables[0].values.shape[0])

    @property
    def gaps(self) -> tuple[Variable, ...]:
        """The variables with missing values."""
        return tuple(variable for variable in self.variables if variable.missing.any())

    def variable(self, name: str) -> Variable:
        """The variable of a name."""
        return next(variable for variable in self.variables if variable.name == name)
