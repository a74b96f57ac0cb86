"""Drop-out at random: the weighted equations recover the truth, unweighted ones and the comparators do not.

Normal and binary outcomes of 300 subjects at four visits. Those with a high outcome leave, the more so in one
of the arms; about 40% have left by the end. The truth is that of everybody. The seeds are fixed; limits are
3.5 Monte Carlo standard errors.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import polars as pl
import pytest
from scipy.special import expit

from nestwise.config.study import Model
from nestwise.data.dataset import Dataset, VariableInfo
from nestwise.engines import fit_model
from nestwise.missing.comparators import COMPARATORS
from nestwise.missing.doubly_robust import fit_doubly_robust
from nestwise.missing.plan import Plan
from nestwise.missing.weights import WeightSettings
from nestwise.missing.wgee import fit_wgee

STUDIES, N, T = 400, 300, 4
PLAN = Plan(arm="arm")
FORMULA = "y ~ x + arm * t + (1 | id)"
CONTRAST = {"armb": 1.0, "armb:t": T - 1.0}
"""The difference of the arms at the last visit: what a trial asks."""
SLOPE = -0.3
TRUTH = SLOPE * (T - 1)
TYPES = {"arm": "categorical", "x": "continuous", "t": "continuous", "y": "continuous"}


def study(family, seed):
    """Exact marginal means: normal ones, or probabilities of a common normal quantile a subject."""
    rng = np.random.default_rng([11, seed, family == "binomial"])
    arm, x, t = np.arange(N) % 2, rng.normal(size=N), np.arange(T)
    eta = 0.4 * x[:, None] + 0.3 * t + SLOPE * arm[:, None] * t
    shared = rng.normal(size=(N, 1))
    if family == "gaussian":
        y = eta + shared + rng.normal(size=(N, T))
        risk = 0.85 * y
    else:
        from scipy.stats import norm

        z = np.sqrt(0.6) * shared + np.sqrt(0.4) * rng.normal(size=(N, T))
        y = (norm.cdf(z) < expit(eta - 0.8)).astype(float)
        risk = 2 * y
    seen = np.ones((N, T), dtype=bool)
    for k in range(1, T):
        stay = expit(1.8 + 0.3 * arm - 0.45 * risk[:, k - 1] * (1 + arm))
        seen[:, k] = seen[:, k - 1] & (rng.random(N) < stay)
    who, when = np.nonzero(seen)
    frame = pl.DataFrame(
        {
            ".row": np.arange(1, who.size + 1),
            "id": pl.Series([f"s{k}" for k in who]).cast(pl.Enum([f"s{k}" for k in range(N)])),
            "arm": pl.Series([("a", "b")[code] for code in arm[who]]).cast(pl.Enum(["a", "b"])),
            "x": x[who],
            "t": when.astype(float),
            "y": y[who, when],
        }
    )
    infos = {name: VariableInfo(name, kind, declared=True) for name, kind in TYPES.items()}
    return Dataset("s", frame.lazy(), infos, {"id": None}, "t")


WEIGHTED = ("visit", "subject", "robust")
"""Weights by visit and by subject, doubly robust equations; `blind` are these with a drop-out model that does
not know the outcome."""


@dataclass(frozen=True)
class Answers:
    """Estimates and standard errors of the contrast, a value a study."""

    estimate: np.ndarray
    std_error: np.ndarray

    @property
    def bias(self):
        return (self.estimate.mean() - TRUTH) / (self.estimate.std(ddof=1) / np.sqrt(self.estimate.size))

    @property
    def coverage(self):
        return float((np.abs(self.estimate - TRUTH) < 1.959964 * self.std_error).mean())


def difference(fit):
    beta = np.array([row.estimate for row in fit.estimates if row.component == "fixed"])
    weights = np.array([CONTRAST.get(term, 0.0) for term in fit.record["terms"]])
    return weights @ beta, np.sqrt(weights @ np.array(fit.record["covariance"]) @ weights)


@cache
def answers(family):
    """By strategy."""
    model = Model(formula=FORMULA, family=family, engines=("gee",), correlation="independence")
    found = {name: [] for name in (*WEIGHTED, "blind", "unweighted", *COMPARATORS)}
    for seed in range(STUDIES):
        dataset = study(family, seed)
        for level in ("visit", "subject"):
            settings = WeightSettings(level=level, by_arm=True)
            found[level].append(difference(fit_wgee(dataset, "m", model, PLAN, settings)))
        found["robust"].append(
            difference(fit_doubly_robust(dataset, "m", model, PLAN, WeightSettings(by_arm=True)))
        )
        found["blind"].append(
            difference(fit_doubly_robust(dataset, "m", model, PLAN, WeightSettings(previous=False)))
        )
        found["unweighted"].append(difference(fit_model(dataset, "m", model, "gee")))
        for name, comparator in COMPARATORS.items():
            made = comparator.apply(dataset, model, PLAN)
            found[name].append(difference(fit_model(made, "m", model, "gee")))
    return {name: Answers(*np.array(rows).T) for name, rows in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("family", ["gaussian", "binomial"])
@pytest.mark.parametrize("name", WEIGHTED)
def test_weights_recover_the_truth_and_their_intervals_hold_it(family, name):
    found = answers(family)[name]
    assert abs(found.bias) < 3.5
    assert 0.93 <= found.coverage <= 0.97
    # the sandwich is of the size of the spread it estimates
    assert found.std_error.mean() == pytest.approx(found.estimate.std(ddof=1), rel=0.1)


@pytest.mark.slow
def test_regressions_make_up_for_a_blind_drop_out_model():
    """The regressions of normal outcomes are linear, as they are fitted."""
    found = answers("gaussian")["blind"]
    assert abs(found.bias) < 3.5
    assert 0.93 <= found.coverage <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("family", ["gaussian", "binomial"])
@pytest.mark.parametrize("name", ["unweighted", *COMPARATORS])
def test_the_others_are_biased(family, name):
    assert abs(answers(family)[name].bias) > 5
