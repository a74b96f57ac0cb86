"""Small designs of generalised and marginal models, and the dense matrices they are held against."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from nestwise.design.occasions import Occasions
from nestwise.fit.marginal_families import mean_and_slope, variance


def outcome(rng, family, link, eta, shared):
    """Correlated outcomes with means of the link: the same quantile moves all rows of a cluster."""
    from scipy.stats import binom, gamma, nbinom, norm, poisson

    u = norm.cdf(0.6 * shared + 0.8 * rng.normal(size=eta.size))
    mu = mean_and_slope(link, eta)[0]
    if family == "binomial":
        trials = rng.integers(1, 6, eta.size).astype(float)
        return binom.ppf(u, trials, mu), trials
    if family == "poisson":
        return poisson.ppf(u, mu), None
    if family == "negative_binomial":
        return nbinom.ppf(u, 2, 2 / (2 + mu)), None
    return (gamma.ppf(u, 4, scale=mu / 4), None) if family == "gamma" else (mu + norm.ppf(u), None)


@pytest.fixture
def marginal_study(make_design):
    """Clusters of 1 to 5 rows at uneven visits, each in two inner groups."""

    def build(family="binomial", link="logit", structure="exchangeable", J=40, seed=1, times=(0, 1, 2, 4, 6)):
        rng = np.random.default_rng(seed)
        sizes = np.append(rng.integers(2, 6, J - 2), [1, 5])
        codes = np.repeat(np.arange(J), sizes)
        visits = np.concatenate([np.sort(rng.choice(5, size, replace=False)) for size in sizes])
        inner = codes * 2 + (visits > 2)
        x, z = rng.normal(size=codes.size), rng.normal(size=J)[codes]
        base = {("binomial", "log"): -1.5, ("binomial", "identity"): 0.4, ("gamma", "inverse"): 1.5}
        level = base.get((family, link), 3.0 if link == "identity" else 0.3)
        size = 0.03 if link in ("identity", "inverse", "log") else 0.4
        eta = level + size * x - size * z
        y, trials = outcome(rng, family, link, eta, rng.normal(size=J)[codes])
        one = {"(Intercept)": np.ones(codes.size)}
        terms = [("g", codes, one, True)]
        if structure == "nested":
            terms.append(("h", inner, one, True))
        design = make_design(y, one | {"x": x, "z": z}, *terms, family=family)
        at = np.array(times, dtype=float)
        return replace(
            design,
            link=link,
            trials=trials,
            term_of=("(Intercept)", "x", "z"),
            occasions=Occasions("t", visits.astype(np.int64), tuple(map(str, times)), at)
            if structure in ("ar1", "unstructured", "m_dependent")
            else None,
        )

    return build


def dense_correlation(design, structure, alpha, lags=2):
    """R (n, n) of all rows, straight from the definitions."""
    codes = design.factors[0].codes
    same = codes[:, None] == codes
    if structure == "independence":
        return np.eye(design.n)
    if structure == "exchangeable":
        R = np.full((design.n,) * 2, alpha[0])
    elif structure == "nested":
        inner = design.factors[1].codes
        R = np.where(inner[:, None] == inner, alpha[0], alpha[1])
    else:
        visits, times = design.occasions.visits, design.occasions.times
        if structure == "ar1":
            R = alpha[0] ** np.abs(times[visits][:, None] - times[visits])
        elif structure == "m_dependent":
            R = np.append([0, *alpha], np.zeros(9))[np.abs(visits[:, None] - visits)]
        else:
            T = len(times)
            full = np.zeros((T, T))
            full[np.triu_indices(T, 1)] = alpha
            R = (full + full.T)[visits[:, None], visits]
    return np.where(np.eye(design.n) == 1, 1.0, R * same)


def dense_parts(design, structure, beta, alpha, size=np.inf):
    """D, V^-1 without phi, y - mu and Pearson residuals of all rows."""
    eta = design.X @ beta + (0 if design.offset is None else design.offset)
    mu, slope = mean_and_slope(design.link, eta)
    w = (1 if design.trials is None else design.trials) * (1 if design.weights is None else design.weights)
    y = design.y if design.trials is None else design.y / design.trials
    A = np.sqrt(variance(design.family, mu, size) / w)
    R = dense_correlation(design, structure, alpha)
    return design.X * slope[:, None], np.linalg.inv(A[:, None] * R * A), y - mu, (y - mu) / A


@pytest.fixture(scope="session")
def dense():
    """R, and D, V^-1, y - mu and Pearson residuals of all rows, straight from the definitions."""
    return SimpleNamespace(correlation=dense_correlation, parts=dense_parts)


@pytest.fixture(scope="module")
def design_of(make_design):
    """One grouping factor; `varying` names the fixed columns that vary by it beside the intercept."""

    def build(y, g, family="binomial", link="logit", fixed=None, varying=(), trials=None, **kwargs):
        one = np.ones(len(y))
        columns = {"(Intercept)": one} | (fixed or {})
        slopes = {"(Intercept)": one} | {name: columns[name] for name in varying}
        made = make_design(y, columns, ("g", g, slopes, True), family=family, **kwargs)
        return replace(made, link=link, trials=trials, term_of=tuple(columns))

    return build


@pytest.fixture(scope="module")
def binary(design_of):
    """40 groups of 8 rows, a standard deviation of 1."""

    def build(sd=1.0, seed=1, **kwargs):
        rng = np.random.default_rng(seed)
        g = np.repeat(np.arange(40), 8)
        x = rng.normal(size=320)
        b = sd * rng.normal(size=40)
        y = rng.binomial(1, 1 / (1 + np.exp(0.4 - 0.8 * x - b[g])))
        return design_of(y, g, fixed={"x": x}, **kwargs)

    return build
