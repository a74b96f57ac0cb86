"""A small trial with drop-out under several strategies, run by the real workflow."""

import numpy as np
import polars as pl
import pytest

from nestwise.storage import read_json

STRATEGIES = ["observed", "complete_case", "mi", "wgee", "delta", "j2r"]
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
    "models": {"m": {"formula": "pain ~ age + arm * week + (1 | person)", "engines": ["lmm", "gee"]}},
    "missing": {
        "strategies": STRATEGIES,
        "arm": {"column": "arm", "reference": "usual"},
        "imputations": 5,
        "imputation": "joint",
        "auxiliary": ["score"],
        "delta": [0, 1, 2],
        "weights": {"gaps": "impute"},
        "events": {"column": "event", "strategies": {"rescue": "hypothetical"}},
    },
}


def trial(folder):
    """40 people in two arms: who is in pain leaves; some miss a week or a score; some are rescued."""
    rng = np.random.default_rng(8)
    N, T = 40, 4
    arm, age, u, week = np.arange(N) % 2, rng.normal(size=N), rng.normal(size=N), np.arange(T)
    pain = 0.5 * age[:, None] - 0.5 * arm[:, None] * week + u[:, None] + rng.normal(size=(N, T))
    seen = np.ones((N, T), dtype=bool)
    for t in range(1, T):
        seen[:, t] = seen[:, t - 1] & (rng.random(N) < 1 / (1 + np.exp(pain[:, t - 1] - 2)))
    seen[3::10, 2:] = [False, True]
    who, when = np.nonzero(seen)
    score = [None if k % 9 == 0 else age[k] + u[k] for k in who]
    columns = {"person": who, "arm": np.array(["usual", "new"])[arm[who]], "week": when, "age": age[who]}
    event = ["rescue" if k % 8 == 0 and week > 1 else None for k, week in zip(who, when, strict=True)]
    columns |= {"score": score, "event": event}
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
    assert set(found) == set(STRATEGIES)
    assert table["estimate"].null_count() == 0
    assert set(table.filter(pl.col("strategy") == "wgee")["engine"]) == {"gee"}
    own = table.filter(pl.col("engine") == "lmm")
    assert own.filter(pl.col("strategy") == "delta")["delta"].to_list() == [0, 1, 2]
    mi, none = (
        own.filter(pl.col("strategy") == name).row(0, named=True)["estimate"] for name in ("mi", "delta")
    )
    assert mi == none


def test_gaps_before_weights_and_events_are_told(run):
    told = {
        name: read_json(run.folder / "results" / "clinics" / "strategies" / name / "record.json")
        for name in ("m.gee.wgee", "m.lmm.j2r")
    }
    assert told["m.gee.wgee"]["weights"]["gaps"] == "impute"
    assert told["m.gee.wgee"]["pooling"]["used"] == 5
    (rescue,) = told["m.lmm.j2r"]["events"]["kinds"]
    assert (rescue["kind"], rescue["strategy"]) == ("rescue", "hypothetical")
    assert rescue["set_aside"] > 0


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
