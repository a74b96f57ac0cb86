# A run that was killed is completed by the same command: what it held is released before any job starts.
import fcntl
import os
import shutil
import socket
from base64 import urlsafe_b64decode
from pathlib import Path


def forget_killed_run(state, planning):
    """Release the locks of a run that was killed, stop its jobs, and remove the outputs they had begun.

    The system releases a file lock when its process dies, however it dies: who gets this one knows
    that no other run of this folder is alive on this machine. The lock is held as long as the handle
    returned. A run of another machine may be alive all the same where a network's disk knows no such
    locks: then Snakemake's own locks stay.
    """
    state.mkdir(exist_ok=True)
    handle = open(state / "alive", "a+")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return handle
    locks = list(state.glob("locks/*.lock"))
    handle.seek(0)
    before, here = handle.read().strip(), socket.gethostname()
    if locks and before not in ("", here):
        say(
            f"the last run of this folder was on {before}. Where it is over, the same command with --unlock "
            "releases the folder"
        )
        return handle
    jobs = jobs_of_killed_run()
    if planning and jobs:
        return handle
    handle.truncate(0)
    handle.write(here)
    handle.flush()
    stop(jobs)
    for lock in locks:
        lock.unlink(missing_ok=True)
    markers = [path for path in state.glob("incomplete/**/*") if path.is_file()]
    for marker in markers:
        remove_output(begun_output(marker.relative_to(state / "incomplete")))
        marker.unlink(missing_ok=True)
    if locks or markers or jobs:
        say(
            f"the last run of this folder was killed; {len(markers)} outputs it had begun were removed and "
            f"{len(jobs)} of its jobs were cancelled on the cluster. This run does the rest"
        )
    return handle


def begun_output(marker):
    """Path of the output that a marker stands for: in base 64, long ones split over folders `@...`."""
    return Path(urlsafe_b64decode("".join(part.removeprefix("@") for part in marker.parts)).decode())


def remove_output(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


# Jobs read this file too, on other machines: what the run holds is none of their business.
if workflow.is_main_process:
    ALIVE = forget_killed_run(Path(".snakemake"), workflow.dryrun)

# Jobs stop when the run that started them is no more (see nestwise.progress).
os.environ.update(NESTWISE_RUN=str(os.getpid()))
