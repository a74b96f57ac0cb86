"""A population-averaged model in mathematical form: mean, variance, working correlation, and what is solved.

Coefficients carry the mark M, marginal: they are not those of a mixed model with the same formula.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from nestwise.design.distributions import linked
from nestwise.design.markup import (
    ZERO,
    Equation,
    brackets,
    math,
    matrix,
    mi,
    mo,
    number,
    product,
    row,
    sub,
    summed,
    sup,
)
from nestwise.design.mathml import FixedShape, Shape
from nestwise.vocabulary import INTERCEPT

MARK = mi("M")
ALPHA, PHI, R = mi("α"), mi("φ"), mi("R")
MOST_VISITS = 6
"""Visits up to which estimated correlations are written out as a matrix."""
SHOWN = 4
"""Rows of a matrix that goes on in the same way."""


def marginal_symbol(place: int) -> str:
    """The coefficient of the fixed effect at `place`: a beta with the mark M."""
    return f"<msubsup>{mi('β')}{number(place)}{MARK}</msubsup>"


def marginal_equations(model: Shape, cluster: str, working: Mapping[str, Any]) -> tuple[Equation, ...]:
    """The equations of estimating equations.

    Parameters
    ----------
    model : Shape
        Its fixed part; the random terms only name the clusters.
    cluster : str
        What one cluster is called.
    working : mapping
        `structure`, and `parameters` by name with their estimates.

    Returns
    -------
    tuple of Equation
    """
    mean = f"<msubsup>{mi('p' if model.family == 'binomial' else 'μ')}{mi('i')}{MARK}</msubsup>"
    terms = [_term(effect, place) for place, effect in enumerate(model.fixed)]
    terms += [sub(mi("offset"), mi("i"))] if model.offset else []
    lines = [
        Equation("Mean of row i over all clusters", math(summed(linked(model.link, mean), terms))),
        Equation("Variance of a row", math(_variance(model, mean))),
    ]
    pair = row(mi("cor"), brackets(row(_y(model, "i"), mo(","), _y(model, "k"))), mo("="))
    lines += [
        Equation(f"Working correlation of two rows{told}", math(row(pair, value)))
        for told, value in _correlations(working, cluster)
    ]
    estimated = _estimated(working)
    if estimated is not None:
        lines.append(Equation(f"As estimated, of a {cluster}", math(row(R, mo("="), estimated))))
    lines.append(Equation("Solved for the coefficients", math(_solved())))
    return tuple(lines)


def _term(effect: FixedShape, place: int) -> str:
    symbol = marginal_symbol(place)
    return symbol if effect.name == INTERCEPT else row(symbol, product(effect.name, "i"))


def _y(model: Shape, index: str) -> str:
    return sub(mi(model.outcome), mi(index))


def _variance(model: Shape, mean: str) -> str:
    complement = brackets(row(number(1), mo("−"), mean))
    trials = [sub(mi("m"), mi("i"))] if model.trials else []
    functions = {
        "binomial": row(*trials, mean, complement),
        "poisson": mean,
        "gamma": sup(brackets(mean), number(2)),
    }
    inside = functions.get(model.family)
    return row(mi("var"), brackets(_y(model, "i")), mo("="), PHI, *([inside] if inside else []))


def _correlations(working: Mapping[str, Any], cluster: str) -> list[tuple[str, str]]:
    """Which rows are correlated, and by how much, in symbols."""
    inside = f" of a {cluster}"
    apart = row(mo("|"), sub(mi("t"), mi("i")), mo("−"), sub(mi("t"), mi("k")), mo("|"))
    structure = str(working["structure"])
    if structure == "ar1" and (unit := next(iter(working["parameters"]), "").partition(":")[2]):
        apart = row(apart, mo("/"), f"<mn>{escape(unit)}</mn>")
    if structure == "nested":
        groups = [str(name).partition(":")[2] for name in working["parameters"]]
        return [
            (f" of a {group}" + (f", not of one {groups[0]}" if place else ""), sub(ALPHA, number(place + 1)))
            for place, group in enumerate(groups)
        ]
    forms = {
        "independence": ZERO,
        "exchangeable": ALPHA,
        "ar1": sup(ALPHA, apart),
        "unstructured": sub(ALPHA, sub(mi("t"), mi("i")), mo(","), sub(mi("t"), mi("k"))),
        "m_dependent": sub(ALPHA, apart),
    }
    told = (
        f"{inside}, up to {len(working['parameters'])} visits apart" if structure == "m_dependent" else inside
    )
    return [(told, forms[structure])]


def _estimated(working: Mapping[str, Any]) -> str | None:
    """The matrix with its estimates, where it is small or goes on in one way."""
    structure, values = str(working["structure"]), dict(working["parameters"])
    if structure == "exchangeable":
        return _banded([next(iter(values.values()))] * (SHOWN - 2), goes_on=True)
    if structure == "m_dependent":
        lags = list(values.values())[: MOST_VISITS - 1]
        return _banded([*lags, 0.0], goes_on=True)
    if structure != "unstructured":
        return None
    pairs = {tuple(name.partition(":")[2].split(",")): value for name, value in values.items()}
    visits = list(dict.fromkeys(visit for pair in pairs for visit in pair))
    if len(visits) > MOST_VISITS or any(len(pair) != 2 for pair in pairs):
        return None
    return matrix(
        [
            [_number(1.0 if a == b else pairs.get((a, b), pairs.get((b, a), 0.0))) for a in visits]
            for b in visits
        ]
    )


def _banded(bands: Sequence[float], *, goes_on: bool) -> str:
    """A matrix whose entries depend on how far they lie from its diagonal."""
    values = [1.0, *bands]
    size = len(values)
    rows = [[_number(values[abs(i - j)]) for j in range(size)] for i in range(size)]
    if goes_on:
        rows = [[*line, mo("⋯")] for line in rows] + [[*[mo("⋮")] * size, mo("⋱")]]
    return matrix(rows)


def _number(value: float) -> str:
    text = f"{abs(value):.2f}" if value not in (0.0, 1.0) else f"{value:.0f}"
    return row(mo("−"), f"<mn>{text}</mn>") if value < 0 else f"<mn>{text}</mn>"


def _solved() -> str:
    """``sum_j D_j' V_j^-1 (y_j - mu_j) = 0`` with ``V_j = phi A_j^1/2 R A_j^1/2``."""
    j = mi("j")
    half = f"<mfrac>{number(1)}{number(2)}</mfrac>"
    root = f"<msubsup>{mi('A')}{j}{half}</msubsup>"
    D = f"<msubsup>{mi('D')}{j}{mi('T')}</msubsup>"
    V = f"<msubsup>{mi('V')}{j}{row(mo('−'), number(1))}</msubsup>"
    left = row(sub(mo("∑"), j), D, V, brackets(row(sub(mi("y"), j), mo("−"), sub(mi("μ"), j))), mo("="), ZERO)
    return row(left, mo(","), "<mspace width='0.8em'/>", sub(mi("V"), j), mo("="), PHI, root, R, root)
