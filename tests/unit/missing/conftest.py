"""Small studies made by hand, some of their visits missing."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from nestwise.config.study import Model
from nestwise.data.dataset import Dataset, VariableInfo


@pytest.fixture(scope="session")
def study():
    """({column: values}, {column: type}, ...) -> Dataset; strings become `Enum` in order of appearance."""

    def build(columns, types, within=None, time="t", derivations=()):
        frame = pl.DataFrame(columns, strict=False)
        for name in frame.columns:
            if frame.schema[name] == pl.String:
                levels = frame[name].drop_nulls().unique(maintain_order=True)
                frame = frame.with_columns(pl.col(name).cast(pl.Enum(levels)))
        frame = frame.with_row_index(".row", offset=1).with_columns(pl.col(".row").cast(pl.Int64))
        infos = {name: VariableInfo(name, kind, declared=True) for name, kind in types.items()}
        return Dataset("study", frame.lazy(), infos, within or {"id": None}, time, tuple(derivations))

    return build


@pytest.fixture(scope="session")
def trial(study):
    """A trial in which those with a high outcome leave; `family` gaussian or binomial."""

    def build(N=200, T=4, seed=1, family="gaussian", leave=0.8, absent=True, missing_first=False):
        rng = np.random.default_rng(seed)
        arm = np.arange(N) % 2
        x = rng.normal(size=N)
        u = rng.normal(size=N)
        t = np.arange(T)
        eta = 0.5 * x[:, None] - 0.3 * arm[:, None] * t + 0.2 * t + u[:, None]
        y = (
            eta + rng.normal(size=(N, T))
            if family == "gaussian"
            else (rng.random((N, T)) < 1 / (1 + np.exp(-eta)))
        )
        y = y.astype(float)
        seen = np.ones((N, T), dtype=bool)
        if missing_first:
            seen[:, 0] = rng.random(N) > 0.1
        for visit in range(1, T):
            p = 1 / (1 + np.exp(-(1.8 - leave * y[:, visit - 1])))
            seen[:, visit] = seen[:, visit - 1] & (rng.random(N) < p)
        who, when = np.nonzero(seen if absent else np.ones_like(seen))
        values = np.where(seen, y, np.nan)[who, when]
        columns = {
            "id": [f"s{k}" for k in who],
            "arm": ["control" if a == 0 else "active" for a in arm[who]],
            "x": x[who],
            "t": when.astype(float),
            "y": pl.Series(values).fill_nan(None),
        }
        types = {"arm": "categorical", "x": "continuous", "t": "continuous", "y": "continuous"}
        return study(columns, types)

    return build


@pytest.fixture
def model():
    def build(formula="y ~ x + arm * t + (1 | id)", **keys):
        return Model(formula=formula, engines=("gee",), **{"correlation": "independence"} | keys)

    return build
