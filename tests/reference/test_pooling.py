"""Rubin's rules and joint tests against mice and mitml, on imputations stored beside R's numbers.

Source of numbers: tests/reference/pooling/make.R, session.txt. R's estimates are handed in where the rules
alone are tested (1e-8); where the models are fitted here as well, 1e-4 as between lme4 and us.
"""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nestwise.config.study import Model
from nestwise.data.dataset import Dataset, VariableInfo
from nestwise.design.build import build_design
from nestwise.imputation.joint_tests import robust_stacked_test, stacked_test, wald_test
from nestwise.imputation.model_comparison import compare_models
from nestwise.imputation.rubin import rubin
from nestwise.impute.analyse import analyse
from nestwise.impute.pool import pool

FOLDER = Path(__file__).parent / "pooling"
EXPECTED = json.loads((FOLDER / "expected.json").read_text())
FULL = "ReadAchiev ~ ReadDis + CognAbility + (1 | ID)"


@pytest.fixture(scope="module")
def completed():
    frame = pl.read_csv(FOLDER / "data.csv").with_columns(pl.col("ID").cast(pl.String).cast(pl.Categorical))
    names = ("ReadAchiev", "ReadDis", "CognAbility", "SES")
    variables = {name: VariableInfo(name, "continuous", True) for name in names}
    variables["ID"] = VariableInfo("ID", "categorical", True)
    sets = []
    for _, part in frame.group_by("imputation", maintain_order=True):
        rows = part.drop("imputation").cast(dict.fromkeys(names, pl.Float64)).with_row_index(".row", 1)
        sets.append(Dataset("pooling", rows.cast({".row": pl.Int64}).lazy(), variables, {"ID": None}))
    return sets


def model(formula, **options):
    return Model.model_validate({"formula": formula, "engines": ["lmm"], **options})


@pytest.mark.parametrize(("case", "df"), [("large", np.inf), ("small", 28.0)])
def test_pool_scalar(case, df):
    """mice::pool.scalar, and the numbers of the published example."""
    expected = EXPECTED["scalar"][case]
    found = rubin(np.arange(13.0, 18.0)[:, None], np.arange(3.0, 8.0)[:, None], df)
    assert found.estimate[0] == expected["mean"] == 15
    assert found.within[0] == expected["within"]
    assert found.between[0] == expected["between"]
    assert found.std_error[0] ** 2 == pytest.approx(expected["total"])
    assert found.df[0] == pytest.approx(expected["df"], rel=1e-10)
    assert found.fmi[0] == pytest.approx(expected["fmi"], rel=1e-8)
    assert found.share[0] == pytest.approx(expected["lambda"], rel=1e-10)


@pytest.mark.parametrize(("case", "df"), [("large", np.inf), ("df40", 40.0)])
def test_estimates_of_mitml(case, df):
    """mitml::testEstimates."""
    expected = EXPECTED["estimates"][case]
    variances = np.diagonal(np.array(EXPECTED["each"]["covariance"]), axis1=1, axis2=2)
    found = rubin(np.array(EXPECTED["each"]["beta"]), variances, df)
    for ours, theirs in [
        ("estimate", "estimate"),
        ("std_error", "std_error"),
        ("df", "df"),
        ("riv", "riv"),
        ("fmi", "fmi"),
    ]:
        assert getattr(found, ours) == pytest.approx(np.array(expected[theirs]), rel=1e-8), ours


@pytest.mark.parametrize(("case", "df"), [("D1", np.inf), ("D1_df40", 40.0)])
def test_d1_of_mitml(case, df):
    """mitml::testModels(method = "D1"), with and without Reiter's degrees of freedom."""
    expected = EXPECTED["tests"][case]
    V = np.array(EXPECTED["each"]["covariance"])[:, 1:, 1:]
    found = wald_test(np.array(EXPECTED["each"]["beta"])[:, 1:], V, df)
    assert found.statistic == pytest.approx(expected["F"], rel=1e-8)
    assert found.df_den == pytest.approx(expected["df2"], rel=1e-8)
    assert found.p_value == pytest.approx(expected["p"], rel=1e-6)
    assert found.riv == pytest.approx(expected["riv"], rel=1e-8)


def test_d4_of_mitml():
    """mitml::testModels(method = "D4") of linear models, with its default and robust variance."""
    given = EXPECTED["lm_log_likelihoods"]
    own = np.array([given["full"], given["null"]])
    m = own.shape[1]
    stacked = (given["full_stacked"] / m, given["null_stacked"] / m)
    plain = stacked_test(2 * (own[0] - own[1]), 2 * (stacked[0] - stacked[1]), 2)
    robust = robust_stacked_test(own, stacked, 2, 4)
    for found, name in ((plain, "D4_lm"), (robust, "D4_lm_robust")):
        expected = EXPECTED["tests"][name]
        assert found.statistic == pytest.approx(expected["F"], rel=1e-7)
        assert found.df_den == pytest.approx(expected["df2"], rel=1e-6)
        assert found.p_value == pytest.approx(expected["p"], rel=1e-5)


def test_mixed_models_from_the_data_to_the_pooled_fit(completed):
    fit = pool(analyse(completed, "reading", model(FULL), "lmm"))
    expected = EXPECTED["estimates"]["large"]
    fixed = [row for row in fit.estimates if row.component == "fixed"]
    assert [row.term for row in fixed] == expected["names"]
    assert [row.estimate for row in fixed] == pytest.approx(expected["estimate"], rel=1e-4)
    assert [row.std_error for row in fixed] == pytest.approx(expected["std_error"], rel=1e-4)
    # Satterthwaite's degrees of freedom take the place of infinitely many: fewer, and never more.
    assert all(row.df < df for row, df in zip(fixed, expected["df"], strict=True))
    assert fit.method == "REML, 6 imputations"
    sigma = next(row for row in fit.estimates if row.component == "residual")
    assert sigma.estimate**2 == pytest.approx(
        EXPECTED["estimates"]["extra"][1], rel=1e-3
    )  # log and plain means
    icc = next(row for row in fit.estimates if row.term == "icc")
    assert icc.estimate == pytest.approx(EXPECTED["estimates"]["extra"][2], rel=5e-3)
    assert icc.lower < icc.estimate < icc.upper


def test_least_squares_pool_as_in_mice(completed):
    """mice::pool of lm: Barnard and Rubin's degrees of freedom from 222 residual ones."""
    fits = analyse(
        completed, "flat", model("ReadAchiev ~ ReadDis + CognAbility", engines=["pooled"]), "pooled"
    )
    rows = [row for row in pool(fits).estimates if row.component == "fixed"]
    expected = EXPECTED["mice_pool"]
    for ours, theirs in [
        ("estimate", "estimate"),
        ("std_error", "std_error"),
        ("df", "df"),
        ("p_value", "p"),
    ]:
        assert [getattr(row, ours) for row in rows] == pytest.approx(expected[theirs], rel=1e-6), ours
    terms = pool(fits).record["pooling"]["terms"]
    assert [term["fmi"] for term in terms if term["component"] == "fixed"] == pytest.approx(
        expected["fmi"], rel=1e-6
    )


def test_likelihood_ratios_of_mixed_models(completed):
    """D3 against mitml; D4 against lme4 on stacked data with the groups of each imputation kept apart."""
    null = "ReadAchiev ~ 1 + (1 | ID)"
    larger, smaller = ([build_design(one, "m", model(text)) for one in completed] for text in (FULL, null))
    found = compare_models(larger, smaller)
    assert found.own[0] == pytest.approx(np.array(EXPECTED["each"]["full"]), abs=1e-4)
    assert found.own[1] == pytest.approx(np.array(EXPECTED["each"]["null"]), abs=1e-4)
    expected = EXPECTED["tests"]["D3"]
    assert found.D3.statistic == pytest.approx(expected["F"], rel=1e-4)
    assert found.D3.df_den == pytest.approx(expected["df2"], rel=1e-3)
    assert 12 * (found.stacked[0] - found.stacked[1]) / 6 == pytest.approx(
        EXPECTED["stacked"]["statistic"], rel=1e-5
    )
    assert found.D4.statistic == pytest.approx(found.D3.statistic, rel=0.05)
