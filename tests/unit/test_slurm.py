"""Sentences on jobs that have ended."""

import pytest

from nestwise.slurm import ending, job_id

SHOWN = (
    "JobId=17 JobName=nestwise_1 JobState={state} Reason=None ExitCode=0:9 TimeLimit=00:20:00 "
    "NodeList=n2 BatchHost=n2 MinMemoryNode=2000M Comment=group_fits"
)


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ("TIMEOUT", "SLURM job 17 ended on n2 as TIMEOUT: it took longer than the 00:20:00 it had asked for"),
        ("NODE_FAIL", "SLURM job 17 ended on n2 as NODE_FAIL: its node died"),
        (
            "OUT_OF_MEMORY",
            "SLURM job 17 ended on n2 as OUT_OF_MEMORY: it took more memory than the 2000M it had asked for",
        ),
    ],
)
def test_a_state_is_said_in_words(state, sentence):
    assert ending("17", SHOWN.format(state=state)) == sentence


def test_the_log_tells_of_memory_where_the_state_does_not():
    log = "slurmstepd: error: Step 17.0 exceeded memory limit (2148532224 > 2097152000), being killed"
    assert "OUT_OF_MEMORY" in ending("17", SHOWN.format(state="CANCELLED"), log)
    assert "OUT_OF_MEMORY" in ending("17", SHOWN.format(state="FAILED"), "Detected 1 oom-kill event(s)")
    assert "TIMEOUT" in ending("17", SHOWN.format(state="TIMEOUT"), log)
    assert "as CANCELLED" in ending("17", SHOWN.format(state="CANCELLED"), "nothing of interest")


@pytest.mark.parametrize(
    "shown", ["", "slurm_load_jobs error: Invalid job id specified", "JobState=STAGE_OUT"]
)
def test_what_slurm_no_longer_knows_is_said_too(shown):
    assert "no longer knows why" in ending("17", shown)


def test_a_job_that_waits_has_no_node():
    assert "on" not in ending("17", "JobState=CANCELLED NodeList=(null)").split("as CANCELLED")[0]


@pytest.mark.parametrize(
    ("path", "job"),
    [
        ("/a/.snakemake/slurm_logs/group_fits_clinics_fit/17.log", "17"),
        ("/a/.snakemake/slurm_logs/rule_sample/study2_m_pymc/123_4.log", "123_4"),
        (".snakemake/slurm_logs/5.log", "5"),
        ("results/clinics/logs/12.log", None),
        ("/a/.snakemake/slurm_logs/rule_sample/read.log", None),
    ],
)
def test_a_log_names_its_job(path, job):
    assert job_id(path) == job
