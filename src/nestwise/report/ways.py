"""Five ways to write one model (Gelman & Hill 2007, section 12.5): the same model, five readers."""

from __future__ import annotations

from dataclasses import dataclass

from nestwise.design.markup import (
    SIGMA2,
    ZERO,
    Equation,
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
from nestwise.design.mathml import Shape
from nestwise.vocabulary import INTERCEPT


@dataclass(frozen=True)
class Way:
    """One way to write the model: its name, its mathematics and a sentence."""

    title: str
    equations: tuple[Equation, ...]
    words: str


BETA, GAMMA, ETA, EPSILON = mi("β"), mi("γ"), mi("η"), sub(mi("ε"), mi("i"))
COVARIANCE = mi("Ω")


def _lines(*contents: str) -> tuple[Equation, ...]:
    return tuple(Equation("", math(content)) for content in contents)


def _varying(model: Shape, symbol: str, index: str) -> list[str]:
    """The varying coefficients times their columns."""
    names = model.random[0].names
    return [
        sub(symbol, number(at), index)
        if name == INTERCEPT
        else row(sub(symbol, number(at), index), product(name, "i"))
        for at, name in enumerate(names)
    ]


def _classical(model: Shape) -> Way:
    y = sub(mi(model.outcome), mi("i"))
    same = [row(sub(mi("x"), mi("i")), BETA)] if any(e.coefficient is None for e in model.fixed) else []
    line = summed(y, [*_varying(model, BETA, group_index("j")), *same, EPSILON])
    return Way(
        "A classical regression whose coefficients vary by group",
        _lines(line),
        "An ordinary regression in which each "
        f"{model.random[0].group} has coefficients of its own, drawn from a common distribution.",
    )


def _local(model: Shape) -> Way:
    group = model.random[0].group
    local = row(
        sub(mi("y"), mi("i")), mo("∼"), normal(row(sub(mi("z"), mi("i")), sub(BETA, mi("j"))), SIGMA2)
    )
    second = row(sub(BETA, mi("j")), mo("∼"), normal(row(sub(mi("U"), mi("j")), GAMMA), COVARIANCE))
    return Way(
        f"A regression inside each {group}, joined by a second level",
        _lines(local, second),
        f"First a regression for the rows of each {group}, then a regression of their coefficients on what "
        f"is known of the {group} (u); the second level is what lets the groups learn from each other.",
    )


def _indicators(_: Shape) -> Way:
    line = row(
        sub(mi("y"), mi("i")),
        mo("∼"),
        normal(row(sub(mi("X"), mi("i")), BETA, mo("+"), sub(mi("Z"), mi("i")), mi("b")), SIGMA2),
    )
    prior = row(sub(mi("b"), mi("j")), mo("∼"), normal(ZERO, COVARIANCE))
    return Way(
        "One large regression with indicators of the groups, their coefficients normal",
        _lines(line, prior),
        "All predictors and an indicator for every group in one regression; the indicators' coefficients "
        "are pulled toward zero by as much as the data support (a ridge penalty that is estimated).",
    )


def _errors(model: Shape) -> Way:
    y = sub(mi("y"), mi("i"))
    line = summed(y, [row(sub(mi("X"), mi("i")), BETA), *_varying(model, ETA, group_index("j")), EPSILON])
    return Way(
        "One regression with several error terms",
        _lines(line),
        "A single equation for the average, and errors at two levels: one shared by all rows of a group, one "
        "of the row itself.",
    )


def _correlated(model: Shape) -> Way:
    names = model.random[0].names
    lead = row(mi("y"), mo("∼"), normal(row(mi("X"), BETA), mi("V")))
    if names == (INTERCEPT,):
        tau2 = sup(sub(mi("τ"), number(0)), number(2))
        block = matrix(
            [
                [row(SIGMA2, mo("+"), tau2), tau2, mo("⋯")],
                [tau2, row(SIGMA2, mo("+"), tau2), mo("⋯")],
                [mo("⋮"), mo("⋮"), mo("⋱")],
            ]
        )
        each = row(sub(mi("V"), mi("j")), mo("="), block)
        words = (
            "No group effects at all, only errors that are correlated inside a group by "
            "the intraclass correlation and independent between groups."
        )
    else:
        z = sub(mi("Z"), mi("j"))
        each = row(sub(mi("V"), mi("j")), mo("="), z, COVARIANCE, sup(z, mi("T")), mo("+"), SIGMA2, mi("I"))
        words = (
            "No group effects at all, only errors that are correlated inside a group, by an amount that "
            f"depends on {', '.join(n for n in names if n != INTERCEPT)}, and independent between groups."
        )
    return Way("One regression with correlated errors", _lines(lead, each), words)


def five_ways(model: Shape) -> tuple[Way, ...]:
    """The five ways, for a Gaussian model with one grouping factor; empty for others.

    Parameters
    ----------
    model : Shape
        From `nestwise.design.mathml.shape`.
    """
    if not model.levelled or model.family != "gaussian":
        return ()
    return tuple(write(model) for write in (_classical, _local, _indicators, _errors, _correlated))
