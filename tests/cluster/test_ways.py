"""Other ways through a cluster: job arrays, accounting, another submit command, the whole gallery."""

import pytest
from studies import PROFILE, QUICK, ROOT, gallery

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
PATIENCE, HOURS = 1800, 7200
ALONE = (
    "--executor", "slurm", "--jobs", "20", "--slurm-jobname-prefix", "nestwise", "--slurm-no-requeue",
    "--default-resources", "lane=1",
)  # fmt: skip


def finish(place, slurm, *arguments, patience=PATIENCE):
    """The log of a run that must end well."""
    run = place.start(*arguments, *QUICK, env=slurm.environment)
    assert run.wait(timeout=patience) == 0, place.log()
    assert not place.strays()
    return place.log()


def test_fits_as_a_job_array(slurm, place, local_tables):
    log = finish(place, slurm, *ALONE, "--slurm-status-command", "squeue", "--slurm-array-jobs", "fit")
    assert "Submitted array job" in log
    assert place.tables() == local_tables


def test_the_profile_with_accounting(accounted, place, local_tables):
    finish(place, accounted, "--workflow-profile", str(PROFILE), "--slurm-status-command", "sacct")
    assert place.tables() == local_tables
    states = accounted.command("sacct", "-X", "--parsable2", "--noheader", "--format=State").split()
    assert states
    assert set(states) == {"COMPLETED"}


def test_another_submit_command(slurm, place, local_tables):
    """The generic profile, its submit command that of SLURM."""
    profile = ROOT / "workflow" / "profiles" / "cluster-generic"
    submit = "sbatch --parsable --mem={resources.mem_mb} --time={resources.runtime} --cpus-per-task={threads}"
    run = place.start(
        "--workflow-profile", str(profile), "--cluster-generic-submit-cmd", submit,
        "--cluster-generic-cancel-cmd", "scancel", "--latency-wait", "10", env=slurm.environment,
    )  # fmt: skip
    assert run.wait(timeout=PATIENCE) == 0, place.log()
    assert not place.strays()
    assert place.tables() == local_tables


@pytest.mark.parametrize("way", ["squeue", "arrays", "sacct"])
def test_the_gallery(way, request, gallery_tables, tmp_path):
    """Every study of config/config.yaml; with arrays, those fits that travel alone are tasks of one."""
    running = request.getfixturevalue("accounted" if way == "sacct" else "slurm")
    arguments = {
        "squeue": (),
        "arrays": ("--slurm-array-jobs", "sample,sample_treated"),
        "sacct": ("--slurm-status-command", "sacct"),
    }
    there = gallery(tmp_path / "there")
    log = finish(there, running, "--workflow-profile", str(PROFILE), *arguments[way], patience=HOURS)
    assert ("Submitted array job" in log) == (way == "arrays")
    assert there.tables() == gallery_tables
