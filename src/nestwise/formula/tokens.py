"""Cutting the text of a formula into tokens, with nothing but names, numbers and operators let in."""

from __future__ import annotations

import re
from dataclasses import dataclass

from nestwise.errors import FormulaError, Problem

MAX_LENGTH = 2000
MAX_TOKENS = 600

_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?L?)
  | (?P<name>(?:[^\W\d_]|\.(?![0-9]))[\w.]*)
  | (?P<quoted>`[^`\x00-\x1f]+`)
  | (?P<operator>\|\||\*\*|%in%|[-+*/^:|~(),=])
    """,
    re.VERBOSE,
)

_NOT_ALLOWED = {
    '"': ("text in quotes has no place in a formula", "name a column; put an unusual name in backticks"),
    "'": ("text in quotes has no place in a formula", "name a column; put an unusual name in backticks"),
    "`": ("a backtick is not closed or holds nothing", "write `the name` with one backtick on each side"),
    "[": ("indexing with [ ] is not possible", "make the column in the data, or with `derive`"),
    "{": ("code in { } is not possible", "a formula holds variables, operators and listed functions"),
    "@": ("@ is not an operator of formulas", "name the column itself"),
    "$": ("$ is not an operator of formulas", "name the column itself"),
    "_": ("a name cannot begin with _", "put a column of that name in backticks"),
    "%": ("the only operator in percent signs is %in%", "write a %in% b, or a:b"),
}


@dataclass(frozen=True, slots=True)
class Token:
    """One token: `kind` is name, number, operator or end; `position` counts from 1.

    A `quoted` name stood in backticks, and is a column whatever it looks like.
    """

    kind: str
    text: str
    position: int
    quoted: bool = False


def complaint(text: str, position: int, what: str, way_out: str = "") -> FormulaError:
    """A FormulaError that shows where in the formula something is wrong.

    Parameters
    ----------
    text : str
        The formula.
    position : int
        Character that is wrong, counted from 1.
    what, way_out : str
        As in `nestwise.errors.Problem`.
    """
    return FormulaError(
        Problem(shortened(what, 200), f"{formula_place(text)}, character {position}", way_out)
    )


def formula_place(text: str) -> str:
    """How a message names a formula: the formula itself, on one line, long ones cut."""
    return f'formula "{shortened(" ".join(text[:MAX_LENGTH].split()), 80)}"'


def shortened(text: str, length: int) -> str:
    """The text, or its beginning and three dots: what a person wrote can be a megabyte long."""
    return text if len(text) <= length else text[: length - 3] + "..."


def tokenize(text: str) -> tuple[Token, ...]:
    """Cut a formula into tokens.

    Parameters
    ----------
    text : str
        The formula.

    Returns
    -------
    tuple of Token
        Closed by a token of kind `end`.

    Raises
    ------
    FormulaError
        If it is empty, longer than `MAX_LENGTH` characters or `MAX_TOKENS` tokens, or holds
        anything else than names, numbers and operators.
    """
    if not text.strip():
        raise FormulaError(Problem("the formula is empty", "formula", "write outcome ~ predictors"))
    if len(text) > MAX_LENGTH:
        raise FormulaError(
            Problem(
                f"the formula has {len(text)} characters and at most {MAX_LENGTH} are read",
                "formula",
                "use fewer variables or shorter names",
            )
        )
    found: list[Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _stray(text, position)
        if match.lastgroup != "space":
            found.append(_token(text, match))
        position = match.end()
    if len(found) > MAX_TOKENS:
        raise complaint(
            text,
            found[MAX_TOKENS].position,
            f"the formula has {len(found)} parts and at most {MAX_TOKENS} are read",
            "use fewer terms",
        )
    return (*found, Token("end", "", len(text) + 1))


def _token(text: str, match: re.Match[str]) -> Token:
    kind, written, position = str(match.lastgroup), match.group(), match.start() + 1
    quoted = kind == "quoted"
    if quoted:
        kind, written = "name", written[1:-1]
    if kind == "name" and any(part.startswith("__") for part in written.split(".")):
        raise complaint(
            text, position, f"{written!r} is not a name a formula may use", "rename the column in the data"
        )
    if kind == "operator" and written == "**":
        written = "^"
    return Token(kind, written, position, quoted)


def _stray(text: str, position: int) -> FormulaError:
    character = text[position]
    what, way_out = _NOT_ALLOWED.get(
        character,
        (
            f"the character {character!r} has no meaning in a formula",
            "put a column with such a name in backticks",
        ),
    )
    return complaint(text, position + 1, what, way_out)
