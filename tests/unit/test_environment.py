import re
from pathlib import Path

import pytest

from nestwise.environment import conda_environment


def test_the_conda_environment_is_in_step_with_the_pins():
    pins, python = Path("envs/requirements.txt").read_text(), Path(".python-version").read_text().strip()
    assert Path("envs/nestwise.yaml").read_text() == conda_environment(pins, python), "run `make pins`"


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt", "nestwise.yaml"])
def test_pins_name_versions_and_no_addresses(name):
    text = Path("envs", name).read_text()
    assert not re.search(r"https?:|--(extra-)?index|--find-links|file:", text)
    if name.endswith(".txt"):
        assert all(re.fullmatch(r"[\w.\-\[\]]+==[\w.+!]+( ;.*)?", line) for line in text.splitlines())


def test_the_development_pins_agree_with_those_of_a_study():
    study = set(Path("envs/requirements.txt").read_text().splitlines())
    assert study <= set(Path("envs/requirements-dev.txt").read_text().splitlines())
