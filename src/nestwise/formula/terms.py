"""Expanding `*`, `^`, `/`, `:` and `-` of a formula into a list of terms, by R's rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nestwise.formula.functions import FUNCTIONS
from nestwise.formula.syntax import (
    Binary,
    Call,
    Expression,
    Flag,
    Name,
    Number,
    Parentheses,
    Unary,
    deparse,
    names_in,
    walk,
)
from nestwise.formula.tokens import complaint

type Term = tuple[Expression, ...]
"""Factors of a product of columns; the empty term is the intercept."""
type _Terms = dict[frozenset[Expression], None]

MAX_TERMS = 500
MAX_PRODUCTS = 20_000
"""Products formed at one operator: `(a + b + ...)^20` is stopped here, not by the clock."""


def term_label(term: Term) -> str:
    """A term as R labels it, e.g. ``age:Sex``."""
    return ":".join(deparse(factor) for factor in term) if term else "(Intercept)"


def summands(expression: Expression) -> list[tuple[str, Expression]]:
    """Cut a sum into its signed parts, through parentheses that hold no `|`.

    Parameters
    ----------
    expression : Expression
        The right side of a formula, or the left side of a `|`.

    Returns
    -------
    list of (str, Expression)
        Sign and part, in the order written.
    """
    parts: list[tuple[str, Expression]] = []
    waiting = [("+", expression)]
    while waiting:
        sign, part = waiting.pop()
        match part:
            case Binary(operator="+" | "-" as operator, left=left, right=right) if sign == "+":
                waiting += [(operator, right), ("+", left)]
            case Unary(operator="+" | "-" as operator, operand=operand) if sign == "+":
                waiting.append((operator, operand))
            case Parentheses(inner=inner) if sign == "+" and not _is_bar(inner):
                inside = summands(inner)
                # what is removed inside parentheses is removed from them only
                whole = any(minus == "-" and not isinstance(one, Number) for minus, one in inside)
                if whole:
                    parts.append((sign, part))
                else:
                    waiting += reversed(inside)
            case _:
                parts.append((sign, part))
    return parts


def is_random(part: Expression) -> bool:
    """Whether a part is a term in parentheses with a `|`."""
    return isinstance(part, Parentheses) and _is_bar(part.inner)


def _is_bar(expression: Expression) -> bool:
    return isinstance(expression, Binary) and expression.operator in ("|", "||")


def expand(parts: Iterable[tuple[str, Expression]], text: str) -> tuple[Term, ...]:
    """The terms of a sum, the intercept first, then by order of interaction as R sorts them.

    Parameters
    ----------
    parts : iterable of (str, Expression)
        From `summands`, without random terms and offsets.
    text : str
        The formula, for messages.

    Returns
    -------
    tuple of Term
        Within a term the factors are ordered by their first appearance in the sum.

    Raises
    ------
    FormulaError
        If something cannot stand in a sum of terms, or the sum is too large.
    """
    intercept = True
    terms: _Terms = {}
    order: dict[Expression, int] = {}
    for sign, part in parts:
        if isinstance(part, Number):
            if part.value not in (0.0, 1.0):
                raise complaint(
                    text,
                    part.position,
                    f"the number {deparse(part)} is not a term",
                    "use 0 or 1 for the intercept, and I() for arithmetic",
                )
            intercept = (part.value == 1.0) == (sign == "+")
            continue
        found = _expanded(part, text, order)
        if sign == "+":
            terms |= found
        elif found.keys() & terms.keys():
            terms = {term: None for term in terms if term not in found}
        else:
            raise complaint(
                text, part.position, f"{deparse(part)} is removed and was never added", "remove the -"
            )
        _check_size(len(terms), part, text)
    products = [tuple(sorted(term, key=order.__getitem__)) for term in terms]
    return (((),) if intercept else ()) + tuple(sorted(products, key=len))


def _expanded(expression: Expression, text: str, order: dict[Expression, int]) -> _Terms:
    match expression:
        case Name() | Call():
            _check_factor(expression, text)
            order.setdefault(expression, len(order))
            return {frozenset([expression]): None}
        case Parentheses(inner=inner) if not _is_bar(inner):
            return _expanded(inner, text, order)
        case Binary(operator="^", left=left, right=right):
            return _power(_expanded(left, text, order), right, text)
        case Binary(operator="+" | "-" | "*" | "/" | ":" | "%in%" as operator, left=left, right=right):
            first, second = _expanded(left, text, order), _expanded(right, text, order)
            return _combined(operator, first, second, expression, text)
    raise _stranger(expression, text)


def _combined(operator: str, first: _Terms, second: _Terms, where: Expression, text: str) -> _Terms:
    _check_size(len(first) * len(second), where, text, MAX_PRODUCTS)
    match operator:
        case "+":
            terms = first | second
        case "-":
            terms = {term: None for term in first if term not in second}
            if not terms:
                raise complaint(text, where.position, "nothing is left of this difference", "remove it")
        case "*":
            terms = first | second | {a | b: None for a in first for b in second}
        case "/":
            # R's a/b is a + b within all of a
            whole = frozenset().union(*first)
            terms = first | {whole | b: None for b in second}
        case "%in%":
            whole = frozenset().union(*second)
            terms = {a | whole: None for a in first}
        case _:
            # `:`, and R's order for `^` as well
            terms = {a | b: None for a in first for b in second}
    _check_size(len(terms), where, text)
    return terms


def _power(base: _Terms, exponent: Expression, text: str) -> _Terms:
    degree = exponent.value if isinstance(exponent, Number) else 0.0
    if degree not in range(1, 21):
        raise complaint(
            text,
            exponent.position,
            "the exponent of terms is not a whole number from 1 to 20",
            "write (a + b)^2 for terms, and I(x^2) for arithmetic",
        )
    terms = base
    for _ in range(int(degree) - 1):
        terms = _combined("^", terms, base, exponent, text)
    return terms


def _check_size(size: int, where: Expression, text: str, limit: int = MAX_TERMS) -> None:
    if size > limit:
        what = f"the formula multiplies out to more than {limit} terms"
        raise complaint(text, where.position, what, "write out the interactions that are wanted")


_STRANGERS: Mapping[type, tuple[str, str]] = {
    Number: ("a number cannot be part of an interaction", "use I() for arithmetic, e.g. I(2 * x)"),
    Flag: ("TRUE and FALSE are not terms", "use 1 or 0 for the intercept"),
    Unary: ("a sign cannot stand here", "use I() for arithmetic, e.g. I(-x)"),
    Parentheses: (
        "a random term cannot be removed, nested or multiplied",
        "add it: + (x | g)",
    ),
    Binary: ("| stands outside parentheses", "write random terms in parentheses, e.g. (1 | g)"),
}


def _stranger(expression: Expression, text: str) -> Exception:
    what, way_out = _STRANGERS[type(expression)]
    return complaint(text, expression.position, what, way_out)


def _check_factor(factor: Expression, text: str) -> None:
    if not isinstance(factor, Call):
        return
    kind = FUNCTIONS[factor.function].kind
    if kind == "offset":
        raise complaint(
            text,
            factor.position,
            "offset() cannot be removed, multiplied or vary by group",
            "add it to the fixed part: + offset(x)",
        )
    if kind == "outcome":
        raise complaint(
            text, factor.position, f"{factor.function}() makes an outcome", "write it to the left of ~"
        )
    if kind == "membership":
        what = f"{factor.function}() names the groups of a random term"
        raise complaint(text, factor.position, what, f"write it right of a |: (1 | {deparse(factor)})")
    for argument in factor.arguments[: FUNCTIONS[factor.function].arguments]:
        check_arithmetic(argument, text)
    if not names_in(factor):
        raise complaint(text, factor.position, f"{deparse(factor)} holds no column", "name a column")


def check_arithmetic(expression: Expression, text: str) -> None:
    """Make sure that an expression is arithmetic on columns, numbers and listed functions.

    Raises
    ------
    FormulaError
        At the first part that is not.
    """
    for part in walk(expression):
        if isinstance(part, Binary) and part.operator not in ("+", "-", "*", "/", "^"):
            raise complaint(
                text,
                part.position,
                f"{part.operator!r} is not arithmetic",
                "use + - * / ^ inside a function, and write interactions outside",
            )
        if isinstance(part, Call) and FUNCTIONS[part.function].kind != "arithmetic":
            raise complaint(
                text,
                part.position,
                f"{part.function}() cannot stand inside arithmetic",
                "use it as a term of its own",
            )
        if isinstance(part, Flag):
            # the options of scale() are the one place where a flag is no mistake
            options = [o for call in walk(expression) if isinstance(call, Call) for o in _settings(call)]
            if not any(part is option for option in options):
                raise complaint(text, part.position, "TRUE and FALSE are not numbers", "use 1 or 0")


def _settings(call: Call) -> tuple[Expression, ...]:
    return (*call.arguments[FUNCTIONS[call.function].arguments :], *(value for _, value in call.options))
