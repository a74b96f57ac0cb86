"""The distribution of a row and its link, as mathematics: what stands on the left of a model's equations."""

from __future__ import annotations

from nestwise.design.markup import (
    SIGMA2,
    ZERO,
    Equation,
    brackets,
    math,
    mi,
    mo,
    normal,
    number,
    row,
    sub,
    sup,
)

THRESHOLD = mi("θ")
PREDICTOR = mi("λ")
"""Linear predictor of an ordinal outcome; the letter η is taken by the random effects."""
DISPERSIONS = {"negative_binomial": ("k", "size"), "gamma": ("ν", "shape")}
"""Symbol of the dispersion and its name in the tables, by family."""


def mean_symbol(family: str) -> str:
    """The mean of a row: a probability where the outcome is binomial."""
    return sub(mi("p" if family == "binomial" else "μ"), mi("i"))


def linked(link: str, inside: str) -> str:
    """The link of something: the thing itself for the identity."""
    if link == "identity":
        return inside
    if link == "inverse":
        return f"<mfrac>{number(1)}{inside}</mfrac>"
    names = {"probit": row(sup(mi("Φ"), row(mo("−"), number(1)))), "cloglog": mi("cloglog")}
    return row(names.get(link, mi(link)), brackets(inside))


def outcome_equations(
    outcome: str, family: str, link: str, *, trials: bool
) -> tuple[str, list[str], tuple[Equation, ...]]:
    """What the linear predictor is of, the residual of a row, and how a row is distributed.

    Parameters
    ----------
    outcome : str
        Name of the outcome.
    family, link : str
        As a study file has them.
    trials : bool
        Whether a binomial row counts successes of several trials.

    Returns
    -------
    left : str
        Left side of the equation of the rows.
    errors : list of str
        The residual as a term of its sum; empty where there is none.
    lines : tuple of Equation
        The distribution of a row, and its variance where it has a dispersion.
    """
    y = sub(mi(outcome), mi("i"))
    if family == "gaussian" and link == "identity":
        error = sub(mi("ε"), mi("i"))
        return y, [error], (Equation("Residuals", math(row(error, mo("∼"), normal(ZERO, SIGMA2)))),)
    if family == "ordinal":
        predictor = sub(PREDICTOR, mi("i"))
        below = row(mi("P"), brackets(row(y, mo("≤"), mi("c"))))
        cut = row(linked(link, below), mo("="), sub(THRESHOLD, mi("c")), mo("−"), predictor)
        return predictor, [], (Equation("Outcome in category c or lower", math(cut)),)
    mu = mean_symbol(family)
    lines = [Equation("Outcome", math(row(y, mo("∼"), _distribution(family, mu, trials=trials))))]
    if family in DISPERSIONS:
        variance = row(mi("var"), brackets(y), mo("="), _variance(family, mu))
        lines.append(Equation("Variance of a row", math(variance)))
    return linked(link, mu), [], tuple(lines)


def _distribution(family: str, mu: str, *, trials: bool) -> str:
    if family == "binomial" and trials:
        return row(mi("Binomial"), brackets(row(sub(mi("m"), mi("i")), mo(","), mu)))
    if family == "gaussian":
        return normal(mu, SIGMA2)
    names = {"binomial": "Bernoulli", "poisson": "Poisson", "gamma": "Gamma"}
    name = mi(names.get(family, "Negative binomial"))
    inside = row(mu, mo(","), mi(DISPERSIONS[family][0])) if family in DISPERSIONS else mu
    return row(name, brackets(inside))


def _variance(family: str, mu: str) -> str:
    square = sup(mu, number(2))
    extra = f"<mfrac>{square}{mi(DISPERSIONS[family][0])}</mfrac>"
    return extra if family == "gamma" else row(mu, mo("+"), extra)
