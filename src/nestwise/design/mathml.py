"""A model in mathematical form: multilevel notation, written as MathML from the design.

Notation: rows i = 1..n, groups j = 1..J; beta for coefficients of the rows, gamma for the coefficients
of the group-level regressions that the varying coefficients follow, eta for what is left of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nestwise.design.distributions import DISPERSIONS, outcome_equations
from nestwise.design.group_level import group_level_parts
from nestwise.design.markup import (
    ZERO,
    Equation,
    Symbol,
    factors,
    group_index,
    math,
    matrix,
    mi,
    mo,
    normal,
    number,
    product,
    row,
    sub,
    summed,
    sup,
)
from nestwise.design.record import Design
from nestwise.vocabulary import INTERCEPT

GROUP_LETTERS = "jklmhg"
RELATION = mi("A")
"""The known covariance between groups."""


@dataclass(frozen=True)
class FixedShape:
    """One fixed effect and the equation it belongs to.

    `coefficient` is the number of the varying coefficient whose group-level regression the effect is
    part of, `part` its group-level variable there ("" for the mean); both None for an effect that is
    the same in every group.
    """

    name: str
    coefficient: int | None = None
    part: str | None = None


@dataclass(frozen=True)
class RandomShape:
    """One term in brackets without its data.

    `memberships`: groups a row may belong to at once; `relation`: whether a known covariance between the
    groups, A, multiplies the variances.
    """

    group: str
    names: tuple[str, ...]
    correlated: bool
    n_groups: int
    memberships: int = 1
    relation: bool = False


@dataclass(frozen=True)
class Shape:
    """What must be known of a design to write it down."""

    outcome: str
    n: int
    fixed: tuple[FixedShape, ...]
    random: tuple[RandomShape, ...]
    family: str = "gaussian"
    link: str = "identity"
    offset: bool = False
    trials: bool = False

    @property
    def levelled(self) -> bool:
        """Whether one grouping factor alone varies, so that level 2 can be written by coefficient.

        Not where rows belong to several groups, or groups are related: no group's equation stands alone.
        """
        return len(self.random) == 1 and self.random[0].memberships == 1 and not self.random[0].relation


@dataclass(frozen=True)
class Writing:
    """A model written down: its equations, and the key from symbols to the terms of the tables."""

    equations: tuple[Equation, ...]
    symbols: tuple[Symbol, ...]


def _without(name: str, varying: str) -> str | None:
    """The factors of `name` that are not factors of `varying`; None if some of those are absent."""
    if name == varying:
        return ""
    if varying == INTERCEPT:
        return name
    left = list(factors(name))
    for factor in factors(varying):
        if factor not in left:
            return None
        left.remove(factor)
    return ":".join(left)


def shape(design: Design) -> Shape:
    """Reduce a design to what its equations need.

    A fixed effect belongs to the regression of a varying coefficient as `design.levels` says: group-level
    predictors belong to the intercept, cross-level interactions to the slope. One that belongs to several
    coefficients, or whose name does not show its group-level part, stays in the equation of the rows.
    """
    fixed = tuple(FixedShape(name) for name in design.names)
    if len(design.random) == 1:
        parts = group_level_parts(design, design.random[0])
        owners = [[r for r, part in enumerate(parts) if c in part.columns] for c in range(len(design.names))]
        fixed = tuple(
            _placed(name, own, parts[own[0]].coefficient) if len(own) == 1 else FixedShape(name)
            for name, own in zip(design.names, owners, strict=True)
        )
    random = tuple(
        RandomShape(
            t.group,
            t.names,
            t.correlated,
            t.n_groups,
            1 if t.membership is None else int(t.membership.codes.shape[1]),
            t.relation is not None,
        )
        for t in design.random
    )
    if design.family == "ordinal":
        fixed = tuple(effect for effect in fixed if effect.name != INTERCEPT)  # thresholds stand for it
    return Shape(
        design.outcome,
        design.n,
        fixed,
        random,
        design.family,
        design.link,
        offset=design.offset is not None,
        trials=design.trials is not None,
    )


def _placed(name: str, owners: Sequence[int], varying: str) -> FixedShape:
    part = _without(name, varying)
    return FixedShape(name) if part is None else FixedShape(name, owners[0], part)


def shape_from_record(record: Mapping[str, Any]) -> Shape:
    """Read back a shape saved with `dataclasses.asdict` (lists where there were tuples)."""
    return Shape(
        **{key: record[key] for key in ("outcome", "n", "family", "link", "offset")},
        trials=bool(record.get("trials")),
        fixed=tuple(FixedShape(**row) for row in record["fixed"]),
        random=tuple(RandomShape(**(row | {"names": tuple(row["names"])})) for row in record["random"]),
    )


def covariance(term: RandomShape, mark: str = "") -> str:
    """The covariance matrix of one term's coefficients: variances, and correlations times SDs."""
    size = len(term.names)

    def deviation(at: int) -> str:
        return sub(mi("τ"), number(at), *([mo(","), mi(mark)] if mark else []))

    def cell(r: int, s: int) -> str:
        if r == s:
            return sup(deviation(r), number(2))
        if not term.correlated:
            return ZERO
        low, high = min(r, s), max(r, s)
        rho = mi("ρ") if size == 2 else sub(mi("ρ"), number(low), number(high))
        return row(rho, deviation(low), deviation(high))

    return matrix([[cell(r, s) for s in range(size)] for r in range(size)])


def drawn(symbols: Sequence[str], term: RandomShape, mark: str = "") -> str:
    """``(eta_0j, eta_1j) ~ N(0, covariance)``."""
    related = [mo("⊗"), RELATION] if term.relation else []
    if len(symbols) == 1:
        tau = sub(mi("τ"), number(0), *([mo(","), mi(mark)] if mark else []))
        variance = sup(tau, number(2))
        return row(symbols[0], mo("∼"), normal(ZERO, row(variance, RELATION) if related else variance))
    nought = matrix([[ZERO] for _ in symbols])
    Sigma = row(covariance(term, mark), *related) if related else covariance(term, mark)
    return row(matrix([[symbol] for symbol in symbols]), mo("∼"), normal(nought, Sigma))


def _outcome(model: Shape) -> tuple[str, list[str], tuple[Equation, ...]]:
    """The left side, the residual as a term of the sum, and what else is said of the rows."""
    return outcome_equations(model.outcome, model.family, model.link, trials=model.trials)


def _offset(model: Shape) -> list[str]:
    return [sub(mi("offset"), mi("i"))] if model.offset else []


def _coefficient(name: str, symbol: str) -> str:
    return symbol if name == INTERCEPT else row(symbol, product(name, "i"))


def _levelled(model: Shape) -> Writing:
    """One grouping factor: the rows' equation, then one equation a varying coefficient."""
    term = model.random[0]
    index = group_index("j")
    terms = [_coefficient(name, sub(mi("β"), number(at), index)) for at, name in enumerate(term.names)]
    symbols, second = [], []
    same = [effect for effect in model.fixed if effect.coefficient is None]
    for at, effect in enumerate(same, start=len(term.names)):
        beta = sub(mi("β"), number(at))
        terms.append(_coefficient(effect.name, beta))
        symbols.append(Symbol(math(beta, block=False), "fixed", effect.name))
    left, error, spread = _outcome(model)
    first = Equation("Level 1: observations", math(summed(left, terms + _offset(model) + error)))
    for at, name in enumerate(term.names):
        gammas = []
        own = [effect for effect in model.fixed if effect.coefficient == at]
        for place, effect in enumerate(sorted(own, key=lambda effect: effect.part != "")):
            gamma = sub(mi("γ"), number(at), number(place))
            part = f"{gamma}{product(effect.part, 'j')}" if effect.part else gamma
            gammas.append(row(part))
            symbols.append(Symbol(math(gamma, block=False), "fixed", effect.name))
        eta = sub(mi("η"), number(at), mi("j"))
        what = "intercept" if name == INTERCEPT else f"slope of {name}"
        second.append(
            Equation(
                f"Level 2: {what} of {term.group} j",
                math(summed(sub(mi("β"), number(at), mi("j")), [*gammas, eta])),
            )
        )
    etas = [sub(mi("η"), number(at), mi("j")) for at in range(len(term.names))]
    cloud = Equation(f"Between groups ({term.group})", math(drawn(etas, term)))
    return Writing(
        (first, *spread, *second, cloud),
        (*symbols, *_variance_symbols(term), *_residual_symbol(model)),
    )


def _crossed(model: Shape) -> Writing:
    """Several grouping factors, or none: fixed effects plus one error term a factor and coefficient."""
    terms, symbols, clouds = [], [], []
    for at, effect in enumerate(model.fixed):
        beta = sub(mi("β"), number(at))
        terms.append(_coefficient(effect.name, beta))
        symbols.append(Symbol(math(beta, block=False), "fixed", effect.name))
    for position, term in enumerate(model.random):
        letter = GROUP_LETTERS[position % len(GROUP_LETTERS)]
        etas = []
        for at, name in enumerate(term.names):
            terms.append(_coefficient(name, _effect(term, at, letter)))
            # Related groups are drawn together: their effects stand as one vector.
            own = [] if term.relation else [mo(","), mi(letter)]
            etas.append(sub(mi("η"), number(at), *own))
        clouds.append(Equation(f"Between groups ({term.group}, {letter})", math(drawn(etas, term, letter))))
        symbols.extend(_variance_symbols(term, letter))
    left, error, spread = _outcome(model)
    first = Equation("Observations", math(summed(left, terms + _offset(model) + error)))
    return Writing((first, *spread, *clouds), (*symbols, *_residual_symbol(model)))


def _effect(term: RandomShape, at: int, letter: str) -> str:
    """The effect of a row's group, or of its groups with their weights."""
    if term.memberships == 1:
        return sub(mi("η"), number(at), mo(","), group_index(letter))
    weight = sub(mi("w"), mi("i"), mi(letter))
    return row(sub(mo("∑"), mi(letter)), weight, sub(mi("η"), number(at), mo(","), mi(letter)))


def _variance_symbols(term: RandomShape, mark: str = "") -> list[Symbol]:
    symbols = []
    for at, name in enumerate(term.names):
        tau = sub(mi("τ"), number(at), *([mo(","), mi(mark)] if mark else []))
        symbols.append(Symbol(math(tau, block=False), "sd", name, term.group))
    if term.correlated:
        for r in range(len(term.names)):
            for s in range(r + 1, len(term.names)):
                rho = mi("ρ") if len(term.names) == 2 else sub(mi("ρ"), number(r), number(s))
                pair = f"{term.names[r]}:{term.names[s]}"
                symbols.append(Symbol(math(rho, block=False), "cor", pair, term.group))
    return symbols


def _residual_symbol(model: Shape) -> list[Symbol]:
    symbol, name = DISPERSIONS.get(model.family, ("σ", "sigma"))
    if model.family != "gaussian" and model.family not in DISPERSIONS:
        return []
    return [Symbol(math(mi(symbol), block=False), "residual", name)]


def write(model: Shape) -> Writing:
    """Write a model in multilevel notation.

    Parameters
    ----------
    model : Shape
        From `shape`, or read back with `shape_from_record`.

    Returns
    -------
    Writing
        Equations of the rows (level 1), of each varying coefficient (level 2) and of the covariance,
        and what each symbol is called in the tables.
    """
    return _levelled(model) if model.levelled else _crossed(model)


def equations(design: Design) -> list[str]:
    """The equations of a design, each a whole `<math>` element."""
    return [equation.mathml for equation in write(shape(design)).equations]
