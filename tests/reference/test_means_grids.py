"""Reference grids of marginal means against emmeans 1.8.4 (tests/reference/emmeans_grids/make.R).

With the coefficients and covariance that lme4 gave, means and standard errors are arithmetic: 1e-9 of the
mean's size, for what R printed with 15 digits and bases that two programs orthogonalise.
"""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nestwise.config.study import Model
from nestwise.data.dataset import Dataset, VariableInfo
from nestwise.design.build import build_design

FOLDER = Path(__file__).parent / "emmeans_grids"
CASES = json.loads((FOLDER / "expected.json").read_text())
LEVELS = {
    "arm": ("control", "low", "high"),
    "sex": ("m", "f"),
    "visit": ("baseline", "v1", "v2", "v3"),
    "site": ("s1", "s2", "s3"),
    "dose": ("none", "some", "much"),
}


@pytest.fixture(scope="module")
def dataset():
    frame = pl.read_csv(FOLDER / "data.csv").with_row_index(".row", offset=1)
    frame = frame.with_columns(pl.col(name).cast(pl.Enum(levels)) for name, levels in LEVELS.items())
    types = dict.fromkeys(LEVELS, "categorical") | {"dose": "ordinal", "id": "categorical"}
    variables = {
        name: VariableInfo(name, types.get(name, "continuous"), True, LEVELS.get(name, ()))
        for name in frame.columns
        if name != ".row"
    }
    return Dataset("trial", frame.lazy(), variables, {"id": None})


def grids_of(dataset, case):
    means = [grid["by"] for grid in case["grids"]]
    return build_design(dataset, "m", Model(formula=case["formula"], means=means))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["formula"])
def test_means_and_their_errors_are_those_of_emmeans(dataset, case):
    design = grids_of(dataset, case)
    assert list(design.names) == case["names"]
    beta, cov = np.array(case["beta"]), np.array(case["cov"])
    for grid, expected in zip(design.means, case["grids"], strict=True):
        assert list(grid.by) == expected["by"]
        theirs = {
            tuple(levels): (mean, error)
            for levels, mean, error in zip(
                expected["levels"], expected["mean"], expected["std_error"], strict=True
            )
        }
        assert set(grid.levels) == set(theirs)
        errors = np.sqrt(np.einsum("gp,pq,gq->g", grid.X, cov, grid.X))
        for levels, mean, error, known in zip(
            grid.levels, grid.X @ beta, errors, grid.estimable, strict=True
        ):
            assert known == (theirs[levels][0] is not None), levels
            if known:
                assert (mean, error) == pytest.approx(theirs[levels], rel=1e-9)


def test_the_cases_hold_means_that_data_do_not_determine():
    """An empty cell, and dropped columns that leave every mean estimable."""
    missing = [sum(mean is None for grid in case["grids"] for mean in grid["mean"]) for case in CASES]
    assert sum(count > 0 for count in missing) == 1
    assert any(
        "I(2 * age)" in case["formula"] and not count for case, count in zip(CASES, missing, strict=True)
    )
