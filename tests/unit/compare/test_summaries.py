"""James-Stein beside the model's shrinkage, as a study with known errors shows them."""

import numpy as np
import polars as pl
import pytest

from nestwise.compare.summaries import shrunken_summaries
from nestwise.config.study import Model
from nestwise.data.bundled import DATASETS
from nestwise.data.dataset import Dataset, VariableInfo
from nestwise.engines import fit_model


@pytest.fixture(scope="module")
def groups():
    frame = pl.read_csv(DATASETS / "eight_schools.csv").with_row_index(".row", offset=1)
    variables = {name: VariableInfo(name, "continuous", True) for name in ("effect", "std_error")}
    dataset = Dataset("schools", frame.lazy(), variables, {"school": None})
    model = Model(formula="effect ~ 1 + (1 | school)", sampling_error="std_error", engines=("lmm",))
    return fit_model(dataset, "meta", model, "lmm").groups


def test_no_pooling_is_the_summary_itself(groups):
    assert groups["no_pooling"].to_list() == [28, 8, -3, 7, -1, 1, 18, 12]
    assert groups["no_pooling_se"].to_list() == [15, 10, 16, 11, 9, 11, 10, 18]


def test_james_stein_by_hand(groups):
    """Efron and Morris (1973) on the scale of the standard errors: a sum of squares below J - 3."""
    table = shrunken_summaries(groups)
    y, s = np.array(groups["no_pooling"]), np.array(groups["no_pooling_se"])
    mean = (y / s**2).sum() / (1 / s**2).sum()
    assert ((y - mean) ** 2 / s**2).sum() < 5
    np.testing.assert_allclose(table["james_stein"], mean)
    np.testing.assert_allclose(table["james_stein_pull"], 1.0)
    # REML estimates no variance between the schools: empirical Bayes goes all the way too
    np.testing.assert_allclose(table["partial_pooling"], mean, atol=1e-6)


def test_summaries_without_their_errors_are_not_shown(groups):
    assert shrunken_summaries(groups.with_columns(no_pooling=None)) is None
    assert shrunken_summaries(groups.head(3)) is None
