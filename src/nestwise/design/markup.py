"""MathML, piece by piece: every name is escaped where it enters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

TERMS_A_LINE = 4
CHARACTERS_A_LINE = 50
"""Symbols and letters of the terms of one line, beyond which it is wider than a page."""
_TAG = re.compile(r"<[^>]*>")


@dataclass(frozen=True)
class Equation:
    """One line of mathematics with its name; `mathml` is a whole `<math>` element."""

    title: str
    mathml: str


@dataclass(frozen=True)
class Symbol:
    """Which quantity of the tables a symbol stands for."""

    mathml: str
    component: str
    term: str
    group: str | None = None


def factors(name: str) -> tuple[str, ...]:
    """Split an interaction at the colons that stand outside brackets: ``I(a:b):c`` has two factors."""
    parts, depth, start = [], 0, 0
    for position, letter in enumerate(name):
        depth += letter in "([" or -(letter in ")]")
        if letter == ":" and depth == 0:
            parts.append(name[start:position])
            start = position + 1
    return (*parts, name[start:])


def mi(text: str) -> str:
    """An identifier; one letter is set in italics, a longer name upright."""
    return f"<mi>{escape(text)}</mi>"


def mo(text: str) -> str:
    """An operator."""
    return f"<mo>{escape(text)}</mo>"


def row(*parts: str) -> str:
    """Pieces beside each other."""
    return f"<mrow>{''.join(parts)}</mrow>"


def sub(base: str, *below: str) -> str:
    """A symbol with what stands below it."""
    return f"<msub>{base}{row(*below)}</msub>"


def sup(base: str, above: str) -> str:
    """A symbol with what stands above it."""
    return f"<msup>{base}{above}</msup>"


def number(value: float) -> str:
    """A number."""
    return f"<mn>{escape(f'{value:,}')}</mn>"


def brackets(inside: str) -> str:
    """Round brackets that grow with what they hold."""
    return row('<mo fence="true" stretchy="true">(</mo>', inside, '<mo fence="true" stretchy="true">)</mo>')


def matrix(rows: Sequence[Sequence[str]]) -> str:
    """A matrix in round brackets."""
    cells = "".join("<mtr>" + "".join(f"<mtd>{cell}</mtd>" for cell in line) + "</mtr>" for line in rows)
    return brackets(f"<mtable>{cells}</mtable>")


def math(content: str, *, block: bool = True) -> str:
    """A whole `<math>` element."""
    display = ' display="block"' if block else ""
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML"{display}>{content}</math>'


def product(name: str, index: str) -> str:
    """A term's columns multiplied, each with its index: x_i · z_i."""
    return mo("·").join(sub(mi(factor), mi(index)) for factor in factors(name))


def summed(left: str, terms: Sequence[str]) -> str:
    """``left = a + b + ...``, broken after every few terms so that it fits a page."""
    if len(terms) <= TERMS_A_LINE + 1 and sum(map(_letters, terms)) <= CHARACTERS_A_LINE:
        return row(left, mo("="), mo("+").join(terms) if terms else number(0))
    lines: list[list[str]] = [[]]
    for term in terms:
        full = len(lines[-1]) == TERMS_A_LINE or sum(map(_letters, [*lines[-1], term])) > CHARACTERS_A_LINE
        if lines[-1] and full:
            lines.append([])
        lines[-1].append(term)
    cells = []
    for line_number, line in enumerate(lines):
        head = row(left, mo("=")) if line_number == 0 else mo("+")
        cells.append(f'<mtr><mtd class="head">{head}</mtd><mtd class="tail">{mo("+").join(line)}</mtd></mtr>')
    return f'<mtable class="lines">{"".join(cells)}</mtable>'


def _letters(term: str) -> int:
    """Symbols and letters that a term shows."""
    return len(_TAG.sub("", term))


def normal(*arguments: str) -> str:
    """N(mean, variance)."""
    return row(mi("N"), brackets(mo(",").join(arguments)))


SIGMA2 = sup(mi("σ"), number(2))
ZERO = number(0)


def group_index(letter: str) -> str:
    """``j[i]``: the group row i belongs to."""
    return row(mi(letter), mo("["), mi("i"), mo("]"))
