"""The data and models that are fitted, the same for every engine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from nestwise.data.bundled import DATASETS, bundled_datasets


@dataclass(frozen=True)
class Case:
    """A model: fixed part, grouping factor, varying part; `simulated` data have a seed, not a source."""

    name: str
    fixed: str
    group: str
    random: str
    simulated: bool = False

    @property
    def formula(self) -> str:
        """In the syntax of lme4."""
        return f"{self.fixed} + ({self.random} | {self.group})"


CASES = (
    Case("sleepstudy", "Reaction ~ Days", "Subject", "Days"),
    Case("radon", "log_radon ~ basement + uranium", "county", "basement"),
    Case("exam", "normexam ~ standLRT", "school", "standLRT"),
    Case("intercepts", "y ~ c1 + c2 + x", "g", "1", simulated=True),
    Case("slopes", "y ~ t * treated", "g", "t", simulated=True),
)


def data_of(case: Case) -> pl.DataFrame:
    """Data of a case."""
    if case.name == "intercepts":
        return many_small_groups(437_855, 125_066, seed=20260101)
    if case.name == "slopes":
        return long_series(10_000, 100, seed=20260102)
    (file,) = (each.file for each in bundled_datasets() if each.name == case.name)
    path = DATASETS / file
    frame = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path, null_values=["NA"])
    return frame.rename({name: name.replace(".", "_") for name in frame.columns})


def many_small_groups(n: int, J: int, seed: int) -> pl.DataFrame:
    """Two to a few rows a group; two factors and a covariate; varying intercepts."""
    rng = np.random.default_rng(seed)
    g = np.sort(np.concatenate([np.repeat(np.arange(J), 2), rng.integers(0, J, n - 2 * J)]))
    c1, c2, x = rng.integers(0, 4, n), rng.integers(0, 3, n), rng.normal(size=n)
    y = 1 + 0.3 * c1 - 0.2 * c2 + 0.5 * x + rng.normal(0, 0.8, J)[g] + rng.normal(size=n)
    letters = np.array(list("abcd"))
    return pl.DataFrame({"y": y, "c1": letters[c1], "c2": letters[c2], "x": x, "g": g})


def long_series(J: int, m: int, seed: int) -> pl.DataFrame:
    """The same m occasions in every group, a treatment of every other one; varying lines."""
    rng = np.random.default_rng(seed)
    g, t = np.repeat(np.arange(J), m), np.tile(np.arange(m) / m, J)
    treated = g % 2
    b = rng.multivariate_normal([0, 0], [[1, 0.3], [0.3, 0.5]], J)
    y = 2 + t + 0.5 * treated * t + b[g, 0] + b[g, 1] * t + rng.normal(size=J * m)
    return pl.DataFrame({"y": y, "t": t, "treated": treated, "g": g})
