"""Families whose log density is ``c + a eta - b F(eta)`` with F convex: what the compiled sums take.

- binomial, logit: ``a = y``, ``b = trials``, F the softplus of eta;
- negative binomial: ``a = y``, ``b = y + size``, F the softplus of ``eta - log size``;
- poisson: ``a = y``, ``b = rows``, F the exponential of eta;
- gamma: ``a = -shape``, ``b = shape y``, F the exponential of -eta.

Their derivatives by an auxiliary parameter follow from averages of eta, F and F'. Other families and links
are evaluated by `families`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.likelihood import one_effect
from nestwise.likelihood.families import Responses, rising
from nestwise.likelihood.nodes import EXPONENTIAL, SOFTPLUS, Curve

CONVEX = (("binomial", "logit"), ("negative_binomial", "log"), ("poisson", "log"), ("gamma", "log"))
"""Families and links of this form."""


@dataclass(frozen=True, slots=True)
class Convex:
    """Log densities of rows in this form.

    Attributes
    ----------
    curve : tuple
        `SOFTPLUS` or `EXPONENTIAL`, sign and shift: F is taken at ``sign (eta - shift)``.
    abc : ndarray (3, n)
        Coefficients, frequencies multiplied in.
    """

    curve: Curve
    abc: FloatArray


def convex_form(given: Responses, aux: FloatArray) -> Convex | None:
    """The rows in this form, or none if their family and link do not have it.

    Parameters
    ----------
    given : Responses
        The outcomes (n,).
    aux : ndarray (a,)
        Log dispersion of a family that has one.
    """
    if (given.family, given.link) not in CONVEX:
        return None
    kind = SOFTPLUS if given.family in ("binomial", "negative_binomial") else EXPONENTIAL
    sign, shift, a, b, c = 1.0, 0.0, given.y, given.trials, given.constant
    if given.family == "negative_binomial":
        size = float(np.exp(aux[0]))
        shift, b, c = float(aux[0]), given.y + size, c + rising(given.y, size)[0]
    elif given.family == "gamma":
        from scipy.special import gammaln

        shape = float(np.exp(aux[0]))
        sign, a, b = -1.0, np.full_like(given.y, -shape), shape * given.y
        c = c + shape * (aux[0] - given.constant) - gammaln(shape)
    abc = np.stack([a, b, c])
    return Convex((kind, sign, shift), abc if given.frequency is None else abc * given.frequency)


def kind_of(given: Responses) -> int | None:
    """Which F of `one_effect` the rows have; none where there is a dispersion, or another form."""
    if (given.family, given.link) == ("poisson", "log"):
        return one_effect.EXPONENTIAL
    if (given.family, given.link) == ("binomial", "logit"):
        return one_effect.BERNOULLI if bool((given.trials == 1).all()) else one_effect.SOFTPLUS
    return None


def by_dispersion(given: Responses, form: Convex, aux: FloatArray, averages: FloatArray) -> FloatArray:
    """Derivative of each row's log density by the logarithm of its dispersion, averaged over nodes (1, n).

    Parameters
    ----------
    given : Responses
        Negative binomial or gamma.
    form : Convex
        The same.
    aux : ndarray (1,)
        Log dispersion.
    averages : ndarray (3, n)
        Of ``eta - shift``, of F and of the first derivative by eta.
    """
    t, F, d1 = averages
    size = float(np.exp(aux[0]))
    frequency = np.ones_like(given.y) if given.frequency is None else given.frequency
    if given.family == "negative_binomial":
        of_size = rising(given.y, size)[1] - size * F
        return np.asarray((frequency * of_size + form.abc[0] - d1)[None])
    from scipy.special import digamma

    log_y = -given.constant
    of_shape = size * (aux[0] + 1 - digamma(size) + log_y - t)
    return np.asarray((frequency * of_shape - form.abc[1] * F)[None])
