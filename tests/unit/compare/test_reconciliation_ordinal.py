"""Conditional beside marginal cumulative log odds, and probabilities of lying above each threshold."""

import numpy as np
import polars as pl
import pytest
from scipy.special import expit

from nestwise.compare.effects import conditional_effects
from nestwise.compare.integrated import integrated
from nestwise.compare.marginalised import averaged
from nestwise.compare.saved import reconcile_saved
from nestwise.design.build import build_design
from nestwise.design.cumulative import cumulative_design
from nestwise.results import load_record

FORMULA = "y ~ arm + t + (1 | g)"


@pytest.fixture
def graded(fitted):
    """Four grades at four visits; groups differ by 1.5 logits."""
    rng = np.random.default_rng(3)
    n = 120
    g, t = np.repeat(np.arange(n), 4), np.tile(np.arange(4.0), n)
    eta = 0.8 * (g % 2) + 0.3 * t + 1.5 * rng.normal(size=n)[g]
    y = np.digitize(eta + rng.logistic(size=eta.size), [-1.0, 0.5, 2.0])
    frame = pl.DataFrame(
        {"g": [f"g{j}" for j in g], "arm": np.where(g % 2, "drug", "control"), "t": t, "y": y}
    )
    found = fitted(frame, FORMULA, family="ordinal", time="t")
    return found, reconcile_saved(found.folders, found.dataset, found.section)


def kind(table, name):
    return table.filter(pl.col("kind") == name)


def conditional(found):
    folder = found.folders[0]
    design = build_design(found.dataset, "m", found.model)
    fit = pl.read_parquet(folder / "fits.parquet").row(0, named=True)
    rows = pl.read_parquet(folder / "estimates.parquet").filter(pl.col("component") == "fixed")
    estimates = dict(rows.select("term", "estimate").rows())
    return design, conditional_effects(fit, load_record(folder), estimates, design)


def test_thresholds_and_effects_stand_beside_each_other(graded):
    found, table = graded
    rows = kind(table, "coefficient")
    assert rows["term"].to_list() == ["0|1", "1|2", "2|3", "armdrug", "t"]
    assert rows["scale"].to_list() == ["threshold"] * 3 + ["link"] * 2
    for engine, column in (("glmm", "conditional"), ("gee", "marginal")):
        own = pl.read_parquet(found.folders[engine == "gee"] / "estimates.parquet")
        own = own.filter(pl.col("component") == "fixed")
        assert rows[column].to_list() == own["estimate"].to_list()
        assert rows[f"{column}_se"].to_numpy() == pytest.approx(own["std_error"].to_numpy(), rel=1e-10)
    # rule 13: the raw answers differ by the attenuation, and almost nothing is left after it
    effects = rows.filter(pl.col("scale") == "link")
    assert effects["attenuation"].to_numpy() == pytest.approx(effects["attenuation_rule"].to_numpy(), rel=0.1)
    assert (effects["attenuation"] < 0.85).all()
    assert set(rows["verdict"]) == {"agrees"}


def test_delta_method_errors_are_those_of_numerical_derivatives(graded):
    design, effects = conditional(graded[0])
    means = cumulative_design(design)
    found = integrated(means, effects)

    def coefficients(theta):
        mu = averaged("logit", means.X @ theta[:5], np.full(means.n, theta[5])).mu
        return np.linalg.lstsq(means.X, np.log(mu / (1 - mu)), rcond=None)[0]

    theta, h = np.append(effects.beta, effects.Sigma[0, 0]), 1e-5
    columns = [(coefficients(theta + h * e) - coefficients(theta - h * e)) / (2 * h) for e in np.eye(6)]
    assert found.beta == pytest.approx(coefficients(theta), rel=1e-9)
    assert found.by_parameters == pytest.approx(np.column_stack(columns), rel=1e-5, abs=1e-7)


def test_probabilities_above_each_threshold_are_averages_over_the_groups(graded):
    found, table = graded
    _, effects = conditional(found)
    means = kind(table, "mean")
    assert set(means["scale"]) == {"probability"}
    draws = np.random.default_rng(0).normal(size=400_000) * np.sqrt(effects.Sigma[0, 0])
    for c, value in enumerate("012"):
        row = means.filter((pl.col("x") == 2) & (pl.col("term") == f"drug > {value}")).row(0, named=True)
        eta = effects.beta @ [*(-np.eye(3)[c]), 1, 2]
        assert row["conditional"] == pytest.approx(expit(eta), rel=1e-9)
        assert row["integrated"] == pytest.approx(expit(eta + draws).mean(), abs=3e-3)
        assert abs(row["marginal"] - row["integrated"]) < 0.03
        assert 0 < row["marginal_lower"] < row["marginal"] < row["marginal_upper"] < 1


def test_differences_between_arms_follow_from_the_probabilities(graded):
    table = graded[1]
    at = pl.col("x") == 1
    drug, control = (
        kind(table, "mean").filter(at & (pl.col("term") == f"{arm} > 1")) for arm in ("drug", "control")
    )
    difference = kind(table, "difference").filter(at & (pl.col("term") == "drug - control > 1"))
    assert difference["scale"].to_list() == ["probability_difference"]
    for name in ("conditional", "integrated", "marginal"):
        assert difference[name].item() == pytest.approx(drug[name].item() - control[name].item(), rel=1e-12)
    reasons = kind(table, "reason")
    assert {"cluster_size", "working_correlation", "quadrature"} <= set(reasons["term"])
    tried = reasons.filter(pl.col("term") == "working_correlation")["reason"].item()
    assert "global_odds_ratio" in tried
