"""Fits pooled: scales, failure budget, mixed draws, marginal means; numbers of R are in tests/reference."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from nestwise.config.study import Model
from nestwise.data.dataset import Dataset, VariableInfo
from nestwise.engines import fit_model
from nestwise.errors import Refusal
from nestwise.impute.analyse import analyse
from nestwise.impute.pool import pool
from nestwise.results import Check, Estimate, Fit, Status, estimates_frame, fits_frame

GROWTH = Model.model_validate({"formula": "y ~ x * arm + (1 | g)", "engines": ["lmm"], "means": [["arm"]]})


def completed(k, J=12, n=8):
    rng = np.random.default_rng(5)
    codes = np.repeat(np.arange(J), n)
    x, b = rng.normal(size=J * n), rng.normal(size=J)
    y = 1 + x + b[codes] + rng.normal(size=J * n)
    y[::5] += np.random.default_rng(k).normal(size=y[::5].size)
    frame = pl.DataFrame(
        {
            ".row": np.arange(J * n),
            "y": y,
            "x": x,
            "arm": pl.Series(np.where(codes % 2, "b", "a")).cast(pl.Enum(["a", "b"])),
            "g": pl.Series([f"g{c}" for c in codes]).cast(pl.Enum([f"g{c}" for c in range(J)])),
        }
    )
    variables = {name: VariableInfo(name, "continuous", True) for name in ("y", "x")}
    variables["arm"] = VariableInfo("arm", "categorical", True, ("a", "b"))
    variables["g"] = VariableInfo("g", "categorical", True)
    return Dataset("made", frame.lazy(), variables, {"g": None})


@pytest.fixture(scope="module")
def fits():
    return analyse([completed(k) for k in range(6)], "growth", GROWTH, "lmm", seed=3)


def row(fit, component, term):
    return next(each for each in fit.estimates if (each.component, each.term) == (component, term))


def answered(estimates, **fields):
    base = Fit("s", "m", "lmm", "REML", Status.OK, "y ~ x", "hash", 10, 5, converged=True, singular=False)
    return replace(base, estimates=tuple(estimates), **fields)


def test_a_brief_analysis_has_the_numbers_of_the_full_one(fits):
    full = fit_model(completed(0), "growth", GROWTH, "lmm")
    for theirs in fits[0].estimates:
        ours = next(
            each
            for each in full.estimates
            if (each.component, each.term, each.group) == (theirs.component, theirs.term, theirs.group)
        )
        assert theirs.estimate == pytest.approx(ours.estimate, rel=1e-9)
        assert theirs.df == (None if ours.df is None else pytest.approx(ours.df))
    sd = row(fits[0], "sd", "(Intercept)")
    profile = row(full, "sd", "(Intercept)")
    assert sd.std_error == pytest.approx(
        sd.estimate * np.log(profile.upper / profile.lower) / 2 / 1.96, rel=0.25
    )
    assert fits[0].groups.is_empty()


def test_sigma_has_the_standard_error_of_chi_square(fits):
    """Of n - p - J degrees of freedom or so: sigma / sqrt(2 df)."""
    sigma = row(fits[0], "residual", "sigma")
    assert sigma.std_error == pytest.approx(sigma.estimate / np.sqrt(2 * (96 - 12 - 2)), rel=0.02)


def test_a_pooled_fit_fills_the_tables(fits):
    fit = pool(fits, strategy="mi")
    assert (fit.strategy, fit.method, fit.status) == ("mi", "REML, 6 imputations", Status.OK)
    frame = estimates_frame(fit)
    assert frame["strategy"].unique().to_list() == ["mi"]
    assert not frame["estimate"].is_nan().any()
    assert fits_frame(fit)["log_likelihood"].to_list() == [None]
    told = {(term["component"], term["term"]): term for term in fit.record["pooling"]["terms"]}
    assert 0 < told["fixed", "x"]["fmi"] < 0.9
    assert 0.8 < told["fixed", "x"]["relative_efficiency"] < 1
    assert told["sd", "(Intercept)"]["pooled_on"] == "log"
    assert {test.term for test in fit.tests} == {"x", "arm", "x:arm"}


def test_a_term_of_one_column_has_the_same_test_twice(fits):
    fit = pool(fits)
    for test in fit.tests:
        t = row(fit, "fixed", {"arm": "armb", "x": "x", "x:arm": "x:armb"}[test.term])
        assert test.statistic == pytest.approx(t.statistic**2, rel=1e-9)


def test_marginal_means_and_contrasts_are_pooled(fits):
    fit = pool(fits)
    means = fit.means.filter(kind="mean")["estimate"].to_list()
    contrast = fit.means.filter(kind="contrast").row(0, named=True)
    assert contrast["estimate"] == pytest.approx(means[1] - means[0])
    each = [one.means.filter(kind="contrast")["estimate"].item() for one in fits]
    assert contrast["estimate"] == pytest.approx(np.mean(each))
    assert (
        contrast["std_error"] > max(one.means.filter(kind="contrast")["std_error"].item() for one in fits) / 2
    )


def test_one_imputation_is_refused(fits):
    with pytest.raises(Refusal, match="one imputation says nothing"):
        pool(fits[:1])


def test_some_analyses_may_fail_and_that_is_said(fits):
    broken = replace(fits[0], status=Status.FAILED, reason="It broke.")
    fit = pool([*fits, *fits, broken])
    assert fit.record["pooling"]["used"] == 12
    assert fit.record["pooling"]["failed"] == [{"imputation": 12, "reason": "It broke."}]
    assert any("1 of 13 analyses failed" in text for text in fit.warnings)
    with pytest.raises(Refusal, match=r"2 of 8 analyses .* failed, most often so: It broke"):
        pool([*fits, broken, broken])


def test_fits_of_different_models_are_refused(fits):
    with pytest.raises(Refusal, match="different models or engines"):
        pool([fits[0], replace(fits[1], formula="y ~ 1")])


def test_a_standard_deviation_of_zero_somewhere_is_a_point():
    rows = [[Estimate("sd", "x", value, "g", std_error=0.1)] for value in (0.0, 3.0, 4.0)]
    found = pool([answered(each) for each in rows]).estimates[0]
    assert found.estimate == pytest.approx(np.sqrt(25 / 3))
    assert found.lower is None
    assert found.std_error is None


def test_mostly_singular_fits_make_a_singular_answer():
    rows = [Estimate("fixed", "x", 1.0, std_error=0.1)]
    few = [answered(rows, singular=k < 2, status=Status.SINGULAR if k < 2 else Status.OK) for k in range(6)]
    assert pool(few).status is Status.OK
    assert any("In 2 of 6 completed" in text for text in pool(few).warnings)
    many = [replace(fit, singular=True, status=Status.SINGULAR, reason="Zero.") for fit in few]
    assert (pool(many).status, pool(many).reason) == (Status.SINGULAR, "Zero.")


def test_odds_ratios_are_exponentials_of_the_pooled_coefficients():
    beta, error = [0.2, 0.5, 0.4], 0.3
    half = 2.0859634472658364 * error  # the quantile of t with 20 degrees of freedom
    fits = [
        answered(
            [
                Estimate("fixed", "x", b, std_error=error, df=20.0),
                Estimate(
                    "derived", "odds_ratio:x", np.exp(b), df=20.0, scale="odds_ratio", level=0.95,
                    lower=np.exp(b - half), upper=np.exp(b + half),
                ),
            ]
        )
        for b in beta
    ]  # fmt: skip
    fixed, ratio = pool(fits).estimates
    assert ratio.estimate == pytest.approx(np.exp(fixed.estimate))
    assert (ratio.lower, ratio.upper) == pytest.approx((np.exp(fixed.lower), np.exp(fixed.upper)), rel=1e-8)
    assert ratio.p_value == pytest.approx(fixed.p_value)


def test_posterior_draws_are_mixed_and_judged_inside_each_imputation():
    """Rule 21: chains of different imputations differ, and no R-hat is taken over them."""
    rng = np.random.default_rng(0)
    fits = []
    for k in range(3):
        draws = pl.DataFrame(
            {
                "chain": np.repeat([0, 1], 500),
                "draw": np.tile(np.arange(500), 2),
                "fixed|x": rng.normal(k, 1, 1000),
            }
        )
        check = Check("r_hat", 1.0 + k / 1000, 1.01, k != 1, f"imputation {k}")
        fits.append(answered([Estimate("fixed", "x", float(k), std_error=1.0)], draws=draws, checks=(check,)))
    fit = pool(fits)
    assert fit.draws["chain"].unique().sort().to_list() == [0, 1, 2, 3, 4, 5]
    found = fit.estimates[0]
    assert found.std_error == pytest.approx(np.sqrt(1 + 2 / 3), rel=0.05)
    assert found.estimate == pytest.approx(1.0, abs=0.1)
    assert [check.advice for check in fit.checks] == ["imputation 1"]


def test_an_analysis_does_not_depend_on_its_batch(fits):
    again = analyse([completed(4)], "growth", GROWTH, "lmm", seed=3, first=4)[0]
    assert again.estimates == fits[4].estimates


@pytest.mark.parametrize("engine", ["pooled", "gee"])
def test_other_engines_are_pooled_by_the_same_contract(engine):
    model = Model.model_validate({"formula": GROWTH.formula, "engines": [engine]})
    fit = pool(analyse([completed(k) for k in range(4)], "growth", model, engine))
    x = row(fit, "fixed", "x")
    assert x.std_error > 0
    assert x.lower < x.estimate < x.upper


def test_a_generalised_model_is_pooled_on_the_scale_of_its_link():
    def binary(k):
        data = completed(k, J=20)
        frame = data.frame.with_columns((pl.col("y") > 1).cast(pl.Int8).alias("y"))
        return replace(data, frame=frame, variables=data.variables | {"y": VariableInfo("y", "binary", True)})

    model = Model.model_validate({"formula": "y ~ x + (1 | g)", "family": "binomial", "engines": ["glmm"]})
    fit = pool(analyse([binary(k) for k in range(3)], "odds", model, "glmm"))
    sd = row(fit, "sd", "(Intercept)")
    assert 0 < sd.lower < sd.estimate < sd.upper
    assert [test.term for test in fit.tests] == ["x"]


@pytest.mark.parametrize(
    ("formula", "options"),
    [
        ("y ~ x + (1 | g) + (1 | h)", {}),
        ("y ~ x + (x || g)", {}),
        ("y ~ x + (1 | g)", {"reml": False}),
        ("y ~ x + (1 | g)", {"df": "kenward_roger", "robust": "CR2"}),
        ("y ~ x + (1 | row)", {"sampling_error": "error"}),
    ],
)
def test_brief_analyses_of_other_models_have_standard_errors(formula, options):
    data = completed(0)
    labels = [f"r{i}" for i in range(96)]
    frame = data.frame.with_columns(
        pl.Series("h", [f"h{i % 8}" for i in range(96)]).cast(pl.Enum([f"h{i}" for i in range(8)])),
        pl.Series("row", labels).cast(pl.Enum(labels)),
        pl.lit(0.5).alias("error"),
    )
    known = {name: VariableInfo(name, "categorical", True) for name in ("h", "row")}
    known["error"] = VariableInfo("error", "continuous", True)
    groups = {"g": None, "h": None, "row": None}
    data = replace(data, frame=frame, variables=data.variables | known, within=groups)
    model = Model.model_validate({"formula": formula, "engines": ["lmm"], **options})
    brief, full = (fit_model(data, "m", model, "lmm", brief=short) for short in (True, False))
    table = {(each.component, each.term, each.group): each for each in full.estimates}
    assert brief.status in (Status.OK, Status.SINGULAR), brief.reason
    for found in brief.estimates:
        expected = table[found.component, found.term, found.group]
        assert found.estimate == pytest.approx(expected.estimate, rel=1e-7)
        if found.component == "sd" and expected.lower and expected.upper:
            wald = np.exp(2 * 1.96 * found.std_error / found.estimate)
            assert wald == pytest.approx(expected.upper / expected.lower, rel=0.5)
        if found.component in ("fixed", "robust"):
            assert found.std_error == pytest.approx(expected.std_error)
