"""Studies made on the spot, fitted by both engines, and saved as the workflow saves them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nestwise.config.study import Model
from nestwise.data.dataset import Dataset, VariableInfo
from nestwise.engines import fit_model
from nestwise.results import save_fit


@dataclass(frozen=True)
class Fitted:
    dataset: Dataset
    model: Model
    folders: tuple[Path, ...]
    section: dict


def dataset_of(frame, time=None):
    frame = frame.with_row_index(".row", offset=1)
    frame = frame.with_columns(
        pl.col(name).cast(pl.Enum(frame[name].unique(maintain_order=True)))
        for name, dtype in frame.schema.items()
        if dtype == pl.String
    )
    variables = {
        name: VariableInfo(name, "categorical" if isinstance(dtype, pl.Enum) else "continuous", True)
        for name, dtype in frame.schema.items()
        if name != ".row"
    }
    return Dataset("study", frame.lazy(), variables, {}, time)


@pytest.fixture
def fitted(tmp_path):
    def fit(frame, formula, engines=("glmm", "gee"), time=None, **keys):
        dataset = dataset_of(frame, time)
        model = Model.model_validate({"formula": formula, "engines": list(engines), **keys})
        folders = tuple(tmp_path / f"m.{engine}" for engine in engines)
        for engine, folder in zip(engines, folders, strict=True):
            save_fit(fit_model(dataset, "m", model, engine), folder)
        section = {
            "models": {"m": model.model_dump(mode="json")}, "arm": None, "level": 0.95, "labels": {},
        }  # fmt: skip
        return Fitted(dataset, model, folders, section)

    return fit


@pytest.fixture
def trial():
    """Binary outcomes of groups that differ by 1.5 logits, over four visits and two arms."""

    def make(n=120, sd=1.5, seed=1, leave=None):
        rng = np.random.default_rng(seed)
        b = rng.normal(0, sd, n)
        rows = []
        for j in range(n):
            for t in range(4):
                eta = -0.5 + 0.9 * (j % 2) + 0.3 * t + b[j]
                y = int(rng.random() < 1 / (1 + np.exp(-eta)))
                rows.append((f"g{j}", "drug" if j % 2 else "control", float(t), y))
                if leave is not None and rng.random() < leave(y):
                    break
        return pl.DataFrame(rows, schema=["g", "arm", "t", "y"], orient="row").sort(
            "arm", maintain_order=True
        )

    return make
