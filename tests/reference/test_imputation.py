"""Chained equations against mice, pan and smcfcs: pooled estimates, their variances, random-effect SDs.

Tolerance: 3 Monte Carlo standard errors of the difference of two sets of imputations, sqrt(B (1/m + 1/m')),
for estimates and SDs. Within-imputation variances differ by a few percent of themselves; between-imputation
variances are known to sqrt(2 / (m - 1)) of themselves each, and the programs' priors differ with few groups.
`make.R` holds the peers' side; `schools_lmer` takes logistic and normal approximations where the package
draws exactly.
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
from nestwise.imputation.variables import Wishes
from nestwise.impute.draw import Chains, draw
from nestwise.impute.impute import imputations

HERE = Path(__file__).parent / "imputation"
EXPECTED = json.loads((HERE / "expected.json").read_text())
SCHOOLS = "lpo ~ iqv + ses + sex + ssi + (1 | sch)"
M = 40


def dataset(name, group, **types):
    frame = pl.read_csv(HERE / f"{name}.csv").with_row_index(".row", offset=1)
    columns = [column for column in frame.columns if column != ".row"]
    if group is not None:
        labels = frame[group].cast(pl.String)
        frame = frame.with_columns(labels.cast(pl.Enum(labels.unique(maintain_order=True))))
    frame = frame.with_columns(
        pl.col(column).cast(pl.Float64) for column in columns if column != group and column not in types
    )
    variables = {column: VariableInfo(column, types.get(column, "continuous"), True) for column in columns}
    return Dataset(name, frame.lazy(), variables, {group: None} if group else {})


def pooled(data, formula, chains):
    model = Model(formula=formula)
    draws = draw(data, "m", model, M, 1, chains)
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
            fits.append((beta, s2 * np.diag(np.linalg.inv(design.X.T @ design.X)), 0.0, 0.0))
    return tuple(np.array(part) for part in zip(*fits, strict=True))


def held_against(expected, fits):
    Q, U, tau, sigma = fits
    between = np.array(expected["between"])
    error = np.sqrt((between + Q.var(axis=0, ddof=1)) / 2 * (1 / M + 1 / expected["m"]))
    assert (np.abs(Q.mean(axis=0) - expected["estimate"]) < 3 * error).all()
    np.testing.assert_allclose(U.mean(axis=0), expected["within"], rtol=0.06)
    # log of a ratio of two variances on 39 and m - 1 degrees of freedom
    noise = np.sqrt(2 / (M - 1) + 2 / (expected["m"] - 1))
    assert (np.abs(np.log(Q.var(axis=0, ddof=1) / between)) < 3 * noise).all()
    for name, values in (("tau", tau), ("sigma", sigma)):
        if name in expected:
            spread = (expected[f"{name}_between"] + values.var(ddof=1)) / 2
            assert abs(values.mean() - expected[name]) < 3 * np.sqrt(spread * (1 / M + 1 / expected["m"]))


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


def test_complete_cases_say_something_else():
    """What the comparison can tell apart: the two answers differ by more than its tolerance."""
    expected = EXPECTED["schools_pan"]
    apart = np.abs(np.array(expected["estimate"]) - EXPECTED["schools_complete"]["estimate"])
    assert (apart / np.sqrt(np.array(expected["between"]) * (1 / M + 1 / expected["m"]))).max() > 2
