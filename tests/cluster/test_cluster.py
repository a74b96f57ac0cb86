"""A study through the profile on a SLURM of two nodes, with everything going wrong that does on a cluster.

Each run ends with the tables of a local run, byte for byte, and says in its log what happened.
"""

import os
import re
import signal
import time
from pathlib import Path

import pytest
from daemons import descendants, processes, title, wait_for
from studies import PROFILE, QUICK

pytestmark = pytest.mark.cluster
PATIENCE = 1800
THROUGH = ("--workflow-profile", str(PROFILE), *QUICK)


def running(slurm, rule):
    """The first running job whose comment names a rule or group, or `None`."""
    return next((job for job in slurm.jobs("RUNNING") if rule in job["comment"]), None)


def step(slurm, rule):
    """The first running job of a rule whose script has begun, with the process of the script."""
    job = running(slurm, rule)
    if job is None:
        return None
    mark = f"[{job['id']}.".encode()
    watchers = [pid for pid in processes() if b"slurmstepd: " + mark in title(pid)]
    children = {child for pid in watchers for child in descendants(pid)}
    scripts = [pid for pid in children if re.search(rb"snakemake/scripts/\w+\.fit\.py", title(pid))]
    return (job, scripts[0]) if scripts else None


def environment(pid):
    """Variables that a process was started with."""
    return Path(f"/proc/{pid}/environ").read_text().rstrip("\0").split("\0")


def caught(what, look, run, place):
    """What `look` finds in the end, while the run goes on."""
    found = []

    def seen():
        assert run.poll() is None, f"the run ended before {what}:\n{place.log()}"
        answer = look()
        if answer:
            found.append(answer)
        return answer

    wait_for(what, seen, PATIENCE)
    return found[0]


def finish(run, place, local_tables):
    """Wait for the end of a run; its tables must be those of a local run."""
    assert run.wait(timeout=PATIENCE) == 0, place.log()
    assert place.tables() == local_tables
    assert not list((place.folder / "results").rglob("*.partial"))
    assert not place.strays()
    return place.log()


def test_a_killed_job_is_sent_again(slurm, place, local_tables):
    many = {"OMP_NUM_THREADS": "7", "NUMBA_NUM_THREADS": "7", "POLARS_MAX_THREADS": "7"}
    run = place.start(*THROUGH, env=slurm.environment | many)
    job, script = caught("a fit", lambda: step(slurm, "fits_clinics"), run, place)
    inside = dict(entry.split("=", 1) for entry in environment(script))
    os.kill(script, signal.SIGKILL)
    assert {inside[name] for name in many} == {"1"}, "threads are those of the rule, not of the shell"
    log = finish(run, place, local_tables)
    assert re.search(rf"nestwise: SLURM job {job['id']} ended on n\d as FAILED: it ended with an error", log)
    assert "Trying to restart job" in log


def test_jobs_of_a_dead_node_run_on_the_other(slurm, place, local_tables):
    run = place.start(*THROUGH, env=slurm.environment)
    job, _ = caught("a fit", lambda: step(slurm, "fits_clinics"), run, place)
    slurm.kill_node(job["node"])
    try:
        log = finish(run, place, local_tables)
    finally:
        slurm.start_node(job["node"])
        wait_for("the node", lambda: slurm.node_is(job["node"], "IDLE"))
    assert f"nestwise: SLURM job {job['id']} ended on {job['node']} as NODE_FAIL: its node died." in log


@pytest.mark.slow
def test_a_job_over_its_memory_gets_more(slurm, place, local_tables):
    run = place.start(*THROUGH, "--set-resources", "fit:mem_mb=200*attempt", env=slurm.environment)
    log = finish(run, place, local_tables)
    assert re.search(
        r"ended on n\d as OUT_OF_MEMORY: it took more memory than the 200M it had asked for", log
    )


@pytest.mark.slow
def test_a_job_past_its_time_gets_more(slurm, place, local_tables):
    """A job that hangs, as on a dead disk, until SLURM ends it. A group has the minutes of all its jobs."""
    run = place.start(*THROUGH, "--set-resources", "fit:runtime=attempt", env=slurm.environment)
    _, script = caught("a fit", lambda: step(slurm, "fits_clinics"), run, place)
    os.kill(script, signal.SIGSTOP)
    log = finish(run, place, local_tables)
    assert re.search(r"as TIMEOUT: it took longer than the 00:02:00 it had asked for", log)


@pytest.mark.slow
def test_a_killed_run_is_completed_by_the_same_command(slurm, place, local_tables):
    run = place.start(*THROUGH, env=slurm.environment)
    job, script = caught("a fit", lambda: step(slurm, "fits_clinics"), run, place)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    time.sleep(1)
    assert running(slurm, "fits_clinics"), "jobs outlive the run that sent them"
    log = finish(place.start(*THROUGH, env=slurm.environment), place, local_tables)
    assert re.search(r"the last run of this folder was killed; .* 1 of its jobs were cancelled", log)
    assert not title(script)
    assert {one["state"] for one in slurm.jobs() if one["id"] == job["id"]} == {"CANCELLED"}
