"""A conditional model averaged over its random effects: means, and the coefficients that describe them.

The linear predictor of row i is ``eta_i + s_i Z`` with Z standard normal and
``s_i^2 = sum over factors of z_i' Sigma z_i``, whatever the number of random effects, so that its mean is one
integral in one dimension:

    mu_i = E h(eta_i + s_i Z),   d mu_i / d eta_i = E h',   d mu_i / d s_i^2 = E h'' / 2,

the last by the heat equation, which holds at ``s = 0`` too. It is known in closed form for the identity
(``eta``), the logarithm (``exp(eta + s^2 / 2)``) and probit (``Phi(eta / sqrt(1 + s^2))``). For the other
links it is a sum over equally spaced nodes: of all rules the one that converges fastest for analytic
functions on the whole line (Goodwin 1949; Trefethen & Weideman 2014). Where the groups differ by several
logits it reaches 1e-12 and better, for which Gauss-Hermite's rule takes thousands of nodes.

Marginal coefficients are the least-squares description of the marginal means on the link's scale (Hedeker,
du Toit, Demirtas & Gibbons 2018, as `marginal_coefs` of R's GLMMadaptive):
``beta_M = (X'X)^-1 X' g(mu)``. The coefficients that estimating equations with independence would find in
endless data of the model solve ``X' W (y - mu) = 0`` instead; `projected` gives those.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.errors import Problem, Refusal
from nestwise.likelihood.families import LARGEST_ETA

REACH = 8.5
"""Normal deviates beyond which nothing is left to double precision."""
WIDEST = 0.4
"""Distance of the nodes for small s; the error is of the order exp(-2 pi^2 / h^2)."""
FINENESS = 0.27
"""h s for large s: logistic and log-log functions have poles, or grow, from pi / 2 off the real line."""
MOST_NODES = 20_000
AT_ONCE = 4_000_000
"""Rows times nodes that are evaluated at once."""
LARGEST_EXPONENT = LARGEST_ETA
SMALLEST_MEAN = 1e-300
LINKS = ("identity", "log", "logit", "probit", "cloglog")
MOST_STEPS = 50


@dataclass(frozen=True)
class Averaged:
    """Means over the random effects.

    Attributes
    ----------
    mu : ndarray (n,)
        On the outcome's scale.
    by_eta, by_variance : ndarray (n,)
        Derivatives by eta and by s^2.
    """

    mu: FloatArray
    by_eta: FloatArray
    by_variance: FloatArray


def averaged(link: str, eta: FloatArray, variance: FloatArray) -> Averaged:
    """Average the inverse link over a normal linear predictor.

    Parameters
    ----------
    link : str
        One of `LINKS`.
    eta : ndarray (n,)
        Means of the linear predictor, offset included.
    variance : ndarray (n,)
        Its variances s^2 between groups.

    Raises
    ------
    Refusal
        For another link.
    """
    if link in _CLOSED:
        return _CLOSED[link](eta, variance)
    if link not in _CURVES:
        problem = f"means with the link {link} cannot be averaged over random effects"
        raise Refusal(Problem(problem, "reconciliation", f"use one of {', '.join(LINKS)}"))
    if not variance.any():
        value, first, second = _CURVES[link](eta)
        return Averaged(value, first, second / 2)
    # A pair occurs as often as rows repeat their covariates: each is integrated once.
    pairs, place = np.unique(eta + 1j * np.sqrt(variance), return_inverse=True)
    found = _by_nodes(_CURVES[link], pairs.real, pairs.imag)
    return Averaged(found.mu[place], found.by_eta[place], found.by_variance[place])


Curve = Callable[[FloatArray], tuple[FloatArray, FloatArray, FloatArray]]


def _by_nodes(curve: Curve, eta: FloatArray, s: FloatArray) -> Averaged:
    largest = float(s.max(initial=0.0))
    h = max(min(WIDEST, FINENESS / largest if largest else WIDEST), 2 * REACH / MOST_NODES)
    half = int(np.ceil(REACH / h))
    z = h * np.arange(-half, half + 1)
    w = np.exp(-(z**2) / 2)
    w /= w.sum()
    parts = np.empty((3, eta.size))
    step = max(1, AT_ONCE // z.size)
    for begin in range(0, eta.size, step):
        some = slice(begin, begin + step)
        value, first, second = curve(eta[some, None] + s[some, None] * z)
        parts[:, some] = value @ w, first @ w, second @ w / 2
    return Averaged(*parts)


def _logit(x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    from scipy.special import expit

    p = expit(x)
    first = p * expit(-x)
    return p, first, first * (1 - 2 * p)


def _cloglog(x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    h = np.exp(np.minimum(x, LARGEST_EXPONENT))
    first = h * np.exp(-h)
    return -np.expm1(-h), first, first * (1 - h)


_CURVES: Mapping[str, Curve] = {"logit": _logit, "cloglog": _cloglog}


def _identity(eta: FloatArray, variance: FloatArray) -> Averaged:
    return Averaged(eta.copy(), np.ones_like(eta), np.zeros_like(variance))


def _log(eta: FloatArray, variance: FloatArray) -> Averaged:
    mu = np.exp(np.minimum(eta + variance / 2, LARGEST_EXPONENT))
    return Averaged(mu, mu, mu / 2)


def _probit(eta: FloatArray, variance: FloatArray) -> Averaged:
    from scipy.special import ndtr

    scale = np.sqrt(1 + variance)
    u = eta / scale
    density = np.exp(-(u**2) / 2) / np.sqrt(2 * np.pi)
    return Averaged(np.asarray(ndtr(u)), density / scale, -density * u / (2 * scale**2))


_CLOSED: Mapping[str, Callable[[FloatArray, FloatArray], Averaged]] = {
    "identity": _identity,
    "log": _log,
    "probit": _probit,
}


def link_of(link: str, mu: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Link function and its derivative at means (n,); probabilities of 0 and 1 are held inside."""
    from scipy.special import logit, ndtri

    if link == "identity":
        return mu, np.ones_like(mu)
    if link == "log":
        mu = np.maximum(mu, SMALLEST_MEAN)
        return np.log(mu), 1 / mu
    p = np.clip(mu, SMALLEST_MEAN, 1 - np.finfo(float).epsneg)
    if link == "logit":
        return np.asarray(logit(p)), 1 / (p * (1 - p))
    if link == "probit":
        u = np.asarray(ndtri(p))
        return u, np.sqrt(2 * np.pi) * np.exp(u**2 / 2)
    rest = -np.log1p(-p)
    return np.log(rest), 1 / ((1 - p) * rest)


@dataclass(frozen=True)
class MarginalCoefficients:
    """Coefficients that describe marginal means.

    Attributes
    ----------
    beta : ndarray (p,)
        On the link's scale.
    by_mu : ndarray (p, n)
        Derivatives by the means.
    """

    beta: FloatArray
    by_mu: FloatArray


def described(link: str, X: FloatArray, mu: FloatArray, offset: FloatArray | None) -> MarginalCoefficients:
    """Least squares on the link's scale.

    Parameters
    ----------
    link : str
        One of `LINKS`.
    X : ndarray (n, p)
        Fixed part, full rank.
    mu : ndarray (n,)
        Marginal means.
    offset : ndarray (n,) or None
        Known part of the linear predictor.
    """
    eta, slope = link_of(link, mu)
    pseudo = np.linalg.pinv(X)
    return MarginalCoefficients(pseudo @ (eta if offset is None else eta - offset), pseudo * slope)


def projected(
    model: tuple[str, str], X: FloatArray, mu: FloatArray, offset: FloatArray | None, weights: FloatArray
) -> MarginalCoefficients:
    """What estimating equations with independence solve for when the outcome is its marginal mean.

    Parameters
    ----------
    model : tuple of str
        Family, whose variance function weighs the rows, and link.
    X, mu, offset
        As of `described`.
    weights : ndarray (n,)
        Trials of each row, or ones.
    """
    family, link = model
    found = described(link, X, mu, offset)
    beta = found.beta
    known = 0.0 if offset is None else offset
    zero = np.zeros(len(mu))
    by_mu = found.by_mu
    for _ in range(MOST_STEPS):
        at = averaged(link, X @ beta + known, zero)
        spread = _variance(family, at.mu)
        bread = X * (weights * at.by_eta**2 / spread)[:, None]
        by_mu = np.linalg.solve(X.T @ bread, X.T) * (weights * at.by_eta / spread)
        step = by_mu @ (mu - at.mu)
        beta = beta + step
        if float(np.abs(step).max(initial=0.0)) < 1e-10:
            break
    return MarginalCoefficients(beta, by_mu)


def _variance(family: str, mu: FloatArray) -> FloatArray:
    """Variance function of a family, the dispersion left out."""
    if family == "gaussian":
        return np.ones_like(mu)
    mu = np.maximum(mu, SMALLEST_MEAN)
    if family == "binomial":
        return np.maximum(mu * (1 - mu), SMALLEST_MEAN)
    return mu**2 if family == "gamma" else mu
