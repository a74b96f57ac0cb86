"""A study from end to end by the real workflow."""

import json
import os
import re
import signal
import subprocess
import time

import polars as pl
import pytest

from nestwise.vocabulary import ESTIMATES, FITS, GROUPS


def test_a_study_leaves_what_the_contract_says(finished_run):
    results = finished_run.folder / "results" / "clinics"
    for file in ("data/analysis.parquet", "data/validation.json", "estimates.parquet", "fits.parquet",
                 "groups.parquet", "report.html"):  # fmt: skip
        assert (results / file).stat().st_size > 0, file
    assert list(finished_run.read("estimates").schema) == list(ESTIMATES)
    assert list(finished_run.read("groups").schema) == list(GROUPS)
    fits = finished_run.read("fits")
    assert list(fits.schema) == list(FITS)
    pairs = set(fits.select("model", "engine").iter_rows())
    assert pairs == {
        ("levels", "pooled"),
        ("levels", "unpooled"),
        ("levels", "lmm"),
        ("slopes", "lmm"),
        ("slopes", "pymc"),
    }
    assert set(fits["status"]) == {"ok"}, fits.select("model", "engine", "status", "reason")
    figures = {file.stem for file in (results / "figures").glob("*.svg")}
    assert figures
    for name in figures:
        assert (results / "figures" / f"{name}.csv").exists(), f"figure {name} has no data beside it"
    assert not list(results.rglob("*.partial"))


def test_likelihood_and_bayes_agree_on_the_simulated_truth(finished_run):
    estimates = finished_run.read("estimates").filter(model="slopes", component="fixed", term="dose")
    values = dict(estimates.select("engine", "estimate").iter_rows())
    errors = dict(estimates.select("engine", "std_error").iter_rows())
    assert abs(values["lmm"] - values["pymc"]) < 0.25 * errors["lmm"]
    assert abs(values["lmm"] + 0.8) < 3 * errors["lmm"]


def test_no_number_is_nan(finished_run):
    for table in ("estimates", "fits", "groups", "checks", "comparison"):
        frame = finished_run.read(table)
        for name in frame.select(pl.selectors.float()).columns:
            assert not frame[name].is_nan().any(), (table, name)


def test_the_validation_is_plain_json(finished_run):
    path = finished_run.folder / "results/clinics/data/validation.json"
    json.loads(path.read_text(), parse_constant=lambda word: pytest.fail(f"{word} in JSON"))


def test_a_wrong_study_stops_before_any_job_and_says_why(workspace):
    workspace.edit("clinics.yaml", "title:", "titel:")
    workspace.edit("clinics.yaml", "(1 | clinic)", "(1 | clinic")
    done = workspace.snakemake("--cores", "1")
    assert done.returncode != 0
    assert "did you mean `title`" in done.stdout
    assert "models.levels.formula" in done.stdout
    assert "Traceback" not in done.stdout
    assert not (workspace.folder / "results").exists()


def test_wrong_data_stop_their_study_and_no_other(workspace):
    study = workspace.folder / "clinics.yaml"
    (workspace.folder / "broken.yaml").write_text(study.read_text().replace("clinics.csv", "broken.csv"))
    data = (workspace.folder / "clinics.csv").read_text().splitlines()
    data[3] = data[3].rsplit(",", 1)[0] + ",much"
    (workspace.folder / "broken.csv").write_text("\n".join(data))
    for name in ("clinics", "broken"):
        workspace.edit(f"{name}.yaml", "    - pymc\n", "")
    workspace.write_config(studies=["broken.yaml", "clinics.yaml"])
    done = workspace.snakemake("--cores", "2", "--keep-going")
    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    said = next(
        line for line in done.stdout.splitlines() if "much" in line or ("pain" in line and "nestwise" in line)
    )
    assert re.search(r"broken\.csv.*pain.*3", said), said
    assert (workspace.folder / "results/clinics/report.html").exists()
    assert not (workspace.folder / "results/broken/data/analysis.parquet").exists()
    assert (workspace.folder / "results/broken/data/validation.json").exists()


def test_a_model_that_cannot_be_fitted_is_a_row_and_not_a_dead_run(workspace):
    workspace.edit("clinics.yaml", "pain ~ dose + size + (dose | clinic)", "pain ~ dosis + (dose | clinic)")
    workspace.edit("clinics.yaml", "    - pymc\n", "    - gee\n")
    done = workspace.snakemake("--cores", "2")
    assert done.returncode == 0, done.stdout
    fits = workspace.read("fits").filter(model="slopes")
    assert set(fits["status"]) == {"refused"}
    assert all("dosis" in reason and "dose" in reason for reason in fits["reason"])
    assert "dosis" in (workspace.folder / "results/clinics/report.html").read_text()


@pytest.mark.parametrize("jobs_die_too", [True, False], ids=["with its jobs", "alone"])
def test_a_killed_run_is_completed_with_the_same_numbers(finished_run, workspace, jobs_die_too):
    running = subprocess.Popen(
        workspace.command("--cores", "2"),
        cwd=workspace.folder,
        env=workspace.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    fits = workspace.folder / "results/clinics/fits"
    deadline = time.monotonic() + 240
    while not (fits.exists() and any(fits.iterdir())) and time.monotonic() < deadline:
        assert running.poll() is None
        time.sleep(0.05)
    (os.killpg if jobs_die_too else os.kill)(running.pid, signal.SIGKILL)
    running.wait()
    assert not (workspace.folder / "results/clinics/report.html").exists()
    done = workspace.snakemake("--cores", "2")
    assert done.returncode == 0, done.stdout
    for table in ("estimates", "groups", "checks", "comparison"):
        assert workspace.read(table).equals(finished_run.read(table)), table
    assert not list((workspace.folder / "results").rglob("*.partial"))


def test_snakemake_makes_its_own_report(copied_run):
    done = copied_run.snakemake("--report", "account.html")
    assert done.returncode == 0, done.stdout
    assert (copied_run.folder / "account.html").stat().st_size > 10_000


def test_locks_of_another_machine_are_left_alone(workspace):
    """Where a network's disk knows no locks of the system, a run of another machine may be alive."""
    state, target = workspace.folder / ".snakemake", "results/clinics/data/typed.parquet"
    lock = state / "locks" / "0.output.lock"
    lock.parent.mkdir(parents=True)
    lock.write_text(f"{target}\n")
    (state / "alive").write_text("elsewhere")
    done = workspace.snakemake("--cores", "1", target)
    assert done.returncode != 0
    assert "the last run of this folder was on elsewhere" in done.stdout
    assert lock.exists()
    assert workspace.snakemake("--cores", "1", "--unlock").returncode == 0
    done = workspace.snakemake("--cores", "1", target)
    assert done.returncode == 0, done.stdout
