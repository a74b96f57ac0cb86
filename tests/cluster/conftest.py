"""One SLURM and one local run for all tests of this folder; tests say in a sentence why they skip."""

import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import daemons
import studies


@pytest.fixture(scope="session")
def slurm():
    """Two nodes without accounting."""
    reason = daemons.missing()
    if reason:
        pytest.skip(f"No SLURM was started: {reason}.")
    with (
        tempfile.TemporaryDirectory(prefix="nw") as folder,  # paths of sockets must be short
        daemons.cluster(Path(folder) / "slurm") as running,
    ):
        yield running


@pytest.fixture(scope="session")
def accounted():
    """Two nodes with slurmdbd and MariaDB."""
    reason = daemons.missing(accounting=True)
    if reason:
        pytest.skip(f"No SLURM with accounting was started: {reason}.")
    with (
        tempfile.TemporaryDirectory(prefix="nw") as folder,
        daemons.cluster(Path(folder) / "slurm", accounting=True) as running,
    ):
        yield running


@pytest.fixture(scope="session")
def local_tables(tmp_path_factory):
    """Tidy tables of the small study, run by the cores of this machine."""
    place = studies.small(tmp_path_factory.mktemp("local") / "run")
    assert place.start("--cores", "2").wait(timeout=1800) == 0, place.log()
    return place.tables()


@pytest.fixture(scope="session")
def gallery_tables(tmp_path_factory):
    """Tidy tables of the studies of config/config.yaml, run by the cores of this machine."""
    place = studies.gallery(tmp_path_factory.mktemp("gallery") / "here")
    assert place.start("--cores", "2").wait(timeout=7200) == 0, place.log()
    return place.tables()


@pytest.fixture
def place(tmp_path):
    """A folder with the small study, not yet run."""
    return studies.small(tmp_path / "run")
