"""Chained equations against mice, pan and smcfcs: pooled estimates, their variances, random-effect SDs.

Tolerance: 3 Monte Carlo standard errors of the difference of two sets of imputations, sqrt(B (1/m + 1/m')),
for estimates and SDs. Within-imputation variances differ by a few percent of themselves; between-imputation
variances are known to sqrt(2 / (m - 1)) of themselves each, and the programs' priors differ with few groups.
`make.R` of each folder holds the peers' side; `schools_lmer` takes logistic and normal approximations where
the package draws exactly.
"""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nestwise.config.study import Model
from nestwise.data.dataset import Dataset, VariableInfo
from nestwise.design.build import build_design
from nestwise.fit.state import solve_lmm
from nestwise.imputation.chained import plan, run_chain
from nestwise.imputation.record import Grouping, Incomplete, Variable
from nestwise.imputation.variables import Wishes
from nestwise.impute.draw import Chains, draw
from nestwise.impute.impute import imputations
from nestwise.seeds import seed_for

HERE = Path(__file__).parent / "imputation"
METHODS = Path(__file__).parent / "imputation_methods"
GROUPS = Path(__file__).parent / "imputation_groups"
EXPECTED = {
    name: answer
    for folder in (HERE, METHODS)
    for name, answer in json.loads((folder / "expected.json").read_text()).items()
}
SCHOOLS = "lpo ~ iqv + ses + sex + ssi + (1 | sch)"
M = 40


def dataset(name, group, folder=HERE, **types):
    frame = pl.read_csv(folder / f"{name}.csv").with_row_index(".row", offset=1)
    columns = [column for column in frame.columns if column != ".row"]
    if group is not None:
        labels = frame[group].cast(pl.String)
        frame = frame.with_columns(labels.cast(pl.Enum(labels.unique(maintain_order=True))))
    frame = frame.with_columns(
        pl.col(column).cast(pl.Float64) for column in columns if column != group and column not in types
    )
    variables = {column: VariableInfo(column, types.get(column, "continuous"), True) for column in columns}
    return Dataset(name, frame.lazy(), variables, {group: None} if group else {})


def pooled(data, formula, chains, m=M):
    model = Model(formula=formula)
    draws = draw(data, "m", model, m, 1, chains)
    fits = []
    for each in imputations(data, draws):
        design = build_design(each, "m", model)
        if design.random:
            solution = solve_lmm(design).solution
            sigma = float(solution.sigma)
            tau = sigma * float(np.abs(solution.theta[0]))
            fits.append((solution.beta, np.diag(solution.cov_beta), tau, sigma))
        else:
            beta, rest = np.linalg.lstsq(design.X, design.y)[:2]
            s2 = rest[0] / (design.n - beta.size)
            fits.append((beta, s2 * np.diag(np.linalg.inv(design.X.T @ design.X)), 0.0, np.sqrt(s2)))
    return tuple(np.array(part) for part in zip(*fits, strict=True))


def apart(expected, fits):
    """Differences of estimates and SDs in Monte Carlo standard errors."""
    Q, _, tau, sigma = fits
    found = [(Q.mean(axis=0) - expected["estimate"], expected["between"], Q.var(axis=0, ddof=1))]
    for name, values in (("tau", tau), ("sigma", sigma)):
        if name in expected:
            found.append((values.mean() - expected[name], expected[f"{name}_between"], values.var(ddof=1)))
    noise = 1 / Q.shape[0] + 1 / expected["m"]
    return np.concatenate([
        np.atleast_1d(difference / np.sqrt((np.array(theirs) + ours) / 2 * noise))
        for difference, theirs, ours in found
    ])  # fmt: skip


def held_against(expected, fits):
    Q, U = fits[:2]
    m = Q.shape[0]
    assert np.abs(apart(expected, fits)).max() < 3
    np.testing.assert_allclose(U.mean(axis=0), expected["within"], rtol=0.06)
    # log of a ratio of two variances on m - 1 degrees of freedom each
    noise = np.sqrt(2 / (m - 1) + 2 / (expected["m"] - 1))
    assert (np.abs(np.log(Q.var(axis=0, ddof=1) / expected["between"])) < 3 * noise).all()


@pytest.mark.parametrize(
    ("case", "methods", "types"),
    [
        ("schools_pan", {"sex": "normal"}, {}),
        pytest.param(
            "schools_lmer", {"ssi": "matching"}, {"sex": "binary"}, marks=pytest.mark.slow, id="schools_lmer"
        ),
    ],
)
def test_schools_agree_with_mice(case, methods, types):
    data = dataset("schools", "sch", **types)
    held_against(EXPECTED[case], pooled(data, SCHOOLS, Chains(10, 10, Wishes(methods=methods))))


def test_ratings_agree_with_pan():
    data = dataset("ratings", "ID")
    chains = Chains(20, 10, Wishes(auxiliary=("SES",)))
    held_against(EXPECTED["ratings_pan"], pooled(data, "ReadAchiev ~ ReadDis + (1 | ID)", chains))


def test_an_interaction_agrees_with_smcfcs():
    fits = pooled(dataset("interaction", None), "y ~ x * z", Chains(20, 10))
    held_against(EXPECTED["interaction_smcfcs"], fits)


@pytest.mark.parametrize("how", ["norm", "pmm"])
def test_air_quality_agrees_with_mice(how):
    """No groups, and gaps that nobody made."""
    data = dataset("air", None, METHODS)
    wishes = Wishes(methods=dict.fromkeys(("Ozone", "Solar"), "matching")) if how == "pmm" else Wishes()
    fits = pooled(data, "Ozone ~ Solar + Wind + Temp", Chains(10, 10, wishes), 100)
    held_against(EXPECTED[f"air_{how}"], fits)


@pytest.mark.parametrize(
    ("how", "method"), [("norm", "normal"), pytest.param("pmm", "matching", marks=pytest.mark.slow, id="pmm")]
)
def test_a_variable_of_counties_agrees_with_mice(how, method):
    data = dataset("radon", "county", METHODS)
    chains = Chains(2, 10, Wishes(methods={"uranium": method}))
    fits = pooled(data, "log.radon ~ basement + uranium + (1 | county)", chains)
    held_against(EXPECTED[f"radon_2lonly_{how}"], fits)


@pytest.mark.slow
def test_variances_by_group_agree_with_mice():
    """Of one common variance the same comparison says that it is another model."""
    data, expected = dataset("pigs", "Pig", METHODS), EXPECTED["pigs_2l_norm"]

    def fits(method):
        return pooled(
            data, "Weight ~ Time + (Time | Pig)", Chains(10, 20, Wishes(methods={"Weight": method}))
        )

    held_against(expected, fits("heterogeneous"))
    assert np.abs(apart(expected, fits("normal"))).max() > 4


def test_complete_cases_say_something_else():
    """What the comparison can tell apart: the two answers differ by more than its tolerance."""
    expected = EXPECTED["schools_pan"]
    difference = np.abs(np.array(expected["estimate"]) - EXPECTED["schools_complete"]["estimate"])
    assert (difference / np.sqrt(np.array(expected["between"]) * (1 / M + 1 / expected["m"]))).max() > 2


def study_of_groups(study):
    """The record of one study of 40 groups of one size, their mean outcomes and their complete covariate."""
    y, v, w = study["y"], study["v"], np.where(study["gone"], np.nan, study["w"])
    J, size = y.shape
    codes = np.repeat(np.arange(J), size)
    variables = (
        Variable("y", "continuous", y.ravel()),
        Variable("v", "continuous", v[codes], "g"),
        Variable("w", "continuous", w[codes], "g"),
    )
    return Incomplete("s", "m", variables, (Grouping("g", codes, tuple(map(str, range(J)))),), outcome="y")


def test_few_groups_leave_as_much_of_an_effect_of_groups_as_in_mice():
    """28 of 40 groups have the variable: its mean effect in 100 studies is that of mice given the same data.

    Groups are of one size and covariates theirs, so that least squares of means are the estimates. Tolerance:
    3 standard errors of the mean difference, together a twentieth of the standard error of one estimate.
    """
    expected = json.loads((GROUPS / "expected.json").read_text())
    sets, m = pl.read_csv(GROUPS / "sets.csv"), expected["m"]
    estimates = []
    for (number,), one in sets.group_by("study", maintain_order=True):
        study = {name: one[name].to_numpy() for name in ("v", "w", "gone")}
        study |= {"y": one.select(pl.col("^y.$")).to_numpy(), "gone": study["gone"] == 1}
        record = study_of_groups(study)
        targets = plan(record)
        found = []
        for k in range(m):
            chain = run_chain(record, targets, seed_for(3, number, k), 1)
            w = np.where(study["gone"], 0.0, study["w"])
            w[study["gone"]] = chain.draws["w"]
            X = np.column_stack([np.ones(w.size), study["v"], w])
            found.append(np.linalg.lstsq(X, study["y"].mean(axis=1))[0][2])
        estimates.append(np.mean(found))
    difference = np.array(estimates) - expected["estimate"]
    error = difference.std(ddof=1) / np.sqrt(difference.size)
    assert error < 0.03 * np.mean(expected["whole_std_error"])
    assert abs(difference.mean()) < 3 * error
