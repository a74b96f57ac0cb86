"""The conda environment and the image of the rules, made from the same pins as every other environment.

``python -m nestwise.environment envs/requirements.txt envs`` writes ``nestwise.yaml`` for conda,
``nestwise.def`` for Apptainer and ``Dockerfile``; tests keep them in step. The package itself is installed
by ``nestwise.post-deploy.sh`` into the first, and by the recipes into the images.
"""

from __future__ import annotations

import sys
from pathlib import Path

HEAD = """\
# Made from requirements.txt by `make pins`; edit requirements.in instead.
channels:
  - conda-forge
  - nodefaults
dependencies:
  - python ={python}
  - pip
  - pip:
"""

APPTAINER = """\
# Made by `make pins`. From the folder above: apptainer build envs/nestwise.sif envs/nestwise.def
Bootstrap: docker
From: python:{python}-slim

%files
    envs/requirements.txt /opt/nestwise/requirements.txt
    pyproject.toml /opt/nestwise/pyproject.toml
    README.md /opt/nestwise/README.md
    src /opt/nestwise/src

%post
    python -m pip install --no-cache-dir --requirement /opt/nestwise/requirements.txt
    python -m pip install --no-cache-dir --no-deps /opt/nestwise
    python -c "import nestwise"

%environment
    export NUMBA_CACHE_DIR="${{NUMBA_CACHE_DIR:-/tmp/nestwise-numba-$(id -u)}}"
"""

DOCKER = """\
# Made by `make pins`. From the folder above: docker build --tag nestwise --file envs/Dockerfile .
FROM python:{python}-slim
COPY envs/requirements.txt /opt/nestwise/requirements.txt
RUN python -m pip install --no-cache-dir --requirement /opt/nestwise/requirements.txt
COPY pyproject.toml README.md /opt/nestwise/
COPY src /opt/nestwise/src
RUN python -m pip install --no-cache-dir --no-deps /opt/nestwise && python -c "import nestwise"
ENV NUMBA_CACHE_DIR=/tmp/nestwise-numba
"""


def image_recipe(template: str, python: str) -> str:
    """Text of a recipe for an image: `APPTAINER` or `DOCKER`.

    The pins are copied into the image while it is built, so that the recipe cannot fall behind them.

    Parameters
    ----------
    template : str
        The recipe, with the version of Python left open.
    python : str
        Version of Python, as in `.python-version`.
    """
    return template.format(python=python)


def conda_environment(pins: str, python: str) -> str:
    """Text of the conda environment file for the pins of a requirements file.

    Parameters
    ----------
    pins : str
        Lines ``name==version``; comments and blank lines are passed over.
    python : str
        Version of Python, as in `.python-version`.
    """
    lines = [line.split("#")[0].strip() for line in pins.splitlines()]
    return HEAD.format(python=python) + "".join(f"      - {line}\n" for line in lines if line)


if __name__ == "__main__":
    requirements, folder = map(Path, sys.argv[1:3])
    version = Path(".python-version").read_text().strip()
    (folder / "nestwise.yaml").write_text(conda_environment(requirements.read_text(), version))
    (folder / "nestwise.def").write_text(image_recipe(APPTAINER, version))
    (folder / "Dockerfile").write_text(image_recipe(DOCKER, version))
