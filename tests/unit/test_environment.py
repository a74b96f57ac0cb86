import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nestwise.environment import APPTAINER, DOCKER, conda_environment, image_recipe


def test_the_conda_environment_is_in_step_with_the_pins():
    pins, python = Path("envs/requirements.txt").read_text(), Path(".python-version").read_text().strip()
    assert Path("envs/nestwise.yaml").read_text() == conda_environment(pins, python), "run `make pins`"


@pytest.mark.parametrize(("name", "template"), [("nestwise.def", APPTAINER), ("Dockerfile", DOCKER)])
def test_the_recipes_of_images_are_in_step(name, template):
    text = Path("envs", name).read_text()
    assert text == image_recipe(template, Path(".python-version").read_text().strip()), "run `make pins`"
    sources = re.findall(r"^(?:COPY|   ) (?!python|export)(.*) /opt", text, re.MULTILINE)
    copied = {source for group in sources for source in group.split()}
    assert copied == {"envs/requirements.txt", "pyproject.toml", "README.md", "src"}
    assert all(Path(source).exists() for source in copied)
    installed = re.findall(r"pip install (.*?)(?: &&|$)", text, re.MULTILINE)
    assert [line.split()[-1] for line in installed] == ["/opt/nestwise/requirements.txt", "/opt/nestwise"]


def test_the_package_is_installed_into_a_conda_environment_from_the_checkout(tmp_path):
    """The script as Snakemake calls it, with a `python` that writes down what it was asked for."""
    python = tmp_path / "python"
    python.write_text(f"#!{sys.executable}\nimport sys\nprint(sys.argv[1:])\n")
    python.chmod(0o755)
    script = ["bash", "envs/nestwise.post-deploy.sh"]
    called = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "NESTWISE_SOURCE": "/the/checkout"}
    done = subprocess.run(script, env=called, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(
        ["-m", "pip", "install", "--quiet", "--no-deps", "--editable", "/the/checkout"]
    )
    del called["NESTWISE_SOURCE"]
    assert subprocess.run(script, env=called, capture_output=True, check=False).returncode != 0


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt", "nestwise.yaml"])
def test_pins_name_versions_and_no_addresses(name):
    text = Path("envs", name).read_text()
    assert not re.search(r"https?:|--(extra-)?index|--find-links|file:", text)
    if name.endswith(".txt"):
        assert all(re.fullmatch(r"[\w.\-\[\]]+==[\w.+!]+( ;.*)?", line) for line in text.splitlines())


def test_the_development_pins_agree_with_those_of_a_study():
    study = set(Path("envs/requirements.txt").read_text().splitlines())
    assert study <= set(Path("envs/requirements-dev.txt").read_text().splitlines())
