"""A small trial with drop-out, and everything that a strategy for missing data needs of a study file."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from nestwise.config import sections
from nestwise.config.study import Study
from nestwise.data.dataset import Dataset, VariableInfo
from nestwise.strategies.gaps import save_gaps
from nestwise.strategies.treatment import treat

MODEL = {
    "formula": "y ~ x + arm * t + (1 | id)",
    "engines": ["lmm", "gee"],
    "correlation": "exchangeable",
}


def made(columns, types) -> Dataset:
    """A study of subjects `id` at times `t`."""
    frame = pl.DataFrame(columns).with_row_index(".row", offset=1).with_columns(pl.col(".row").cast(pl.Int64))
    for name in ("id", "arm"):
        if name in frame.columns and frame.schema[name] == pl.String:
            levels = frame[name].drop_nulls().unique(maintain_order=True)
            frame = frame.with_columns(pl.col(name).cast(pl.Enum(levels)))
    infos = {name: VariableInfo(name, kind, declared=True) for name, kind in types.items()}
    return Dataset("trial", frame.lazy(), infos, {"id": None}, "t", ())


@pytest.fixture(scope="session")
def trial():
    """60 subjects in two arms at four visits: those with a high outcome leave; `back`: some return."""

    def build(binary=False, back=False, N=60, T=4):
        rng = np.random.default_rng(1)
        arm, x, u, t = np.arange(N) % 2, rng.normal(size=N), rng.normal(size=N), np.arange(T)
        y = 0.5 * x[:, None] - 0.3 * arm[:, None] * t + 0.2 * t + u[:, None] + rng.normal(size=(N, T))
        seen = np.ones((N, T), dtype=bool)
        for visit in range(1, T):
            stays = rng.random(N) < 1 / (1 + np.exp(-(1.8 - 0.8 * y[:, visit - 1])))
            seen[:, visit] = stays if back else seen[:, visit - 1] & stays
        who, when = np.nonzero(seen)
        values = y[who, when]
        columns = {
            "id": [f"s{k}" for k in who],
            "arm": [("control", "active")[a] for a in arm[who]],
            "x": x[who],
            "t": when.astype(float),
            "y": (values > 0).astype(float) if binary else values,
        }
        types = {"arm": "categorical", "x": "continuous", "t": "continuous"}
        return made(columns, types | {"y": "binary" if binary else "continuous"})

    return build


@pytest.fixture(scope="session")
def study_of():
    """A study file with these keys under `missing`."""

    def build(model=None, **missing):
        content = {
            "title": "A trial",
            "data": {"source": "trial.csv"},
            "groups": {"id": {}},
            "time": {"column": "t"},
            "models": {"m": MODEL | (model or {})},
            "missing": {
                "arm": {"column": "arm", "reference": "control"},
                "strategies": ["mi", "delta", "j2r", "wgee"],
                "imputations": 5,
                "iterations": 8,
                "delta": [0, 1, 2],
            }
            | missing,
        }
        return Study.model_validate(content)

    return build


@pytest.fixture(scope="session")
def answer(tmp_path_factory):
    """What a strategy says: (dataset, study, label, engine) -> Fit; imputations are drawn where it asks."""
    kept = {}

    def run(dataset, study, label, engine="lmm"):
        draws = []
        if label.partition("-")[0] in ("mi", "delta"):
            section = sections.draw_section(study, "m", 3)
            key = (id(dataset), str(section))
            if key not in kept:
                path = tmp_path_factory.mktemp("draws") / "m.npz"
                save_gaps(dataset, "m", section, path)
                kept[key] = (path, dataset)
            draws = [kept[key][0]]
        return treat(dataset, "m", engine, sections.treat_section(study, "m", engine, label, 3), draws=draws)

    return run


@pytest.fixture(scope="session")
def dropout(trial):
    return trial()


@pytest.fixture(scope="session")
def fixed():
    """Fixed effects of a fit, by term."""
    return lambda fit: {row.term: row.estimate for row in fit.estimates if row.component == "fixed"}
