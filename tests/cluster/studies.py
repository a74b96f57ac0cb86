"""Small studies that are run twice: by the cores of this machine and through the profile."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import yaml
from daemons import end_with_parent

ROOT = Path(__file__).parents[2]
PROFILE = ROOT / "workflow" / "profiles" / "slurm"
STUDY = {
    "title": "Twelve clinics",
    "data": {"source": "clinics.csv"},
    "groups": {"clinic": {}},
    "models": {"levels": {"formula": "pain ~ dose + (1 | clinic)", "engines": ["pooled", "lmm"]}},
}
QUICK = ("--slurm-init-seconds-before-status-checks", "3", "--latency-wait", "10")


def clinics(folder: Path) -> None:
    """Twelve clinics with 4 to 26 patients, simulated."""
    rng = np.random.default_rng(11)
    sizes = np.arange(4, 28, 2)
    clinic, dose = np.repeat(np.arange(12), sizes), rng.normal(size=sizes.sum())
    pain = 5 + rng.normal(0, 1, 12)[clinic] - 0.8 * dose + rng.normal(0, 1, clinic.size)
    pl.DataFrame({"clinic": clinic, "dose": dose, "pain": pain}).write_csv(folder / "clinics.csv")


@dataclass(frozen=True)
class Place:
    """A folder with a study and a configuration; the workflow is the one of this checkout."""

    folder: Path

    def command(self, *arguments: str) -> list[str]:
        """The call of snakemake."""
        base = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
        where = ["--directory", str(self.folder), "--configfile", str(self.folder / "config.yaml")]
        return [*base, *where, *arguments]

    def start(self, *arguments: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """Start snakemake; what it says goes to `said`."""
        with self.said.open("a") as output:
            return subprocess.Popen(
                self.command(*arguments),
                cwd=self.folder,
                env=dict(env or os.environ) | {"NO_COLOR": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
                preexec_fn=end_with_parent,  # noqa: PLW1509 (no threads here)
            )

    @property
    def said(self) -> Path:
        """The log of all runs of this folder."""
        return self.folder / "said.log"

    def log(self) -> str:
        """What the runs have said."""
        return self.said.read_text()

    def study(self, name: str = "clinics") -> Path:
        """Folder of results."""
        return self.folder / "results" / name

    def strays(self) -> list[Path]:
        """Files of the cluster that lie among those of the person."""
        return [
            path for pattern in ("slurm-*", "*.out", "*.[eo][0-9]*") for path in self.folder.glob(pattern)
        ]

    def tables(self) -> dict[str, str]:
        """Hash of every table of every study; where one says how long a fit took, without that column."""
        found = {}
        for results in sorted((self.folder / "results").iterdir()):
            for path in sorted([*results.glob("*.parquet"), *results.glob("missing/*.parquet")]):
                content, table = path.read_bytes(), pl.read_parquet(path)
                if "seconds" in table.columns:
                    content = table.drop("seconds").serialize()
                found[str(path.relative_to(self.folder))] = hashlib.sha256(content).hexdigest()
        return found


def small(folder: Path) -> Place:
    """The place of a study of two fits."""
    folder.mkdir(parents=True)
    clinics(folder)
    (folder / "clinics.yaml").write_text(yaml.safe_dump(STUDY, sort_keys=False))
    (folder / "config.yaml").write_text(yaml.safe_dump({"studies": ["clinics.yaml"], "seed": 3}))
    return Place(folder)


def gallery(folder: Path) -> Place:
    """The place of the studies of config/config.yaml."""
    folder.mkdir(parents=True)
    config = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    config["studies"] = [str(ROOT / study) for study in config["studies"]]
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return Place(folder)
