"""A small table written to a file, read and validated as a study file says."""

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from nestwise.config.study import Study
from nestwise.data.contract import validate
from nestwise.data.read import read
from nestwise.data.validation import Validation

MODELS = {"m": {"formula": "y ~ 1 + (1 | g)"}}


def study(**sections: Any) -> Study:
    return Study.model_validate(
        {"title": "t", "data": {"source": "x.csv"}, "groups": {"g": {}}, "models": MODELS} | sections
    )


@pytest.fixture
def table(tmp_path) -> Callable[..., Any]:
    """Write text or a frame and read it: `table(content, name, **sections of the study)`."""

    def written(content: str | bytes | pl.DataFrame, name: str = "x.csv", **sections: Any) -> Any:
        path = tmp_path / name
        if isinstance(content, pl.DataFrame):
            writer = {
                ".parquet": content.write_parquet,
                ".arrow": content.write_ipc,
                ".csv": content.write_csv,
            }
            writer[path.suffix](path)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        described = study(**sections)
        return read(path, described.data, described.variables, described.groups, described.time)

    return written


@pytest.fixture
def judged(table) -> Callable[..., Validation]:
    """The same, validated."""

    def validated(content: str | bytes | pl.DataFrame, name: str = "x.csv", **sections: Any) -> Validation:
        return validate(table(content, name, **sections), study(**sections), source=name)

    return validated


@pytest.fixture
def failing(judged) -> Callable[..., dict[str, Any]]:
    """Failed checks by name."""

    def named(*args: Any, **sections: Any) -> dict[str, Any]:
        return {check.name: check for check in judged(*args, **sections).checks if not check.passed}

    return named
