"""Which figures a longitudinal trial has, fitted from its data to its folder of figures."""

import json

import numpy as np
import polars as pl
import pytest

from nestwise.config.study import Study
from nestwise.data.dataset import Dataset, VariableInfo
from nestwise.design.build import build_design
from nestwise.design.description import describe_model
from nestwise.engines import fit_model
from nestwise.figures.gallery import draw_all
from nestwise.figures.inputs import gather_inputs
from nestwise.results import gather, save_fit
from nestwise.storage import write_json

FORMULA = "y ~ arm * factor(week)"
STUDY = {
    "title": "A trial",
    "data": {"source": "x.csv"},
    "groups": {"id": {}},
    "time": {"column": "week"},
    "models": {
        "level": {"formula": f"{FORMULA} + (1 | id)", "engines": ["lmm"]},
        "symmetric": {
            "formula": FORMULA,
            "residual": {"structure": "compound_symmetry"},
            "means": [["arm"]],
            "engines": ["lmm"],
        },
        "mmrm": {"formula": FORMULA, "residual": {"structure": "unstructured"}, "engines": ["lmm"]},
    },
}


def trial_data(n=30, weeks=(1.0, 2.0, 6.0)):
    generator = np.random.default_rng(4)
    ids = np.repeat(np.arange(n), len(weeks))
    y = np.repeat(generator.normal(size=n), len(weeks)) + generator.normal(size=ids.size)
    frame = pl.DataFrame(
        {
            ".row": np.arange(1, ids.size + 1),
            "id": [f"p{k}" for k in ids],
            "arm": np.where(ids % 2 == 1, "b", "a"),
            "week": np.tile(weeks, n),
            "y": y,
        }
    )
    return frame.with_columns(
        pl.col("id").cast(pl.Enum(sorted(set(frame["id"])))), pl.col("arm").cast(pl.Enum(["a", "b"]))
    )


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    study = Study.model_validate(STUDY)
    variables = {name: VariableInfo(name, "continuous", declared=False) for name in ("week", "y")}
    variables["arm"] = VariableInfo("arm", "categorical", declared=False, levels=("a", "b"))
    dataset = Dataset("s", trial_data().lazy(), variables, {"id": None}, "week")
    folders = []
    for name, model in study.models.items():
        assert build_design(dataset, name, model).n == 90
        write_json(folder / "models" / name / "design.json", describe_model(dataset, name, model))
        folders.append(folder / "fits" / f"{name}.lmm")
        save_fit(fit_model(dataset, name, model, "lmm"), folders[-1])
    for table in ("estimates", "fits", "groups", "checks", "means", "influence", "profiles"):
        gather(folders, table).write_parquet(folder / f"{table}.parquet")
    index = draw_all(gather_inputs(folder, study, dataset), folder / "figures")
    assert json.loads((folder / "figures" / "figures.json").read_text()) == index
    return {(entry["model"], entry["name"]): entry["reason"] for entry in index}


def test_a_model_without_groups_has_means_residuals_and_correlations(names):
    own = {name for (model, name), reason in names.items() if model == "mmrm" and reason is None}
    assert own == {
        "marginal_means",
        "differences_by_visit",
        "residual_correlations",
        "residual_vs_fitted",
        "residual_qq",
    }


def test_differences_of_arms_alone_are_a_forest_and_one_correlation_has_no_squares(names):
    own = {name for model, name in names if model == "symmetric"}
    assert "mean_contrasts" in own
    assert not own & {"differences_by_visit", "residual_correlations"}


def test_the_variance_is_partitioned_although_the_main_model_has_no_groups(names):
    assert names["", "variance_partition"] is None
