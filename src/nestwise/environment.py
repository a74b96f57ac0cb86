"""The conda environment of the rules, made from the same pins as every other environment.

``python -m nestwise.environment envs/requirements.txt envs/nestwise.yaml`` writes it; a test keeps
the two in step.
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
    requirements, target = map(Path, sys.argv[1:3])
    version = Path(".python-version").read_text().strip()
    target.write_text(conda_environment(requirements.read_text(), version))
