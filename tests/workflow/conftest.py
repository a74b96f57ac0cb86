"""Small studies run by the real workflow, in a folder of their own with a copy of the package."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

ROOT = Path(__file__).parents[2]

STUDY = {
    "title": "Twelve clinics",
    "data": {"source": "clinics.csv"},
    "groups": {"clinic": {"label": "clinic"}},
    "variables": {"pain": {"type": "continuous", "unit": "points"}, "size": {"constant_within": "clinic"}},
    "models": {
        "levels": {"formula": "pain ~ dose + (1 | clinic)", "engines": ["pooled", "unpooled", "lmm"]},
        "slopes": {"formula": "pain ~ dose + size + (dose | clinic)", "engines": ["lmm", "pymc"]},
    },
    "report": {"question": "Does the dose help?", "main_model": "slopes"},
}


def clinics(folder: Path) -> None:
    """Twelve clinics with 4 to 26 patients, simulated."""
    rng = np.random.default_rng(11)
    sizes = np.arange(4, 28, 2)
    clinic = np.repeat(np.arange(12), sizes)
    dose = rng.normal(size=clinic.size)
    level, slope = rng.normal(0, 1.0, 12), rng.normal(0, 0.6, 12)
    pain = 5 + level[clinic] + (slope[clinic] - 0.8) * dose + rng.normal(0, 1, clinic.size)
    frame = pl.DataFrame({"clinic": clinic, "dose": dose, "size": sizes[clinic], "pain": pain})
    frame.write_csv(folder / "clinics.csv")


@dataclass(frozen=True)
class Workspace:
    """A folder with a configuration, a study and a copy of the package, and snakemake on top."""

    folder: Path

    def write_study(self, study, name: str = "clinics") -> None:
        (self.folder / f"{name}.yaml").write_text(yaml.safe_dump(study, sort_keys=False))

    def write_config(self, **config) -> None:
        (self.folder / "config.yaml").write_text(
            yaml.safe_dump({"studies": ["clinics.yaml"], "seed": 3} | config)
        )

    def command(self, *arguments: str) -> list[str]:
        base = [sys.executable, "-m", "snakemake", "--snakefile", str(self.folder / "Snakefile")]
        return [
            *base,
            "--directory",
            str(self.folder),
            "--configfile",
            str(self.folder / "config.yaml"),
            *arguments,
        ]

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"PYTHONPATH": str(self.folder / "src"), "NO_COLOR": "1"}

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )

    def planned(self) -> set[str]:
        """What a dry run says would run: rule names, with model and engine where a rule has them."""
        done = self.snakemake("--dry-run", "--cores", "1")
        assert done.returncode == 0, done.stdout
        jobs: set[str] = set()
        if "Nothing to be done" in done.stdout:
            return jobs
        for block in re.split(r"\n(?=\[)", done.stdout.split("Job stats")[1]):
            named = re.search(r"^(?:local)?rule (\w+):|Job \d+: (.*)", block, re.MULTILINE)
            if named is not None:
                jobs.add((named[1] or named[2]).strip())
        return {job for job in jobs if not job.startswith("all")}

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    def read(self, table: str, study: str = "clinics") -> pl.DataFrame:
        return pl.read_parquet(self.folder / "results" / study / f"{table}.parquet")


def fill(folder: Path) -> Workspace:
    """A workspace ready to run."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "Snakefile", folder)
    shutil.copytree(ROOT / "workflow", folder / "workflow")
    shutil.copytree(ROOT / "envs", folder / "envs")
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    clinics(folder)
    workspace = Workspace(folder)
    workspace.write_study(STUDY)
    workspace.write_config()
    return workspace


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory) -> Workspace:
    """A workspace whose study has run from beginning to end; never edited."""
    workspace = fill(tmp_path_factory.mktemp("finished") / "run")
    done = workspace.snakemake("--cores", "2")
    assert done.returncode == 0, done.stdout
    return workspace


@pytest.fixture(scope="session")
def filled():
    """(folder) -> Workspace, for tests that bring a study of their own."""
    return fill


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    """A fresh workspace."""
    return fill(tmp_path / "run")


@pytest.fixture
def copied_run(finished_run, tmp_path) -> Workspace:
    """A copy of the finished run, its times kept, to be edited."""
    shutil.copytree(finished_run.folder, tmp_path / "run", symlinks=True)
    return Workspace(tmp_path / "run")
