"""What the formula of an analysis asks of its imputation model: products, slopes, nonlinear terms."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from nestwise.data.dataset import Dataset
from nestwise.formula.functions import FUNCTIONS, MATHEMATICS
from nestwise.formula.parser import options_of
from nestwise.formula.record import Formula
from nestwise.formula.syntax import Binary, Call, Expression, Name, Number, Parentheses, names_in, walk
from nestwise.formula.terms import Term, term_label
from nestwise.imputation.record import Product

FACTORS = tuple(name for name, signature in FUNCTIONS.items() if signature.kind == "factor")
HIGHEST_POWER = 4
"""Powers above this one are left to the lower ones."""


@dataclass(frozen=True)
class Demands:
    """What an analysis model is made of, in terms of stored variables.

    Attributes
    ----------
    variables : tuple of str
        Those its outcome, fixed part, offsets and slopes need; derived ones replaced by their sources.
    products : tuple of Product
        Interactions and powers.
    slopes : mapping of str to tuple of str
        By grouping factor as written, the variables or products whose coefficients vary.
    transformed : frozenset of str
        Variables that stand inside a nonlinear function such as log(): their imputed values are taken from
        the observed ones, for which the function is defined.
    contextual : tuple of str
        Variables whose group means or deviations from them enter.
    outcome_transformed : bool
        Whether the outcome is no single column.
    factored : frozenset of str
        Variables whose values are levels, as `factor(visit)` says.
    """

    variables: tuple[str, ...]
    products: tuple[Product, ...]
    slopes: Mapping[str, tuple[str, ...]]
    transformed: frozenset[str]
    contextual: tuple[str, ...] = ()
    outcome_transformed: bool = False
    factored: frozenset[str] = frozenset()


def demands(formula: Formula, dataset: Dataset) -> Demands:
    """Read a formula for what its variables are to be imputed with."""
    stored = _stored(dataset)
    terms = [*formula.fixed, *(term for part in formula.random for term in part.terms)]
    expressions = [*formula.outcome.parts, *formula.offsets, *(factor for term in terms for factor in term)]
    names = dict.fromkeys(stored(name) for expression in expressions for name in names_in(expression))
    products: dict[str, Product] = {}
    for term in terms:
        for product in _products(term, stored):
            products.setdefault(product.name, product)
    slopes: dict[str, dict[str, None]] = {}
    for part in formula.random:
        listed = slopes.setdefault(part.group, {})
        for term in part.terms:
            listed |= dict.fromkeys(_slopes(term, stored))

    def inside(functions: Collection[str]) -> frozenset[str]:
        calls = [inner for each in expressions for inner in walk(each) if isinstance(inner, Call)]
        return frozenset(
            stored(name) for call in calls if call.function in functions for name in names_in(call)
        )

    return Demands(
        tuple(names),
        tuple(products.values()),
        {group: tuple(listed) for group, listed in slopes.items()},
        inside(MATHEMATICS),
        _contextual(expressions, dataset),
        formula.outcome.kind != "column",
        inside(FACTORS),
    )


def _contextual(expressions: Sequence[Expression], dataset: Dataset) -> tuple[str, ...]:
    used = {name for expression in expressions for name in names_in(expression)}
    made = {each.as_: each for each in dataset.derivations}
    waiting, found = [name for name in used if name in made], set()
    while waiting:
        derivation = made[waiting.pop()]
        if derivation.group is not None:
            found.add(_stored(dataset)(derivation.source))
        if derivation.source in made:
            waiting.append(derivation.source)
    return tuple(sorted(found))


class _Stored:
    """The stored variable behind a derived one."""

    def __init__(self, dataset: Dataset) -> None:
        self._sources = {derivation.as_: derivation.source for derivation in dataset.derivations}

    def __call__(self, name: str) -> str:
        while name in self._sources:
            name = self._sources[name]
        return name


def _stored(dataset: Dataset) -> _Stored:
    return _Stored(dataset)


def _products(term: Term, stored: _Stored) -> list[Product]:
    """The product a term is, and the lower powers of a polynomial in it."""
    factors = tuple(stored(name) for factor in term for name in _factors(factor))
    found = [Product(_label(term, factors), factors)] if len(factors) > 1 else []
    for factor in term:
        power = _power(factor)
        if power > 2:  # the lower powers of a polynomial stand in it too
            base = _factors(factor)[:1]
            lower = [tuple(stored(name) for name in base * p) for p in range(2, power)]
            found += [Product("*".join(each), each) for each in lower]
    return found


def _slopes(term: Term, stored: _Stored) -> list[str]:
    factors = tuple(stored(name) for factor in term for name in _factors(factor))
    if len(factors) > 1:
        return [_label(term, factors)]
    return list(factors)


def _label(term: Term, factors: tuple[str, ...]) -> str:
    return term_label(term) if len(term) > 1 else "*".join(factors)


def _factors(expression: Expression) -> tuple[str, ...]:  # noqa: PLR0911 (one case a node)
    """Variables whose product an expression is, nearly: sums count as their parts' first, powers repeat."""
    match expression:
        case Name(name=name):
            return (name,)
        case Parentheses(inner=inner):
            return _factors(inner)
        case Binary(operator="*" | ":", left=left, right=right):
            return _factors(left) + _factors(right)
        case Binary(operator="^", left=left, right=Number(value=power)) if power == int(power) and power > 0:
            return _factors(left) * min(int(power), HIGHEST_POWER)
        case Call(function="I" | "scale" | "center", arguments=arguments):
            return _factors(arguments[0])
        case Call(function=function, arguments=arguments) if FUNCTIONS[function].kind == "basis":
            return _factors(arguments[0]) * _power(expression)
    return names_in(expression)[:1]


def _power(expression: Expression) -> int:
    """The highest power of a basis; splines bend, and a square is what the imputation model knows of it."""
    if not (isinstance(expression, Call) and FUNCTIONS[expression.function].kind == "basis"):
        return 1
    if expression.function == "poly":
        return min(int(options_of(expression).get("degree", 1)), HIGHEST_POWER)
    return 2
