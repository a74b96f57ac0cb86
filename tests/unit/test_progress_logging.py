"""What other libraries say while a step runs: their warnings in the log, nothing on the terminal."""

import subprocess
import sys

import pytest

from nestwise.progress import read_cost

STEP = """
import logging, sys, warnings
from nestwise.progress import step

with step(sys.argv[1]):
    # As pymc/__init__.py and arviz_plots/__init__.py do it when imported.
    library = logging.getLogger("pymc")
    if not logging.root.handlers:
        library.setLevel(logging.INFO)
        library.addHandler(logging.StreamHandler())
    library.info("noise of a library")
    logging.getLogger("arviz_stats").warning("warning of a library")
    warnings.warn("a warning by Python", stacklevel=1)
    logging.getLogger("nestwise.bayes").info("our progress")
assert not logging.root.handlers
assert warnings.showwarning.__module__ == "warnings"
"""


def test_only_our_lines_reach_the_terminal_and_no_noise_the_log(tmp_path):
    log = tmp_path / "step.log"
    done = subprocess.run(
        [sys.executable, "-c", STEP, str(log)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "nestwise: our progress\n")
    text = log.read_text()
    assert "our progress" in text
    assert "warning of a library" in text
    assert "a warning by Python" in text
    assert "noise" not in text


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")
def test_a_log_ends_with_the_memory_of_its_step(tmp_path):
    log = tmp_path / "step.log"
    work = "import sys; from nestwise.progress import step\nwith step(sys.argv[1]): len(b'x' * 200_000_000)"
    done = subprocess.run(
        [sys.executable, "-c", work, str(log)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    seconds, megabytes = read_cost(log)
    assert 0 < seconds < 30
    assert 200 < megabytes < 400
    assert read_cost(tmp_path / "none.log") is None
