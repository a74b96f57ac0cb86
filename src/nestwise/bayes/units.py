"""Standard units: the model is sampled with outcome and columns in standard deviations.

``y_s = (y - m) / s``, ``X_s = (X - mean) / sd`` and ``Z_s = Z / sd`` make every parameter a number of order
one, so that the sampler starts in the right place whatever the units of the data. The map is linear:
nothing but the units of the posterior changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.design.record import Design
from nestwise.likelihood.crossproducts import CrossProducts, with_original_columns
from nestwise.vocabulary import INTERCEPT


@dataclass(frozen=True)
class Units:
    """Locations and scales of a design's columns.

    Attributes
    ----------
    y_center, y_scale : float
        Of the outcome less its offset; the centre is 0 without an intercept.
    X_center, X_scale : ndarray (p,)
        Of the fixed columns; 0 and 1 for the intercept.
    Z_scale : ndarray (q,)
        Of the random columns, over all terms; 1 for an intercept.
    intercept : int or None
        Which fixed column is the intercept.
    """

    y_center: float
    y_scale: float
    X_center: FloatArray
    X_scale: FloatArray
    Z_scale: FloatArray
    intercept: int | None


@dataclass(frozen=True)
class Draws:
    """Draws of the parameters in one set of units.

    Attributes
    ----------
    beta : ndarray (..., p)
        Fixed effects.
    sd : ndarray (..., q)
        Standard deviations of the varying coefficients.
    correlation : ndarray (..., q, q)
        Lower Cholesky factor of their correlations.
    sigma : ndarray (...,)
        Residual standard deviation; size or shape of outcomes that are not Gaussian, 1 without one.
    u : ndarray (..., U) or None
        Random effects as they are sampled, where they are, see `layout`.
    thresholds : ndarray (..., C - 1) or None
        Of an ordinal outcome, increasing.
    others : mapping of str to ndarray (..., k)
        What else a model samples, see `unknowns_model`.
    """

    beta: FloatArray
    sd: FloatArray
    correlation: FloatArray
    sigma: FloatArray
    u: FloatArray | None = None
    thresholds: FloatArray | None = None
    others: Mapping[str, FloatArray] = field(default_factory=dict)

    @property
    def Lambda(self) -> FloatArray:  # noqa: N802
        """Relative factor (..., q, q)."""
        return self.sd[..., :, None] * self.correlation / self.sigma[..., None, None]

    def flat(self) -> Draws:
        """Chains and draws in one axis, without `others`."""
        p, q = self.beta.shape[-1], self.sd.shape[-1]
        return Draws(
            self.beta.reshape(-1, p),
            self.sd.reshape(-1, q),
            self.correlation.reshape(-1, q, q),
            self.sigma.reshape(-1),
            u=None if self.u is None else self.u.reshape(-1, self.u.shape[-1]),
            thresholds=(
                None if self.thresholds is None else self.thresholds.reshape(-1, self.thresholds.shape[-1])
            ),
        )


def units_of(design: Design) -> Units:
    """Locations and scales of a design."""
    y = design.y_less_offset
    intercept = _constant_column(design)
    if intercept is None:
        X_scale = np.sqrt((design.X**2).mean(axis=0))
        X_center = np.zeros(design.X.shape[1])
        y_center, y_scale = 0.0, float(np.sqrt((y**2).mean()))
    else:
        X_center, X_scale = design.X.mean(axis=0), design.X.std(axis=0)
        X_center[intercept], X_scale[intercept] = 0.0, 1.0
        y_center, y_scale = float(y.mean()), float(y.std(ddof=1))
    Z_scale = np.concatenate([_random_scale(term.Z) for term in design.random])
    return Units(y_center, y_scale, X_center, X_scale, Z_scale, intercept)


def link_units(design: Design, center: float, scale: float) -> Units:
    """Of a linear predictor around `center`, one unit of which is `scale` on the scale of the link."""
    return replace(units_of(replace(design, offset=None)), y_center=center, y_scale=scale)


def standard_products(products: CrossProducts, units: Units) -> CrossProducts:
    """Cross-products of the columns in standard units (``T_X`` and ``T_Z`` then mean nothing: identity).

    With U = ``T_X^-1`` the columns are ``X = X_w U`` and ``y - offset = scale y_w + X_w U beta_0``, so that
    ``[X_s, y_s] = [X_w, y_w] Q`` for the Q built here.
    """
    p = products.p
    original = with_original_columns(products)
    U = np.linalg.inv(products.T_X) if p else np.zeros((0, 0))
    C = np.diag(1 / units.X_scale)
    shift = np.zeros(p)
    if units.intercept is not None:
        C[units.intercept] -= units.X_center / units.X_scale
        shift[units.intercept] = units.y_center
    Q = np.zeros((p + 1, p + 1))
    Q[:p, :p] = U @ C
    Q[:p, p] = U @ (products.beta_0 - shift) / units.y_scale
    Q[p, p] = products.scale / units.y_scale
    D = 1 / units.Z_scale
    return replace(
        original,
        A=original.A * D[:, None] * D,
        B=original.B @ Q * D[:, None],
        G=Q.T @ original.G @ Q,
        T_X=np.eye(p),
        T_Z=np.eye(products.q),
        beta_0=np.zeros(p),
        scale=1.0,
    )


def to_data(draws: Draws, units: Units) -> Draws:
    """Draws in the units of the data, from draws in standard units."""
    beta = draws.beta * units.y_scale / units.X_scale
    if units.intercept is not None:
        beta[..., units.intercept] += units.y_center - beta @ units.X_center
    sd = draws.sd * units.y_scale / units.Z_scale
    return Draws(beta, sd, draws.correlation, draws.sigma * units.y_scale)


def _constant_column(design: Design) -> int | None:
    """Which column of X is the intercept, if any."""
    return design.names.index(INTERCEPT) if INTERCEPT in design.names else None


def _random_scale(Z: FloatArray) -> FloatArray:
    """Scale (q,) of the columns of one random term."""
    spread, size = Z.std(axis=0), np.sqrt((Z**2).mean(axis=0))
    constant = spread <= 1e-12 * size
    return np.where(constant, size, spread if constant.any() else size)
