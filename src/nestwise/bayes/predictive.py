"""Predictive checks: what the priors expect of data, and whether the fitted model could have made these.

Replicates follow the analysis rows. Prior replicates draw the parameters from their priors; posterior
replicates keep the groups (their random effects come from the posterior), as a row of a known group would.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nestwise.arrays import FloatArray, IntArray
from nestwise.bayes.effects import spaced
from nestwise.bayes.model import Structure, correlation_factors, vine_shapes
from nestwise.bayes.priors import PriorRow
from nestwise.bayes.units import Draws, Units, to_data
from nestwise.design.record import Design
from nestwise.fit.predictions import fixed_part
from nestwise.likelihood.conditional import draw_random_effects
from nestwise.likelihood.crossproducts import CrossProducts

REPLICATES = 200
CURVES = 50
CURVE_POINTS = 101
VALUES = 20_000_000
"""Simulated values over all replicates, at most, so that a million rows do not take minutes."""
PROBABILITIES = (0.005, 0.025, 0.05, 0.25, 0.5, 0.75, 0.95, 0.975, 0.995)
PRIOR_ROWS = 2_000


def posterior_predictive(
    design: Design, products: CrossProducts, draws: Draws, units: Units, seed: int
) -> dict[str, Any]:
    """Replicated data against the data.

    Parameters
    ----------
    design : Design
        The model.
    products : CrossProducts
        In standard units, uncompressed.
    draws : Draws
        Standard units, (S, ...).
    units : Units
        To bring them home.
    seed : int
        Of this stream.

    Returns
    -------
    dict
        `statistics`: for mean, sd, min, max and the SD of the groups' means the observed value, mean and 95%
        interval over replicates, and the share of replicates at least as large; `curves`: quantile functions
        of some replicates at `probabilities`, and the observed one.
    """
    wanted = int(np.clip(VALUES // design.n, 20, REPLICATES))
    chosen = spaced(draws.sigma.shape[0], wanted)
    some = Draws(draws.beta[chosen], draws.sd[chosen], draws.correlation[chosen], draws.sigma[chosen])
    b = np.concatenate(
        [part for _, part in draw_random_effects(products, some.beta, some.Lambda, some.sigma, seed)], axis=1
    )
    b *= units.y_scale / units.Z_scale
    home = to_data(some, units)
    generator = np.random.Generator(np.random.PCG64([seed, 1]))
    Z = design.Z
    codes = design.random[0].codes
    probabilities = np.linspace(0, 1, CURVE_POINTS)
    statistics, curves = [], []
    for at in range(len(chosen)):
        mean = fixed_part(design, home.beta[at]) + np.einsum("nq,nq->n", Z, b[at][codes])
        y = mean + home.sigma[at] * generator.standard_normal(design.n)
        statistics.append(statistics_of(y, codes))
        if at < CURVES:
            curves.append(np.quantile(y, probabilities).tolist())
    observed = statistics_of(design.y, codes)
    rows = [
        against(name, value, np.array([row[name] for row in statistics])) for name, value in observed.items()
    ]
    return {
        "unit": "new rows of the known groups",
        "replicates": len(chosen),
        "statistics": rows,
        "probabilities": probabilities.tolist(),
        "observed": np.quantile(design.y, probabilities).tolist(),
        "curves": curves,
    }


def prior_predictive(
    design: Design, structure: Structure, priors: Sequence[PriorRow], units: Units, seed: int
) -> dict[str, Any]:
    """Data as the priors expect them, against the data.

    Parameters
    ----------
    design : Design
        The model.
    structure, priors
        Its parameters and their priors in standard units.
    units : Units
        To bring them home.
    seed : int
        Of this stream.

    Returns
    -------
    dict
        Quantiles of the replicated outcome beside the observed ones, and the median and 90% interval of the
        ratio of standard deviations, replicated to observed.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    draws = to_data(prior_draws(structure, priors, REPLICATES, generator), units)
    rows = np.array(spaced(design.n, PRIOR_ROWS))
    Z = design.Z[rows]
    J, q = design.random[0].n_groups, Z.shape[1]
    codes = design.random[0].codes[rows]
    replicates = np.empty((REPLICATES, rows.size))
    for s in range(REPLICATES):
        root = draws.sd[s][:, None] * draws.correlation[s]
        b = generator.standard_normal((J, q)) @ root.T
        noise = draws.sigma[s] * generator.standard_normal(rows.size)
        replicates[s] = fixed_part(design, draws.beta[s])[rows] + np.einsum("nq,nq->n", Z, b[codes]) + noise
    ratio = replicates.std(axis=1) / design.y.std()
    low, median, high = np.quantile(ratio, [0.05, 0.5, 0.95])
    return {
        "replicates": REPLICATES,
        "probabilities": list(PROBABILITIES),
        "expected": np.quantile(replicates, PROBABILITIES).tolist(),
        "observed": np.quantile(design.y, PROBABILITIES).tolist(),
        "sd_ratio": {"median": float(median), "lower": float(low), "upper": float(high), "level": 0.9},
    }


def prior_draws(
    structure: Structure,
    priors: Sequence[PriorRow],
    S: int,
    generator: np.random.Generator,
    *,
    categories: int = 0,
) -> Draws:
    """Draws of the parameters from their priors in standard units, (S, ...), thresholds included."""
    by = {
        name: [row for row in priors if row.component == name] for name in ("fixed", "sd", "cor", "residual")
    }
    shapes = vine_shapes(structure, [row.eta or 1.0 for row in by["cor"]])
    partial = (
        2 * generator.beta(shapes, shapes, size=(S, shapes.size)) - 1 if shapes.size else np.zeros((S, 0))
    )
    beta, sd, sigma = (
        np.column_stack([_prior(row, S, generator) for row in by[name]]) if by[name] else np.zeros((S, 0))
        for name in ("fixed", "sd", "residual")
    )
    last = sigma[:, 0] if by["residual"] else np.ones(S)
    cuts = [row for row in priors if row.component == "threshold"]
    thresholds = None
    if cuts:
        drawn = [_prior(cuts[0], S, generator) for _ in range(categories - 1)]
        thresholds = np.sort(np.column_stack(drawn), axis=1)
    correlation = correlation_factors(partial, structure.starts)
    return Draws(beta, sd, correlation, last, thresholds=thresholds)


def _prior(row: PriorRow, S: int, generator: np.random.Generator) -> FloatArray:
    location, scale = row.location or 0.0, row.scale or 1.0
    if row.distribution == "exponential":
        return generator.exponential(scale, S)
    heavy = row.distribution.endswith("student_t")
    z = generator.standard_t(row.df or 1.0, S) if heavy else generator.standard_normal(S)
    z = np.abs(z) if row.distribution.startswith("half") else z
    return location + scale * z


def statistics_of(y: FloatArray, codes: IntArray) -> dict[str, float]:
    """What replicates are compared by."""
    counts = np.bincount(codes)
    means = np.bincount(codes, weights=y) / np.maximum(counts, 1)
    return {
        "mean": float(y.mean()),
        "sd": float(y.std(ddof=1)),
        "min": float(y.min()),
        "max": float(y.max()),
        "sd_of_group_means": float(means[counts > 0].std(ddof=1)),
    }


def against(name: str, observed: float, replicated: FloatArray) -> dict[str, Any]:
    """The observed value among those of replicates."""
    low, high = np.quantile(replicated, [0.025, 0.975])
    return {
        "statistic": name,
        "observed": observed,
        "mean": float(replicated.mean()),
        "lower": float(low),
        "upper": float(high),
        "p_larger": float((replicated >= observed).mean()),
    }
