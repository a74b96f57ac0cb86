"""What a step says while it works, on the terminal and in its log, and how it stops."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nestwise.errors import NestwiseError
from nestwise.storage import alive


@contextmanager
def step(log_file: str | os.PathLike[str]) -> Iterator[None]:
    """Run a step of the workflow: progress to terminal and log, errors as sentences.

    The last line of the log says what the step took (`read_cost`). Snakemake's own benchmark looks at a job
    now and then, after a quarter of a minute every half minute only, and misses peaks.

    Parameters
    ----------
    log_file : path-like
        Where everything is written, the traceback of an unexpected error included.

    Raises
    ------
    SystemExit
        With code 1 after any error. A `NestwiseError` is said in its own sentences; of an
        unexpected error the terminal shows one sentence that names the log.
    """
    _follow_run(os.environ.get("NESTWISE_RUN"))
    path, began = Path(log_file), time.perf_counter()
    path.parent.mkdir(parents=True, exist_ok=True)
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(_OneLine("nestwise: %(message)s"))
    book = logging.FileHandler(path, mode="w", encoding="utf-8")
    book.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("nestwise")
    logger.setLevel(logging.INFO)
    logger.handlers[:] = [terminal, book]
    logger.propagate = False
    try:
        with _libraries_in_book(book):
            yield
    except NestwiseError as error:
        for problem in error.problems:
            logger.error("%s", problem)
        sys.exit(1)
    except Exception as error:
        what = f"{type(error).__name__}: {error}".rstrip(".")
        logger.exception("this step broke (%s); the details are in %s.", what, path)
        sys.exit(1)
    finally:
        logger.removeHandler(terminal)
        taken = time.perf_counter() - began, time.process_time(), peak_memory() or 0.0
        logger.info("ended after %.1f s, with %.1f s of CPU and %.0f MB of memory at most", *taken)
        logger.removeHandler(book)
        book.close()


def peak_memory() -> float | None:
    """Megabytes (10**6 bytes) that this process has held at most; `None` where the system does not tell."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) * 1024 / 1e6 if found else None


def read_cost(log_file: str | os.PathLike[str]) -> tuple[float, float] | None:
    """Seconds of CPU, all threads and the imports included, and megabytes at the peak of a finished step.

    Parameters
    ----------
    log_file : path-like
        As `step` has left it.

    Returns
    -------
    tuple of float or None
        `None` where the log does not tell; 0 megabytes where the system did not.
    """
    path = Path(log_file)
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    found = re.findall(r"with ([\d.]+) s of CPU and (\d+) MB of memory at most$", text, re.MULTILINE)
    return (float(found[-1][0]), float(found[-1][1])) if found else None


def _follow_run(run: str | None) -> None:
    """Stop this process as soon as the run that started it is no more.

    A step that outlived a killed run could otherwise overwrite what the next run has made of a
    changed study.
    """
    if not run or not run.isdigit():
        return

    def watch() -> None:
        while alive(int(run)):
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _libraries_in_book(book: logging.Handler) -> Iterator[None]:
    """Keep the terminal to ourselves: what other libraries warn of goes to the log, the rest nowhere.

    PyMC and arviz_plots send their INFO to the terminal if they find no handler at the root when imported.
    """
    root = logging.getLogger()
    guest = _Warnings(book)
    root.addHandler(guest)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.removeHandler(guest)


class _Warnings(logging.Handler):
    """Hands warnings, and nothing less, on to another handler."""

    def __init__(self, book: logging.Handler) -> None:
        super().__init__(logging.WARNING)
        self.book = book

    def emit(self, record: logging.LogRecord) -> None:
        self.book.handle(record)


class _OneLine(logging.Formatter):
    """A formatter for people: the sentence, never the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        quiet = logging.makeLogRecord(
            record.__dict__ | {"exc_info": None, "exc_text": None, "stack_info": None}
        )
        return super().format(quiet)
