"""The joint model against pan and jomo: pooled answers, within the Monte Carlo error of both.

Source of numbers: tests/reference/joint/make.R, session.txt. Those of pan are of the mitml vignette with
three times as many imputations; its published numbers are 582.186 (14.501) and -35.689 (5.231).
"""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nestwise.config.study import Model
from nestwise.data.dataset import Dataset, VariableInfo
from nestwise.imputation.joint import JointData, JointPrior, impute_joint
from nestwise.imputation.rubin import rubin
from nestwise.impute.analyse import analyse
from nestwise.impute.pool import pool

FOLDER = Path(__file__).parent / "joint"
EXPECTED = json.loads((FOLDER / "expected.json").read_text())


def completed(frame, columns, data, draws, k):
    Y = data.Y.copy()
    Y[draws.cells[:, 0], draws.cells[:, 1]] = draws.values[k]
    return frame.with_columns(pl.Series(name, Y[:, at]) for at, name in enumerate(columns))


def test_student_ratings():
    """mitml's vignette: ReadDis and SES of 750 pupils in 50 schools given ReadAchiev, pan, m = 300."""
    frame = pl.read_csv(FOLDER / "data.csv", null_values="NA").with_row_index(".row", 1)
    codes = np.unique(frame["ID"].to_numpy(), return_inverse=True)[1]
    Y = frame.select("ReadDis", "SES").cast(pl.Float64).fill_null(np.nan).to_numpy()
    X = np.column_stack([np.ones(len(Y)), frame["ReadAchiev"].to_numpy()])
    none = np.zeros((codes.max() + 1, 0))
    data = JointData(Y, ("continuous",) * 2, X, X[:, :1], codes, none, none, ("ReadDis", "SES"))
    prior = JointPrior(2.0, np.eye(2), 2.0, np.eye(2))  # pan's own, as mitml sets it
    m = 80
    draws = impute_joint(data, m, 20, burn=1000, between=50, prior=prior)
    variables = {name: VariableInfo(name, "continuous", True) for name in ("ReadAchiev", "ReadDis", "SES")}
    variables["ID"] = VariableInfo("ID", "categorical", True)
    frame = frame.with_columns(pl.col("ID").cast(pl.String), pl.col("ReadAchiev").cast(pl.Float64))
    sets = (
        Dataset("s", completed(frame, ("ReadDis", "SES"), data, draws, k).lazy(), variables, {"ID": None})
        for k in range(m)
    )
    model = Model.model_validate({"formula": "ReadAchiev ~ ReadDis + (1 | ID)", "engines": ["lmm"]})
    fit = pool(analyse(sets, "reading", model, "lmm"))
    expected = EXPECTED["student"]
    terms = [term for term in fit.record["pooling"]["terms"] if term["component"] == "fixed"]
    rows = [row for row in fit.estimates if row.component == "fixed"]
    for at, (row, term) in enumerate(zip(rows, terms, strict=True)):
        error = term["monte_carlo_error"] * np.sqrt(1 + m / 300)  # of either set of imputations
        assert row.estimate == pytest.approx(expected["estimate"][at], abs=3 * error)
        assert row.std_error == pytest.approx(expected["std_error"][at], rel=0.06)
        assert term["fmi"] == pytest.approx(expected["fmi"][at], abs=0.08)
    published = [(582.186, 14.501), (-35.689, 5.231)]
    for row, (estimate, error) in zip(rows, published, strict=True):
        assert row.estimate == pytest.approx(estimate, abs=0.25 * error)  # m = 100: 0.04 to 0.05 of it
        assert row.std_error == pytest.approx(error, rel=0.08)
    filled = np.nansum(Y[:, 1])
    ses = draws.values[:, draws.cells[:, 1] == 1]
    assert (filled + ses.sum(axis=1).mean()) / len(Y) == pytest.approx(expected["mean_SES"], rel=0.01)
    icc = next(row for row in fit.estimates if row.term == "icc")
    assert icc.estimate == pytest.approx(0.114, abs=0.01)


def test_a_binary_and_a_continuous_variable_as_jomo():
    frame = pl.read_csv(FOLDER / "mixed.csv", null_values="NA")
    Y = frame.select("y", "z").cast(pl.Float64).fill_null(np.nan).to_numpy()
    X = np.column_stack([np.ones(len(Y)), frame["x"].to_numpy()])
    codes = frame["g"].to_numpy() - 1
    none = np.zeros((40, 0))
    data = JointData(Y, ("continuous", "binary"), X, X[:, :1], codes, none, none, ("y", "z"))
    prior = JointPrior(2.0, np.eye(2), 2.0, np.eye(2))
    m = 200
    draws = impute_joint(data, m, 21, burn=500, between=10, prior=prior)
    beta, variance, share = [], [], []
    for k in range(m):
        full = Y.copy()
        full[draws.cells[:, 0], draws.cells[:, 1]] = draws.values[k]
        D = np.column_stack([X, full[:, 1]])
        inverse = np.linalg.inv(D.T @ D)
        found = inverse @ D.T @ full[:, 0]
        left = full[:, 0] - D @ found
        beta.append(found)
        variance.append(np.diag(inverse) * (left @ left) / (len(Y) - 3))
        share.append(full[:, 1].mean())
    pooled, expected = rubin(np.array(beta), np.array(variance)), EXPECTED["mixed"]
    error = pooled.monte_carlo_error * np.sqrt(1 + m / 200)
    assert np.abs(pooled.estimate - expected["estimate"]).max() < 4 * error.max()
    assert pooled.std_error == pytest.approx(np.array(expected["std_error"]), rel=0.08)
    assert np.mean(share) == pytest.approx(expected["mean_z"], abs=0.01)
