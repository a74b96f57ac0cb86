"""Doubly robust equations: standardisation by hand, brute force, special cases and refusals."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from nestwise.engines import fit_model
from nestwise.errors import Refusal
from nestwise.missing.doubly_robust import fit_doubly_robust
from nestwise.missing.plan import Plan
from nestwise.missing.weights import WeightSettings
from nestwise.missing.wgee import fit_wgee

PLAN = Plan(arm="arm")


def fixed(fit):
    return np.array([row.estimate for row in fit.estimates if row.component == "fixed"])


def errors(fit):
    return np.array([row.std_error for row in fit.estimates if row.component == "fixed"])


@pytest.mark.parametrize("family", ["gaussian", "binomial"])
def test_with_saturated_models_it_is_standardisation_and_the_weighted_answer(study, model, family):
    """One binary history: the mean at the second visit is that of its strata, weighted as at the first."""
    rng = np.random.default_rng(1)
    rows, later = [], {0: [], 1: []}
    for k in range(60):
        first = k % 3 == 0
        rows.append({"id": f"s{k}", "t": 0.0, "y": float(first)})
        if rng.random() < (0.4 if first else 0.8):
            y = float(rng.random() < 0.3 + 0.4 * first) if family == "binomial" else rng.normal() + first
            later[int(first)].append(y)
            rows.append({"id": f"s{k}", "t": 1.0, "y": y})
    types = {"t": "continuous", "y": "continuous"}
    dataset = study(pl.DataFrame(rows).to_dict(as_series=False), types)
    asked = model("y ~ t + (1 | id)", family=family)
    fit = fit_doubly_robust(dataset, "m", asked, Plan())
    expected = 40 / 60 * np.mean(later[0]) + 20 / 60 * np.mean(later[1])
    eta = fixed(fit).sum()
    mean = eta if family == "gaussian" else 1 / (1 + np.exp(-eta))
    assert mean == pytest.approx(expected, rel=1e-9)
    # saturated drop-out models give the weighted equations the same answer, with the same error
    weighted = fit_wgee(dataset, "m", asked.model_copy(update={"variance": "LZ"}), Plan())
    assert fixed(fit) == pytest.approx(fixed(weighted), rel=1e-8)
    assert errors(fit) == pytest.approx(errors(weighted), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["gaussian", "binomial"])
def test_the_sandwich_is_that_of_leaving_subjects_out(trial, model, family):
    """The jackknife, which solves everything again, knows nothing of derivatives; they agree to O(1 / N)."""
    dataset = trial(N=300, seed=3, family=family)
    asked = model(family=family)
    fit = fit_doubly_robust(dataset, "m", asked, PLAN)
    frame, who = dataset.frame.collect(), pl.col("id").cast(pl.String)
    left_out = [
        fixed(fit_doubly_robust(replace(dataset, frame=frame.filter(who != one).lazy()), "m", asked, PLAN))
        for one in frame["id"].cast(pl.String).unique(maintain_order=True)
    ]
    spread = ((np.array(left_out) - fixed(fit)) ** 2).sum(axis=0)
    assert np.sqrt(spread) == pytest.approx(errors(fit), rel=0.1)


def test_without_drop_out_it_is_the_unweighted_fit(trial, model):
    dataset = trial(N=60)
    whole = dataset.frame.collect().filter(pl.len().over("id") == 4).lazy()
    dataset = replace(dataset, frame=whole)
    assert fixed(fit_doubly_robust(dataset, "m", model(), PLAN)) == pytest.approx(
        fixed(fit_model(dataset, "m", model(), "gee"))
    )


def test_a_visit_may_have_a_name_beside_its_time(trial, model):
    dataset = trial(N=150)
    name = pl.concat_str([pl.lit("v"), pl.col("t").cast(pl.Int64).cast(pl.String)])
    named = replace(dataset, frame=dataset.frame.with_columns(v=name.cast(pl.Enum(["v0", "v1", "v2", "v3"]))))
    plain = fit_doubly_robust(dataset, "m", model("y ~ x + arm * factor(t) + (1 | id)"), PLAN)
    fit = fit_doubly_robust(named, "m", model("y ~ x + arm * v + (1 | id)"), PLAN)
    assert fixed(fit) == pytest.approx(fixed(plain), rel=1e-8)
    assert fit.record["terms"][-1].endswith("vv3")


def test_units_do_not_matter(trial, model):
    dataset = trial(N=120)
    larger = replace(dataset, frame=dataset.frame.with_columns(pl.col("y") * 1000, pl.col("x") / 1000))
    one, other = (fit_doubly_robust(each, "m", model(), PLAN) for each in (dataset, larger))
    factor = np.array([1e3, 1e6, 1e3, 1e3, 1e3])
    assert fixed(other) == pytest.approx(fixed(one) * factor, rel=1e-6)
    assert errors(other) == pytest.approx(errors(one) * factor, rel=1e-4)


def test_what_it_cannot_do_is_a_sentence(trial, model):
    dataset = trial(N=60)
    with pytest.raises(Refusal, match="gaussian and binary outcomes"):
        counts = dataset.frame.with_columns(pl.col("y").abs().round())
        fit_doubly_robust(replace(dataset, frame=counts), "m", model(family="poisson"), PLAN)
    with pytest.raises(Refusal, match="z changes over the visits"):
        changing = dataset.frame.with_columns(z=pl.col("x") + pl.col("t") * pl.col("x"))
        fit_doubly_robust(replace(dataset, frame=changing), "m", model("y ~ z + t + (1 | id)"), PLAN)
    with pytest.raises(Refusal, match="no prior weights"):
        weighed = dataset.frame.with_columns(w=pl.lit(2.0))
        fit_doubly_robust(replace(dataset, frame=weighed), "m", model(weights="w"), PLAN)


def test_drop_out_models_that_know_less_are_made_up_for(trial, model):
    """Without the outcome in the drop-out model weights do nothing; the regressions still see it."""
    blind = WeightSettings(previous=False)
    dataset = trial(N=3000, leave=1.2, seed=5)
    truth = np.array([0.0, 0.5, 0.0, 0.2, -0.3])
    robust = fit_doubly_robust(dataset, "m", model(), PLAN, blind)
    weighted = fit_wgee(dataset, "m", model(), PLAN, blind)
    assert np.abs((fixed(robust) - truth) / errors(robust)).max() < 3.5
    assert np.abs((fixed(weighted) - truth) / errors(weighted)).max() > 6
