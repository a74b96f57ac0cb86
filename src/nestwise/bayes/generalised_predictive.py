"""Replicates of outcomes that are not Gaussian, on their own scale, and leaving rows out one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nestwise.arrays import FloatArray, IntArray
from nestwise.bayes.effects import spaced
from nestwise.bayes.generalised_model import Sampled, auxiliary, to_link
from nestwise.bayes.loo import left_out
from nestwise.bayes.predictive import (
    CURVE_POINTS,
    CURVES,
    PRIOR_ROWS,
    PROBABILITIES,
    REPLICATES,
    VALUES,
    against,
    prior_draws,
    statistics_of,
)
from nestwise.bayes.units import Draws
from nestwise.design.record import Design
from nestwise.fit.predictions import fixed_part
from nestwise.fit.simulation import random_part
from nestwise.likelihood.families import DISPERSION, density, mean, responses

DENSITIES = 8_000_000
"""Log densities (draws x rows) at most."""
LARGEST_COUNT = 1e15
"""Priors may expect counts beyond any number; what is drawn stays a number."""


def replicate(design: Design, eta: FloatArray, aux: FloatArray, generator: np.random.Generator) -> FloatArray:
    """Outcomes (n,) drawn from the family, given the linear predictor and the auxiliary parameters."""
    if design.family == "ordinal":
        logistic = design.link == "logit"
        noise = generator.logistic(size=eta.size) if logistic else generator.standard_normal(eta.size)
        return np.searchsorted(aux, eta + noise).astype(float)
    dispersion = float(np.exp(aux[0])) if aux.size else 1.0
    mu = mean(design.link, eta)
    if design.family == "binomial":
        trials = np.ones(eta.size) if design.trials is None else design.trials
        return generator.binomial(trials.astype(np.int64), np.clip(mu, 0, 1)).astype(float)
    if design.family == "gamma":
        drawn = generator.standard_gamma(dispersion, eta.size) / dispersion
        return np.maximum(drawn * np.minimum(mu, LARGEST_COUNT), np.finfo(float).tiny)
    rate = np.minimum(mu, LARGEST_COUNT)
    if design.family == "negative_binomial":
        size = max(dispersion, 1e-6)
        rate = np.minimum(rate * generator.standard_gamma(size, eta.size) / size, LARGEST_COUNT)
    return generator.poisson(rate).astype(float)


def posterior_replicates(design: Design, home: Draws, b: Sequence[FloatArray], seed: int) -> dict[str, Any]:
    """Replicated data against the data, see `predictive.posterior_predictive`.

    For counts, the share of zeros is one of the statistics.

    Parameters
    ----------
    design : Design
        The model.
    home : Draws
        (S, ...), units of the formula.
    b : sequence of ndarray (S, J, q)
        Random effects of each grouping factor.
    seed : int
        Of this stream.
    """
    chosen = spaced(home.sigma.size, int(np.clip(VALUES // design.n, 20, REPLICATES)))
    generator = np.random.Generator(np.random.PCG64(seed))
    probabilities = np.linspace(0, 1, CURVE_POINTS)
    statistics, curves = [], []
    for at, s in enumerate(chosen):
        aux = auxiliary(home, s, dispersion=design.family in DISPERSION)
        y = replicate(design, linear_predictor(design, home, b, s), aux, generator)
        statistics.append(_statistics(design, y))
        if at < CURVES:
            curves.append(np.quantile(y, probabilities).tolist())
    observed = _statistics(design, design.y)
    return {
        "unit": "new rows of the known groups",
        "replicates": len(chosen),
        "statistics": [
            against(name, value, np.array([row[name] for row in statistics]))
            for name, value in observed.items()
        ],
        "probabilities": probabilities.tolist(),
        "observed": np.quantile(design.y, probabilities).tolist(),
        "curves": curves,
    }


def _statistics(design: Design, y: FloatArray) -> dict[str, float]:
    found = statistics_of(y, design.random[0].codes)
    counts = design.family in ("poisson", "negative_binomial")
    return found | ({"zeros": float((y == 0).mean())} if counts else {})


def linear_predictor(design: Design, home: Draws, b: Sequence[FloatArray], s: int) -> FloatArray:
    """Linear predictor (n,) of every row at draw s, the effects of its groups included."""
    return fixed_part(design, home.beta[s]) + random_part(design, [effects[s] for effects in b])


def prior_replicates(sampled: Sampled, seed: int) -> dict[str, Any]:
    """Data as the priors expect them, against the data, see `predictive.prior_predictive`."""
    design = sampled.design
    generator = np.random.Generator(np.random.PCG64(seed))
    categories = int(design.y.max()) + 1 if design.family == "ordinal" else 0
    drawn = prior_draws(
        sampled.structure, sampled.standard_priors, REPLICATES, generator, categories=categories
    )
    home = to_link(drawn, sampled)
    rows = np.array(spaced(design.n, PRIOR_ROWS))
    some = _rows_of(design, rows)
    replicates = np.empty((REPLICATES, rows.size))
    for s in range(REPLICATES):
        root = home.sd[s][:, None] * home.correlation[s]
        b = [
            generator.standard_normal((factor.n_groups, len(factor.names)))
            @ root[np.ix_(factor.columns, factor.columns)].T
            for factor in design.factors
        ]
        eta = (fixed_part(design, home.beta[s]) + random_part(design, b))[rows]
        aux = auxiliary(home, s, dispersion=design.family in DISPERSION)
        replicates[s] = replicate(some, eta, aux, generator)
    ratio = replicates.std(axis=1) / design.y.std()
    low, median, high = np.quantile(ratio, [0.05, 0.5, 0.95])
    return {
        "replicates": REPLICATES,
        "probabilities": list(PROBABILITIES),
        "expected": np.quantile(replicates, PROBABILITIES).tolist(),
        "observed": np.quantile(design.y, PROBABILITIES).tolist(),
        "sd_ratio": {"median": float(median), "lower": float(low), "upper": float(high), "level": 0.9},
    }


def _rows_of(design: Design, rows: IntArray) -> Design:
    return replace(design, trials=None if design.trials is None else design.trials[rows])


def rows_log_density(design: Design, home: Draws, b: Sequence[FloatArray]) -> tuple[list[int], FloatArray]:
    """Positions of some draws, and the log density (draws, n) of every row at them, effects given."""
    chosen = spaced(home.sigma.size, max(200, DENSITIES // design.n))
    given = responses(design.family, design.link, design.y, design.trials)
    values = np.empty((len(chosen), design.n))
    for at, s in enumerate(chosen):
        aux = auxiliary(home, s, dispersion=design.family in DISPERSION)
        values[at] = density(given, linear_predictor(design, home, b, s), aux).value
    return chosen, values


def leave_one_row_out(design: Design, values: FloatArray) -> dict[str, Any]:
    """Expected log predictive density of new rows of the known groups, by importance sampling (`loo`).

    Parameters
    ----------
    design : Design
        The model.
    values : ndarray (draws, n)
        See `rows_log_density`.

    Returns
    -------
    dict
        As `loo.leave_one_group_out`; `rows_above_limit` are row numbers of the source.
    """
    found, bad = left_out(values)
    above = [int(row) for row in design.rows[bad]]
    return {"unit": "a new row of a known group"} | found | {"rows_above_limit": above}
