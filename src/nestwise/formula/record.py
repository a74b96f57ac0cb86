"""Formulas as lme4 writes them: read into a record, never run."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

from nestwise.formula.parser import sides
from nestwise.formula.syntax import (
    Binary,
    Call,
    Expression,
    Flag,
    Name,
    Parentheses,
    deparse,
    names_in,
    walk,
)
from nestwise.formula.terms import Term, check_arithmetic, expand, is_random, summands, term_label
from nestwise.formula.tokens import complaint


@dataclass(frozen=True)
class Outcome:
    """The left side of a formula.

    Attributes
    ----------
    name : str
        The column, or the expression as R writes it, e.g. ``log(y)``.
    kind : str
        `column`, `transformed` or `cbind` (successes and failures).
    parts : tuple of Expression
        One expression, or two for `cbind`.
    columns : tuple of str
        The columns it needs.
    """

    name: str
    kind: str
    parts: tuple[Expression, ...]
    columns: tuple[str, ...]


@dataclass(frozen=True)
class RandomPart:
    """One term in brackets, before any data are known.

    Attributes
    ----------
    terms : tuple of Term
        What varies; the empty term is the intercept.
    path : tuple of str
        Columns whose combination is the group, e.g. ("batch", "cask") for `batch:cask`.
    correlated : bool
        `|`, or not: `||`.
    memberships : tuple of str
        Columns of `mm(school1, school2)`, each a group of the row; `path` is then empty.
    shares : tuple of str
        Columns of their weights; empty for equal shares.
    scaled : bool
        Whether weights are divided by their sum in each row.
    """

    terms: tuple[Term, ...]
    path: tuple[str, ...]
    correlated: bool
    memberships: tuple[str, ...] = ()
    shares: tuple[str, ...] = ()
    scaled: bool = True

    @property
    def group(self) -> str:
        """Name of the grouping factor."""
        if self.memberships:
            return f"mm({', '.join(deparse(Name(name)) for name in self.memberships)})"
        return ":".join(self.path)

    @property
    def names(self) -> tuple[str, ...]:
        """What varies, as labels of terms; a categorical one becomes several columns later."""
        return tuple(term_label(term) for term in self.terms)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns the terms need, without those of the group."""
        return _columns(chain.from_iterable(self.terms))

    def __str__(self) -> str:
        names = ["1" if not term else term_label(term) for term in self.terms]
        left = " + ".join(names if () in self.terms else ["0", *names])
        return f"({left} {'|' if self.correlated else '||'} {self.group})"


@dataclass(frozen=True)
class Formula:
    """A formula, understood.

    Attributes
    ----------
    text : str
        As written.
    outcome : Outcome
        The left side.
    fixed : tuple of Term
        The intercept (the empty term) if any, then by order of interaction.
    random : tuple of RandomPart
        In the order written; `(1 | a/b)` is two, `a` and `a:b`.
    offsets : tuple of Expression
        What stands in `offset()`.
    """

    text: str
    outcome: Outcome
    fixed: tuple[Term, ...]
    random: tuple[RandomPart, ...]
    offsets: tuple[Expression, ...]

    @property
    def intercept(self) -> bool:
        """Whether the fixed part has an intercept."""
        return () in self.fixed

    @property
    def groups(self) -> tuple[str, ...]:
        """Grouping factors, each once, e.g. ``("batch", "batch:cask")``."""
        return tuple(dict.fromkeys(part.group for part in self.random))

    @property
    def variables(self) -> tuple[str, ...]:
        """Every column needed, each once: outcome, fixed part, offsets, random terms, groups."""
        random = chain.from_iterable(
            (*part.columns, *part.path, *part.memberships, *part.shares) for part in self.random
        )
        return tuple(dict.fromkeys((*self._always, *random)))

    @property
    def optional(self) -> tuple[str, ...]:
        """Columns that may be missing in a row: memberships, and weights of those that are."""
        random = chain.from_iterable((*part.columns, *part.path) for part in self.random)
        needed = {*self._always, *random}
        members = chain.from_iterable((*part.memberships, *part.shares) for part in self.random)
        return tuple(name for name in dict.fromkeys(members) if name not in needed)

    @property
    def _always(self) -> tuple[str, ...]:
        fixed = _columns(chain.from_iterable(self.fixed))
        return (*self.outcome.columns, *fixed, *_columns(self.offsets))


def parse(text: str) -> Formula:
    """Read a formula; nothing in it is ever run.

    Parameters
    ----------
    text : str
        As lme4 takes it, e.g. ``"log.radon ~ basement * uranium + (basement | county)"``.

    Returns
    -------
    Formula
        What it says.

    Raises
    ------
    FormulaError
        With the position of what is not understood or not allowed, and the way out.
    """
    left, right = sides(text)
    parts = summands(right)
    random = [part for sign, part in parts if sign == "+" and is_random(part)]
    offsets = [part for sign, part in parts if sign == "+" and _is_offset(part)]
    special = {id(part) for part in (*random, *offsets)}
    formula = Formula(
        text,
        _outcome(left, text),
        expand([(sign, part) for sign, part in parts if id(part) not in special], text),
        tuple(chain.from_iterable(_random(part, text) for part in random)),
        tuple(_offset(part, text) for part in offsets),
    )
    _check(formula)
    return formula


def _columns(expressions: chain[Expression] | tuple[Expression, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(chain.from_iterable(names_in(each) for each in expressions)))


def _outcome(left: Expression, text: str) -> Outcome:
    parts: tuple[Expression, ...] = (left,)
    kind = "column" if isinstance(left, Name) else "transformed"
    if isinstance(left, Call) and left.function == "cbind":
        parts, kind = left.arguments, "cbind"
        if len(parts) != 2:
            what = "cbind() has the wrong number of arguments"
            raise complaint(text, left.position, what, "write cbind(success, failure)")
    for part in parts:
        if any(isinstance(piece, Binary) and piece.operator in ("|", "||") for piece in walk(part)):
            raise complaint(text, part.position, "| stands left of ~", "write random terms right of ~")
        check_arithmetic(part, text)
    columns = _columns(parts)
    if not columns:
        raise complaint(text, 1, "the outcome names no column", "write the outcome to the left of ~")
    return Outcome(left.name if isinstance(left, Name) else deparse(left), kind, parts, columns)


def _is_offset(part: Expression) -> bool:
    return isinstance(part, Call) and part.function == "offset"


def _offset(part: Expression, text: str) -> Expression:
    assert isinstance(part, Call)
    inner = part.arguments[0]
    check_arithmetic(inner, text)
    return inner


def _random(part: Expression, text: str) -> list[RandomPart]:
    assert isinstance(part, Parentheses)
    bar = part.inner
    assert isinstance(bar, Binary)
    for piece in walk(bar.left):
        if isinstance(piece, Binary) and piece.operator in ("|", "||"):
            raise complaint(text, bar.position, "a random term has two |", "write one (x | g) a term")
    terms = expand(summands(bar.left), text)
    if not terms:
        raise complaint(text, part.position, "nothing varies in this random term", "write (1 | g)")
    group = bar.right
    while isinstance(group, Parentheses):
        group = group.inner
    if isinstance(group, Call) and group.function == "mm":
        return [_membership(terms, group, bar.operator == "|", text)]
    return [RandomPart(terms, path, bar.operator == "|") for path in _paths(group, text)]


def _membership(terms: tuple[Term, ...], call: Call, correlated: bool, text: str) -> RandomPart:
    """`mm(school1, school2, weights = cbind(w1, w2), scale = TRUE)`, as brms writes it."""
    options = dict(call.options)
    bound = options.get("weights")
    weights = bound.arguments if isinstance(bound, Call) else ()
    groups = _distinct_names(call.arguments, call, text)
    shares = _distinct_names(weights, call, text)
    if shares and len(shares) != len(groups):
        what = f"mm() has {len(groups)} groups and {len(shares)} weights"
        raise complaint(text, call.position, what, "give one weight a group")
    scale = options.get("scale")
    scaled = scale.value if isinstance(scale, Flag) else True
    return RandomPart(terms, (), correlated, groups, shares, scaled)


def _distinct_names(parts: tuple[Expression, ...], call: Call, text: str) -> tuple[str, ...]:
    names = tuple(part.name for part in parts if isinstance(part, Name))
    if len(set(names)) < len(parts):
        what = "mm() takes columns, each named once"
        raise complaint(text, call.position, what, "write mm(g1, g2) or mm(g1, g2, weights = cbind(w1, w2))")
    return names


def _paths(group: Expression, text: str) -> list[tuple[str, ...]]:
    """The grouping factors right of a `|`: `a/b` stands for `a` and `a:b`."""
    match group:
        case Name(name=name):
            return [(name,)]
        case Parentheses(inner=inner):
            return _paths(inner, text)
        case Binary(operator=":", left=left, right=right):
            first, second = _paths(left, text), _paths(right, text)
            if len(first) == len(second) == 1:
                return [_joined(first[0], second[0], group, text)]
        case Binary(operator="/", left=left, right=right):
            outer, inner_paths = _paths(left, text), _paths(right, text)
            return outer + [_joined(outer[-1], path, group, text) for path in inner_paths]
    raise complaint(
        text,
        group.position,
        f"{deparse(group)} is not a grouping factor",
        "write a column, a:b or a/b; for several factors write several terms, (1 | a) + (1 | b)",
    )


def _joined(outer: tuple[str, ...], inner: tuple[str, ...], where: Expression, text: str) -> tuple[str, ...]:
    if set(outer) & set(inner):
        raise complaint(
            text, where.position, "a grouping factor is nested in itself", "name each factor once"
        )
    return outer + inner


def _check(formula: Formula) -> None:
    """Problems that only the whole formula shows."""
    text, outcome = formula.text, formula.outcome
    if not formula.fixed:
        raise complaint(text, len(text), "the fixed part is empty", "keep an intercept or a predictor")
    alone = outcome.columns[0] if len(outcome.columns) == 1 and outcome.kind != "cbind" else None
    for part in chain(*formula.fixed, *(chain(*random.terms) for random in formula.random)):
        if part in outcome.parts or alone in names_in(part):
            raise complaint(
                text,
                part.position,
                f"the outcome {outcome.name} is among its own predictors",
                "remove it from the right side",
            )
    seen: set[tuple[str, Term]] = set()
    for random in formula.random:
        for term in random.terms:
            key = (":".join(sorted(random.path)) or random.group, term)
            if key in seen:
                raise complaint(
                    text,
                    len(text),
                    f"{term_label(term)} varies twice by {random.group}",
                    f"keep it in one term, e.g. (0 + x | {random.group}) beside (1 | {random.group})",
                )
            seen.add(key)
