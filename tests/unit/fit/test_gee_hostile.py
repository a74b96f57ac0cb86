"""Small, sparse, separated and oddly scaled data: an answer, a sentence or an honest status, and no NaN."""

from __future__ import annotations

import math
import warnings
from collections import Counter

import numpy as np
import polars as pl
import pytest

from nestwise.config.study import Model
from nestwise.data.dataset import Dataset, VariableInfo
from nestwise.engines import fit_model
from nestwise.fit.gee_refusals import ORDINAL_LINKS
from nestwise.fit.marginal_families import LINKS_OF
from nestwise.fit.ordinal_association import STRUCTURES as ORDINAL
from nestwise.results import Status

STRUCTURES = ("independence", "exchangeable", "ar1", "unstructured", "m_dependent", "nested")
KINDS = (None, "LZ", "KC", "MD", "FG", "MBN", "model")


def outcome(rng, family, link, shared, n):
    if family == "gaussian":
        return shared + rng.normal(size=n) + (5 if link == "log" else 0)
    if family == "binomial":
        return (shared + rng.normal(size=n) + rng.choice([0, 2, -2]) > 0).astype(float)
    if family == "ordinal":
        return np.digitize(shared + rng.normal(size=n), np.sort(rng.normal(size=rng.integers(1, 4)))).astype(
            float
        )
    if family in ("poisson", "negative_binomial"):
        return rng.poisson(np.exp(np.clip(shared, -5, 4)) * rng.choice([0.1, 1, 5])).astype(float)
    return rng.gamma(2, np.exp(np.clip(shared, -3, 3)))


def hostile(seed):
    """A data set and a model that hardly go together."""
    rng = np.random.default_rng(seed)
    family = str(rng.choice([*LINKS_OF, "ordinal"]))
    ordinal = family == "ordinal"
    link = str(rng.choice(ORDINAL_LINKS if ordinal else LINKS_OF[family]))
    structure = str(rng.choice(ORDINAL if ordinal else STRUCTURES))
    J = int(rng.integers(1, 25))
    n = int(rng.integers(max(J, 3), 100))
    g = np.sort(rng.integers(0, J, n))
    first = np.searchsorted(g, g)
    arm = rng.integers(0, 2, J)[g].astype(float)
    y = outcome(rng, family, link, rng.normal(size=J)[g] * rng.choice([0, 1, 3]), n)
    if rng.random() < 0.15:
        y = np.where(arm == 1, 0, y)
    frame = pl.DataFrame(
        {
            ".row": np.arange(n),
            "y": y,
            "x": rng.normal(size=n) * 10.0 ** rng.integers(-3, 4),
            "arm": arm,
            "t": (np.arange(n) - first) * rng.choice([1, 1.5], size=J)[g],
            "w": rng.random(n) + 0.1,
            "g": g,
            "h": 3 * g + rng.integers(0, 3, n),
        }
    ).with_columns(pl.col("g", "h").cast(pl.String).cast(pl.Categorical))
    variables = {name: VariableInfo(name, "continuous", True) for name in ("y", "x", "arm", "t", "w")}
    brackets = "(1 | g/h)" if structure == "nested" else "(1 | g)"
    model = Model(
        formula=f"y ~ x + arm + {brackets}",
        family=family,
        link=link,
        engines=["gee"],
        correlation=structure,
        variance=rng.choice(KINDS),
        weights="w" if rng.random() < 0.3 else None,
    )
    return Dataset("s", frame.lazy(), variables, {"g": None, "h": "g"}, time="t"), model


@pytest.mark.parametrize("start", range(0, 250, 50))
def test_hostile_data_end_in_an_answer_or_a_sentence(start):
    """Rule 33."""
    seen = Counter()
    for seed in range(start, start + 50):
        dataset, model = hostile(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fit = fit_model(dataset, "m", model, "gee")
        seen[fit.status] += 1
        assert fit.status != Status.FAILED, (seed, fit.reason)
        assert (fit.reason is None) == (fit.status == Status.OK)
        numbers = [
            value
            for row in fit.estimates
            for value in (row.estimate, row.std_error, row.lower, row.upper, row.p_value)
            if value is not None
        ]
        assert all(math.isfinite(value) for value in numbers), seed
        assert all(check.value is not None and math.isfinite(check.value) for check in fit.checks), seed
    assert seen[Status.OK] > 10
    assert seen[Status.NOT_CONVERGED] < 10
