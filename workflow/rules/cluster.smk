# On SLURM: jobs that outlived their run are stopped, and the log says in a sentence why a job ended.
import logging
import os
import shutil
import sys
import time
from pathlib import Path
from subprocess import DEVNULL, run

from nestwise.slurm import ending, job_id

JOB_NAMES = "nestwise"  # jobs are called so: slurm-jobname-prefix in profiles/slurm


def say(sentence):
    print(f"nestwise: {sentence}.", file=sys.stderr, flush=True)


def told(*command):
    """What a command of SLURM prints; nothing where it fails."""
    return run(command, capture_output=True, text=True, stdin=DEVNULL).stdout


def jobs_of_killed_run():
    """Ids of our jobs that SLURM still holds for this folder: they outlive the run that sent them."""
    if not shutil.which("squeue"):
        return []
    lines = told("squeue", "--me", "--noheader", "--format=%i|%j|%Z").splitlines()
    rows = [line.split("|", 2) for line in lines if line.count("|") >= 2]
    here = {os.path.realpath(Path.cwd()), os.path.realpath(workflow.workdir_init)}
    return [row[0] for row in rows if row[1].startswith(JOB_NAMES) and os.path.realpath(row[2]) in here]


def stop(jobs, patience=60):
    """Cancel jobs, and wait until they are gone: their outputs are removed next."""
    if jobs:
        told("scancel", *jobs)
    until = time.monotonic() + patience
    while set(jobs) & set(jobs_of_killed_run()) and time.monotonic() < until:
        time.sleep(1)


class Endings(logging.Filter):
    """Hears of every job that failed, and says why: Snakemake leaves it out for jobs of a group."""

    def filter(self, record):
        logs = [*(getattr(record, "aux_logs", None) or ()), *(getattr(record, "log", None) or ())]
        event = getattr(getattr(record, "event", None), "name", "")
        for path in filter(job_id, map(str, logs if event in ("JOB_ERROR", "GROUP_ERROR") else ())):
            job, log = job_id(path), Path(path)
            text = log.read_text(errors="replace")[-20_000:] if log.is_file() else ""
            say(ending(job, told("scontrol", "--oneliner", "show", "job", job), text))
        return True


if workflow.is_main_process and shutil.which("scontrol"):
    logging.getLogger("snakemake.logging").addFilter(Endings())
