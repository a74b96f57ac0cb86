"""The pieces a formula is made of, and how R writes them back as text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_PLAIN_NAME = re.compile(r"(?:[^\W\d_]|\.(?![0-9]))[\w.]*")
RESERVED = frozenset({"TRUE", "FALSE", "NULL", "NA", "NaN", "Inf", "if", "else", "for", "while", "function"})


@dataclass(frozen=True, slots=True)
class Name:
    """A column of the data."""

    name: str
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Number:
    """A number, always a float: exponents cannot grow into giant integers."""

    value: float
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Flag:
    """TRUE or FALSE, as the value of an option."""

    value: bool
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Call:
    """A function of the whitelist with its arguments."""

    function: str
    arguments: tuple[Expression, ...]
    options: tuple[tuple[str, Expression], ...] = ()
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Unary:
    """A sign before an operand."""

    operator: str
    operand: Expression
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Binary:
    """An operator between two operands."""

    operator: str
    left: Expression
    right: Expression
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Parentheses:
    """What stands in parentheses."""

    inner: Expression
    position: int = field(default=0, compare=False)


type Expression = Name | Number | Flag | Call | Unary | Binary | Parentheses


def children(expression: Expression) -> tuple[Expression, ...]:
    """The parts directly below an expression, from left to right."""
    match expression:
        case Call(arguments=arguments, options=options):
            return (*arguments, *(value for _, value in options))
        case Unary(operand=operand):
            return (operand,)
        case Binary(left=left, right=right):
            return (left, right)
        case Parentheses(inner=inner):
            return (inner,)
    return ()


def names_in(expression: Expression) -> tuple[str, ...]:
    """The columns an expression needs, each once, in order of appearance."""
    return tuple(dict.fromkeys(part.name for part in walk(expression) if isinstance(part, Name)))


def walk(expression: Expression) -> Iterator[Expression]:
    """Every part of an expression, from left to right, without recursion."""
    waiting = [expression]
    while waiting:
        part = waiting.pop()
        yield part
        waiting.extend(reversed(children(part)))


def deparse(expression: Expression) -> str:  # noqa: PLR0911 (one case a node)
    """Write an expression as R's `deparse` does, which is how lme4 names its coefficients."""
    match expression:
        case Name(name=name):
            plain = _PLAIN_NAME.fullmatch(name) and name not in RESERVED
            return name if plain else f"`{name}`"
        case Number(value=value):
            return number_text(value)
        case Flag(value=value):
            return "TRUE" if value else "FALSE"
        case Call(function=function, arguments=arguments, options=options):
            inside = [deparse(a) for a in arguments] + [f"{key} = {deparse(v)}" for key, v in options]
            return f"{function}({', '.join(inside)})"
        case Unary(operator=operator, operand=operand):
            return f"{operator}{deparse(operand)}"
        case Binary(operator=operator, left=left, right=right):
            space = "" if operator in ("^", "/", ":") else " "
            return f"{deparse(left)}{space}{operator}{space}{deparse(right)}"
        case Parentheses(inner=inner):
            return f"({deparse(inner)})"


def number_text(value: float) -> str:
    """A number as R prints it: 15 significant digits, the shorter of fixed and scientific."""
    digits = next((d for d in range(1, 16) if float(f"{value:.{d - 1}e}") == float(f"{value:.14e}")), 15)
    scientific = f"{value:.{digits - 1}e}"
    if not abs(value) < 1e15:
        return scientific
    decimals = max(0, digits - 1 - int(scientific.split("e")[1]))
    fixed = f"{value:.{decimals}f}"
    return fixed if len(fixed) <= len(scientific) else scientific
