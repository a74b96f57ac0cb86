"""A small trial with drop-out under several strategies, run by the real workflow."""

import numpy as np
import polars as pl
import pytest

from nestwise.storage import read_json

STRATEGIES = ["observed", "complete_case", "mi", "delta", "j2r"]
STUDY = {
    "title": "A trial",
    "data": {"source": "clinics.csv"},
    "groups": {"person": {}},
    "time": {"column": "week"},
    "variables": {
        "pain": {"type": "continuous"},
        "arm": {"type": "categorical", "levels": ["usual", "new"]},
        "score": {"type": "continuous", "constant_within": "person"},
    },
    "models": {"m": {"formula": "pain ~ age + arm * week + (1 | person)", "engines": ["lmm"]}},
    "missing": {
        "strategies": STRATEGIES,
        "arm": {"column": "arm", "reference": "usual"},
        "imputations": 5,
        "imputation": "joint",
        "auxiliary": ["score"],
        "delta": [0, 1, 2],
    },
}


def trial(folder):
    """40 people in two arms, four weeks: who is in pain leaves; not all have a score that helps to impute."""
    rng = np.random.default_rng(8)
    N, T = 40, 4
    arm, age, u, week = np.arange(N) % 2, rng.normal(size=N), rng.normal(size=N), np.arange(T)
    pain = 0.5 * age[:, None] - 0.5 * arm[:, None] * week + u[:, None] + rng.normal(size=(N, T))
    seen = np.ones((N, T), dtype=bool)
    for t in range(1, T):
        seen[:, t] = seen[:, t - 1] & (rng.random(N) < 1 / (1 + np.exp(pain[:, t - 1] - 2)))
    who, when = np.nonzero(seen)
    score = [None if k % 9 == 0 else age[k] + u[k] for k in who]
    columns = {"person": who, "arm": np.array(["usual", "new"])[arm[who]], "week": when, "age": age[who]}
    columns |= {"score": score}
    pl.DataFrame(columns | {"pain": pain[who, when]}, strict=False).write_csv(folder / "clinics.csv")


@pytest.fixture(scope="module")
def run(tmp_path_factory, filled):
    workspace = filled(tmp_path_factory.mktemp("missing") / "run")
    trial(workspace.folder)
    workspace.write_study(STUDY)
    done = workspace.snakemake("--cores", "1")
    assert done.returncode == 0, done.stdout
    return workspace


def test_every_strategy_answers_in_one_table(run):
    table = run.read("sensitivity").filter(pl.col("term").str.contains("arm.*week"))
    found = dict(table.select(pl.col("strategy").unique(maintain_order=True), pl.lit(1)).iter_rows())
    assert list(found) == STRATEGIES
    assert table["estimate"].null_count() == 0
    assert table.filter(pl.col("strategy") == "delta")["delta"].to_list() == [0, 1, 2]
    mi, none = (
        table.filter(pl.col("strategy") == name).row(0, named=True)["estimate"] for name in ("mi", "delta")
    )
    assert mi == none


def test_the_page_shows_what_was_imputed_and_how(run):
    results = run.folder / "results" / "clinics"
    names = {row["name"]: row for row in read_json(results / "figures" / "figures.json")}
    for name in ("strategy_forest", "tipping_point", "imputation_traces", "imputed_values"):
        assert names[name]["reason"] is None, name
    told = read_json(results / "strategies" / "m.lmm.mi" / "record.json")["imputation"]
    levels = {row["variable"]: (row["method"], row["level"]) for row in told["variables"]}
    assert levels == {"pain": ("joint", None), "score": ("joint", "person")}
    page = (results / "report.html").read_text()
    assert "How each incomplete variable was imputed" in page
    assert "joint model of all variables" in page


def test_a_shift_that_changes_fits_that_shift_again_and_nothing_else(run):
    run.edit("clinics.yaml", "  - 2\n", "  - 3\n")
    try:
        jobs = run.planned()
    finally:
        run.edit("clinics.yaml", "  - 3\n", "  - 2\n")
    fitted = {job for job in jobs if "fitting" in job or "imputing" in job}
    assert {job.split(" under ")[-1] for job in fitted} == {"delta-2"}
    kinds = {job.removeprefix("clinics: ").split()[0] for job in jobs}
    assert kinds == {"fitting", "stacking", "one", "drawing", "writing"}
