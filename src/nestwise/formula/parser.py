"""From tokens to expressions: a Pratt parser with R's precedence, bounded in depth."""

from __future__ import annotations

from math import isfinite

from nestwise.errors import FormulaError
from nestwise.formula.functions import FUNCTIONS, Signature
from nestwise.formula.syntax import RESERVED, Binary, Call, Expression, Flag, Name, Number, Parentheses, Unary
from nestwise.formula.tokens import Token, complaint, tokenize
from nestwise.names import nearest

MAX_DEPTH = 40

# R's precedence, loosest first; `~` is looser than all and handled by `sides`.
_STRENGTH = {"||": 1, "|": 1, "+": 3, "-": 3, "*": 4, "/": 4, "%in%": 5, ":": 6, "^": 8}
_SIGN = 7


def sides(text: str) -> tuple[Expression, Expression]:
    """Parse `left ~ right`.

    Parameters
    ----------
    text : str
        The formula.

    Returns
    -------
    tuple of Expression
        The outcome and everything right of `~`.

    Raises
    ------
    FormulaError
        With the position of what cannot be understood.
    """
    cursor = _Cursor(text)
    if cursor.next.text == "~" and cursor.next.kind == "operator":
        raise cursor.complaint("the formula has no outcome", "write the outcome to the left of ~")
    left = _expression(cursor, 0, 0)
    if not cursor.takes("~"):
        if cursor.next.kind == "end":
            raise cursor.complaint("the formula has no ~", "write outcome ~ predictors")
        raise cursor.unexpected()
    if cursor.next.kind == "end":
        raise cursor.complaint("nothing stands to the right of ~", "write 1 for a model of the mean only")
    right = _expression(cursor, 0, 0)
    if cursor.next.kind != "end":
        raise cursor.unexpected()
    return left, right


class _Cursor:
    """The place in the tokens, and the complaints that point at it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens = tokenize(text)
        self._at = 0

    @property
    def next(self) -> Token:
        return self._tokens[self._at]

    @property
    def after(self) -> Token:
        return self._tokens[min(self._at + 1, len(self._tokens) - 1)]

    def take(self) -> Token:
        token = self._tokens[self._at]
        self._at += token.kind != "end"
        return token

    def takes(self, operator: str) -> bool:
        found = self.next.kind == "operator" and self.next.text == operator
        self._at += found
        return found

    def complaint(self, what: str, way_out: str = "", token: Token | None = None) -> FormulaError:
        return complaint(self.text, (token or self.next).position, what, way_out)

    def unexpected(self) -> FormulaError:
        token = self.next
        if token.kind == "end":
            return self.complaint("the formula ends too early", "complete it, or close a parenthesis")
        if token.text == "~":
            return self.complaint("the formula has a second ~", "write one outcome ~ predictors")
        if token.text == ")":
            return self.complaint("a parenthesis is closed that was not opened", "remove it, or open one")
        if token.text == "=":
            return self.complaint("= has no meaning here", "write outcome ~ predictors")
        what = f"{token.text!r} does not belong here"
        return self.complaint(what, "put an operator such as + or : between two terms")


def _expression(cursor: _Cursor, strength: int, depth: int) -> Expression:
    if depth > MAX_DEPTH:
        raise cursor.complaint(
            f"the formula is nested more than {MAX_DEPTH} deep", "write it with fewer parentheses"
        )
    left = _operand(cursor, depth)
    while cursor.next.kind == "operator":
        operator = cursor.next
        binds = _STRENGTH.get(operator.text)
        if binds is None or binds <= strength:
            break
        cursor.take()
        # `^` groups from the right, everything else from the left
        right = _expression(cursor, binds - (operator.text == "^"), depth + 1)
        left = Binary(operator.text, left, right, operator.position)
    return left


def _operand(cursor: _Cursor, depth: int) -> Expression:
    token = cursor.next
    if token.kind == "number":
        cursor.take()
        return _number(cursor, token)
    if token.kind == "name":
        if cursor.after.text == "(" and cursor.after.kind == "operator" and not token.quoted:
            return _call(cursor, depth)
        cursor.take()
        return _name(cursor, token)
    if token.text in ("+", "-"):
        cursor.take()
        return Unary(token.text, _expression(cursor, _SIGN, depth + 1), token.position)
    if cursor.takes("("):
        if cursor.next.text == ")":
            raise cursor.complaint("the parentheses are empty", "write a term inside them, or remove them")
        inner = _expression(cursor, 0, depth + 1)
        if not cursor.takes(")"):
            raise _unclosed(cursor, token)
        return Parentheses(inner, token.position)
    if token.kind == "end":
        raise cursor.unexpected()
    if token.text in _STRENGTH or token.text in (")", ","):
        raise cursor.complaint(f"{token.text!r} lacks a term before it", "write a term there, or remove it")
    raise cursor.unexpected()


def _number(cursor: _Cursor, token: Token) -> Number:
    value = float(token.text.rstrip("L"))
    if not isfinite(value):
        raise cursor.complaint(f"the number {token.text} is too large", "write a smaller one", token)
    return Number(value, token.position)


def _name(cursor: _Cursor, token: Token) -> Expression:
    if token.quoted:
        return Name(token.text, token.position)
    if token.text in ("TRUE", "FALSE"):
        return Flag(token.text == "TRUE", token.position)
    if token.text == ".":
        raise cursor.complaint(
            "'.' for all other columns is not supported", "name the variables of the model", token
        )
    if token.text in RESERVED:
        raise cursor.complaint(
            f"{token.text} is a reserved word", "put a column of that name in backticks", token
        )
    return Name(token.text, token.position)


def _unclosed(cursor: _Cursor, opened: Token) -> FormulaError:
    if cursor.next.kind == "end":
        return cursor.complaint("a parenthesis is not closed", "add the missing )", opened)
    return cursor.unexpected()


def _call(cursor: _Cursor, depth: int) -> Call:
    function = cursor.take()
    signature = FUNCTIONS.get(function.text)
    if signature is None:
        raise _unknown_function(cursor, function)
    opened = cursor.take()
    arguments: list[Expression] = []
    options: list[tuple[str, Expression]] = []
    while not cursor.takes(")"):
        if (arguments or options) and not cursor.takes(","):
            raise _unclosed(cursor, opened)
        if cursor.next.kind == "name" and cursor.after.text == "=" and cursor.after.kind == "operator":
            name = cursor.take().text
            cursor.take()
            options.append((name, _expression(cursor, 0, depth + 1)))
        elif cursor.next.kind == "operator" and cursor.next.text in (")", ","):
            raise cursor.complaint(f"{function.text}() lacks an argument", "write a column name there")
        else:
            arguments.append(_expression(cursor, 0, depth + 1))
    call = Call(function.text, tuple(arguments), tuple(options), function.position)
    _check_arguments(cursor, call, signature)
    return call


def _unknown_function(cursor: _Cursor, function: Token) -> FormulaError:
    near = nearest(function.text, FUNCTIONS)
    hint = f"did you mean {near}()? " if near else ""
    return cursor.complaint(
        f"{function.text}() is not a function a formula may call",
        f"{hint}allowed are {', '.join(FUNCTIONS)}",
        function,
    )


def options_of(call: Call) -> dict[str, float | bool]:
    """The options of a call by name, those given by position included."""
    signature = FUNCTIONS[call.function]
    order = (*signature.numbers, *signature.flags)
    given = zip(order, _positional(call, signature), strict=False)
    return {
        key: value.value
        for key, value in (*given, *call.options)
        if isinstance(value, Number | Flag)
    }  # fmt: skip


def _positional(call: Call, signature: Signature) -> tuple[Expression, ...]:
    """Options that are given by position: what stands behind the columns."""
    return () if signature.many else call.arguments[signature.arguments :]


def _check_arguments(cursor: _Cursor, call: Call, signature: Signature) -> None:
    order = (*signature.numbers, *signature.flags)
    extra = _positional(call, signature)
    usage = f"write {usage_of(call.function)}"
    if len(call.arguments) < signature.arguments or len(extra) > len(order):
        raise complaint(
            cursor.text, call.position, f"{call.function}() has the wrong number of arguments", usage
        )
    given = [*zip(order, extra, strict=False), *call.options]
    for key, value in given:
        if [name for name, _ in given].count(key) > 1:
            raise complaint(cursor.text, call.position, f"{call.function}() is given {key} twice", usage)
        if key in signature.flags and isinstance(value, Flag):
            continue
        if key in signature.matrices and isinstance(value, Call) and value.function == "cbind":
            continue
        low, high = signature.numbers.get(key, (1, 0))
        if isinstance(value, Number) and value.value == int(value.value) and low <= value.value <= high:
            continue
        what = f"{call.function}() does not take {key}"
        if key in signature.numbers:
            what = f"{key} of {call.function}() is not a whole number from {low} to {high}"
        elif key in signature.flags:
            what = f"{key} of {call.function}() is not TRUE or FALSE"
        elif key in signature.matrices:
            what = f"{key} of {call.function}() are not columns bound together"
        raise complaint(cursor.text, value.position or call.position, what, usage)


def usage_of(function: str) -> str:
    """How a function of the whitelist is written, e.g. ``poly(x, degree = 2)``."""
    signature = FUNCTIONS[function]
    columns = ["x"] if signature.arguments == 1 else ["success", "failure"]
    if signature.kind == "membership":
        columns = ["g1", "g2", *(f"{key} = cbind(w1, w2)" for key in signature.matrices)]
    options = [f"{key} = {max(2, low)}" for key, (low, _) in signature.numbers.items()]
    return f"{function}({', '.join(columns + options + [f'{key} = TRUE' for key in signature.flags])})"
