"""Profiles of the covariance parameters as curves: the PROFILES table.

``zeta = sign(psi - psi_hat) sqrt(D(psi) - D(psi_hat))`` with D the deviance at its minimum over everything
else (Bates, Mächler, Bolker & Walker 2015, section 5.1). The limits of the profile intervals are points of
the curve that are known already; the others are placed between and beyond them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import polars as pl

from nestwise.arrays import FloatArray
from nestwise.design.record import Design
from nestwise.fit import profile
from nestwise.fit.limits import Interval, ProfileError, Quantity, Search
from nestwise.likelihood.products import Products
from nestwise.results import conform, empty
from nestwise.vocabulary import PROFILES

AROUND = (0.35, 0.7, 1.3, 1.6)
"""Points inside a limit and beyond it as shares of the way to it: to a zeta of about 3 for 95% limits."""
AROUND_MANY = (0.5, 1.5)
"""The same with many groups, where each point takes longer."""
MANY = 2_000
"""Groups (entries, once compressed) that are many."""
TO_THE_END = (0.25, 0.5, 0.75, 1.0)
"""Points up to an end of the parameter's range that is no limit of the deviance."""
SLOPE = 5e-3
"""Steepest way down that is left, in coordinates of unit curvature: zeta is then right to about 1e-5."""
UNKNOWN = (0.7, 1.4, 2.1, 2.8)
"""Points where no limit is known, in units of the distance at which zeta is about 1."""


def profile_curves(
    design: Design,
    products: Products,
    theta: FloatArray,
    intervals: Mapping[tuple[str, ...], Interval],
    *,
    reml: bool,
    level: float,
) -> pl.DataFrame:
    """Signed root of the deviance's rise along each standard deviation, correlation and sigma.

    Parameters
    ----------
    design : Design
        The model.
    products : CrossProducts or CrossedProducts
        Its data, compressed if possible.
    theta : ndarray (k,)
        The optimum, working parametrisation.
    intervals : mapping
        From `profile_intervals`, with the same level.
    reml : bool
        Criterion that was optimised.
    level : float
        Coverage of the intervals.

    Returns
    -------
    polars.DataFrame
        Schema `PROFILES`, about eleven points a parameter in increasing order of its value; values on the
        outcome's scale. A point that could not be evaluated is left out.
    """
    from scipy.special import ndtri

    reach = float(ndtri((1 + level) / 2))
    rows = []
    around = AROUND_MANY if products.B.shape[0] > MANY else AROUND
    for (component, group, term), key, quantity, optimum, unit in _quantities(design, products, theta, reml):
        known = intervals.get(key)
        ends = (None, None) if known is None else (known.lower, known.upper)
        ends_here = [None if end is None else end / unit for end in ends]
        points = _curve(quantity, optimum, ends_here, reach, around)
        name = {"component": component, "group": group, "term": term}
        rows += [name | {"value": value * unit, "zeta": zeta} for value, zeta in points]
    return conform(pl.DataFrame(rows, infer_schema_length=None), PROFILES) if rows else empty(PROFILES)


def _quantities(
    design: Design, products: Products, theta: FloatArray, reml: bool
) -> Iterator[tuple[tuple[str, str | None, str], tuple[str, ...], Quantity, float, float]]:
    """Name in the tables, key of the intervals, quantity, deviance at the optimum, and unit of each."""
    at = profile.Optimum.of(design, products, theta, reml=reml)
    start = 0
    for term in design.random:
        q = len(term.names)
        for i, name in enumerate(term.names):
            own = start + i
            order = [own, *(start + k for k in range(q) if k != i)] if term.correlated else [own]
            unit = products.scale / float(at.reach[own])
            key: tuple[str, ...] = ("sd", term.group, name)
            yield ("sd", term.group, name), key, profile.sd_family(at, order), at.value, unit
            for k in range(i) if term.correlated else ():
                if min(at.sd[start + k], at.sd[own]) > profile.ZERO:
                    other = term.names[k]
                    pair = [start + k, own, *(start + h for h in range(q) if h not in (k, i))]
                    key = ("cor", term.group, other, name)
                    shown = ("cor", term.group, f"{other}:{name}")
                    yield shown, key, profile.cor_family(at, pair), at.value, 1.0
        start += q
    if products.sigma is None:
        yield ("residual", None, "sigma"), ("sigma",), profile.sigma_family(at), at.value, products.scale


def _curve(
    quantity: Quantity,
    optimum: float,
    ends: list[float | None],
    reach: float,
    around: tuple[float, ...],
) -> list[tuple[float, float]]:
    """Points (psi, zeta) in increasing order."""
    try:
        search = Search(quantity, optimum, SLOPE)
    except (np.linalg.LinAlgError, ProfileError):
        return []
    points = {quantity.at: 0.0}
    for side, limit, bound in zip((-1, 1), ends, (quantity.low, quantity.high), strict=True):
        way = UNKNOWN if limit is None else around
        length = search.width if limit is None else abs(limit - quantity.at)
        if limit is not None and np.isclose(limit, bound, rtol=1e-9, atol=1e-12):
            way = TO_THE_END
        elif limit is not None:
            points[limit] = side * reach
        if length == 0:
            continue
        for share in way:  # from the inside out: each minimisation starts from the last
            psi = quantity.at + side * share * length
            psi = bound if side * psi > side * bound else psi
            if psi in points:
                continue
            try:
                points[psi] = side * float(np.sqrt(search.rise(psi)))
            except (np.linalg.LinAlgError, ProfileError):
                break
    return sorted(points.items())
