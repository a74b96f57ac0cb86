"""Shifted log-odds of a binary outcome against mice's delta adjustment (mnar.logreg).

Tolerance: 3.5 Monte Carlo standard errors of the difference of two sets of imputations (nine coefficients and
three shares are held); variances as in `test_imputation`. mice imputes from a logit and the package from a
probit, which say nearly the same of these probabilities.
"""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.special import expit

from nestwise.config.study import Model
from nestwise.data.dataset import Dataset, VariableInfo
from nestwise.imputation.shift import shift_of, shifted
from nestwise.impute.draw import Chains, draw
from nestwise.impute.impute import imputations

HERE = Path(__file__).parent / "shift"
EXPECTED = json.loads((HERE / "expected.json").read_text())
M = 100


@pytest.fixture(scope="module")
def drawn():
    frame = pl.read_csv(HERE / "outcome.csv").with_row_index(".row", offset=1)
    types = {"y": "binary", "x": "continuous", "arm": "binary"}
    data = Dataset(
        "s", frame.lazy(), {name: VariableInfo(name, kind, True) for name, kind in types.items()}, {}
    )
    # one incomplete variable: few sweeps settle it
    return data, draw(data, "m", Model(formula="y ~ x + arm", family="binomial"), M, 2, Chains(5))


def logistic(frame):
    """Coefficients and their variances by Newton's method."""
    X = np.column_stack([np.ones(frame.height), frame["x"], frame["arm"]])
    y, beta = frame["y"].to_numpy(), np.zeros(3)
    for _ in range(8):
        p = expit(X @ beta)
        information = (X * (p * (1 - p))[:, None]).T @ X
        beta += np.linalg.solve(information, X.T @ (y - p))
    return beta, np.diag(np.linalg.inv(information))


@pytest.mark.parametrize("delta", ["-1", "0", "1.5"])
def test_shifted_log_odds_agree_with_mice(drawn, delta):
    data, draws = drawn
    expected = EXPECTED[delta]
    moved = shifted(draws, shift_of(data, "y", float(delta)))
    fits = [logistic(each.frame.collect()) for each in imputations(data, moved)]
    Q, U = (np.array(part) for part in zip(*fits, strict=True))
    between = np.array(expected["between"])

    def error(variance, other):
        return np.sqrt((variance + other) / 2 * (1 / M + 1 / expected["m"]))

    assert (np.abs(Q.mean(axis=0) - expected["estimate"]) < 3.5 * error(between, Q.var(axis=0, ddof=1))).all()
    np.testing.assert_allclose(U.mean(axis=0), expected["within"], rtol=0.03)
    noise = np.sqrt(2 / (M - 1) + 2 / (expected["m"] - 1))
    assert (np.abs(np.log(Q.var(axis=0, ddof=1) / between)) < 3.5 * noise).all()
    ones = moved.fillings[0].values.mean(axis=1)
    assert abs(ones.mean() - expected["ones"]) < 3.5 * error(expected["ones_between"], ones.var(ddof=1))
