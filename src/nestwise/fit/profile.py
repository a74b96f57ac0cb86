"""Profile intervals of standard deviations, correlations and sigma.

The quantity in question is fixed, the deviance minimised over everything else, and the interval holds the
values at which that minimum lies at most ``chi2_1(level)`` above the optimum (Bates et al. 2015, section
5.1). It knows that a standard deviation is not negative and a correlation not beyond 1. The restricted
criterion is profiled under REML, the likelihood under ML.

A standard deviation or correlation is fixed by ordering a term's effects so that those in question come
first: the first diagonal element of the Cholesky factor *is* the first standard deviation, and its second
row is ``sd_2 (rho, sqrt(1 - rho^2))``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.design.record import Design
from nestwise.fit.limits import Interval, Quantity, Value, limits
from nestwise.fit.optimise import triangular
from nestwise.likelihood.gaussian import criterion
from nestwise.likelihood.products import Products

ZERO = 1e-8
"""A standard deviation below this has no correlations."""
NUDGE = 0.03
"""Nuisance elements closer to zero than this start from here: zero is a stationary point by symmetry."""


def profile_intervals(
    design: Design, products: Products, theta: FloatArray, *, reml: bool, level: float
) -> dict[tuple[str, ...], Interval]:
    """Profile intervals of all covariance parameters.

    Parameters
    ----------
    design : Design
        The model.
    products : CrossProducts or CrossedProducts
        Its data, compressed if possible.
    theta : ndarray (k,)
        The optimum, working parametrisation.
    reml : bool
        Criterion that was optimised.
    level : float
        Coverage.

    Returns
    -------
    dict
        ``("sd", group, name)``, ``("cor", group, a, b)``, ``("sigma",)`` and, for intercepts that vary alone,
        ``("ratio",)``: tau^2 / sigma^2. Outcome's units.
    """
    from scipy.special import ndtri

    rise = float(ndtri((1 + level) / 2) ** 2)
    unit = Optimum.of(design, products, theta, reml=reml)
    found: dict[tuple[str, ...], Interval] = {}
    start = 0
    for term in design.random:
        q = len(term.names)
        for i, name in enumerate(term.names):
            free = [start + i, *(start + k for k in range(q) if k != i)] if term.correlated else [start + i]
            per_unit = products.scale / unit.reach[start + i]
            found["sd", term.group, name] = _scale(limits(sd_family(unit, free), unit.value, rise), per_unit)
            for k in range(i) if term.correlated else ():
                pair = [start + k, start + i, *(start + h for h in range(q) if h not in (k, i))]
                if unit.sd[start + k] > ZERO and unit.sd[start + i] > ZERO:
                    ends = (found["sd", term.group, each].lower for each in (name, term.names[k]))
                    open_ended = any(end == 0 for end in ends)
                    found["cor", term.group, term.names[k], name] = (
                        Interval(-1.0, 1.0)  # where a standard deviation may be 0 any correlation fits
                        if open_ended
                        else limits(cor_family(unit, pair), unit.value, rise)
                    )
        start += q
    if products.sigma is not None:  # known: nothing to profile
        return found
    found["sigma",] = _scale(limits(sigma_family(unit), unit.value, rise), products.scale)
    if products.q == 1:
        relative = limits(_relative_family(unit), unit.value, rise)
        found["ratio",] = _square(_scale(relative, 1 / unit.reach[0]))
    return found


@dataclass(frozen=True)
class Optimum:
    """The optimum in the units of the search: working scale, effects times the size of their column.

    Attributes
    ----------
    products, reml
        The data and the criterion.
    Lambda, sigma : ndarray (q, q), float
        Relative factor and residual standard deviation, working parametrisation.
    value : float
        Deviance.
    reach : ndarray (q,)
        Root mean square of the columns of Z.
    sd : ndarray (q,)
        Standard deviations of the formula's effects times `reach`.
    """

    products: Products
    reml: bool
    Lambda: FloatArray
    sigma: float
    value: float
    reach: FloatArray
    sd: FloatArray

    @classmethod
    def of(cls, design: Design, products: Products, theta: FloatArray, *, reml: bool) -> Optimum:
        """Evaluate the criterion at theta (k,)."""
        Lambda = products.pattern.matrix(theta)
        at = criterion(products, Lambda, reml=reml)
        reach = np.sqrt(np.concatenate([(term.Z**2).mean(axis=0) for term in design.random]))
        sd = at.sigma * reach * np.sqrt(((products.T_Z @ Lambda) ** 2).sum(axis=1))
        return cls(products, reml, Lambda, at.sigma, at.value, reach, sd)

    def basis(self, effects: list[int]) -> FloatArray:
        """From working effects to effects of which those in question are the formula's own.

        Only what is fixed is taken out of the working parametrisation, where the search is well conditioned.
        """
        P = np.eye(self.products.q)
        P[effects] = self.products.T_Z[effects] * self.reach[effects, None]
        return P

    def deviance(
        self, root: FloatArray, sigma: float, to_working: FloatArray
    ) -> tuple[float, FloatArray, float]:
        """Deviance at the factor (q, q) of a basis, its gradient by the factor and by log sigma.

        A known sigma stays where it is: nothing depends on the one given.
        """
        known = self.products.sigma is not None
        sigma = self.sigma if known else sigma
        Lambda = to_working @ root / sigma
        at = criterion(self.products, Lambda, reml=self.reml, sigma=sigma)
        by_root = to_working.T @ at.gradient / sigma
        by_log_sigma = 0.0 if known else at.d_sigma * sigma - float(np.sum(at.gradient * Lambda))
        return at.value, by_root, by_log_sigma


def _ordered(unit: Optimum, order: list[int], effects: list[int]) -> tuple[FloatArray, FloatArray]:
    """Factor (q, q) in the basis of `effects`, triangular for the effects in `order`; and the way back."""
    P = unit.basis(effects)
    root = P @ unit.Lambda * unit.sigma
    block = np.ix_(order, sorted(order))
    root[block] = triangular(root[block])
    return root, np.linalg.inv(P)


def _positions(unit: Optimum, order: list[int], skip: int) -> tuple[list[int], list[int]]:
    """Free elements of the factor but the first `skip` rows of `order`, and those of all other terms."""
    columns = sorted(order)
    rows, cols = [], []
    for i in range(skip, len(order)):
        for k in range(i + 1):
            rows.append(order[i])
            cols.append(columns[k])
    pattern = unit.products.pattern
    for row, col in zip(pattern.rows.tolist(), pattern.cols.tolist(), strict=True):
        if row not in order:
            rows.append(row)
            cols.append(col)
    return rows, cols


def sd_family(unit: Optimum, order: list[int]) -> Quantity:
    """Standard deviation of the first effect of `order`, the other elements of the factor beside it."""
    first, column = order[0], min(order)
    base, back = _ordered(unit, order, order[:1])
    rows, cols = _positions(unit, order, 1)

    def value(psi: float) -> Value:
        def at(phi: FloatArray) -> tuple[float, FloatArray]:
            root = base.copy()
            root[first, column] = psi
            root[rows, cols] = phi[:-1]
            deviance, by_root, by_log_sigma = unit.deviance(root, float(np.exp(phi[-1])), back)
            return deviance, np.append(by_root[rows, cols], by_log_sigma)

        return at

    return Quantity(unit.sd[first], _start(base[rows, cols], unit.sigma), value, 0.0, np.inf)


def cor_family(unit: Optimum, order: list[int]) -> Quantity:
    """Correlation of the first two effects of `order`, everything else beside it."""
    (first, second), (left, right) = order[:2], sorted(order)[:2]
    base, back = _ordered(unit, order, order[:2])
    rows, cols = _positions(unit, order, 2)

    def value(psi: float) -> Value:
        along = np.array([psi, np.sqrt(max(1 - psi**2, 0.0))])

        def at(phi: FloatArray) -> tuple[float, FloatArray]:
            root = base.copy()
            sds = np.exp(phi[:2])  # logarithms, because a negative one would be the opposite correlation
            root[first, left] = sds[0]
            root[second, [left, right]] = sds[1] * along
            root[rows, cols] = phi[2:-1]
            deviance, by_root, by_log_sigma = unit.deviance(root, float(np.exp(phi[-1])), back)
            by_sds = sds * np.array([by_root[first, left], by_root[second, [left, right]] @ along])
            return deviance, np.concatenate([by_sds, by_root[rows, cols], [by_log_sigma]])

        return at

    sds = np.log([unit.sd[first], unit.sd[second]])
    rho = float(np.clip(base[second, left] / unit.sd[second], -1, 1))
    return Quantity(rho, np.append(sds, _start(base[rows, cols], unit.sigma)), value, -1.0, 1.0)


def sigma_family(unit: Optimum) -> Quantity:
    """Residual standard deviation, the factor of the random effects beside it."""
    rows, cols = unit.products.pattern.rows, unit.products.pattern.cols

    def value(psi: float) -> Value:
        def at(phi: FloatArray) -> tuple[float, FloatArray]:
            root = unit.products.pattern.matrix(phi)
            deviance, by_root, _ = unit.deviance(root, psi, np.eye(unit.products.q))
            return deviance, by_root[rows, cols]

        return at

    return Quantity(unit.sigma, _start(unit.Lambda[rows, cols] * unit.sigma), value, 0.0, np.inf)


def _relative_family(unit: Optimum) -> Quantity:
    def value(psi: float) -> Value:
        def at(phi: FloatArray) -> tuple[float, FloatArray]:
            sigma = float(np.exp(phi[0]))
            deviance, by_root, by_log_sigma = unit.deviance(np.array([[psi * sigma]]), sigma, np.eye(1))
            return deviance, np.array([by_log_sigma + by_root[0, 0] * psi * sigma])

        return at

    return Quantity(unit.sd[0] / unit.sigma, np.array([np.log(unit.sigma)]), value, 0.0, np.inf)


def _start(elements: FloatArray, sigma: float | None = None) -> FloatArray:
    nudged = np.where(np.abs(elements) < NUDGE, np.where(elements < 0, -NUDGE, NUDGE), elements)
    return nudged if sigma is None else np.append(nudged, np.log(sigma))


def _scale(interval: Interval, factor: float) -> Interval:
    lower, upper = interval.lower, interval.upper
    return Interval(
        None if lower is None else lower * factor,
        None if upper is None else upper * factor,
        interval.failure,
    )


def _square(interval: Interval) -> Interval:
    lower, upper = interval.lower, interval.upper
    return Interval(
        None if lower is None else lower**2, None if upper is None else upper**2, interval.failure
    )
