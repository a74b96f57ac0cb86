"""The workflow as a module of another one, under a prefix or with its own names."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
OUTER = """\
configfile: "outer.yaml"


module nestwise:
    snakefile:
        "{root}/Snakefile"
    config:
        config["nestwise"]


use rule * from nestwise{renamed}


rule count:
    default_target: True
    input:
        "analysis/clinics/estimates.parquet",
        report=rules.{prefix}all.input,
    output:
        "size.txt",
    shell:
        "wc -c {{input[0]}} > {{output}}"
"""


def outer(workspace, prefix):
    """A folder with another workflow that takes ours in, and nothing of ours but a study."""
    folder = workspace.folder.parent / "outer"
    folder.mkdir()
    for name in ("clinics.csv", "clinics.yaml"):
        (folder / name).write_bytes((workspace.folder / name).read_bytes())
    renamed = f" as {prefix}*" if prefix else ""
    (folder / "Snakefile").write_text(OUTER.format(root=ROOT, renamed=renamed, prefix=prefix))
    ours = {"studies": ["clinics.yaml"], "results": "analysis", "seed": 3}
    (folder / "outer.yaml").write_text(yaml.safe_dump({"nestwise": ours, "of_its_own": 1}))
    return folder


def snakemake(folder, *arguments):
    command = [sys.executable, "-m", "snakemake", "--cores", "1", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("prefix", ["nestwise_", ""])
def test_another_workflow_plans_our_jobs_among_its_own(workspace, prefix):
    told = snakemake(outer(workspace, prefix), "--dry-run")
    for rule, count in {"read": 1, "fit": 4, "sample": 1, "report": 1}.items():
        assert any(line.split() == [f"{prefix}{rule}", str(count)] for line in told.splitlines()), told
    assert "count" in told


def test_another_workflow_runs_our_jobs(workspace):
    folder = outer(workspace, "nestwise_")
    snakemake(folder, "analysis/clinics/data/analysis.parquet")
    assert (folder / "analysis/clinics/data/analysis.parquet").exists()
    assert {path.name for path in folder.iterdir()} - {".snakemake"} == {
        "analysis", "clinics.csv", "clinics.yaml", "outer.yaml", "Snakefile",
    }  # fmt: skip
