"""Whatever happens, the answer is a row that says why, in sentences."""

import polars as pl
import pytest

from nestwise.config.study import Model
from nestwise.data.dataset import Dataset, VariableInfo
from nestwise.engines import fit_model
from nestwise.results import Status


@pytest.fixture
def dataset():
    frame = pl.DataFrame(
        {
            ".row": [1, 2, 3, 4, 5, 6],
            "y": [1.0, 2.5, 3.0, 4.5, 5.0, 7.0],
            "g": pl.Series(["a", "a", "b", "b", "c", "c"], dtype=pl.Enum(["a", "b", "c"])),
            "h": pl.Series(["k", "l"] * 3, dtype=pl.Enum(["k", "l"])),
        }
    )
    variables = {
        "y": VariableInfo("y", "continuous", True, ()),
        "g": VariableInfo("g", "categorical", True, ("a", "b", "c")),
        "h": VariableInfo("h", "categorical", True, ("k", "l")),
    }
    return Dataset("study", frame.lazy(), variables, {"g": None, "h": None}, None, ())


@pytest.mark.parametrize(
    ("model", "engine", "beginning"),
    [
        ({"formula": "y ~ 1"}, "lmm", "The model has no random effects; "),
        ({"formula": "y ~ 1 + (1 | g) + (1 | h)"}, "unpooled", "`unpooled` takes one grouping factor so far"),
        ({"formula": "y ~ z + (1 | g)"}, "lmm", 'Formula "y ~ z + (1 | g)": there is no column z'),
        ({"formula": "y ~ 1"}, "gee", "No term names the clusters; add (1 | cluster)"),
        (
            {"formula": "y ~ 1 + (1 | g)", "correlation": "ar1"},
            "gee",
            "The key correlation: ar1 goes by time, and the study's time names no column",
        ),
        ({"formula": "y ~ 1 + (1 | g)"}, "glmm", "`glmm` is for outcomes that are not Gaussian; "),
        (
            {"formula": "y ~ 1 + (1 | g)", "residual": {"structure": "ar1", "time": "y"}},
            "pooled",
            "`pooled` does not take a residual covariance into account",
        ),
    ],
)
def test_a_refused_fit_says_why_in_a_sentence(dataset, model, engine, beginning):
    fit = fit_model(dataset, "m", Model(engines=[engine], **model), engine)
    assert fit.status == Status.REFUSED
    assert fit.reason.startswith(beginning)
    assert fit.reason.endswith(".")
