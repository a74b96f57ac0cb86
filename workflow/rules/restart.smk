# A run that was killed is completed by the same command: what it held is released before any job starts.
import fcntl
import os
import shutil
from base64 import urlsafe_b64decode
from pathlib import Path


def forget_killed_run(state=Path(".snakemake")):
    """Release the locks of a run that was killed, and remove the outputs its jobs had begun.

    The system releases a file lock when its process dies, however it dies: who gets this one knows
    that no other run of this folder is alive. The lock is held as long as the handle returned.
    """
    state.mkdir(exist_ok=True)
    handle = open(state / "alive", "w")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return handle
    for lock in state.glob("locks/*.lock"):
        lock.unlink(missing_ok=True)
    for marker in [path for path in state.glob("incomplete/**/*") if path.is_file()]:
        remove_output(begun_output(marker.relative_to(state / "incomplete")))
        marker.unlink(missing_ok=True)
    return handle


def begun_output(marker):
    """Path of the output that a marker stands for: in base 64, long ones split over folders `@...`."""
    return Path(urlsafe_b64decode("".join(part.removeprefix("@") for part in marker.parts)).decode())


def remove_output(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


ALIVE = forget_killed_run()

# Jobs stop when the run that started them is no more (see nestwise.progress).
os.environ.update(NESTWISE_RUN=str(os.getpid()))
