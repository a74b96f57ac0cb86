"""What SLURM says of a job that has ended, as a sentence."""

from __future__ import annotations

import re

WHY = {
    "BOOT_FAIL": "its node did not start",
    "CANCELLED": "it was cancelled",
    "COMPLETED": "SLURM saw it through, and its results are missing",
    "DEADLINE": "its deadline had passed",
    "FAILED": "it ended with an error, which its log holds",
    "NODE_FAIL": "its node died",
    "OUT_OF_MEMORY": "it took more memory than the {memory} it had asked for",
    "PREEMPTED": "another job took its place",
    "TIMEOUT": "it took longer than the {time} it had asked for",
}
"""The states in which SLURM leaves a job, in words."""

OVER_MEMORY = re.compile(r"exceeded.*memory limit|oom[-_ ]kill|out.of.memory", re.IGNORECASE)
"""What SLURM writes into the log of a job that it has ended for its memory."""


def job_id(log_file: str) -> str | None:
    """Number of the job whose log the SLURM plugin keeps there: ``17`` or, in an array, ``17_2``."""
    found = re.search(r"slurm_logs/(?:.*/)?(\d+(?:_\d+)?)\.log$", log_file)
    return found[1] if found else None


def ending(job: str, shown: str, log: str = "") -> str:
    """Why a job ended.

    Parameters
    ----------
    job : str
        Its number.
    shown : str
        What ``scontrol --oneliner show job`` says of it; may be empty.
    log : str
        The log of the job. A job that was ended for its memory says so there where its state does not.

    Returns
    -------
    str
        A sentence without its full stop.
    """
    said = dict(re.findall(r"(\w+)=(\S*)", shown))
    state = said.get("JobState", "")
    if state in ("FAILED", "CANCELLED") and OVER_MEMORY.search(log):
        state = "OUT_OF_MEMORY"
    if state not in WHY:
        return f"SLURM job {job} failed, and SLURM no longer knows why: its log may tell"
    memory = said.get("MinMemoryNode") or said.get("MinMemoryCPU") or "memory"
    node = said.get("NodeList", "")
    where = f" on {node}" if node not in ("", "(null)") else ""
    why = WHY[state].format(memory=memory, time=said.get("TimeLimit", "time"))
    return f"SLURM job {job} ended{where} as {state}: {why}"
