"""The profiles for clusters name rules that exist, and agree where they should."""

import re
from pathlib import Path

import pytest
import yaml

PROFILES = {
    name: yaml.safe_load(Path("workflow/profiles", name, "config.yaml").read_text())
    for name in ("slurm", "cluster-generic")
}
RULES = {
    name
    for path in Path("workflow/rules").glob("*.smk")
    for name in re.findall(r"^(?:rule|use rule \w+ as) (\w+)", path.read_text(), re.MULTILINE)
}
MINUTES = {
    name: int(minutes)
    for path in Path("workflow/rules").glob("*.smk")
    for name, minutes in re.findall(
        r"^(?:rule|use rule \w+ as) (\w+)\b.*?runtime=runtime\((\d+),",
        path.read_text(),
        re.MULTILINE | re.DOTALL,
    )
}
LONG = {"sample", "sample_treated", "draw"}  # imputing with the model of the study may take hours


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_short_jobs_travel_together_and_sampling_alone(profile):
    groups = dict(entry.split("=") for entry in profile["groups"])
    assert set(groups) == RULES - LONG
    assert all("{study}" in group for group in groups.values()), "a study waits for no other"
    assert {entry.split("=")[0] for entry in profile["group-components"]} <= set(groups.values())
    assert profile["resources"] == ["lane=1"]
    assert profile["set-resource-scopes"] == ["lane=local"]
    assert profile["default-resources"]["lane"] == 1


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_a_group_of_small_jobs_fits_a_partition_of_two_hours(profile):
    """A group asks for the minutes of all its jobs; SLURM never starts what asks for more than there is."""
    components = {name: int(n) for name, n in (entry.split("=") for entry in profile["group-components"])}
    asked = dict.fromkeys(components, 0)
    for rule, group in (entry.split("=") for entry in profile["groups"]):
        designs = 8 if rule == "design" else 1
        asked[group] = asked.get(group, 0) + MINUTES[rule] * components.get(group, designs)
    assert set(MINUTES) == RULES
    assert max(asked.values()) <= 120


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_what_breaks_is_tried_again_and_the_rest_goes_on(profile):
    assert profile["retries"] == 3
    assert profile["keep-going"] is True
    assert profile["rerun-incomplete"] is True


def test_names_of_jobs_are_those_by_which_a_new_run_finds_them():
    prefix = re.search(r'^JOB_NAMES = "(\w+)"', Path("workflow/rules/cluster.smk").read_text(), re.MULTILINE)
    assert PROFILES["slurm"]["slurm-jobname-prefix"] == prefix[1]


def test_slurm_leaves_trying_again_to_snakemake():
    assert PROFILES["slurm"]["slurm-no-requeue"] is True
    assert PROFILES["slurm"]["slurm-status-command"] == "squeue"


@pytest.mark.parametrize("path", sorted(Path("workflow/rules").glob("*.smk")), ids=lambda path: path.stem)
def test_every_rule_says_how_long_it_may_take(path):
    for block in re.split(r"\n(?:use )?rule ", path.read_text())[1:]:
        assert "runtime=runtime(" in block, block.split(":")[0]
        assert "mem_mb=memory(" in block, block.split(":")[0]
