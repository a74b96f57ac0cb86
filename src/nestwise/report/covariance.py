"""The covariance of the residuals of a model: as mathematics, in words, and its symbols."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nestwise.design.markup import (
    SIGMA2,
    ZERO,
    Equation,
    Symbol,
    math,
    matrix,
    mi,
    mo,
    normal,
    number,
    row,
    sub,
    sup,
)

MOST_IN_MATRIX = 5
"""Visits up to which the correlations are written out as a matrix."""
SHORT = 6
"""Characters of a visit's name that fit under a symbol."""

STRUCTURES: Mapping[str, str] = {
    "unstructured": "every variance and every correlation of the visits is estimated freely (unstructured)",
    "compound_symmetry": "any two visits are correlated alike (compound symmetry)",
    "ar1": "the correlation of two visits is ρ to the power of the time between them (first-order "
    "autoregression on true times)",
    "toeplitz": "the correlation of two visits depends on how many visits they lie apart (Toeplitz)",
    "antedependence": "the correlation of two visits is the product of the correlations of the neighbours "
    "between them (first-order ante-dependence)",
    "independent": "residuals are independent",
}
_TERM = re.compile(r"(?P<kind>\w+)(?:\[(?P<inside>.*)\])?", re.DOTALL)
SIGMA, RHO, DELTA, EPSILON, COVARIANCE = mi("σ"), mi("ρ"), mi("δ"), mi("ε"), mi("Σ")
T, U, S = mi("t"), mi("u"), mi("s")


def kind_and_place(term: str) -> tuple[str, str]:
    """Kind of a residual parameter and where it holds: `cor[placebo:2,3]` is cor at `placebo:2,3`.

    Parameters
    ----------
    term : str
        As the table of estimates names it.
    """
    found = _TERM.fullmatch(term)
    return (found["kind"], found["inside"] or "") if found else (term, "")


def is_plain(design: Mapping[str, Any]) -> bool:
    """Whether residuals are independent with one variance, as a shape writes them."""
    return not (design.get("residual") or design.get("weights") or design.get("sampling_error"))


def residual_equations(
    design: Mapping[str, Any], names: Mapping[str, str], times: Sequence[float] = ()
) -> tuple[Equation, ...]:
    """The distribution of the residuals of a model.

    Parameters
    ----------
    design : mapping
        `design.json` of the model.
    names : mapping
        `weights`, `sampling_error`: columns; `subject`: what one subject is called.
    times : sequence of float
        Times of the visits, where they are known.

    Returns
    -------
    tuple of Equation
        Empty for plain residuals, which the shape of the model writes by itself.
    """
    if is_plain(design):
        return ()
    residual = design.get("residual")
    if residual is None or residual["structure"] == "independent":
        error = sub(EPSILON, mi("i"))
        variance = _row_variance(design, residual, names)
        return (Equation("Residuals", math(row(error, mo("∼"), normal(ZERO, variance)))),)
    return _structured(design, residual, names, times)


def _row_variance(
    design: Mapping[str, Any], residual: Mapping[str, Any] | None, names: Mapping[str, str]
) -> str:
    if design.get("sampling_error"):
        return sup(sub(mi(names.get("sampling_error", "s")), mi("i")), number(2))
    variance = _squared_scale(residual, "i")
    if design.get("weights"):
        weight = sub(mi(names.get("weights", "w")), mi("i"))
        return f"<mfrac>{variance}{weight}</mfrac>"
    return variance


def _squared_scale(residual: Mapping[str, Any] | None, index: str) -> str:
    """The variance of row `index`: one, one a visit, or following a covariate."""
    function = (residual or {}).get("variance")
    if function is None:
        heterogeneous = bool(residual and residual["heterogeneous"])
        return sup(sub(SIGMA, T), number(2)) if heterogeneous else SIGMA2
    x = sub(mi(str(function["name"])), mi(index))
    if function["kind"] == "power":
        return row(SIGMA2, sup(row(mo("|"), x, mo("|")), row(number(2), DELTA)))
    if function["kind"] == "exponential":
        return row(SIGMA2, mi("exp"), mo("("), number(2), DELTA, x, mo(")"))
    return sup(sub(SIGMA, x), number(2))


def _structured(
    design: Mapping[str, Any],
    residual: Mapping[str, Any],
    names: Mapping[str, str],
    times: Sequence[float],
) -> tuple[Equation, ...]:
    by = str(residual.get("by") or "")
    covariance = sub(COVARIANCE, mi(by), mo("["), S, mo("]")) if by else COVARIANCE
    lead = row(sub(EPSILON, S), mo("∼"), normal(ZERO, covariance))
    correlation = _correlation(residual["structure"])
    scales = _scales(design, residual, names)
    entry = row(mi("cov"), mo("("), sub(EPSILON, S, T), mo(","), sub(EPSILON, S, U), mo(")"))
    lines = [
        Equation(f"Residuals of one {names.get('subject', 'subject')}, s", math(lead)),
        Equation("Covariance of visits t and u", math(row(entry, mo("="), *scales, correlation))),
    ]
    visits = [str(visit) for visit in residual.get("visits") or ()]
    if 2 <= len(visits) <= MOST_IN_MATRIX:
        cells = _matrix(residual["structure"], visits, times)
        lines.append(Equation("Correlations of the visits", math(matrix(cells))))
    return tuple(lines)


def _scales(
    design: Mapping[str, Any], residual: Mapping[str, Any], names: Mapping[str, str]
) -> tuple[str, ...]:
    """The two standard deviations that a correlation is multiplied by."""
    function = residual.get("variance")
    if function is None:
        scales = [sub(SIGMA, T), sub(SIGMA, U)] if residual["heterogeneous"] else [SIGMA2]
    else:

        def scale(index: str) -> str:
            x = sub(mi(str(function["name"])), S, index)
            if function["kind"] == "power":
                return row(SIGMA, sup(row(mo("|"), x, mo("|")), DELTA))
            if function["kind"] == "exponential":
                return row(SIGMA, mi("exp"), mo("("), DELTA, x, mo(")"))
            return sub(SIGMA, x)

        scales = [scale(T), scale(U)]
    if not design.get("weights"):
        return tuple(scales)
    weights = [sub(mi(names.get("weights", "w")), S, index) for index in (T, U)]
    return (f"<mfrac>{row(*scales)}<msqrt>{row(*weights)}</msqrt></mfrac>",)


def _correlation(structure: str) -> str:
    """The correlation of visits t and u, t before u."""
    between = row(mo("|"), sub(mi("x"), T), mo("−"), sub(mi("x"), U), mo("|"))
    forms: Mapping[str, str] = {
        "unstructured": sub(RHO, T, U),
        "compound_symmetry": RHO,
        "ar1": sup(RHO, between),
        "toeplitz": sub(RHO, row(mo("|"), T, mo("−"), U, mo("|"))),
        "antedependence": row(
            sub(RHO, T), sub(RHO, row(T, mo("+"), number(1))), mo("⋯"), sub(RHO, row(U, mo("−"), number(1)))
        ),
    }
    return forms[structure]


def _matrix(structure: str, visits: Sequence[str], times: Sequence[float]) -> list[list[str]]:
    """Correlations of all visits, with the visits called as in the table of estimates."""
    n = len(visits)
    names = visits if max(map(len, visits)) <= SHORT else [str(place + 1) for place in range(n)]

    def pair(low: int, high: int) -> str:
        return sub(RHO, mi(names[low]), mo(","), mi(names[high]))

    def cell(t: int, u: int) -> str:
        if t == u:
            return number(1)
        low, high = min(t, u), max(t, u)
        apart = times[high] - times[low] if len(times) == n else float(high - low)
        forms: Mapping[str, Callable[[], str]] = {
            "unstructured": lambda: pair(low, high),
            "compound_symmetry": lambda: RHO,
            "ar1": lambda: RHO if apart == 1 else sup(RHO, f"<mn>{apart:.4g}</mn>"),
            "toeplitz": lambda: sub(RHO, number(high - low)),
            "antedependence": lambda: row(*(pair(v, v + 1) for v in range(low, high))),
        }
        return forms[structure]()

    return [[cell(t, u) for u in range(n)] for t in range(n)]


def residual_words(design: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """The assumptions on the residuals of a model in a sentence; "" for plain ones.

    Parameters
    ----------
    design : mapping
        `design.json` of the model.
    names : mapping
        As in `residual_equations`.
    """
    parts = []
    residual = design.get("residual")
    if residual is not None:
        subject, structure = names.get("subject", "subject"), residual["structure"]
        inside = "" if structure == "independent" else f"inside a {subject} "
        parts.append(f"{inside}{STRUCTURES[structure]}")
        if structure not in ("unstructured", "independent"):
            if residual["heterogeneous"]:
                parts.append("each visit has a variance of its own")
            elif residual.get("variance") is None:
                parts.append("all visits have one variance")
        elif structure == "independent" and residual["heterogeneous"]:
            parts.append("each visit has a variance of its own")
        parts += _function_words(residual.get("variance"))
        if residual.get("by"):
            parts.append(f"each level of {residual['by']} has a covariance of its own")
    if design.get("weights"):
        parts.append(f"the variance of a row is divided by its weight {names.get('weights', '')}".rstrip())
    if design.get("sampling_error"):
        column = names.get("sampling_error", "")
        parts.append(
            f"the standard error of each row is known ({column}) and no residual variance is estimated"
        )
    if not parts:
        return ""
    said = "; ".join(parts)
    count = (residual or {}).get("n_parameters")
    tail = f" ({count} covariance parameters)" if count and count > 1 else ""
    return f"{said[0].upper()}{said[1:]}{tail}."


def _function_words(function: Mapping[str, Any] | None) -> list[str]:
    if function is None:
        return []
    name = function["name"]
    words = {
        "power": f"the standard deviation is a power of {name}, σ|{name}|^δ",
        "exponential": f"the standard deviation is an exponential function of {name}, σ exp(δ·{name})",
        "strata": f"each level of {name} has a standard deviation of its own",
    }
    return [words[function["kind"]]]


def residual_symbols(terms: Sequence[str]) -> tuple[Symbol, ...]:
    """The symbols of residual parameters.

    Parameters
    ----------
    terms : sequence of str
        As the table of estimates names them.
    """
    return tuple(Symbol(math(_symbol(term), block=False), "residual", term) for term in terms)


def _symbol(term: str) -> str:
    kind, place = kind_and_place(term)
    base = {"sigma": SIGMA, "rho": RHO, "cor": RHO}.get(kind, DELTA)
    return sub(base, mi(place.replace("lag ", ""))) if place else base
