"""The residual covariance as rows of the table of estimates, and as matrices for the record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.design.covariance import ResidualDesign
from nestwise.fit.limits import Interval, Quantity, limits
from nestwise.likelihood.residual import ResidualModel
from nestwise.results import Estimate

MOST_IN_RECORD = 60
"""Visits beyond which matrices are left out of the record."""


@dataclass(frozen=True)
class Quantities:
    """The reported quantities of a residual covariance, as functions of its parameters.

    Attributes
    ----------
    terms : tuple of str
        As the table names them.
    forms : tuple of str
        Scale on which an interval is symmetric: `log`, `fisher` or `plain`.
    places : tuple of int
        The parameter each is a function of by itself, -1 if there are several.
    of : callable
        Their values at phi, on the scale of `forms`.
    """

    terms: tuple[str, ...]
    forms: tuple[str, ...]
    places: tuple[int, ...]
    of: Callable[[FloatArray], FloatArray]


def quantities(residual: ResidualDesign, model: ResidualModel) -> Quantities:
    """What is reported of a residual covariance.

    `sigma`, or one a visit or stratum (`sigma[VIS1]`); `power` or `exponential`; `rho`, or correlations
    `cor[VIS1,VIS2]` (all pairs; of neighbours under ante-dependence) and `cor[lag 1]` (Toeplitz). With
    `by` the stratum stands first, `rho[placebo]`, `sigma[placebo:VIS1]`.
    """
    strata = residual.stratum_labels if residual.by else ("",)
    terms = [_named(kind, stratum, level) for kind, stratum, level in model.scales]
    forms = ["log" if kind == "sigma" else "plain" for kind, _, _ in model.scales]
    single = (model.back != 0).sum(axis=1) == 1
    places = [a if single[a] else -1 for a in range(model.n_scales)]
    pairs = correlation_pairs(model)
    for g, stratum in enumerate(strata if model.n_each else ()):
        terms += [_named(*_pair_words(residual, model, pair, stratum)) for pair in pairs]
        forms += ["fisher"] * len(pairs)
        alone = model.n_each == 1
        places += [model.n_scales + g if alone else -1] * len(pairs)
    return Quantities(tuple(terms), tuple(forms), tuple(places), lambda phi: _values(model, pairs, phi))


def correlation_pairs(model: ResidualModel) -> list[tuple[int, int]]:
    """Pairs of visits whose correlation is reported in each stratum."""
    T = model.T
    if model.structure == "unstructured":
        return [(t, u) for t in range(T) for u in range(t + 1, T)]
    if model.structure == "antedependence":
        return [(t, t + 1) for t in range(T - 1)]
    if model.structure == "toeplitz":
        return [(0, lag) for lag in range(1, T)]
    return [] if model.structure == "independent" else [(0, 1)]


def _pair_words(
    residual: ResidualDesign, model: ResidualModel, pair: tuple[int, int], stratum: str
) -> tuple[str, str, str]:
    if model.structure in ("compound_symmetry", "ar1"):
        return "rho", stratum, ""
    if model.structure == "toeplitz":
        return "cor", stratum, f"lag {pair[1]}"
    return "cor", stratum, ",".join(residual.visit_labels[t] for t in pair)


def _named(kind: str, stratum: str, level: str) -> str:
    inside = ":".join(part for part in (stratum, level) if part)
    return f"{kind}[{inside}]" if inside else kind


def _values(model: ResidualModel, pairs: list[tuple[int, int]], phi: FloatArray) -> FloatArray:
    scales = model.back @ phi[: model.n_scales]
    if not model.n_each:
        return scales
    if model.structure in ("compound_symmetry", "ar1"):
        rho = model.rho(phi)[0]
        if model.structure == "ar1":  # over one unit of time
            rho = np.sign(rho) * np.abs(rho) ** (1 / model.step)
        return np.append(scales, _fisher(rho))
    rows, cols = np.array(pairs).T
    return np.concatenate([scales, *(_fisher(C[rows, cols]) for C in model.correlations(phi)[0])])


def _fisher(rho: FloatArray) -> FloatArray:
    return np.arctanh(np.clip(rho, -1 + 1e-15, 1 - 1e-15))


def _back(form: str, value: float, scale: float) -> float:
    return {"log": scale * float(np.exp(value)), "fisher": float(np.tanh(value)), "plain": value}[form]


def residual_rows(
    found: Quantities,
    phi: FloatArray,
    covariance: FloatArray | None,
    profiles: dict[int, Interval],
    *,
    scale: float,
    level: float,
) -> tuple[Estimate, ...]:
    """Rows `residual`.

    Parameters
    ----------
    found : Quantities
        What is reported.
    phi : ndarray (k,)
        Parameters, working scale.
    covariance : ndarray (k, k) or None
        Of phi; without it rows have no delta-method limits.
    profiles : mapping
        Limits of single parameters by their place, where they were profiled.
    scale : float
        Unit of the outcome per unit of the working outcome.
    level : float
        Coverage.
    """
    from scipy.special import ndtri

    at = found.of(phi)
    half = None
    if covariance is not None:
        slopes = difference_jacobian(found.of, phi)
        half = ndtri((1 + level) / 2) * np.sqrt(np.einsum("ak,kl,al->a", slopes, covariance, slopes))
    rows = []
    for i, (term, form, place) in enumerate(zip(found.terms, found.forms, found.places, strict=True)):
        ends: tuple[float | None, float | None] = (None, None)
        interval = profiles.get(place)
        if interval is not None and interval.lower is not None and interval.upper is not None:
            low, high = (_moved(found.of, phi, place, end)[i] for end in (interval.lower, interval.upper))
            ends = _back(form, low, scale), _back(form, high, scale)
        elif half is not None and np.isfinite(half[i]):
            ends = _back(form, at[i] - half[i], scale), _back(form, at[i] + half[i], scale)
        rows.append(
            Estimate(
                "residual",
                term,
                _back(form, at[i], scale),
                lower=ends[0],
                upper=ends[1],
                level=None if ends[0] is None else level,
                scale={"log": "response", "fisher": "correlation", "plain": "exponent"}[form],
            )
        )
    return tuple(rows)


def _moved(of: Callable[[FloatArray], FloatArray], phi: FloatArray, place: int, value: float) -> FloatArray:
    other = phi.copy()
    other[place] = value
    return of(other)


def difference_jacobian(of: Callable[[FloatArray], FloatArray], at: FloatArray) -> FloatArray:
    """Jacobian by central differences, exact to 1e-9 where the function is evaluated to rounding."""
    columns = []
    for i in range(at.shape[0]):
        step = np.zeros(at.shape[0])
        step[i] = 1e-5 * max(abs(at[i]), 0.1)
        columns.append((of(at + step) - of(at - step)) / (2 * step[i]))
    return np.column_stack(columns)


def profiled(
    objective: Callable[[FloatArray], tuple[float, FloatArray]],
    at: FloatArray,
    value: float,
    places: list[int],
    level: float,
    *,
    signless: frozenset[int] = frozenset(),
) -> dict[int, Interval]:
    """Profile limits of single parameters, the others at their best for each value.

    Parameters
    ----------
    objective : callable
        Deviance and gradient of all parameters (k,).
    at : ndarray (k,)
        The optimum.
    value : float
        Deviance there.
    places : list of int
        Parameters to profile.
    level : float
        Coverage.
    signless : frozenset of int
        Those of them whose sign has no meaning; their range begins at 0.
    """
    from scipy.special import chdtri

    def held(place: int) -> Callable[[float], Callable[[FloatArray], tuple[float, FloatArray]]]:
        def at_psi(psi: float) -> Callable[[FloatArray], tuple[float, FloatArray]]:
            def others(rest: FloatArray) -> tuple[float, FloatArray]:
                deviance, gradient = objective(np.insert(rest, place, psi))
                return deviance, np.delete(gradient, place)

            return others

        return at_psi

    found = {}
    for place in places:
        psi = float(abs(at[place])) if place in signless else float(at[place])
        low = 0.0 if place in signless else -30.0
        quantity = Quantity(psi, np.delete(at, place), held(place), low, 30.0)
        found[place] = limits(quantity, value, float(chdtri(1, 1 - level)))
    return found


def residual_record(
    residual: ResidualDesign, model: ResidualModel, phi: FloatArray, scale: float
) -> dict[str, Any]:
    """The estimated covariance and correlation of the visits in each stratum, with their labels.

    Covariances are left out where a variance function makes them differ between rows of one visit.
    """
    record: dict[str, Any] = {
        "structure": residual.structure,
        "heterogeneous": bool(residual.heterogeneous or residual.structure == "unstructured"),
        "subject": residual.subject,
        "time": residual.time,
        "by": residual.by,
        "visits": list(residual.visit_labels[:MOST_IN_RECORD]),
        "times": residual.times[:MOST_IN_RECORD].tolist(),
        "strata": [],
    }
    if residual.variance is not None:
        record["variance"] = {"kind": residual.variance.kind, "covariate": residual.variance.name}
    if residual.structure == "independent" or model.T > MOST_IN_RECORD:
        return record
    for g, C in enumerate(model.correlations(phi)[0]):
        label = residual.stratum_labels[g] if residual.by else ""
        stratum: dict[str, Any] = {"label": label, "correlation": C.tolist()}
        if residual.variance is None:
            each = scale * np.exp(phi[: model.n_scales].reshape(model.G, -1)[g])
            sd = np.broadcast_to(each, (model.T,))
            stratum |= {"sd": sd.tolist(), "covariance": (np.outer(sd, sd) * C).tolist()}
        record["strata"].append(stratum)
    return record
