"""Outcomes that are not Gaussian, from the left side of a formula to numbers."""

from __future__ import annotations

import polars as pl
import pytest

from nestwise.config.study import Model
from nestwise.data.dataset import Dataset, VariableInfo
from nestwise.design.build import build_design
from nestwise.engines import fit_model
from nestwise.results import Status

GROUPS = [f"g{i}" for i in range(12)]


@pytest.fixture(scope="module")
def dataset():
    n = 48
    grades = pl.Enum(["low", "middle", "high"])
    frame = pl.DataFrame(
        {
            ".row": range(1, n + 1),
            "cured": [float((7 * i) % 5) for i in range(n)],
            "failed": [float((3 * i) % 4 + 1) for i in range(n)],
            "treated": [float((7 * i) % 5 + (3 * i) % 4 + 1) for i in range(n)],
            "grade": pl.Series([grades.categories[(i * i + i // 4) % 3] for i in range(n)], dtype=grades),
            "score": [[0.5, 1.0, 3.0][(i * i + i // 4) % 3] for i in range(n)],
            "x": [float((5 * i) % 11) for i in range(n)],
            "g": pl.Series([GROUPS[i // 4] for i in range(n)], dtype=pl.Enum(GROUPS)),
        }
    )
    variables = {name: VariableInfo(name, "continuous", True, ()) for name in ("cured", "failed", "treated")}
    variables |= {name: VariableInfo(name, "continuous", True, ()) for name in ("x", "score")}
    variables["grade"] = VariableInfo("grade", "categorical", True, ("low", "middle", "high"))
    variables["g"] = VariableInfo("g", "categorical", True, tuple(GROUPS))
    return Dataset("study", frame.lazy(), variables, {"g": None}, None, ())


def fitted(dataset, **model):
    return fit_model(dataset, "m", Model(engines=["glmm"], **model), "glmm")


def test_three_ways_to_write_successes(dataset):
    """cbind(successes, failures), an expression in it, and successes / trials are one model."""
    fits = [
        fitted(dataset, formula=f"{left} ~ x + (1 | g)", family="binomial")
        for left in ("cbind(cured, failed)", "cbind(cured, treated - cured)", "cured / treated")
    ]
    assert all(fit.status in (Status.OK, Status.SINGULAR) for fit in fits)
    for fit in fits[1:]:
        assert fit.log_likelihood == pytest.approx(fits[0].log_likelihood, abs=1e-8)


def test_a_quotient_is_arithmetic_for_other_families(dataset):
    model = Model(formula="cured / treated ~ x + (1 | g)", engines=["lmm"])
    design = build_design(dataset, "m", model)
    assert design.trials is None
    assert design.y.max() < 1


def test_categories_have_names(dataset):
    """Levels in their order, numbers by size; thresholds are named by the categories they divide."""
    for outcome, names in (("grade", ("low|middle", "middle|high")), ("score", ("0.5|1", "1|3"))):
        fit = fitted(dataset, formula=f"{outcome} ~ x + (1 | g)", family="ordinal")
        assert fit.status in (Status.OK, Status.SINGULAR)
        fixed = [row for row in fit.estimates if row.component == "fixed"]
        assert tuple(row.term for row in fixed) == (*names, "x")
        assert fixed[0].estimate < fixed[1].estimate


def test_successes_without_their_family(dataset):
    fit = fitted(dataset, formula="cbind(cured, failed) ~ x + (1 | g)", family="poisson")
    assert fit.status is Status.REFUSED
    assert "set family: binomial" in fit.reason


def test_more_successes_than_trials(dataset):
    fit = fitted(dataset, formula="treated / cured ~ x + (1 | g)", family="binomial")
    assert fit.status is Status.REFUSED
    assert "has fewer trials than successes" in fit.reason
    assert "has no trials" in fit.reason


def test_link_of_another_family(dataset):
    with pytest.raises(ValueError, match="poisson has no link logit: use one of log, identity"):
        Model(formula="cured ~ x + (1 | g)", family="poisson", link="logit", engines=["glmm"])
    fit = fitted(dataset, formula="cured ~ x + (1 | g)", family="poisson", link="identity")
    assert fit.status is Status.REFUSED
    assert "has no link identity here; use log" in fit.reason


def test_counts_between_groups(dataset):
    fit = fitted(dataset, formula="cured ~ x + offset(log(treated)) + (1 | g)", family="poisson")
    assert fit.status in (Status.OK, Status.SINGULAR)
    assert fit.method.startswith("AGQ(")


def test_marginal_means_are_on_the_scale_of_the_link(dataset):
    """A mean is the linear predictor of a typical group; the difference of two is the effect."""
    fit = fitted(dataset, formula="cured ~ grade + (1 | g)", family="poisson", means=[["grade"]])
    fixed = {row.term: row for row in fit.estimates if row.component == "fixed"}
    means = {row["x"]: row for row in fit.means.filter(kind="mean").iter_rows(named=True)}
    assert means["low"]["estimate"] == pytest.approx(fixed["(Intercept)"].estimate)
    assert means["low"]["std_error"] == pytest.approx(fixed["(Intercept)"].std_error)
    assert means["high"]["estimate"] - means["low"]["estimate"] == pytest.approx(fixed["gradehigh"].estimate)
    assert means["low"]["df"] is None or means["low"]["df"] > 1e9
    assert any("scale of the link" in warning for warning in fit.warnings)
