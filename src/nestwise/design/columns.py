"""Columns of the analysis rows as numbers or levels, and arithmetic on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from nestwise.arrays import FloatArray, IntArray
from nestwise.data.dataset import VariableInfo
from nestwise.errors import Problem, Refusal
from nestwise.formula.functions import FUNCTIONS
from nestwise.formula.parser import options_of
from nestwise.formula.syntax import (
    Binary,
    Call,
    Expression,
    Name,
    Number,
    Parentheses,
    Unary,
    deparse,
    number_text,
)
from nestwise.formula.tokens import complaint


@dataclass(frozen=True)
class Quantity:
    """A numeric column: `values` (n,)."""

    values: FloatArray


@dataclass(frozen=True)
class Levels:
    """A categorical column.

    Attributes
    ----------
    codes : ndarray (n,)
        Index of each row's level.
    labels : tuple of str
        The levels that occur, the reference first.
    ordered : bool
        Whether the levels have an order (polynomial contrasts, as in R).
    """

    codes: IntArray
    labels: tuple[str, ...]
    ordered: bool = False


type Column = Quantity | Levels


@dataclass(frozen=True)
class AnalysisRows:
    """The rows a model is fitted to, before they become matrices.

    Attributes
    ----------
    text : str
        The formula, for messages.
    rows : ndarray (n,)
        Row numbers in the source.
    columns : mapping of str to Column
        The variables of the formula.
    learned : AnalysisRows or None
        The rows whose means, knots, polynomials and levels hold here too, where a model is asked about
        other rows than those it is fitted to; `None`: its own.
    """

    text: str
    rows: IntArray
    columns: Mapping[str, Column]
    learned: AnalysisRows | None = None

    @property
    def source(self) -> AnalysisRows:
        """The rows that means, knots, polynomials and levels are taken from."""
        return self.learned or self

    @property
    def n(self) -> int:
        """Number of rows."""
        return int(self.rows.shape[0])


def read_column(series: pl.Series, info: VariableInfo | None) -> Column:
    """Turn one column without missing values into numbers or levels.

    Parameters
    ----------
    series : polars.Series
        Numeric, Boolean, Enum, Categorical or String.
    info : VariableInfo or None
        What is known of the variable; ordinal ones keep their order.

    Raises
    ------
    Refusal
        If it is a date, a time or anything else that is neither numbers nor levels.
    """
    if series.dtype.is_numeric() or series.dtype == pl.Boolean:
        return Quantity(series.cast(pl.Float64).to_numpy())
    if isinstance(series.dtype, pl.Enum | pl.Categorical | pl.String):
        codes, labels = level_codes(series)
        return Levels(codes, labels, info is not None and info.type == "ordinal")
    kind = "a date" if series.dtype.is_temporal() else f"of type {series.dtype}"
    raise Refusal(
        Problem(
            f"{series.name} is {kind} and cannot enter a model as it is",
            f"column {series.name}",
            "make a numeric column of it, such as days since the start",
        )
    )


def level_codes(series: pl.Series) -> tuple[IntArray, tuple[str, ...]]:
    """Codes 0..K-1 of the levels that occur, in the order of an Enum, else sorted.

    Parameters
    ----------
    series : polars.Series
        Without missing values.

    Returns
    -------
    codes : ndarray (n,)
    labels : tuple of str, length K
    """
    if not isinstance(series.dtype, pl.Enum):
        texts = series.cast(pl.String)
        if series.dtype.is_float():
            labels = {value: number_text(value) for value in series.unique().to_list()}
            texts = series.replace_strict(labels, return_dtype=pl.String)
        series = texts.cast(pl.Enum(texts.unique().sort()))
    assert isinstance(series.dtype, pl.Enum)
    categories = series.dtype.categories
    physical = series.to_physical().to_numpy()
    present = np.bincount(physical, minlength=len(categories)) > 0
    if present.all():
        return physical.astype(np.int64), tuple(categories.to_list())
    new = np.cumsum(present) - 1
    return new[physical], tuple(categories.filter(pl.Series(present)).to_list())


def computed(expression: Expression, table: AnalysisRows) -> FloatArray:
    """Values of an arithmetic expression on the analysis rows, all of them finite.

    Parameters
    ----------
    expression : Expression
        As `check_arithmetic` lets pass.
    table : AnalysisRows
        The columns.

    Returns
    -------
    ndarray (n,)

    Raises
    ------
    FormulaError
        If it does arithmetic on levels.
    Refusal
        If the result is infinite or undefined in some row, e.g. log(0).
    """
    with np.errstate(all="ignore"):
        values = np.broadcast_to(_value(expression, table), (table.n,))
    wrong = ~np.isfinite(values)
    if wrong.any():
        raise _not_finite(deparse(expression), values[wrong], table.rows[wrong])
    return values


def _not_finite(label: str, values: FloatArray, rows: IntArray) -> Refusal:
    some = ", ".join(str(row) for row in rows[:5]) + (", ..." if len(rows) > 5 else "")
    kind = "infinite" if np.isinf(values).any() else "not defined"
    noun = "row" if len(rows) == 1 else "rows"
    return Refusal(
        Problem(
            f"{label} is {kind} in {len(rows)} {noun}",
            f"{noun} {some}",
            "correct the values, declare them missing, or choose another transformation",
        )
    )


_MATHEMATICS: Mapping[str, Callable[[FloatArray], FloatArray]] = {
    "I": lambda x: x,
    "log": np.log,
    "exp": np.exp,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "log2": np.log2,
    "log10": np.log10,
    "log1p": np.log1p,
}

_ARITHMETIC: Mapping[str, Callable[[FloatArray, FloatArray], FloatArray]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "^": np.power,
}


def _value(expression: Expression, table: AnalysisRows) -> FloatArray:  # noqa: PLR0911 (one case a node)
    match expression:
        case Number(value=value):
            return np.float64(value)  # type: ignore[return-value]
        case Name(name=name):
            column = table.columns[name]
            if isinstance(column, Quantity):
                return column.values
            raise complaint(
                table.text,
                expression.position,
                f"{name} is categorical and cannot be calculated with",
                "use it as a term of its own, or declare it continuous if its values are numbers",
            )
        case Parentheses(inner=inner):
            return _value(inner, table)
        case Unary(operator=operator, operand=operand):
            inside = _value(operand, table)
            return -inside if operator == "-" else inside
        case Binary(operator=operator, left=left, right=right):
            return _ARITHMETIC[operator](_value(left, table), _value(right, table))
        case Call(function="scale" | "center"):
            return _scaled(expression, table)
        case Call(function=function, arguments=arguments):
            return _MATHEMATICS[function](_value(arguments[0], table))
    raise AssertionError(f"not arithmetic: {deparse(expression)}")


def _scaled(call: Call, table: AnalysisRows) -> FloatArray:
    """R's scale(): minus the mean, over the SD with n - 1; over the root mean square if not centred."""
    options = options_of(call) if call.function == "scale" else {"scale": False}
    values = _value(call.arguments[0], table)
    own = values if table.learned is None else _value(call.arguments[0], table.learned)
    if options.get("center", True):
        values, own = values - own.mean(), own - own.mean()
    if options.get("scale", True):
        values = values / np.sqrt(np.sum(own**2) / (np.size(own) - 1))
    return values


def factor_levels(call: Call, table: AnalysisRows) -> Levels:
    """Levels of `factor(x)`: those of x, or its distinct numbers in increasing order."""
    argument = call.arguments[0]
    column = table.columns.get(argument.name) if isinstance(argument, Name) else None
    if isinstance(column, Levels):
        return column
    distinct, codes = np.unique(computed(argument, table.source), return_inverse=True)
    if table.learned is not None:
        codes = np.searchsorted(distinct, computed(argument, table))
    return Levels(codes.astype(np.int64), tuple(number_text(float(value)) for value in distinct))


def is_levels(factor: Expression, table: AnalysisRows) -> bool:
    """Whether a factor of a term is categorical."""
    if isinstance(factor, Call):
        return FUNCTIONS[factor.function].kind == "factor"
    return isinstance(factor, Name) and isinstance(table.columns[factor.name], Levels)
