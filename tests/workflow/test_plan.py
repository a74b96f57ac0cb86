"""A plan of the next run, with what it costs: nothing is run, and nothing but what is needed is listed."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def plan(workspace, *arguments):
    command = [sys.executable, str(ROOT / "workflow" / "plan.py"), *workspace.command(*arguments)[3:]]
    done = subprocess.run(
        command, cwd=workspace.folder, env=workspace.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_plan_lists_every_step_with_its_cost_and_runs_nothing(workspace):
    text = plan(workspace, "--workflow-profile", str(ROOT / "workflow" / "profiles" / "slurm"))
    rows = {line.split()[1]: line.split() for line in text.splitlines() if line.startswith("clinics")}
    assert {"read", "validate", "prepare", "design", "fit.lmm", "fit.pymc", "report"} <= set(rows)
    assert rows["fit.lmm"][2] == "2"
    assert rows["fit.pymc"][-1] == "benchmarks"
    assert " jobs of 1 study take some " in text.splitlines()[-1]
    assert not (workspace.folder / "results").exists()


def test_a_finished_run_knows_its_costs_from_itself(copied_run):
    assert "Nothing to be done" in plan(copied_run)
    copied_run.edit("clinics.yaml", "title: Twelve", "title: Our twelve")
    (row,) = [line for line in plan(copied_run).splitlines() if line.startswith("clinics")]
    assert row.split()[1] == "report"
    assert row.endswith("earlier run")
